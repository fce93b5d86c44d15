//! The encoding of protobuf messages, without their schemas.
//!
//! Three ways through a message: [`fields`] over one that is there as a whole, copying
//! nothing; [`Walker`] over one that arrives in chunks and is not kept; [`render_raw`] for
//! people, as a tree with guesses at what is nested. What the fields mean is not known here.
//!
//! The format is that of <https://protobuf.dev/programming-guides/encoding/>. Groups, which
//! no message of BuildKit has, are skipped correctly and otherwise left alone.

mod raw;
#[cfg(test)]
mod tests;
mod walker;

use std::fmt;
use std::iter::FusedIterator;
use std::ops::Range;

pub(crate) use raw::{Guess, guess};
pub use raw::{RawField, RawLimits, RawMessage, RawRest, RawValue, render_raw};
pub use walker::{Piece, Walker};

/// How many groups may be open within each other.
pub const MAX_GROUP_DEPTH: usize = 32;

/// The greatest field number.
pub const MAX_FIELD_NUMBER: u32 = (1 << 29) - 1;

/// The most octets a varint has.
const MAX_VARINT: usize = 10;

/// Octets that are not a protobuf message, or not all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// Where the field in question begins, or would have to: octets from the beginning of
    /// the message. Within a group it is the innermost field.
    pub at: u64,
    /// What is wrong with it.
    pub why: Why,
}

/// What is wrong with a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The message ends before it does.
    Truncated,
    /// A varint has more than 64 bits.
    Varint,
    /// Its number is 0, or more than [`MAX_FIELD_NUMBER`].
    Number,
    /// Its wire type is one of the two that are not in use.
    WireType(u8),
    /// It ends a group that is not the open one.
    EndGroup,
    /// It begins one group more than [`MAX_GROUP_DEPTH`].
    TooDeep,
}

impl std::error::Error for Malformed {}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.at;
        match self.why {
            Why::Truncated => write!(f, "the message ends within the field at offset {at}"),
            Why::Varint => write!(f, "the field at offset {at} has a number of over 64 bits"),
            Why::Number => write!(f, "the field at offset {at} has an impossible number"),
            Why::WireType(wire_type) => {
                write!(f, "the field at offset {at} has wire type {wire_type}")
            }
            Why::EndGroup => write!(f, "the field at offset {at} ends a group that is not open"),
            Why::TooDeep => write!(
                f,
                "the field at offset {at} begins a group within {MAX_GROUP_DEPTH} others"
            ),
        }
    }
}

/// One field of a message that is there as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// Its number: 1 to [`MAX_FIELD_NUMBER`].
    pub number: u32,
    /// What it holds.
    pub value: Value<'a>,
    /// Where all of it stands in the message, its tag included.
    pub at: Range<usize>,
}

/// What a field holds, as far as the wire type tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// int32, int64, uint32, uint64, sint32, sint64, bool or an enum.
    Varint(u64),
    /// fixed64, sfixed64 or double.
    Fixed64(u64),
    /// string, bytes, a message, or repeated numbers.
    Len(&'a [u8]),
    /// The fields of a group, between its two tags.
    Group(&'a [u8]),
    /// fixed32, sfixed32 or float.
    Fixed32(u32),
}

/// The fields of `message`, in the order in which they stand there.
pub fn fields(message: &[u8]) -> Fields<'_> {
    Fields {
        cursor: Cursor { message, at: 0 },
        failed: false,
    }
}

/// See [`fields`]. After an error there is nothing more.
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    cursor: Cursor<'a>,
    failed: bool,
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed || self.cursor.at >= self.cursor.message.len() {
            return None;
        }
        let field = self.cursor.field();
        self.failed = field.is_err();
        Some(field)
    }
}

impl FusedIterator for Fields<'_> {}

/// The wire type of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WireType {
    Varint,
    Fixed64,
    Len,
    StartGroup,
    EndGroup,
    Fixed32,
}

/// Takes a tag apart.
fn split_tag(tag: u64) -> Result<(u32, WireType), Why> {
    let number = u32::try_from(tag >> 3)
        .ok()
        .filter(|number| (1..=MAX_FIELD_NUMBER).contains(number))
        .ok_or(Why::Number)?;
    let wire_type = match tag & 7 {
        0 => WireType::Varint,
        1 => WireType::Fixed64,
        2 => WireType::Len,
        3 => WireType::StartGroup,
        4 => WireType::EndGroup,
        5 => WireType::Fixed32,
        other => return Err(Why::WireType(other as u8)),
    };
    Ok((number, wire_type))
}

/// The groups that are open: their field numbers, outermost first.
#[derive(Clone, Debug, Default)]
struct Groups {
    numbers: [u32; MAX_GROUP_DEPTH],
    open: usize,
}

impl Groups {
    /// One open group.
    fn of(number: u32) -> Self {
        let mut groups = Groups::default();
        if let Some(first) = groups.numbers.first_mut() {
            *first = number;
            groups.open = 1;
        }
        groups
    }

    fn is_empty(&self) -> bool {
        self.open == 0
    }

    fn start(&mut self, number: u32) -> Result<(), Why> {
        *self.numbers.get_mut(self.open).ok_or(Why::TooDeep)? = number;
        self.open = self.open.saturating_add(1);
        Ok(())
    }

    fn end(&mut self, number: u32) -> Result<(), Why> {
        let innermost = self.open.checked_sub(1).ok_or(Why::EndGroup)?;
        if self.numbers.get(innermost) != Some(&number) {
            return Err(Why::EndGroup);
        }
        self.open = innermost;
        Ok(())
    }
}

/// A varint of which the last octets may not have come yet.
#[derive(Clone, Copy, Debug, Default)]
struct PartialVarint {
    value: u64,
    octets: usize,
}

impl PartialVarint {
    fn is_empty(self) -> bool {
        self.octets == 0
    }

    /// Takes octets from the front of `input` until the number is complete; `None` while it
    /// is not. Whether octets are missing shows at the end of the message only.
    #[inline]
    fn take(&mut self, input: &mut &[u8]) -> Result<Option<u64>, Why> {
        while let Some((&octet, rest)) = input.split_first() {
            // Of the last one only one bit is left.
            if self.octets >= MAX_VARINT || (self.octets == MAX_VARINT - 1 && octet > 1) {
                return Err(Why::Varint);
            }
            *input = rest;
            let shift = self.octets.saturating_mul(7) as u32;
            self.value |= u64::from(octet & 0x7f).wrapping_shl(shift);
            self.octets = self.octets.saturating_add(1);
            if octet & 0x80 == 0 {
                return Ok(Some(self.value));
            }
        }
        Ok(None)
    }
}

/// A message and how far it has been read.
#[derive(Clone, Debug)]
struct Cursor<'a> {
    message: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    /// The next field; there are octets left.
    fn field(&mut self) -> Result<Field<'a>, Malformed> {
        let start = self.at;
        let malformed = |why| Malformed {
            at: start as u64,
            why,
        };
        let (number, wire_type) = self.tag().map_err(malformed)?;
        let value = match wire_type {
            WireType::Varint => Value::Varint(self.varint().map_err(malformed)?),
            WireType::Fixed64 => {
                Value::Fixed64(u64::from_le_bytes(self.fixed().map_err(malformed)?))
            }
            WireType::Len => Value::Len(self.len().map_err(malformed)?),
            WireType::StartGroup => Value::Group(self.group(number)?),
            WireType::EndGroup => return Err(malformed(Why::EndGroup)),
            WireType::Fixed32 => {
                Value::Fixed32(u32::from_le_bytes(self.fixed().map_err(malformed)?))
            }
        };
        let at = start..self.at;
        Ok(Field { number, value, at })
    }

    fn rest(&self) -> &'a [u8] {
        self.message.get(self.at..).unwrap_or_default()
    }

    fn varint(&mut self) -> Result<u64, Why> {
        let mut rest = self.rest();
        let before = rest.len();
        let value = PartialVarint::default().take(&mut rest)?;
        let read = before.saturating_sub(rest.len());
        self.at = self.at.saturating_add(read);
        value.ok_or(Why::Truncated)
    }

    fn tag(&mut self) -> Result<(u32, WireType), Why> {
        split_tag(self.varint()?)
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], Why> {
        let octets = self.rest().first_chunk().ok_or(Why::Truncated)?;
        self.at = self.at.saturating_add(N);
        Ok(*octets)
    }

    fn len(&mut self) -> Result<&'a [u8], Why> {
        let len = usize::try_from(self.varint()?).map_err(|_| Why::Truncated)?;
        let octets = self.rest().get(..len).ok_or(Why::Truncated)?;
        self.at = self.at.saturating_add(len);
        Ok(octets)
    }

    /// What is between the tag of group `number`, which has been read, and its end.
    fn group(&mut self, number: u32) -> Result<&'a [u8], Malformed> {
        let start = self.at;
        let mut end = start;
        let mut groups = Groups::of(number);
        while !groups.is_empty() {
            end = self.at;
            self.skip(&mut groups).map_err(|why| Malformed {
                at: end as u64,
                why,
            })?;
        }
        Ok(self.message.get(start..end).unwrap_or_default())
    }

    /// Skips one field within `groups`, or the tag that begins or ends one.
    fn skip(&mut self, groups: &mut Groups) -> Result<(), Why> {
        let (number, wire_type) = self.tag()?;
        match wire_type {
            WireType::Varint => self.varint().map(|_| ()),
            WireType::Fixed64 => self.fixed::<8>().map(|_| ()),
            WireType::Len => self.len().map(|_| ()),
            WireType::StartGroup => groups.start(number),
            WireType::EndGroup => groups.end(number),
            WireType::Fixed32 => self.fixed::<4>().map(|_| ()),
        }
    }
}
