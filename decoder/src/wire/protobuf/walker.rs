//! A message in chunks.

use super::{Groups, Malformed, PartialVarint, Why, WireType, split_tag};

/// Walks through one protobuf message given in arbitrary chunks.
///
/// It keeps no octets of any value except a number that is split, and allocates nothing; what
/// it costs depends on the number of fields and chunks, not on the size of the fields. The
/// pieces are the same for every split, except that the contents of a field come in as many
/// [`Piece::LenBytes`] as there are chunks with a part of it.
///
/// Groups and what is in them are checked and skipped.
#[derive(Clone, Debug, Default)]
pub struct Walker {
    state: State,
    /// How many octets have been taken.
    at: u64,
    /// Where the current field begins.
    field_at: u64,
    groups: Groups,
    failed: Option<Malformed>,
}

/// What a [`Walker`] comes across.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// A field of wire type VARINT.
    Varint {
        /// The field's number.
        number: u32,
        /// What it holds.
        value: u64,
    },
    /// A field of wire type I64.
    Fixed64 {
        /// The field's number.
        number: u32,
        /// What it holds.
        value: u64,
    },
    /// A field of wire type I32.
    Fixed32 {
        /// The field's number.
        number: u32,
        /// What it holds.
        value: u32,
    },
    /// A field of wire type LEN begins. Its contents follow, which are not here yet.
    LenStart {
        /// The field's number.
        number: u32,
        /// The length of the contents in octets, as announced; any number.
        len: u64,
    },
    /// The next octets of the field that has begun. A field without contents has one empty
    /// piece, the last; otherwise none is empty.
    LenBytes {
        /// The field's number.
        number: u32,
        /// The octets.
        bytes: &'a [u8],
        /// The field ends with them.
        last: bool,
    },
}

/// What the next octet belongs to.
#[derive(Clone, Copy, Debug)]
enum State {
    Tag(PartialVarint),
    Varint {
        number: u32,
        value: PartialVarint,
    },
    Fixed {
        number: u32,
        /// 4 or 8.
        width: usize,
        octets: [u8; 8],
        filled: usize,
    },
    Length {
        number: u32,
        len: PartialVarint,
    },
    /// The contents of a field; `left` is never 0.
    Len {
        number: u32,
        left: u64,
    },
}

impl Default for State {
    fn default() -> Self {
        State::Tag(PartialVarint::default())
    }
}

impl Walker {
    /// At the beginning of a message.
    pub fn new() -> Self {
        Walker::default()
    }

    /// How many octets of the message have been taken.
    pub fn at(&self) -> u64 {
        self.at
    }

    /// Takes the next octets of the message, and calls `each` for what is in them. An error
    /// is final: later calls repeat it.
    pub fn feed(
        &mut self,
        chunk: &[u8],
        each: &mut impl FnMut(Piece<'_>),
    ) -> Result<(), Malformed> {
        if let Some(malformed) = self.failed {
            return Err(malformed);
        }
        let mut input = chunk;
        while !input.is_empty() {
            let before = input.len();
            if matches!(self.state, State::Tag(tag) if tag.is_empty()) {
                self.field_at = self.at;
            }
            let stepped = self.step(&mut input, each);
            let taken = before.saturating_sub(input.len());
            self.at = self.at.saturating_add(taken as u64);
            if let Err(why) = stepped {
                let malformed = Malformed {
                    at: self.field_at,
                    why,
                };
                self.failed = Some(malformed);
                return Err(malformed);
            }
        }
        Ok(())
    }

    /// The message is over: an error if it ended within a field.
    pub fn finish(&self) -> Result<(), Malformed> {
        if let Some(malformed) = self.failed {
            return Err(malformed);
        }
        let between_fields = matches!(self.state, State::Tag(tag) if tag.is_empty());
        if between_fields && self.groups.is_empty() {
            return Ok(());
        }
        Err(Malformed {
            at: if between_fields {
                self.at
            } else {
                self.field_at
            },
            why: Why::Truncated,
        })
    }

    /// Takes octets of one kind from the front of `input`, which is not empty.
    #[inline]
    fn step(&mut self, input: &mut &[u8], each: &mut impl FnMut(Piece<'_>)) -> Result<(), Why> {
        let mut emit = {
            let shown = self.groups.is_empty();
            move |piece: Piece<'_>| {
                if shown {
                    each(piece);
                }
            }
        };
        let done = State::default();
        self.state = match self.state {
            State::Tag(mut tag) => match tag.take(input)? {
                None => State::Tag(tag),
                Some(tag) => {
                    let (number, wire_type) = split_tag(tag)?;
                    self.begin(number, wire_type)?
                }
            },
            State::Varint { number, mut value } => match value.take(input)? {
                None => State::Varint { number, value },
                Some(value) => {
                    emit(Piece::Varint { number, value });
                    done
                }
            },
            State::Fixed {
                number,
                width,
                mut octets,
                mut filled,
            } => {
                let missing = width.saturating_sub(filled).min(input.len());
                let (taken, rest) = input.split_at_checked(missing).unwrap_or_default();
                *input = rest;
                let end = filled.saturating_add(missing);
                if let Some(room) = octets.get_mut(filled..end) {
                    room.copy_from_slice(taken);
                }
                filled = end;
                if filled < width {
                    State::Fixed {
                        number,
                        width,
                        octets,
                        filled,
                    }
                } else {
                    let value = u64::from_le_bytes(octets);
                    emit(match u32::try_from(value) {
                        Ok(value) if width == 4 => Piece::Fixed32 { number, value },
                        _ => Piece::Fixed64 { number, value },
                    });
                    done
                }
            }
            State::Length { number, mut len } => match len.take(input)? {
                None => State::Length { number, len },
                Some(len) => {
                    emit(Piece::LenStart { number, len });
                    if len > 0 {
                        State::Len { number, left: len }
                    } else {
                        emit(Piece::LenBytes {
                            number,
                            bytes: &[],
                            last: true,
                        });
                        done
                    }
                }
            },
            State::Len { number, left } => {
                let len = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
                let (bytes, rest) = input.split_at_checked(len).unwrap_or_default();
                *input = rest;
                let left = left.saturating_sub(len as u64);
                let last = left == 0;
                emit(Piece::LenBytes {
                    number,
                    bytes,
                    last,
                });
                if last {
                    done
                } else {
                    State::Len { number, left }
                }
            }
        };
        Ok(())
    }

    /// What follows a tag.
    fn begin(&mut self, number: u32, wire_type: WireType) -> Result<State, Why> {
        let fixed = |width| State::Fixed {
            number,
            width,
            octets: [0; 8],
            filled: 0,
        };
        Ok(match wire_type {
            WireType::Varint => State::Varint {
                number,
                value: PartialVarint::default(),
            },
            WireType::Fixed64 => fixed(8),
            WireType::Fixed32 => fixed(4),
            WireType::Len => State::Length {
                number,
                len: PartialVarint::default(),
            },
            WireType::StartGroup => {
                self.groups.start(number)?;
                State::default()
            }
            WireType::EndGroup => {
                self.groups.end(number)?;
                State::default()
            }
        })
    }
}
