//! Which trace something belongs to, and below which span.
//!
//! Where a client sent a trace context along, that decides, if it asks for a build in that trace: a
//! client that builds tells of its spans at its end. One that only looks around (`buildx du`) tells
//! nobody; what it asks for has a link to its spans. Otherwise what belongs to a build is in
//! the build's trace: because the row says so, because it is on the build's session, or because it
//! is on a connection, or made by a process, of which nothing else is known than that build. What
//! belongs to no build is in a trace of its connection. As long as it is not known the answer is
//! `None`, and the caller asks again later, or asks for a decision.
//!
//! A daemon sends contexts along, too, with the calls that it makes. Its spans, though, rarely
//! reach the backend (BuildKit keeps them in the build's history), and what hangs below them would
//! hang in the air: such a call is below its session and has a link to the span that made it,
//! unless somebody says that the daemon's spans are there (`--daemon-exports`). What a client says
//! of the same call is then below ours ([`Places::instead_of`]).

use std::collections::BTreeMap;

use buildtap_decoder::event::{Side, Time};
use buildtap_decoder::trace::{
    Build, Call, CallState, Connection, Exchange, Id, Session, SessionPath, Trace, Transfer,
};
use opentelemetry::trace::{SpanContext, SpanId, TraceId};

use super::origin::outermost;
use crate::otlp::context;
use crate::otlp::ids;
use crate::otlp::span::Place;

/// Entries of a table here: the oldest goes.
const LIMIT: usize = 16_384;
/// Connections inside connections that are gone through.
const DEPTH: usize = 16;

/// What a connection belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Home {
    Build(Id<Build>),
    /// To a client's trace in which there is no build.
    Trace(TraceId),
    /// To nothing but itself: the outermost connection.
    Own(Id<Connection>),
}

/// Knows where things belong.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// The first build that was asked for on a connection, or on one inside of it.
    builds_on: BTreeMap<Id<Connection>, Id<Build>>,
    /// The session whose calls a connection carries.
    sessions_on: BTreeMap<Id<Connection>, Id<Session>>,
    /// The build that a session is for.
    builds_of: BTreeMap<Id<Session>, Id<Build>>,
    /// The trace that the client's calls on a connection belong to, by what they bring along.
    traces_on: BTreeMap<Id<Connection>, TraceId>,
    /// Traces of clients in which a build was asked for: their spans will be in the backend.
    building: BTreeMap<[u8; 16], ()>,
    /// The daemon's spans are in the backend.
    daemon_exports: bool,
    /// The calls that are not below the daemon's span that made them, by that span.
    instead: BTreeMap<([u8; 16], [u8; 8]), SpanId>,
    /// What was said once is not taken back.
    decided: BTreeMap<Id<Connection>, Home>,
}

fn remember<K: Ord, V>(table: &mut BTreeMap<K, V>, key: K, value: V) {
    table.entry(key).or_insert(value);
    if table.len() > LIMIT {
        table.pop_first();
    }
}

impl Places {
    pub(super) fn new(daemon_exports: bool) -> Self {
        Places {
            daemon_exports,
            ..Places::default()
        }
    }

    pub(super) fn session_opened(&mut self, trace: &Trace, id: Id<Session>) {
        if let Some(session) = trace.sessions.get(id) {
            remember(&mut self.sessions_on, session.connection, id);
        }
    }

    pub(super) fn build_started(&mut self, trace: &Trace, build: &Build) {
        let by_call = build.call.and_then(|id| trace.calls.get(id));
        let by_exchange = build.exchange.and_then(|id| trace.exchanges.get(id));
        let asked_on = by_call
            .map(|call| call.connection)
            .or(by_exchange.map(|exchange| exchange.connection));
        if let Some(connection) = asked_on {
            self.build_on(trace, connection, build.id);
        }
        if let Some(context) = brought_by(trace, build).filter(SpanContext::is_sampled) {
            remember(&mut self.building, context.trace_id().to_bytes(), ());
        }
    }

    /// A call or a request on this connection is for that build.
    pub(super) fn build_on(&mut self, trace: &Trace, connection: Id<Connection>, build: Id<Build>) {
        let mut next = Some(connection);
        for _ in 0..DEPTH {
            let Some(id) = next else { break };
            // Clients ask a daemon what it can do by a build of nothing: rather the next one.
            let known = self.builds_on.get(&id);
            let known = known.and_then(|id| trace.builds.get(*id));
            if known.is_some_and(crate::view::is_probe) {
                self.builds_on.remove(&id);
            }
            remember(&mut self.builds_on, id, build);
            let outer = trace.connections.get(id).and_then(|row| row.parent);
            next = outer.map(|(outer, _)| outer);
        }
    }

    /// A call or a request on this connection came with a context.
    pub(super) fn trace_on(
        &mut self,
        trace: &Trace,
        connection: Id<Connection>,
        headers: &[(String, String)],
    ) {
        let Some(context) = context::of_headers(headers).filter(SpanContext::is_sampled) else {
            return;
        };
        if let Some(outermost) = outermost(trace, connection) {
            remember(&mut self.traces_on, outermost.id, context.trace_id());
        }
    }

    /// The build that a session is for: the first that names it.
    fn build_of(&mut self, trace: &Trace, id: Id<Session>) -> Option<Id<Build>> {
        if let Some(known) = self.builds_of.get(&id) {
            return Some(*known);
        }
        let session = trace.sessions.get(id)?;
        let names = |build: &&Build| {
            let named = build.session.as_deref();
            named.is_some_and(|named| session.is_named(named))
        };
        let found = trace.builds.iter().find(names)?.id;
        remember(&mut self.builds_of, id, found);
        Some(found)
    }

    /// What a connection belongs to. If that is to be decided now, there is an answer as long as
    /// the connection is known.
    fn home(&mut self, trace: &Trace, id: Id<Connection>, decide: bool) -> Option<Home> {
        let mut outermost = id;
        let mut next = Some(id);
        for _ in 0..DEPTH {
            let Some(here) = next else { break };
            if let Some(known) = self.decided.get(&here) {
                return Some(*known);
            }
            let session = self.sessions_on.get(&here).copied();
            let of_session = session.and_then(|session| self.build_of(trace, session));
            if let Some(build) = of_session.or_else(|| self.builds_on.get(&here).copied()) {
                return Some(Home::Build(build));
            }
            outermost = here;
            let outer = trace.connections.get(here).and_then(|row| row.parent);
            next = outer.map(|(outer, _)| outer);
        }
        if !decide {
            return None;
        }
        let row = trace.connections.get(outermost)?;
        let in_trace = self.traces_on.get(&outermost);
        let build = match in_trace {
            Some(id) => in_trace_of(trace, *id),
            None => of_process(trace, row).or_else(|| meanwhile(trace, row)),
        };
        let home = match (build, in_trace) {
            (Some(build), _) => Home::Build(build),
            (None, Some(id)) => Home::Trace(*id),
            (None, None) => Home::Own(outermost),
        };
        remember(&mut self.decided, outermost, home);
        Some(home)
    }

    pub(super) fn of_build(&self, trace: &Trace, build: &Build) -> Place {
        match brought_by(trace, build) {
            Some(context) if context.is_sampled() => Place::below_remote(&context),
            Some(context) => Place::root(context.trace_id()),
            None => Place::root(ids::trace_of_build(build)),
        }
    }

    /// The place of what is below a build.
    fn in_build(&self, trace: &Trace, id: Id<Build>) -> Option<Place> {
        let build = trace.builds.get(id)?;
        Some(self.of_build(trace, build).below(ids::of_build(build)))
    }

    pub(super) fn of_connection(
        &mut self,
        trace: &Trace,
        row: &Connection,
        decide: bool,
    ) -> Option<Place> {
        let home = self.home(trace, row.id, decide)?;
        if let Some(session) = self.sessions_on.get(&row.id)
            && let Some(session) = trace.sessions.get(*session)
            && session.path == SessionPath::ControlSession
        {
            let place = self.of_session(trace, session, decide)?;
            return Some(place.below(session_id(session)));
        }
        match row.parent {
            // A tunnel, and not that of a session.
            Some((outer, _)) => self.in_connection(trace, outer, decide),
            None => self.top(trace, home),
        }
    }

    /// The place of what stands at the top of a home.
    fn top(&self, trace: &Trace, home: Home) -> Option<Place> {
        match home {
            Home::Build(build) => self.in_build(trace, build),
            Home::Trace(id) => Some(Place::root(id)),
            Home::Own(connection) => {
                let row = trace.connections.get(connection)?;
                Some(Place::root(ids::trace_of_connection(row)))
            }
        }
    }

    /// The place of what is below a connection.
    fn in_connection(&mut self, trace: &Trace, id: Id<Connection>, decide: bool) -> Option<Place> {
        let row = trace.connections.get(id)?;
        let place = self.of_connection(trace, row, decide)?;
        Some(place.below(connection_id(row)))
    }

    pub(super) fn of_session(
        &mut self,
        trace: &Trace,
        row: &Session,
        decide: bool,
    ) -> Option<Place> {
        if let Some(build) = self.build_of(trace, row.id) {
            return self.in_build(trace, build);
        }
        let row = trace.connections.get(row.connection)?;
        match row.parent {
            None => self.in_connection(trace, row.id, decide),
            Some((outer, _)) => self.in_connection(trace, outer, decide),
        }
    }

    pub(super) fn of_exchange(
        &mut self,
        trace: &Trace,
        row: &Exchange,
        decide: bool,
    ) -> Option<Place> {
        if let Some(context) = context::of_headers(&row.request_headers)
            && self.is_above(&context, asks_for(trace, row.build, Ask::By(row)), decide)?
        {
            return Some(Place::below_remote(&context));
        }
        match row.build {
            Some(build) => self.in_build(trace, build),
            None => self.in_connection(trace, row.connection, decide),
        }
    }

    pub(super) fn of_call(&mut self, trace: &Trace, row: &Call, decide: bool) -> Option<Place> {
        if let Some(context) = context::of_headers(&row.metadata) {
            let is_above = match row.caller {
                Side::Client => {
                    let asks = asks_for(trace, row.build, Ask::With(row));
                    self.is_above(&context, asks, decide)?
                }
                Side::Daemon => self.is_above_in_daemon(row, &context),
            };
            if is_above {
                return Some(Place::below_remote(&context));
            }
        }
        if let Some(session) = row.session.and_then(|id| trace.sessions.get(id)) {
            let place = self.of_session(trace, session, decide)?;
            return Some(place.below(session_id(session)));
        }
        match row.build {
            Some(build) => self.in_build(trace, build),
            None => self.in_connection(trace, row.connection, decide),
        }
    }

    /// Whether what a client asked for is below the span that it came with: if the client will
    /// tell of that, and if it is no build that is asked for, which stands in between.
    fn is_above(&self, context: &SpanContext, asks: bool, decide: bool) -> Option<bool> {
        let is_candidate = context.is_sampled() && !asks;
        match is_candidate && !self.building.contains_key(&context.trace_id().to_bytes()) {
            // A build may be asked for later.
            true => decide.then_some(false),
            false => Some(is_candidate),
        }
    }

    /// The same of a call of the daemon.
    fn is_above_in_daemon(&self, row: &Call, context: &SpanContext) -> bool {
        // A daemon that drops a call, as it does at the end of a local export, may never end the
        // span that made it (seen with dockerd 26.1).
        let is_dropped = row.state == CallState::Reset;
        context.is_sampled() && self.daemon_exports && !is_dropped
    }

    pub(super) fn of_transfer(
        &mut self,
        trace: &Trace,
        row: &Transfer,
        decide: bool,
    ) -> Option<Place> {
        let call = trace.calls.get(row.call)?;
        let place = self.of_call(trace, call, decide)?;
        Some(place.below(call_id(call)))
    }

    pub(super) fn in_transfer(
        &mut self,
        trace: &Trace,
        row: &Transfer,
        decide: bool,
    ) -> Option<Place> {
        let place = self.of_transfer(trace, row, decide)?;
        Some(place.below(transfer_id(row)))
    }

    /// A call of the daemon began: what takes the place of the span that made it.
    pub(super) fn call_of_daemon(&mut self, row: &Call) {
        if self.daemon_exports || row.caller == Side::Client {
            return;
        }
        if let Some(context) = context::of_headers(&row.metadata) {
            let made = (context.trace_id().to_bytes(), context.span_id().to_bytes());
            remember(&mut self.instead, made, call_id(row));
        }
    }

    /// What takes the place of a span that is not in the backend.
    pub(super) fn instead_of(&self, trace: TraceId, span: SpanId) -> Option<SpanId> {
        let instead = self.instead.get(&(trace.to_bytes(), span.to_bytes()));
        instead.copied()
    }

    /// The span that a call came with, if it is not below that, nor below the build that is.
    pub(super) fn beside_call(
        &self,
        trace: &Trace,
        row: &Call,
        place: &Place,
    ) -> Option<SpanContext> {
        let asks = asks_for(trace, row.build, Ask::With(row));
        beside(&row.metadata, asks, place)
    }

    /// The same of a request.
    pub(super) fn beside_exchange(
        &self,
        trace: &Trace,
        row: &Exchange,
        place: &Place,
    ) -> Option<SpanContext> {
        let asks = asks_for(trace, row.build, Ask::By(row));
        beside(&row.request_headers, asks, place)
    }
}

fn beside(headers: &[(String, String)], asks: bool, place: &Place) -> Option<SpanContext> {
    let context = context::of_headers(headers)?;
    let is_above = place.parent == Some(context.span_id());
    let is_above_build = asks && context.is_sampled();
    (!is_above && !is_above_build).then_some(context)
}

/// What asks for a build.
enum Ask<'a> {
    By(&'a Exchange),
    With(&'a Call),
}

/// Whether it is this that asks for the build: then the build's span is in between.
fn asks_for(trace: &Trace, build: Option<Id<Build>>, ask: Ask<'_>) -> bool {
    let build = build.and_then(|id| trace.builds.get(id));
    build.is_some_and(|build| match ask {
        Ask::By(exchange) => build.exchange == Some(exchange.id),
        Ask::With(call) => build.call == Some(call.id),
    })
}

/// The context that was sent along with what asked for a build.
fn brought_by(trace: &Trace, build: &Build) -> Option<SpanContext> {
    if let Some(call) = build.call.and_then(|id| trace.calls.get(id)) {
        return context::of_headers(&call.metadata);
    }
    let exchange = build.exchange.and_then(|id| trace.exchanges.get(id))?;
    context::of_headers(&exchange.request_headers)
}

/// The first build that fits, rather one that builds something.
fn first<'a>(builds: impl Iterator<Item = &'a Build>) -> Option<Id<Build>> {
    builds
        .min_by_key(|build| (crate::view::is_probe(build), build.id))
        .map(|build| build.id)
}

/// The build that is in a client's trace.
fn in_trace_of(trace: &Trace, id: TraceId) -> Option<Id<Build>> {
    let is_in = |build: &&Build| {
        let context = brought_by(trace, build);
        context.is_some_and(|context| context.trace_id() == id)
    };
    first(trace.builds.iter().filter(is_in))
}

/// The tapped connection that a build was asked for on.
fn asked_on<'a>(trace: &'a Trace, build: &Build) -> Option<&'a Connection> {
    let call = build.call.and_then(|id| trace.calls.get(id));
    let exchange = build.exchange.and_then(|id| trace.exchanges.get(id));
    let on = call.map(|call| call.connection);
    outermost(trace, on.or(exchange.map(|exchange| exchange.connection))?)
}

/// The build that the process at the other end of a connection asked for.
fn of_process(trace: &Trace, row: &Connection) -> Option<Id<Build>> {
    let process = row.endpoints.client_process.as_deref()?;
    let is_theirs = |build: &&Build| {
        let on = asked_on(trace, build);
        on.and_then(|on| on.endpoints.client_process.as_deref()) == Some(process)
    };
    first(trace.builds.iter().filter(is_theirs))
}

/// The only build that went on while a connection was open, from the same machine, if nobody
/// tells which process was at its end.
fn meanwhile(trace: &Trace, row: &Connection) -> Option<Id<Build>> {
    let host = |row: &Connection| {
        let client = row.endpoints.client.clone();
        client
            .rsplit_once(':')
            .map_or(client.clone(), |(host, _)| host.to_owned())
    };
    if row.endpoints.client_process.is_some() {
        return None;
    }
    let closed = row.closed.map_or(Time(u64::MAX), |(at, _)| at);
    let fits = |build: &&Build| {
        let is_meanwhile = build.start <= closed && build.end.is_none_or(|end| end >= row.opened);
        let on = asked_on(trace, build);
        is_meanwhile && !crate::view::is_probe(build) && on.is_some_and(|on| host(on) == host(row))
    };
    let mut builds = trace.builds.iter().filter(fits);
    match (builds.next(), builds.next()) {
        (Some(build), None) => Some(build.id),
        _ => None,
    }
}

pub(super) fn connection_id(row: &Connection) -> SpanId {
    ids::of_row("connection", row.id.number(), row.opened)
}

pub(super) fn session_id(row: &Session) -> SpanId {
    ids::of_row("session", row.id.number(), row.opened)
}

pub(super) fn call_id(row: &Call) -> SpanId {
    ids::of_row("call", row.id.number(), row.start)
}

pub(super) fn exchange_id(row: &Exchange) -> SpanId {
    ids::of_row("exchange", row.id.number(), row.start)
}

pub(super) fn transfer_id(row: &Transfer) -> SpanId {
    ids::of_row("transfer", row.id.number(), row.start)
}
