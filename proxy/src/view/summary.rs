//! The summary: what was said, grouped as a person reads it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

use buildtap_decoder::describe::printable;
use buildtap_decoder::event::{Closed, Side, Time};
use buildtap_decoder::trace::{
    Build, BuildState, Call, CallState, Connection, Exchange, Flavour, Id, Protocol, Session,
    SessionPath, Severity, Trace, Transfer, TransferState,
};
use buildtap_decoder::wire::http2::error_code_name;

use super::paint::{Paint, Style, Table, bytes, count, duration, shorten, wrapped};

/// Characters of a name or an error that are shown.
const TEXT: usize = 100;
/// Rows of a table that are shown before the rest is only counted.
const ROWS: usize = 200;

/// The whole summary of a trace, seen at `now`.
pub(super) fn summary(trace: &Trace, now: Time, paint: Paint, width: Option<usize>) -> String {
    let mut summary = Summary {
        trace,
        now,
        paint,
        width,
        out: String::new(),
        shown: BTreeSet::new(),
    };
    if trace.connections.is_empty() {
        summary.line(0, &[(Style::Yellow, &wrapped(NOBODY, 2, width))]);
        return summary.out;
    }
    summary.head();
    for build in trace.builds.iter() {
        summary.build(build);
    }
    for session in trace.sessions.iter() {
        summary.lone_session(session);
    }
    summary.control_calls();
    summary.exchanges();
    summary.connections();
    summary.findings();
    summary.out
}

/// What there is to say when nothing was seen.
const NOBODY: &str = "\
buildtap: no client connected, so there is nothing to show. A client that is told another address \
itself (docker --host or --context, buildctl --addr, a buildx builder that was made for another \
address: see `docker buildx ls`) does not pass here; point it at the address that DOCKER_HOST or \
BUILDKIT_HOST has under `buildtap run`, or that `buildtap proxy` prints.";

struct Summary<'a> {
    trace: &'a Trace,
    now: Time,
    paint: Paint,
    width: Option<usize>,
    out: String,
    /// Sessions that were shown with a build.
    shown: BTreeSet<Id<Session>>,
}

impl Summary<'_> {
    fn line(&mut self, indent: usize, parts: &[(Style, &str)]) {
        self.out.extend(std::iter::repeat_n(' ', indent));
        for (style, text) in parts {
            self.paint.push(&mut self.out, *style, text);
        }
        self.out.push('\n');
    }

    fn table(&mut self, table: &Table, indent: usize) {
        table.push(&mut self.out, self.paint, indent);
    }

    fn head(&mut self) {
        let versions = &self.trace.versions;
        let join = |names: &[String], nobody: &str| match names.is_empty() {
            true => nobody.to_owned(),
            false => printable(&names.join(", ")).into_owned(),
        };
        let client = join(&versions.client, "a client that does not say what it is");
        let daemon = join(&versions.daemon, "a daemon that does not say what it is");
        self.line(0, &[(Style::Bold, "client  "), (Style::Plain, &client)]);
        self.line(0, &[(Style::Bold, "daemon  "), (Style::Plain, &daemon)]);
        let path = path_taken(self.trace);
        if !path.is_empty() {
            self.line(0, &[(Style::Bold, "path    "), (Style::Plain, &path)]);
        }
    }

    fn build(&mut self, build: &Build) {
        // A Status for a build that was never asked for here says nothing of its own.
        if build.call.is_none() && build.exchange.is_none() && build.vertices.is_empty() {
            return;
        }
        // buildx asks with solves that carry nothing whether the daemon is there.
        let took = duration(build.end.unwrap_or(self.now).since(build.start));
        let (style, state) = match build.state {
            BuildState::Open => (Style::Yellow, format!("open for {took}")),
            BuildState::Complete => (Style::Green, format!("complete in {took}")),
            BuildState::Failed => (Style::Red, format!("failed after {took}")),
            BuildState::Cancelled => (Style::Yellow, format!("cancelled after {took}")),
        };
        let title = format!("\nbuild {}  ", build.id);
        self.line(0, &[(Style::Bold, &title), (style, &state)]);
        let mut facts = Table::default();
        let mut fact = |name: &str, value: String| {
            facts.row([
                (Style::Dim, name.to_owned()),
                (Style::Plain, printable(&value).into_owned()),
            ]);
        };
        if let Some(reference) = &build.reference {
            fact("ref", reference.clone());
        }
        let frontend = match build.frontend.as_str() {
            "" if build.exchange.is_some() => "the classic builder".to_owned(),
            "" => "the client itself".to_owned(),
            name => {
                let attrs: Vec<String> = build
                    .frontend_attrs
                    .iter()
                    .map(|(name, value)| attr(name, value))
                    .collect();
                shorten(&format!("{name} {}", attrs.join(" ")), 2 * TEXT)
            }
        };
        fact("frontend", frontend.trim_end().to_owned());
        for (index, exporter) in build.exporters.iter().enumerate() {
            let attrs: Vec<String> = exporter
                .attrs
                .iter()
                .map(|(name, value)| attr(name, value))
                .collect();
            fact(
                &format!("output {index}"),
                shorten(&format!("{} {}", exporter.kind, attrs.join(" ")), TEXT),
            );
        }
        for (name, value) in &build.exporter_response {
            fact("result", shorten(&format!("{name}={value}"), 2 * TEXT));
        }
        if let Some(error) = &build.error {
            fact("error", shorten(error, 2 * TEXT));
        }
        for warning in &build.warnings {
            fact("warning", shorten(warning, TEXT));
        }
        self.table(&facts, 2);
        self.llb(build);
        self.vertices(build);
        let sessions: Vec<Id<Session>> = self
            .trace
            .sessions
            .iter()
            .filter(|session| {
                build
                    .session
                    .as_deref()
                    .is_some_and(|named| session.is_named(named))
            })
            .map(|session| session.id)
            .collect();
        for session in sessions {
            self.session(session, 2);
        }
    }

    fn llb(&mut self, build: &Build) {
        if build.llb.is_empty() {
            return;
        }
        self.line(2, &[(Style::Bold, "operations that the client sent")]);
        for line in build.llb.iter().take(ROWS) {
            let line = shorten(&printable(line), 2 * TEXT);
            self.line(4, &[(Style::Plain, &line)]);
        }
    }

    fn vertices(&mut self, build: &Build) {
        let Some(first) = build
            .vertices
            .iter()
            .filter_map(|vertex| vertex.started)
            .min()
        else {
            return;
        };
        self.line(2, &[(Style::Bold, "steps")]);
        let mut table = Table::default();
        for vertex in build.vertices.iter().take(ROWS) {
            let start = vertex
                .started
                .map(|at| format!("+{}", duration(at.since(first))))
                .unwrap_or_default();
            let (style, state) = match (&vertex.error, vertex.started, vertex.completed) {
                (Some(_), ..) => (Style::Red, "failed".to_owned()),
                _ if vertex.cached => (Style::Dim, "cached".to_owned()),
                (None, Some(start), Some(end)) => (Style::Plain, duration(end.since(start))),
                (None, Some(_), None) => (Style::Yellow, "running".to_owned()),
                (None, None, _) => (Style::Dim, "not begun".to_owned()),
            };
            let name = shorten(&printable(&vertex.name), TEXT);
            table.row([(Style::Dim, start), (style, state), (Style::Plain, name)]);
            if let Some(error) = &vertex.error {
                table.note(Style::Red, shorten(&printable(error), 2 * TEXT));
            }
        }
        self.table(&table, 4);
        let hidden = build.vertices.len().saturating_sub(ROWS) as u64 + build.vertices_dropped;
        if hidden > 0 {
            let text = format!("and {} more", count(hidden, "step"));
            self.line(4, &[(Style::Dim, &text)]);
        }
    }

    fn lone_session(&mut self, session: &Session) {
        if !self.shown.contains(&session.id) {
            self.out.push('\n');
            self.session(session.id, 0);
        }
    }

    fn session(&mut self, id: Id<Session>, indent: usize) {
        let Some(session) = self.trace.sessions.get(id) else {
            return;
        };
        if !self.shown.insert(id) {
            return;
        }
        let uuid = printable(&session.uuid).into_owned();
        let path = match session.path {
            SessionPath::EngineSession => "POST /session",
            SessionPath::ControlSession => "Control.Session",
        };
        let (style, state) = match (&session.refused, session.closed) {
            (Some(why), _) => (Style::Red, format!("refused: {}", printable(why))),
            (None, Some((at, by))) => {
                let by = by.map_or(String::new(), |by| format!(" by the {by}"));
                (
                    Style::Plain,
                    format!("closed{by} after {}", duration(at.since(session.opened))),
                )
            }
            (None, None) if session.accepted.is_none() => {
                (Style::Yellow, "not accepted yet".to_owned())
            }
            (None, None) => (
                Style::Yellow,
                format!("open for {}", duration(self.now.since(session.opened))),
            ),
        };
        let title = format!("session {uuid}");
        self.line(
            indent,
            &[
                (Style::Bold, &title),
                (Style::Dim, &format!("  {path}  ")),
                (style, &state),
            ],
        );
        let offers = match session.methods.is_empty() {
            true => "nothing".to_owned(),
            false => printable(&folded(&session.methods)).into_owned(),
        };
        self.line(
            indent + 2,
            &[(Style::Dim, "offers  "), (Style::Plain, &offers)],
        );
        let calls: Vec<&Call> = self
            .trace
            .calls
            .iter()
            .filter(|call| call.session == Some(id))
            .collect();
        self.calls(&calls, session.opened, indent + 2);
    }

    /// A table of calls, with their transfers; health checks on one line.
    fn calls(&mut self, calls: &[&Call], origin: Time, indent: usize) {
        let (health, others): (Vec<&Call>, Vec<&Call>) = calls
            .iter()
            .partition(|call| call.service == "grpc.health.v1.Health");
        let mut table = Table::default();
        if !others.is_empty() {
            let head = [
                "call",
                "at",
                "caller",
                "",
                "took",
                "client sent",
                "daemon sent",
                "ended",
            ];
            table.row(head.map(|text| (Style::Dim, text.to_owned())));
        }
        for call in others.iter().take(ROWS) {
            self.call(&mut table, call, origin);
        }
        self.table(&table, indent);
        if others.len() > ROWS {
            let text = format!("and {} more", count((others.len() - ROWS) as u64, "call"));
            self.line(indent, &[(Style::Dim, &text)]);
        }
        if !health.is_empty() {
            let (style, text) = health_line(&health);
            self.line(indent, &[(style, &text)]);
        }
    }

    fn call(&self, table: &mut Table, call: &Call, origin: Time) {
        let sent = |side: Side| {
            let flow = call.sent_by(side);
            format!("{} msg {}", flow.messages, bytes(flow.bytes))
        };
        let what = detail(call)
            .map(|detail| format!(" {detail}"))
            .unwrap_or_default();
        let name = shorten(&printable(&format!("{}{what}", call.short_name())), 60);
        let (style, ended) = ending(self.trace, call);
        table.row([
            (Style::Dim, call.id.to_string()),
            (
                Style::Dim,
                format!("+{}", duration(call.start.since(origin))),
            ),
            (Style::Plain, format!("{} →", call.caller)),
            (Style::Cyan, name),
            (
                Style::Plain,
                call.end
                    .map_or_else(|| "…".to_owned(), |end| duration(end.since(call.start))),
            ),
            (Style::Plain, sent(Side::Client)),
            (Style::Plain, sent(Side::Daemon)),
            (style, ended),
        ]);
        if let Some(status) = call.status.as_ref().filter(|status| status.code != 0) {
            table.note(Style::Plain, shorten(&printable(&status.message), 2 * TEXT));
            for detail in status.details.iter().take(4) {
                table.note(Style::Dim, shorten(&printable(detail), 2 * TEXT));
            }
        }
        if let Some(transfer) = call.transfer.and_then(|id| self.trace.transfers.get(id)) {
            for (style, text) in transfer_lines(transfer) {
                table.note(style, shorten(&printable(&text), 2 * TEXT));
            }
        }
        let step = call
            .build
            .zip(call.vertex.as_deref())
            .and_then(|(build, digest)| self.trace.builds.get(build)?.vertex(digest));
        if let Some(vertex) = step.filter(|vertex| !vertex.name.is_empty()) {
            table.note(
                Style::Dim,
                format!("for the step {}", shorten(&printable(&vertex.name), TEXT)),
            );
        }
    }

    /// The calls that clients made.
    fn control_calls(&mut self) {
        let mut by_connection: BTreeMap<Id<Connection>, Vec<&Call>> = BTreeMap::new();
        for call in self
            .trace
            .calls
            .iter()
            .filter(|call| call.session.is_none())
        {
            by_connection.entry(call.connection).or_default().push(call);
        }
        for (id, calls) in by_connection {
            let Some(connection) = self.trace.connections.get(id) else {
                continue;
            };
            let title = format!("\ncalls on connection {id}");
            let way = match (connection.protocol, connection.upgraded_by) {
                (Protocol::ExecTunnel, _) => "  docker exec, HTTP/2 inside",
                (_, Some(_)) => "  POST /grpc",
                _ => "  HTTP/2",
            };
            self.line(0, &[(Style::Bold, &title), (Style::Dim, way)]);
            self.calls(&calls, connection.opened, 2);
        }
    }

    fn exchanges(&mut self) {
        let mut table = Table::default();
        for exchange in self.trace.exchanges.iter().take(ROWS) {
            let (style, status) = match &exchange.status {
                _ if exchange.cut_short => (Style::Yellow, "cut short".to_owned()),
                None => (Style::Yellow, "no answer".to_owned()),
                Some((status @ 400.., reason)) => (Style::Red, format!("{status} {reason}")),
                Some((status, _)) => (Style::Plain, status.to_string()),
            };
            let end = exchange
                .end
                .map_or_else(|| "…".to_owned(), |end| duration(end.since(exchange.start)));
            table.row([
                (Style::Dim, exchange.connection.to_string()),
                (Style::Plain, printable(&exchange.method).into_owned()),
                (Style::Cyan, target(exchange)),
                (style, printable(&status).into_owned()),
                (Style::Plain, end),
                (
                    Style::Plain,
                    format!(
                        "{} → {}",
                        bytes(exchange.request_bytes),
                        bytes(exchange.response_bytes)
                    ),
                ),
            ]);
            if let Some(error) = &exchange.error {
                table.note(Style::Plain, shorten(&printable(error), 2 * TEXT));
            }
        }
        if !table.is_empty() {
            self.line(
                0,
                &[
                    (Style::Bold, "\nHTTP requests"),
                    (Style::Dim, "  by connection"),
                ],
            );
            self.table(&table, 2);
        }
    }

    /// Connections that there is something to say of beyond what they carried.
    fn connections(&mut self) {
        let mut table = Table::default();
        for connection in self.trace.connections.iter() {
            let mut words = Vec::new();
            for side in Side::BOTH {
                if let Some(undecodable) = connection.undecodable.get(side) {
                    let offset = bytes(undecodable.offset);
                    words.push(format!(
                        "not decoded from {offset} of the {side} on: {}",
                        undecodable.why
                    ));
                }
                if connection.closed.is_none() && connection.not_reading.get(side).is_some() {
                    words.push(format!("the {side} does not read"));
                }
            }
            match connection.closed {
                Some((_, Closed::Unreachable)) => {
                    words.push("the daemon could not be reached".to_owned())
                }
                Some((_, Closed::Reset { by: Some(by) })) => {
                    words.push(format!("reset by the {by}"))
                }
                _ => {}
            }
            if words.is_empty() {
                continue;
            }
            words.dedup();
            let [client, daemon] = connection.bytes.0;
            table.row([
                (Style::Dim, connection.id.to_string()),
                (Style::Plain, connection.protocol.as_str().to_owned()),
                (
                    Style::Plain,
                    format!("{} → {}", bytes(client), bytes(daemon)),
                ),
                (
                    Style::Yellow,
                    shorten(&printable(&words.join("; ")), 2 * TEXT),
                ),
            ]);
        }
        if !table.is_empty() {
            self.line(0, &[(Style::Bold, "\nconnections")]);
            self.table(&table, 2);
        }
    }

    fn findings(&mut self) {
        let findings = &self.trace.findings;
        if findings.is_empty() {
            self.line(0, &[(Style::Green, "\nnothing abnormal")]);
            return;
        }
        let title = format!("\n{}", count(findings.len() as u64, "finding"));
        self.line(0, &[(Style::Bold, &title)]);
        for finding in findings.iter() {
            let (style, mark) = severity(finding.severity);
            self.line(
                2,
                &[(style, mark), (Style::Bold, &format!("  {}", finding.code))],
            );
            let mut say = |mark: &str, text: &str| {
                let text = format!("    {mark}{}", printable(text));
                self.out
                    .push_str(&wrapped(&text, 4 + mark.chars().count(), self.width));
                self.out.push('\n');
            };
            say("", &finding.summary);
            for evidence in &finding.evidence {
                say("· ", evidence);
            }
            say("→ ", &finding.advice);
        }
    }
}

/// How bad it is, in a colour and a word.
pub(super) fn severity(severity: Severity) -> (Style, &'static str) {
    match severity {
        Severity::Error => (Style::Red, "✗ error"),
        Severity::Warning => (Style::Yellow, "! warning"),
        Severity::Info => (Style::Dim, "i info"),
    }
}

fn attr(name: &str, value: &str) -> String {
    if value.is_empty() {
        name.to_owned()
    } else {
        format!("{name}={value}")
    }
}

/// How the client reached BuildKit.
fn path_taken(trace: &Trace) -> String {
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
fn folded(methods: &[String]) -> String {
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
    services.iter().map(service).collect::<Vec<_>>().join(", ")
}

/// What tells calls of one method apart.
pub(super) fn detail(call: &Call) -> Option<String> {
    let name = match call.service.as_str() {
        "moby.filesync.v1.FileSync" => "dir-name",
        "moby.filesync.v1.FileSend" => {
            let index = call
                .header("buildkit-attachable-exporter-id")
                .unwrap_or("0");
            return Some(format!("exporter {index}"));
        }
        "moby.sshforward.v1.SSH" => "buildkit.ssh.id",
        "moby.upload.v1.Upload" => "urlpath",
        "containerd.services.content.v1.Content" => "buildkit-attachable-store-id",
        _ => return None,
    };
    call.header(name).map(str::to_owned)
}

/// How a call ended.
pub(super) fn ending(trace: &Trace, call: &Call) -> (Style, String) {
    match (&call.status, &call.reset, call.state) {
        (_, _, CallState::Open) => (Style::Yellow, "open".to_owned()),
        (Some(status), ..) if status.code == 0 => (Style::Green, "OK".to_owned()),
        (Some(status), ..) if status.code == 1 => (Style::Dim, status.name()),
        (Some(status), ..) => (Style::Red, status.name()),
        (None, Some(reset), _) => {
            let transfer = call.transfer.and_then(|id| trace.transfers.get(id));
            let complete =
                transfer.is_some_and(|transfer| transfer.state == TransferState::Complete);
            let by = reset.by.map_or(String::new(), |by| format!(" by the {by}"));
            let how = match reset.code {
                Some(code) => format!("reset{by} ({})", error_code_name(code)),
                None => format!("connection ended{by}"),
            };
            // A local export ends like this once both have said FIN.
            (if complete { Style::Dim } else { Style::Yellow }, how)
        }
        (None, None, _) => (Style::Yellow, "ended without a status".to_owned()),
    }
}

fn health_line(calls: &[&Call]) -> (Style, String) {
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
    let mut text = format!("{} × Health.Check: {ok} OK", calls.len());
    if failed > 0 {
        let _ = write!(text, ", {failed} failed");
    }
    if open > 0 {
        let _ = write!(text, ", {open} open");
    }
    let _ = write!(text, ", slowest {}", duration(slowest));
    (if failed > 0 { Style::Red } else { Style::Dim }, text)
}

/// What a transfer carried, why that is known, and how it ended.
pub(super) fn transfer_lines(transfer: &Transfer) -> Vec<(Style, String)> {
    let machine = &transfer.machine;
    let (style, ended) = match (transfer.state, &transfer.error) {
        (TransferState::Complete, _) if transfer.flavour == Flavour::Packet => {
            (Style::Plain, "complete (FIN answered by FIN)".to_owned())
        }
        (TransferState::Complete, _) => (Style::Plain, "complete".to_owned()),
        (TransferState::Failed, Some(error)) => (Style::Red, format!("failed: {error}")),
        (TransferState::Failed, None) => (Style::Red, "failed".to_owned()),
        (TransferState::Open, _) => (Style::Yellow, "open".to_owned()),
    };
    let mut lines = Vec::new();
    let carried = match transfer.flavour {
        Flavour::Packet => {
            let mut text = format!(
                "{}, {}: {} asked for, {} complete, {}",
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
        Flavour::Bytes => format!("an archive or stream of {}", bytes(transfer.bytes)),
        Flavour::Unknown => bytes(transfer.bytes),
    };
    lines.push((style, format!("{carried}, {ended}")));
    if let Some(turn) = machine
        .turn()
        .filter(|_| transfer.state == TransferState::Open && transfer.flavour == Flavour::Packet)
    {
        lines.push((
            Style::Yellow,
            format!("the {} must {}", turn.side, turn.action),
        ));
    }
    let kind = match transfer.flavour {
        Flavour::Packet => "fsutil Packets",
        Flavour::Bytes => "BytesMessages",
        Flavour::Unknown => "Packets or BytesMessages: nothing tells yet",
    };
    let evidence = transfer
        .evidence
        .iter()
        .take(2)
        .cloned()
        .collect::<Vec<_>>()
        .join("; ");
    let because = if evidence.is_empty() {
        String::new()
    } else {
        format!(": {evidence}")
    };
    lines.push((Style::Dim, format!("{kind}{because}")));
    lines
}

/// The target of a request, without a query as long as that of `/build`.
fn target(exchange: &Exchange) -> String {
    let target = printable(&exchange.target);
    match target.split_once('?') {
        Some((path, query)) if query.len() > 60 => format!("{path}?…"),
        _ => target.into_owned(),
    }
}
