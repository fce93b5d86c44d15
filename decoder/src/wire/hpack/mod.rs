//! Header blocks of HTTP/2 (HPACK, RFC 7541), decoded by a bystander.
//!
//! Here is what turns a complete header block into its fields, and the Huffman code. Not
//! here: how a block is put together from HEADERS, PUSH_PROMISE and CONTINUATION frames, and
//! what the fields mean.
//!
//! A decoder at the end of a connection refuses what the specification forbids. This one
//! stands beside it: what can be understood is decoded, and what is wrong with it is noted
//! ([`Warnings`]). Only what leaves the meaning of later octets open is an [`Error`].

mod codes;
mod dynamic_table;
pub mod huffman;
mod input;
mod static_table;

use std::fmt;
use std::ops::Range;

use dynamic_table::{DynamicTable, ENTRY_OVERHEAD};
use input::{Input, Text};

pub use dynamic_table::MAX_TABLE_BYTES;

/// The most that the fields of one block may come to, each counted with its name, its value
/// and 32 octets, as for SETTINGS_MAX_HEADER_LIST_SIZE (RFC 9113, section 6.5.2). Without
/// such a limit one octet could stand for a field of a megabyte, again and again.
pub const MAX_FIELD_BYTES: usize = 16 << 20;

/// How much room for decoded strings is kept from one block to the next.
const KEPT_SCRATCH: usize = 64 << 10;

/// Decodes the header blocks of one direction of one connection, in their order.
#[derive(Debug)]
pub struct Decoder {
    table: DynamicTable,
    /// The protocol's limit for the size of the table.
    limit: usize,
    /// The limit was set below the size in use: the encoder has to follow, to this at most.
    owed: Option<usize>,
    poisoned: bool,
    warnings: Warnings,
    /// Decoded strings of the current field.
    scratch: Vec<u8>,
}

/// One field of a header block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// The name, pseudo-header fields with their colon. Any octets.
    pub name: &'a [u8],
    /// The value. Any octets.
    pub value: &'a [u8],
    /// The encoder asks everybody never to put this field in a table (RFC 7541, section
    /// 7.1.3): it is likely a secret.
    pub never_indexed: bool,
    /// Where the value stands in the block; `None` if it came from a table.
    pub value_literal: Option<Literal>,
    /// Where the name stands in the block; `None` if it came from a table.
    pub name_literal: Option<Literal>,
}

/// Where a string stands in a header block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Literal {
    /// Its octets as they are in the block, without the length before them.
    pub range: Range<usize>,
    /// They are Huffman-coded.
    pub huffman: bool,
}

impl Literal {
    /// Overwrites the string in `block`, so that the block stays one that can be decoded, with
    /// all lengths, encoded and decoded, as they were. `block` is the one that was decoded.
    pub fn mask(&self, block: &mut [u8]) {
        let Some(octets) = block.get_mut(self.range.clone()) else {
            return;
        };
        if !self.huffman {
            octets.fill(b'*');
        } else if huffman::mask(octets).is_err() {
            // Not the block that was decoded. Better a broken one than a legible one.
            octets.fill(b'*');
        }
    }
}

/// Why a header block could not be decoded. Offsets count octets from its beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The block ends within a field.
    #[error("the header block ends after {at} octets, in the middle of {what}")]
    Truncated {
        /// The length of the block.
        at: usize,
        /// What is incomplete.
        what: &'static str,
    },
    /// An integer does not fit into 32 bits, or is written as if it did not.
    #[error("{what} at offset {at} of the header block is a number of more than 32 bits")]
    IntegerOverflow {
        /// Where the integer begins.
        at: usize,
        /// What it stands for.
        what: &'static str,
    },
    /// A field refers to a table entry that there is not.
    #[error(
        "the header block refers at offset {at} to table entry {index}, but the last one is \
         {last}: the tap may have missed earlier header blocks of this connection"
    )]
    InvalidIndex {
        /// Where the field begins.
        at: usize,
        /// The index, static table included; 0 is never valid.
        index: usize,
        /// The greatest valid one at this point.
        last: usize,
    },
    /// A string is not what the Huffman code can give.
    #[error("{what} at offset {at} of the header block is not valid Huffman code: {source}")]
    Huffman {
        /// Where the encoded string begins.
        at: usize,
        /// What it stands for.
        what: &'static str,
        /// What is wrong with it.
        source: huffman::Error,
    },
    /// The fields come to more than [`MAX_FIELD_BYTES`].
    #[error(
        "the fields of the header block come to more than {MAX_FIELD_BYTES} octets at offset \
         {at}, which is the most that is decoded"
    )]
    TooLarge {
        /// Where the first field beyond the limit begins.
        at: usize,
    },
    /// The dynamic table grows beyond [`MAX_TABLE_BYTES`], as the two sides agreed it may.
    #[error(
        "the dynamic table grows beyond {MAX_TABLE_BYTES} octets at offset {at} of the header \
         block, which is the most that is kept"
    )]
    Unsupported {
        /// Where the field begins that was to be added.
        at: usize,
    },
    /// An earlier block could not be decoded.
    #[error(
        "an earlier header block of this direction could not be decoded, and later ones build \
         upon it: header fields will be legible again on a new connection"
    )]
    Poisoned,
}

/// How often an encoder broke a rule that a bystander can overlook.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Warnings {
    /// It set the table's size above the limit of SETTINGS_HEADER_TABLE_SIZE (RFC 7541,
    /// section 6.3).
    pub size_update_above_limit: u64,
    /// It set the table's size after the first field of a block (RFC 7541, section 4.2).
    pub size_update_in_mid_block: u64,
    /// It did not set the table's size although the limit had gone below it (RFC 7541,
    /// section 4.2).
    pub size_update_missing: u64,
}

impl Warnings {
    /// No rule was broken.
    pub fn is_empty(&self) -> bool {
        *self == Warnings::default()
    }
}

impl fmt::Display for Warnings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sentences = [
            (
                self.size_update_above_limit,
                "sets the size of the dynamic table above SETTINGS_HEADER_TABLE_SIZE",
            ),
            (
                self.size_update_in_mid_block,
                "sets the size of the dynamic table in the middle of a header block",
            ),
            (
                self.size_update_missing,
                "ignores that SETTINGS_HEADER_TABLE_SIZE went below the table's size",
            ),
        ];
        let mut separator = "";
        for (times, sentence) in sentences {
            if times > 0 {
                write!(f, "{separator}{sentence}")?;
                separator = ", ";
            }
            if times > 1 {
                write!(f, " ({times} times)")?;
            }
        }
        Ok(())
    }
}

impl Decoder {
    /// A decoder with an empty table of at most `max_table_size` octets. Every HTTP/2
    /// connection begins with 4096 (RFC 9113, section 6.5.2).
    pub fn new(max_table_size: usize) -> Self {
        Decoder {
            table: DynamicTable::new(max_table_size),
            limit: max_table_size,
            owed: None,
            poisoned: false,
            warnings: Warnings::default(),
            scratch: Vec::new(),
        }
    }

    /// The side that receives these blocks has set SETTINGS_HEADER_TABLE_SIZE to `n`. To be
    /// called when the sending side acknowledges that.
    ///
    /// The table stays as it is: it follows what the encoder says in the next block.
    pub fn set_max_table_size(&mut self, n: usize) {
        self.limit = n;
        if n < self.table.max_size() {
            self.owed = Some(self.owed.map_or(n, |owed| owed.min(n)));
        }
    }

    /// Decodes one complete header block and calls `each` for every field, in their order.
    ///
    /// On an error the table is no longer what the encoder takes it for, so that this and
    /// every later call fails; the fields before it were handed out, and were right.
    pub fn decode(&mut self, block: &[u8], mut each: impl FnMut(Field<'_>)) -> Result<(), Error> {
        if self.poisoned {
            return Err(Error::Poisoned);
        }
        // Also when `each` does not come back.
        self.poisoned = true;
        self.decode_block(block, &mut each)?;
        self.poisoned = false;
        Ok(())
    }

    /// Whether the table is known to be wrong.
    pub fn is_poisoned(&self) -> bool {
        self.poisoned
    }

    /// Octets of this direction were lost: no later block can be relied upon.
    pub fn poison(&mut self) {
        self.poisoned = true;
    }

    /// What the entries of the dynamic table come to, each with 32 octets on top.
    pub fn table_size(&self) -> usize {
        self.table.size()
    }

    /// How many entries the dynamic table has.
    pub fn table_len(&self) -> usize {
        self.table.len()
    }

    /// What the encoder has last set the size of the dynamic table to.
    pub fn table_max_size(&self) -> usize {
        self.table.max_size()
    }

    /// The rules broken since this was last asked.
    pub fn take_warnings(&mut self) -> Warnings {
        std::mem::take(&mut self.warnings)
    }

    fn decode_block(
        &mut self,
        block: &[u8],
        each: &mut impl FnMut(Field<'_>),
    ) -> Result<(), Error> {
        let mut input = Input::new(block);
        let mut budget = MAX_FIELD_BYTES;
        let mut fields = false;
        while let Some(octet) = input.peek() {
            // RFC 7541, section 6: the first bits tell what it is.
            if octet & 0b1110_0000 == 0b0010_0000 {
                self.size_update(&mut input, fields)?;
                continue;
            }
            if !fields && self.owed.take().is_some() {
                count(&mut self.warnings.size_update_missing);
            }
            fields = true;
            if octet & 0b1000_0000 != 0 {
                self.indexed(&mut input, &mut budget, each)?;
            } else if octet & 0b0100_0000 != 0 {
                self.literal(&mut input, 6, Indexing::Incremental, &mut budget, each)?;
            } else if octet & 0b0001_0000 != 0 {
                self.literal(&mut input, 4, Indexing::Never, &mut budget, each)?;
            } else {
                self.literal(&mut input, 4, Indexing::Without, &mut budget, each)?;
            }
        }
        self.scratch.clear();
        self.scratch.shrink_to(KEPT_SCRATCH);
        Ok(())
    }

    /// Section 6.3.
    fn size_update(&mut self, input: &mut Input<'_>, in_mid_block: bool) -> Result<(), Error> {
        let size = input.integer(5, "a table size")?;
        if in_mid_block {
            count(&mut self.warnings.size_update_in_mid_block);
        }
        if size > self.limit {
            count(&mut self.warnings.size_update_above_limit);
        }
        self.owed = self.owed.filter(|&owed| size > owed);
        self.table.set_max_size(size);
        Ok(())
    }

    /// Section 6.1.
    fn indexed(
        &mut self,
        input: &mut Input<'_>,
        budget: &mut usize,
        each: &mut impl FnMut(Field<'_>),
    ) -> Result<(), Error> {
        let at = input.at();
        let index = input.integer(7, "a table index")?;
        let (name, value) = entry(&self.table, index, at)?;
        spend(budget, name, value, at)?;
        each(Field {
            name,
            value,
            never_indexed: false,
            value_literal: None,
            name_literal: None,
        });
        Ok(())
    }

    /// Section 6.2.
    fn literal(
        &mut self,
        input: &mut Input<'_>,
        prefix: u32,
        indexing: Indexing,
        budget: &mut usize,
        each: &mut impl FnMut(Field<'_>),
    ) -> Result<(), Error> {
        let at = input.at();
        self.scratch.clear();
        let index = input.integer(prefix, "a table index")?;
        let (name, name_literal) = if index == 0 {
            let (name, literal) = input.string(&mut self.scratch, "a field name")?;
            (name, Some(literal))
        } else {
            let (name, _) = entry(&self.table, index, at)?;
            // A copy, because adding to the table may evict the entry that it is from.
            self.scratch.extend_from_slice(name);
            (Text::Decoded(0..self.scratch.len()), None)
        };
        let (value, value_literal) = input.string(&mut self.scratch, "a field value")?;

        let name = name.get(&self.scratch);
        let value = value.get(&self.scratch);
        spend(budget, name, value, at)?;
        each(Field {
            name,
            value,
            never_indexed: indexing == Indexing::Never,
            value_literal: Some(value_literal),
            name_literal,
        });
        if indexing == Indexing::Incremental {
            self.table
                .insert(name, value)
                .map_err(|_| Error::Unsupported { at })?;
        }
        Ok(())
    }
}

/// What a literal field says about the tables.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Indexing {
    /// It is added to the dynamic table.
    Incremental,
    /// It is not.
    Without,
    /// It is not, and must never be.
    Never,
}

/// The entry with an `index` that stands `at` an offset of the block (section 2.3.3).
fn entry(table: &DynamicTable, index: usize, at: usize) -> Result<(&[u8], &[u8]), Error> {
    static_table::get(index)
        .or_else(|| table.get(index.checked_sub(static_table::LEN.saturating_add(1))?))
        .ok_or(Error::InvalidIndex {
            at,
            index,
            last: static_table::LEN.saturating_add(table.len()),
        })
}

/// Takes a field off what the block may still come to.
fn spend(budget: &mut usize, name: &[u8], value: &[u8], at: usize) -> Result<(), Error> {
    let size = name
        .len()
        .saturating_add(value.len())
        .saturating_add(ENTRY_OVERHEAD);
    *budget = budget.checked_sub(size).ok_or(Error::TooLarge { at })?;
    Ok(())
}

fn count(counter: &mut u64) {
    *counter = counter.saturating_add(1);
}
