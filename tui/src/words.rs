//! What the rows of a trace say, in words: what several views have in common.

use buildtap_decoder::describe::printable;
use buildtap_decoder::event::Time;
use buildtap_decoder::trace::{
    Build, BuildState, Call, CallState, Exchange, Finding, Flavour, Session, Severity, Subject,
    Trace, Transfer, TransferState,
};
use buildtap_decoder::wire::http2::error_code_name;
use ratatui::style::Style;

use crate::palette::Palette;
use crate::text::duration;

/// How bad it is, as a sign and a word.
pub fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "✗ error",
        Severity::Warning => "! warning",
        Severity::Info => "i info",
    }
}

/// The sign of how bad it is.
pub fn sign(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "✗",
        Severity::Warning => "!",
        Severity::Info => "i",
    }
}

/// How a build stands.
pub fn build_state(build: &Build, palette: Palette) -> (&'static str, Style) {
    match build.state {
        BuildState::Open => ("● open", palette.busy()),
        BuildState::Complete => ("✓ complete", palette.good()),
        BuildState::Failed => ("✗ failed", palette.bad()),
        BuildState::Cancelled => ("■ cancelled", palette.busy()),
    }
}

/// What a build is: `build 1 dockerfile.v0 → local`.
pub fn build(build: &Build) -> String {
    let frontend = match build.frontend.as_str() {
        "" if build.exchange.is_some() => "classic builder",
        "" if build.llb.is_empty() && build.vertices.is_empty() => "no frontend",
        "" => "client's own graph",
        name => name,
    };
    let mut text = format!("build {} {frontend}", build.id);
    let outputs: Vec<&str> = build.exporters.iter().map(|it| it.kind.as_str()).collect();
    if !outputs.is_empty() {
        text.push_str(" → ");
        text.push_str(&outputs.join(", "));
    }
    text
}

/// How a session stands.
pub fn session_state(session: &Session, palette: Palette) -> (String, Style) {
    match (&session.refused, &session.closed, session.accepted) {
        (Some(_), ..) => ("✗ refused".into(), palette.bad()),
        (None, Some(_), _) => ("■ closed".into(), palette.dim()),
        (None, None, Some(_)) => ("● open".into(), palette.busy()),
        (None, None, None) => ("○ asked for".into(), palette.busy()),
    }
}

/// How a call stands or how it ended, short: for a column.
pub fn call_state(trace: &Trace, call: &Call, palette: Palette) -> (String, Style) {
    match (&call.status, &call.reset, call.state) {
        (_, _, CallState::Open) => ("● open".into(), palette.busy()),
        (Some(status), ..) if status.code == 0 => ("✓ OK".into(), palette.good()),
        (Some(status), ..) if is_blamed(trace, call) => {
            (format!("✗ {}", status.name()), palette.bad())
        }
        // Many a status that is not OK is how things go: the rules know which.
        (Some(status), ..) => (format!("· {}", status.name()), palette.plain()),
        (None, ..) if is_complete(trace, call) => ("✓ reset".into(), palette.good()),
        (None, Some(reset), _) => match reset.code {
            Some(_) => ("! reset".into(), palette.busy()),
            None => ("! cut off".into(), palette.busy()),
        },
        (None, None, _) => ("! no status".into(), palette.busy()),
    }
}

/// How a call ended, in as many words as it takes.
pub fn ending(trace: &Trace, call: &Call) -> String {
    match (&call.status, &call.reset, call.state) {
        (_, _, CallState::Open) => "open".to_owned(),
        (Some(status), ..) if status.message.is_empty() => status.name(),
        (Some(status), ..) => format!("{}: {}", status.name(), status.message),
        (None, Some(reset), _) => {
            let by = reset.by.map_or(String::new(), |by| format!(" by the {by}"));
            let how = match reset.code {
                Some(code) => format!("reset{by} ({})", error_code_name(code)),
                None => format!("connection ended{by}"),
            };
            // Once both have said FIN the daemon drops a local export without a status.
            match is_complete(trace, call) {
                true => format!("{how}, as usual"),
                false => how,
            }
        }
        (None, None, _) => "ended without a status".to_owned(),
    }
}

fn is_complete(trace: &Trace, call: &Call) -> bool {
    let transfer = call.transfer.and_then(|id| trace.transfers.get(id));
    transfer.is_some_and(|transfer| transfer.state == TransferState::Complete)
}

/// Whether a finding is about the call.
pub fn is_blamed(trace: &Trace, call: &Call) -> bool {
    trace.findings.iter().any(|finding| match finding.subject {
        Subject::Call(id) => id == call.id,
        Subject::Transfer(id) => call.transfer == Some(id),
        Subject::Build(id) => call.build == Some(id) && call.method == "Solve",
        _ => false,
    })
}

/// What a call is: `FileSync.DiffCopy context`.
pub fn call(call: &Call) -> String {
    match &call.subject {
        Some(subject) => format!("{} {}", call.short_name(), printable(subject)),
        None => call.short_name(),
    }
}

/// What a transfer is: `FileSend of exporter 0 (local)`.
pub fn transfer(transfer: &Transfer) -> String {
    let service = &transfer.service;
    match (service.as_str(), &transfer.exporter) {
        ("FileSend", Some(kind)) => format!("{service} of exporter {} ({kind})", transfer.name),
        ("FileSend", None) => format!("{service} of exporter {}", transfer.name),
        _ => format!("{service} of {}", transfer.name),
    }
}

/// What the messages of a transfer are.
pub fn flavour(flavour: Flavour) -> &'static str {
    match flavour {
        Flavour::Packet => "fsutil packets",
        Flavour::Bytes => "an archive in slices",
        Flavour::Unknown => "not known yet what",
    }
}

/// How an exchange stands.
pub fn exchange_state(exchange: &Exchange, palette: Palette) -> (String, Style) {
    match &exchange.status {
        None => ("● waits".into(), palette.busy()),
        Some((code, _)) if *code >= 400 => (format!("✗ {code}"), palette.bad()),
        Some((code, _)) if exchange.end.is_none() => (format!("● {code}"), palette.busy()),
        Some((code, _)) => (format!("✓ {code}"), palette.good()),
    }
}

/// The target of a request: without a long query, and with ids as docker prints them.
pub fn target(exchange: &Exchange) -> String {
    let (path, query) = match exchange.target.split_once('?') {
        Some((path, query)) if query.len() > 40 => (path, "?…".to_owned()),
        Some((path, query)) => (path, format!("?{query}")),
        None => (exchange.target.as_str(), String::new()),
    };
    let is_id = |part: &str| part.len() == 64 && part.bytes().all(|b| b.is_ascii_hexdigit());
    let short = |part| match is_id(part) {
        true => format!("{}…", part.get(..12).unwrap_or_default()),
        false => part.to_owned(),
    };
    let parts: Vec<String> = path.split('/').map(short).collect();
    parts.join("/") + &query
}

/// What a finding is about: `call 4 FileSend.DiffCopy exporter 0`.
pub fn subject(trace: &Trace, subject: Subject) -> String {
    let of_call = |id| match trace.calls.get(id) {
        Some(row) => format!("call {id} {}", call(row)),
        None => format!("call {id}"),
    };
    match subject {
        Subject::Connection(id) => format!("connection {id}"),
        Subject::Session(id) => format!("session {id}"),
        Subject::Call(id) => of_call(id),
        Subject::Exchange(id) => match trace.exchanges.get(id) {
            Some(row) => format!("{} {}", row.method, target(row)),
            None => format!("request {id}"),
        },
        Subject::Transfer(id) => match trace.transfers.get(id) {
            Some(row) => of_call(row.call),
            None => format!("transfer {id}"),
        },
        Subject::Build(id) => format!("build {id}"),
    }
}

/// A finding in one line: its code, and what it is about.
pub fn finding(trace: &Trace, finding: &Finding) -> String {
    format!("{} · {}", finding.code, subject(trace, finding.subject))
}

/// How long something took, or goes on by now.
pub fn took(start: Time, end: Option<Time>, now: Time) -> String {
    duration(end.unwrap_or(now).since(start))
}

/// Seconds since the beginning: `12.345`.
pub fn offset(at: Time, origin: Time) -> String {
    format!("{:.3}", at.since(origin).as_secs_f64())
}
