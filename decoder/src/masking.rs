//! Secrets in the bytes themselves: what a tap saw, with what must not be written down masked in
//! place.
//!
//! While it decodes, the decoder finds out where in the tapped streams secrets stand, however deep
//! they are wrapped, and leaves marks. [`Masker`] holds back what is not decided yet (a head, a
//! header block or a message that is not complete), writes the marks over it, and hands on. What a
//! secret is, is [`redact`](crate::redact)'s matter.

use std::collections::{HashMap, VecDeque};

use buildtap_proto::schema::Schemas;

use crate::decoder::Decoder;
use crate::event::{Side, TapEvent, TapId, Time};
use crate::redact::Rules;
use crate::trace::PerSide;

/// Bytes of one connection that are held back at most. Who keeps a message half said for longer
/// has the rest of what that side says overwritten with zeros.
const HELD_LIMIT: usize = 32 << 20;

/// By what is masked.
#[derive(Clone, Debug)]
pub struct Redaction {
    /// What there is to mask beyond what is known to be secret.
    pub rules: Rules,
    /// What the messages are read with.
    pub schemas: Schemas,
}

/// Bytes to be written over as many of a tapped stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) tap: TapId,
    pub(crate) from: Side,
    /// Where: so many bytes of that side came before.
    pub(crate) at: u64,
    pub(crate) bytes: Vec<u8>,
}

/// Masks the secrets in what a tap saw. Its decoder has [`Options::redact`](crate::Options).
#[derive(Debug, Default)]
pub struct Masker {
    taps: HashMap<TapId, Tap>,
}

/// One connection.
#[derive(Debug, Default)]
struct Tap {
    /// What is held back, in order.
    waiting: VecDeque<(Time, Waiting)>,
    held: usize,
    /// Bytes that each side has said.
    said: PerSide<u64>,
    /// What a side says is not to be written down any more.
    given_up: PerSide<bool>,
}

#[derive(Debug)]
enum Waiting {
    Chunk { from: Side, at: u64, bytes: Vec<u8> },
    Event(TapEvent<'static>),
}

impl Masker {
    /// Takes an event that `decoder` has just been told, and hands on what is decided by now: the
    /// same events, in order for each connection, with the same number of bytes; chunks may be cut
    /// in two.
    pub fn event(
        &mut self,
        decoder: &mut Decoder,
        time: Time,
        id: TapId,
        event: &TapEvent<'_>,
        mut out: impl FnMut(Time, TapId, TapEvent<'_>),
    ) {
        let marks = decoder.take_marks();
        let closes = matches!(event, TapEvent::Close { .. });
        let tap = self.taps.entry(id).or_default();
        let undecided =
            PerSide([Side::Client, Side::Daemon].map(|side| decoder.undecided(id, side)));
        match event {
            TapEvent::Chunk { from, bytes } => {
                let at = *tap.said.get(*from);
                let end = at.saturating_add(bytes.len() as u64);
                *tap.said.get_mut(*from) = end;
                let decided = undecided
                    .get(*from)
                    .is_none_or(|undecided| undecided >= end);
                let plain = marks.is_empty() && decided && !*tap.given_up.get(*from);
                if plain && tap.waiting.is_empty() {
                    out(time, id, TapEvent::Chunk { from: *from, bytes });
                    return;
                }
                tap.held = tap.held.saturating_add(bytes.len());
                let mut bytes = bytes.to_vec();
                if *tap.given_up.get(*from) {
                    bytes.fill(0);
                }
                let from = *from;
                tap.waiting
                    .push_back((time, Waiting::Chunk { from, at, bytes }));
            }
            TapEvent::Open(endpoints) => tap.wait(time, TapEvent::Open(endpoints.clone())),
            TapEvent::Gap { from, bytes } => tap.wait(
                time,
                TapEvent::Gap {
                    from: *from,
                    bytes: *bytes,
                },
            ),
            TapEvent::HalfClose { from } => tap.wait(time, TapEvent::HalfClose { from: *from }),
            TapEvent::Blocked { to } => tap.wait(time, TapEvent::Blocked { to: *to }),
            TapEvent::Unblocked { to } => tap.wait(time, TapEvent::Unblocked { to: *to }),
            TapEvent::Close { how } => tap.wait(time, TapEvent::Close { how: *how }),
        }
        tap.mark(id, &marks);
        tap.release(id, &undecided, &mut out);
        if tap.held > HELD_LIMIT {
            decoder.give_up(id);
            let marks = decoder.take_marks();
            tap.mark(id, &marks);
            for side in Side::BOTH {
                *tap.given_up.get_mut(side) |= undecided.get(side).is_some();
            }
            tap.release(id, &PerSide::default(), &mut out);
        }
        if closes {
            self.taps.remove(&id);
        }
    }

    /// Nothing more will come: hands on what was held back, masked where it may hold secrets.
    /// To be called before [`Decoder::finish`].
    pub fn finish(
        &mut self,
        decoder: &mut Decoder,
        mut out: impl FnMut(Time, TapId, TapEvent<'_>),
    ) {
        let mut open: Vec<_> = self.taps.drain().collect();
        open.sort_unstable_by_key(|(id, _)| *id);
        for (id, mut tap) in open {
            decoder.give_up(id);
            let marks = decoder.take_marks();
            tap.mark(id, &marks);
            tap.release(id, &PerSide::default(), &mut out);
        }
    }
}

impl Tap {
    fn wait(&mut self, time: Time, event: TapEvent<'static>) {
        self.waiting.push_back((time, Waiting::Event(event)));
    }

    /// Writes marks over what is held back.
    fn mark(&mut self, id: TapId, marks: &[Mark]) {
        for mark in marks.iter().filter(|mark| mark.tap == id) {
            for (_, waiting) in &mut self.waiting {
                if let Waiting::Chunk { from, at, bytes } = waiting
                    && *from == mark.from
                {
                    overwrite(*at, bytes, mark);
                }
            }
        }
    }

    /// Hands on what is decided, up to the first that is not.
    fn release(
        &mut self,
        id: TapId,
        undecided: &PerSide<Option<u64>>,
        out: &mut impl FnMut(Time, TapId, TapEvent<'_>),
    ) {
        while let Some((time, waiting)) = self.waiting.pop_front() {
            match waiting {
                Waiting::Event(event) => out(time, id, event),
                Waiting::Chunk { from, at, bytes } => {
                    let known = undecided.get(from).map_or(bytes.len(), |undecided| {
                        usize::try_from(undecided.saturating_sub(at)).unwrap_or(usize::MAX)
                    });
                    let (decided, rest) = bytes.split_at_checked(known).unwrap_or((&bytes, &[]));
                    if !decided.is_empty() {
                        self.held = self.held.saturating_sub(decided.len());
                        let bytes = decided;
                        out(time, id, TapEvent::Chunk { from, bytes });
                    }
                    if !rest.is_empty() {
                        let at = at.saturating_add(decided.len() as u64);
                        let bytes = rest.to_vec();
                        let rest = Waiting::Chunk { from, at, bytes };
                        self.waiting.push_front((time, rest));
                        return;
                    }
                }
            }
        }
    }
}

/// Writes the part of a mark that is in a chunk which stands at `at`.
fn overwrite(at: u64, chunk: &mut [u8], mark: &Mark) {
    let start = mark.at.max(at);
    let in_chunk = usize::try_from(start.saturating_sub(at)).unwrap_or(usize::MAX);
    let in_mark = usize::try_from(start.saturating_sub(mark.at)).unwrap_or(usize::MAX);
    let (Some(to), Some(bytes)) = (chunk.get_mut(in_chunk..), mark.bytes.get(in_mark..)) else {
        return;
    };
    for (to, byte) in to.iter_mut().zip(bytes) {
        *to = *byte;
    }
}
