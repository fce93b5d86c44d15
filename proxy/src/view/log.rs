//! The log: what is said as it is said, one line each, quiet about file contents.

use buildtap_decoder::describe::{Describer, printable};
use buildtap_decoder::event::{Closed, Side, Time};
use buildtap_decoder::protocol::diffcopy::PacketType;
use buildtap_decoder::trace::{Call, Content, Message, TextSource, Trace, Update};

use super::paint::{Paint, Style, bytes, duration, shorten, wrapped};
use super::summary::{detail, ending, severity, transfer_lines};

/// Columns of a detail when the terminal does not say how wide it is.
const DETAIL: usize = 140;
/// Columns before the detail.
const BEFORE: usize = 64;

/// Writes lines for updates.
#[derive(Debug)]
pub(super) struct Log {
    paint: Paint,
    width: Option<usize>,
    /// The time that the offsets count from: that of the first line.
    origin: Option<Time>,
}

impl Log {
    /// A log for a terminal that is so wide.
    pub(super) fn new(paint: Paint, width: Option<usize>) -> Self {
        Log {
            paint,
            width,
            origin: None,
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
        match update {
            Update::ConnectionOpened(id) => {
                if let Some(connection) = trace.connections.get(*id) {
                    let process = connection.endpoints.client_process.clone();
                    let what = match connection.parent {
                        Some((_, call)) => format!("inside call {call}"),
                        None => process.unwrap_or_else(|| connection.endpoints.client.clone()),
                    };
                    self.line(
                        out,
                        connection.opened,
                        &tag("conn", id),
                        None,
                        Style::Dim,
                        "opened",
                        &what,
                    );
                }
            }
            Update::ConnectionClosed(id) => {
                if let Some(connection) = trace.connections.get(*id) {
                    let Some((at, how)) = connection.closed else {
                        return;
                    };
                    if how == Closed::Abandoned {
                        return;
                    }
                    let [client, daemon] = connection.bytes.0;
                    let what = format!(
                        "after {}, {} from the client, {} from the daemon",
                        duration(at.since(connection.opened)),
                        bytes(client),
                        bytes(daemon)
                    );
                    self.line(out, at, &tag("conn", id), None, Style::Dim, "closed", &what);
                }
            }
            Update::SessionOpened(id) => {
                if let Some(session) = trace.sessions.get(*id) {
                    let what = format!("{} offers {} methods", session.uuid, session.methods.len());
                    self.line(
                        out,
                        session.opened,
                        &tag("session", id),
                        None,
                        Style::Bold,
                        "opened",
                        &what,
                    );
                }
            }
            Update::SessionClosed(id) => {
                if let Some(session) = trace.sessions.get(*id) {
                    let Some((at, by)) = session.closed else {
                        return;
                    };
                    let what = match (&session.refused, by) {
                        (Some(why), _) => format!("refused: {why}"),
                        (None, Some(by)) => format!("by the {by}"),
                        (None, None) => String::new(),
                    };
                    self.line(
                        out,
                        at,
                        &tag("session", id),
                        None,
                        Style::Bold,
                        "closed",
                        &what,
                    );
                }
            }
            Update::CallStarted(id) => {
                if let Some(call) = trace.calls.get(*id) {
                    let what = detail(call).unwrap_or_default();
                    let name = call.short_name();
                    self.line(
                        out,
                        call.start,
                        &tag("call", id),
                        Some(call.caller),
                        Style::Cyan,
                        &name,
                        &what,
                    );
                }
            }
            Update::Message(message) => self.message(trace, message, describer, out),
            Update::CallEnded(id) => {
                if let Some(call) = trace.calls.get(*id) {
                    let (style, mut ended) = ending(trace, call);
                    if let Some(status) = call.status.as_ref().filter(|status| status.code != 0) {
                        ended = format!("{ended}: {}", status.message);
                    }
                    let took = call
                        .end
                        .map(|end| duration(end.since(call.start)))
                        .unwrap_or_default();
                    let by = call
                        .reset
                        .as_ref()
                        .filter(|_| call.status.is_none())
                        .and_then(|reset| reset.by);
                    let from = by.unwrap_or(call.caller.peer());
                    let name = call.short_name();
                    let at = call.end.unwrap_or(call.start);
                    self.line(
                        out,
                        at,
                        &tag("call", id),
                        Some(from),
                        style,
                        &name,
                        &format!("{ended} after {took}"),
                    );
                }
            }
            Update::ExchangeStarted(id) => {
                if let Some(exchange) = trace.exchanges.get(*id) {
                    let what = exchange.target.clone();
                    let tag = tag("conn", &exchange.connection);
                    self.line(
                        out,
                        exchange.start,
                        &tag,
                        Some(Side::Client),
                        Style::Cyan,
                        &exchange.method,
                        &what,
                    );
                }
            }
            Update::ExchangeEnded(id) => {
                if let Some(exchange) = trace.exchanges.get(*id) {
                    let Some((status, reason)) = &exchange.status else {
                        return;
                    };
                    let style = if *status >= 400 {
                        Style::Red
                    } else {
                        Style::Plain
                    };
                    let error = exchange.error.as_deref().unwrap_or_default();
                    let path = exchange.target.split('?').next().unwrap_or_default();
                    let what = format!("{reason} to {} {path} {error}", exchange.method);
                    let at = exchange.end.unwrap_or(exchange.start);
                    let tag = tag("conn", &exchange.connection);
                    self.line(
                        out,
                        at,
                        &tag,
                        Some(Side::Daemon),
                        style,
                        &status.to_string(),
                        &what,
                    );
                }
            }
            Update::TransferDecided(id) => {
                if let Some(transfer) = trace.transfers.get(*id) {
                    let because = transfer
                        .evidence
                        .first()
                        .map(String::as_str)
                        .unwrap_or_default();
                    let what = format!("{}: {because}", transfer.flavour.as_str());
                    self.line(
                        out,
                        transfer.start,
                        &tag("call", &transfer.call),
                        None,
                        Style::Dim,
                        "carries",
                        &what,
                    );
                }
            }
            Update::File(id, file) => {
                if let Some(transfer) = trace.transfers.get(*id) {
                    let at = file.completed.unwrap_or(file.requested);
                    let path = file
                        .path
                        .clone()
                        .unwrap_or_else(|| format!("id {}", file.id));
                    let what = format!(
                        "{path} {} in {}",
                        bytes(file.bytes),
                        duration(at.since(file.requested))
                    );
                    let from = Some(transfer.sender());
                    self.line(
                        out,
                        at,
                        &tag("call", &transfer.call),
                        from,
                        Style::Plain,
                        "file",
                        &what,
                    );
                }
            }
            Update::TransferEnded(id) => {
                if let Some(transfer) = trace.transfers.get(*id)
                    && let Some((style, what)) = transfer_lines(transfer).into_iter().next()
                {
                    let at = transfer.end.unwrap_or(transfer.start);
                    self.line(
                        out,
                        at,
                        &tag("call", &transfer.call),
                        None,
                        style,
                        "transfer",
                        &what,
                    );
                }
            }
            Update::BuildStarted(id) => {
                if let Some(build) = trace.builds.get(*id) {
                    let outputs: Vec<&str> = build
                        .exporters
                        .iter()
                        .map(|exporter| exporter.kind.as_str())
                        .collect();
                    let what = format!("{} to {}", build.frontend, outputs.join(", "));
                    self.line(
                        out,
                        build.start,
                        &tag("build", id),
                        None,
                        Style::Bold,
                        "asked for",
                        &what,
                    );
                }
            }
            Update::Vertex(id, at) => {
                let Some(build) = trace.builds.get(*id) else {
                    return;
                };
                let Some(vertex) = build.vertices.get(*at) else {
                    return;
                };
                let (style, word, when) = match (&vertex.error, vertex.started, vertex.completed) {
                    (Some(_), started, completed) => (Style::Red, "failed", completed.or(started)),
                    (None, Some(_), Some(end)) if vertex.cached => {
                        (Style::Dim, "cached", Some(end))
                    }
                    (None, Some(_), Some(end)) => (Style::Plain, "done", Some(end)),
                    (None, Some(start), None) => (Style::Plain, "begun", Some(start)),
                    (None, None, _) => return,
                };
                let when = when.unwrap_or(build.start);
                self.line(
                    out,
                    when,
                    &tag("build", id),
                    None,
                    style,
                    word,
                    &vertex.name,
                );
            }
            Update::BuildEnded(id) => {
                if let Some(build) = trace.builds.get(*id) {
                    let what = build.error.clone().unwrap_or_default();
                    let at = build.end.unwrap_or(build.start);
                    self.line(
                        out,
                        at,
                        &tag("build", id),
                        None,
                        Style::Bold,
                        build.state.as_str(),
                        &what,
                    );
                }
            }
            Update::Finding(id) => self.finding(trace, *id, out),
            Update::Text(text) => {
                let who = match text.source {
                    TextSource::ExecStderr => "stderr",
                    TextSource::BuildStream => "stream",
                };
                for line in text.text.lines().filter(|line| !line.trim().is_empty()) {
                    let tag = tag("conn", &text.connection);
                    self.line(
                        out,
                        text.at,
                        &tag,
                        Some(Side::Daemon),
                        Style::Yellow,
                        who,
                        line,
                    );
                }
            }
        }
    }

    /// A finding, which is worth a line also without a log.
    pub(super) fn finding(
        &mut self,
        trace: &Trace,
        id: buildtap_decoder::trace::Id<buildtap_decoder::trace::Finding>,
        out: &mut String,
    ) {
        let Some(finding) = trace.findings.get(id) else {
            return;
        };
        let (style, mark) = severity(finding.severity);
        let title = format!("buildtap: {mark} {}", finding.code);
        self.paint.push(out, style, &title);
        out.push('\n');
        for (mark, text) in [("", &finding.summary), ("→ ", &finding.advice)] {
            let text = format!("    {mark}{}", printable(text));
            out.push_str(&wrapped(&text, 4 + mark.chars().count(), self.width));
            out.push('\n');
        }
    }

    fn message(
        &mut self,
        trace: &Trace,
        message: &Message,
        describer: &Describer,
        out: &mut String,
    ) {
        let Some(call) = trace.calls.get(message.call) else {
            return;
        };
        let what = match &message.content {
            Content::Bytes { .. } => return,
            // Contents have a line for each file, listings one for all of their entries.
            Content::Packet(packet) => match packet.kind {
                PacketType::Data | PacketType::Req => return,
                PacketType::Stat if !packet.is_final_stat() => return,
                PacketType::Stat => listing(trace, call),
                _ => Describer::packet(packet),
            },
            Content::Protobuf { body, cut } => {
                if call.service == "grpc.health.v1.Health" && message.from == call.caller {
                    return;
                }
                describer.line(&call.path(), message.from == call.caller, body, *cut)
            }
        };
        let name = call.short_name();
        let size = format!("{} {what}", bytes(message.length));
        self.line(
            out,
            message.at,
            &tag("call", &message.call),
            Some(message.from),
            Style::Plain,
            &name,
            &size,
        );
    }

    #[expect(clippy::too_many_arguments, reason = "the columns of a line")]
    fn line(
        &mut self,
        out: &mut String,
        at: Time,
        tag: &str,
        from: Option<Side>,
        style: Style,
        name: &str,
        what: &str,
    ) {
        let origin = *self.origin.get_or_insert(at);
        // The daemon's clock, which times the steps, may be behind that of the tap.
        let offset = at.since(origin).as_secs_f64();
        self.paint
            .push(out, Style::Dim, &format!("{offset:>9.3}  {tag:<11}"));
        let arrow = match from {
            Some(Side::Client) => "client → daemon",
            Some(Side::Daemon) => "daemon → client",
            None => "",
        };
        out.push_str(&format!("  {arrow:<15}  "));
        self.paint
            .push(out, style, &format!("{:<22}", printable(name)));
        let room = self
            .width
            .map_or(DETAIL, |width| width.saturating_sub(BEFORE).max(40));
        out.push_str("  ");
        out.push_str(&shorten(&printable(what.trim()), room));
        while out.ends_with(' ') {
            out.pop();
        }
        out.push('\n');
    }
}

fn tag<T>(kind: &str, id: &buildtap_decoder::trace::Id<T>) -> String {
    format!("{kind} {id}")
}

fn listing(trace: &Trace, call: &Call) -> String {
    let machine = call
        .transfer
        .and_then(|id| trace.transfers.get(id))
        .map(|transfer| &transfer.machine);
    machine.map_or_else(String::new, |machine| {
        format!(
            "end of the listing: {} entries, {} files, {}",
            machine.entries().count(),
            machine.files(),
            bytes(machine.announced_bytes())
        )
    })
}
