//! What goes on, told while it does.
//!
//! A backend knows only spans that have ended, and none of them takes the same span twice. What is
//! open is therefore told in slices: spans of their own, from where the slice before ended until
//! now, after 2, 10, 30 and 60 seconds and then every minute. The slices of one moment make a tree:
//! that of a transfer is below that of its call, and that of the build, at its top, is below the
//! build's own span, which comes when the build has ended. So a hang can be seen while it hangs,
//! and afterwards its slices are below what they are slices of.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use buildtap_decoder::event::Time;
use buildtap_decoder::obligation::{State, chain};
use buildtap_decoder::trace::{
    Build, Call, CallState, Exchange, Id, Session, Subject, Trace, Transfer, TransferState, Update,
};
use opentelemetry::KeyValue;
use opentelemetry::trace::SpanId;

use super::Spans;
use super::rows::transfer_name;
use crate::otlp::ids;
use crate::otlp::span::{Draft, Origin, Place, Span, cut};

/// When a slice is cut, after the beginning.
const CUTS: [u64; 4] = [2, 10, 30, 60];
/// And from then on every so many seconds.
const EVERY: u64 = 60;
/// Open things that are looked at.
const LOOKED_AT: usize = 1_024;

/// Something that can be open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Thing {
    Build(Id<Build>),
    Session(Id<Session>),
    Call(Id<Call>),
    Exchange(Id<Exchange>),
    Transfer(Id<Transfer>),
    /// The step at this position.
    Step(Id<Build>, usize),
}

/// The slices of something that were told.
#[derive(Clone, Copy, Debug)]
struct Told {
    count: usize,
    until: Time,
}

/// What was told of what is open.
#[derive(Debug, Default)]
pub(super) struct Slices(BTreeMap<Thing, Told>);

fn is_due(start: Time, told: usize, now: Time) -> bool {
    let beyond = (told.saturating_sub(CUTS.len() - 1) as u64).saturating_mul(EVERY);
    let after = match CUTS.get(told) {
        Some(seconds) => *seconds,
        None => CUTS[CUTS.len() - 1].saturating_add(beyond),
    };
    now.since(start) >= Duration::from_secs(after)
}

/// A call that is open because something else is, which is told.
fn stands_for_another(row: &Call) -> bool {
    let is_control = row.service == "moby.buildkit.v1.Control";
    is_control && matches!(row.method.as_str(), "Solve" | "Status" | "Session")
}

impl Spans {
    /// Tells of what is open at `now`, if it is time to. To be called about once a second, when all
    /// updates were taken.
    pub fn open(&mut self, trace: &Trace, now: Time, out: &mut Vec<Span>) {
        let before = out.len();
        self.missed(trace, now, out);
        self.cut_all(trace, now, out);
        self.mask(&mut out[before..]);
    }

    /// Tells of what has ended although no update said so: those are dropped when they pile up.
    fn missed(&mut self, trace: &Trace, now: Time, out: &mut Vec<Span>) {
        let mut missed = Vec::new();
        self.open.calls.retain(|id| {
            let is_open = |row: &Call| row.state == CallState::Open;
            let stays = trace.calls.get(*id).is_some_and(is_open);
            missed.extend((!stays).then_some(Update::CallEnded(*id)));
            stays
        });
        self.open.exchanges.retain(|id| {
            let stays = trace
                .exchanges
                .get(*id)
                .is_some_and(|row| row.end.is_none());
            missed.extend((!stays).then_some(Update::ExchangeEnded(*id)));
            stays
        });
        for id in &self.open.sessions {
            if trace
                .sessions
                .get(*id)
                .is_none_or(|row| row.closed.is_some())
            {
                missed.push(Update::SessionClosed(*id));
            }
        }
        for id in &self.open.builds {
            if trace.builds.get(*id).is_none_or(|row| row.end.is_some()) {
                missed.push(Update::BuildEnded(*id));
            }
        }
        for id in &self.open.connections {
            if trace
                .connections
                .get(*id)
                .is_none_or(|row| row.closed.is_some())
            {
                missed.push(Update::ConnectionClosed(*id));
            }
        }
        for update in missed {
            self.take(trace, &update, now, out);
        }
    }

    fn cut_all(&mut self, trace: &Trace, now: Time, out: &mut Vec<Span>) {
        let things = self.open_things(trace);
        self.slices.0.retain(|thing, _| things.contains_key(thing));
        let mut due = BTreeSet::new();
        for (thing, start) in &things {
            let told = self.slices.0.get(thing).map_or(0, |told| told.count);
            if is_due(*start, told, now) {
                due.insert(*thing);
                let mut next = above(trace, *thing);
                while let Some(thing) = next.filter(|thing| things.contains_key(thing)) {
                    due.insert(thing);
                    next = above(trace, thing);
                }
            }
        }
        // What is above comes first: `Thing` is in that order.
        let mut cut = BTreeMap::new();
        for thing in due {
            let start = things.get(&thing).copied().unwrap_or(now);
            self.cut(trace, thing, start, now, &mut cut, out);
        }
    }

    fn open_things(&self, trace: &Trace) -> BTreeMap<Thing, Time> {
        let mut things = BTreeMap::new();
        for row in self
            .open
            .builds
            .iter()
            .filter_map(|id| trace.builds.get(*id))
        {
            things.insert(Thing::Build(row.id), row.start);
            for (at, vertex) in row.vertices.iter().enumerate() {
                if let (Some(start), None) = (vertex.started, vertex.completed) {
                    things.insert(Thing::Step(row.id, at), start);
                }
            }
        }
        for row in self
            .open
            .sessions
            .iter()
            .filter_map(|id| trace.sessions.get(*id))
        {
            things.insert(Thing::Session(row.id), row.opened);
        }
        let calls = self.open.calls.iter().rev().take(LOOKED_AT);
        for row in calls.filter_map(|id| trace.calls.get(*id)) {
            if stands_for_another(row) {
                continue;
            }
            things.insert(Thing::Call(row.id), row.start);
            let transfer = row.transfer.and_then(|id| trace.transfers.get(id));
            if let Some(row) = transfer.filter(|row| row.state == TransferState::Open) {
                things.insert(Thing::Transfer(row.id), row.start);
            }
        }
        let exchanges = self.open.exchanges.iter().rev().take(LOOKED_AT);
        for row in exchanges.filter_map(|id| trace.exchanges.get(*id)) {
            if row.build.is_none() {
                things.insert(Thing::Exchange(row.id), row.start);
            }
        }
        things
    }

    /// Tells one slice.
    fn cut(
        &mut self,
        trace: &Trace,
        thing: Thing,
        start: Time,
        now: Time,
        cut: &mut BTreeMap<Thing, SpanId>,
        out: &mut Vec<Span>,
    ) {
        let Some((place, whole, name, origin)) = self.describe(trace, thing) else {
            return;
        };
        let told = self.slices.0.get(&thing).copied();
        let (count, from) = told.map_or((0, start), |told| (told.count, told.until));
        let id = ids::below(whole, "slice", count as u64);
        let above = above(trace, thing).and_then(|above| cut.get(&above).copied());
        // The top of the slices hangs below what it is a slice of.
        let place = place.below(above.unwrap_or(whole));
        let subject = match thing {
            Thing::Build(id) => Some(Subject::Build(id)),
            Thing::Session(id) => Some(Subject::Session(id)),
            Thing::Call(id) => Some(Subject::Call(id)),
            Thing::Exchange(id) => Some(Subject::Exchange(id)),
            Thing::Transfer(id) => Some(Subject::Transfer(id)),
            Thing::Step(..) => None,
        };
        let waits = subject.and_then(|subject| self.who_waits(trace, subject, now));
        let name = match &waits {
            // Backends show the beginning of a name: rather who has to act than where.
            Some(Waits { name: waits, .. }) => format!("still {waits} ({name})"),
            None => format!("still open: {name}"),
        };
        let mut draft = Draft::new(&place, id, name, from, now);
        draft.flag("buildkit.open", true);
        draft.flag("buildkit.provisional", true);
        draft.number("buildkit.open.slice", count as u64);
        draft.add(KeyValue::new(
            "buildkit.open.seconds",
            now.since(start).as_secs_f64(),
        ));
        if let Some(waits) = waits {
            waits.note(&mut draft);
        }
        self.standing(trace, subject, &mut draft);
        out.push(draft.finish(&origin));
        let count = count.saturating_add(1);
        self.slices.0.insert(thing, Told { count, until: now });
        cut.insert(thing, id);
    }

    /// Where something is, the id of its span, what it is called, and what it comes from.
    fn describe(
        &mut self,
        trace: &Trace,
        thing: Thing,
    ) -> Option<(Place, SpanId, String, Arc<Origin>)> {
        let subject = match thing {
            Thing::Build(id) | Thing::Step(id, _) => Subject::Build(id),
            Thing::Session(id) => Subject::Session(id),
            Thing::Call(id) => Subject::Call(id),
            Thing::Exchange(id) => Subject::Exchange(id),
            Thing::Transfer(id) => Subject::Transfer(id),
        };
        let (place, id, connection) = self.known_place_of(trace, subject)?;
        let origin = match connection {
            Some(connection) => self.origins.of(trace, connection),
            None => self.origins.nobody(),
        };
        let (place, id, name) = match thing {
            Thing::Build(_) => (place, id, "build".to_owned()),
            Thing::Session(_) => (place, id, "session".to_owned()),
            Thing::Call(call) => (place, id, trace.calls.get(call)?.short_name()),
            Thing::Exchange(exchange) => {
                let row = trace.exchanges.get(exchange)?;
                (place, id, super::rows::route(row))
            }
            Thing::Transfer(transfer) => {
                let name = transfer_name(self.words, trace.transfers.get(transfer)?);
                (place, id, name)
            }
            Thing::Step(build, at) => {
                let build = trace.builds.get(build)?;
                let vertex = build.vertices.get(at)?;
                let step = ids::of_vertex(build, &vertex.digest);
                let name = self.words.step(&vertex.name).into_owned();
                (place.below(id), step, name)
            }
        };
        Some((place, id, name, origin))
    }

    /// Whose turn it is on something that is open.
    pub(super) fn who_waits(&self, trace: &Trace, subject: Subject, now: Time) -> Option<Waits> {
        let chain = chain(trace, subject, now)?;
        let last = chain.innermost()?;
        let side = last.side.filter(|_| last.state == State::Waiting)?;
        let awaited = self.words.action(last.awaited());
        Some(Waits {
            name: format!("waiting for {side}: {awaited}"),
            attributes: vec![
                KeyValue::new("buildkit.wait.side", side.as_str()),
                KeyValue::new("buildkit.wait.act", last.act.as_str()),
                KeyValue::new("buildkit.wait.layer", last.layer.as_str()),
                KeyValue::new("buildkit.wait.seconds", now.since(last.since).as_secs_f64()),
            ],
            sentence: self.words.prose(chain.sentence()).map(Into::into),
            since: last.since,
        })
    }

    /// The findings about something that is open, which stay for its final span.
    fn standing(&self, trace: &Trace, subject: Option<Subject>, draft: &mut Draft) {
        let found = subject.and_then(|subject| self.findings.get(&super::found::key(subject)));
        for row in found
            .into_iter()
            .flatten()
            .filter_map(|id| trace.findings.get(*id))
        {
            self.tell_finding(row, draft);
        }
    }
}

/// Whose turn it is, in words.
#[derive(Clone, Debug)]
pub(super) struct Waits {
    pub(super) name: String,
    attributes: Vec<KeyValue>,
    sentence: Option<String>,
    since: Time,
}

impl Waits {
    pub(super) fn note(self, draft: &mut Draft) {
        let why = self
            .sentence
            .map(|why| KeyValue::new("buildkit.wait.why", cut(&why)));
        // Backends look for spans by their attributes, and show what happened by their events.
        draft.extend(self.attributes.iter().cloned().chain(why));
        draft.event(self.since, self.name, self.attributes);
    }
}

/// What something that is open is part of.
fn above(trace: &Trace, thing: Thing) -> Option<Thing> {
    let of_session = |id: Id<Session>| {
        let session = trace.sessions.get(id)?;
        let mut builds = trace.builds.iter();
        let named = builds.find(|build| {
            let named = build.session.as_deref();
            named.is_some_and(|named| session.is_named(named))
        });
        named.map(|build| Thing::Build(build.id))
    };
    match thing {
        Thing::Build(_) => None,
        Thing::Step(build, _) => Some(Thing::Build(build)),
        Thing::Session(id) => of_session(id),
        Thing::Call(id) => {
            let row = trace.calls.get(id)?;
            match row.session {
                Some(session) => Some(Thing::Session(session)),
                None => row.build.map(Thing::Build),
            }
        }
        Thing::Exchange(_) => None,
        Thing::Transfer(id) => Some(Thing::Call(trace.transfers.get(id)?.call)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_become_rarer() {
        let due = |told, seconds: u64| is_due(Time(0), told, Time(seconds * 1_000_000_000));
        let at = |told: usize| (0..1_000).find(|seconds| due(told, *seconds));
        let cuts: Vec<_> = (0..7).map(at).collect();
        assert_eq!(cuts, [2, 10, 30, 60, 120, 180, 240].map(Some));
    }
}
