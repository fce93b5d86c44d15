//! Rules about connections and HTTP.

use super::{Case, control, loss, report, sessions, tunnels};
use crate::core::Core;
use crate::event::{Closed, Side};
use crate::protocol::engine::{Route, Target};
use crate::trace::{Confidence, Connection, Exchange, Id, Severity, Subject};
use crate::wire::http2::error_code_name;

/// A connection ended.
pub(super) fn connection_closed(core: &mut Core, id: Id<Connection>) {
    tunnels::closed(core, id);
    loss::connection_closed(core);
    let Some(connection) = core.trace.connections.get(id) else {
        return;
    };
    if connection.closed.map(|(_, how)| how) == Some(Closed::Unreachable) {
        let daemon = connection.endpoints.daemon.clone();
        report(
            core,
            Case {
                code: "daemon-unreachable",
                severity: Severity::Error,
                confidence: Confidence::Certain,
                waiting_on: None,
                subject: Subject::Connection(id),
                summary: format!(
                    "The daemon at {daemon} could not be reached when a client connected."
                ),
                advice: "Start the daemon, or name its address with --upstream.".into(),
                evidence: vec![format!(
                    "connection {id} was closed before a byte could be passed on"
                )],
            },
        );
    }
}

/// What a side sends cannot be decoded any more.
pub(super) fn undecodable(core: &mut Core, id: Id<Connection>, from: Side) {
    let Some(connection) = core.trace.connections.get(id) else {
        return;
    };
    let Some(undecodable) = connection.undecodable.get(from) else {
        return;
    };
    let why = undecodable.why.clone();
    let evidence = vec![format!(
        "connection {id}, after {} bytes of the {from}",
        undecodable.offset
    )];
    report(
        core,
        Case {
            code: "not-decoded",
            severity: Severity::Warning,
            confidence: Confidence::Certain,
            waiting_on: None,
            subject: Subject::Connection(id),
            summary: format!("What the {from} sends on connection {id} is not decoded from here on: {why}."),
            advice: "The bytes themselves are passed on unchanged. For a capture: record from before the \
                     connection is opened, with a large buffer, so that nothing is lost."
                .into(),
            evidence,
        },
    );
}

/// A rule of HTTP/2 was broken in a way that can be followed.
pub(super) fn http2_violation(core: &mut Core, id: Id<Connection>, from: Side, what: &str) {
    report(
        core,
        Case {
            code: "http2-violation",
            severity: Severity::Warning,
            confidence: Confidence::Certain,
            waiting_on: None,
            subject: Subject::Connection(id),
            summary: format!("The {from} breaks a rule of HTTP/2 on connection {id}: {what}."),
            advice: format!(
                "The peer may close the connection for it. Look for a proxy that rewrites frames, or a bug in the {from}'s HTTP/2 library."
            ),
            evidence: vec![format!("connection {id}, frames of the {from}")],
        },
    );
}

/// A side sent GOAWAY.
pub(super) fn goaway(core: &mut Core, id: Id<Connection>, from: Side) {
    let Some(http2) = core
        .trace
        .connections
        .get(id)
        .and_then(|connection| connection.http2.as_ref())
    else {
        return;
    };
    let Some(goaway) = http2.goaway.get(from).clone() else {
        return;
    };
    if goaway.code == 0 {
        // The ordinary end: grpc-go says it whenever a connection is closed in good order.
        return;
    }
    if tunnels::goaway(core, id, from, goaway.code) {
        return;
    }
    let name = error_code_name(goaway.code);
    let debug = if goaway.debug.is_empty() {
        String::new()
    } else {
        format!(" ({})", goaway.debug)
    };
    let advice = match goaway.code {
        0xb => {
            "ENHANCE_YOUR_CALM with too_many_pings: something pings more often than the server allows \
                (grpc-go: every 5 minutes). Raise the keepalive time of the pinging side."
        }
        _ => "The side that sent it met a breach of HTTP/2: its log says which.",
    };
    report(
        core,
        Case {
            code: "goaway",
            severity: Severity::Error,
            confidence: Confidence::Certain,
            waiting_on: None,
            subject: Subject::Connection(id),
            summary: format!("The {from} shut connection {id} down with GOAWAY {name}{debug}."),
            advice: advice.into(),
            evidence: vec![format!(
                "GOAWAY on connection {id}: code {name}, last stream {}{debug}",
                goaway.last_stream_id
            )],
        },
    );
}

/// Standard error inside an exec tunnel.
pub(super) fn exec_stderr(core: &mut Core, id: Id<Connection>, text: &str) {
    let text = text.trim();
    if text.is_empty() {
        return;
    }
    report(
        core,
        Case {
            code: "dial-stdio-failed",
            severity: Severity::Error,
            confidence: Confidence::Certain,
            waiting_on: None,
            subject: Subject::Connection(id),
            summary: format!("The command inside the builder's container says on standard error: {text}"),
            advice: "The tunnel is `buildctl dial-stdio` inside the container: look whether buildkitd runs \
                     there (docker logs) and listens where the message says."
                .into(),
            evidence: vec![format!("a stderr frame on connection {id}: {text}")],
        },
    );
}

/// An HTTP request was answered.
pub(super) fn exchange_ended(core: &mut Core, id: Id<Exchange>) {
    control::rendezvous(core, id, false);
    let Some(exchange) = core.trace.exchanges.get(id) else {
        return;
    };
    let Some((status, reason)) = exchange.status.clone() else {
        return;
    };
    let route = Target::parse(&exchange.method, &exchange.target).route;
    let wants_upgrade = matches!(
        route,
        Route::Session | Route::Grpc | Route::ExecStart { .. }
    );
    if !wants_upgrade || status == 101 || (status == 200 && exchange.upgrade.is_none()) {
        return;
    }
    let line = format!("{} {}", exchange.method, exchange.target);
    let said = exchange
        .error
        .clone()
        .filter(|error| !error.is_empty())
        .unwrap_or(reason);
    let error = exchange.error.as_deref().unwrap_or_default();
    let is_own = || sessions::is_own_refusal(&format!("HTTP {status}: {error}"));
    if said.contains("already exists") || (route == Route::Session && is_own()) {
        // Reported of the session.
        return;
    }
    let (code, summary, advice) = match status {
        431 => (
            "header-list-too-large",
            format!("The headers of {line} are larger than what answers takes: HTTP 431 {said}."),
            "The list of methods of a session is sent as headers: shorten it, or raise the limit of the proxy in \
             between.",
        ),
        403 | 404 => (
            "endpoint-disabled",
            format!("The endpoint {line} is not there: HTTP {status} {said}."),
            "The engine is older than this endpoint (18.06 wants --experimental for /session), or a filter in \
             front of the socket does not let it pass: allow POST on /session, /grpc and /exec.",
        ),
        _ => (
            "upgrade-refused",
            format!(
                "{line} should turn into another protocol (101), but was answered HTTP {status} {said}."
            ),
            "Something between client and daemon does not support HTTP upgrades of this kind. Connect to the \
             daemon's socket directly, or let the proxy pass `Connection: Upgrade` and `Upgrade: h2c` or `tcp`.",
        ),
    };
    report(
        core,
        Case {
            code,
            severity: Severity::Error,
            confidence: Confidence::Certain,
            waiting_on: None,
            subject: Subject::Exchange(id),
            summary,
            advice: advice.into(),
            evidence: vec![format!("{line} → {status}")],
        },
    );
}
