//! Flow control (RFC 9113 §6.9), watched: what each side may still send.
//!
//! A window is counted where its frames are seen, between the peers: while a SETTINGS or a
//! WINDOW_UPDATE is under way, the side that it is for does not know it yet.

use std::collections::HashMap;

use crate::event::Side;

/// The window that every stream and the connection begin with (RFC 9113 §6.9.2).
pub const WINDOW_DEFAULT: i64 = 65_535;
/// The largest window there may be (RFC 9113 §6.9.1).
pub const WINDOW_MAX: i64 = (1 << 31) - 1;

/// The windows of one connection and its streams.
#[derive(Debug)]
pub(super) struct Flow {
    /// What each side may still send on the connection.
    connection: [i64; 2],
    /// What each side may send at first on a new stream: its peer's INITIAL_WINDOW_SIZE.
    initial: [i64; 2],
    streams: HashMap<u32, Stream>,
    limit: usize,
    /// The highest even and odd stream so far: one that is not above it and not in the table is
    /// over (RFC 9113 §5.1.1).
    highest: [u32; 2],
}

#[derive(Debug)]
struct Stream {
    /// What each side may still send.
    window: [i64; 2],
    ended: [bool; 2],
}

fn of<T>([client, daemon]: &mut [T; 2], side: Side) -> &mut T {
    match side {
        Side::Client => client,
        Side::Daemon => daemon,
    }
}

impl Flow {
    /// Windows as they are at first, of at most `limit` streams at a time.
    pub(super) fn new(limit: usize) -> Self {
        Flow {
            connection: [WINDOW_DEFAULT; 2],
            initial: [WINDOW_DEFAULT; 2],
            streams: HashMap::new(),
            limit,
            highest: [0; 2],
        }
    }

    /// What `side` may still send on the connection.
    pub(super) fn connection(&self, side: Side) -> i64 {
        let [client, daemon] = self.connection;
        match side {
            Side::Client => client,
            Side::Daemon => daemon,
        }
    }

    /// What `side` may still send on a stream; on one that is not known, what it may at first.
    pub(super) fn stream(&self, side: Side, stream_id: u32) -> i64 {
        let [client, daemon] = match self.streams.get(&stream_id) {
            Some(stream) => stream.window,
            None => self.initial,
        };
        match side {
            Side::Client => client,
            Side::Daemon => daemon,
        }
    }

    /// Takes up a stream, unless it is known, or over, or there is no room.
    pub(super) fn open(&mut self, stream_id: u32) {
        let [even, odd] = &mut self.highest;
        let highest = if stream_id.is_multiple_of(2) {
            even
        } else {
            odd
        };
        if stream_id <= *highest {
            return;
        }
        *highest = stream_id;
        if self.streams.len() < self.limit {
            let window = self.initial;
            let ended = [false; 2];
            self.streams.insert(stream_id, Stream { window, ended });
        }
    }

    /// `from` sent DATA of this length, with its padding.
    pub(super) fn sent(&mut self, from: Side, stream_id: u32, length: u32) {
        let length = i64::from(length);
        let window = of(&mut self.connection, from);
        *window = window.saturating_sub(length);
        if let Some(stream) = self.streams.get_mut(&stream_id) {
            let window = of(&mut stream.window, from);
            *window = window.saturating_sub(length);
        }
    }

    /// `to` may send so much more on a stream or, for stream 0, on the connection. Gives the new
    /// window, unless the stream is not known.
    pub(super) fn update(&mut self, to: Side, stream_id: u32, increment: u32) -> Option<i64> {
        let window = match stream_id {
            0 => of(&mut self.connection, to),
            _ => of(&mut self.streams.get_mut(&stream_id)?.window, to),
        };
        *window = window.saturating_add(i64::from(increment));
        Some(*window)
    }

    /// The peer of `to` set INITIAL_WINDOW_SIZE: the windows of all streams change by the
    /// difference, and may go below zero (RFC 9113 §6.9.2). Tells `each` of them.
    pub(super) fn set_initial(&mut self, to: Side, value: u32, mut each: impl FnMut(u32, i64)) {
        let initial = of(&mut self.initial, to);
        let change = i64::from(value).saturating_sub(*initial);
        *initial = i64::from(value);
        for (stream_id, stream) in &mut self.streams {
            let window = of(&mut stream.window, to);
            *window = window.saturating_add(change);
            each(*stream_id, *window);
        }
    }

    /// `from` will send no more on a stream.
    pub(super) fn end(&mut self, from: Side, stream_id: u32) {
        if let Some(stream) = self.streams.get_mut(&stream_id) {
            *of(&mut stream.ended, from) = true;
            if stream.ended == [true; 2] {
                self.streams.remove(&stream_id);
            }
        }
    }

    /// A stream was reset.
    pub(super) fn reset(&mut self, stream_id: u32) {
        self.streams.remove(&stream_id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Side::{Client, Daemon};

    #[test]
    fn a_smaller_initial_window_makes_windows_negative() {
        let mut flow = Flow::new(8);
        flow.open(1);
        flow.sent(Client, 1, 60_000);
        let mut told = Vec::new();
        flow.set_initial(Client, 16_000, |stream_id, window| {
            told.push((stream_id, window));
        });
        assert_eq!(told, [(1, 16_000 - 60_000)]);
        assert_eq!(flow.update(Client, 1, 50_000), Some(6_000));
        // The connection's window and the other side's know nothing of it.
        assert_eq!(flow.connection(Client), WINDOW_DEFAULT - 60_000);
        assert_eq!(flow.stream(Daemon, 1), WINDOW_DEFAULT);
        flow.open(3);
        assert_eq!(flow.stream(Client, 3), 16_000);
    }

    #[test]
    fn a_stream_that_is_over_does_not_come_back() {
        let mut flow = Flow::new(2);
        for stream_id in (1..1000).step_by(2) {
            flow.open(stream_id);
            flow.sent(Daemon, stream_id, 10);
            assert_eq!(flow.stream(Daemon, stream_id), WINDOW_DEFAULT - 10);
            flow.reset(stream_id);
            // What was under way when it was reset.
            flow.open(stream_id);
            flow.end(Daemon, stream_id);
            assert_eq!(flow.update(Daemon, stream_id, 5), None);
        }
        assert!(flow.streams.is_empty());
        assert_eq!(flow.connection(Daemon), WINDOW_DEFAULT - 5_000);
    }

    #[test]
    fn there_is_a_limit() {
        let mut flow = Flow::new(1);
        flow.open(1);
        flow.open(3);
        flow.sent(Client, 3, 7);
        assert_eq!(flow.stream(Client, 3), WINDOW_DEFAULT);
        flow.end(Client, 1);
        flow.end(Daemon, 1);
        flow.open(5);
        flow.sent(Client, 5, 7);
        assert_eq!(flow.stream(Client, 5), WINDOW_DEFAULT - 7);
    }
}
