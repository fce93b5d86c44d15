//! HTTP/1.1 as the Engine API uses it: exchanges, the doors to sessions and control
//! connections, `POST /build` and its progress.

use std::collections::VecDeque;

use buildtap_proto::moby::buildkit::v1 as control;
use bytes::Bytes;
use prost::Message as _;

use super::documents::Documents;
use super::node::{undecodable, who_ended};
use super::{build, masked, session};
use crate::core::Core;
use crate::doctor;
use crate::event::{Closed, Side};
use crate::origin::Origins;
use crate::protocol::engine::{Exec, Route, Target, Versions, error_message};
use crate::protocol::progress::{self, Progress};
use crate::protocol::session::SessionOffer;
use crate::redact;
use crate::trace::{
    Build, BuildState, Connection, Exchange, Id, PerSide, Said, Session, SessionPath, Text,
    TextSource, Update,
};
use crate::wire::http1::{self, After, BodyEnd, RequestHead, ResponseHead, Violation};

/// Execs that are remembered until they are started.
const EXECS: usize = 256;

/// What the connection became.
#[derive(Debug)]
pub(super) enum Upgrade {
    /// A session: the daemon is the HTTP/2 client.
    Session {
        session: Id<Session>,
        by: Id<Exchange>,
    },
    /// A control connection: the client is the HTTP/2 client.
    Grpc { by: Id<Exchange> },
    /// The stream of an exec, multiplexed unless it has a terminal; perhaps known to be a tunnel
    /// to buildkitd.
    Exec {
        multiplexed: bool,
        dial_stdio: bool,
        by: Id<Exchange>,
    },
    /// Something else.
    Other { by: Id<Exchange> },
}

#[derive(Debug)]
pub(super) struct Http1 {
    wire: http1::Connection,
    exchanges: Exchanges,
}

/// The exchanges of one connection that are under way.
#[derive(Debug)]
struct Exchanges {
    connection: Id<Connection>,
    open: VecDeque<Open>,
    upgrade: Option<Upgrade>,
}

#[derive(Debug)]
struct Open {
    n: u64,
    id: Id<Exchange>,
    route: Route,
    session: Option<Id<Session>>,
    build: Option<Id<Build>>,
    progress: Option<progress::Splitter>,
    /// What is kept of the bodies, where they are needed.
    request_body: Vec<u8>,
    response_body: Vec<u8>,
    /// What is masked of them.
    documents: PerSide<Documents>,
}

impl Http1 {
    pub(super) fn new(connection: Id<Connection>) -> Self {
        Http1 {
            wire: http1::Connection::new(),
            exchanges: Exchanges {
                connection,
                open: VecDeque::new(),
                upgrade: None,
            },
        }
    }

    /// Takes bytes; gives how many of them were HTTP/1.1.
    pub(super) fn feed(&mut self, core: &mut Core, from: Side, bytes: &[u8]) -> usize {
        let Http1 { wire, exchanges } = self;
        wire.feed(from, bytes, &mut Heard { core, exchanges })
    }

    /// What the connection became, once.
    pub(super) fn upgraded(&mut self) -> Option<Upgrade> {
        self.exchanges.upgrade.take()
    }

    /// What the client sent after the request to upgrade, before its answer.
    pub(super) fn take_held(&mut self) -> (Vec<u8>, Option<u64>) {
        let at = self.wire.buffered(Side::Client).map(|(_, at)| at);
        (self.wire.take_held(), at)
    }

    /// Where the first byte of `from` stands of which it is not known yet whether it is secret.
    pub(super) fn undecided(&self, from: Side) -> Option<u64> {
        let head = self.wire.buffered(from).map(|(_, at)| at);
        let open = self.exchanges.open.iter();
        let bodies = open.filter_map(|open| open.documents.get(from).undecided());
        head.into_iter().chain(bodies).min()
    }

    /// Masks what is undecided, as far as it may be secret.
    pub(super) fn give_up(&mut self, core: &mut Core) {
        for side in Side::BOTH {
            for open in &mut self.exchanges.open {
                open.documents.get_mut(side).end(core, side);
            }
            let Some((part, at)) = self.wire.buffered(side) else {
                continue;
            };
            let origins = Origins::of(part.len(), Some(at));
            core.redact(side, part, &origins, |redaction, part, out| {
                redact::head(&redaction.rules, part, out);
            });
        }
    }

    pub(super) fn end(&mut self, core: &mut Core, from: Side) {
        if core.trace.is_partial(self.exchanges.connection) {
            // What seems to be cut short may have ended where bytes are missing.
            return;
        }
        let Http1 { wire, exchanges } = self;
        wire.end(from, &mut Heard { core, exchanges });
    }

    pub(super) fn close(&mut self, core: &mut Core, how: Closed) {
        if how == Closed::Abandoned || core.trace.is_partial(self.exchanges.connection) {
            return;
        }
        for side in Side::BOTH {
            self.end(core, side);
        }
        for open in std::mem::take(&mut self.exchanges.open) {
            if let Some(session) = open.session {
                session::refused(
                    core,
                    session,
                    "the connection ended without an answer".into(),
                );
            }
            end_build(core, &open, true, Some(how));
        }
    }
}

struct Heard<'a> {
    core: &'a mut Core,
    exchanges: &'a mut Exchanges,
}

impl Heard<'_> {
    fn open(&mut self, n: u64) -> Option<&mut Open> {
        self.exchanges.open.iter_mut().find(|open| open.n == n)
    }

    fn row(&mut self, n: u64) -> Option<&mut Exchange> {
        let id = self.open(n)?.id;
        self.core.trace.exchanges.get_mut(id)
    }

    fn redact_head(&mut self, from: Side, raw: &[u8], at: Option<u64>) {
        let origins = Origins::of(raw.len(), at);
        self.core
            .redact(from, raw, &origins, |redaction, raw, out| {
                redact::head(&redaction.rules, raw, out);
            });
    }

    /// Bytes of a body: what is secret in it is masked, if it may be.
    fn redact_body(&mut self, n: u64, from: Side, bytes: &[u8]) {
        if !self.core.redacts() {
            return;
        }
        let open = self.exchanges.open.iter_mut().find(|open| open.n == n);
        match open {
            Some(open) => open.documents.get_mut(from).feed(self.core, from, bytes),
            None => self.core.blank(bytes),
        }
    }

    fn say_body(&mut self, n: u64, from: Side, bytes: &[u8]) {
        if let Some(exchange) = self.open(n).map(|open| open.id) {
            self.core.say(|| Said::Body {
                exchange,
                from,
                bytes: Bytes::copy_from_slice(bytes),
            });
        }
    }

    fn upgrade(&mut self, n: u64) {
        let Some(open) = self.open(n) else { return };
        let by = open.id;
        let session = open.session;
        let upgrade = match (&open.route, session) {
            (Route::Session, Some(session)) => {
                session::accepted(self.core, session);
                Upgrade::Session { session, by }
            }
            (Route::Grpc, _) => Upgrade::Grpc { by },
            (Route::ExecStart { id }, _) => {
                let tty = Exec::from_body(&open.request_body).is_some_and(|exec| exec.tty);
                let id = id.clone();
                let created = self
                    .core
                    .execs
                    .iter()
                    .rev()
                    .find(|(created, _)| *created == id);
                let dial_stdio = created.is_some_and(|(_, dial_stdio)| *dial_stdio);
                Upgrade::Exec {
                    multiplexed: !tty,
                    dial_stdio,
                    by,
                }
            }
            _ => Upgrade::Other { by },
        };
        self.exchanges.upgrade = Some(upgrade);
        self.end_exchange(n, false);
    }

    fn end_exchange(&mut self, n: u64, cut_short: bool) {
        let now = self.core.now;
        let show = self.core.options.show_secrets;
        let Some(at) = self.exchanges.open.iter().position(|open| open.n == n) else {
            return;
        };
        let Some(mut open) = self.exchanges.open.remove(at) else {
            return;
        };
        if let (Some(splitter), Some(build)) = (&mut open.progress, open.build) {
            let mut lines = Vec::new();
            splitter.end(&mut |line| lines.push(line));
            for line in lines {
                progress_line(self.core, open.id, build, line);
            }
        }
        for side in Side::BOTH {
            open.documents.get_mut(side).end(self.core, side);
        }
        if let Route::ExecCreate { .. } = open.route {
            note_exec(self.core, &open);
        }
        if let Some(row) = self.core.trace.exchanges.get_mut(open.id) {
            row.end = Some(now);
            row.cut_short = cut_short;
            let failed = row
                .status
                .as_ref()
                .is_some_and(|(status, _)| *status >= 400);
            if failed {
                row.error =
                    error_message(&open.response_body).map(|error| masked::text(show, &error));
            }
            if let Route::Version = open.route
                && let Some(versions) = Versions::from_body(&open.response_body)
            {
                note_versions(self.core, &versions);
            }
        }
        let answer = self.core.trace.exchanges.get(open.id).map(|row| {
            let status = row.status.as_ref().map_or(0, |(status, _)| *status);
            (status, row.error.clone().unwrap_or_default())
        });
        if let (Some(session), Some((status, error))) = (open.session, &answer)
            && *status != 101
        {
            let why = if error.is_empty() {
                format!("HTTP {status}")
            } else {
                format!("HTTP {status}: {error}")
            };
            session::refused(self.core, session, why);
        }
        end_build(self.core, &open, cut_short, None);
        if let (Route::BuildCancel { id }, Some((200..300, _))) = (&open.route, &answer) {
            build::cancel(self.core, id);
        }
        self.core.update(Update::ExchangeEnded(open.id));
        doctor::exchange_ended(self.core, open.id);
    }
}

/// Remembers whether an exec is a tunnel to buildkitd: it is started by another request.
fn note_exec(core: &mut Core, open: &Open) {
    let exec = Exec::from_body(&open.request_body);
    if let (Some(exec), Some(id)) = (exec, Exec::created_id(&open.response_body)) {
        if core.execs.len() >= EXECS {
            core.execs.pop_front();
        }
        core.execs.push_back((id, exec.is_dial_stdio()));
    }
}

fn note_versions(core: &mut Core, versions: &Versions) {
    let engine = versions
        .engine
        .as_ref()
        .map(|version| format!("dockerd {version}"));
    let api = versions
        .api
        .as_ref()
        .map(|version| format!("API {version}"));
    let builder = versions
        .builder
        .as_ref()
        .filter(|builder| *builder == "2")
        .map(|_| "BuildKit preferred".to_owned());
    for fact in [engine, api, builder].into_iter().flatten() {
        core.trace.versions.note(Side::Daemon, fact);
    }
}

/// Whether a request to cancel the build is being answered.
fn is_to_be_cancelled(core: &Core, id: Id<Build>) -> bool {
    let build = core.trace.builds.get(id);
    let Some(build_id) = build.and_then(|build| build.build_id.as_deref()) else {
        return false;
    };
    let mut lately = core.trace.exchanges.iter().rev().take(64);
    lately.any(|row| {
        let route = || Target::parse(&row.method, &row.target).route;
        let is_it = |route: &Route| matches!(route, Route::BuildCancel { id } if id == build_id);
        row.end.is_none() && is_it(&route())
    })
}

/// The answer to `POST /build` is over, and the build with it. `how` is how the connection ended,
/// if that is what ended it.
fn end_build(core: &mut Core, open: &Open, cut_short: bool, how: Option<Closed>) {
    let Some(id) = open.build else { return };
    let Some(row) = core.trace.exchanges.get(open.id) else {
        return;
    };
    let status = row.status.as_ref().map_or(0, |(status, _)| *status);
    let (state, error) = match row.error.clone() {
        // What ends a build that is to be cancelled may be said before the answer to that.
        _ if status < 400 && is_to_be_cancelled(core, id) => {
            (BuildState::Cancelled, Some(build::CANCELLED.to_owned()))
        }
        Some(error) => (BuildState::Failed, Some(error)),
        None if status >= 400 => (
            BuildState::Failed,
            Some(format!("the daemon answered HTTP {status}")),
        ),
        None if cut_short => match who_ended(core, row.connection, how) {
            Some(Side::Client) => (
                BuildState::Cancelled,
                Some("the client closed the connection before the answer ended".into()),
            ),
            _ => (
                BuildState::Failed,
                Some("the connection ended before the daemon's answer did".into()),
            ),
        },
        None => (BuildState::Complete, None),
    };
    build::ended(core, id, state, error);
}

impl http1::Handler for Heard<'_> {
    fn request(&mut self, n: u64, head: &RequestHead<'_>) {
        self.redact_head(Side::Client, head.raw, head.at);
        let now = self.core.now;
        let headers = || {
            head.headers
                .iter()
                .map(|(name, value)| (name, String::from_utf8_lossy(value)))
        };
        let pairs: Vec<_> = headers()
            .map(|(name, value)| (name.to_owned(), value.into_owned()))
            .collect();
        let text = |name: &str| {
            head.headers
                .get(name)
                .map(|value| String::from_utf8_lossy(value).into_owned())
        };
        if let Some(agent) = text("user-agent") {
            self.core.trace.versions.note(Side::Client, agent);
        }
        let route = Target::parse(head.method, head.target).route;
        let borrowed = pairs
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        let target = masked::target(self.core, head.target);
        let request_headers = masked::headers(self.core, borrowed.clone());
        let weight = target
            .len()
            .saturating_add(masked::weight(&request_headers));
        let id = self.core.trace.exchanges.add(weight, |id| Exchange {
            id,
            connection: self.exchanges.connection,
            method: head.method.to_owned(),
            target,
            status: None,
            request_headers,
            response_headers: Vec::new(),
            start: now,
            request_end: None,
            answered: None,
            end: None,
            cut_short: false,
            request_bytes: 0,
            response_bytes: 0,
            upgrade: text("upgrade"),
            error: None,
            build: None,
        });
        self.core.update(Update::ExchangeStarted(id));
        let mut open = Open {
            n,
            id,
            route,
            session: None,
            build: None,
            progress: None,
            request_body: Vec::new(),
            response_body: Vec::new(),
            documents: PerSide([
                Documents::of(head.headers.get("content-type")),
                Documents::default(),
            ]),
        };
        match &open.route {
            Route::Session => {
                let offer = SessionOffer::from_headers(borrowed).unwrap_or_default();
                let connection = self.exchanges.connection;
                open.session = Some(session::opened(
                    self.core,
                    connection,
                    SessionPath::EngineSession,
                    offer,
                ));
            }
            // The upload of a context is only a part of the build that waits for it.
            Route::Build(query) if query.uploads_for().is_none() => {
                let build = build::query(self.core, id, query);
                open.build = Some(build);
                open.progress = Some(progress::Splitter::new());
                if let Some(row) = self.core.trace.exchanges.get_mut(id) {
                    row.build = Some(build);
                }
            }
            _ => {}
        }
        self.exchanges.open.push_back(open);
    }

    fn request_body(&mut self, n: u64, bytes: &[u8]) {
        let limit = self.core.limits().body;
        self.say_body(n, Side::Client, bytes);
        self.redact_body(n, Side::Client, bytes);
        if let Some(open) = self.open(n)
            && matches!(
                open.route,
                Route::ExecStart { .. } | Route::ExecCreate { .. }
            )
        {
            let room = limit.saturating_sub(open.request_body.len());
            open.request_body
                .extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        }
        if let Some(row) = self.row(n) {
            row.request_bytes = row.request_bytes.saturating_add(bytes.len() as u64);
        }
    }

    fn request_end(&mut self, n: u64) {
        let now = self.core.now;
        if let Some(open) = self.exchanges.open.iter_mut().find(|open| open.n == n) {
            open.documents
                .get_mut(Side::Client)
                .end(self.core, Side::Client);
        }
        if let Some(row) = self.row(n) {
            row.request_end = Some(now);
        }
    }

    fn response(&mut self, n: u64, head: &ResponseHead<'_>) -> After {
        self.redact_head(Side::Daemon, head.raw, head.at);
        if head.informational() {
            return After::Http;
        }
        if let Some(open) = self.open(n) {
            let documents = Documents::of(head.headers.get("content-type"));
            *open.documents.get_mut(Side::Daemon) = documents;
        }
        let now = self.core.now;
        let text = |name: &str| {
            head.headers
                .get(name)
                .map(|value| String::from_utf8_lossy(value).into_owned())
        };
        let pairs: Vec<_> = head
            .headers
            .iter()
            .map(|(name, value)| (name, String::from_utf8_lossy(value)))
            .collect();
        note_versions(self.core, &Versions::from_ping(head.headers.iter()));
        let id = self.open(n).map(|open| open.id);
        let response_headers = masked::headers(
            self.core,
            pairs.iter().map(|(name, value)| (*name, value.as_ref())),
        );
        if let Some(id) = id {
            let weight = masked::weight(&response_headers);
            self.core.trace.exchanges.add_weight(id, weight);
        }
        if let Some(row) = self.row(n) {
            row.status = Some((head.status, head.reason.to_owned()));
            row.answered = Some(now);
            row.response_headers = response_headers;
        }
        if let Some(id) = id {
            self.core.say(|| Said::ExchangeAnswered(id));
        }
        let route_hijacks = self
            .open(n)
            .is_some_and(|open| matches!(open.route, Route::ExecStart { .. }));
        // Without an Upgrade header dockerd hijacks exec streams behind a plain 200.
        let raw_stream =
            text("content-type").is_some_and(|kind| kind.starts_with("application/vnd.docker."));
        let hijacked = head.status == 101 || (head.status == 200 && route_hijacks && raw_stream);
        if hijacked {
            self.upgrade(n);
            return After::Hijacked;
        }
        After::Http
    }

    fn response_body(&mut self, n: u64, bytes: &[u8]) {
        let limit = self.core.limits().body;
        self.say_body(n, Side::Daemon, bytes);
        self.redact_body(n, Side::Daemon, bytes);
        if let Some(row) = self.row(n) {
            row.response_bytes = row.response_bytes.saturating_add(bytes.len() as u64);
        }
        let Some(open) = self.open(n) else { return };
        let id = open.id;
        if let (Some(splitter), Some(build)) = (&mut open.progress, open.build) {
            let mut lines = Vec::new();
            splitter.feed(bytes, &mut |line| lines.push(line));
            for line in lines {
                progress_line(self.core, id, build, line);
            }
        }
        if let Some(open) = self.open(n) {
            let room = limit.saturating_sub(open.response_body.len());
            open.response_body
                .extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        }
    }

    fn response_end(&mut self, n: u64, how: BodyEnd) {
        self.end_exchange(n, how == BodyEnd::CutShort);
    }

    fn passed_over(&mut self, _: Side, bytes: &[u8]) {
        self.core.blank(bytes);
    }

    fn locate(&self, bytes: &[u8]) -> Option<u64> {
        self.core.locate(bytes)
    }

    fn enter(&mut self, from: Side, bytes: &[u8], at: Option<u64>) {
        self.core.chunks.enter(from, bytes, at.unwrap_or_default());
    }

    fn leave(&mut self) {
        self.core.chunks.leave();
    }

    fn violation(&mut self, from: Side, what: Violation) {
        undecodable(self.core, self.exchanges.connection, from, what.to_string());
    }
}

fn progress_line(core: &mut Core, exchange: Id<Exchange>, build: Id<Build>, line: Progress) {
    let show = core.options.show_secrets;
    match line {
        Progress::Trace(status) => {
            if let Ok(status) = control::StatusResponse::decode(status) {
                build::status(core, build, status);
            }
        }
        Progress::Error { message, .. } => {
            if let Some(row) = core.trace.exchanges.get_mut(exchange) {
                row.error = Some(masked::text(show, &message));
            }
        }
        Progress::ImageId(id) => {
            if let Some(build) = core.trace.builds.get_mut(build) {
                let id = masked::text(show, &id);
                build
                    .exporter_response
                    .push(("containerimage.digest".into(), id));
            }
        }
        Progress::Stream(text) => {
            let at = core.now;
            let Some(connection) = core.trace.exchanges.get(exchange).map(|row| row.connection)
            else {
                return;
            };
            let text = Text {
                connection,
                at,
                source: TextSource::BuildStream,
                text: masked::text(show, &text),
            };
            core.update(Update::Text(Box::new(text)));
        }
        Progress::Other(_) | Progress::Text(_) => {}
    }
}
