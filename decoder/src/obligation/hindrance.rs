//! What keeps a side from acting although it is its turn: sockets that are not read, windows that
//! are used up, at every level of nesting.

use super::{Act, Layer, Obligation, State};
use crate::event::{Side, Time};
use crate::trace::{Call, CallState, Connection, Id, Subject, Trace};

/// Levels of nesting that are looked at: no more are decoded.
const DEPTH: usize = 16;

/// What keeps `side` from acting on a connection, on the stream of `call` if that is one. The
/// outermost level counts: what is not read there does not arrive further in.
pub(super) fn of(
    trace: &Trace,
    connection: Id<Connection>,
    call: Option<Id<Call>>,
    side: Side,
) -> Option<Obligation> {
    let mut levels = Vec::new();
    let mut next = Some((connection, call));
    while let Some((id, call)) = next.filter(|_| levels.len() < DEPTH) {
        let row = trace.connections.get(id);
        levels.extend(row.map(|row| (row, call.and_then(|call| trace.calls.get(call)))));
        next = row.and_then(|row| Some((row.parent?.0, Some(row.parent?.1))));
    }
    levels.into_iter().rev().find_map(|(connection, call)| {
        // What it was told and has not taken comes first: until then it may not know its turn.
        let of_connection = [side, side.peer()]
            .into_iter()
            .find_map(|by| socket(connection, by))
            .or_else(|| {
                let mut sides = [side, side.peer()].into_iter();
                sides.find_map(|by| connection_window(connection, by))
            });
        of_connection.or_else(|| {
            let mut sides = [side, side.peer()].into_iter();
            sides.find_map(|by| stream_window(call?, by))
        })
    })
}

/// What keeps the side that an obligation names from acting.
pub(super) fn of_obligation(trace: &Trace, owed: &Obligation) -> Option<Obligation> {
    let (connection, call) = match owed.subject {
        Subject::Call(id) => (trace.calls.get(id)?.connection, Some(id)),
        Subject::Transfer(id) => {
            let call = trace.transfers.get(id)?.call;
            (trace.calls.get(call)?.connection, Some(call))
        }
        Subject::Exchange(id) => (trace.exchanges.get(id)?.connection, None),
        Subject::Build(id) => {
            let build = trace.builds.get(id)?;
            (trace.asked_on(build)?, build.call)
        }
        Subject::Session(_) | Subject::Connection(_) => return None,
    };
    of(trace, connection, call, owed.side?)
}

/// What holds a connection up, whoever is concerned by it.
pub(super) fn of_connection(
    trace: &Trace,
    connection: &Connection,
) -> impl Iterator<Item = Obligation> {
    let is_open = connection.closed.is_none();
    let carries = || {
        let mut calls = trace.calls.iter();
        calls.any(|call| call.connection == connection.id && call.state == CallState::Open)
    };
    let sockets = Side::BOTH.map(|by| socket(connection, by));
    let windows = Side::BOTH.map(|by| connection_window(connection, by).filter(|_| carries()));
    let all = sockets.into_iter().chain(windows);
    all.chain([handshake(connection)])
        .flatten()
        .filter(move |_| is_open)
}

fn obligation(subject: Subject, layer: Layer, by: Side, act: Act, since: Time) -> Obligation {
    let action = match act {
        Act::ReadSocket => "read from its socket",
        Act::OpenConnectionWindow => "send WINDOW_UPDATE for the connection",
        Act::BeginHttp2 => "send SETTINGS",
        _ => "send WINDOW_UPDATE for the stream",
    };
    Obligation {
        subject,
        layer,
        side: Some(by),
        act,
        action: action.to_owned(),
        since,
        state: State::Waiting,
        behind: None,
        blocks: Vec::new(),
    }
}

/// `by` does not read from the socket.
fn socket(connection: &Connection, by: Side) -> Option<Obligation> {
    let since = (*connection.not_reading.get(by))?;
    let subject = Subject::Connection(connection.id);
    let (layer, act) = (Layer::Socket, Act::ReadSocket);
    Some(obligation(subject, layer, by, act, since))
}

/// `by` has let the connection's window of its peer run out.
fn connection_window(connection: &Connection, by: Side) -> Option<Obligation> {
    let since = (*connection.http2.as_ref()?.no_window.get(by.peer()))?;
    let subject = Subject::Connection(connection.id);
    let (layer, act) = (Layer::ConnectionWindow, Act::OpenConnectionWindow);
    Some(obligation(subject, layer, by, act, since))
}

/// The same of a stream.
fn stream_window(call: &Call, by: Side) -> Option<Obligation> {
    let since = (*call.no_window.get(by.peer()))?;
    let subject = Subject::Call(call.id);
    let (layer, act) = (Layer::StreamWindow, Act::OpenStreamWindow);
    Some(obligation(subject, layer, by, act, since))
}

/// The HTTP/2 client has spoken, and the server has not.
fn handshake(connection: &Connection) -> Option<Obligation> {
    let http2 = connection.http2.as_ref()?;
    let (caller, callee) = (http2.caller, http2.caller.peer());
    let is_silent = *http2.frames.get(callee) == 0 && *http2.frames.get(caller) > 0;
    let is_over = connection.half_closed.get(callee).is_some();
    let since = connection
        .last_bytes
        .get(caller)
        .unwrap_or(connection.opened);
    let subject = Subject::Connection(connection.id);
    (is_silent && !is_over)
        .then(|| obligation(subject, Layer::Http2, callee, Act::BeginHttp2, since))
}
