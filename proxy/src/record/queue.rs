//! Bytes on their way to the disk, in blocks that are used again.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::ops::Deref;

use buildtap_fixtures::capture::write::ALIGNMENT;

/// The length of a block, which is one of the file too: it begins and ends at multiples of this,
/// so that it need not go through the page cache.
const BLOCK: usize = 1024 * 1024;
/// Blocks that are written at a time: their memory is free again only then.
const BATCH: usize = 4;
/// Blocks that are kept for the next bytes.
const SPARES: usize = 8;

/// What was written to it and not yet written out.
#[derive(Debug, Default)]
pub(super) struct Queue {
    full: VecDeque<Block>,
    filling: Option<Block>,
    spares: Vec<Block>,
    waiting: usize,
    taken: usize,
    /// How much of the last block of the file is in blocks before `filling`.
    offset: usize,
}

/// Some of what was written, aligned in memory.
#[derive(Debug)]
pub(super) struct Block {
    memory: Vec<u8>,
    start: usize,
}

impl Queue {
    /// Bytes that nobody has taken.
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    /// Bytes in memory, those included that were taken and not given back.
    pub(super) fn len(&self) -> usize {
        self.waiting + self.taken
    }

    /// Moves the oldest bytes into `blocks`, which is empty. A block that is not full is taken when
    /// there is no other.
    pub(super) fn take(&mut self, blocks: &mut Vec<Block>) {
        let count = self.full.len().min(BATCH);
        blocks.extend(self.full.drain(..count));
        if count == 0
            && let Some(block) = self.filling.take()
        {
            self.offset = (self.offset + block.len()) % BLOCK;
            blocks.push(block);
        }
        let len: usize = blocks.iter().map(|block| block.len()).sum();
        self.waiting -= len;
        self.taken += len;
    }

    /// Takes back blocks that were written out.
    pub(super) fn give_back(&mut self, blocks: &mut Vec<Block>) {
        for mut block in blocks.drain(..) {
            self.taken = self.taken.saturating_sub(block.len());
            if self.spares.len() < SPARES {
                block.memory.truncate(block.start);
                self.spares.push(block);
            }
        }
    }
}

impl Block {
    fn new() -> Self {
        let mut memory: Vec<u8> = Vec::with_capacity(BLOCK + ALIGNMENT);
        // It never has more than it has room for, and stays where it is.
        let start = memory.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT);
        memory.resize(start, 0);
        Block { memory, start }
    }
}

impl Deref for Block {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.memory[self.start..]
    }
}

impl Write for Queue {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let spares = &mut self.spares;
            let block = self
                .filling
                .get_or_insert_with(|| spares.pop().unwrap_or_else(Block::new));
            let room = BLOCK - self.offset - block.len();
            let (now, later) = rest.split_at(room.min(rest.len()));
            block.memory.extend_from_slice(now);
            if now.len() == room {
                self.full.extend(self.filling.take());
                self.offset = 0;
            }
            rest = later;
        }
        self.waiting += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_out_as_they_went_in() {
        let mut queue = Queue::default();
        let bytes: Vec<u8> = (0..BLOCK * (BATCH + 2) + 7).map(|n| n as u8).collect();
        for part in bytes.chunks(100_003) {
            queue.write_all(part).unwrap();
        }
        let mut out: Vec<u8> = Vec::new();
        let mut blocks = Vec::new();
        while queue.waiting() > 0 {
            queue.take(&mut blocks);
            assert!(blocks.len() <= BATCH);
            out.extend(blocks.iter().flat_map(|block| block.iter()));
            assert_eq!(
                queue.len(),
                bytes.len() - out.len() + blocks.iter().map(|block| block.len()).sum::<usize>()
            );
            queue.give_back(&mut blocks);
        }
        assert!(out == bytes);
        assert_eq!(queue.len(), 0);
        assert!(queue.spares.len() <= SPARES);
    }
}
