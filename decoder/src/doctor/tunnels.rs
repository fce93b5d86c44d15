//! Rules about what connections are made of: TLS, exec tunnels, and whether anybody is there.

use std::time::Duration;

use super::{Case, ago, report};
use crate::core::Core;
use crate::event::{Side, Time};
use crate::trace::{Call, CallState, Confidence, Connection, Id, Protocol, Severity, Subject};

/// How long a server may take for its SETTINGS, and a client to acknowledge them: both at once.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// How long a PING may go unanswered (grpc-go `keepalive.ClientParameters.Timeout`).
const PING: Duration = Duration::from_secs(20);
/// How long after the last health check the next one is missing: they come every 5 s.
const HEALTH: Duration = Duration::from_secs(30);
/// After how long a silent connection is certain to be dead.
const DEAD: Duration = Duration::from_secs(60);

/// Bytes of a side that may be part of TLS, or an answer to it; `is_first` says that they are the
/// side's first ones.
pub(super) fn tls(core: &mut Core, id: Id<Connection>, from: Side, bytes: &[u8], is_first: bool) {
    const HTTPS: &[u8] = b"HTTP request to an HTTPS server";
    let Some(connection) = core.trace.connections.get(id) else {
        return;
    };
    let peer = from.peer();
    let peer_spoke = *connection.bytes.get(peer) > 0;
    let why = connection.undecodable.get(peer).as_ref();
    let peer_tls = why.is_some_and(|undecodable| undecodable.why.contains("TLS"));
    // Content type, version and length of a record that is an alert in the clear (RFC 8446 §5.1).
    let alert = match bytes {
        [0x15, 3, 0..=4, 0, 2, 2, alert, ..] if is_first || peer_tls => Some(*alert),
        _ => None,
    };
    let what = match alert {
        Some(alert) if peer_tls => {
            format!(
                "the {from} refuses the TLS of the {peer} with the alert {}",
                alert_name(alert)
            )
        }
        Some(alert) if peer_spoke => format!(
            "the {from} speaks TLS and the {peer} does not: it answers with the alert {}",
            alert_name(alert)
        ),
        Some(_) => return,
        None if is_first && from == Side::Daemon && peer_tls && bytes.starts_with(b"HTTP/1.") => {
            "the client speaks TLS, and the daemon answers in plain HTTP".to_owned()
        }
        None if is_first
            && from == Side::Daemon
            && bytes.starts_with(b"HTTP/1.")
            && bytes
                .windows(HTTPS.len())
                .take(4096)
                .any(|part| part == HTTPS) =>
        {
            "the daemon speaks TLS and the client does not".to_owned()
        }
        None => return,
    };
    let shown = bytes.get(..bytes.len().min(8)).unwrap_or_default();
    let case = Case {
        code: "tls-alpn-mismatch",
        severity: Severity::Error,
        confidence: Confidence::Certain,
        waiting_on: None,
        subject: Subject::Connection(id),
        summary: format!("On connection {id} {what}."),
        advice: "Use TLS on both ends or on none (tcp:// with or without certificates), present a certificate \
                 where the daemon has a CA, and let whatever ends TLS in between offer `h2` by ALPN."
            .into(),
        evidence: vec![format!("connection {id}: the {from} sends {shown:02x?}")],
    };
    report(core, case);
}

/// The alerts that a handshake ends with (RFC 8446 §6.2).
fn alert_name(alert: u8) -> String {
    let name = match alert {
        10 => "unexpected_message",
        40 => "handshake_failure",
        42 => "bad_certificate",
        46 => "certificate_unknown",
        48 => "unknown_ca",
        50 => "decode_error",
        70 => "protocol_version",
        80 => "internal_error",
        112 => "unrecognized_name",
        116 => "certificate_required",
        120 => "no_application_protocol",
        _ => return format!("{alert}"),
    };
    name.to_owned()
}

/// Whether a connection is the stream of an exec with HTTP/2 inside whose client does not get to
/// understand what the daemon says.
fn is_misread(core: &Core, id: Id<Connection>) -> bool {
    let connection = core.trace.connections.get(id);
    let Some(connection) = connection.filter(|row| row.protocol == Protocol::ExecTunnel) else {
        return false;
    };
    let http2 = connection.http2.as_ref();
    let heard = http2.is_some_and(|http2| {
        http2.settings.get(Side::Daemon).is_some() && !*http2.acknowledges.get(Side::Client)
    });
    heard && !core.trace.is_partial(id)
}

fn not_demultiplexed(
    core: &mut Core,
    id: Id<Connection>,
    confidence: Confidence,
    evidence: String,
) {
    let case = Case {
        code: "exec-stream-not-demultiplexed",
        severity: Severity::Error,
        confidence,
        waiting_on: Some(Side::Client),
        subject: Subject::Connection(id),
        summary: format!(
            "The client does not understand the stream of an exec on connection {id}: it takes the frames of 8 bytes \
             around standard output for HTTP/2."
        ),
        advice: "Towards the client the stream is cut into frames (type, three zero bytes, length); take them off \
                 before HTTP/2. Decide by the Tty flag of the exec, not by the content type."
            .into(),
        evidence: vec![evidence],
    };
    report(core, case);
}

/// The client shuts a connection down because of what it read. Gives whether that is explained.
pub(super) fn goaway(core: &mut Core, id: Id<Connection>, from: Side, code: u32) -> bool {
    const PROTOCOL_ERROR: u32 = 1;
    const FRAME_SIZE_ERROR: u32 = 6;
    let is_breach = matches!(code, PROTOCOL_ERROR | FRAME_SIZE_ERROR);
    if from != Side::Client || !is_breach || !is_misread(core, id) {
        return false;
    }
    let evidence =
        format!("GOAWAY of the client on connection {id}, before it acknowledged SETTINGS");
    not_demultiplexed(core, id, Confidence::Certain, evidence);
    true
}

/// A connection ended: perhaps before it was one.
pub(super) fn closed(core: &mut Core, id: Id<Connection>) {
    let Some(connection) = core.trace.connections.get(id) else {
        return;
    };
    let Some(http2) = connection.http2.as_ref() else {
        return;
    };
    let frames = |side| *http2.frames.get(side);
    let is_tunnel = connection.protocol == Protocol::ExecTunnel && !core.trace.is_partial(id);
    let by = connection.ended_by(None);
    if is_tunnel && frames(Side::Client) > 0 && frames(Side::Daemon) == 0 {
        not_ready(core, id, Confidence::Certain, "and the tunnel ended");
    } else if by == Some(Side::Client) && is_misread(core, id) {
        let evidence = format!(
            "the client ended connection {id} without having acknowledged the SETTINGS that the daemon sent"
        );
        not_demultiplexed(core, id, Confidence::Likely, evidence);
    }
}

fn not_ready(core: &mut Core, id: Id<Connection>, confidence: Confidence, end: &str) {
    let Some(connection) = core.trace.connections.get(id) else {
        return;
    };
    let since = connection
        .last_bytes
        .get(Side::Client)
        .unwrap_or(connection.opened);
    let age = ago(core.now, since);
    let case = Case {
        code: "tunnel-not-ready",
        severity: Severity::Error,
        confidence,
        waiting_on: Some(Side::Daemon),
        subject: Subject::Connection(id),
        summary: format!(
            "Nobody answers at the far end of the tunnel on connection {id}: the client sent its preface {age} ago, {end}."
        ),
        advice: "Look whether the builder's container or pod runs and buildkitd in it listens; give the handshake \
                 a deadline and switch keepalive on."
            .into(),
        evidence: vec![format!("connection {id}: HTTP/2 preface from the client, no SETTINGS from the daemon")],
    };
    report(core, case);
}

/// The server of a tunnel has not begun to speak. Gives whether the connection is a tunnel.
pub(super) fn no_settings(core: &mut Core, id: Id<Connection>) -> bool {
    let connection = core.trace.connections.get(id);
    let is_tunnel = connection.is_some_and(|row| row.protocol == Protocol::ExecTunnel);
    if is_tunnel {
        let since = connection.and_then(|row| *row.last_bytes.get(Side::Client));
        let certain = since.is_some_and(|since| core.now.since(since) >= PING);
        let confidence = if certain {
            Confidence::Certain
        } else {
            Confidence::Likely
        };
        not_ready(core, id, confidence, "and nothing came back");
    }
    is_tunnel
}

/// Looks at connections on which nothing is said any more.
pub(super) fn tick(core: &mut Core) {
    let now = core.now;
    let open = core
        .trace
        .connections
        .iter()
        .filter(|row| row.closed.is_none());
    let open: Vec<Id<Connection>> = open
        .filter(|row| row.http2.is_some())
        .map(|row| row.id)
        .collect();
    for id in open {
        let Some(connection) = core.trace.connections.get(id) else {
            continue;
        };
        let quiet = connection
            .last_bytes
            .get(Side::Client)
            .is_some_and(|at| now.since(at) >= HANDSHAKE);
        if quiet && is_misread(core, id) {
            let evidence = format!(
                "connection {id}: the daemon's SETTINGS have not been acknowledged for more than 5 s"
            );
            not_demultiplexed(core, id, Confidence::Likely, evidence);
        }
        unanswered_ping(core, id);
    }
    let open = core
        .trace
        .sessions
        .iter()
        .filter(|row| row.closed.is_none());
    let open: Vec<_> = open.map(|row| (row.id, row.connection)).collect();
    for (session, id) in open {
        let root = core.trace.root(id);
        let last = core
            .trace
            .connections
            .get(root)
            .and_then(|row| *row.last_bytes.get(Side::Daemon));
        let Some(last) = last.filter(|last| now.since(*last) >= HEALTH) else {
            continue;
        };
        let calls = core
            .trace
            .calls
            .iter()
            .rev()
            .filter(|call| call.session == Some(session));
        let mut checks = calls.filter(|call| call.service.ends_with(".Health"));
        // They came, were answered, and come no more.
        let ended = |call: &Call| call.state == CallState::Complete;
        let came = checks.next().is_some_and(ended) && checks.next().is_some_and(ended);
        drop(checks);
        if came {
            let evidence = format!(
                "the daemon checks the health of session {session} every 5 s; its last byte on connection {root} came {} ago",
                ago(now, last)
            );
            silent(core, root, Side::Daemon, last, evidence);
        }
    }
}

fn unanswered_ping(core: &mut Core, id: Id<Connection>) {
    let now = core.now;
    let http2 = core
        .trace
        .connections
        .get(id)
        .and_then(|row| row.http2.as_ref());
    let pinged = |side| http2.and_then(|http2| *http2.unanswered_ping.get(side));
    let late = Side::BOTH.into_iter().find_map(|side| {
        let since = pinged(side).filter(|since| now.since(*since) >= PING)?;
        Some((side, since))
    });
    let Some((side, since)) = late else { return };
    let evidence = format!(
        "connection {id}: a PING of the {side} has had no answer for {}",
        ago(now, since)
    );
    let root = core.trace.root(id);
    if !core.trace.is_partial(id) {
        silent(core, root, side.peer(), since, evidence);
    }
}

fn silent(core: &mut Core, root: Id<Connection>, side: Side, since: Time, evidence: String) {
    if core.trace.is_partial(root) {
        return;
    }
    let confidence = match core.now.since(since) >= DEAD {
        true => Confidence::Certain,
        false => Confidence::Likely,
    };
    let case = Case {
        code: "control-connection-silent",
        severity: Severity::Error,
        confidence,
        waiting_on: Some(side),
        subject: Subject::Connection(root),
        summary: format!(
            "Connection {root} has gone silent: the {side} has said nothing for {}, and would have had to.",
            ago(core.now, since)
        ),
        advice: "Probably something in between forgot the connection, or the machine at the other end is gone or \
                 stopped. Switch keepalive on (not more often than every 5 minutes), or raise the idle timeout of \
                 what is in between."
            .into(),
        evidence: vec![evidence],
    };
    report(core, case);
}
