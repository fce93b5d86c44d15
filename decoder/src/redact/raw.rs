//! Messages without a schema: what can be guessed of secrets in them, as in `describe::raw`.

use std::ops::Range;

use prost::encoding::{WireType, decode_key, decode_varint};

use super::text::is_text;
use super::{Redactor, fill};
use crate::protocol::mask::{announces_secret, is_secret_attribute};
use crate::wire::protobuf::{self, Field, Malformed, Value, Why};

/// How many messages within each other are looked into, the outermost included.
const MAX_DEPTH: usize = 16;

/// A field of a message that can be written to.
pub(super) struct Slot {
    /// Its number.
    pub(super) number: u32,
    /// Where what it holds stands in the message: text, bytes or a message, a number, or what is
    /// within a group.
    pub(super) at: Range<usize>,
    pub(super) kind: SlotKind,
}

/// What a field holds, by its wire type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SlotKind {
    Varint(u64),
    Fixed,
    Len,
    /// The beginning of such a one.
    Open,
    Group,
}

impl SlotKind {
    /// Whether it is text, bytes or a message.
    pub(super) fn is_len(self) -> bool {
        matches!(self, SlotKind::Len | SlotKind::Open)
    }
}

/// The fields of a message up to what is none, and whether that is all of it. If it ends within
/// text, bytes or a message, what there is of that is the last field.
pub(super) fn slots(message: &[u8]) -> (Vec<Slot>, bool) {
    let mut slots = Vec::new();
    for field in protobuf::fields(message) {
        let Field { number, value, at } = match field {
            Ok(field) => field,
            Err(malformed) => {
                slots.extend(open(message, malformed));
                return (slots, false);
            }
        };
        let end = at.end;
        let back = |length: usize| end.saturating_sub(length)..end;
        let (at, kind) = match value {
            Value::Len(bytes) => (back(bytes.len()), SlotKind::Len),
            Value::Fixed64(_) => (back(8), SlotKind::Fixed),
            Value::Fixed32(_) => (back(4), SlotKind::Fixed),
            Value::Varint(value) => {
                let tag = tag_length(number);
                (at.start.saturating_add(tag)..end, SlotKind::Varint(value))
            }
            Value::Group(bytes) => {
                let start = at.start.saturating_add(tag_length(number));
                let end = start.saturating_add(bytes.len());
                (start..end, SlotKind::Group)
            }
        };
        slots.push(Slot { number, at, kind });
    }
    (slots, true)
}

/// The field within which a message ends.
fn open(message: &[u8], malformed: Malformed) -> Option<Slot> {
    let start = usize::try_from(malformed.at).ok()?;
    let mut rest = message.get(start..)?;
    let (number, wire_type) = decode_key(&mut rest).ok()?;
    let length = decode_varint(&mut rest).ok()?;
    let is_open = malformed.why == Why::Truncated
        && wire_type == WireType::LengthDelimited
        && length > rest.len() as u64;
    is_open.then(|| Slot {
        number,
        at: message.len().saturating_sub(rest.len())..message.len(),
        kind: SlotKind::Open,
    })
}

/// How long a tag is, written as short as it can be; a longer one only makes less be masked than
/// could be.
fn tag_length(number: u32) -> usize {
    prost::encoding::encoded_len_varint(u64::from(number) << 3)
}

/// Whether bytes are a message with something in it.
pub(super) fn is_message(bytes: &[u8]) -> bool {
    !bytes.is_empty() && protobuf::fields(bytes).all(|field| field.is_ok())
}

impl Redactor<'_> {
    /// A message whose fields are known by number only.
    pub(super) fn raw_message(&self, message: &mut [u8]) {
        self.raw_fields(message, MAX_DEPTH);
    }

    fn raw_fields(&self, message: &mut [u8], depth: usize) {
        let (slots, _) = slots(message);
        let Some(depth) = depth.checked_sub(1) else {
            return;
        };
        let text_of = |slot: &Slot, message: &[u8]| {
            let bytes = message.get(slot.at.clone())?;
            let text = std::str::from_utf8(bytes).ok()?;
            slot.kind.is_len().then(|| text.to_owned())
        };
        // A map's entry has the key in field 1 and the value in field 2.
        let secret = match slots.as_slice() {
            [key, value] if key.number == 1 && value.number == 2 => text_of(key, message)
                .is_some_and(|key| is_secret_attribute(&key) || announces_secret(&key)),
            _ => false,
        };
        // The number of a list whose last element announces the next.
        let mut announced = None;
        for slot in &slots {
            let text = text_of(slot, message);
            let announces = text.as_deref().is_some_and(announces_secret);
            let hidden = secret && slot.number == 2
                || announced == Some(slot.number) && text.is_some() && !announces;
            announced = announces.then_some(slot.number);
            let Some(bytes) = message.get_mut(slot.at.clone()) else {
                continue;
            };
            match slot.kind {
                SlotKind::Len | SlotKind::Open | SlotKind::Group if hidden => {
                    self.blank(bytes, slot.kind, depth);
                }
                SlotKind::Len => self.raw_value_in(bytes, depth),
                SlotKind::Open => {
                    self.raw_value_in(bytes, depth);
                    end_of_open(bytes);
                }
                SlotKind::Group => self.raw_fields(bytes, depth),
                SlotKind::Varint(_) | SlotKind::Fixed => {}
            }
        }
    }

    /// What no schema tells: text or base64, a message, nearly text, bytes.
    pub(super) fn raw_value(&self, bytes: &mut [u8]) {
        self.raw_value_in(bytes, MAX_DEPTH);
    }

    /// As [`protobuf::render_raw`] guesses.
    fn raw_value_in(&self, bytes: &mut [u8], depth: usize) {
        let plain = std::str::from_utf8(bytes).is_ok_and(|text| !text.contains(char::is_control));
        if !plain && is_message(bytes) {
            self.raw_fields(bytes, depth);
        } else if plain || is_text(bytes) {
            self.string(bytes);
        } else {
            self.patterns(bytes);
        }
    }

    /// Leaves nothing of a value but its length and, if it is a message, its form.
    pub(super) fn blank(&self, bytes: &mut [u8], kind: SlotKind, depth: usize) {
        let message = kind == SlotKind::Group
            || std::str::from_utf8(bytes).is_ok_and(|text| text.contains(char::is_control))
            || std::str::from_utf8(bytes).is_err();
        match depth.checked_sub(1) {
            Some(depth) if message && is_message(bytes) => self.blank_fields(bytes, depth),
            _ => {
                let all = 0..bytes.len();
                fill(bytes, all);
            }
        }
    }

    /// The same for each field of a message.
    pub(super) fn blank_fields(&self, message: &mut [u8], depth: usize) {
        let (slots, _) = slots(message);
        for slot in slots {
            let Some(bytes) = message.get_mut(slot.at) else {
                continue;
            };
            match slot.kind {
                SlotKind::Len | SlotKind::Open | SlotKind::Group => {
                    self.blank(bytes, slot.kind, depth);
                }
                SlotKind::Fixed => bytes.fill(0),
                SlotKind::Varint(_) => blank_varint(bytes),
            }
        }
    }
}

/// Masks the last word of a text that is cut: what would tell that it is secret may be missing.
pub(super) fn end_of_open(bytes: &mut [u8]) {
    const LONGEST: usize = 4096;
    if is_text(bytes) {
        let word = bytes.rsplit_mut(u8::is_ascii_whitespace).next();
        let word = word.unwrap_or_default();
        let start = word.len().saturating_sub(LONGEST);
        let end = word.len();
        fill(word, start..end);
    }
}

/// A 0 that is as long.
fn blank_varint(bytes: &mut [u8]) {
    bytes.fill(0x80);
    if let Some(last) = bytes.last_mut() {
        *last = 0;
    }
}

/// Where the patterns match in a message, kept to what its fields hold.
pub(super) fn masked_in_fields(message: &mut [u8], marks: &[Range<usize>], depth: usize) {
    if marks.is_empty() {
        return;
    }
    let (slots, _) = slots(message);
    for slot in slots.iter().filter(|slot| slot.kind.is_len()) {
        let inside: Vec<Range<usize>> = marks
            .iter()
            .map(|mark| {
                let start = mark.start.max(slot.at.start);
                let end = mark.end.min(slot.at.end);
                start.saturating_sub(slot.at.start)..end.saturating_sub(slot.at.start)
            })
            .filter(|mark| !mark.is_empty())
            .collect();
        let Some(bytes) = message.get_mut(slot.at.clone()) else {
            continue;
        };
        match depth.checked_sub(1) {
            Some(depth) if !is_text(bytes) && is_message(bytes) => {
                masked_in_fields(bytes, &inside, depth);
            }
            _ => inside.into_iter().for_each(|mark| fill(bytes, mark)),
        }
    }
}
