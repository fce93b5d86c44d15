//! A copy of a trace that follows it: for views that must not hold up the decoder while they draw.

use std::time::Duration;

use super::{
    BuildState, Call, CallState, Connection, Exchange, Id, Session, Table, Trace, Transfer,
    TransferState,
};
use crate::event::Time;
use crate::limits::Limits;

/// How long a row is looked at after it was over: something may be said of it late.
const LATE: Duration = Duration::from_secs(2);

/// A copy of a [`Trace`], brought up to date when it is asked to be.
///
/// It costs what is new and what goes on: rows that are long over are not looked at again. The
/// entries of transfers stay behind, but for how many there are.
#[derive(Debug)]
pub struct Follower {
    trace: Trace,
    open: Open,
}

/// Rows that may still change.
#[derive(Debug, Default)]
struct Open {
    connections: Vec<Id<Connection>>,
    sessions: Vec<Id<Session>>,
    calls: Vec<Id<Call>>,
    exchanges: Vec<Id<Exchange>>,
    transfers: Vec<Id<Transfer>>,
    builds: Vec<Id<super::Build>>,
    findings: Vec<Id<super::Finding>>,
}

impl Follower {
    /// A copy of a trace in which nothing was seen, with room for as much as `limits` allow.
    pub fn new(limits: &Limits) -> Self {
        Follower {
            trace: Trace::new(limits),
            open: Open::default(),
        }
    }

    /// The copy.
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    /// Brings the copy up to date with `source`, which must be the same every time, at `now`.
    pub fn follow(&mut self, source: &Trace, now: Time) {
        let Follower { trace, open } = self;
        let late = |end: Option<Time>| end.is_some_and(|end| now.since(end) >= LATE);
        trace
            .connections
            .follow(&source.connections, &mut open.connections, |row| {
                late(row.closed.map(|(at, _)| at))
            });
        trace
            .sessions
            .follow(&source.sessions, &mut open.sessions, |row| {
                late(row.closed.map(|(at, _)| at))
            });
        trace.calls.follow(&source.calls, &mut open.calls, |row| {
            row.state != CallState::Open && late(row.end)
        });
        trace
            .exchanges
            .follow(&source.exchanges, &mut open.exchanges, |row| late(row.end));
        trace
            .builds
            .follow(&source.builds, &mut open.builds, |row| {
                row.state != BuildState::Open && late(row.end)
            });
        trace
            .findings
            .follow(&source.findings, &mut open.findings, |_| true);
        trace.transfers.follow_with(
            &source.transfers,
            &mut open.transfers,
            |row| row.state != TransferState::Open && late(row.end),
            Transfer::outline,
        );
        if trace.versions != source.versions {
            trace.versions.clone_from(&source.versions);
        }
    }
}

impl<T: Clone> Table<T> {
    fn follow(&mut self, source: &Table<T>, open: &mut Vec<Id<T>>, is_over: impl Fn(&T) -> bool) {
        self.follow_with(source, open, is_over, T::clone);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_has_what_the_table_has() {
        let mut table = Table::new(3, 100);
        let mut copy = Table::new(3, 100);
        let mut open = Vec::new();
        // A row is over when it is odd.
        let follow = |copy: &mut Table<u32>, table: &Table<u32>, open: &mut _| {
            copy.follow(table, open, |row| row % 2 == 1);
        };
        let first = table.add(1, |_| 0);
        let second = table.add(1, |_| 1);
        follow(&mut copy, &table, &mut open);
        assert_eq!(copy.iter().collect::<Vec<_>>(), [&0, &1]);
        assert_eq!(open, [first]);
        *table.get_mut(first).unwrap() = 3;
        // Nobody looks at a row that is over.
        *table.get_mut(second).unwrap() = 5;
        follow(&mut copy, &table, &mut open);
        assert_eq!(copy.iter().collect::<Vec<_>>(), [&3, &1]);
        assert!(open.is_empty());
        let newest: Vec<_> = (10..15).map(|row| table.add(1, |_| row)).collect();
        follow(&mut copy, &table, &mut open);
        assert_eq!(copy.iter().collect::<Vec<_>>(), [&12, &13, &14]);
        assert_eq!((copy.gone(), copy.get(first)), (4, None));
        assert_eq!(newest.get(2).and_then(|id| copy.get(*id)), Some(&12));
    }
}
