//! The HTTP/2 frames of every connection, in little room: the newest, without their payloads.

use std::collections::{HashMap, VecDeque};

use buildtap_decoder::event::{Side, Time};
use buildtap_decoder::trace::{Connection, Frame, Id};
use buildtap_decoder::wire::http2::FrameHeader;

/// Frames that are kept; when there are more, the oldest go.
const ROWS: usize = 500_000;

#[derive(Clone, Copy, Debug)]
struct Row {
    at: Time,
    connection: u32,
    value: Option<u32>,
    header: FrameHeader,
    from: Side,
}

/// The frames.
#[derive(Debug, Default)]
pub struct Frames {
    rows: VecDeque<Row>,
    gone: u64,
    connections: HashMap<u32, Of>,
    /// Those that were sent later are not shown.
    until: Option<Time>,
}

/// Those of one connection.
#[derive(Debug, Default)]
struct Of {
    /// Their places among all that were seen, as far as they are kept.
    places: VecDeque<u64>,
    gone: u64,
}

impl Frames {
    /// Adds one, the newest.
    pub fn add(&mut self, frame: &Frame) {
        if self.rows.len() >= ROWS {
            self.forget();
        }
        let connection = number(frame.connection);
        let of = self.connections.entry(connection).or_default();
        of.places.push_back(self.gone + self.rows.len() as u64);
        self.rows.push_back(Row {
            at: frame.at,
            connection,
            value: frame.value,
            header: frame.header,
            from: frame.from,
        });
    }

    /// Forgets the oldest eighth.
    fn forget(&mut self) {
        for row in self.rows.drain(..ROWS / 8) {
            self.gone += 1;
            if let Some(of) = self.connections.get_mut(&row.connection) {
                of.places.pop_front();
                of.gone += 1;
            }
        }
    }

    /// Lets those that are sent after `until` wait, or lets all of them be seen.
    pub fn hold(&mut self, until: Option<Time>) {
        self.until = until;
    }

    /// How many of a connection are kept, and not held back.
    pub fn count(&self, connection: Id<Connection>) -> usize {
        let of = self.connections.get(&number(connection));
        match self.until {
            None => of.map_or(0, |of| of.places.len()),
            Some(until) => self.first_after(connection, |at| at > until),
        }
    }

    /// How many of a connection were forgotten.
    pub fn gone(&self, connection: Id<Connection>) -> u64 {
        let of = self.connections.get(&number(connection));
        of.map_or(0, |of| of.gone)
    }

    /// The frame of a connection at this place among those that are kept.
    pub fn get(&self, connection: Id<Connection>, place: usize) -> Option<Frame> {
        let place = *self
            .connections
            .get(&number(connection))?
            .places
            .get(place)?;
        let place = usize::try_from(place.checked_sub(self.gone)?).ok()?;
        let row = self.rows.get(place)?;
        Some(Frame {
            connection,
            from: row.from,
            at: row.at,
            header: row.header,
            value: row.value,
        })
    }

    /// The place among the kept frames of a connection of the first that was sent at `at` or
    /// later.
    pub fn place_at(&self, connection: Id<Connection>, at: Time) -> usize {
        self.first_after(connection, |it| it >= at)
    }

    /// The place of the first frame of a connection from which on `is_after` is true.
    fn first_after(&self, connection: Id<Connection>, is_after: impl Fn(Time) -> bool) -> usize {
        let Some(of) = self.connections.get(&number(connection)) else {
            return 0;
        };
        of.places.partition_point(|place| {
            let place = usize::try_from(place.saturating_sub(self.gone)).ok();
            let row = place.and_then(|place| self.rows.get(place));
            row.is_some_and(|row| !is_after(row.at))
        })
    }
}

fn number(connection: Id<Connection>) -> u32 {
    u32::try_from(connection.number()).unwrap_or(u32::MAX)
}
