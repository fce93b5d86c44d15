//! Which files of a transfer have a span of their own: where a context has thousands, nobody finds
//! anything among them.

use std::collections::BTreeMap;
use std::time::Duration;

use buildtap_decoder::trace::{File, Id, Transfer};
use clap::ValueEnum;

/// The first files of a transfer that have a span, however quick they are.
const FIRST: u64 = 20;
/// From which duration on the others do, from their first byte to their end: the time before that
/// they stood in a queue, as many others.
const SLOW: Duration = Duration::from_millis(50);
/// Files of a transfer that are told of when they are open at the end.
const OPEN: usize = 64;
/// Transfers that are counted for.
const TRANSFERS: usize = 4_096;

/// Which files of a transfer have a span.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum FileSpans {
    /// Every file
    All,
    /// The first 20 of a transfer, and those whose contents took 50 ms or more
    #[default]
    Slow,
    /// No file
    None,
}

/// Counts what is told of the transfers that are open.
#[derive(Debug)]
pub(super) struct Files {
    which: FileSpans,
    counts: BTreeMap<Id<Transfer>, Count>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    seen: u64,
    left_out: u64,
}

impl Files {
    pub(super) fn new(which: FileSpans) -> Self {
        Files {
            which,
            counts: BTreeMap::new(),
        }
    }

    /// Whether a file that has ended is told of; if not, it is counted.
    pub(super) fn takes(&mut self, transfer: Id<Transfer>, file: &File) -> bool {
        let count = self.counts.entry(transfer).or_default();
        let active = file.completed.zip(file.began);
        let is_slow = active.is_some_and(|(end, began)| end.since(began) >= SLOW);
        let takes = match self.which {
            FileSpans::All => true,
            FileSpans::Slow => count.seen < FIRST || is_slow,
            FileSpans::None => false,
        };
        count.seen = count.seen.saturating_add(1);
        count.left_out = count.left_out.saturating_add(u64::from(!takes));
        if self.counts.len() > TRANSFERS {
            self.counts.pop_first();
        }
        takes
    }

    /// How many files of a transfer that ended are not told of.
    pub(super) fn left_out(&self, transfer: Id<Transfer>) -> u64 {
        self.counts.get(&transfer).map_or(0, |count| count.left_out)
    }

    /// How many of those that are open at the end are told of.
    pub(super) fn open_ones(&self) -> usize {
        match self.which {
            FileSpans::None => 0,
            FileSpans::All | FileSpans::Slow => OPEN,
        }
    }
}
