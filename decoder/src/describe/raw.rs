//! Messages without a schema: fields by number, and what can be guessed of secrets in them.

use std::fmt::Write as _;

use serde_json::{Map, Value as Json};

use super::text;
use crate::protocol::mask::{announces_secret, is_secret_attribute, mask_text, masked};
use crate::wire::protobuf::{RawLimits, RawMessage, RawRest, RawValue, render_raw};

/// Strings are given whole, since a piece of a URL may have lost what tells its password.
const LIMITS: RawLimits = RawLimits {
    depth: 8,
    fields: 1024,
    bytes: usize::MAX,
};

/// How many characters of a string are shown in a line.
const MAX_TEXT: usize = 80;
/// How many bytes are shown in a line of what is no text.
const MAX_BYTES: usize = 16;

/// The fields as an object: number to value, or to a list of them.
pub(super) fn json(body: &[u8], show: bool) -> Json {
    message_json(&render_raw(body, &LIMITS), show)
}

/// The fields in one line: `1: "Dockerfile"  2: {1: 5}`. Safe for a terminal.
pub(super) fn line(body: &[u8], show: bool) -> String {
    let mut out = String::new();
    write_message(&mut out, &render_raw(body, &LIMITS), show);
    out
}

/// Which field of a message holds a secret: the value of a map's entry whose key is a secret's
/// name (a map's entry has the key in field 1 and the value in field 2).
fn secret_field(message: &RawMessage<'_>, show: bool) -> Option<u32> {
    let key = message.fields.first()?;
    let RawValue::Text { text, .. } = key.value else {
        return None;
    };
    let secret = !show
        && key.number == 1
        && message.fields.len() == 2
        && (is_secret_attribute(text) || announces_secret(text));
    secret.then_some(2)
}

/// The length of a field that is text or bytes.
fn len(value: &RawValue<'_>) -> Option<usize> {
    match value {
        RawValue::Text { len, .. } | RawValue::Bytes { len, .. } => Some(*len),
        _ => None,
    }
}

fn rest(message: &RawMessage<'_>) -> Option<String> {
    message.rest.map(|rest| match rest {
        RawRest::Malformed(malformed) => malformed.to_string(),
        RawRest::Limit => "…".to_owned(),
    })
}

fn message_json(message: &RawMessage<'_>, show: bool) -> Json {
    let secret = secret_field(message, show);
    let mut members = Map::new();
    for field in &message.fields {
        let value = match &field.value {
            value if secret == Some(field.number) => masked(len(value).unwrap_or_default()).into(),
            RawValue::Varint(value) | RawValue::Fixed64(value) => (*value).into(),
            RawValue::Fixed32(value) => (*value).into(),
            RawValue::Text { text, .. } => text::text(text, show),
            RawValue::Bytes { bytes, .. } => text::bytes(bytes, show),
            RawValue::Message(inner) | RawValue::Group(inner) => message_json(inner, show),
        };
        match members.get_mut(&field.number.to_string()) {
            None => _ = members.insert(field.number.to_string(), value),
            Some(Json::Array(list)) => list.push(value),
            Some(one) => *one = Json::Array(vec![one.take(), value]),
        }
    }
    if let Some(rest) = rest(message) {
        members.insert("_rest".to_owned(), rest.into());
    }
    Json::Object(members)
}

fn write_message(out: &mut String, message: &RawMessage<'_>, show: bool) {
    let secret = secret_field(message, show);
    let mut separator = "";
    for field in &message.fields {
        _ = write!(out, "{separator}{}: ", field.number);
        separator = "  ";
        match &field.value {
            value if secret == Some(field.number) => {
                out.push_str(&masked(len(value).unwrap_or_default()));
            }
            RawValue::Varint(value) => _ = write!(out, "{value}"),
            RawValue::Fixed64(value) => _ = write!(out, "0x{value:016x}"),
            RawValue::Fixed32(value) => _ = write!(out, "0x{value:08x}"),
            RawValue::Text { text, .. } => {
                let text = if show {
                    (*text).into()
                } else {
                    mask_text(text)
                };
                let short = super::line::short(&text, MAX_TEXT);
                _ = write!(out, "\"{}\"", short.escape_debug());
            }
            RawValue::Bytes { bytes, len } => {
                out.push('<');
                for byte in bytes.iter().take(MAX_BYTES) {
                    _ = write!(out, "{byte:02x}");
                }
                if bytes.len() > MAX_BYTES {
                    _ = write!(out, "…> ({len} bytes)");
                } else {
                    out.push('>');
                }
            }
            RawValue::Message(inner) => {
                out.push('{');
                write_message(out, inner, show);
                out.push('}');
            }
            RawValue::Group(inner) => {
                out.push_str("group {");
                write_message(out, inner, show);
                out.push('}');
            }
        }
    }
    if let Some(rest) = rest(message) {
        _ = write!(out, "{separator}({rest})");
    }
}
