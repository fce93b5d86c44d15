//! What a filter keeps: what is said of things that it matches, and of what belongs to them.

use buildtap_decoder::Decoder;
use buildtap_decoder::event::Time;
use buildtap_decoder::filter::{Filter, Thing, Things};
use buildtap_decoder::trace::{Trace, Update};

/// Decides what is shown.
#[derive(Debug)]
pub struct Keep {
    filter: Filter,
    /// How things stand at the end, where that is known before they are shown.
    end: Option<Box<Decoder>>,
    /// The time of what is being shown.
    now: Time,
}

impl Keep {
    /// Keeps what `filter` matches. `end` has decoded all of what is to be shown: then it is the
    /// end that decides, else how things stand when they are shown.
    pub fn new(filter: Filter, end: Option<Decoder>) -> Self {
        Keep {
            filter,
            end: end.map(Box::new),
            now: Time::default(),
        }
    }

    /// What follows is shown at this time.
    pub(super) fn at(&mut self, now: Time) {
        self.now = now;
    }

    /// Whether what is said because of an update is kept.
    pub(super) fn update(&self, trace: &Trace, update: &Update) -> bool {
        let here = Things {
            trace,
            now: self.now,
        };
        let end = self.end.as_deref().map(|end| Things {
            trace: end.trace(),
            now: end.now(),
        });
        // Tables have limits: what is here now may be gone at the end.
        let found =
            |things: Things<'_>| thing(things.trace, update).map(|thing| self.keeps(things, thing));
        end.and_then(found)
            .or_else(|| found(here))
            .unwrap_or_default()
    }

    fn keeps(&self, things: Things<'_>, thing: Thing<'_>) -> bool {
        let mut next = Some(thing);
        while let Some(thing) = next {
            if self.filter.matches(&things.row(thing)) {
                return true;
            }
            next = things.owner(thing);
        }
        false
    }
}

/// What an update is about.
fn thing<'a>(trace: &'a Trace, update: &'a Update) -> Option<Thing<'a>> {
    match update {
        Update::ConnectionOpened(id) | Update::ConnectionClosed(id) => {
            trace.connections.get(*id).map(Thing::Connection)
        }
        Update::SessionOpened(id) | Update::SessionClosed(id) => {
            trace.sessions.get(*id).map(Thing::Session)
        }
        Update::CallStarted(id) | Update::CallEnded(id) => trace.calls.get(*id).map(Thing::Call),
        Update::Message(message) => Some(Thing::Message(message)),
        Update::ExchangeStarted(id) | Update::ExchangeEnded(id) => {
            trace.exchanges.get(*id).map(Thing::Exchange)
        }
        Update::TransferDecided(id) | Update::TransferEnded(id) => {
            trace.transfers.get(*id).map(Thing::Transfer)
        }
        Update::File(transfer, file) => Some(Thing::File(*transfer, file)),
        Update::BuildStarted(id) | Update::BuildEnded(id) => {
            trace.builds.get(*id).map(Thing::Build)
        }
        Update::Vertex(id, at) => {
            let build = trace.builds.get(*id)?;
            Some(Thing::Vertex(build, build.vertices.get(*at)?))
        }
        Update::Finding(id) => trace.findings.get(*id).map(Thing::Finding),
        Update::Text(text) => Some(Thing::Text(text)),
        Update::Said(_) | Update::Waited(_) | Update::Printed(..) | Update::Frame(_) => None,
    }
}
