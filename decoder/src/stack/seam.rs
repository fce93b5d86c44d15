//! Matches of the user's patterns in streams of contents, also across the ends of their pieces.

use crate::core::Core;
use crate::event::Side;
use crate::origin::Joined;
use crate::redact;

/// How far a match may reach into the pieces before the one that it ends in, in bytes.
const REACH: usize = 1024;

/// Files of one transfer that are sent at a time, and looked at across their pieces. Go's sender
/// has four.
const FILES: usize = 16;

/// The end of what has come of a stream: a match may begin in it.
#[derive(Debug, Default)]
pub(super) struct Seam(Joined);

impl Seam {
    /// Masks what matches in `piece`, which is of the chunk in hand, and where it meets what came
    /// before it.
    pub(super) fn feed(&mut self, core: &mut Core, from: Side, piece: &[u8]) {
        self.0.append(piece, core.locate(piece));
        let Joined { bytes, origins } = &self.0;
        core.redact(from, bytes, origins, |redaction, bytes, out| {
            redact::patterns(&redaction.rules, bytes, out);
        });
        let end = bytes.len();
        let mut tail = Joined::default();
        tail.append_part(&self.0, end.saturating_sub(REACH)..end);
        self.0 = tail;
    }

    /// Where the first byte stands that a match may yet begin with.
    pub(super) fn undecided(&self) -> Option<u64> {
        self.0.origins.first()
    }

    /// The stream is over, or nobody waits for what comes of it.
    pub(super) fn clear(&mut self) {
        self.0 = Joined::default();
    }
}

/// The files of one transfer, by id.
#[derive(Debug, Default)]
pub(super) struct Seams(Vec<(u32, Seam)>);

impl Seams {
    /// A piece of the contents of file `id`.
    pub(super) fn feed(&mut self, core: &mut Core, from: Side, id: u32, piece: &[u8]) {
        let known = self.0.iter_mut().position(|(known, _)| *known == id);
        let at = known.unwrap_or_else(|| {
            if self.0.len() >= FILES {
                self.0.remove(0);
            }
            self.0.push((id, Seam::default()));
            self.0.len().saturating_sub(1)
        });
        if let Some((_, seam)) = self.0.get_mut(at) {
            seam.feed(core, from, piece);
        }
    }

    /// The file is complete.
    pub(super) fn end(&mut self, id: u32) {
        self.0.retain(|(known, _)| *known != id);
    }

    pub(super) fn undecided(&self) -> Option<u64> {
        self.0.iter().filter_map(|(_, seam)| seam.undecided()).min()
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}
