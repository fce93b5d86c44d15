//! A call that carries files: decides what its messages are, and moves the transfer along.

use bytes::Bytes;

use super::masked;
use super::seam::{Seam, Seams};
use super::slices::Slices;
use crate::core::Core;
use crate::doctor;
use crate::event::{Side, Time};
use crate::origin::Joined;
use crate::protocol::diffcopy::{Evidence, Machine, Packet, PacketReader, PacketType, Step};
use crate::protocol::metadata;
use crate::redact;
use crate::trace::{
    Awaited, Call, CallState, Content, Direction, Flavour, Id, PerSide, Transfer, TransferState,
    Update,
};

/// Text of an ERR packet beyond which it is nothing that somebody reads.
const ERROR_BYTES: usize = 64 << 10;

/// The decoder of a call that carries files.
#[derive(Debug)]
pub(super) struct TransferStream {
    transfer: Id<Transfer>,
    sender: Side,
    flavour: Flavour,
    /// What the first bytes of the sender say overrules everything else, once.
    sender_spoke: bool,
    readers: PerSide<Reader>,
    /// Bytes that the entries take of what all may take together.
    entry_bytes: usize,
    /// When somebody last sent a message.
    last: Time,
    is_over: bool,
}

#[derive(Debug, Default)]
struct Reader {
    packet: PacketReader,
    slices: Slices,
    /// What is masked by the user's patterns: in the message that is being read, in its archive,
    /// in its files.
    message: Seam,
    archive: Seam,
    files: Seams,
    /// The text of the ERR packet that is being read, to be masked.
    error: Joined,
    /// Whether the message that is being read has had any bytes.
    any: bool,
    /// How many bytes at the end of what was read are zeros, up to [`ARCHIVE_END`].
    zeros: usize,
    /// The beginning of that message, for showing it.
    beginning: Vec<u8>,
}

/// A tar archive ends with two blocks of zeros (POSIX `pax`).
const ARCHIVE_END: usize = 1_024;

/// How many of the last bytes are zeros, up to [`ARCHIVE_END`], after `before` of them and a slice.
fn zeros(before: usize, slice: &[u8]) -> usize {
    let last = slice.iter().rev().take(ARCHIVE_END);
    let zeros = last.take_while(|byte| **byte == 0).count();
    match zeros == slice.len() {
        true => before.saturating_add(zeros).min(ARCHIVE_END),
        false => zeros,
    }
}

/// Bytes kept of a message, for showing it.
const KEPT: usize = 1 << 10;

/// The same of one that carries contents.
const KEPT_OF_CONTENTS: usize = 64;

impl Reader {
    fn keep(&mut self, body: &[u8]) {
        let room = KEPT.saturating_sub(self.beginning.len());
        self.beginning
            .extend_from_slice(body.get(..room).unwrap_or(body));
    }

    fn kept(&mut self, limit: usize) -> Bytes {
        let beginning = self.beginning.get(..limit).unwrap_or(&self.beginning);
        let kept = Bytes::copy_from_slice(beginning);
        self.beginning.clear();
        kept
    }
}

impl Reader {
    /// The message is complete, or no more of it is waited for.
    fn mask(&mut self, core: &mut Core, from: Side) {
        self.message.clear();
        let Joined { bytes, origins } = std::mem::take(&mut self.error);
        core.redact(from, &bytes, &origins, |redaction, text, out| {
            redact::text(&redaction.rules, text, out);
        });
    }

    fn undecided(&self) -> Option<u64> {
        let error = self.error.origins.first();
        let seams = [self.message.undecided(), self.archive.undecided()];
        let all = seams.into_iter().chain([self.files.undecided(), error]);
        all.flatten().min()
    }
}

impl TransferStream {
    /// Makes ready for a call with this path, if it is one that carries files.
    pub(super) fn open(core: &mut Core, call: Id<Call>, path: &str) -> Option<Self> {
        let row = core.trace.calls.get(call)?;
        let (service, method) = match path {
            "/moby.filesync.v1.FileSync/DiffCopy" => ("FileSync", Some("FileSync.DiffCopy")),
            "/moby.filesync.v1.FileSync/TarStream" => ("FileSync", Some("FileSync.TarStream")),
            "/moby.filesync.v1.FileSend/DiffCopy" => ("FileSend", None),
            "/moby.upload.v1.Upload/Pull" => ("Upload", Some("Upload.Pull")),
            _ => return None,
        };
        // Exports go from the caller, the daemon; everything else comes from the callee.
        let sender = if service == "FileSend" {
            row.caller
        } else {
            row.caller.peer()
        };
        let direction = if sender == Side::Client {
            Direction::ToDaemon
        } else {
            Direction::ToClient
        };
        let named = match service {
            "FileSync" => metadata::FileSync::from_headers(row.metadata.iter().map(pair)).dir_name,
            "FileSend" => Some(
                metadata::FileSend::from_headers(row.metadata.iter().map(pair))
                    .exporter_id
                    .to_string(),
            ),
            _ => row.header("urlpath").map(str::to_owned),
        };
        let session = row.session;
        let start = core.now;
        let transfer = core.trace.transfers.add(0, |id| Transfer {
            id,
            call,
            session,
            service: service.to_owned(),
            name: named.unwrap_or_default(),
            exporter: None,
            direction,
            flavour: Flavour::Unknown,
            evidence: Vec::new(),
            machine: Machine::new(sender, start),
            bytes: 0,
            archive_end: None,
            state: TransferState::Open,
            error: None,
            start,
            end: None,
        });
        if let Some(row) = core.trace.calls.get_mut(call) {
            row.transfer = Some(transfer);
        }
        let mut stream = TransferStream {
            transfer,
            sender,
            flavour: Flavour::Unknown,
            sender_spoke: false,
            readers: PerSide::default(),
            entry_bytes: 0,
            last: start,
            is_over: false,
        };
        if let Some(method) = method {
            stream.weigh(core, Evidence::Method(method));
        } else {
            stream.weigh_headers(core, call);
        }
        Some(stream)
    }

    /// What the headers of a FileSend, and the build it belongs to, say.
    fn weigh_headers(&mut self, core: &mut Core, call: Id<Call>) {
        let Some(row) = core.trace.calls.get(call) else {
            return;
        };
        let send = metadata::FileSend::from_headers(row.metadata.iter().map(pair));
        let archive = row
            .metadata
            .iter()
            .map(|(name, _)| name)
            .find(|name| name.starts_with("exporter-md-containerimage."))
            .cloned();
        let index = send.exporter_id;
        let uuid = row
            .session
            .and_then(|session| core.trace.sessions.get(session))
            .map(|session| session.uuid.clone());
        let kind = uuid.and_then(|uuid| super::build::exporter(core, &uuid, index));
        if let Some(kind) = kind {
            if let Some(transfer) = core.trace.transfers.get_mut(self.transfer) {
                transfer.exporter = Some(kind.clone());
            }
            self.weigh(core, Evidence::Exporter { index, kind });
        }
        if let Some(name) = archive {
            self.weigh(core, Evidence::ArchiveHeader(name));
        }
        if send.multi_platform {
            self.weigh(core, Evidence::MultiPlatformHeader);
        }
    }

    /// Takes a piece of evidence. The first decision stands, but what the sender's first bytes
    /// say stands above what was expected of them.
    fn weigh(&mut self, core: &mut Core, evidence: Evidence) {
        let Some(decision) = evidence.decide() else {
            return;
        };
        let bytes_speak = matches!(evidence, Evidence::FirstByte(_));
        let Some(transfer) = core.trace.transfers.get_mut(self.transfer) else {
            return;
        };
        let agrees = self.flavour == decision.flavour;
        let before = self.flavour;
        if self.flavour == Flavour::Unknown || (bytes_speak && !agrees) {
            self.flavour = decision.flavour;
            transfer.flavour = decision.flavour;
            transfer.evidence.insert(0, decision.because);
            core.update(Update::TransferDecided(self.transfer));
        } else if agrees && !transfer.evidence.contains(&decision.because) {
            transfer.evidence.push(decision.because);
        }
        if bytes_speak && !agrees && before != Flavour::Unknown {
            doctor::flavour_contradicted(core, self.transfer, before);
        }
    }

    /// Bytes of a message.
    pub(super) fn body(&mut self, core: &mut Core, from: Side, body: &[u8]) {
        let Some(first) = body.first() else { return };
        if !std::mem::replace(&mut self.readers.get_mut(from).any, true) {
            if from == self.sender && !self.sender_spoke {
                self.sender_spoke = true;
                self.weigh(core, Evidence::FirstByte(*first));
            } else if from != self.sender {
                self.weigh(core, Evidence::ReceiverSpoke);
            }
        }
        let redaction = core.options.redact.as_ref();
        let drop = redaction.is_some_and(|redaction| redaction.rules.drop_file_contents);
        let look = redaction.is_some_and(|redaction| !redaction.rules.patterns.is_empty());
        if core.options.messages {
            self.readers.get_mut(from).keep(body);
        }
        let Reader {
            packet,
            slices,
            message,
            archive,
            files,
            error,
            zeros: ending,
            ..
        } = self.readers.get_mut(from);
        if look {
            message.feed(core, from, body);
        }
        match self.flavour {
            Flavour::Packet => packet.feed(body, |kind, id, data| match kind {
                PacketType::Err if error.bytes.len() > ERROR_BYTES => core.blank(data),
                PacketType::Err if core.redacts() => error.append(data, core.locate(data)),
                PacketType::Data if drop => core.blank(data),
                PacketType::Data if look => files.feed(core, from, id, data),
                _ => {}
            }),
            Flavour::Bytes | Flavour::Unknown => slices.feed(body, |slice| {
                *ending = zeros(*ending, slice);
                if drop {
                    core.blank(slice);
                } else if look {
                    archive.feed(core, from, slice);
                }
            }),
        }
    }

    /// The message is complete.
    pub(super) fn end_message(&mut self, core: &mut Core, from: Side) -> Content {
        let empty = !std::mem::take(&mut self.readers.get_mut(from).any);
        if from == self.sender && !self.sender_spoke && empty {
            self.sender_spoke = true;
            self.weigh(core, Evidence::EmptyFirstMessage);
        }
        let since = std::mem::replace(&mut self.last, core.now);
        let flavour = self.flavour;
        let reader = self.readers.get_mut(from);
        reader.mask(core, from);
        if flavour != Flavour::Packet {
            let payload = reader.slices.finish();
            if from == self.sender {
                let now = core.now;
                let ends = reader.zeros >= ARCHIVE_END;
                if let Some(transfer) = core.trace.transfers.get_mut(self.transfer) {
                    transfer.bytes = transfer.bytes.saturating_add(payload);
                    transfer.archive_end = ends.then_some(now);
                }
            } else if flavour == Flavour::Bytes {
                doctor::receiver_spoke(core, self.transfer);
            }
            let body = self.readers.get_mut(from).kept(KEPT_OF_CONTENTS);
            self.waited(core, since, from, Awaited::Slice);
            return Content::Bytes { payload, body };
        }
        match reader.packet.finish() {
            Ok(mut packet) => {
                if packet.kind == PacketType::Data && packet.data == 0 {
                    reader.files.end(packet.id);
                }
                let show = core.options.show_secrets;
                let limit = match packet.kind {
                    PacketType::Data => KEPT_OF_CONTENTS,
                    _ => KEPT,
                };
                let body = reader.kept(limit);
                packet.text = packet.text.map(|text| masked::text(show, &text));
                let path = path_of(core, self.transfer, &packet);
                self.waited(core, since, from, Awaited::Packet(packet.kind));
                self.packet(core, from, &packet);
                Content::Packet { packet, path, body }
            }
            Err(malformed) => {
                let body = reader.kept(KEPT);
                doctor::malformed_packet(core, self.transfer, from, &malformed);
                Content::Bytes { payload: 0, body }
            }
        }
    }

    /// `from` has said something, after nobody had since `since`.
    fn waited(&self, core: &mut Core, since: Time, from: Side, awaited: Awaited) {
        let transfer = core.trace.transfers.get(self.transfer);
        let call = transfer.and_then(|row| core.trace.calls.get(row.call));
        if let Some((call, connection)) = call.map(|call| (call.id, call.connection)) {
            core.waited(connection, Some(call), since, from, awaited);
        }
    }

    fn packet(&mut self, core: &mut Core, from: Side, packet: &Packet) {
        let now = core.now;
        let Some(transfer) = core.trace.transfers.get_mut(self.transfer) else {
            return;
        };
        let machine = &mut transfer.machine;
        let before = machine.entry_bytes();
        let room = core
            .options
            .limits
            .entry_bytes
            .saturating_sub(core.entry_bytes);
        let step = machine.packet(now, from, packet, room);
        let grown = machine.entry_bytes().saturating_sub(before);
        core.entry_bytes = core.entry_bytes.saturating_add(grown);
        self.entry_bytes = self.entry_bytes.saturating_add(grown);
        transfer.bytes = machine.data_bytes();
        match step {
            Step::Moved => {}
            Step::FileDone(file) => {
                doctor::file_done(core, self.transfer, &file);
                core.update(Update::File(self.transfer, Box::new(file)));
            }
            Step::Complete => self.ended(core, TransferState::Complete, None),
            Step::Failed { by, text } => {
                doctor::error_packet(core, self.transfer, by, &text);
                self.ended(core, TransferState::Failed, Some(text));
            }
            Step::Violation(violation) => doctor::violation(core, self.transfer, from, &violation),
        }
    }

    /// Where the first byte of `from` stands of which it is not known yet whether it is masked.
    pub(super) fn undecided(&self, from: Side) -> Option<u64> {
        self.readers.get(from).undecided()
    }

    /// Masks what is undecided, as far as it may be secret.
    pub(super) fn give_up(&mut self, core: &mut Core) {
        for from in Side::BOTH {
            let reader = self.readers.get_mut(from);
            reader.mask(core, from);
            reader.archive.clear();
            reader.files.clear();
        }
    }

    /// `from` will send no more.
    pub(super) fn half_closed(&mut self, core: &mut Core, from: Side) {
        let reader = self.readers.get_mut(from);
        reader.archive.clear();
        reader.files.clear();
        if from == self.sender && !self.sender_spoke && self.flavour == Flavour::Unknown {
            self.weigh(core, Evidence::EndedEmpty);
        }
    }

    /// The call ended, and the transfer with it.
    pub(super) fn call_ended(&mut self, core: &mut Core, call: Id<Call>) {
        let Some(row) = core.trace.calls.get(call) else {
            self.ended(core, TransferState::Failed, None);
            return;
        };
        if core.trace.is_partial(row.connection) {
            // Its end may have been said where nothing could be read: it stays open.
            return;
        }
        let complete = row.state == CallState::Complete;
        let sender_ended = row.sent_by(self.sender).ended.is_some();
        let (code, error) = match (&row.status, &row.reset) {
            (Some(status), _) if status.code == 0 => (
                0,
                format!(
                    "it ended with OK before the {} had sent all of it",
                    self.sender
                ),
            ),
            (Some(status), _) => (status.code, status.message.clone()),
            (None, Some(reset)) => (0, describe_reset(reset)),
            (None, None) => (0, "it ended without a status".to_owned()),
        };
        /// The exporters of archives take it for success: the client has the content already.
        const ALREADY_EXISTS: u32 = 6;
        let state = match self.flavour {
            Flavour::Packet => TransferState::Failed,
            _ if complete && (code == 0 && sender_ended || code == ALREADY_EXISTS) => {
                TransferState::Complete
            }
            _ => TransferState::Failed,
        };
        self.ended(
            core,
            state,
            (state == TransferState::Failed).then_some(error),
        );
    }

    fn ended(&mut self, core: &mut Core, state: TransferState, error: Option<String>) {
        if std::mem::replace(&mut self.is_over, true) {
            return;
        }
        let now = core.now;
        self.give_up(core);
        if let Some(transfer) = core.trace.transfers.get_mut(self.transfer) {
            transfer.state = state;
            transfer.error = error;
            transfer.end = Some(now);
            core.update(Update::TransferEnded(self.transfer));
            doctor::transfer_ended(core, self.transfer);
        }
        core.entry_bytes = core
            .entry_bytes
            .saturating_sub(std::mem::take(&mut self.entry_bytes));
        if let Some(transfer) = core.trace.transfers.get_mut(self.transfer) {
            transfer.machine.forget_entries();
        }
    }
}

fn describe_reset(reset: &crate::trace::Reset) -> String {
    let by = reset.by.map_or("somebody", Side::as_str);
    match reset.code {
        Some(code) => {
            format!(
                "the {by} reset the stream ({})",
                crate::wire::http2::error_code_name(code)
            )
        }
        None => "the connection ended".to_owned(),
    }
}

fn pair(header: &(String, String)) -> (&str, &str) {
    (&header.0, &header.1)
}

/// The path of the entry that a packet refers to, if messages are wanted at all.
fn path_of(core: &Core, transfer: Id<Transfer>, packet: &Packet) -> Option<Box<str>> {
    // Only these two carry an id; that of a STAT is its place in the listing.
    let refers = matches!(packet.kind, PacketType::Req | PacketType::Data);
    if !refers || !core.options.messages {
        return None;
    }
    let transfer = core.trace.transfers.get(transfer)?;
    transfer.machine.entries().path(packet.id).map(Into::into)
}
