//! Rules about what clients ask of the daemon: builds that are given up, Status, gateway calls,
//! contexts that are uploaded; and a policy that never decides.

use std::time::Duration;

use super::{Case, ago, report};
use crate::core::Core;
use crate::event::{Side, Time};
use crate::protocol::engine::{BuildQuery, Remote, Route, Target, is_upload_request};
use crate::protocol::metadata::BUILD_ID_HEADER;
use crate::trace::{Build, BuildState, Call, Confidence, Exchange, Id, Severity, Subject};
use crate::wire::http2::error_code_name;

const GATEWAY: &str = "moby.buildkit.v1.frontend.LLBBridge";

/// How long the two halves of an upload wait for each other (Moby `builder-next/builder.go`).
const RENDEZVOUS: Duration = Duration::from_secs(5);

/// Rounds of a policy for one source after which it is likely that it goes round in circles, and
/// after which BuildKit gives up (`llbsolver/policy.go`).
const ROUNDS: [u32; 2] = [5, 10];
/// Sources whose rounds are counted at a time.
const SOURCES: usize = 64;

/// Somebody gave a build up.
pub(super) fn cancelled(core: &mut Core, id: Id<Build>) {
    let Some(build) = core.trace.builds.get(id) else {
        return;
    };
    let call = build.call.and_then(|call| core.trace.calls.get(call));
    let reset = call.and_then(|call| call.reset.as_ref());
    let (by, how) = match (call, reset) {
        (Some(call), Some(reset)) => {
            let how = match reset.code {
                Some(code) => format!("RST_STREAM ({}) on Solve", error_code_name(code)),
                None => "its connection ended".to_owned(),
            };
            (reset.by.unwrap_or(call.caller), how)
        }
        (Some(_), None) => (Side::Daemon, "Solve was answered CANCELLED".to_owned()),
        (None, _) => {
            let how = build.error.clone().unwrap_or_default();
            (Side::Client, how)
        }
    };
    let open = core.trace.calls.iter().rev().filter(|other| {
        let at_the_end = other.end.is_none_or(|end| Some(end) >= build.end);
        other.session.is_some() && other.build == Some(id) && at_the_end
    });
    let was_open = open
        .filter(|other| !other.service.ends_with(".Health"))
        .take(8)
        .map(|other| format!("{} (call {}) was open", other.short_name(), other.id));
    let evidence = std::iter::once(how).chain(was_open).collect();
    let age = ago(core.now, build.start);
    let case = Case {
        code: "cancelled-by-peer",
        severity: Severity::Info,
        confidence: Confidence::Certain,
        waiting_on: None,
        subject: Subject::Build(id),
        summary: format!("The {by} cancelled build {id} after {age}."),
        advice: "What ended at the same time with \"context canceled\" only follows from this: look at what \
                 went on just before, and why the client or its user gave up."
            .into(),
        evidence,
    };
    report(core, case);
}

/// A call begins.
pub(super) fn call_opened(core: &mut Core, id: Id<Call>) {
    let Some(call) = core.trace.calls.get(id) else {
        return;
    };
    if call.service == GATEWAY && call.session.is_none() && build_id(call).is_none() {
        let evidence = format!("call {id} {} without {BUILD_ID_HEADER}", call.short_name());
        gateway_without_build(core, id, evidence);
    }
    secret_not_offered(core, id);
}

/// The ref of the build that a frontend's call names.
fn build_id(call: &Call) -> Option<&str> {
    call.header(BUILD_ID_HEADER)
}

/// A frontend's call does not say for which build it is, or for one that there is not.
fn gateway_without_build(core: &mut Core, id: Id<Call>, evidence: String) {
    let Some(call) = core.trace.calls.get(id) else {
        return;
    };
    let name = call.short_name();
    let summary = match build_id(call) {
        None => {
            format!(
                "The client's {name} does not say for which build it is: the header {BUILD_ID_HEADER} is missing."
            )
        }
        Some(named) => {
            format!("The client's {name} is for build {named}, which does not run (any more).")
        }
    };
    let case = Case {
        code: "gateway-build-id-missing",
        severity: Severity::Error,
        confidence: Confidence::Certain,
        waiting_on: Some(Side::Client),
        subject: Subject::Call(id),
        summary,
        advice: format!(
            "Send the ref of the Solve in the header {BUILD_ID_HEADER} with every call of LLBBridge, and none after Return."
        ),
        evidence: vec![evidence],
    };
    report(core, case);
}

/// A secret is asked for on a session that offers none.
fn secret_not_offered(core: &mut Core, id: Id<Call>) {
    const SECRETS: &str = "moby.buildkit.secrets.v1.Secrets";
    let Some(call) = core.trace.calls.get(id) else {
        return;
    };
    let session = call.session.and_then(|id| core.trace.sessions.get(id));
    let Some(session) =
        session.filter(|session| call.service == SECRETS && !session.methods.is_empty())
    else {
        return;
    };
    let mut methods = session
        .methods
        .iter()
        .map(|method| method.trim_start_matches('/'));
    let offers = |method: &str| {
        let service = method.get(..SECRETS.len());
        service.is_some_and(|service| service.eq_ignore_ascii_case(SECRETS))
    };
    if methods.any(offers) {
        return;
    }
    let evidence = format!(
        "session {} offers: {}",
        session.uuid,
        session.methods.join(", ")
    );
    let name = call.short_name();
    let case = Case {
        code: "secret-not-found",
        severity: Severity::Warning,
        confidence: Confidence::Likely,
        waiting_on: None,
        subject: Subject::Call(id),
        summary: format!(
            "{name} asks for a secret, and the client's session offers no secrets at all."
        ),
        advice:
            "Pass it to the build (docker build --secret id=…), or mark the mount as not required."
                .into(),
        evidence: vec![evidence],
    };
    report(core, case);
}

/// A call between client and daemon failed, in a way that only it does.
pub(super) fn call_failed(core: &mut Core, id: Id<Call>) {
    const NOT_FOUND: u32 = 5;
    let Some(call) = core.trace.calls.get(id) else {
        return;
    };
    let Some(status) = call.status.as_ref().filter(|_| call.session.is_none()) else {
        return;
    };
    let evidence = format!(
        "call {id} {} → {} {}",
        call.short_name(),
        status.name(),
        status.message
    );
    let build = call.build.and_then(|build| core.trace.builds.get(build));
    let text = status.message.to_ascii_lowercase();
    if call.service == GATEWAY {
        let running = build.is_some_and(|build| build.end.is_none_or(|end| end > call.start));
        if !running && (text.contains("buildid") || text.contains("no such job")) {
            gateway_without_build(core, id, evidence);
        }
        return;
    }
    let is_status = call.service == "moby.buildkit.v1.Control" && call.method == "Status";
    // Where Solve failed at once, its error says why.
    let has_job = build.is_some_and(|build| build.call.is_some() && build.start <= call.start);
    let failed = build.is_some_and(|build| build.state == BuildState::Failed);
    if !is_status || status.code != NOT_FOUND || has_job || failed {
        return;
    }
    let reference = build
        .and_then(|build| build.reference.clone())
        .unwrap_or_default();
    let solve = match build.and_then(|build| build.call) {
        Some(solve) => format!("its Solve (call {solve}) came later"),
        None => "no Solve with that ref was seen".to_owned(),
    };
    let age = ago(core.now, call.start);
    let case = Case {
        code: "status-before-solve",
        severity: Severity::Warning,
        confidence: Confidence::Certain,
        waiting_on: Some(Side::Client),
        subject: Subject::Call(id),
        summary: format!(
            "The client asked for the Status of build {reference:?}, which the daemon did not know after {age}."
        ),
        advice: "Start Solve and Status at the same time and with the same ref: the daemon waits up to 6 s for \
                 the build."
            .into(),
        evidence: vec![evidence, solve],
    };
    report(core, case);
}

/// What a policy decided about a source in its last round: nothing yet, or something.
pub(super) fn policy_answered(core: &mut Core, id: Id<Call>, is_decided: bool) {
    let Some(call) = core.trace.calls.get(id) else {
        return;
    };
    let (Some(session), Some(source)) = (call.session, call.subject.clone()) else {
        return;
    };
    let known = core
        .policies
        .iter()
        .position(|(of, about, _)| *of == session && *about == source);
    let rounds = known.and_then(|at| core.policies.remove(at));
    if is_decided {
        return;
    }
    let rounds = rounds.map_or(0, |(_, _, rounds)| rounds).saturating_add(1);
    if core.policies.len() >= SOURCES {
        core.policies.pop_front();
    }
    core.policies.push_back((session, source.clone(), rounds));
    let [likely, certain] = ROUNDS;
    if rounds < likely {
        return;
    }
    let case = Case {
        code: "policy-loop",
        severity: Severity::Error,
        confidence: match rounds >= certain {
            true => Confidence::Certain,
            false => Confidence::Likely,
        },
        waiting_on: Some(Side::Client),
        subject: Subject::Session(session),
        summary: format!(
            "The client's policy has not decided about {source} in {rounds} rounds; the daemon gives up after {certain}."
        ),
        advice: "Decide when the metadata that was asked for is there, also if it is empty, and do not convert a \
                 source to itself."
            .into(),
        evidence: vec![format!("call {id} is round {rounds} without ALLOW or DENY")],
    };
    report(core, case);
}

/// Looks at requests that go on.
pub(super) fn tick(core: &mut Core) {
    let exchanges = core.trace.exchanges.iter();
    let open: Vec<Id<Exchange>> = exchanges
        .filter(|row| row.method == "POST" && (row.end.is_none() || row.request_end.is_none()))
        .filter(|row| row.build.is_some() || is_upload_request(&row.target))
        .map(|row| row.id)
        .collect();
    for id in open {
        rendezvous(core, id, true);
        context_unread(core, id);
    }
}

fn query(exchange: &Exchange) -> Option<Box<BuildQuery>> {
    match Target::parse(&exchange.method, &exchange.target).route {
        Route::Build(query) => Some(query),
        _ => None,
    }
}

/// A build that waits for its context in another request, or that other request, is alone.
pub(super) fn rendezvous(core: &mut Core, id: Id<Exchange>, is_open: bool) {
    let now = core.now;
    let Some(exchange) = core.trace.exchanges.get(id) else {
        return;
    };
    let failed = exchange
        .status
        .as_ref()
        .is_some_and(|(status, _)| *status >= 400);
    if !is_upload_request(&exchange.target) || core.trace.is_partial(exchange.connection) {
        return;
    }
    let is_refused = failed && !is_open;
    if !is_refused && now.since(exchange.start) < RENDEZVOUS {
        return;
    }
    let Some(query) = query(exchange) else {
        return;
    };
    let wants = query.remote == Remote::UploadRequest;
    let own = query
        .uploads_for()
        .or(query.build_id.as_deref().filter(|_| wants));
    let Some(own) = own else {
        return;
    };
    let is_other = |other: &Exchange| {
        other.id != id
            && self::query(other).is_some_and(|other| match wants {
                true => other.uploads_for() == Some(own),
                false => {
                    other.remote == Remote::UploadRequest && other.build_id.as_deref() == Some(own)
                }
            })
    };
    let candidates = core
        .trace
        .exchanges
        .iter()
        .filter(|other| other.method == "POST");
    if candidates
        .filter(|other| is_upload_request(&other.target))
        .any(is_other)
    {
        return;
    }
    let (what, missing) = match wants {
        true => (
            "waits for a context",
            format!("`POST /build` with buildid=upload-request:{own}"),
        ),
        false => (
            "uploads a context",
            format!("`POST /build` with remote=upload-request and buildid={own}"),
        ),
    };
    let evidence = vec![format!(
        "request {id} on connection {}; no {missing}",
        exchange.connection
    )];
    let case = Case {
        code: "upload-rendezvous-missed",
        severity: Severity::Error,
        confidence: Confidence::Certain,
        waiting_on: Some(Side::Client),
        subject: Subject::Exchange(id),
        summary: format!("The client sent a request that {what} under the id {own}, and not the other half of it."),
        advice: "Send both requests at the same time and with the same id: the daemon lets them wait for each \
                 other for 5 s."
            .into(),
        evidence,
    };
    report(core, case);
}

/// The answer has an error in it, and the body of the request is not taken any more.
fn context_unread(core: &mut Core, id: Id<Exchange>) {
    let now = core.now;
    let stall = core.stall();
    let Some(exchange) = core.trace.exchanges.get(id) else {
        return;
    };
    let Some(connection) = core.trace.connections.get(exchange.connection) else {
        return;
    };
    let failed = exchange.error.is_some()
        || exchange
            .status
            .as_ref()
            .is_some_and(|(status, _)| *status >= 400);
    let last: Time = connection
        .last_bytes
        .get(Side::Client)
        .unwrap_or(exchange.start);
    let blocked = *connection.not_reading.get(Side::Daemon);
    let stands = exchange.request_end.is_none() && connection.closed.is_none() && failed;
    if !stands || now.since(last) < stall || core.trace.is_partial(connection.id) {
        return;
    }
    let error = exchange.error.clone().unwrap_or_default();
    let case = Case {
        code: "build-context-unread",
        severity: Severity::Error,
        confidence: match blocked {
            Some(_) => Confidence::Certain,
            None => Confidence::Likely,
        },
        waiting_on: Some(Side::Daemon),
        subject: Subject::Exchange(id),
        summary: format!(
            "The daemon has answered with an error and does not take the rest of the context for {}: {error}",
            ago(now, last)
        ),
        advice: "The client must read the answer while it writes the body, and stop writing when there is an \
                 error in it."
            .into(),
        evidence: vec![format!(
            "request {id} on connection {}: {} bytes of the body were sent, and its end was not",
            connection.id, exchange.request_bytes
        )],
    };
    report(core, case);
}
