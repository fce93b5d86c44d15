//! A message with its schema, as JSON for people.
//!
//! Field names are those of the schema. Fields with default values are left out, except for enums
//! that say what the message is. Enums are names, timestamps RFC 3339, build graphs lines of text.

use buildtap_proto::google::rpc;
use buildtap_proto::pb;
use buildtap_proto::schema::Schemas;
use prost_reflect::{
    DynamicMessage, EnumDescriptor, FieldDescriptor, Kind, MapKey, ReflectMessage as _, Value,
};
use prost_types::Timestamp;
use serde_json::{Map, Value as Json, json};

use super::raw;
use super::secrets::{Rule, is_of_secret_package, rule};
use super::text;
use crate::protocol::grpc_status;
use crate::protocol::llb::Graph;
use crate::protocol::mask::{
    announces_secret, is_secret_attribute, is_secret_name, mask_text, masked,
};

/// How many messages are shown within each other, the outermost included.
const MAX_DEPTH: usize = 24;
/// How many values are shown of one message, on all levels together.
const MAX_VALUES: usize = 10_000;
/// How many lines of one build graph are shown.
const MAX_LINES: usize = 1_000;
/// What stands for what is not shown.
const MORE: &str = "…";

/// The seconds from year 1 to year 9999, which RFC 3339 can write.
const YEARS: std::ops::Range<i64> = -62_135_596_800..253_402_300_800;

/// Enums by the names of their fields that say what a message is, and are shown always.
const TELLING: [&str; 3] = ["type", "status", "action"];

/// `message` as JSON; `show` for one with its secrets.
pub(super) fn json(schemas: &Schemas, show: bool, message: &DynamicMessage) -> Json {
    let mut writer = Writer {
        schemas,
        show,
        left: MAX_VALUES,
    };
    writer.message(message, MAX_DEPTH)
}

struct Writer<'a> {
    schemas: &'a Schemas,
    show: bool,
    /// How many values may still be shown.
    left: usize,
}

/// What is known of a value from what stands around it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Known {
    Nothing,
    Secret,
    Contents,
}

impl Known {
    fn secret_if(secret: bool) -> Self {
        if secret {
            Known::Secret
        } else {
            Known::Nothing
        }
    }
}

impl Writer<'_> {
    fn message(&mut self, message: &DynamicMessage, depth: usize) -> Json {
        let Some(depth) = depth.checked_sub(1) else {
            return MORE.into();
        };
        let descriptor = message.descriptor();
        let name = descriptor.full_name();
        if let Some(special) = self.special(name, message, depth) {
            return special;
        }
        let user = buildtap_proto::pool().get_message_by_name(name).is_none();
        let secret_value = has_secret_key(message);
        let mut members = Map::new();
        for field in descriptor.fields() {
            if !message.has_field(&field) {
                if let Some(first) = telling_default(&field) {
                    members.insert(field.name().to_owned(), first);
                }
                continue;
            }
            let known = match rule(name, field.number()) {
                _ if self.show => Known::Nothing,
                Some(Rule::Secret) => Known::Secret,
                Some(Rule::Contents) if !is_error_packet(message) => Known::Contents,
                _ => Known::secret_if(
                    // Of our own messages we know; for a user's all there is, is the name.
                    user && is_secret_name(field.name()) && !is_word_key(&field)
                        || secret_value && field.name() == "value",
                ),
            };
            let value = message.get_field(&field);
            let value = match value.as_bytes() {
                Some(id) if is_span_id(name, &field) && id.len() <= 16 => hex(id).into(),
                _ => self.field(&field, &value, known, depth),
            };
            members.insert(field.name().to_owned(), value);
        }
        let mut unknown = Vec::new();
        for field in message.unknown_fields() {
            field.encode(&mut unknown);
        }
        if !unknown.is_empty() {
            let hidden = is_of_secret_package(name) && !self.show;
            let text = match hidden {
                true => format!("({} bytes, masked)", unknown.len()),
                false => text::cut(&raw::line(&unknown, self.show)).into_owned(),
            };
            members.insert("_unknown".to_owned(), text.into());
        }
        Json::Object(members)
    }

    /// Messages that have a better form than that of their fields.
    fn special(&mut self, name: &str, message: &DynamicMessage, depth: usize) -> Option<Json> {
        match name {
            "google.protobuf.Timestamp" => {
                let time: Timestamp = message.transcode_to().ok()?;
                timestamp(&time).map(Json::String)
            }
            "google.protobuf.Any" => {
                let url = message.get_field_by_name("type_url")?;
                let url = url.as_str()?;
                let value = message.get_field_by_name("value")?;
                let value = value.as_bytes()?;
                let inner = url
                    .rsplit('/')
                    .next()
                    .and_then(|name| self.schemas.message(name));
                let inner = inner.and_then(|it| DynamicMessage::decode(it, value.clone()).ok());
                let value = match inner {
                    Some(inner) => self.message(&inner, depth),
                    None => text::bytes(value, self.show),
                };
                Some(json!({ "@type": text::text(url, self.show), "value": value }))
            }
            "google.rpc.Status" => {
                let status: rpc::Status = message.transcode_to().ok()?;
                let mut members = Map::new();
                members.insert("code".to_owned(), status.code.into());
                let code = u32::try_from(status.code).ok();
                if let Some(code) = code.and_then(grpc_status::code_name) {
                    members.insert("name".to_owned(), code.into());
                }
                members.insert("message".to_owned(), text::text(&status.message, self.show));
                let details = grpc_status::details(&status).into_iter().map(|detail| {
                    let line = detail.to_string();
                    text::cut(&mask_text(&line)).into_owned()
                });
                let details: Vec<String> = details.collect();
                if !details.is_empty() {
                    members.insert("details".to_owned(), details.into());
                }
                Some(Json::Object(members))
            }
            "pb.Definition" => {
                let definition: pb::Definition = message.transcode_to().ok()?;
                let graph = Graph::from_definition(&definition).to_string();
                let mut lines: Vec<&str> = graph.lines().take(MAX_LINES).collect();
                if graph.lines().count() > MAX_LINES {
                    lines.push(MORE);
                }
                Some(lines.into())
            }
            _ => None,
        }
    }

    fn field(
        &mut self,
        field: &FieldDescriptor,
        value: &Value,
        known: Known,
        depth: usize,
    ) -> Json {
        match value {
            Value::Map(map) => {
                let mut entries: Vec<_> = map.iter().collect();
                entries.sort_unstable_by(|(a, _), (b, _)| compare(a, b));
                let Kind::Message(entry) = field.kind() else {
                    return MORE.into();
                };
                let kind = entry.map_entry_value_field().kind();
                let plain = matches!(kind, Kind::String | Kind::Bytes);
                let mut members = Map::new();
                for (key, value) in entries {
                    if self.left == 0 {
                        members.insert(MORE.to_owned(), MORE.into());
                        break;
                    }
                    let (key, secret) = self.key(key);
                    let known = match known {
                        Known::Nothing => Known::secret_if(plain && secret),
                        known => known,
                    };
                    members.insert(key, self.single(&kind, value, known, depth));
                }
                Json::Object(members)
            }
            Value::List(list) => {
                let kind = field.kind();
                let mut shown = Vec::new();
                let mut announced = false;
                for value in list {
                    if self.left == 0 {
                        shown.push(MORE.into());
                        break;
                    }
                    let announces = !self.show && value.as_str().is_some_and(announces_secret);
                    let known = match known {
                        Known::Nothing => Known::secret_if(announced && !announces),
                        known => known,
                    };
                    shown.push(self.single(&kind, value, known, depth));
                    announced = announces;
                }
                Json::Array(shown)
            }
            one => self.single(&field.kind(), one, known, depth),
        }
    }

    /// The key of a map's entry as a name, and whether it is that of a secret.
    fn key(&self, key: &MapKey) -> (String, bool) {
        match key {
            MapKey::String(key) => {
                let shown = if self.show {
                    key.into()
                } else {
                    mask_text(key)
                };
                let secret = !self.show && is_secret_attribute(key);
                (text::cut(&shown).into_owned(), secret)
            }
            MapKey::Bool(key) => (key.to_string(), false),
            MapKey::I32(key) => (key.to_string(), false),
            MapKey::I64(key) => (key.to_string(), false),
            MapKey::U32(key) => (key.to_string(), false),
            MapKey::U64(key) => (key.to_string(), false),
        }
    }

    /// One value that is neither a list nor a map.
    fn single(&mut self, kind: &Kind, value: &Value, known: Known, depth: usize) -> Json {
        let Some(left) = self.left.checked_sub(1) else {
            return MORE.into();
        };
        self.left = left;
        match (value, known) {
            (Value::String(text), Known::Secret) if !text.is_empty() => masked(text.len()).into(),
            (Value::Bytes(bytes), Known::Secret) if !bytes.is_empty() => masked(bytes.len()).into(),
            (Value::Message(message), Known::Secret) => {
                masked(prost::Message::encoded_len(message)).into()
            }
            (Value::Bytes(bytes), Known::Contents) => json!({ "bytes": bytes.len() }),
            (Value::String(text), _) => text::text(text, self.show),
            (Value::Bytes(bytes), _) => text::bytes(bytes, self.show),
            (Value::Message(message), _) => self.message(message, depth),
            (Value::Bool(value), _) => (*value).into(),
            (Value::I32(value), _) => (*value).into(),
            (Value::I64(value), _) => (*value).into(),
            (Value::U32(value), _) => (*value).into(),
            (Value::U64(value), _) => (*value).into(),
            (Value::F32(value), _) => float(f64::from(*value)),
            (Value::F64(value), _) => float(*value),
            (Value::EnumNumber(number), _) => match kind {
                Kind::Enum(names) => enum_name(names, *number),
                _ => (*number).into(),
            },
            // Not within each other: prost-reflect has them as the value of a field only.
            (Value::List(_) | Value::Map(_), _) => MORE.into(),
        }
    }
}

/// The name of an enum's value, or its number if it has none.
fn enum_name(names: &EnumDescriptor, number: i32) -> Json {
    match names.get_value(number) {
        Some(value) => value.name().into(),
        None => number.into(),
    }
}

/// A moment in RFC 3339, if that can write it.
pub(super) fn timestamp(time: &Timestamp) -> Option<String> {
    let sane = YEARS.contains(&time.seconds) && (0..1_000_000_000).contains(&time.nanos);
    sane.then(|| time.to_string())
}

/// The value of a field that is not there, for one of the [`TELLING`].
fn telling_default(field: &FieldDescriptor) -> Option<Json> {
    let Kind::Enum(names) = field.kind() else {
        return None;
    };
    let telling = TELLING.contains(&field.name()) && !field.is_list();
    (telling && !field.supports_presence()).then(|| enum_name(&names, 0))
}

/// Numbers that JSON has, or their names.
fn float(value: f64) -> Json {
    match serde_json::Number::from_f64(value) {
        Some(number) => Json::Number(number),
        None => value.to_string().into(),
    }
}

/// Whether a message is a name and a value, and the name is that of a secret: an attribute of a
/// span, a constraint of a policy.
fn has_secret_key(message: &DynamicMessage) -> bool {
    let name = |field| {
        let name = message.get_field_by_name(field)?;
        Some(is_secret_name(name.as_str()?))
    };
    name("key").or_else(|| name("name")) == Some(true)
}

/// Whether a field called `key` is one of text, and so rather the name of something.
fn is_word_key(field: &FieldDescriptor) -> bool {
    field.name() == "key" && field.kind() == Kind::String
}

/// Whether a field has the identifier of a trace or of a span, which people write in hexadecimal.
pub(super) fn is_span_id(message: &str, field: &FieldDescriptor) -> bool {
    message.starts_with("opentelemetry.") && field.name().ends_with("_id")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether `message` is a `Packet` with an error's text in the place of contents.
fn is_error_packet(message: &DynamicMessage) -> bool {
    const PACKET_ERR: i32 = 4;
    message.descriptor().full_name() == "fsutil.types.Packet"
        && message
            .get_field_by_number(1)
            .and_then(|kind| kind.as_enum_number())
            == Some(PACKET_ERR)
}

fn compare(a: &MapKey, b: &MapKey) -> std::cmp::Ordering {
    match (a, b) {
        (MapKey::String(a), MapKey::String(b)) => a.cmp(b),
        (MapKey::Bool(a), MapKey::Bool(b)) => a.cmp(b),
        (MapKey::I32(a), MapKey::I32(b)) => a.cmp(b),
        (MapKey::I64(a), MapKey::I64(b)) => a.cmp(b),
        (MapKey::U32(a), MapKey::U32(b)) => a.cmp(b),
        (MapKey::U64(a), MapKey::U64(b)) => a.cmp(b),
        // All keys of a map have one type.
        _ => std::cmp::Ordering::Equal,
    }
}
