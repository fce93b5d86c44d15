//! Rules about sessions and builds.

use std::time::Duration;

use super::{Case, ago, control, loss, report, setup};
use crate::core::Core;
use crate::event::Side;
use crate::protocol::engine::{Remote, Route, Target};
use crate::trace::{
    Build, BuildState, Call, CallState, Confidence, Exporter, Id, Session, SessionPath, Severity,
    Subject, TransferState,
};

const FILE_SEND: &str = "/moby.filesync.v1.FileSend/DiffCopy";
const FILE_SYNC: &str = "/moby.filesync.v1.FileSync/DiffCopy";

/// A session is asked for.
pub(super) fn session_opened(core: &mut Core, id: Id<Session>) {
    same_id_twice(core, id);
    setup::session_opened(core, id);
    let Some(session) = core.trace.sessions.get(id) else {
        return;
    };
    // The build and its session are asked for at the same time, in any order.
    let waiting: Vec<Id<Build>> = core
        .trace
        .builds
        .iter()
        .filter(|build| build.state == BuildState::Open)
        .filter(|build| {
            let named = build.session.as_deref();
            named.is_some_and(|named| session.is_named(named))
        })
        .map(|build| build.id)
        .collect();
    for build in waiting {
        method_not_offered(core, build);
    }
}

fn same_id_twice(core: &mut Core, id: Id<Session>) {
    let Some(session) = core.trace.sessions.get(id) else {
        return;
    };
    let live = core
        .trace
        .sessions
        .iter()
        .find(|other| other.id < id && other.uuid == session.uuid && other.closed.is_none());
    let Some(other) = live else { return };
    let (uuid, other) = (session.uuid.clone(), other.id);
    let effect = match session.path {
        SessionPath::EngineSession => "dockerd refuses the second one with HTTP 400",
        SessionPath::ControlSession => {
            "buildkitd lets it replace the first, whose end then removes both"
        }
    };
    report(
        core,
        Case {
            code: "duplicate-session-id",
            severity: Severity::Error,
            confidence: Confidence::Certain,
            waiting_on: None,
            subject: Subject::Session(id),
            summary: format!("Two live sessions have the same id {uuid}; {effect}."),
            advice: "Use a fresh random session id for every build: concurrent builds with one id steal each \
                     other's callbacks."
                .into(),
            evidence: vec![format!("session {other} is open while session {id} is opened with the same id")],
        },
    );
}

/// The daemon refused a session.
pub(super) fn session_refused(core: &mut Core, id: Id<Session>) {
    let Some(session) = core.trace.sessions.get(id) else {
        return;
    };
    let why = session.refused.clone().unwrap_or_default();
    if session.path == SessionPath::EngineSession && !is_own_refusal(&why) {
        // Reported of the upgrade.
        return;
    }
    let uuid = session.uuid.clone();
    report(
        core,
        Case {
            code: "session-refused",
            severity: Severity::Error,
            confidence: Confidence::Certain,
            waiting_on: None,
            subject: Subject::Session(id),
            summary: format!("The daemon refused session {uuid}: {why}."),
            advice: "Without a session the daemon cannot ask the client for files, credentials or secrets; \
                     builds that need one fail with \"no active session\"."
                .into(),
            evidence: vec![why],
        },
    );
}

/// Whether the answer to `POST /session` is dockerd's own (Moby `session_routes.go`): what is between it and the client
/// has other ones, or takes the upgrade off the request.
pub(super) fn is_own_refusal(why: &str) -> bool {
    let answer = why.strip_prefix("HTTP ").and_then(|it| it.split_once(": "));
    let Some((status, said)) = answer else {
        return false;
    };
    matches!(status, "400" | "409" | "500") && !said.contains("no upgrade proto")
}

/// How long a build may go on without its session before that is odd: whoever gives a build up
/// ends both at once, in any order.
const WITHOUT_SESSION: Duration = Duration::from_secs(1);

/// Looks whether builds go on although their session has ended.
pub(super) fn tick(core: &mut Core) {
    loss::tick(core);
    let now = core.now;
    let open: Vec<Id<Build>> = core
        .trace
        .builds
        .iter()
        .filter(|build| build.state == BuildState::Open)
        .filter(|build| {
            let session = build
                .session
                .as_deref()
                .and_then(|named| core.trace.session_named(named));
            session
                .and_then(|session| session.closed)
                .is_some_and(|(at, _)| now.since(at) >= WITHOUT_SESSION)
        })
        .map(|build| build.id)
        .collect();
    for id in open {
        session_closed_early(core, id);
    }
}

/// Whether a callback lost something when its session ended.
fn was_needed(core: &Core, call: &Call) -> bool {
    // Until the other side ends its half, too, what was open stays open.
    let ended_with_the_session = match (call.state, &call.reset) {
        (CallState::Open, _) => true,
        (CallState::Reset, Some(reset)) => reset.code.is_none(),
        _ => false,
    };
    let transfer = call.transfer.and_then(|id| core.trace.transfers.get(id));
    ended_with_the_session
        && call.status.is_none()
        // The daemon asks all the time whether the session is alive.
        && !call.service.ends_with(".Health")
        && transfer.is_none_or(|transfer| transfer.state != TransferState::Complete)
}

/// A build goes on, or has failed: perhaps because its session had ended.
fn session_closed_early(core: &mut Core, id: Id<Build>) {
    let Some(build) = core.trace.builds.get(id) else {
        return;
    };
    let Some(session) = build
        .session
        .as_deref()
        .and_then(|named| core.trace.session_named(named))
    else {
        return;
    };
    let Some((at, by)) = session.closed else {
        return;
    };
    if session.accepted.is_none()
        || core.trace.is_partial(session.connection)
        || core
            .trace
            .asked_on(build)
            .is_some_and(|connection| core.trace.is_partial(connection))
        || build.end.is_some_and(|end| end < at)
    {
        return;
    }
    // What tells is that callbacks were still open, or that one came too late.
    let mut evidence: Vec<String> = core
        .trace
        .calls
        .iter()
        .filter(|call| call.session == Some(session.id) && was_needed(core, call))
        .map(|call| format!("{} (call {}) was still open", call.short_name(), call.id))
        .take(8)
        .collect();
    let error = build.error.as_deref().unwrap_or_default();
    if error.contains("no active session") {
        evidence.push(format!("build {id} failed with: {error}"));
    }
    if evidence.is_empty() {
        return;
    }
    let who = by.map_or_else(|| "Somebody".to_owned(), |side| format!("The {side}"));
    let (uuid, subject) = (session.uuid.clone(), Subject::Session(session.id));
    let age = ago(at, session.opened);
    report(
        core,
        Case {
            code: "session-closed-early",
            severity: Severity::Error,
            confidence: Confidence::Certain,
            waiting_on: None,
            subject,
            summary: format!("{who} closed session {uuid} after {age}, while build {id} still needed it."),
            advice: match by {
                Some(Side::Client) => "The client ended it: look at the client's log for why it stopped.",
                Some(Side::Daemon) => {
                    "The daemon ended it: it does so when health checks fail twice, or when it stops."
                }
                None => "The connection broke: look at both ends and at what is between them.",
            }
            .into(),
            evidence,
        },
    );
}

/// A build is asked for.
pub(super) fn build_started(core: &mut Core, id: Id<Build>) {
    let Some(build) = core.trace.builds.get(id) else {
        return;
    };
    if build.exchange.is_some() && !build.frontend.is_empty() && build.session.is_none() {
        report(
            core,
            Case {
                code: "no-session",
                severity: Severity::Warning,
                confidence: Confidence::Certain,
                waiting_on: Some(Side::Client),
                subject: Subject::Build(id),
                summary: format!(
                    "The client asks for build {id} with BuildKit (version=2), but names no session."
                ),
                advice: "Open POST /session and pass its id as `session=`: without it the daemon cannot pull \
                         with credentials, and says \"no active sessions\"."
                    .into(),
                evidence: vec!["POST /build has version=2 and no session parameter".into()],
            },
        );
        return;
    }
    method_not_offered(core, id);
}

/// Whether an output comes to the client as files or an archive (BuildKit `exporter/oci`: with
/// `tar=false` as contents, one by one).
fn is_sent(exporter: &Exporter) -> bool {
    match exporter.kind.as_str() {
        "local" | "tar" => true,
        "oci" | "docker" => {
            let mut attrs = exporter.attrs.iter();
            !attrs.any(|(name, value)| name == "tar" && value == "false")
        }
        _ => false,
    }
}

/// Whether a build certainly reads from the client's disk.
fn is_local(core: &Core, build: &Build) -> bool {
    let exchange = build.exchange.and_then(|id| core.trace.exchanges.get(id));
    let query = exchange.map(|row| Target::parse(&row.method, &row.target).route);
    let by_query =
        matches!(&query, Some(Route::Build(query)) if query.remote == Remote::ClientSession);
    by_query || build.llb.iter().any(|line| line.contains("local://"))
}

/// Looks whether the client can take what a build will send it.
fn method_not_offered(core: &mut Core, id: Id<Build>) {
    let Some(build) = core.trace.builds.get(id) else {
        return;
    };
    let Some(uuid) = build.session.clone() else {
        return;
    };
    let Some(session) = core.trace.session_named(&uuid) else {
        return;
    };
    let sends = build.exporters.iter().find(|exporter| is_sent(exporter));
    let lacks = |method| !session.offers(method);
    let (what, method, advice) = match sends.filter(|_| lacks(FILE_SEND)) {
        Some(exporter) => (
            format!("The output `{}`", exporter.kind),
            FILE_SEND,
            "Register a FileSend server on the session and name it in X-Docker-Expose-Session-Grpc-Method.",
        ),
        None if lacks(FILE_SYNC) && is_local(core, build) => (
            "The context, which is the client's own,".to_owned(),
            FILE_SYNC,
            "Register a FileSync server on the session and name it in X-Docker-Expose-Session-Grpc-Method: \
             otherwise the daemon says \"no local sources enabled\".",
        ),
        None => return,
    };
    let methods = session.methods.join(", ");
    report(
        core,
        Case {
            code: "method-not-offered",
            severity: Severity::Error,
            confidence: Confidence::Certain,
            waiting_on: Some(Side::Client),
            subject: Subject::Build(id),
            summary: format!("{what} will need {method}, which the client does not offer."),
            advice: advice.into(),
            evidence: vec![format!("session {uuid} offers: {methods}")],
        },
    );
}

/// A build is over.
pub(super) fn build_ended(core: &mut Core, id: Id<Build>) {
    let Some(build) = core.trace.builds.get(id) else {
        return;
    };
    match build.state {
        BuildState::Failed => {}
        BuildState::Cancelled => return control::cancelled(core, id),
        BuildState::Open | BuildState::Complete => return,
    }
    if loss::is_pending(core, id) {
        // The end of the daemon's other connection, which may follow, says why.
        return;
    }
    failed(core, id);
}

/// A build failed: why, and that it did. To be called once more when more is known.
pub(super) fn failed(core: &mut Core, id: Id<Build>) {
    if let Some(exchange) = core.trace.builds.get(id).and_then(|build| build.exchange) {
        control::rendezvous(core, exchange, false);
    }
    loss::daemon_died(core, id);
    loss::on_other_daemon(core, id);
    session_closed_early(core, id);
    setup::build_failed(core, id);
    let Some(build) = core.trace.builds.get(id) else {
        return;
    };
    let error = build.error.clone().unwrap_or_default();
    let answered = build
        .exchange
        .and_then(|id| core.trace.exchanges.get(id))
        .and_then(|row| row.status.as_ref());
    let in_stream = answered.is_some_and(|(status, _)| *status == 200);
    let mut evidence: Vec<String> = build
        .vertices
        .iter()
        .filter_map(|vertex| {
            Some(format!(
                "step \"{}\": {}",
                vertex.name,
                vertex.error.as_ref()?
            ))
        })
        .collect();
    evidence.truncate(8);
    let (code, advice) = if in_stream {
        (
            "build-error-in-stream",
            "POST /build answers 200 before the build ends: the failure is only in the errorDetail of the \
             stream, where the client must look for it.",
        )
    } else {
        (
            "build-failed",
            "The failing step and its error are named in the evidence.",
        )
    };
    report(
        core,
        Case {
            code,
            severity: Severity::Error,
            confidence: Confidence::Certain,
            waiting_on: None,
            subject: Subject::Build(id),
            summary: format!("Build {id} failed: {error}"),
            advice: advice.into(),
            evidence,
        },
    );
}
