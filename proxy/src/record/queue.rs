//! Bytes on their way to the disk, in blocks that are used again.

use std::collections::VecDeque;
use std::io::{self, Write};

/// The length of a block.
const BLOCK: usize = 256 * 1024;
/// Blocks that are written at a time: their memory is free again only then.
const BATCH: usize = 16;
/// Blocks that are kept for the next bytes.
const SPARES: usize = 32;

/// What was written to it and not yet written out.
#[derive(Debug, Default)]
pub(super) struct Queue {
    full: VecDeque<Vec<u8>>,
    filling: Vec<u8>,
    spares: Vec<Vec<u8>>,
    waiting: usize,
    taken: usize,
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

    /// Moves the oldest bytes into `blocks`, which is empty.
    pub(super) fn take(&mut self, blocks: &mut Vec<Vec<u8>>) {
        let count = self.full.len().min(BATCH);
        blocks.extend(self.full.drain(..count));
        if count < BATCH && !self.filling.is_empty() {
            blocks.push(std::mem::replace(
                &mut self.filling,
                spare(&mut self.spares),
            ));
        }
        let len: usize = blocks.iter().map(Vec::len).sum();
        self.waiting -= len;
        self.taken += len;
    }

    /// Takes back blocks that were written out.
    pub(super) fn give_back(&mut self, blocks: &mut Vec<Vec<u8>>) {
        for mut block in blocks.drain(..) {
            self.taken = self.taken.saturating_sub(block.len());
            if self.spares.len() < SPARES {
                block.clear();
                self.spares.push(block);
            }
        }
    }
}

fn spare(spares: &mut Vec<Vec<u8>>) -> Vec<u8> {
    spares.pop().unwrap_or_else(|| Vec::with_capacity(BLOCK))
}

impl Write for Queue {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut rest = bytes;
        while !rest.is_empty() {
            if self.filling.len() >= BLOCK {
                let full = std::mem::replace(&mut self.filling, spare(&mut self.spares));
                self.full.push_back(full);
            }
            let room = BLOCK - self.filling.len();
            let (now, later) = rest.split_at(room.min(rest.len()));
            self.filling.extend_from_slice(now);
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
            out.extend(blocks.iter().flatten());
            assert_eq!(
                queue.len(),
                bytes.len() - out.len() + blocks.iter().flatten().count()
            );
            queue.give_back(&mut blocks);
        }
        assert!(out == bytes);
        assert_eq!(queue.len(), 0);
        assert!(queue.spares.len() <= SPARES);
    }
}
