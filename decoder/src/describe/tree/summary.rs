//! What something with parts says in one line, and what numbers mean.

use prost::Message as _;
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use prost_types::{Duration, Timestamp};

use super::leaf::shown;
use super::{Node, NodeKind};
use crate::describe::line::size;
use crate::describe::values::{self, timestamp};
use crate::protocol::diffcopy::{EntryKind, Stat};
use crate::protocol::grpc_status::code_name;
use crate::wire::protobuf::Value;

/// Fields that tell one message from others of its type, the best first.
const TELLING: [&str; 15] = [
    "name",
    "path",
    "id",
    "ref",
    "identifier",
    "filename",
    "dest",
    "host",
    "digest",
    "vertex",
    "key",
    "type",
    "message",
    "msg",
    "code",
];

/// What a message of a schema says, in a few words.
pub(super) fn message(message: &MessageDescriptor, bytes: &[u8], children: &[Node]) -> String {
    let special = match message.full_name() {
        "google.protobuf.Timestamp" => Timestamp::decode(bytes).ok().and_then(|it| timestamp(&it)),
        "google.protobuf.Duration" => Duration::decode(bytes).ok().map(|it| it.to_string()),
        "google.protobuf.Any" => children
            .iter()
            .find(|child| child.name == "type_url")
            .map(|child| child.value.trim_matches('"').to_owned()),
        "pb.Definition" => children
            .iter()
            .find(|child| child.kind == NodeKind::Graph)
            .map(|child| child.value.clone()),
        "google.rpc.Status" => {
            let of = |name: &str| {
                let child = children.iter().find(|child| child.name == name);
                child.map(|child| child.value.as_str())
            };
            Some([of("code").unwrap_or("OK"), of("message").unwrap_or("")].join(" "))
        }
        _ => None,
    };
    special
        .map(|special| shown(special.trim_end()))
        .unwrap_or_else(|| fields(children))
}

/// The value of the field that tells most, or how many there are.
pub(super) fn fields(children: &[Node]) -> String {
    let telling = TELLING.iter().find_map(|name| {
        children.iter().find(|child| {
            child.name.eq_ignore_ascii_case(name)
                && matches!(
                    child.kind,
                    NodeKind::Text | NodeKind::Enum | NodeKind::Number
                )
        })
    });
    match (telling, children) {
        (Some(child), _) => child.value.clone(),
        (None, []) => "empty".to_owned(),
        (None, [only]) if only.children.is_empty() && !only.name.is_empty() => {
            shown(&format!("{}: {}", only.name, only.value))
        }
        (None, [only]) if only.children.is_empty() => only.value.clone(),
        (None, [only]) => only.name.clone(),
        (None, many) => format!("{} fields", many.len()),
    }
}

/// `3 items`.
pub(super) fn items(count: usize) -> String {
    match count {
        1 => "1 item".to_owned(),
        _ => format!("{count} items"),
    }
}

/// `3 operations`.
pub(super) fn operations(count: usize) -> String {
    match count {
        1 => "1 operation".to_owned(),
        _ => format!("{count} operations"),
    }
}

/// The keys of a map, as far as they fit.
pub(super) fn entries(children: &[Node]) -> String {
    let keys: Vec<&str> = children
        .iter()
        .take(16)
        .map(|child| child.name.as_str())
        .collect();
    let more = if children.len() > keys.len() {
        ", …"
    } else {
        ""
    };
    shown(&format!("{}{more}", keys.join(", ")))
}

/// `0a1b2c`
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether a field has the identifier of a trace or of a span, which people write in hexadecimal.
pub(super) fn is_span_id(field: &FieldDescriptor) -> bool {
    values::is_span_id(field.parent_message().full_name(), field)
}

/// What a number of the wire is by its schema; `None` if the wire has another type.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "protobuf reads the low bits of a varint that is too long for its type"
)]
pub(super) fn number(
    field: &FieldDescriptor,
    kind: &Kind,
    value: Value<'_>,
) -> Option<(NodeKind, String)> {
    let number = |value: String| Some((NodeKind::Number, value));
    match (kind, value) {
        (Kind::Bool, Value::Varint(value)) => Some((NodeKind::Flag, (value != 0).to_string())),
        (Kind::Enum(names), Value::Varint(value)) => {
            let value = value as i32;
            let name = names.get_value(value);
            let name = name.map_or_else(|| value.to_string(), |name| name.name().to_owned());
            Some((NodeKind::Enum, name))
        }
        (Kind::Int32, Value::Varint(value)) => Some(meaning(field, i64::from(value as i32))),
        (Kind::Int64, Value::Varint(value)) => Some(meaning(field, value as i64)),
        (Kind::Uint32, Value::Varint(value)) => Some(meaning(field, i64::from(value as u32))),
        (Kind::Uint64, Value::Varint(value)) => match i64::try_from(value) {
            Ok(value) => Some(meaning(field, value)),
            Err(_) => number(value.to_string()),
        },
        (Kind::Sint32 | Kind::Sint64, Value::Varint(value)) => {
            // ZigZag: the lowest bit is the sign.
            let half = (value >> 1) as i64;
            let sign = if value & 1 == 0 { 0 } else { -1 };
            number((half ^ sign).to_string())
        }
        (Kind::Fixed32, Value::Fixed32(value)) => number(value.to_string()),
        (Kind::Sfixed32, Value::Fixed32(value)) => number((value as i32).to_string()),
        (Kind::Float, Value::Fixed32(value)) => number(f32::from_bits(value).to_string()),
        (Kind::Fixed64, Value::Fixed64(value)) => match i64::try_from(value) {
            Ok(value) => Some(meaning(field, value)),
            Err(_) => number(value.to_string()),
        },
        (Kind::Sfixed64, Value::Fixed64(value)) => number((value as i64).to_string()),
        (Kind::Double, Value::Fixed64(value)) => number(f64::from_bits(value).to_string()),
        _ => None,
    }
}

/// A number, with what it means where its field tells.
fn meaning(field: &FieldDescriptor, value: i64) -> (NodeKind, String) {
    let message = field.parent_message();
    let name = field.name();
    if name.ends_with("unix_nano") || name.eq_ignore_ascii_case("modtime") || name == "mod_time" {
        let time = Timestamp {
            seconds: value.div_euclid(1_000_000_000),
            nanos: i32::try_from(value.rem_euclid(1_000_000_000)).unwrap_or_default(),
        };
        if let Some(time) = timestamp(&time) {
            return (NodeKind::Time, time);
        }
    }
    let said = match (message.full_name(), name) {
        ("fsutil.types.Stat", "mode") => mode(value),
        (name, "mode") if name.starts_with("pb.") && value > 0 => Some(format!("{value:04o}")),
        ("google.rpc.Status", "code") => {
            let code = u32::try_from(value).ok().and_then(code_name);
            code.map(|name| format!("{value} {name}"))
        }
        _ => bytes(name, value),
    };
    (NodeKind::Number, said.unwrap_or_else(|| value.to_string()))
}

/// `0644 file`
fn mode(value: i64) -> Option<String> {
    let stat = Stat {
        mode: u32::try_from(value).ok()?,
        ..Stat::default()
    };
    let kind = match EntryKind::of(&stat) {
        EntryKind::File | EntryKind::HardLink => "file",
        EntryKind::Directory => "directory",
        EntryKind::SymLink => "symbolic link",
        EntryKind::Special => "device or pipe",
    };
    Some(format!("{:04o} {kind}", stat.mode & 0o777))
}

/// `40000 (39.1 KiB)`, of a field that counts bytes.
fn bytes(name: &str, value: i64) -> Option<String> {
    let name = name.to_ascii_lowercase();
    let counts = ["size", "bytes", "offset", "expected"]
        .iter()
        .any(|part| name.contains(part));
    let bytes = u64::try_from(value).ok().filter(|bytes| *bytes >= 1024)?;
    counts.then(|| format!("{value} ({})", size(bytes)))
}
