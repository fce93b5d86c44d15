//! The log: what is said as it is said, one line each, quiet about file contents.
//!
//! A file has one line when it is complete, a listing one when it ends, a health check one in
//! all. Offsets are seconds after the first client connected, as in the summary.

use std::collections::{BTreeSet, HashMap};

use buildtap_decoder::describe::{Describer, printable};
use buildtap_decoder::event::{Closed, Side, Time};
use buildtap_decoder::protocol::diffcopy::PacketType;
use buildtap_decoder::trace::{
    Build, Call, Connection, Content, Exchange, File, Finding, Id, Message, Session, Text,
    TextSource, Trace, Transfer, Update,
};

use super::paint::{Paint, Style, bytes, count, duration, offset, shorten};
use super::words;

/// Columns of a detail when the terminal does not say how wide it is.
const DETAIL: usize = 140;
/// Columns before the detail.
const BEFORE: usize = 68;
/// Steps of which it is remembered what was written last.
const STEPS: usize = 1 << 16;
/// Operations of a graph that are written.
const OPERATIONS: usize = 200;

/// Writes lines for updates.
#[derive(Debug)]
pub(super) struct Log {
    paint: Paint,
    width: Option<usize>,
    /// The time that the offsets count from.
    origin: Option<Time>,
    /// What was written last of a step: the daemon repeats itself.
    steps: HashMap<(u64, usize), &'static str>,
    /// Findings that were told in full.
    told: BTreeSet<u64>,
}

/// One line: when, of what, who to whom, what.
struct Line<'a> {
    at: Time,
    tag: String,
    from: Option<Side>,
    style: Style,
    name: &'a str,
    what: String,
}

impl Log {
    /// A log for a terminal that is so wide.
    pub(super) fn new(paint: Paint, width: Option<usize>) -> Self {
        Log {
            paint,
            width,
            origin: None,
            steps: HashMap::new(),
            told: BTreeSet::new(),
        }
    }

    /// The lines for an update, if there is something to say.
    pub(super) fn update(
        &mut self,
        trace: &Trace,
        update: &Update,
        describer: &Describer,
        out: &mut String,
    ) {
        if self.origin.is_none() {
            self.origin = words::origin(trace);
        }
        match update {
            Update::Finding(id) => return self.finding(trace, *id, out),
            Update::Text(text) => return self.text(text, out),
            _ => {}
        }
        let Some(name) = self.names(trace, update) else {
            return;
        };
        if let Some(line) = line(trace, update, &name, describer) {
            self.line(line, out);
        }
        if let Update::BuildStarted(id) = update {
            self.operations(trace, *id, out);
        }
    }

    /// The graph that the client sent, a line for each operation.
    fn operations(&self, trace: &Trace, id: Id<Build>, out: &mut String) {
        let Some(build) = trace.builds.get(id) else {
            return;
        };
        let hidden = build.llb.len().saturating_sub(OPERATIONS) as u64;
        let more = (hidden > 0).then(|| format!("and {} more", count(hidden, "operation")));
        for what in build.llb.iter().take(OPERATIONS).cloned().chain(more) {
            let line = Line {
                at: build.start,
                tag: tag("build", id),
                from: None,
                style: Style::Plain,
                name: "operation",
                what,
            };
            self.line(line, out);
        }
    }

    /// What the name column says; `None` if there is nothing to say at all.
    fn names(&mut self, trace: &Trace, update: &Update) -> Option<String> {
        Some(match update {
            Update::ConnectionOpened(_) | Update::SessionOpened(_) => "opened".to_owned(),
            Update::ConnectionClosed(_) | Update::SessionClosed(_) => "closed".to_owned(),
            Update::CallStarted(id) | Update::CallEnded(id) => trace.calls.get(*id)?.short_name(),
            Update::Message(message) => trace.calls.get(message.call)?.short_name(),
            Update::ExchangeStarted(id) => trace.exchanges.get(*id)?.method.clone(),
            Update::ExchangeEnded(id) => {
                let (status, reason) = trace.exchanges.get(*id)?.status.as_ref()?;
                format!("{status} {reason}")
            }
            Update::TransferDecided(_) => "flavour".to_owned(),
            Update::File(..) => "file".to_owned(),
            Update::TransferEnded(_) => "transfer".to_owned(),
            Update::BuildStarted(_) => "asked for".to_owned(),
            Update::BuildEnded(id) => trace.builds.get(*id)?.state.as_str().to_owned(),
            Update::Vertex(id, at) => {
                let vertex = trace.builds.get(*id)?.vertices.get(*at)?;
                let (_, state) = words::step_state(vertex)?;
                if self.steps.len() >= STEPS {
                    self.steps.clear();
                }
                let before = self.steps.insert((id.number(), *at), state);
                return (before != Some(state)).then(|| state.to_owned());
            }
            Update::Finding(_)
            | Update::Text(_)
            | Update::Said(_)
            | Update::Waited(_)
            | Update::Printed(..)
            | Update::Frame(_) => return None,
        })
    }

    /// A finding, which is worth a few lines also without a log: a hint while it is only likely,
    /// and all of it once it is certain.
    pub(super) fn finding(&mut self, trace: &Trace, id: Id<Finding>, out: &mut String) {
        let Some(finding) = trace.findings.get(id) else {
            return;
        };
        let origin = words::origin(trace).unwrap_or(finding.at);
        let (style, mark) = match finding.certain {
            Some(_) => words::severity(finding.severity),
            None => (Style::Yellow, "? likely"),
        };
        let title = format!("buildtap: {mark} {}", finding.code);
        self.paint.push(out, style, &title);
        let at = finding.certain.unwrap_or(finding.at);
        let after = format!("  at {} s", offset(at, origin));
        self.paint.push(out, Style::Dim, &after);
        out.push('\n');
        words::say(out, 4, "", &finding.summary, self.width);
        if finding.certain.is_some() {
            words::reasons(out, 4, finding, self.width);
            self.told.insert(id.number());
        }
    }

    /// The numbers of the findings that were told in full.
    pub(super) fn told(&self) -> &BTreeSet<u64> {
        &self.told
    }

    fn text(&self, text: &Text, out: &mut String) {
        let name = match text.source {
            TextSource::ExecStderr => "stderr",
            TextSource::BuildStream => "stream",
        };
        for line in text.text.lines().filter(|line| !line.trim().is_empty()) {
            let line = Line {
                at: text.at,
                tag: tag("conn", text.connection),
                from: Some(Side::Daemon),
                style: Style::Yellow,
                name,
                what: line.to_owned(),
            };
            self.line(line, out);
        }
    }

    fn line(&self, line: Line<'_>, out: &mut String) {
        let at = offset(line.at, self.origin.unwrap_or(line.at));
        let start = format!("{at:>9}  {:<11}", line.tag);
        self.paint.push(out, Style::Dim, &start);
        let arrow = match line.from {
            Some(Side::Client) => "client → daemon",
            Some(Side::Daemon) => "daemon → client",
            None => "",
        };
        out.push_str(&format!("  {arrow:<15}  "));
        let name = printable(line.name);
        let what = printable(line.what.trim());
        if what.is_empty() {
            self.paint.push(out, line.style, &name);
        } else {
            let room = self
                .width
                .map_or(DETAIL, |width| width.saturating_sub(BEFORE).max(40));
            self.paint.push(out, line.style, &format!("{name:<26}"));
            out.push_str("  ");
            out.push_str(&shorten(&what, room));
        }
        out.push('\n');
    }
}

fn line<'a>(
    trace: &Trace,
    update: &Update,
    name: &'a str,
    describer: &Describer,
) -> Option<Line<'a>> {
    let line = |at, tag, from, style, what| {
        Some(Line {
            at,
            tag,
            from,
            style,
            name,
            what,
        })
    };
    match update {
        Update::ConnectionOpened(id) => {
            let row = trace.connections.get(*id)?;
            line(row.opened, tag("conn", *id), None, Style::Dim, opened(row))
        }
        Update::ConnectionClosed(id) => {
            let row = trace.connections.get(*id)?;
            let (at, how) = row.closed?;
            if how == Closed::Abandoned {
                return None;
            }
            line(at, tag("conn", *id), None, Style::Dim, closed(row, at))
        }
        Update::SessionOpened(id) => {
            let row = trace.sessions.get(*id)?;
            let what = format!("{} offers {}", row.uuid, words::offers(&row.methods));
            line(row.opened, tag("session", *id), None, Style::Bold, what)
        }
        Update::SessionClosed(id) => {
            let row = trace.sessions.get(*id)?;
            let (at, _) = row.closed?;
            let what = session_closed(row);
            line(at, tag("session", *id), None, Style::Bold, what)
        }
        Update::CallStarted(id) => {
            let row = trace.calls.get(*id).filter(|row| !is_health(row))?;
            let subject = row.subject.as_deref();
            let what = subject.map_or("begins".to_owned(), |subject| format!("begins: {subject}"));
            let from = Some(row.caller);
            line(row.start, tag("call", *id), from, Style::Cyan, what)
        }
        Update::Message(message) => {
            let row = trace.calls.get(message.call)?;
            let what = said(trace, row, message, describer)?;
            let from = Some(message.from);
            let tag = tag("call", message.call);
            line(message.at, tag, from, Style::Plain, what)
        }
        Update::CallEnded(id) => {
            let row = trace.calls.get(*id)?;
            let ok = row.status.as_ref().is_some_and(|status| status.code == 0);
            if ok && is_health(row) {
                return None;
            }
            let at = row.end.unwrap_or(row.start);
            let (style, what) = call_ended(trace, row, at);
            let by = row.reset.as_ref().filter(|_| row.status.is_none());
            let from = by.and_then(|reset| reset.by).unwrap_or(row.caller.peer());
            line(at, tag("call", *id), Some(from), style, what)
        }
        Update::ExchangeStarted(id) => {
            let row = trace.exchanges.get(*id)?;
            let tag = tag("conn", row.connection);
            let from = Some(Side::Client);
            line(row.start, tag, from, Style::Cyan, words::target(row))
        }
        Update::ExchangeEnded(id) => {
            let row = trace.exchanges.get(*id)?;
            let failed = row
                .status
                .as_ref()
                .is_some_and(|(status, _)| *status >= 400);
            let style = if failed { Style::Red } else { Style::Plain };
            let at = row.end.unwrap_or(row.start);
            let what = answered(row, at);
            let from = Some(Side::Daemon);
            line(at, tag("conn", row.connection), from, style, what)
        }
        Update::TransferDecided(id) => {
            let row = trace.transfers.get(*id)?;
            let what = words::evidence(row)?;
            line(row.start, tag("call", row.call), None, Style::Dim, what)
        }
        Update::File(id, file) => {
            let row = trace.transfers.get(*id)?;
            let at = file.completed.unwrap_or(file.requested);
            let from = Some(row.sender());
            let what = sent(file, at);
            line(at, tag("call", row.call), from, Style::Plain, what)
        }
        Update::TransferEnded(id) => {
            let row: &Transfer = trace.transfers.get(*id)?;
            let (style, what) = words::transfer(row);
            let at = row.end.unwrap_or(row.start);
            line(at, tag("call", row.call), None, style, what)
        }
        Update::BuildStarted(id) => {
            let row = trace.builds.get(*id)?;
            line(row.start, tag("build", *id), None, Style::Bold, asked(row))
        }
        Update::BuildEnded(id) => {
            let row = trace.builds.get(*id)?;
            let at = row.end.unwrap_or(row.start);
            let took = duration(at.since(row.start));
            let error = row.error.as_ref();
            let what = error.map_or(String::new(), |error| format!(": {error}"));
            let what = format!("after {took}{what}");
            line(at, tag("build", *id), None, Style::Bold, what)
        }
        Update::Vertex(id, at) => {
            let build = trace.builds.get(*id)?;
            let vertex = build.vertices.get(*at)?;
            let (style, _) = words::step_state(vertex)?;
            let when = vertex.completed.or(vertex.started).unwrap_or(build.start);
            let error = vertex.error.as_ref();
            let error = error.map_or(String::new(), |error| format!(": {error}"));
            let what = format!("{}{error}", vertex.name);
            line(when, tag("build", *id), None, style, what)
        }
        Update::Finding(_)
        | Update::Text(_)
        | Update::Said(_)
        | Update::Waited(_)
        | Update::Printed(..)
        | Update::Frame(_) => None,
    }
}

fn opened(connection: &Connection) -> String {
    let process = connection.endpoints.client_process.clone();
    match connection.parent {
        Some((_, call)) => format!("inside call {call}"),
        None => process.unwrap_or_else(|| connection.endpoints.client.clone()),
    }
}

fn closed(connection: &Connection, at: Time) -> String {
    let [client, daemon] = connection.bytes.0;
    format!(
        "after {}, {} from the client, {} from the daemon",
        duration(at.since(connection.opened)),
        bytes(client),
        bytes(daemon)
    )
}

fn session_closed(session: &Session) -> String {
    match (&session.refused, session.closed) {
        (Some(why), _) => format!("refused: {why}"),
        (None, Some((_, Some(by)))) => format!("by the {by}"),
        (None, _) => String::new(),
    }
}

fn call_ended(trace: &Trace, call: &Call, at: Time) -> (Style, String) {
    let (style, ended) = words::ending(trace, call);
    let took = duration(at.since(call.start));
    let status = call.status.as_ref().filter(|status| status.code != 0);
    let message = status.map_or(String::new(), |status| format!(": {}", status.message));
    (style, format!("{ended} after {took}{message}"))
}

fn answered(exchange: &Exchange, at: Time) -> String {
    let path = exchange.target.split('?').next().unwrap_or_default();
    let took = duration(at.since(exchange.start));
    let error = exchange.error.as_ref();
    let error = error.map_or(String::new(), |error| format!(": {error}"));
    format!("to {} {path} after {took}{error}", exchange.method)
}

fn sent(file: &File, at: Time) -> String {
    let path = file.path.clone();
    format!(
        "{} {} in {}",
        path.unwrap_or_else(|| format!("id {}", file.id)),
        bytes(file.bytes),
        duration(at.since(file.requested))
    )
}

fn asked(build: &Build) -> String {
    let outputs: Vec<&str> = build
        .exporters
        .iter()
        .map(|exporter| exporter.kind.as_str())
        .collect();
    let outputs = match outputs.is_empty() {
        true => "no output".to_owned(),
        false => format!("output {}", outputs.join(", ")),
    };
    format!("frontend: {}, {outputs}", words::frontend(build))
}

/// What a message says; `None` for those that are told otherwise.
fn said(trace: &Trace, call: &Call, message: &Message, describer: &Describer) -> Option<String> {
    let what = match &message.content {
        Content::Bytes { .. } => return None,
        // Contents have a line for each file, listings one for all of their entries.
        Content::Packet { packet, .. } => match packet.kind {
            PacketType::Data | PacketType::Req => return None,
            PacketType::Stat if !packet.is_final_stat() => return None,
            PacketType::Stat => return listing(trace, call),
            _ => Describer::packet(packet),
        },
        Content::Protobuf { body, cut } => {
            let request = message.from == call.caller;
            if request && is_health(call) {
                return None;
            }
            describer.line(&call.path(), request, body, *cut)
        }
    };
    Some(format!("{} {what}", bytes(message.length)))
}

fn listing(trace: &Trace, call: &Call) -> Option<String> {
    let machine = &trace.transfers.get(call.transfer?)?.machine;
    Some(format!(
        "end of the listing: {}, {}, {}",
        count(machine.entries().count(), "entry"),
        count(machine.files(), "file"),
        bytes(machine.announced_bytes())
    ))
}

fn is_health(call: &Call) -> bool {
    call.service == "grpc.health.v1.Health"
}

fn tag<T>(kind: &str, id: Id<T>) -> String {
    format!("{kind} {id}")
}
