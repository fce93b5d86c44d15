//! Rules about what should have begun, or should have ended: sessions that are never opened,
//! servers that say nothing, streams that go on; and about limits that a peer announced.

use std::time::Duration;

use super::{Case, ago, report, tunnels};
use crate::core::Core;
use crate::event::Side;
use crate::obligation::Act;
use crate::trace::{
    Build, BuildState, Call, CallState, Confidence, Connection, Id, Session, Severity, Subject,
};
use crate::wire::http2::setting_name;

/// How long the daemon looks for a session (BuildKit `session/manager.go`, `group.go`).
const LOOK_UP: Duration = Duration::from_secs(5);

/// How long a Status stream may go on after its build: the Go client ends it 5 s after the last
/// word (BuildKit `client/solve.go`).
const STATUS_GOES_ON: Duration = Duration::from_secs(10);

/// How long a server may take for its SETTINGS, which it sends at once.
const HANDSHAKE: Duration = Duration::from_secs(5);

const MAX_CONCURRENT_STREAMS: u16 = 3;
const MAX_HEADER_LIST_SIZE: u16 = 6;

/// Looks at what is open.
pub(super) fn tick(core: &mut Core) {
    let now = core.now;
    let builds = core.trace.builds.iter();
    let waiting: Vec<Id<Build>> = builds
        .filter(|build| build.state == BuildState::Open && now.since(build.start) >= LOOK_UP)
        .map(|build| build.id)
        .collect();
    for id in waiting {
        other_session(core, id);
    }
    let calls = core.trace.calls.iter();
    let open: Vec<Id<Call>> = calls
        .filter(|call| call.state == CallState::Open && is_status(call))
        .map(|call| call.id)
        .collect();
    for id in open {
        status_goes_on(core, id);
    }
    let connections = core.trace.connections.iter();
    let open: Vec<Id<Connection>> = connections
        .filter(|connection| connection.closed.is_none() && connection.http2.is_some())
        .map(|connection| connection.id)
        .collect();
    for id in open {
        no_settings(core, id);
    }
}

fn is_status(call: &Call) -> bool {
    call.service == "moby.buildkit.v1.Control" && call.method == "Status"
}

/// The session that a build has waited for is not there, and one is that no build names.
fn other_session(core: &mut Core, id: Id<Build>) {
    let named = |session: &Session| {
        let mut builds = core.trace.builds.iter();
        builds.any(|build| {
            let named = build.session.as_deref();
            named.is_some_and(|named| session.is_named(named))
        })
    };
    let is_other = |session: &Session| session.closed.is_none() && !named(session);
    if core.trace.sessions.iter().any(is_other) {
        session_id_mismatch(core, id, Severity::Warning);
    }
}

/// A build failed: perhaps because its session was never opened.
pub(super) fn build_failed(core: &mut Core, id: Id<Build>) {
    let error = core
        .trace
        .builds
        .get(id)
        .and_then(|build| build.error.as_ref());
    if error.is_some_and(|error| error.contains("no active session")) {
        session_id_mismatch(core, id, Severity::Error);
    }
}

fn session_id_mismatch(core: &mut Core, id: Id<Build>, severity: Severity) {
    let Some(build) = core.trace.builds.get(id) else {
        return;
    };
    let Some(named) = build.session.clone().filter(|named| !named.is_empty()) else {
        return;
    };
    let is_it = |session: &Session| session.is_named(&named);
    if core.trace.sessions.iter().any(is_it) {
        return;
    }
    let asked_on = core.trace.asked_on(build);
    if asked_on.is_some_and(|id| core.trace.is_partial(id)) {
        return;
    }
    let there: Vec<String> = core
        .trace
        .sessions
        .iter()
        .take(8)
        .map(|session| session.uuid.clone())
        .collect();
    let there = match there.is_empty() {
        true => "no session was opened at all".to_owned(),
        false => format!("the sessions that were opened: {}", there.join(", ")),
    };
    report(
        core,
        Case {
            code: "session-id-mismatch",
            severity,
            // It may still come, until the daemon says that it has waited for it in vain.
            confidence: match severity {
                Severity::Error => Confidence::Certain,
                _ => Confidence::Likely,
            },
            waiting_on: Some(Side::Client),
            subject: Subject::Build(id),
            summary: format!(
                "Build {id} names session {named}, which the client never opened."
            ),
            advice: "Make up one id for each build, and use it for the session and in the build: the daemon \
                     waits 5 s for a session with that very id."
                .into(),
            evidence: vec![there],
        },
    );
}

/// A session was opened: perhaps long after a build had asked for it.
pub(super) fn session_opened(core: &mut Core, id: Id<Session>) {
    let now = core.now;
    let Some(session) = core.trace.sessions.get(id) else {
        return;
    };
    let waits = |build: &Build| {
        let named = build.session.as_deref();
        let is_waiting = matches!(build.state, BuildState::Open | BuildState::Failed);
        is_waiting
            && now.since(build.start) > LOOK_UP
            && named.is_some_and(|named| session.is_named(named))
    };
    let late = core.trace.builds.iter().find(|build| waits(build));
    let Some((start, build)) = late.map(|build| (build.start, build.id)) else {
        return;
    };
    // An earlier one of the same id was there in time.
    let earlier = |other: &Session| other.id < id && other.uuid == session.uuid;
    if core.trace.sessions.iter().any(earlier) {
        return;
    }
    let uuid = session.uuid.clone();
    report(
        core,
        Case {
            code: "session-too-late",
            severity: Severity::Warning,
            confidence: Confidence::Likely,
            waiting_on: None,
            subject: Subject::Session(id),
            summary: format!(
                "Session {uuid} was opened {} after build {build} had been asked for.",
                ago(now, start)
            ),
            advice: "Open the session first, or at the same time as the build: the daemon looks for it for \
                     5 s and then says that there is no active session."
                .into(),
            evidence: vec![format!("build {build} names it, and was asked for before")],
        },
    );
}

/// The build is answered, and its Status stream goes on.
fn status_goes_on(core: &mut Core, id: Id<Call>) {
    let now = core.now;
    let Some(call) = core.trace.calls.get(id) else {
        return;
    };
    let build = call.build.and_then(|build| core.trace.builds.get(build));
    let Some((end, build)) = build.and_then(|build| Some((build.end?, build.id))) else {
        return;
    };
    let last = call.response.last.max(Some(end)).unwrap_or(end);
    if now.since(last) < STATUS_GOES_ON || core.trace.is_partial(call.connection) {
        return;
    }
    let callee = call.caller.peer();
    report(
        core,
        Case {
            code: "status-never-ends",
            severity: Severity::Warning,
            confidence: Confidence::Likely,
            waiting_on: Some(callee),
            subject: Subject::Call(id),
            summary: format!(
                "Build {build} was answered {} ago, but the {callee} does not end its Status stream.",
                ago(now, end)
            ),
            advice: "Do not wait for the end of Status once Solve was answered: cancel it a few seconds \
                     after its last message, as the Go client does."
                .into(),
            evidence: vec![format!(
                "call {id}: the last message came {} ago, no trailers since",
                ago(now, last)
            )],
        },
    );
}

/// The HTTP/2 client has spoken, and the server has not.
fn no_settings(core: &mut Core, id: Id<Connection>) {
    let now = core.now;
    let owed = core.trace.obligation(Subject::Connection(id), now);
    let owed =
        owed.filter(|owed| owed.act == Act::BeginHttp2 && now.since(owed.since) >= HANDSHAKE);
    let Some((callee, since)) = owed.and_then(|owed| Some((owed.side?, owed.since))) else {
        return;
    };
    let caller = callee.peer();
    if core.trace.is_partial(id) || tunnels::no_settings(core, id) {
        return;
    }
    report(
        core,
        Case {
            code: "handshake-timeout",
            severity: Severity::Warning,
            confidence: Confidence::Likely,
            waiting_on: Some(callee),
            subject: Subject::Connection(id),
            summary: format!(
                "The {callee} has not begun to speak HTTP/2 on connection {id}: it owes its SETTINGS for {}.",
                ago(now, since)
            ),
            advice: format!(
                "Look whether the {callee} is alive and speaks HTTP/2 there: a server sends SETTINGS at once, \
                 and clients give up waiting for them."
            ),
            evidence: vec![format!(
                "connection {id}: the {caller} sent its preface, and no frame came back"
            )],
        },
    );
}

/// A header block of `from` was sent that takes so many bytes as SETTINGS_MAX_HEADER_LIST_SIZE
/// counts (RFC 9113 §6.5.2).
pub(super) fn header_list(
    core: &mut Core,
    id: Id<Connection>,
    from: Side,
    stream_id: u32,
    size: usize,
) {
    let limit = announced(core, id, from.peer(), MAX_HEADER_LIST_SIZE);
    let Some(limit) = limit.filter(|limit| size as u64 > u64::from(*limit)) else {
        return;
    };
    let peer = from.peer();
    report(
        core,
        Case {
            code: "header-list-too-large",
            severity: Severity::Warning,
            confidence: Confidence::Likely,
            waiting_on: None,
            subject: Subject::Connection(id),
            summary: format!(
                "The {from} sends headers of {size} bytes, and the {peer} takes no more than {limit}."
            ),
            advice:
                "Long lists of include and exclude patterns, and of offered methods, are headers: \
                     shorten them, or let the receiver announce a larger limit."
                    .into(),
            evidence: vec![format!(
                "connection {id}, stream {stream_id}; {} of the {peer}: {limit}",
                setting_name(MAX_HEADER_LIST_SIZE)
            )],
        },
    );
}

/// How many calls `caller` may have open at a time, if its peer has said so.
pub(crate) fn stream_limit(core: &Core, id: Id<Connection>, caller: Side) -> Option<u32> {
    let limit = announced(core, id, caller.peer(), MAX_CONCURRENT_STREAMS);
    limit.filter(|limit| *limit > 0)
}

/// A call was opened, as one of so many that are open, which is the limit or beyond it.
pub(super) fn stream_limit_reached(
    core: &mut Core,
    id: Id<Connection>,
    caller: Side,
    open: usize,
    limit: u32,
) {
    report(
        core,
        Case {
            code: "stream-limit-reached",
            severity: Severity::Warning,
            confidence: Confidence::Likely,
            waiting_on: Some(caller.peer()),
            subject: Subject::Connection(id),
            summary: format!(
                "The {caller} has {open} calls open on connection {id}, as many as the {} allows: more of \
                 them wait unseen.",
                caller.peer()
            ),
            advice: "End calls that are not needed any more, or announce a larger limit: what waits in the \
                     caller does not show on the wire."
                .into(),
            evidence: vec![format!(
                "connection {id}: {} of the {}: {limit}",
                setting_name(MAX_CONCURRENT_STREAMS),
                caller.peer()
            )],
        },
    );
}

fn announced(core: &Core, id: Id<Connection>, side: Side, number: u16) -> Option<u32> {
    let connection = core.trace.connections.get(id)?;
    connection.http2.as_ref()?.setting(side, number)
}
