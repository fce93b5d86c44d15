//! The dynamic table (RFC 7541, sections 2.3.2 and 4).
//!
//! The text of all entries stands in one buffer, in the order of their insertion, so that
//! inserting allocates nothing once the buffer has grown. Evicted text stays at its front
//! until there is more of it than of the rest.

use std::collections::VecDeque;

/// What an entry counts beyond its text (RFC 7541, section 4.1).
pub(super) const ENTRY_OVERHEAD: usize = 32;

/// The most that the entries of a table may come to, whatever size was agreed on.
pub const MAX_TABLE_BYTES: usize = 1 << 20;

/// There would be more in the table than [`MAX_TABLE_BYTES`].
#[derive(Debug)]
pub(super) struct Outgrown;

#[derive(Debug)]
struct Entry {
    /// Where the name begins, counted from the first octet ever inserted.
    at: u64,
    name: usize,
    value: usize,
}

impl Entry {
    fn text(&self) -> usize {
        self.name.saturating_add(self.value)
    }

    fn size(&self) -> usize {
        self.text().saturating_add(ENTRY_OVERHEAD)
    }
}

/// The dynamic table of one direction.
#[derive(Debug)]
pub(super) struct DynamicTable {
    /// Oldest first.
    entries: VecDeque<Entry>,
    text: Vec<u8>,
    /// How many octets have gone from the front of `text`.
    gone: u64,
    /// The sum of the sizes of all entries.
    size: usize,
    max_size: usize,
}

impl DynamicTable {
    pub(super) fn new(max_size: usize) -> Self {
        DynamicTable {
            entries: VecDeque::new(),
            text: Vec::new(),
            gone: 0,
            size: 0,
            max_size,
        }
    }

    /// How many entries there are.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// What the entries come to, each with [`ENTRY_OVERHEAD`].
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// What the entries may come to.
    pub(super) fn max_size(&self) -> usize {
        self.max_size
    }

    /// The `nth` newest entry, counted from 0.
    pub(super) fn get(&self, nth: usize) -> Option<(&[u8], &[u8])> {
        let from_oldest = self.entries.len().checked_sub(1)?.checked_sub(nth)?;
        let entry = self.entries.get(from_oldest)?;
        let at = usize::try_from(entry.at.checked_sub(self.gone)?).ok()?;
        let text = self.text.get(at..at.checked_add(entry.text())?)?;
        text.split_at_checked(entry.name)
    }

    /// A size update: evicts what no longer fits.
    pub(super) fn set_max_size(&mut self, max_size: usize) {
        self.max_size = max_size;
        self.evict(max_size);
    }

    /// Adds an entry, evicting the oldest ones to make room. One that would not fit into the
    /// empty table leaves it empty (RFC 7541, section 4.4).
    pub(super) fn insert(&mut self, name: &[u8], value: &[u8]) -> Result<(), Outgrown> {
        let end = self.gone.saturating_add(self.text.len() as u64);
        let entry = Entry {
            at: end,
            name: name.len(),
            value: value.len(),
        };
        let Some(room) = self.max_size.checked_sub(entry.size()) else {
            self.evict(0);
            return Ok(());
        };
        self.evict(room);
        let size = self.size.saturating_add(entry.size());
        if size > MAX_TABLE_BYTES {
            return Err(Outgrown);
        }
        self.size = size;
        self.entries.push_back(entry);
        self.text.extend_from_slice(name);
        self.text.extend_from_slice(value);
        Ok(())
    }

    /// Removes the oldest entries until the rest comes to `size` at most.
    fn evict(&mut self, size: usize) {
        while self.size > size {
            let Some(entry) = self.entries.pop_front() else {
                break;
            };
            self.size = self.size.saturating_sub(entry.size());
        }
        self.compact();
    }

    /// Drops evicted text, once that moves less than it frees.
    fn compact(&mut self) {
        let evicted = match self.entries.front() {
            Some(oldest) => usize::try_from(oldest.at.saturating_sub(self.gone)),
            None => Ok(self.text.len()),
        };
        let evicted = evicted.unwrap_or(0).min(self.text.len());
        if evicted > self.text.len() / 2 {
            self.text.drain(..evicted);
            self.gone = self.gone.saturating_add(evicted as u64);
        }
    }
}
