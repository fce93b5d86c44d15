//! The front door: events in, a trace and its updates out.

use std::collections::HashMap;
use std::time::Duration;

use crate::core::{Core, Options};
use crate::doctor;
use crate::event::{Closed, Side, TapEvent, TapId, Time};
use crate::masking::Mark;
use crate::stack::Node;
use crate::trace::{Trace, Update};

/// How often the rules about silence are applied while events come.
const TICK: Duration = Duration::from_millis(500);

/// The same before the end of a connection, which also ends what was waited for on it.
const TICK_AT_END: Duration = Duration::from_millis(100);

/// Decodes what taps saw. It does no I/O and has no clock: time comes with the events.
///
/// ```
/// use buildtap_decoder::event::{Closed, Endpoints, Side, TapEvent, TapId, Time};
/// use buildtap_decoder::{Decoder, Options};
///
/// let mut decoder = Decoder::new(Options::default());
/// let tap = TapId(1);
/// decoder.event(Time(1), tap, TapEvent::Open(Endpoints::default()));
/// let request = b"GET /_ping HTTP/1.1\r\nHost: docker\r\n\r\n";
/// decoder.event(Time(2), tap, TapEvent::Chunk { from: Side::Client, bytes: request });
/// let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK";
/// decoder.event(Time(3), tap, TapEvent::Chunk { from: Side::Daemon, bytes: answer });
/// decoder.event(Time(4), tap, TapEvent::Close { how: Closed::Finished });
/// let exchange = decoder.trace().exchanges.iter().next().unwrap();
/// assert_eq!((exchange.target.as_str(), exchange.response_bytes), ("/_ping", 2));
/// ```
#[derive(Debug)]
pub struct Decoder {
    core: Core,
    taps: HashMap<TapId, Node>,
    ticked: Time,
}

impl Decoder {
    /// A decoder that has seen nothing.
    pub fn new(options: Options) -> Self {
        Decoder {
            core: Core::new(options),
            taps: HashMap::new(),
            ticked: Time::default(),
        }
    }

    /// Takes what a tap saw at `at`. Events of one connection must come in the order in which
    /// they were seen, and what a side says before what its peer answers to it.
    pub fn event(&mut self, at: Time, tap: TapId, event: TapEvent<'_>) {
        // Clocks may go backwards; durations must not.
        self.core.now = self.core.now.max(at);
        if self.ticked == Time::default() {
            self.ticked = self.core.now;
        }
        let due = match event {
            TapEvent::Close { .. } => TICK_AT_END,
            _ => TICK,
        };
        if self.core.now.since(self.ticked) >= due {
            // The silence ends with this event: it is judged before.
            self.tick(at);
        }
        self.core.tap = tap;
        let core = &mut self.core;
        match event {
            TapEvent::Open(endpoints) => {
                let node = Node::tapped(core, tap, endpoints);
                self.taps.insert(tap, node);
                return;
            }
            TapEvent::Close { how } => {
                if let Some(mut node) = self.taps.remove(&tap) {
                    node.give_up(core);
                    node.close(core, how);
                }
                return;
            }
            _ => {}
        }
        let Some(node) = self.taps.get_mut(&tap) else {
            return;
        };
        match event {
            TapEvent::Chunk { from, bytes } => {
                core.chunks.enter(from, bytes, node.taken(from));
                node.chunk(core, from, bytes);
                core.chunks.leave();
            }
            TapEvent::Gap { from, bytes } => node.gap(core, from, bytes),
            TapEvent::HalfClose { from } => node.half_close(core, from),
            TapEvent::Blocked { to } => node.reading(core, to, false),
            TapEvent::Unblocked { to } => node.reading(core, to, true),
            TapEvent::Open(_) | TapEvent::Close { .. } => {}
        }
    }

    /// Says that it is `now` and nothing was seen: finds what has been waiting for too long.
    pub fn tick(&mut self, now: Time) {
        self.core.now = self.core.now.max(now);
        self.ticked = self.core.now;
        doctor::tick(&mut self.core);
    }

    /// Whatever goes wrong from now on is known to have another cause than the two sides: no rule
    /// looks at it.
    pub fn find_no_more(&mut self) {
        self.core.options.findings = false;
    }

    /// Nothing more will come: connections that were not seen to end are left as they are.
    pub fn finish(&mut self) {
        let mut open: Vec<_> = self.taps.drain().collect();
        open.sort_unstable_by_key(|(tap, _)| *tap);
        for (_, mut node) in open {
            node.close(&mut self.core, Closed::Abandoned);
        }
    }

    /// Where the first byte of `side` stands of which it is not decided yet whether it is secret.
    pub(crate) fn undecided(&self, tap: TapId, side: Side) -> Option<u64> {
        self.taps.get(&tap)?.undecided(side)
    }

    /// Decides what is undecided: what may be secret is.
    pub(crate) fn give_up(&mut self, tap: TapId) {
        self.core.tap = tap;
        if let Some(node) = self.taps.get_mut(&tap) {
            node.give_up(&mut self.core);
        }
    }

    /// What was found to be secret since this was last asked.
    pub(crate) fn take_marks(&mut self) -> Vec<Mark> {
        self.core.take_marks()
    }

    /// What was seen so far.
    pub fn trace(&self) -> &Trace {
        &self.core.trace
    }

    /// The time of the newest event.
    pub fn now(&self) -> Time {
        self.core.now
    }

    /// The next change of the trace, if [`Options::updates`] asks for them.
    pub fn take_update(&mut self) -> Option<Update> {
        self.core.take_update()
    }

    /// How many updates wait to be taken.
    pub fn pending_updates(&self) -> usize {
        self.core.pending()
    }

    /// How many updates were left out because they were taken too slowly, since this was last
    /// asked.
    pub fn take_dropped(&mut self) -> u64 {
        self.core.take_dropped()
    }
}
