//! From the rows of the trace to the objects.

use std::borrow::Cow;
use std::collections::BTreeMap;

use buildtap_decoder::event::{Closed, Side, Time};
use buildtap_decoder::obligation::chain;
use buildtap_decoder::protocol::diffcopy::{self, EntryKind, PacketType};
use buildtap_decoder::protocol::mask::mask_text;
use buildtap_decoder::trace::{self, Id, Trace, TransferState, bare_session};
use buildtap_decoder::wire::http2::{error_code_name, setting_name};

use super::objects::{
    Build, Call, Connection, ConnectionSide, Content, Exchange, Exporter, File, Finding, GoAway,
    Message, Packet, Progress, Reset, Session, Subject, SubjectId, Text, Transfer, Turn,
    Undecodable, Vertex,
};
use super::values::{At, Fields, nanoseconds};

/// The numbers of the settings that have names (RFC 9113 §6.5.2).
const SETTINGS: std::ops::RangeInclusive<u16> = 1..=6;

/// Looks rows up in the trace, and masks texts that others wrote.
#[derive(Clone, Copy, Debug)]
pub(super) struct Filler<'a> {
    pub(super) trace: &'a Trace,
    pub(super) show_secrets: bool,
    /// The time it is, which matters for what is open.
    pub(super) now: Time,
}

impl<'a> Filler<'a> {
    /// Text that a program or a person wrote: the decoder masks names and values, not prose.
    fn free(self, text: &'a str) -> Cow<'a, str> {
        match self.show_secrets {
            true => Cow::Borrowed(text),
            false => mask_text(text),
        }
    }

    fn maybe_free(self, text: Option<&'a String>) -> Option<Cow<'a, str>> {
        text.map(|text| self.free(text))
    }

    fn all_free(self, texts: &'a [String]) -> Vec<Cow<'a, str>> {
        texts.iter().map(|text| self.free(text)).collect()
    }

    fn session_id(self, session: Option<Id<trace::Session>>) -> Option<&'a str> {
        let session = self.trace.sessions.get(session?)?;
        Some(&session.uuid)
    }

    /// Whose turn it is on something that is open, and why.
    fn turn(self, subject: trace::Subject) -> Option<Turn<'a>> {
        let chain = chain(self.trace, subject, self.now)?;
        let owed = chain.links().first()?;
        let own = |text: &str| match self.show_secrets {
            true => Cow::Owned(text.to_owned()),
            false => Cow::Owned(mask_text(text).into_owned()),
        };
        Some(Turn {
            side: owed.side?.as_str(),
            act: owed.act.as_str(),
            action: own(&owed.action),
            state: owed.state.as_str(),
            since: owed.since.into(),
            because: (chain.links().len() > 1).then(|| own(chain.sentence())),
        })
    }

    pub(super) fn connection(self, row: &'a trace::Connection) -> Connection<'a> {
        // A connection that was open when buildtap stopped watching did not end.
        let (closed, how) = match row.closed {
            Some((at, how)) if how != Closed::Abandoned => (Some(at), Some(how)),
            _ => (None, None),
        };
        let (closed_how, reset_by) = match how {
            Some(Closed::Finished) => (Some("finished"), None),
            Some(Closed::Reset { by }) => (Some("reset"), by),
            Some(Closed::Unreachable) => (Some("unreachable"), None),
            Some(Closed::Abandoned) | None => (None, None),
        };
        Connection {
            id: row.id.number(),
            tap: row.tap.0,
            parent: row.parent.map(|(connection, _)| connection.number()),
            parent_call: row.parent.map(|(_, call)| call.number()),
            depth: row.depth,
            protocol: row.protocol.as_str(),
            upgraded_by: row.upgraded_by.map(Id::number),
            caller: row.http2.as_ref().map(|http2| http2.caller.as_str()),
            state: if closed.is_some() { "closed" } else { "open" },
            closed_how,
            reset_by: reset_by.map(Side::as_str),
            opened: row.opened.into(),
            closed: closed.map(At::from),
            duration_ns: nanoseconds(row.opened, closed),
            client_process: self.maybe_free(row.endpoints.client_process.as_ref()),
            client: self.connection_side(row, Side::Client, &row.endpoints.client),
            daemon: self.connection_side(row, Side::Daemon, &row.endpoints.daemon),
        }
    }

    fn connection_side(
        self,
        row: &'a trace::Connection,
        side: Side,
        address: &'a str,
    ) -> ConnectionSide<'a> {
        let undecodable = row.undecodable.get(side).as_ref();
        let http2 = row.http2.as_ref();
        let goaway = http2.and_then(|http2| http2.goaway.get(side).as_ref());
        let announced = http2.filter(|http2| http2.settings.get(side).is_some());
        ConnectionSide {
            address,
            bytes: *row.bytes.get(side),
            last_bytes: row.last_bytes.get(side).map(At::from),
            half_closed: row.half_closed.get(side).map(At::from),
            not_reading_since: row.not_reading.get(side).map(At::from),
            undecodable: undecodable.map(|undecodable| Undecodable {
                at: undecodable.at.into(),
                offset: undecodable.offset,
                why: &undecodable.why,
            }),
            frames: http2.map(|http2| *http2.frames.get(side)),
            settings: announced.map(|http2| {
                SETTINGS
                    .filter_map(|number| Some((setting_name(number), http2.setting(side, number)?)))
                    .collect()
            }),
            window: http2.map(|http2| *http2.window.get(side)),
            goaway: goaway.map(|goaway| GoAway {
                at: goaway.at.into(),
                last_stream_id: goaway.last_stream_id,
                code: error_code_name(goaway.code),
                debug: self.free(&goaway.debug),
            }),
        }
    }

    pub(super) fn session(self, row: &'a trace::Session) -> Session<'a> {
        let closed = row.closed.map(|(at, _)| at);
        Session {
            id: &row.uuid,
            number: row.id.number(),
            path: row.path.as_str(),
            connection: row.connection.number(),
            name: row.name.as_deref(),
            shared_key: row.shared_key.as_deref(),
            methods: &row.methods,
            state: row.state(),
            opened: row.opened.into(),
            accepted: row.accepted.map(At::from),
            closed: closed.map(At::from),
            duration_ns: nanoseconds(row.opened, closed),
            closed_by: row.closed.and_then(|(_, by)| by).map(Side::as_str),
            refused: self.maybe_free(row.refused.as_ref()),
            turn: self.turn(trace::Subject::Session(row.id)),
        }
    }

    pub(super) fn call(self, row: &'a trace::Call) -> Call<'a> {
        let status = row.status.as_ref();
        Call {
            id: row.id.number(),
            session: self.session_id(row.session),
            connection: row.connection.number(),
            stream_id: row.stream_id,
            service: &row.service,
            method: &row.method,
            caller: row.caller.as_str(),
            subject: row.subject.as_deref(),
            state: row.state.as_str(),
            status: status.map(trace::Status::name),
            status_message: status.map(|status| status.message.as_str()),
            status_details: status.map(|status| status.details.as_slice()),
            reset: row.reset.as_ref().map(|reset| Reset {
                at: reset.at.into(),
                by: reset.by.map(Side::as_str),
                code: reset.code.map(error_code_name),
            }),
            turn: self.turn(trace::Subject::Call(row.id)),
            request_messages: row.request.messages,
            response_messages: row.response.messages,
            request_bytes: row.request.bytes,
            response_bytes: row.response.bytes,
            start: row.start.into(),
            request_first: row.request.first.map(At::from),
            request_last: row.request.last.map(At::from),
            request_ended: row.request.ended.map(At::from),
            answered: row.answered.map(At::from),
            response_first: row.response.first.map(At::from),
            response_last: row.response.last.map(At::from),
            response_ended: row.response.ended.map(At::from),
            end: row.end.map(At::from),
            duration_ns: nanoseconds(row.start, row.end),
            client_window: *row.window.get(Side::Client),
            daemon_window: *row.window.get(Side::Daemon),
            transfer: row.transfer.map(Id::number),
            build: row.build.map(Id::number),
            vertex: row.vertex.as_deref(),
            metadata: Fields(&row.metadata),
            response_metadata: Fields(&row.response_metadata),
            trailers: Fields(&row.trailers),
        }
    }

    /// `body` is what a protobuf message says, where that is known.
    pub(super) fn message(
        self,
        message: &'a trace::Message,
        body: Option<serde_json::Value>,
    ) -> Message<'a> {
        let call = self.trace.calls.get(message.call);
        Message {
            call: message.call.number(),
            service: call.map(|call| call.service.as_str()),
            method: call.map(|call| call.method.as_str()),
            from: message.from.as_str(),
            number: message.number,
            length: message.length,
            at: message.at.into(),
            content: match &message.content {
                trace::Content::Protobuf { cut, .. } => Content::Protobuf { body, cut: *cut },
                trace::Content::Packet { packet, path, .. } => Content::Packet {
                    packet: self.packet(packet, path.as_deref()),
                },
                trace::Content::Bytes { payload, .. } => Content::Bytes { payload: *payload },
            },
        }
    }

    fn packet(self, packet: &'a diffcopy::Packet, path: Option<&'a str>) -> Packet<'a> {
        let stat = packet.stat.as_ref();
        // Only these two carry an id; that of a STAT is its place in the listing.
        let id = matches!(packet.kind, PacketType::Req | PacketType::Data).then_some(packet.id);
        Packet {
            kind: match packet.kind {
                PacketType::Stat => "STAT".into(),
                PacketType::Req => "REQ".into(),
                PacketType::Data => "DATA".into(),
                PacketType::Fin => "FIN".into(),
                PacketType::Err => "ERR".into(),
                PacketType::Other(number) => number.to_string().into(),
            },
            id,
            path: match stat {
                Some(stat) => Some(&stat.path),
                None => path,
            },
            entry: stat.map(|stat| match EntryKind::of(stat) {
                EntryKind::File => "file",
                EntryKind::HardLink => "hard-link",
                EntryKind::Directory => "directory",
                EntryKind::SymLink => "symlink",
                EntryKind::Special => "special",
            }),
            mode: stat.map(|stat| stat.mode),
            uid: stat.map(|stat| stat.uid),
            gid: stat.map(|stat| stat.gid),
            size: stat.map(|stat| stat.size),
            // Times before 1970 have no place in `Time`.
            mod_time: stat
                .and_then(|stat| u64::try_from(stat.mod_time).ok())
                .map(|at| Time(at).into()),
            linkname: stat
                .map(|stat| stat.linkname.as_str())
                .filter(|name| !name.is_empty()),
            xattrs: stat.map(|stat| stat.xattrs),
            data: (packet.kind == PacketType::Data).then_some(packet.data),
            text: self.maybe_free(packet.text.as_ref()),
        }
    }

    pub(super) fn exchange(self, row: &'a trace::Exchange) -> Exchange<'a> {
        Exchange {
            id: row.id.number(),
            connection: row.connection.number(),
            method: &row.method,
            target: &row.target,
            state: row.state(),
            status: row.status.as_ref().map(|(code, _)| *code),
            reason: row
                .status
                .as_ref()
                .map(|(_, reason)| reason.as_str())
                .filter(|reason| !reason.is_empty()),
            error: self.maybe_free(row.error.as_ref()),
            turn: self.turn(trace::Subject::Exchange(row.id)),
            upgrade: row.upgrade.as_deref(),
            request_bytes: row.request_bytes,
            response_bytes: row.response_bytes,
            start: row.start.into(),
            request_end: row.request_end.map(At::from),
            answered: row.answered.map(At::from),
            end: row.end.map(At::from),
            duration_ns: nanoseconds(row.start, row.end),
            build: row.build.map(Id::number),
            request_headers: Fields(&row.request_headers),
            response_headers: Fields(&row.response_headers),
        }
    }

    pub(super) fn transfer(self, row: &'a trace::Transfer) -> Transfer<'a> {
        let machine = &row.machine;
        let sender = row.sender();
        let call = self.trace.calls.get(row.call);
        Transfer {
            id: row.id.number(),
            call: row.call.number(),
            session: self.session_id(row.session),
            build: call.and_then(|call| call.build).map(Id::number),
            service: &row.service,
            name: &row.name,
            exporter: row.exporter.as_deref(),
            direction: row.direction.as_str(),
            flavour: row.flavour.as_str(),
            evidence: &row.evidence,
            entries: machine.entries().count(),
            files: machine.files(),
            hard_links: machine.hard_links(),
            announced_bytes: machine.announced_bytes(),
            requested: machine.requested(),
            completed: machine.completed(),
            bytes: row.bytes,
            client_packets: machine.packets(Side::Client),
            daemon_packets: machine.packets(Side::Daemon),
            last_path: Some(machine.last_path()).filter(|path| !path.is_empty()),
            state: row.state.as_str(),
            error: self.maybe_free(row.error.as_ref()),
            turn: self.turn(trace::Subject::Transfer(row.id)),
            start: row.start.into(),
            final_stat: machine.final_stat().map(At::from),
            receiver_fin: machine.fin_of(sender.peer()).map(At::from),
            sender_fin: machine.fin_of(sender).map(At::from),
            end: row.end.map(At::from),
            duration_ns: nanoseconds(row.start, row.end),
        }
    }

    /// `transfer` is its number; its row may be gone.
    pub(super) fn file(self, transfer: Id<trace::Transfer>, file: &'a trace::File) -> File<'a> {
        let row = self.trace.transfers.get(transfer);
        let goes_on = row.is_none_or(|row| row.state == TransferState::Open);
        File {
            transfer: transfer.number(),
            call: row.map(|row| row.call.number()),
            session: row.and_then(|row| self.session_id(row.session)),
            id: file.id,
            path: file.path.as_deref(),
            size: file.size,
            bytes: file.bytes,
            state: match file.completed {
                Some(_) => "complete",
                None if goes_on => "open",
                None => "failed",
            },
            requested: file.requested.into(),
            completed: file.completed.map(At::from),
            duration_ns: nanoseconds(file.requested, file.completed),
        }
    }

    pub(super) fn build(self, row: &'a trace::Build) -> Build<'a> {
        Build {
            id: row.id.number(),
            reference: row.reference.as_deref(),
            build_id: row.build_id.as_deref(),
            session: row.session.as_deref().map(bare_session),
            call: row.call.map(Id::number),
            exchange: row.exchange.map(Id::number),
            frontend: Some(row.frontend.as_str()).filter(|name| !name.is_empty()),
            frontend_attrs: map(&row.frontend_attrs),
            exporters: row
                .exporters
                .iter()
                .enumerate()
                .map(|(id, exporter)| Exporter {
                    id,
                    kind: &exporter.kind,
                    attrs: map(&exporter.attrs),
                })
                .collect(),
            state: row.state.as_str(),
            error: self.maybe_free(row.error.as_ref()),
            turn: self.turn(trace::Subject::Build(row.id)),
            exporter_response: row
                .exporter_response
                .iter()
                .map(|(name, value)| (name.as_str(), self.free(value)))
                .collect(),
            vertices: row.vertices.len() as u64,
            vertices_dropped: row.vertices_dropped,
            log_bytes: row.log_bytes,
            warnings: self.all_free(&row.warnings),
            start: row.start.into(),
            end: row.end.map(At::from),
            duration_ns: nanoseconds(row.start, row.end),
            llb: &row.llb,
        }
    }

    pub(super) fn vertex(self, build: &'a trace::Build, row: &'a trace::Vertex) -> Vertex<'a> {
        Vertex {
            build: build.id.number(),
            digest: &row.digest,
            name: self.free(&row.name),
            inputs: &row.inputs,
            cached: row.cached,
            state: build.vertex_state(row),
            started: row.started.map(At::from),
            completed: row.completed.map(At::from),
            duration_ns: row
                .started
                .and_then(|started| nanoseconds(started, row.completed)),
            error: self.maybe_free(row.error.as_ref()),
            progress: row
                .progress
                .iter()
                .map(|progress| Progress {
                    id: self.free(&progress.id),
                    current: progress.current,
                    total: progress.total,
                    completed: progress.completed.map(At::from),
                })
                .collect(),
            log_bytes: row.log_bytes,
        }
    }

    pub(super) fn finding(self, row: &'a trace::Finding) -> Finding<'a> {
        let (kind, id) = match row.subject {
            trace::Subject::Connection(id) => ("connection", SubjectId::Number(id.number())),
            trace::Subject::Session(id) => {
                ("session", SubjectId::Session(self.session_id(Some(id))))
            }
            trace::Subject::Call(id) => ("call", SubjectId::Number(id.number())),
            trace::Subject::Exchange(id) => ("exchange", SubjectId::Number(id.number())),
            trace::Subject::Transfer(id) => ("transfer", SubjectId::Number(id.number())),
            trace::Subject::Build(id) => ("build", SubjectId::Number(id.number())),
        };
        Finding {
            id: row.id.number(),
            code: row.code,
            severity: row.severity.as_str(),
            confidence: row.confidence().as_str(),
            waiting_on: row.waiting_on.map(Side::as_str),
            summary: self.free(&row.summary),
            advice: &row.advice,
            evidence: self.all_free(&row.evidence),
            at: row.at.into(),
            certain: row.certain.map(At::from),
            subject: Subject { kind, id },
        }
    }

    pub(super) fn text(self, text: &'a trace::Text) -> Text<'a> {
        Text {
            connection: text.connection.number(),
            at: text.at.into(),
            source: match text.source {
                trace::TextSource::ExecStderr => "exec-stderr",
                trace::TextSource::BuildStream => "build-stream",
            },
            text: self.free(&text.text),
        }
    }
}

fn map(pairs: &[(String, String)]) -> BTreeMap<&str, &str> {
    pairs
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect()
}
