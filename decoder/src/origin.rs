//! Where in a tapped stream the bytes stand that a layer has in hand.
//!
//! Layers hand on slices of the chunk that the tap gave, however deep; so a slice tells by its
//! address where it stands ([`Chunks::locate`]). What is put together of several chunks keeps
//! [`Origins`] beside it. Nothing of this is done unless something is to be masked.

use std::ops::Range;

use crate::core::Core;
use crate::event::Side;

/// The chunk that is being handled, and those that are handled again on its account.
#[derive(Debug, Default)]
pub(crate) struct Chunks(Vec<Chunk>);

#[derive(Debug)]
struct Chunk {
    from: Side,
    /// Addresses of its bytes.
    memory: Range<usize>,
    /// Where it stands in the stream of its side.
    at: u64,
}

impl Chunks {
    /// `bytes` of `from`, which stand at `at`, are handled from here on.
    pub(crate) fn enter(&mut self, from: Side, bytes: &[u8], at: u64) {
        let start = bytes.as_ptr().addr();
        self.0.push(Chunk {
            from,
            memory: start..start.saturating_add(bytes.len()),
            at,
        });
    }

    /// The bytes that were entered last are done with.
    pub(crate) fn leave(&mut self) {
        self.0.pop();
    }

    /// Whose bytes these are and where they stand, if they are part of a chunk: not if they were
    /// copied or decompressed.
    pub(crate) fn locate(&self, bytes: &[u8]) -> Option<(Side, u64)> {
        let start = bytes.as_ptr().addr();
        let end = start.checked_add(bytes.len())?;
        let mut chunks = self.0.iter().rev();
        let chunk = chunks.find(|chunk| chunk.memory.start <= start && end <= chunk.memory.end)?;
        let offset = start.checked_sub(chunk.memory.start)? as u64;
        Some((chunk.from, chunk.at.checked_add(offset)?))
    }
}

/// Where bytes stand that were put together: runs that stand together, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Origins {
    runs: Vec<Run>,
    len: usize,
}

#[derive(Clone, Debug)]
struct Run {
    /// Which of the bytes.
    bytes: Range<usize>,
    /// Where the first of them stands.
    at: u64,
}

impl Origins {
    /// So many bytes were appended, which stand at `at`; `None` if they stand nowhere.
    pub(crate) fn append(&mut self, len: usize, at: Option<u64>) {
        let start = self.len;
        self.len = start.saturating_add(len);
        let Some(at) = at.filter(|_| len > 0) else {
            return;
        };
        match self.runs.last_mut() {
            Some(last)
                if last.bytes.end == start
                    && last.at.saturating_add(last.bytes.len() as u64) == at =>
            {
                last.bytes.end = self.len;
            }
            _ => self.runs.push(Run {
                bytes: start..self.len,
                at,
            }),
        }
    }

    /// Origins of bytes that stand together.
    pub(crate) fn of(len: usize, at: Option<u64>) -> Self {
        let mut origins = Origins::default();
        origins.append(len, at);
        origins
    }

    /// Appends those of a part of other bytes.
    pub(crate) fn append_part(&mut self, of: &Origins, part: Range<usize>) {
        let mut done = part.start;
        for (bytes, at) in of.runs(part.clone()) {
            self.append(bytes.start.saturating_sub(done), None);
            self.append(bytes.len(), Some(at));
            done = bytes.end;
        }
        self.append(part.end.saturating_sub(done), None);
    }

    /// There are no bytes any more.
    pub(crate) fn clear(&mut self) {
        self.runs.clear();
        self.len = 0;
    }

    /// Where the first byte stands that stands anywhere.
    pub(crate) fn first(&self) -> Option<u64> {
        self.runs.first().map(|run| run.at)
    }

    /// The runs of a part of the bytes, and where each stands.
    pub(crate) fn runs(&self, part: Range<usize>) -> impl Iterator<Item = (Range<usize>, u64)> {
        self.runs.iter().filter_map(move |run| {
            let start = run.bytes.start.max(part.start);
            let end = run.bytes.end.min(part.end);
            let skipped = start.checked_sub(run.bytes.start)? as u64;
            (start < end).then(|| (start..end, run.at.saturating_add(skipped)))
        })
    }
}

/// Bytes that were put together, and where they stand.
#[derive(Clone, Debug, Default)]
pub(crate) struct Joined {
    pub(crate) bytes: Vec<u8>,
    pub(crate) origins: Origins,
}

impl Joined {
    pub(crate) fn append(&mut self, bytes: &[u8], at: Option<u64>) {
        self.bytes.extend_from_slice(bytes);
        self.origins.append(bytes.len(), at);
    }

    /// Appends a part of other bytes.
    pub(crate) fn append_part(&mut self, of: &Joined, part: Range<usize>) {
        let bytes = of.bytes.get(part.clone()).unwrap_or_default();
        self.bytes.extend_from_slice(bytes);
        self.origins.append_part(&of.origins, part);
    }

    /// Goes through the bytes again, in runs that stand together.
    pub(crate) fn each_run(
        &self,
        core: &mut Core,
        from: Side,
        mut each: impl FnMut(&mut Core, &[u8]),
    ) {
        if !core.redacts() {
            if !self.bytes.is_empty() {
                each(core, &self.bytes);
            }
            return;
        }
        for (part, at) in self.origins.runs(0..self.bytes.len()) {
            let run = self.bytes.get(part).unwrap_or_default();
            core.chunks.enter(from, run, at);
            each(core, run);
            core.chunks.leave();
        }
    }

    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.origins.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_tells_where_it_stands() {
        let mut chunks = Chunks::default();
        let chunk = *b"0123456789";
        let other = chunk;
        chunks.enter(Side::Daemon, &chunk, 100);
        assert_eq!(chunks.locate(&chunk[3..5]), Some((Side::Daemon, 103)));
        assert_eq!(chunks.locate(&other[3..5]), None);
        chunks.enter(Side::Client, &other, 7);
        assert_eq!(chunks.locate(&other[9..]), Some((Side::Client, 16)));
        assert_eq!(chunks.locate(&chunk), Some((Side::Daemon, 100)));
        chunks.leave();
        assert_eq!(chunks.locate(&other), None);
    }

    #[test]
    fn runs_that_stand_together_are_one() {
        let mut origins = Origins::default();
        origins.append(4, Some(10));
        origins.append(2, Some(14));
        origins.append(3, None);
        origins.append(5, Some(30));
        let runs: Vec<_> = origins.runs(2..12).collect();
        assert_eq!(runs, [(2..6, 12), (9..12, 30)]);
        assert_eq!(origins.first(), Some(10));

        let mut part = Origins::default();
        part.append(1, Some(5));
        part.append_part(&origins, 5..11);
        let runs: Vec<_> = part.runs(0..usize::MAX).collect();
        assert_eq!(runs, [(0..1, 5), (1..2, 15), (5..7, 30)]);
    }
}
