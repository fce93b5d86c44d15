//! Messages without a schema, for people.

use std::fmt;

use super::{Fields, Malformed, Value, fields};

/// How much of a message [`render_raw`] shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawLimits {
    /// How many messages may stand within each other, the outermost included.
    pub depth: usize,
    /// How many fields there may be, on all levels together.
    pub fields: usize,
    /// How many octets are shown of every string or bytes.
    pub bytes: usize,
}

impl Default for RawLimits {
    /// Enough for a person.
    fn default() -> Self {
        RawLimits {
            depth: 8,
            fields: 256,
            bytes: 256,
        }
    }
}

/// A message as its fields, as far as it is one. `Display` gives one line of text, in which
/// whatever could disturb a terminal is escaped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RawMessage<'a> {
    /// The fields in their order.
    pub fields: Vec<RawField<'a>>,
    /// Why there are no more, if not because the message is over.
    pub rest: Option<RawRest>,
}

/// Why a [`RawMessage`] is incomplete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RawRest {
    /// What follows is not protobuf.
    Malformed(Malformed),
    /// One of the [`RawLimits`] was reached.
    Limit,
}

/// A field of a [`RawMessage`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawField<'a> {
    /// The field's number.
    pub number: u32,
    /// What it holds.
    pub value: RawValue<'a>,
}

/// What a field holds. Which kind of LEN it is, is a guess.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RawValue<'a> {
    /// Wire type VARINT.
    Varint(u64),
    /// Wire type I64.
    Fixed64(u64),
    /// Wire type I32.
    Fixed32(u32),
    /// Wire type LEN, and text.
    Text {
        /// The beginning of the text.
        text: &'a str,
        /// The length of all of it, in octets.
        len: usize,
    },
    /// Wire type LEN, and neither text nor a message.
    Bytes {
        /// The first octets.
        bytes: &'a [u8],
        /// The number of all of them.
        len: usize,
    },
    /// Wire type LEN, and a message.
    Message(RawMessage<'a>),
    /// A group.
    Group(RawMessage<'a>),
}

/// Renders `message` as a tree of its fields within `limits`.
///
/// A LEN field is taken for text if it is UTF-8 without control characters, otherwise for a
/// message if it is a valid one, otherwise for text if the only control characters are those
/// of text files, otherwise for bytes.
pub fn render_raw<'a>(message: &'a [u8], limits: &RawLimits) -> RawMessage<'a> {
    let mut left = limits.fields;
    render(message, limits, limits.depth, &mut left)
}

/// `left` is the number of fields that may still be added anywhere.
fn render<'a>(
    message: &'a [u8],
    limits: &RawLimits,
    depth: usize,
    left: &mut usize,
) -> RawMessage<'a> {
    let mut rendered = RawMessage::default();
    let Some(depth) = depth.checked_sub(1) else {
        rendered.rest = Some(RawRest::Limit);
        return rendered;
    };
    for field in fields(message) {
        let field = match field {
            Ok(field) => field,
            Err(malformed) => {
                rendered.rest = Some(RawRest::Malformed(malformed));
                break;
            }
        };
        let Some(fewer) = left.checked_sub(1) else {
            rendered.rest = Some(RawRest::Limit);
            break;
        };
        *left = fewer;
        let value = match field.value {
            Value::Varint(value) => RawValue::Varint(value),
            Value::Fixed64(value) => RawValue::Fixed64(value),
            Value::Fixed32(value) => RawValue::Fixed32(value),
            Value::Group(group) => RawValue::Group(render(group, limits, depth, left)),
            Value::Len(octets) => match guess(octets) {
                Guess::Text(text) => RawValue::Text {
                    text: beginning(text, limits.bytes),
                    len: text.len(),
                },
                Guess::Message => RawValue::Message(render(octets, limits, depth, left)),
                Guess::Bytes => RawValue::Bytes {
                    bytes: octets.get(..limits.bytes).unwrap_or(octets),
                    len: octets.len(),
                },
            },
        };
        rendered.fields.push(RawField {
            number: field.number,
            value,
        });
    }
    rendered
}

/// The first `len` octets of `text`, or a few less: whole characters.
fn beginning(text: &str, len: usize) -> &str {
    (0..=len.min(text.len()))
        .rev()
        .find_map(|len| text.get(..len))
        .unwrap_or_default()
}

/// What a LEN field without a schema is taken for.
pub(crate) enum Guess<'a> {
    Text(&'a str),
    Message,
    Bytes,
}

/// See [`render_raw`] for how it is guessed.
pub(crate) fn guess(octets: &[u8]) -> Guess<'_> {
    let text = str::from_utf8(octets).ok();
    if let Some(text) = text
        && !text.contains(char::is_control)
    {
        return Guess::Text(text);
    }
    if is_message(fields(octets)) {
        return Guess::Message;
    }
    let in_text_files = |c: char| !c.is_control() || matches!(c, '\n' | '\r' | '\t' | '\x1b');
    match text {
        Some(text) if text.chars().all(in_text_files) => Guess::Text(text),
        _ => Guess::Bytes,
    }
}

fn is_message(mut fields: Fields<'_>) -> bool {
    fields.all(|field| field.is_ok())
}

impl fmt::Display for RawMessage<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for field in &self.fields {
            write!(f, "{separator}{field}")?;
            separator = "  ";
        }
        match self.rest {
            Some(RawRest::Limit) => write!(f, "{separator}…"),
            Some(RawRest::Malformed(malformed)) => write!(f, "{separator}({malformed})"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for RawField<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.number, self.value)
    }
}

impl fmt::Display for RawValue<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RawValue::Varint(value) => write!(f, "{value}"),
            RawValue::Fixed64(value) => write!(f, "0x{value:016x}"),
            RawValue::Fixed32(value) => write!(f, "0x{value:08x}"),
            RawValue::Text { text, len } if text.len() < *len => {
                write!(f, "\"{}…\" ({len} bytes)", text.escape_debug())
            }
            RawValue::Text { text, .. } => write!(f, "\"{}\"", text.escape_debug()),
            RawValue::Bytes { bytes, len } => {
                f.write_str("<")?;
                for octet in *bytes {
                    write!(f, "{octet:02x}")?;
                }
                if bytes.len() < *len {
                    write!(f, "…> ({len} bytes)")
                } else {
                    f.write_str(">")
                }
            }
            RawValue::Message(message) => write!(f, "{{{message}}}"),
            RawValue::Group(group) => write!(f, "group {{{group}}}"),
        }
    }
}
