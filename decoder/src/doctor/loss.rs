//! Rules about a daemon that is gone, or that is not the one that was meant.

use std::time::Duration;

use super::{Case, ago, report, sessions};
use crate::core::Core;
use crate::event::{Side, Time};
use crate::trace::{Build, BuildState, Confidence, Connection, Id, Session, Severity, Subject};
use crate::wire::http2::error_code_name;

/// What ends within so much time ends at once.
const AT_ONCE: Duration = Duration::from_secs(1);

fn is_near(a: Time, b: Time) -> bool {
    a.since(b).max(b.since(a)) <= AT_ONCE
}

/// A connection ended: perhaps the last of a daemon that died.
pub(super) fn connection_closed(core: &mut Core) {
    let now = core.now;
    let lately = core.trace.builds.iter().rev().take(64);
    let lost: Vec<Id<Build>> = lately
        .filter(|build| build.state == BuildState::Failed)
        .filter(|build| build.end.is_some_and(|end| is_near(now, end)))
        .map(|build| build.id)
        .collect();
    for id in lost {
        sessions::failed(core, id);
    }
}

/// How long the end of one connection may be ahead of that of the others.
const BEHIND: Duration = Duration::from_millis(250);

/// Whether a build was lost with its connection, and that of its session may be about to end, too.
pub(super) fn is_pending(core: &Core, id: Id<Build>) -> bool {
    let Some(build) = core.trace.builds.get(id) else {
        return false;
    };
    let named = build.session.as_deref();
    let session = named.and_then(|named| core.trace.session_named(named));
    let is_recent = build.end.is_some_and(|end| core.now.since(end) < BEHIND);
    is_recent && is_lost(core, build) && session.is_some_and(|session| session.closed.is_none())
}

/// Looks at builds that were lost and of which no more came to be known.
pub(super) fn tick(core: &mut Core) {
    let now = core.now;
    let lately = core.trace.builds.iter().rev().take(64);
    let lost: Vec<Id<Build>> = lately
        .filter(|build| build.state == BuildState::Failed && is_lost(core, build))
        .filter(|build| build.end.is_some_and(|end| now.since(end) >= BEHIND))
        .map(|build| build.id)
        .filter(|id| {
            let told = |code| core.found(code, Subject::Build(*id)).is_some();
            !told("build-failed") && !told("build-error-in-stream")
        })
        .collect();
    for id in lost {
        sessions::failed(core, id);
    }
}

/// Whether a build ended with its connection, and not by the client.
fn is_lost(core: &Core, build: &Build) -> bool {
    let call = build.call.and_then(|call| core.trace.calls.get(call));
    let exchange = build.exchange.and_then(|id| core.trace.exchanges.get(id));
    match (call, exchange) {
        (Some(call), _) => {
            let reset = call.reset.as_ref();
            call.status.is_none()
                && reset.is_some_and(|it| it.code.is_none() && it.by != Some(Side::Client))
        }
        (None, Some(exchange)) => exchange.cut_short && exchange.error.is_none(),
        (None, None) => false,
    }
}

/// A build was lost because its connection ended, and so did that of its session: nobody is left.
pub(super) fn daemon_died(core: &mut Core, id: Id<Build>) {
    let Some(build) = core.trace.builds.get(id) else {
        return;
    };
    let (Some(end), Some(asked_on)) = (build.end, core.trace.asked_on(build)) else {
        return;
    };
    let lost = is_lost(core, build);
    let named = build.session.as_deref();
    let session = named.and_then(|named| core.trace.session_named(named));
    let Some(session) = session.filter(|_| lost && !core.trace.is_partial(asked_on)) else {
        return;
    };
    let (build_root, session_root) = (
        core.trace.root(asked_on),
        core.trace.root(session.connection),
    );
    let ended_too = |session: &Session| {
        let closed = session.closed;
        closed.is_some_and(|(at, by)| by != Some(Side::Client) && is_near(at, end))
    };
    if build_root != session_root && !ended_too(session) {
        return;
    }
    let age = ago(end, build.start);
    let goodbye = [asked_on, session.connection, build_root]
        .into_iter()
        .find_map(|id| {
            let http2 = core.trace.connections.get(id)?.http2.as_ref()?;
            let goaway = http2.goaway.get(Side::Daemon).as_ref()?;
            Some((id, goaway.code, goaway.debug.clone()))
        });
    let evidence = format!(
        "connection {build_root} of the build and connection {session_root} of session {} ended without an answer",
        session.uuid
    );
    let (code, subject, summary, advice, evidence) = match goodbye {
        // A breach of the protocol is told where it happened.
        Some((_, code, _)) if code != 0 => return,
        Some((on, code, debug)) => (
            "goaway",
            Subject::Connection(on),
            format!(
                "The daemon shut its connections down in good order, {age} into build {id}, which is lost."
            ),
            "The daemon was stopped or restarted (systemctl, an idle autoscaler, a new version) while it built.",
            vec![
                format!(
                    "GOAWAY on connection {on}: {} {debug}",
                    error_code_name(code)
                ),
                evidence,
            ],
        ),
        None => (
            "daemon-died",
            Subject::Build(id),
            format!(
                "The daemon is gone: it ended all connections of build {id} at once and without a word, after {age}."
            ),
            "Look at the daemon's log and the kernel's (out of memory?) for that moment, and whether it was \
             restarted or cut off.",
            vec![evidence],
        ),
    };
    let case = Case {
        code,
        severity: Severity::Error,
        confidence: Confidence::Certain,
        waiting_on: None,
        subject,
        summary,
        advice: advice.into(),
        evidence,
    };
    report(core, case);
}

/// A build failed for want of a session that is there.
pub(super) fn on_other_daemon(core: &mut Core, id: Id<Build>) {
    let Some(build) = core.trace.builds.get(id) else {
        return;
    };
    let says = |text: &Option<String>| {
        text.as_ref()
            .is_some_and(|it| it.contains("no active session"))
    };
    let failed = says(&build.error) || build.vertices.iter().any(|vertex| says(&vertex.error));
    let session = build
        .session
        .as_deref()
        .and_then(|named| core.trace.session_named(named));
    let (Some(session), Some(asked_on)) = (session.filter(|_| failed), core.trace.asked_on(build))
    else {
        return;
    };
    let alike = core
        .trace
        .sessions
        .iter()
        .filter(|other| other.uuid == session.uuid);
    // It was there in time, all the time, and once.
    let late = session.opened.since(build.start) >= Duration::from_secs(5);
    if session.closed.is_some() || session.accepted.is_none() || late || alike.count() > 1 {
        return;
    }
    let address = |id: Id<Connection>| {
        let root = core.trace.connections.get(core.trace.root(id));
        root.map(|row| row.endpoints.daemon.clone())
            .unwrap_or_default()
    };
    let (of_build, of_session) = (address(asked_on), address(session.connection));
    let confidence = match of_build == of_session {
        true => Confidence::Likely,
        false => Confidence::Certain,
    };
    let evidence = vec![
        format!("the build was asked for on connection {asked_on}, at {of_build}"),
        format!(
            "session {} is open on connection {}, at {of_session}",
            session.uuid, session.connection
        ),
    ];
    let case = Case {
        code: "session-on-other-daemon",
        severity: Severity::Error,
        confidence,
        waiting_on: None,
        subject: Subject::Build(id),
        summary: format!(
            "Build {id} failed because its daemon does not know session {}, which is open: build and session went to \
             different daemons.",
            session.uuid
        ),
        advice: "Whatever spreads connections over daemons must send both to the same one; or use Control.Session \
                 on the connection of the build."
            .into(),
        evidence,
    };
    report(core, case);
}
