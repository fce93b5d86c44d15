//! What each kind of open thing waits for.

use std::cmp::Reverse;
use std::time::Duration;

use super::{Act, Layer, Obligation, State, hindrance};
use crate::event::{Side, Time};
use crate::protocol::engine::{Route, Target};
use crate::trace::{
    Build, BuildState, Call, CallState, Exchange, Flavour, Session, Subject, Trace, Transfer,
    TransferState,
};

/// What moved so lately is moving.
const MOVING: Duration = Duration::from_secs(1);

/// Whether something that happened at `last` is still going on.
fn moves(now: Time, last: Option<Time>) -> bool {
    last.is_some_and(|last| now.since(last) < MOVING)
}

fn idle(subject: Subject, layer: Layer, since: Time) -> Obligation {
    Obligation {
        subject,
        layer,
        side: None,
        act: Act::Nothing,
        action: String::new(),
        since,
        state: State::Idle,
        behind: None,
        blocks: Vec::new(),
    }
}

pub(super) fn transfer(trace: &Trace, row: &Transfer, now: Time) -> Option<Obligation> {
    let call = trace.calls.get(row.call)?;
    if row.state != TransferState::Open {
        return None;
    }
    let subject = Subject::Transfer(row.id);
    let sender = row.sender();
    let layer = Layer::Packets;
    let (side, act, action, since, state) = match row.machine.turn() {
        Some(turn) if row.flavour == Flavour::Packet => {
            // Bytes within a message are progress, too.
            let last = call.sent_by(turn.side).last;
            let since = last.unwrap_or(turn.since).max(turn.since);
            let state = match moves(now, last) {
                true => State::Busy,
                false => State::Waiting,
            };
            (turn.side, turn.act, turn.action, since, state)
        }
        None if row.flavour == Flavour::Packet => return Some(idle(subject, layer, row.start)),
        _ => {
            let sent = call.sent_by(sender);
            match sent.ended {
                // Everything was sent: the receiver writes it down and then ends the call.
                Some(ended) => {
                    let action = "end the call, once it has taken everything".to_owned();
                    let receiver = sender.peer();
                    // It ends the call when the engine that it gives an image to has answered.
                    let load = image_load(trace).filter(|_| receiver == Side::Client);
                    let is_work = load.is_some_and(|load| load.end.is_none());
                    let since = load.and_then(|load| load.end).max(Some(ended));
                    let state = match is_work || moves(now, since) {
                        true => State::Busy,
                        false => State::Waiting,
                    };
                    (
                        receiver,
                        Act::EndCall,
                        action,
                        since.unwrap_or(ended),
                        state,
                    )
                }
                None if row.archive_end.is_some() => {
                    let since = row.archive_end.unwrap_or(call.start);
                    let state = match moves(now, Some(since)) {
                        true => State::Busy,
                        false => State::Waiting,
                    };
                    let action = "end the stream: the archive is complete".to_owned();
                    (sender, Act::EndCall, action, since, state)
                }
                // The sender owes nothing at any time: it may still be making the archive.
                None => {
                    let action = match row.flavour {
                        Flavour::Unknown => "send something that tells what it sends",
                        _ => "send the rest of the archive",
                    };
                    let since = sent.last.unwrap_or(call.start);
                    (
                        sender,
                        Act::SendArchive,
                        action.to_owned(),
                        since,
                        State::Busy,
                    )
                }
            }
        }
    };
    let behind = hindrance::of(trace, call.connection, Some(call.id), side);
    Some(Obligation {
        subject,
        layer,
        side: Some(side),
        act,
        action,
        since,
        state: match (&behind, moves(now, Some(since))) {
            (Some(_), false) => State::Waiting,
            _ => state,
        },
        behind: behind.map(|behind| behind.subject),
        blocks: Vec::new(),
    })
}

/// The request by which an image was last loaded into an engine.
fn image_load(trace: &Trace) -> Option<&Exchange> {
    trace.exchanges.iter().rev().find(|exchange| {
        Target::parse(&exchange.method, &exchange.target).route == Route::ImagesLoad
    })
}

pub(super) fn call(trace: &Trace, row: &Call, now: Time) -> Option<Obligation> {
    if row.state != CallState::Open {
        return None;
    }
    if let Some(id) = row.transfer {
        return transfer(trace, trace.transfers.get(id)?, now);
    }
    let subject = Subject::Call(row.id);
    let asks = row.request.last.unwrap_or(row.start);
    let last = row.response.last.max(Some(asks)).unwrap_or(asks);
    let nothing = idle(subject, Layer::Call, last);
    let callee = row.caller.peer();
    let owed = match (row.service.as_str(), row.method.as_str()) {
        ("moby.buildkit.v1.Control", "Session") => None,
        ("moby.buildkit.v1.Control", "Status") => {
            let build = row.build.and_then(|build| trace.builds.get(build));
            let end = build.and_then(|build| build.end);
            end.map(|end| (callee, Act::EndCall, "end the call", last.max(end)))
        }
        // Whoever was asked last has the word; what is asked in two slices may be answered in one.
        ("moby.sshforward.v1.SSH", "ForwardAgent") => (row.request.messages > 0
            && row.request.last > row.response.last)
            .then_some((callee, Act::Answer, "answer", asks)),
        _ if row.response.messages > 0 && row.response.ended.is_none() => None,
        _ if row.request.messages == 0 && row.request.ended.is_none() => {
            let since = row.request.last.unwrap_or(row.start);
            Some((row.caller, Act::SendRequest, "send its request", since))
        }
        _ => Some((callee, Act::Answer, "answer", last)),
    };
    let Some((side, act, action, since)) = owed else {
        return Some(nothing);
    };
    let behind = hindrance::of(trace, row.connection, Some(row.id), side);
    // A daemon that is asked works for as long as it takes; a client that is asked answers at once.
    let is_work = side == Side::Daemon && act == Act::Answer && row.session.is_none();
    Some(Obligation {
        side: Some(side),
        act,
        action: action.to_owned(),
        since,
        state: match is_work && behind.is_none() || moves(now, Some(since)) {
            true => State::Busy,
            false => State::Waiting,
        },
        behind: behind.map(|behind| behind.subject).or_else(|| {
            let is_solve = row.service == "moby.buildkit.v1.Control" && row.method == "Solve";
            row.build.filter(|_| is_solve).map(Subject::Build)
        }),
        ..nothing
    })
}

pub(super) fn exchange(trace: &Trace, row: &Exchange, now: Time) -> Option<Obligation> {
    if row.end.is_some() {
        return None;
    }
    let connection = trace.connections.get(row.connection)?;
    let (side, act, action) = match (row.request_end, row.answered) {
        (None, _) => (
            Side::Client,
            Act::SendRequest,
            "send the rest of its request",
        ),
        (Some(_), None) => (Side::Daemon, Act::Answer, "answer"),
        (Some(_), Some(_)) => (Side::Daemon, Act::Answer, "send the rest of its answer"),
    };
    let since = connection
        .last_bytes
        .get(side)
        .unwrap_or(row.start)
        .max(row.start);
    let behind = hindrance::of(trace, row.connection, None, side);
    let is_work = side == Side::Daemon && behind.is_none();
    Some(Obligation {
        side: Some(side),
        act,
        action: action.to_owned(),
        state: match is_work || moves(now, Some(since)) {
            true => State::Busy,
            false => State::Waiting,
        },
        behind: behind.map(|behind| behind.subject),
        ..idle(Subject::Exchange(row.id), Layer::Exchange, since)
    })
}

pub(super) fn session(trace: &Trace, row: &Session, now: Time) -> Option<Obligation> {
    if row.closed.is_some() {
        return None;
    }
    let nothing = idle(Subject::Session(row.id), Layer::Session, row.opened);
    if row.accepted.is_none() {
        return Some(Obligation {
            side: Some(Side::Daemon),
            act: Act::AcceptSession,
            action: "accept the session".to_owned(),
            state: match moves(now, Some(row.opened)) {
                true => State::Busy,
                false => State::Waiting,
            },
            ..nothing
        });
    }
    let Some(callback) = callback(trace, row, now) else {
        return Some(nothing);
    };
    Some(Obligation {
        side: callback.side,
        act: callback.act,
        action: callback.action,
        since: callback.since,
        state: callback.state,
        behind: Some(callback.subject),
        ..nothing
    })
}

/// The callback of a session that matters most: one that somebody waits for before one that goes
/// on, the build's own before a health check, the oldest.
fn callback(trace: &Trace, session: &Session, now: Time) -> Option<Obligation> {
    let calls = trace.calls.iter();
    let open = calls
        .filter(|call| call.session == Some(session.id) && call.state == CallState::Open)
        .filter_map(|row| Some((row, call(trace, row, now)?)))
        .filter(|(_, owed)| owed.state != State::Idle);
    let first = open.min_by_key(|(row, owed)| {
        let is_health = row.service.ends_with(".Health");
        (is_health, Reverse(owed.state), owed.since, row.id)
    });
    first.map(|(_, owed)| owed)
}

pub(super) fn build(trace: &Trace, row: &Build, now: Time) -> Option<Obligation> {
    if row.state != BuildState::Open || (row.call.is_none() && row.exchange.is_none()) {
        return None;
    }
    let asked = idle(Subject::Build(row.id), Layer::Build, row.start);
    let session = row
        .session
        .as_deref()
        .map(|named| trace.session_named(named));
    if let (Some(None), true) = (&session, row.vertices.is_empty()) {
        return Some(Obligation {
            side: Some(Side::Client),
            act: Act::OpenSession,
            action: format!(
                "open session {}",
                row.session.as_deref().unwrap_or_default()
            ),
            state: State::Waiting,
            ..asked
        });
    }
    let answers = Obligation {
        side: Some(Side::Daemon),
        act: Act::Solve,
        ..asked
    };
    let callback = session
        .flatten()
        .and_then(|session| callback(trace, session, now));
    let upload = row.exchange.and_then(|id| trace.exchanges.get(id));
    let upload = upload.filter(|upload| upload.request_end.is_none());
    let upload = upload.and_then(|upload| exchange(trace, upload, now));
    let behind = callback.into_iter().chain(upload);
    if let Some(behind) = behind.min_by_key(|behind| (Reverse(behind.state), behind.since)) {
        return Some(Obligation {
            action: "answer the build".to_owned(),
            since: behind.since,
            state: behind.state,
            behind: Some(behind.subject),
            ..answers
        });
    }
    // The answer itself, and what is told of the steps, may be held up.
    let behind = hindrance::of_obligation(trace, &answers);
    if let Some(behind) = behind.filter(|behind| !moves(now, Some(behind.since))) {
        return Some(Obligation {
            action: "answer the build".to_owned(),
            since: behind.since,
            state: State::Waiting,
            behind: Some(behind.subject),
            ..answers
        });
    }
    let running = row.vertices.iter().find(|vertex| {
        vertex.started.is_some() && vertex.completed.is_none() && vertex.error.is_none()
    });
    // Steps are timed by the daemon's clock, which may be another.
    let started = running.and_then(|vertex| vertex.started);
    let started = started.filter(|at| (row.start..=now).contains(at));
    let action = match running {
        Some(step) => format!("finish the step \"{}\"", step.name),
        None => "answer the build".to_owned(),
    };
    Some(Obligation {
        action,
        since: started.unwrap_or(row.start),
        state: State::Busy,
        ..answers
    })
}

/// What cannot go on before an obligation is met, the nearest first.
pub(super) fn blocked(trace: &Trace, obligation: &Obligation) -> Vec<Subject> {
    if obligation.state == State::Idle {
        return Vec::new();
    }
    let mut blocked = Vec::new();
    let mut add = |subject| {
        let is_known = blocked.contains(&subject) || subject == obligation.subject;
        if !is_known && blocked.len() < Obligation::BLOCKS {
            blocked.push(subject);
        }
    };
    let mut of_call = |call: &Call| {
        add(Subject::Call(call.id));
        call.transfer
            .into_iter()
            .for_each(|id| add(Subject::Transfer(id)));
        call.session
            .into_iter()
            .for_each(|id| add(Subject::Session(id)));
        let session = call.session.and_then(|id| trace.sessions.get(id));
        for build in trace
            .builds
            .iter()
            .filter(|build| build.state == BuildState::Open)
        {
            let named = build.session.as_deref();
            let uses =
                session.is_some_and(|session| named.is_some_and(|named| session.is_named(named)));
            if call.build.map_or(uses, |id| id == build.id) {
                add(Subject::Build(build.id));
            }
        }
    };
    match obligation.subject {
        Subject::Transfer(id) => {
            let transfer = trace.transfers.get(id);
            let call = transfer.and_then(|transfer| trace.calls.get(transfer.call));
            call.into_iter().for_each(&mut of_call);
        }
        Subject::Call(id) => trace.calls.get(id).into_iter().for_each(&mut of_call),
        Subject::Session(id) => {
            let session = trace.sessions.get(id);
            let builds = trace
                .builds
                .iter()
                .filter(|build| build.state == BuildState::Open);
            builds
                .filter(|build| {
                    let named = build.session.as_deref();
                    session.is_some_and(|session| named.is_some_and(|it| session.is_named(it)))
                })
                .for_each(|build| add(Subject::Build(build.id)));
        }
        Subject::Exchange(id) => {
            let build = trace.exchanges.get(id).and_then(|exchange| exchange.build);
            build
                .into_iter()
                .for_each(|build| add(Subject::Build(build)));
        }
        Subject::Build(_) => {}
        Subject::Connection(id) => {
            let inside = |mut connection| {
                loop {
                    if connection == id {
                        return true;
                    }
                    let row = trace.connections.get(connection);
                    let Some((outer, _)) = row.and_then(|row| row.parent) else {
                        return false;
                    };
                    connection = outer;
                }
            };
            let calls = trace.calls.iter();
            calls
                .filter(|call| call.state == CallState::Open && inside(call.connection))
                .for_each(&mut of_call);
        }
    }
    blocked
}
