//! What a user adds: descriptor sets, and ours and theirs together.

use buildtap_proto::schema::{SchemaError, Schemas};
use buildtap_proto::{DESCRIPTOR_SET, pool};
use proptest::prelude::*;
use prost::Message;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{
    DescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet,
    MethodDescriptorProto, ServiceDescriptorProto,
};

fn field(name: &str, number: i32, r#type: Type, type_name: Option<&str>) -> FieldDescriptorProto {
    FieldDescriptorProto {
        name: Some(name.to_owned()),
        number: Some(number),
        label: Some(Label::Optional.into()),
        r#type: Some(r#type.into()),
        type_name: type_name.map(str::to_owned),
        ..Default::default()
    }
}

fn message(name: &str, field: Vec<FieldDescriptorProto>) -> DescriptorProto {
    DescriptorProto {
        name: Some(name.to_owned()),
        field,
        ..Default::default()
    }
}

fn file(
    name: &str,
    package: &str,
    imports: &[&str],
    messages: Vec<DescriptorProto>,
) -> FileDescriptorProto {
    FileDescriptorProto {
        name: Some(name.to_owned()),
        package: Some(package.to_owned()),
        dependency: imports.iter().map(|i| (*i).to_owned()).collect(),
        message_type: messages,
        syntax: Some("proto3".to_owned()),
        ..Default::default()
    }
}

fn add(schemas: &mut Schemas, files: Vec<FileDescriptorProto>) -> Result<(), SchemaError> {
    schemas.add_descriptor_set(&FileDescriptorSet { file: files }.encode_to_vec())
}

/// The name of the type of a field of a message.
fn field_names(schemas: &Schemas, name: &str) -> Vec<String> {
    let message = schemas.message(name).expect(name);
    message.fields().map(|f| f.name().to_owned()).collect()
}

#[test]
fn a_service_of_the_user_is_found_and_may_use_our_types() {
    let mut mine = file(
        "mine.proto",
        "mine",
        &["pb.proto"],
        vec![message(
            "Ask",
            vec![field("op", 1, Type::Message, Some(".pb.Op"))],
        )],
    );
    mine.service.push(ServiceDescriptorProto {
        name: Some("Oracle".to_owned()),
        method: vec![MethodDescriptorProto {
            name: Some("Ask".to_owned()),
            input_type: Some(".mine.Ask".to_owned()),
            output_type: Some(".pb.Op".to_owned()),
            server_streaming: Some(true),
            ..Default::default()
        }],
        ..Default::default()
    });
    let mut schemas = Schemas::builtin();
    assert!(schemas.method("/mine.Oracle/Ask").is_none());
    add(&mut schemas, vec![mine]).unwrap();
    let method = schemas.method("/mine.Oracle/Ask").unwrap();
    assert_eq!(method.output().full_name(), "pb.Op");
    assert!(method.is_server_streaming());
    assert!(
        schemas.method("/moby.buildkit.v1.Control/Solve").is_some(),
        "ours are still there"
    );
    assert!(schemas.replaced().is_empty());
}

#[test]
fn our_own_set_changes_nothing() {
    let mut schemas = Schemas::builtin();
    schemas.add_descriptor_set(DESCRIPTOR_SET).unwrap();
    assert!(schemas.replaced().is_empty());
    assert_eq!(
        schemas.pool().all_messages().len(),
        pool().all_messages().len()
    );
    assert_eq!(schemas.pool().services().len(), pool().services().len());
}

#[test]
fn an_equal_definition_in_another_file_changes_nothing_seen() {
    let stat = pool().get_message_by_name("fsutil.types.Stat").unwrap();
    let theirs = file(
        "stat.proto",
        "fsutil.types",
        &[],
        vec![stat.descriptor_proto().clone()],
    );
    let mut schemas = Schemas::builtin();
    add(&mut schemas, vec![theirs]).unwrap();
    assert!(schemas.replaced().is_empty());
    assert_eq!(field_names(&schemas, "fsutil.types.Stat").len(), 10);
}

#[test]
fn another_definition_takes_the_place_of_ours_everywhere() {
    let stat = message("Stat", vec![field("where", 1, Type::String, None)]);
    let mut schemas = Schemas::builtin();
    add(
        &mut schemas,
        vec![file("a.proto", "fsutil.types", &[], vec![stat])],
    )
    .unwrap();
    assert_eq!(schemas.replaced(), ["fsutil.types.Stat"]);

    let method = schemas
        .method("/moby.filesync.v1.FileSync/DiffCopy")
        .unwrap();
    let stat = method.input().get_field_by_name("stat").unwrap();
    let stat = stat.kind().as_message().unwrap().clone();
    assert_eq!(
        stat.fields()
            .map(|f| f.name().to_owned())
            .collect::<Vec<_>>(),
        ["where"]
    );
    let readdir = schemas
        .message("moby.buildkit.v1.frontend.ReadDirResponse")
        .unwrap();
    assert_eq!(
        readdir.get_field(1).unwrap().kind().as_message(),
        Some(&stat)
    );

    // The built-in pool is not touched, and the latest addition wins.
    assert_eq!(
        field_names(&Schemas::builtin(), "fsutil.types.Stat").len(),
        10
    );
    let stat = message("Stat", vec![field("again", 1, Type::String, None)]);
    add(
        &mut schemas,
        vec![file("b.proto", "fsutil.types", &[], vec![stat])],
    )
    .unwrap();
    assert_eq!(field_names(&schemas, "fsutil.types.Stat"), ["again"]);
    assert_eq!(schemas.replaced(), ["fsutil.types.Stat"]);
}

#[test]
fn files_of_one_name_are_both_kept() {
    let mut schemas = Schemas::builtin();
    let a = message("A", vec![field("x", 1, Type::String, None)]);
    add(&mut schemas, vec![file("pb.proto", "other", &[], vec![a])]).unwrap();
    let b = message("B", vec![field("a", 1, Type::Message, Some(".other.A"))]);
    add(
        &mut schemas,
        vec![file("third.proto", "third", &["pb.proto"], vec![b])],
    )
    .unwrap();
    for name in ["other.A", "third.B", "pb.Op", "pb.Definition"] {
        assert!(schemas.message(name).is_some(), "{name}");
    }
    assert!(schemas.method("/moby.buildkit.v1.Control/Solve").is_some());
}

#[test]
fn public_imports_reach_as_far_as_they_go_and_circles_end() {
    let mut files = vec![
        file("1", "", &[], vec![message("M", vec![])]),
        file("2", "", &["1"], vec![]),
        file("3", "", &["2"], vec![]),
        file(
            "4",
            "",
            &["3"],
            vec![message("U", vec![field("m", 1, Type::Message, Some(".M"))])],
        ),
        file("self", "", &["self"], vec![message("S", vec![])]),
        file("x", "", &["y", "1"], vec![message("X", vec![])]),
        file(
            "y",
            "",
            &["x"],
            vec![message("Y", vec![field("m", 1, Type::Message, Some(".M"))])],
        ),
    ];
    for file in &mut files {
        file.public_dependency = (0..file.dependency.len() as i32).collect();
    }
    let mut schemas = Schemas::builtin();
    add(&mut schemas, files).unwrap();
    assert!(schemas.message("U").is_some() && schemas.message("Y").is_some());
}

#[test]
fn a_refused_set_is_explained_and_leaves_the_schemas_alone() {
    let op = |r#type| message("Bad", vec![field("op", 1, r#type, Some(".pb.Op"))]);
    let mut editions = file("e.proto", "e", &[], vec![message("E", vec![])]);
    editions.syntax = Some("editions".to_owned());
    let set = |file| FileDescriptorSet { file: vec![file] }.encode_to_vec();
    let twice = vec![
        field("a", 1, Type::Bool, None),
        field("b", 1, Type::Bool, None),
    ];
    let cases: [(Vec<u8>, &str); 8] = [
        (
            b"syntax = \"proto3\";\n".to_vec(),
            "this is not a protobuf descriptor set: ",
        ),
        (
            Vec::new(),
            "this is not a protobuf descriptor set: it holds no file; make one with `protoc --include_imports \
             --descriptor_set_out=FILE` or `buf build -o FILE`",
        ),
        (
            DESCRIPTOR_SET[..DESCRIPTOR_SET.len() - 1].to_vec(),
            "this is not a protobuf descriptor set: ",
        ),
        (
            set(file("m.proto", "m", &["gone.proto"], vec![])),
            "m.proto imports gone.proto, which is not in the descriptor set; make the set with imports included \
             (`protoc --include_imports`)",
        ),
        (
            set(editions),
            "e.proto is written in \"editions\", and only proto2 and proto3 are understood",
        ),
        (
            set(file("n.proto", "n", &[], vec![op(Type::Message)])),
            "the definitions do not fit together: name 'pb.Op' is not defined (in n.proto); correct them, or leave \
             that file out",
        ),
        (
            set(file("t.proto", "t", &[], vec![message("T", twice)])),
            "the definitions do not fit together: field number '1' is already used (in t.proto)",
        ),
        (
            set(file("", "t", &[], vec![])),
            "this is not a protobuf descriptor set: a file in it has no name",
        ),
    ];
    let mut schemas = Schemas::builtin();
    for (bytes, expected) in cases {
        let text = schemas.add_descriptor_set(&bytes).unwrap_err().to_string();
        assert!(text.starts_with(expected), "{text}");
        assert_eq!(schemas.pool().files().len(), pool().files().len());
        assert!(schemas.replaced().is_empty());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// A damaged set is taken or refused, without a panic and without losing what was there.
    #[test]
    fn damaged_sets_do_no_harm(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        start in any::<prop::sample::Index>(),
    ) {
        // One file of the set at a time: changes then hit definitions more often than text.
        let set = FileDescriptorSet::decode(DESCRIPTOR_SET).unwrap();
        let file = start.get(&set.file).clone();
        let mut bytes = FileDescriptorSet { file: vec![file] }.encode_to_vec();
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let mut schemas = Schemas::builtin();
        if schemas.add_descriptor_set(&bytes).is_err() {
            prop_assert!(schemas.method("/moby.buildkit.v1.Control/Solve").is_some());
        }
    }
}
