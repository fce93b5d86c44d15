//! What the rows of a trace say, in words: what the summary and the log have in common.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

use buildtap_decoder::describe::printable;
use buildtap_decoder::event::Time;
use buildtap_decoder::obligation::chain;
use buildtap_decoder::trace::{
    Build, BuildState, Call, CallState, Connection, Exchange, Finding, Flavour, Protocol,
    SessionPath, Severity, Subject, Trace, Transfer, TransferState, Vertex,
};
use buildtap_decoder::wire::http2::error_code_name;

use super::paint::{Style, bytes, count, duration, wrapped};

/// The time that offsets count from: when the first client connected.
pub(super) fn origin(trace: &Trace) -> Option<Time> {
    trace
        .connections
        .iter()
        .next()
        .map(|connection| connection.opened)
}

/// How bad it is, in a colour and a word.
pub(super) fn severity(severity: Severity) -> (Style, &'static str) {
    match severity {
        Severity::Error => (Style::Red, "✗ error"),
        Severity::Warning => (Style::Yellow, "! warning"),
        Severity::Info => (Style::Dim, "i info"),
    }
}

/// A sentence on lines of its own, after a margin and a mark.
pub(super) fn say(out: &mut String, margin: usize, mark: &str, text: &str, width: Option<usize>) {
    let text = format!("{:margin$}{mark}{}", "", printable(text));
    out.push_str(&wrapped(&text, margin + mark.chars().count(), width));
    out.push('\n');
}

/// What a finding rests on, and what to do.
pub(super) fn reasons(out: &mut String, margin: usize, finding: &Finding, width: Option<usize>) {
    for evidence in &finding.evidence {
        say(out, margin, "· ", evidence, width);
    }
    say(out, margin, "→ ", &finding.advice, width);
}

/// How the client reached BuildKit.
pub(super) fn path_taken(trace: &Trace) -> String {
    let mut path = BTreeSet::new();
    for exchange in trace.exchanges.iter() {
        let bare = exchange.target.split('?').next().unwrap_or_default();
        for (end, name) in [
            ("/build", "POST /build"),
            ("/session", "POST /session"),
            ("/grpc", "POST /grpc"),
        ] {
            if exchange.method == "POST" && bare.ends_with(end) {
                path.insert(name);
            }
        }
        if bare.contains("/exec/") && bare.ends_with("/start") {
            path.insert("docker exec tunnel");
        }
    }
    if trace
        .sessions
        .iter()
        .any(|session| session.path == SessionPath::ControlSession)
    {
        path.insert("session inside Control.Session");
    }
    let direct = |connection: &Connection| {
        connection.depth == 0
            && connection.protocol == Protocol::Http2
            && connection.upgraded_by.is_none()
    };
    if trace.connections.iter().any(direct) {
        path.insert("gRPC over HTTP/2 from the first byte");
    }
    path.into_iter().collect::<Vec<_>>().join(" + ")
}

/// `FileSync.{DiffCopy, TarStream}, Health.Check`: the offered methods, service by service.
pub(super) fn offers(methods: &[String]) -> String {
    let mut services: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for method in methods {
        let (service, name) = method
            .trim_start_matches('/')
            .split_once('/')
            .unwrap_or(("", method));
        services
            .entry(service.rsplit('.').next().unwrap_or(service))
            .or_default()
            .insert(name);
    }
    let service = |(service, names): (&&str, &BTreeSet<&str>)| match names.len() {
        1 => format!("{service}.{}", names.first().copied().unwrap_or_default()),
        _ => format!(
            "{service}.{{{}}}",
            names.iter().copied().collect::<Vec<_>>().join(", ")
        ),
    };
    match services.is_empty() {
        true => "nothing".to_owned(),
        false => services.iter().map(service).collect::<Vec<_>>().join(", "),
    }
}

/// How a build stands, and for how long it went.
pub(super) fn build_state(build: &Build, now: Time) -> (Style, String) {
    let took = duration(build.end.unwrap_or(now).since(build.start));
    match build.state {
        BuildState::Open => (Style::Yellow, format!("open for {took}")),
        BuildState::Complete => (Style::Green, format!("complete in {took}")),
        BuildState::Failed => (Style::Red, format!("failed after {took}")),
        BuildState::Cancelled => (Style::Yellow, format!("cancelled after {took}")),
    }
}

/// Whether a build asks for nothing: buildx opens a session and solves nothing in it to learn
/// what the daemon can do.
pub(crate) fn is_probe(build: &Build) -> bool {
    build.call.is_some()
        && build.state == BuildState::Complete
        && build.frontend.is_empty()
        && build.exporters.is_empty()
        && build.llb.is_empty()
        && build.vertices.is_empty()
}

/// What a build is made by, without its attributes.
pub(super) fn frontend(build: &Build) -> &str {
    match build.frontend.as_str() {
        "" if build.exchange.is_some() => "the classic builder",
        "" => "the client itself",
        name => name,
    }
}

/// How a step stands; `None` when it was only announced.
pub(super) fn step_state(vertex: &Vertex) -> Option<(Style, &'static str)> {
    match (&vertex.error, vertex.started, vertex.completed) {
        (Some(_), ..) => Some((Style::Red, "failed")),
        _ if vertex.cached => Some((Style::Dim, "cached")),
        (None, Some(_), Some(_)) => Some((Style::Plain, "done")),
        (None, Some(_), None) => Some((Style::Yellow, "running")),
        (None, None, _) => None,
    }
}

/// How a call ended.
pub(super) fn ending(trace: &Trace, call: &Call) -> (Style, String) {
    let blamed = || {
        let mut findings = trace.findings.iter();
        findings.any(|finding| match finding.subject {
            Subject::Call(id) => id == call.id,
            Subject::Transfer(id) => call.transfer == Some(id),
            Subject::Build(id) => call.build == Some(id) && call.method == "Solve",
            _ => false,
        })
    };
    match (&call.status, &call.reset, call.state) {
        (_, _, CallState::Open) => (Style::Yellow, "open".to_owned()),
        (Some(status), ..) if status.code == 0 => (Style::Green, "OK".to_owned()),
        // Many a status that is not OK is how things go: the rules know which.
        (Some(status), ..) if blamed() => (Style::Red, status.name()),
        (Some(status), ..) => (Style::Plain, status.name()),
        (None, Some(reset), _) => {
            let by = reset.by.map_or(String::new(), |by| format!(" by the {by}"));
            let how = match reset.code {
                Some(code) => format!("reset{by} ({})", error_code_name(code)),
                None => format!("connection ended{by}"),
            };
            let transfer = call.transfer.and_then(|id| trace.transfers.get(id));
            match transfer.map(|transfer| transfer.state) {
                // Once both have said FIN the daemon drops a local export without a status.
                Some(TransferState::Complete) => (Style::Dim, format!("{how}, as usual")),
                _ => (Style::Yellow, how),
            }
        }
        (None, None, _) => (Style::Yellow, "ended without a status".to_owned()),
    }
}

/// The health checks of a session in one line.
pub(super) fn health(calls: &[&Call]) -> (Style, String) {
    let (open, over): (Vec<&Call>, Vec<&Call>) =
        calls.iter().partition(|call| call.state == CallState::Open);
    let open = open.len();
    let ok = over
        .iter()
        .filter(|call| call.status.as_ref().is_some_and(|status| status.code == 0))
        .count();
    let slowest = calls
        .iter()
        .filter_map(|call| Some(call.end?.since(call.start)))
        .max()
        .unwrap_or(Duration::ZERO);
    let failed = over.len() - ok;
    let mut parts = Vec::new();
    match ok {
        _ if ok == calls.len() => parts.push("all OK".to_owned()),
        _ => parts.push(format!("{ok} OK")),
    }
    if failed > 0 {
        parts.push(format!("{failed} failed"));
    }
    if open > 0 {
        parts.push(format!("{open} open"));
    }
    let text = format!(
        "{} × Health.Check, {}, slowest {}",
        calls.len(),
        parts.join(", "),
        duration(slowest)
    );
    (if failed > 0 { Style::Red } else { Style::Dim }, text)
}

/// What a transfer carried and how it stands: `packet: 5 entries, 3 files, 3 requested, 3
/// complete, 12.4 KiB; complete (FIN answered by FIN)`.
pub(super) fn transfer(transfer: &Transfer) -> (Style, String) {
    let machine = &transfer.machine;
    let carried = match transfer.flavour {
        Flavour::Packet => {
            let mut text = format!(
                "{}, {}, {} requested, {} complete, {}",
                count(machine.entries().count(), "entry"),
                count(machine.files(), "file"),
                machine.requested(),
                machine.completed(),
                bytes(transfer.bytes)
            );
            if machine.hard_links() > 0 {
                let _ = write!(text, ", {}", count(machine.hard_links(), "hard link"));
            }
            text
        }
        Flavour::Bytes | Flavour::Unknown => bytes(transfer.bytes),
    };
    let (style, state) = match (transfer.state, &transfer.error) {
        (TransferState::Complete, _) if transfer.flavour == Flavour::Packet => {
            (Style::Plain, "complete (FIN answered by FIN)".to_owned())
        }
        (TransferState::Complete, _) => (Style::Plain, "complete".to_owned()),
        (TransferState::Failed, Some(error)) => (Style::Red, format!("failed: {error}")),
        (TransferState::Failed, None) => (Style::Red, "failed".to_owned()),
        (TransferState::Open, _) => (Style::Yellow, "open".to_owned()),
    };
    (
        style,
        format!("{}: {carried}; {state}", transfer.flavour.as_str()),
    )
}

/// Why a transfer is taken for what it is, where its method does not say.
pub(super) fn evidence(transfer: &Transfer) -> Option<String> {
    if transfer.service != "FileSend" {
        return None;
    }
    let flavour = match transfer.flavour {
        Flavour::Packet => "fsutil Packets",
        Flavour::Bytes => "BytesMessages",
        Flavour::Unknown => "fsutil Packets or BytesMessages",
    };
    Some(match transfer.evidence.as_slice() {
        [] => format!("{flavour}: nothing was sent that tells which"),
        [first] => format!("{flavour}, because {first}"),
        [first, second, ..] => format!("{flavour}, because {first}; {second}"),
    })
}

/// Whose turn it is on something that is open, and why: `export 0 (local) waits for FIN from the
/// client, for 31.0 s now`; `None` where nobody owes anything.
pub(super) fn turn(trace: &Trace, subject: Subject, now: Time) -> Option<String> {
    let chain = chain(trace, subject, now)?;
    let owed = chain.innermost()?.side.is_some();
    owed.then(|| chain.sentence().to_owned())
}

/// The target of a request, without a query as long as that of `/build`, and ids as short as
/// docker prints them.
pub(super) fn target(exchange: &Exchange) -> String {
    let target = printable(&exchange.target);
    let (path, query) = match target.split_once('?') {
        Some((path, query)) if query.len() > 60 => (path, "?…".to_owned()),
        Some((path, query)) => (path, format!("?{query}")),
        None => (&*target, String::new()),
    };
    let is_id = |part: &&str| part.len() == 64 && part.bytes().all(|b| b.is_ascii_hexdigit());
    let parts = path.split('/').map(|part| match Some(part).filter(is_id) {
        Some(id) => format!("{}…", &id[..12]),
        None => part.to_owned(),
    });
    parts.collect::<Vec<_>>().join("/") + &query
}
