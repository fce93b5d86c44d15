//! Numbers, names, types, maps and oneofs of every field, and the values of every enum, against a list of their own.
//!
//! `fields.txt` was taken from the upstream sources apart from `schemas/`: an edit to one that the other does not follow
//! fails here. What it says about a field is `NUMBER NAME TYPE`, then `in ONEOF`.

use std::fmt::Write;

use buildtap_proto::pool;
use prost_reflect::{EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor};

const EXPECTED: &str = include_str!("fields.txt");

#[test]
fn fields_are_those_of_the_list() {
    let mut names = EXPECTED
        .lines()
        .filter(|l| !l.starts_with([' ', '#']))
        .peekable();
    assert!(names.peek().is_some());
    for block in blocks() {
        let (head, _) = block.split_once('\n').unwrap();
        let found = match head.strip_prefix("enum ") {
            Some(name) => describe_enum(&pool().get_enum_by_name(name).expect(name)),
            None => describe_message(&pool().get_message_by_name(head).expect(head)),
        };
        assert_eq!(found, block);
        names.next();
    }
    assert_eq!(names.next(), None);
}

#[test]
fn no_message_of_buildkit_is_beyond_the_list() {
    // These are from specifications of their own, and a test of the services covers what is used of them.
    let foreign = ["google.", "grpc.", "opentelemetry.", "containerd.types."];
    for message in pool().all_messages() {
        let name = message.full_name();
        if !message.is_map_entry() && !foreign.iter().any(|f| name.starts_with(f)) {
            assert!(
                EXPECTED.lines().any(|l| l == name),
                "{name} is not in fields.txt"
            );
        }
    }
}

/// The list cut before each line that is not indented.
fn blocks() -> Vec<String> {
    let mut blocks: Vec<String> = Vec::new();
    for line in EXPECTED.lines().filter(|l| !l.starts_with('#')) {
        match blocks.last_mut() {
            Some(block) if line.starts_with(' ') => writeln!(block, "{line}").unwrap(),
            _ => blocks.push(format!("{line}\n")),
        }
    }
    blocks
}

fn describe_message(message: &MessageDescriptor) -> String {
    let mut out = format!("{}\n", message.full_name());
    for field in message.fields() {
        write!(
            out,
            "  {} {} {}",
            field.number(),
            field.name(),
            field_type(&field)
        )
        .unwrap();
        if let Some(oneof) = field.containing_oneof() {
            write!(out, " in {}", oneof.name()).unwrap();
        }
        out.push('\n');
    }
    out
}

fn describe_enum(desc: &EnumDescriptor) -> String {
    let mut out = format!("enum {}\n", desc.full_name());
    for value in desc.values() {
        writeln!(out, "  {} {}", value.number(), value.name()).unwrap();
    }
    out
}

fn field_type(field: &FieldDescriptor) -> String {
    if let (true, Kind::Message(entry)) = (field.is_map(), field.kind()) {
        let value = field_type(&entry.map_entry_value_field());
        return format!("map<{}, {value}>", field_type(&entry.map_entry_key_field()));
    }
    let (name, scope) = match field.kind() {
        Kind::Message(message) => (
            message.full_name().to_owned(),
            message.package_name().to_owned(),
        ),
        Kind::Enum(desc) => (desc.full_name().to_owned(), desc.package_name().to_owned()),
        scalar => (format!("{scalar:?}"), String::new()),
    };
    // The list writes the types of the same package by their last name.
    let message = field.parent_message();
    let outer = message.parent_message().unwrap_or_else(|| message.clone());
    let name = match scope == outer.package_name() {
        true => name.rsplit('.').next().unwrap().to_owned(),
        false => name,
    };
    if field.is_list() {
        format!("repeated {name}")
    } else {
        name
    }
}
