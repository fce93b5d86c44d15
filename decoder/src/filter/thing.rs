//! The things of a trace as rows: what each field is of each of them.

use std::ops::ControlFlow;
use std::time::Duration;

use super::{Field, Row, Value};
use crate::event::{Side, Time};
use crate::obligation::{self, Chain, State};
use crate::protocol::diffcopy::PacketType;
use crate::trace::{
    Build, Call, CallState, Connection, Content, Exchange, File, Finding, Id, Message, Session,
    Subject, Text, Trace, Transfer, TransferState, Vertex,
};

/// Something in a trace that can be filtered.
#[derive(Clone, Copy, Debug)]
pub enum Thing<'a> {
    /// A connection.
    Connection(&'a Connection),
    /// A session.
    Session(&'a Session),
    /// A call.
    Call(&'a Call),
    /// A message of a call.
    Message(&'a Message),
    /// An HTTP exchange.
    Exchange(&'a Exchange),
    /// A transfer.
    Transfer(&'a Transfer),
    /// A file of a transfer.
    File(Id<Transfer>, &'a File),
    /// A build.
    Build(&'a Build),
    /// A step of a build.
    Vertex(&'a Build, &'a Vertex),
    /// A finding.
    Finding(&'a Finding),
    /// A text for people.
    Text(&'a Text),
}

/// What things are looked at in.
#[derive(Clone, Copy, Debug)]
pub struct Things<'a> {
    /// Where the things that a thing belongs to are found.
    pub trace: &'a Trace,
    /// The present moment: ages count up to it.
    pub now: Time,
}

/// A thing as a row.
struct ThingRow<'a> {
    things: Things<'a>,
    thing: Thing<'a>,
}

impl<'a> Things<'a> {
    /// The thing as a row.
    pub fn row(self, thing: Thing<'a>) -> impl Row + 'a {
        ThingRow {
            things: self,
            thing,
        }
    }

    /// What a thing belongs to: the call of a message or a transfer, the transfer of a file, the
    /// build of a step, what a finding is about.
    pub fn owner(self, thing: Thing<'a>) -> Option<Thing<'a>> {
        let trace = self.trace;
        match thing {
            Thing::Message(message) => trace.calls.get(message.call).map(Thing::Call),
            Thing::Transfer(transfer) => trace.calls.get(transfer.call).map(Thing::Call),
            Thing::File(transfer, _) => trace.transfers.get(transfer).map(Thing::Transfer),
            Thing::Vertex(build, _) => Some(Thing::Build(build)),
            Thing::Finding(finding) => match finding.subject {
                Subject::Connection(id) => trace.connections.get(id).map(Thing::Connection),
                Subject::Session(id) => trace.sessions.get(id).map(Thing::Session),
                Subject::Call(id) => trace.calls.get(id).map(Thing::Call),
                Subject::Exchange(id) => trace.exchanges.get(id).map(Thing::Exchange),
                Subject::Transfer(id) => trace.transfers.get(id).map(Thing::Transfer),
                Subject::Build(id) => trace.builds.get(id).map(Thing::Build),
            },
            Thing::Connection(_)
            | Thing::Session(_)
            | Thing::Call(_)
            | Thing::Exchange(_)
            | Thing::Build(_)
            | Thing::Text(_) => None,
        }
    }
}

/// Tells the values of one field to a test until one of them passes.
struct Teller<'t> {
    test: &'t mut dyn FnMut(Value<'_>) -> bool,
    /// Whether there was a value at all.
    had: bool,
}

/// Breaks when the test was passed.
type Told = ControlFlow<()>;

impl Teller<'_> {
    fn value(&mut self, value: Value<'_>) -> Told {
        self.had = true;
        match (self.test)(value) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }

    fn text(&mut self, text: &str) -> Told {
        self.value(Value::Text(text))
    }

    fn maybe(&mut self, text: Option<&str>) -> Told {
        text.map_or(ControlFlow::Continue(()), |text| self.text(text))
    }

    fn number(&mut self, number: u64) -> Told {
        self.value(Value::Number(number))
    }

    fn id<T>(&mut self, id: Option<Id<T>>) -> Told {
        id.map_or(ControlFlow::Continue(()), |id| self.number(id.number()))
    }

    fn side(&mut self, side: Option<Side>) -> Told {
        self.maybe(side.map(Side::as_str))
    }

    fn duration(&mut self, duration: Option<Duration>) -> Told {
        match duration {
            Some(time) => self.number(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)),
            None => ControlFlow::Continue(()),
        }
    }

    fn headers(&mut self, headers: &[&[(String, String)]]) -> Told {
        for (name, value) in headers.iter().flat_map(|list| list.iter()) {
            self.text(&format!("{name}: {value}"))?;
        }
        ControlFlow::Continue(())
    }
}

impl Row for ThingRow<'_> {
    fn any(&self, field: Field, test: &mut dyn FnMut(Value<'_>) -> bool) -> bool {
        let mut tell = Teller { test, had: false };
        let mut next = Some(self.thing);
        let mut told = Told::Continue(());
        // At most three steps: finding, transfer, call.
        while let Some(thing) = next.filter(|_| told.is_continue() && !tell.had) {
            told = self.things.tell(thing, field, &mut tell);
            let own = matches!(field, Field::Kind | Field::Id | Field::Name | Field::State);
            next = self.things.owner(thing).filter(|_| !own);
        }
        told.is_break()
    }
}

impl<'a> Things<'a> {
    /// What goes for all things.
    fn tell(self, thing: Thing<'a>, field: Field, tell: &mut Teller<'_>) -> Told {
        match field {
            Field::Kind => return tell.text(kind(thing)),
            Field::State => return tell.maybe(self.state(thing)),
            Field::Duration | Field::Age | Field::Start => return self.time(thing, field, tell),
            Field::Finding | Field::Severity => return self.findings(thing, field, tell),
            Field::Session => return self.session(thing, tell),
            _ => {}
        }
        match thing {
            Thing::Connection(row) => self.connection(row, field, tell),
            Thing::Session(row) => match field {
                Field::Id => tell.id(Some(row.id)),
                Field::Connection => tell.id(Some(row.connection)),
                Field::Name => tell.maybe(row.name.as_deref()),
                Field::Error => tell.maybe(row.refused.as_deref()),
                _ => Told::Continue(()),
            },
            Thing::Call(row) => self.call(row, field, tell),
            Thing::Message(row) => message(row, field, tell),
            Thing::Exchange(row) => self.exchange(row, field, tell),
            Thing::Transfer(row) => transfer(row, field, tell),
            Thing::File(transfer, row) => match field {
                Field::Id => tell.number(row.id.into()),
                Field::Transfer => tell.id(Some(transfer)),
                Field::Name | Field::Path => tell.maybe(row.path.as_deref()),
                Field::Bytes => tell.number(row.bytes),
                _ => Told::Continue(()),
            },
            Thing::Build(row) => build(row, field, tell),
            Thing::Vertex(_, row) => match field {
                Field::Name => tell.text(&row.name),
                Field::Digest => tell.text(&row.digest),
                Field::Cached => tell.value(Value::Flag(row.cached)),
                Field::Error => tell.maybe(row.error.as_deref()),
                _ => Told::Continue(()),
            },
            Thing::Finding(row) => match field {
                Field::Id => tell.id(Some(row.id)),
                Field::Name => tell.text(row.code),
                Field::WaitingOn => tell.side(row.waiting_on),
                Field::Text => {
                    tell.text(&row.summary)?;
                    tell.text(&row.advice)?;
                    row.evidence.iter().try_for_each(|text| tell.text(text))
                }
                _ => Told::Continue(()),
            },
            Thing::Text(row) => match field {
                Field::Connection => tell.id(Some(row.connection)),
                Field::From => tell.side(Some(Side::Daemon)),
                Field::Text => tell.text(&row.text),
                Field::Bytes => tell.number(row.text.len() as u64),
                _ => Told::Continue(()),
            },
        }
    }

    fn state(self, thing: Thing<'a>) -> Option<&'static str> {
        Some(match thing {
            Thing::Connection(row) => row.state(),
            Thing::Session(row) => row.state(),
            Thing::Call(row) => row.state.as_str(),
            Thing::Exchange(row) => row.state(),
            Thing::Transfer(row) => row.state.as_str(),
            Thing::File(transfer, row) => {
                let transfer = self.trace.transfers.get(transfer);
                let goes_on = transfer.is_none_or(|row| row.state == TransferState::Open);
                match row.completed {
                    Some(_) => "complete",
                    None if goes_on => "open",
                    None => "failed",
                }
            }
            Thing::Build(row) => row.state.as_str(),
            Thing::Vertex(build, row) => build.vertex_state(row),
            Thing::Message(_) | Thing::Finding(_) | Thing::Text(_) => return None,
        })
    }

    fn time(self, thing: Thing<'a>, field: Field, tell: &mut Teller<'_>) -> Told {
        let Some((start, end)) = times(thing) else {
            return Told::Continue(());
        };
        match field {
            Field::Duration => tell.duration(Some(end.unwrap_or(self.now).since(start))),
            Field::Age => tell.duration(Some(self.now.since(start))),
            _ => {
                let first = self.trace.connections.iter().next();
                tell.duration(first.map(|first| start.since(first.opened)))
            }
        }
    }

    fn findings(self, thing: Thing<'a>, field: Field, tell: &mut Teller<'_>) -> Told {
        let mut one = |finding: &Finding| match field {
            Field::Finding => tell.text(finding.code),
            _ => tell.text(finding.severity.as_str()),
        };
        let subject = match thing {
            Thing::Finding(row) => return one(row),
            Thing::Connection(row) => Subject::Connection(row.id),
            Thing::Session(row) => Subject::Session(row.id),
            Thing::Call(row) => Subject::Call(row.id),
            Thing::Exchange(row) => Subject::Exchange(row.id),
            Thing::Transfer(row) => Subject::Transfer(row.id),
            Thing::Build(row) => Subject::Build(row.id),
            Thing::Message(_) | Thing::File(..) | Thing::Vertex(..) | Thing::Text(_) => {
                return Told::Continue(());
            }
        };
        let carries = |finding: &&Finding| {
            let call = match thing {
                Thing::Call(row) => row.transfer.map(Subject::Transfer),
                _ => None,
            };
            finding.subject == subject || Some(finding.subject) == call
        };
        let about = self.trace.findings.iter().filter(carries);
        match field {
            Field::Severity => match about.max_by_key(|finding| finding.severity) {
                Some(worst) => one(worst),
                None => Told::Continue(()),
            },
            _ => about.into_iter().try_for_each(one),
        }
    }

    fn session(self, thing: Thing<'a>, tell: &mut Teller<'_>) -> Told {
        let id = match thing {
            Thing::Session(row) => Some(row.id),
            Thing::Call(row) => row.session,
            Thing::Transfer(row) => row.session,
            Thing::Build(row) => {
                return tell.maybe(row.session.as_deref().map(crate::trace::bare_session));
            }
            _ => None,
        };
        match id.and_then(|id| self.trace.sessions.get(id)) {
            Some(session) => {
                tell.text(&session.uuid)?;
                tell.text(&session.id.to_string())
            }
            None => Told::Continue(()),
        }
    }

    fn connection(self, row: &Connection, field: Field, tell: &mut Teller<'_>) -> Told {
        let [client, daemon] = row.bytes.0;
        match field {
            Field::Id | Field::Connection => tell.id(Some(row.id)),
            Field::Protocol => tell.text(row.protocol.as_str()),
            Field::Bytes => tell.number(client.saturating_add(daemon)),
            Field::ClientBytes => tell.number(client),
            Field::DaemonBytes => tell.number(daemon),
            Field::Call => tell.id(row.parent.map(|(_, call)| call)),
            Field::Process => {
                tell.maybe(row.endpoints.client_process.as_deref())?;
                tell.text(&row.endpoints.client)
            }
            Field::Error => {
                let mut why = row.undecodable.0.iter().flatten();
                why.try_for_each(|undecodable| tell.text(&undecodable.why))
            }
            Field::WaitingOn => {
                let sides = Side::BOTH.into_iter();
                let stopped = sides.filter(|side| row.not_reading.get(*side).is_some());
                stopped
                    .into_iter()
                    .try_for_each(|side| tell.side(Some(side)))
            }
            Field::Waiting => {
                let since = row.not_reading.0.iter().flatten().min();
                tell.duration(since.map(|since| self.now.since(*since)))
            }
            Field::Idle => {
                let [client, daemon] = row.last_bytes.0;
                let last = client.max(daemon).unwrap_or(row.opened);
                tell.duration(row.closed.is_none().then(|| self.now.since(last)))
            }
            _ => Told::Continue(()),
        }
    }

    fn call(self, row: &Call, field: Field, tell: &mut Teller<'_>) -> Told {
        let both = row.request.bytes.saturating_add(row.response.bytes);
        match field {
            Field::Id | Field::Call => tell.id(Some(row.id)),
            Field::Connection => tell.id(Some(row.connection)),
            Field::Transfer => tell.id(row.transfer),
            Field::Build => tell.id(row.build),
            Field::Stream => tell.number(row.stream_id.into()),
            Field::Name => tell.text(&row.short_name()),
            Field::Service => {
                tell.text(row.service.rsplit('.').next().unwrap_or_default())?;
                tell.text(&row.service)
            }
            Field::Method => {
                tell.text(&row.method)?;
                tell.text(&row.short_name())
            }
            Field::Subject => tell.maybe(row.subject.as_deref()),
            Field::Caller => tell.side(Some(row.caller)),
            Field::Status => match (&row.status, row.state) {
                (Some(status), _) => {
                    tell.text(&status.name())?;
                    tell.text(&status.code.to_string())
                }
                (None, CallState::Open) => Told::Continue(()),
                (None, _) => tell.text("RESET"),
            },
            Field::Error => {
                let status = row.status.as_ref().filter(|status| status.code != 0);
                let Some(status) = status else {
                    return Told::Continue(());
                };
                tell.text(&status.message)?;
                status.details.iter().try_for_each(|text| tell.text(text))
            }
            Field::Bytes => tell.number(both),
            Field::ClientBytes => tell.number(row.sent_by(Side::Client).bytes),
            Field::DaemonBytes => tell.number(row.sent_by(Side::Daemon).bytes),
            Field::Messages => {
                tell.number(row.request.messages.saturating_add(row.response.messages))
            }
            Field::WaitingOn | Field::Waiting => {
                let subject = row
                    .transfer
                    .map_or(Subject::Call(row.id), Subject::Transfer);
                self.waiting(subject, field, tell)
            }
            Field::Idle => {
                let last = row.request.last.max(row.response.last).unwrap_or(row.start);
                let open = row.state == CallState::Open;
                tell.duration(open.then(|| self.now.since(last)))
            }
            Field::Digest => tell.maybe(row.vertex.as_deref()),
            Field::Header => tell.headers(&[&row.metadata, &row.response_metadata, &row.trailers]),
            Field::Direction
            | Field::Flavour
            | Field::Files
            | Field::Path
            | Field::Exporter
            | Field::From => match row.transfer.and_then(|id| self.trace.transfers.get(id)) {
                Some(row) => transfer(row, field, tell),
                None => Told::Continue(()),
            },
            _ => Told::Continue(()),
        }
    }

    /// Which side must act on something that is open, or for how long it has not: what explains
    /// it, if that is in another layer. Nobody, where somebody acts.
    fn waiting(self, subject: Subject, field: Field, tell: &mut Teller<'_>) -> Told {
        let chain = obligation::chain(self.trace, subject, self.now);
        let owed = chain.as_ref().and_then(Chain::innermost);
        match owed.filter(|owed| owed.state == State::Waiting) {
            Some(owed) if field == Field::WaitingOn => tell.side(owed.side),
            Some(owed) => tell.duration(Some(self.now.since(owed.since))),
            None => Told::Continue(()),
        }
    }

    fn exchange(self, row: &Exchange, field: Field, tell: &mut Teller<'_>) -> Told {
        match field {
            Field::Id => tell.id(Some(row.id)),
            Field::Connection => tell.id(Some(row.connection)),
            Field::Build => tell.id(row.build),
            Field::Name => tell.text(&format!("{} {}", row.method, row.target)),
            Field::Method => tell.text(&row.method),
            Field::Path => tell.text(&row.target),
            Field::Status => {
                let Some((code, _)) = row.status else {
                    return Told::Continue(());
                };
                tell.text(&code.to_string())?;
                tell.maybe((code < 400).then_some("OK"))
            }
            Field::Error => tell.maybe(row.error.as_deref()),
            Field::Bytes => tell.number(row.request_bytes.saturating_add(row.response_bytes)),
            Field::ClientBytes => tell.number(row.request_bytes),
            Field::DaemonBytes => tell.number(row.response_bytes),
            Field::Header => tell.headers(&[&row.request_headers, &row.response_headers]),
            Field::WaitingOn | Field::Waiting => {
                self.waiting(Subject::Exchange(row.id), field, tell)
            }
            _ => Told::Continue(()),
        }
    }
}

fn message(row: &Message, field: Field, tell: &mut Teller<'_>) -> Told {
    match (field, &row.content) {
        (Field::Id, _) => tell.number(row.number),
        (Field::Call, _) => tell.id(Some(row.call)),
        (Field::From, _) => tell.side(Some(row.from)),
        (Field::Bytes, _) => tell.number(row.length),
        (Field::ClientBytes, _) if row.from == Side::Client => tell.number(row.length),
        (Field::DaemonBytes, _) if row.from == Side::Daemon => tell.number(row.length),
        (Field::ClientBytes | Field::DaemonBytes, _) => tell.number(0),
        (Field::Packet, Content::Packet { packet, .. }) => tell.maybe(match packet.kind {
            PacketType::Stat => Some("STAT"),
            PacketType::Req => Some("REQ"),
            PacketType::Data => Some("DATA"),
            PacketType::Fin => Some("FIN"),
            PacketType::Err => Some("ERR"),
            PacketType::Other(_) => None,
        }),
        (Field::Path, Content::Packet { packet, path, .. }) => {
            let announced = packet.stat.as_ref().map(|stat| stat.path.as_str());
            tell.maybe(announced.or(path.as_deref()))
        }
        (Field::Error, Content::Packet { packet, .. }) => tell.maybe(packet.text.as_deref()),
        _ => Told::Continue(()),
    }
}

fn transfer(row: &Transfer, field: Field, tell: &mut Teller<'_>) -> Told {
    match field {
        Field::Id | Field::Transfer => tell.id(Some(row.id)),
        Field::Call => tell.id(Some(row.call)),
        Field::Name => tell.text(&row.name),
        Field::From => tell.side(Some(row.sender())),
        Field::Direction => tell.text(row.direction.as_str()),
        Field::Flavour => tell.text(row.flavour.as_str()),
        Field::Exporter => tell.maybe(row.exporter.as_deref()),
        Field::Bytes => tell.number(row.bytes),
        Field::Files => tell.number(row.machine.files()),
        Field::Error => tell.maybe(row.error.as_deref()),
        Field::Path => {
            let entries = row.machine.entries();
            for path in entries.iter().filter_map(|(id, _)| entries.path(id)) {
                tell.text(path)?;
            }
            for file in row.machine.open_files() {
                tell.maybe(file.path.as_deref())?;
            }
            Told::Continue(())
        }
        _ => Told::Continue(()),
    }
}

fn build(row: &Build, field: Field, tell: &mut Teller<'_>) -> Told {
    match field {
        Field::Id | Field::Build => tell.id(Some(row.id)),
        Field::Call => tell.id(row.call),
        Field::Name => {
            tell.maybe(row.reference.as_deref())?;
            tell.maybe(row.build_id.as_deref())
        }
        Field::Frontend => tell.maybe(Some(row.frontend.as_str()).filter(|name| !name.is_empty())),
        Field::Exporter => {
            let mut outputs = row.exporters.iter();
            outputs.try_for_each(|exporter| tell.text(&exporter.kind))
        }
        Field::Error => tell.maybe(row.error.as_deref()),
        _ => Told::Continue(()),
    }
}

fn kind(thing: Thing<'_>) -> &'static str {
    match thing {
        Thing::Connection(_) => "connection",
        Thing::Session(_) => "session",
        Thing::Call(_) => "call",
        Thing::Message(_) => "message",
        Thing::Exchange(_) => "exchange",
        Thing::Transfer(_) => "transfer",
        Thing::File(..) => "file",
        Thing::Build(_) => "build",
        Thing::Vertex(..) => "vertex",
        Thing::Finding(_) => "finding",
        Thing::Text(_) => "text",
    }
}

/// When a thing began and ended.
fn times(thing: Thing<'_>) -> Option<(Time, Option<Time>)> {
    Some(match thing {
        Thing::Connection(row) => (row.opened, row.closed.map(|(at, _)| at)),
        Thing::Session(row) => (row.opened, row.closed.map(|(at, _)| at)),
        Thing::Call(row) => (row.start, row.end),
        Thing::Message(row) => (row.at, Some(row.at)),
        Thing::Exchange(row) => (row.start, row.end),
        Thing::Transfer(row) => (row.start, row.end),
        Thing::File(_, row) => (row.requested, row.completed),
        Thing::Build(row) => (row.start, row.end),
        Thing::Vertex(_, row) => (row.started?, row.completed),
        Thing::Finding(row) => (row.at, Some(row.at)),
        Thing::Text(row) => (row.at, Some(row.at)),
    })
}
