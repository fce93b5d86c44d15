//! From a row of the trace to its span: names, attributes, events, status. `docs/traces.md` says
//! what each attribute means.

use std::borrow::Cow;

use buildtap_decoder::event::{Closed, Side, Time};
use buildtap_decoder::protocol::diffcopy::PacketType;
use buildtap_decoder::protocol::mask::mask_text;
use buildtap_decoder::trace::{
    Awaited, Call, CallState, Connection, Exchange, File, Flavour, Protocol, Session, Trace,
    Transfer, TransferState, Wait,
};
use buildtap_decoder::wire::http2::error_code_name;
use opentelemetry::KeyValue;
use opentelemetry::trace::SpanId;

use super::origin::outermost;
use super::place::{call_id, connection_id, exchange_id, session_id, transfer_id};
use crate::otlp::ids;
use crate::otlp::span::{Draft, Place, texts};

/// gRPC codes that are failures of the callee by the conventions for RPC; without UNIMPLEMENTED,
/// with which BuildKit finds out what its peer can do.
const FAILURES: [u32; 5] = [2, 4, 13, 14, 15];

/// How texts are written.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Words {
    pub(crate) show_secrets: bool,
    pub(crate) hash_paths: bool,
}

impl Words {
    /// Text that a program or a person wrote: the decoder masks names and values, not prose.
    pub(crate) fn free(self, text: &str) -> Cow<'_, str> {
        match self.show_secrets {
            true => Cow::Borrowed(text),
            false => mask_text(text),
        }
    }

    /// The path of a file.
    pub(super) fn path(self, path: &str) -> Cow<'_, str> {
        match self.hash_paths {
            true => format!("sha256:{}", ids::digest(path)).into(),
            false => self.free(path),
        }
    }

    /// A name that may be a path: of an upload, of a directory on the client's side.
    pub(crate) fn name(self, name: &str) -> Cow<'_, str> {
        match self.hash_paths && name.contains('/') {
            true => self.path(name),
            false => self.free(name),
        }
    }

    /// Prose in which there may be paths: left out if they are not to be read.
    pub(crate) fn prose(self, text: &str) -> Option<Cow<'_, str>> {
        (!self.hash_paths).then(|| self.free(text))
    }

    /// What somebody must do, up to where a path may stand.
    pub(super) fn action(self, text: &str) -> Cow<'_, str> {
        if !self.hash_paths {
            return self.free(text);
        }
        let end = ["(", " of ", ";", ":"]
            .iter()
            .filter_map(|at| text.find(at))
            .min();
        text[..end.unwrap_or(text.len())]
            .trim_end()
            .to_owned()
            .into()
    }

    /// A step's name: `[2/3] COPY hello.txt /`.
    pub(crate) fn step(self, name: &str) -> Cow<'_, str> {
        if !self.hash_paths {
            return self.free(name);
        }
        let behind = name.strip_prefix('[').and_then(|name| name.split_once(']'));
        let (stage, words) = match behind {
            Some((stage, words)) => (format!("[{stage}] "), words),
            None => (String::new(), name),
        };
        let verb = words.split_whitespace().next().unwrap_or_default();
        let verb = if verb.contains('/') { "" } else { verb };
        format!("{stage}{verb}").trim_end().to_owned().into()
    }
}

fn protocol(draft: &mut Draft, version: &str) {
    draft.text("network.protocol.name", "http");
    draft.text("network.protocol.version", version);
}

/// The address of the daemon.
fn server(draft: &mut Draft, row: &Connection) {
    let daemon = &row.endpoints.daemon;
    match daemon.strip_prefix("unix://") {
        Some(path) => {
            draft.text("server.address", path);
        }
        None if daemon.is_empty() => {}
        None => match daemon.rsplit_once(':') {
            Some((host, port)) if port.parse::<u16>().is_ok() => {
                draft.text("server.address", host.trim_start_matches("tcp://"));
                draft.number("server.port", port.parse().unwrap_or_default());
            }
            _ => draft.text("server.address", daemon),
        },
    }
}

/// The addresses of both ends.
fn network(draft: &mut Draft, row: &Connection) {
    let daemon = &row.endpoints.daemon;
    if !daemon.is_empty() {
        let is_unix = daemon.starts_with("unix://");
        draft.text("network.transport", if is_unix { "unix" } else { "tcp" });
    }
    server(draft, row);
    if row.endpoints.client != "unix"
        && let Some((host, port)) = row.endpoints.client.rsplit_once(':')
        && let Ok(port) = port.parse::<u16>()
    {
        draft.text("client.address", host);
        draft.number("client.port", port.into());
    }
}

/// What a connection is for: `connection (POST /session)`.
fn connection_name(trace: &Trace, row: &Connection) -> String {
    let upgraded = row.upgraded_by.and_then(|id| trace.exchanges.get(id));
    let by = row.parent.and_then(|(_, call)| trace.calls.get(call));
    let what = match (upgraded, by, row.protocol) {
        (Some(exchange), ..) => route(exchange),
        (None, Some(call), _) => format!("in {}", call.short_name()),
        (None, None, Protocol::Http1) => "HTTP/1.1".to_owned(),
        (None, None, Protocol::Http2) => "HTTP/2".to_owned(),
        (None, None, Protocol::ExecTunnel) => "exec tunnel".to_owned(),
        (None, None, Protocol::Opaque) => "not decoded".to_owned(),
        (None, None, Protocol::Unknown) => "nothing was said".to_owned(),
    };
    format!("connection ({what})")
}

pub(super) fn connection(
    words: Words,
    place: &Place,
    trace: &Trace,
    row: &Connection,
    now: Time,
) -> Draft {
    let closed = row.closed.filter(|(_, how)| *how != Closed::Abandoned);
    let end = closed.map_or(now, |(at, _)| at);
    let name = connection_name(trace, row);
    let mut draft = Draft::new(place, connection_id(row), name, row.opened, end);
    network(&mut draft, row);
    match row.protocol {
        Protocol::Http1 => protocol(&mut draft, "1.1"),
        Protocol::Http2 => protocol(&mut draft, "2"),
        Protocol::ExecTunnel | Protocol::Opaque | Protocol::Unknown => {}
    }
    draft.text("buildkit.connection.protocol", row.protocol.as_str());
    draft.number("buildkit.connection.number", row.id.number());
    if row.depth > 0 {
        draft.number("buildkit.connection.depth", row.depth.into());
    }
    for (side, key) in [
        (Side::Client, "buildkit.client.bytes"),
        (Side::Daemon, "buildkit.daemon.bytes"),
    ] {
        draft.number(key, *row.bytes.get(side));
        if let Some(at) = row.half_closed.get(side) {
            let side = KeyValue::new("buildkit.side", side.as_str());
            draft.event(*at, "half-close", vec![side]);
        }
        if let Some(at) = row.not_reading.get(side) {
            let side = KeyValue::new("buildkit.side", side.as_str());
            draft.event(*at, "does not read", vec![side]);
        }
        if let Some(broken) = row.undecodable.get(side) {
            let why = vec![
                KeyValue::new("buildkit.side", side.as_str()),
                KeyValue::new(
                    "buildkit.undecodable.why",
                    words.free(&broken.why).into_owned(),
                ),
            ];
            draft.event(broken.at, "not decodable from here", why);
        }
    }
    if let Some(http2) = &row.http2 {
        for side in Side::BOTH {
            if let Some(goaway) = http2.goaway.get(side) {
                let said = vec![
                    KeyValue::new("buildkit.side", side.as_str()),
                    KeyValue::new("http2.error_code", error_code_name(goaway.code)),
                    KeyValue::new("http2.goaway.debug", words.free(&goaway.debug).into_owned()),
                ];
                draft.event(goaway.at, "GOAWAY", said);
            }
        }
    }
    match closed {
        None => draft.flag("buildkit.open", true),
        Some((_, Closed::Reset { by })) => {
            draft.text("buildkit.closed", "reset");
            draft.maybe_text("buildkit.closed.by", by.map(Side::as_str));
        }
        Some((_, Closed::Unreachable)) => {
            draft.text("buildkit.closed", "unreachable");
            draft.error("the daemon could not be reached");
        }
        Some(_) => draft.text("buildkit.closed", "finished"),
    }
    draft
}

/// `POST /session`, without the version of the API, ids and the query.
pub(super) fn route(row: &Exchange) -> String {
    format!("{} {}", row.method, path_of(row))
}

fn path_of(row: &Exchange) -> String {
    let path = row.target.split(['?', '#']).next().unwrap_or_default();
    let mut parts: Vec<&str> = path.split('/').collect();
    let is_version = |part: &&str| {
        part.strip_prefix('v')
            .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    if parts.len() > 2 && is_version(&parts[1]) {
        parts.remove(1);
    }
    let is_id = |part: &str| part.len() >= 32 && part.bytes().all(|b| b.is_ascii_hexdigit());
    let parts = parts
        .into_iter()
        .map(|part| if is_id(part) { "{id}" } else { part });
    parts.collect::<Vec<_>>().join("/")
}

pub(super) fn exchange(
    words: Words,
    place: &Place,
    trace: &Trace,
    row: &Exchange,
    now: Time,
) -> Draft {
    let end = row.end.unwrap_or(now);
    let mut draft = Draft::new(place, exchange_id(row), route(row), row.start, end).server();
    draft.text("http.request.method", &row.method);
    let (path, query) = match row.target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (row.target.as_str(), None),
    };
    draft.text("http.route", &path_of(row));
    draft.text("url.scheme", "http");
    draft.text("url.path", path);
    protocol(&mut draft, "1.1");
    draft.maybe_text("url.query", query.filter(|_| !words.hash_paths));
    draft.number("http.request.body.size", row.request_bytes);
    draft.number("http.response.body.size", row.response_bytes);
    if let Some((code, _)) = &row.status {
        draft.number("http.response.status_code", (*code).into());
        if *code >= 500 {
            draft.text("error.type", &code.to_string());
            draft.error(&format!("HTTP status {code}"));
        }
    }
    let mut headers = row.request_headers.iter();
    let agent = headers.find(|(name, _)| name.eq_ignore_ascii_case("user-agent"));
    draft.maybe_text(
        "user_agent.original",
        agent.map(|(_, value)| value.as_str()),
    );
    if let Some(connection) = outermost(trace, row.connection) {
        network(&mut draft, connection);
    }
    draft.number("buildkit.connection.number", row.connection.number());
    if let Some(at) = row.request_end.filter(|_| row.request_bytes > 0) {
        draft.event(at, "request sent", Vec::new());
    }
    if let Some(at) = row.answered {
        let name = match row.status {
            Some((101, _)) => "upgraded",
            _ => "answered",
        };
        let to = row
            .upgrade
            .iter()
            .map(|to| KeyValue::new("http.upgrade", to.clone()));
        draft.event(at, name, to.collect());
    }
    if let Some(error) = &row.error {
        match words.prose(error) {
            Some(error) => draft.error(&error),
            None => draft.error("the daemon said that it failed"),
        }
    }
    if row.cut_short {
        draft.flag("buildkit.cut_short", true);
    }
    if row.end.is_none() {
        draft.flag("buildkit.open", true);
    }
    draft
}

pub(super) fn session(words: Words, place: &Place, row: &Session, now: Time) -> Draft {
    let end = row.closed.map_or(now, |(at, _)| at);
    let mut draft = Draft::new(place, session_id(row), "session", row.opened, end);
    draft.text("buildkit.session.id", &row.uuid);
    draft.text("buildkit.session.path", row.path.as_str());
    // The name of the directory that is built.
    let name = row.name.as_deref().map(|name| words.path(name));
    draft.maybe_text("buildkit.session.name", name.as_deref());
    let methods = row.methods.iter().map(String::as_str);
    draft.add(KeyValue::new("buildkit.session.methods", texts(methods)));
    draft.number("buildkit.connection.number", row.connection.number());
    if let Some(at) = row.accepted {
        draft.event(at, "accepted", Vec::new());
    }
    if let Some(why) = &row.refused {
        draft.error(&words.free(why));
    }
    match row.closed {
        Some((_, by)) => draft.maybe_text("buildkit.closed.by", by.map(Side::as_str)),
        None => draft.flag("buildkit.open", true),
    }
    draft
}

/// What was said on a call, both ways.
pub(super) fn call(words: Words, place: &Place, trace: &Trace, row: &Call, now: Time) -> Draft {
    let end = row.end.unwrap_or(now);
    let name = row.path();
    let name = name.trim_start_matches('/').to_owned();
    let mut draft = Draft::new(place, call_id(row), name.clone(), row.start, end).server();
    draft.text("rpc.system.name", "grpc");
    draft.text("rpc.method", &name);
    // What they were called before, as clients and daemons still do.
    draft.text("rpc.system", "grpc");
    draft.text("rpc.service", &row.service);
    if row.caller == Side::Client
        && let Some(connection) = outermost(trace, row.connection)
    {
        server(&mut draft, connection);
    }
    draft.text("buildkit.caller", row.caller.as_str());
    let subject = row.subject.as_deref().map(|subject| words.name(subject));
    draft.maybe_text("buildkit.subject", subject.as_deref());
    draft.number("buildkit.connection.number", row.connection.number());
    draft.number("buildkit.call.number", row.id.number());
    draft.number("http2.stream_id", row.stream_id.into());
    draft.number("buildkit.request.messages", row.request.messages);
    draft.number("buildkit.request.bytes", row.request.bytes);
    draft.number("buildkit.response.messages", row.response.messages);
    draft.number("buildkit.response.bytes", row.response.bytes);
    draft.maybe_text("user_agent.original", row.header("user-agent"));
    if let Some(session) = row.session.and_then(|id| trace.sessions.get(id)) {
        draft.text("buildkit.session.id", &session.uuid);
    }
    if let Some(at) = row.request.ended {
        let side = KeyValue::new("buildkit.side", row.caller.as_str());
        draft.event(at, "END_STREAM", vec![side]);
    }
    if let Some(at) = row.answered {
        draft.event(at, "answered", Vec::new());
    }
    if let Some(status) = &row.status {
        draft.text("rpc.status_code", &status.name());
        draft.number("rpc.grpc.status_code", status.code.into());
        if status.code != 0 {
            draft.text("buildkit.status", &status.name());
            let message = words.prose(&status.message);
            draft.maybe_text("buildkit.status.message", message.as_deref());
        }
        if FAILURES.contains(&status.code) {
            draft.text("error.type", &status.name());
            draft.error(&message_of(words, &status.name(), &status.message));
        }
    }
    if let Some(reset) = &row.reset {
        let mut how = vec![];
        how.extend(
            reset
                .by
                .map(|by| KeyValue::new("buildkit.side", by.as_str())),
        );
        how.extend(
            reset
                .code
                .map(|code| KeyValue::new("http2.error_code", error_code_name(code))),
        );
        let name = match reset.code {
            Some(_) => "RST_STREAM",
            None => "connection ended",
        };
        draft.event(reset.at, name, how);
    }
    match row.state {
        CallState::Open => {
            draft.flag("buildkit.open", true);
            draft.add(KeyValue::new(
                "http2.window.client",
                *row.window.get(Side::Client),
            ));
            draft.add(KeyValue::new(
                "http2.window.daemon",
                *row.window.get(Side::Daemon),
            ));
        }
        CallState::Complete | CallState::Reset => {}
    }
    draft
}

fn message_of(words: Words, name: &str, message: &str) -> String {
    match words.prose(message).filter(|message| !message.is_empty()) {
        Some(message) => format!("{name}: {message}"),
        None => name.to_owned(),
    }
}

/// `FileSend exporter 0 (local)`, `FileSync context`.
pub(super) fn transfer_name(words: Words, row: &Transfer) -> String {
    let what = match row.service.as_str() {
        "FileSend" => format!("exporter {}", row.name),
        _ => words.name(&row.name).into_owned(),
    };
    match &row.exporter {
        Some(kind) => format!("{} {what} ({kind})", row.service),
        None => format!("{} {what}", row.service),
    }
}

pub(super) fn transfer(words: Words, place: &Place, row: &Transfer, now: Time) -> Draft {
    let end = row.end.unwrap_or(now);
    let name = transfer_name(words, row);
    let mut draft = Draft::new(place, transfer_id(row), name, row.start, end);
    let machine = &row.machine;
    draft.number("buildkit.transfer.number", row.id.number());
    draft.text("buildkit.transfer.name", &words.name(&row.name));
    draft.text("buildkit.transfer.direction", row.direction.as_str());
    draft.text("buildkit.transfer.sender", row.sender().as_str());
    draft.text("buildkit.transfer.flavour", row.flavour.as_str());
    draft.text("buildkit.transfer.state", row.state.as_str());
    draft.maybe_text("buildkit.exporter.type", row.exporter.as_deref());
    draft.number("buildkit.transfer.bytes", row.bytes);
    if row.flavour == Flavour::Packet {
        draft.number("buildkit.transfer.entries", machine.entries().count());
        draft.number("buildkit.transfer.files", machine.files());
        draft.number("buildkit.transfer.requested", machine.requested());
        draft.number("buildkit.transfer.completed", machine.completed());
        draft.number(
            "buildkit.transfer.announced_bytes",
            machine.announced_bytes(),
        );
        if let Some(at) = machine.final_stat() {
            draft.event(at, "listing complete", Vec::new());
        }
        for side in Side::BOTH {
            if let Some(at) = machine.fin_of(side) {
                let side = KeyValue::new("buildkit.side", side.as_str());
                draft.event(at, "FIN", vec![side]);
            }
        }
        if let Some((at, by, text)) = machine.err() {
            let mut said = vec![KeyValue::new("buildkit.side", by.as_str())];
            let text = words.prose(text).map(Cow::into_owned);
            said.extend(text.map(|text| KeyValue::new("buildkit.error", text)));
            draft.event(at, "ERR", said);
        }
    }
    match row.state {
        TransferState::Open => draft.flag("buildkit.open", true),
        TransferState::Complete => {}
        TransferState::Failed => {
            let why = row.error.as_deref().and_then(|error| words.prose(error));
            draft.error(why.as_deref().unwrap_or("the transfer failed"));
        }
    }
    draft
}

/// A file of a transfer, from when it was asked for to its end.
pub(super) fn file(
    words: Words,
    place: &Place,
    transfer: &Transfer,
    file: &File,
    now: Time,
) -> Draft {
    let id = ids::below(transfer_id(transfer), "file", file.id.into());
    let path = file.path.as_deref().map(|path| words.path(path));
    let name = match &path {
        Some(path) => format!("file {path}"),
        None => format!("file {}", file.id),
    };
    let end = file.completed.unwrap_or(now);
    let mut draft = Draft::new(place, id, name, file.requested, end);
    draft.maybe_text("file.path", path.as_deref());
    if let Some(size) = file.size {
        draft.number("file.size", size);
    }
    draft.number("buildkit.file.id", file.id.into());
    draft.number("buildkit.file.bytes", file.bytes);
    draft.text("buildkit.transfer.direction", transfer.direction.as_str());
    if let Some(at) = file.began {
        draft.event(at, "first DATA", Vec::new());
    }
    if file.completed.is_none() {
        draft.flag("buildkit.open", true);
    }
    draft
}

/// Somebody was waited for, and acted.
pub(super) fn wait(place: &Place, id: SpanId, row: &Wait) -> Draft {
    let what = match row.awaited {
        Awaited::Packet(kind) => match kind {
            PacketType::Stat => "STAT".to_owned(),
            PacketType::Req => "REQ".to_owned(),
            PacketType::Data => "DATA".to_owned(),
            PacketType::Fin => "FIN".to_owned(),
            PacketType::Err => "ERR".to_owned(),
            PacketType::Other(number) => format!("packet of type {number}"),
        },
        Awaited::Slice => "more of the archive".to_owned(),
        Awaited::Window { .. } => "WINDOW_UPDATE".to_owned(),
        Awaited::Read => "reading from its socket".to_owned(),
    };
    let name = format!("waiting for {}: {what}", row.side);
    let mut draft = Draft::new(place, id, name, row.since, row.until);
    draft.text("buildkit.wait.side", row.side.as_str());
    draft.text("buildkit.wait.for", &what);
    match row.awaited {
        Awaited::Window { window } => {
            draft.flag("buildkit.stall", true);
            draft.text("http2.window.of", row.side.peer().as_str());
            draft.text(
                "http2.window.level",
                if row.call.is_some() {
                    "stream"
                } else {
                    "connection"
                },
            );
            draft.add(KeyValue::new("http2.window.before", 0));
            draft.add(KeyValue::new("http2.window.after", window));
        }
        Awaited::Read => draft.flag("buildkit.stall", true),
        Awaited::Packet(_) | Awaited::Slice => {}
    }
    draft
}
