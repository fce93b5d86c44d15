//! Buffers on loan.

use std::sync::{Mutex, PoisonError};

/// Bytes that one direction of one connection can hold at most: one buffer, read only after
/// everything in it was written. Larger than what a socket gives at once by default.
pub const BUFFER_SIZE: usize = 256 * 1024;

/// Spare buffers that are kept for the next reader. More may be on loan at a time.
const SPARES: usize = 16;

/// Lends buffers to directions that have bytes in hand. A direction that waits to read has
/// none, so an idle connection costs no buffer, and the few that are in use stay warm.
#[derive(Debug, Default)]
pub(crate) struct BufferPool {
    spares: Mutex<Vec<Vec<u8>>>,
}

impl BufferPool {
    /// An empty buffer with room for [`BUFFER_SIZE`] bytes.
    pub(crate) fn lend(&self) -> Lent<'_> {
        let spare = self.spares().pop();
        Lent {
            pool: self,
            buffer: spare.unwrap_or_else(|| Vec::with_capacity(BUFFER_SIZE)),
        }
    }

    fn spares(&self) -> std::sync::MutexGuard<'_, Vec<Vec<u8>>> {
        // Nothing can panic while the lock is held; if it did, the list would still be one.
        self.spares.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A buffer that returns to its pool when dropped.
pub(crate) struct Lent<'a> {
    pool: &'a BufferPool,
    pub(crate) buffer: Vec<u8>,
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        let mut spares = self.pool.spares();
        if spares.len() < SPARES {
            spares.push(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_returned_buffer_is_lent_again_and_is_empty() {
        let pool = BufferPool::default();
        let mut lent = pool.lend();
        lent.buffer.extend_from_slice(b"left over");
        let at = lent.buffer.as_ptr();
        drop(lent);
        let lent = pool.lend();
        assert_eq!(lent.buffer.as_ptr(), at);
        assert!(lent.buffer.is_empty());
        assert_eq!(lent.buffer.capacity(), BUFFER_SIZE);
    }

    #[test]
    fn spares_are_limited() {
        let pool = BufferPool::default();
        let lent: Vec<_> = (0..SPARES * 2).map(|_| pool.lend()).collect();
        drop(lent);
        assert_eq!(pool.spares().len(), SPARES);
    }
}
