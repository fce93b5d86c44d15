//! gRPC messages by their schemas.

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};

use super::raw::{Slot, SlotKind, end_of_open, masked_in_fields, slots};
use super::text::Held;
use super::{FILL, Redactor, Rules, Settled, settle};
use crate::describe::descriptor;
use crate::describe::secrets::{self, Rule, is_of_secret_package};
use crate::protocol::llb;
use crate::protocol::mask::{announces_secret, is_secret_attribute, is_secret_name};

/// How many messages are looked into within each other, the outermost included.
const MAX_DEPTH: usize = 32;

/// The calls with nothing in their messages that could be masked: questions and answers without
/// text, and a connection inside the connection, whose units are redacted as its own.
const WITHOUT: [&str; 3] = [
    "/grpc.health.v1.",
    "/grpc.reflection.",
    "/moby.buildkit.v1.Control/Session",
];

/// The calls whose messages hold nothing but contents of files: the bytes of an archive.
const ARCHIVES: [&str; 1] = ["/moby.upload.v1.Upload/"];

/// The calls whose messages hold contents of files, or say something else.
const MIXED: [&str; 2] = ["/moby.filesync.v1.FileSync/", "/moby.filesync.v1.FileSend/"];

/// Whether messages of calls to `path` can hold anything that [`message`](super::message) would
/// patch. Those of others need not be put together.
pub fn concerns(rules: &Rules, path: &str) -> bool {
    let of = |paths: &[&str]| paths.iter().any(|start| starts_with(path, start));
    if of(&WITHOUT) {
        return !rules.patterns.is_empty() && !starts_with(path, "/moby.buildkit.v1.Control/");
    }
    !of(&ARCHIVES) || rules.drop_file_contents || !rules.patterns.is_empty()
}

/// Whether a message of calls to `path` that begins with `beginning`, of which two bytes are
/// enough, is nothing but contents of files, which are left alone under these rules: it need not
/// be put together.
pub fn is_contents(rules: &Rules, path: &str, beginning: &[u8]) -> bool {
    /// Field 1, a type: DATA.
    const DATA_PACKET: [u8; 2] = [1 << 3, 2];
    /// Field 1, bytes.
    const BYTES: u8 = 1 << 3 | 2;
    let mixed = MIXED.iter().any(|start| starts_with(path, start));
    let contents = beginning.starts_with(&DATA_PACKET) || beginning.first() == Some(&BYTES);
    mixed && contents && !rules.drop_file_contents && rules.patterns.is_empty()
}

fn starts_with(path: &str, start: &str) -> bool {
    path.get(..start.len())
        .is_some_and(|beginning| beginning.eq_ignore_ascii_case(start))
}

/// Why a message was not gone through to its end: it does not fit its schema.
struct Unfit;

/// What is known of a value from what stands around it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Known {
    Nothing,
    Secret,
    Contents,
}

impl Redactor<'_> {
    /// A message of a call.
    pub(super) fn message(&self, path: &str, request: bool, body: &mut [u8], cut: bool) {
        let schemas = self.schemas();
        let descriptor = descriptor(&schemas, path, request, body);
        let Some(descriptor) = descriptor else {
            match secrets::is_secret_service(path) {
                true => body.fill(0),
                false => self.settled(body, |this, body| this.raw_message(body)),
            }
            return;
        };
        let hides = || secrets::may_hold_secrets(&descriptor);
        let mut fits = true;
        self.settled(body, |this, body| {
            let fit = this.fields(&descriptor, body, MAX_DEPTH).is_ok();
            fits &= fit;
            if !(fit || cut || hides()) {
                this.raw_message(body);
            }
        });
        if !(fits || cut) && hides() {
            body.fill(0);
        }
    }

    /// `google.rpc.Status`, with its details.
    pub(super) fn status(&self, body: &mut [u8]) {
        self.known_message("google.rpc.Status", body);
    }

    /// `moby.buildkit.v1.StatusResponse`: the progress of a build.
    pub(super) fn status_response(&self, body: &mut [u8]) {
        self.known_message("moby.buildkit.v1.StatusResponse", body);
    }

    fn known_message(&self, name: &str, body: &mut [u8]) {
        let descriptor = self.schemas().message(name);
        self.settled(body, |this, body| {
            let fits = descriptor
                .as_ref()
                .map(|it| this.fields(it, body, MAX_DEPTH));
            if !matches!(fits, Some(Ok(()))) {
                this.raw_message(body);
            }
        });
    }

    fn settled(&self, body: &mut [u8], mut pass: impl FnMut(&Self, &mut [u8])) {
        let pass = |body: &mut [u8]| {
            masked_in_fields(body, &self.matches(body), MAX_DEPTH);
            pass(self, body);
        };
        if settle(body, pass) == Settled::No {
            body.fill(0);
        }
    }

    /// The fields of a message.
    fn fields(
        &self,
        message: &MessageDescriptor,
        body: &mut [u8],
        depth: usize,
    ) -> Result<(), Unfit> {
        let depth = depth.checked_sub(1).ok_or(Unfit)?;
        let (slots, whole) = slots(body);
        let name = message.full_name();
        if name == "google.protobuf.Any" {
            self.any(&slots, body, depth);
            return if whole { Ok(()) } else { Err(Unfit) };
        }
        let user = buildtap_proto::pool().get_message_by_name(name).is_none();
        let secret_value = has_secret_key(message, &slots, body);
        let error = is_error_packet(name, &slots);
        let mut fits = whole;
        // The number of a list whose last element announces the next.
        let mut announced = None;
        for slot in &slots {
            let Some(bytes) = body.get_mut(slot.at.clone()) else {
                continue;
            };
            let Some(field) = message.get_field(slot.number) else {
                announced = None;
                self.unknown(name, slot, bytes, depth);
                continue;
            };
            let known = match secrets::rule(name, slot.number) {
                Some(Rule::Secret) => Known::Secret,
                Some(Rule::Contents) if !error => Known::Contents,
                // Of our own messages we know; for a user's all there is, is the name.
                _ if user && is_secret_name(field.name()) && !is_word_key(&field) => Known::Secret,
                _ if secret_value && field.name() == "value" => Known::Secret,
                _ if announced == Some(slot.number) && !announces(bytes) => Known::Secret,
                _ => Known::Nothing,
            };
            let lists_words = field.is_list() && field.kind() == Kind::String;
            announced = (lists_words && announces(bytes)).then_some(slot.number);
            fits &= self.field(&field, slot, bytes, known, depth).is_ok();
        }
        if name == "pb.Meta" {
            self.arguments(&slots, body);
        }
        if fits { Ok(()) } else { Err(Unfit) }
    }

    fn field(
        &self,
        field: &FieldDescriptor,
        slot: &Slot,
        bytes: &mut [u8],
        known: Known,
        depth: usize,
    ) -> Result<(), Unfit> {
        let kind = field.kind();
        match (&kind, slot.kind) {
            (Kind::String, SlotKind::Len | SlotKind::Open) => {
                let valid = std::str::from_utf8(bytes).is_ok();
                match known {
                    Known::Secret => bytes.fill(FILL),
                    _ => self.string(bytes),
                }
                if slot.kind == SlotKind::Open {
                    end_of_open(bytes);
                }
                return if valid { Ok(()) } else { Err(Unfit) };
            }
            (Kind::Bytes, SlotKind::Len | SlotKind::Open) => {
                self.bytes_field(field, bytes, known, depth)?;
                if slot.kind == SlotKind::Open && known == Known::Nothing {
                    end_of_open(bytes);
                }
            }
            (Kind::Message(entry), SlotKind::Len | SlotKind::Open) if field.is_map() => {
                self.entry(entry, bytes, known, depth)?;
            }
            (Kind::Message(inner), SlotKind::Len | SlotKind::Open | SlotKind::Group) => match known
            {
                Known::Secret => self.blank_fields(bytes, depth),
                _ => self.fields(inner, bytes, depth)?,
            },
            (_, SlotKind::Group) => {
                self.raw_message(bytes);
                return Err(Unfit);
            }
            (Kind::String | Kind::Bytes | Kind::Message(_), _) => return Err(Unfit),
            // Numbers, of which there may be several in a row.
            (_, SlotKind::Len | SlotKind::Open) if !field.is_list() => {
                self.raw_value(bytes);
                return Err(Unfit);
            }
            (_, SlotKind::Len | SlotKind::Open | SlotKind::Varint(_) | SlotKind::Fixed) => {}
        }
        Ok(())
    }

    /// A string for people, or of base64.
    pub(super) fn string(&self, bytes: &mut [u8]) {
        self.text(bytes);
        if let Some(within) = self.within() {
            within.base64(bytes, Held::Anything);
        }
    }

    fn bytes_field(
        &self,
        field: &FieldDescriptor,
        bytes: &mut [u8],
        known: Known,
        depth: usize,
    ) -> Result<(), Unfit> {
        let message = field.parent_message();
        match (known, message.full_name(), field.number()) {
            (Known::Secret, ..) => bytes.fill(FILL),
            // The connection inside is redacted as such.
            (Known::Contents, "moby.buildkit.v1.BytesMessage", _) => {}
            (Known::Contents, ..) => match self.rules.drop_file_contents {
                true => bytes.fill(0),
                false => self.patterns(bytes),
            },
            (_, "pb.Definition", 1) => {
                if let Some(op) = message.parent_pool().get_message_by_name("pb.Op") {
                    self.fields(&op, bytes, depth)?;
                }
            }
            // The identifiers of traces and spans.
            (_, name, _) if name.starts_with("opentelemetry.") && bytes.len() <= 16 => {}
            _ => self.bytes(bytes),
        }
        Ok(())
    }

    /// An entry of a map.
    fn entry(
        &self,
        entry: &MessageDescriptor,
        bytes: &mut [u8],
        known: Known,
        depth: usize,
    ) -> Result<(), Unfit> {
        let depth = depth.checked_sub(1).ok_or(Unfit)?;
        let (slots, whole) = slots(bytes);
        let is_name = entry.map_entry_key_field().kind() == Kind::String;
        let value = entry.map_entry_value_field();
        let plain = matches!(value.kind(), Kind::String | Kind::Bytes);
        // The last one counts.
        let mut keys = slots.iter().rev().filter(|slot| slot.number == 1);
        let secret = is_name
            && plain
            && keys.next().is_some_and(|key| {
                let key = bytes.get(key.at.clone()).unwrap_or_default();
                is_secret_attribute(&String::from_utf8_lossy(key))
            });
        let known = match known {
            Known::Nothing if secret => Known::Secret,
            known => known,
        };
        let mut fits = whole;
        for slot in &slots {
            let (field, known) = match slot.number {
                1 => (entry.map_entry_key_field(), Known::Nothing),
                2 => (value.clone(), known),
                _ => continue,
            };
            if let Some(bytes) = bytes.get_mut(slot.at.clone()) {
                fits &= self.field(&field, slot, bytes, known, depth).is_ok();
            }
        }
        if fits { Ok(()) } else { Err(Unfit) }
    }

    /// A field that the schema does not have.
    fn unknown(&self, message: &str, slot: &Slot, bytes: &mut [u8], depth: usize) {
        match slot.kind {
            SlotKind::Len | SlotKind::Open | SlotKind::Group if is_of_secret_package(message) => {
                self.blank(bytes, slot.kind, depth);
            }
            SlotKind::Open => {
                self.raw_value(bytes);
                end_of_open(bytes);
            }
            SlotKind::Len => self.raw_value(bytes),
            SlotKind::Group => self.raw_message(bytes),
            SlotKind::Varint(_) | SlotKind::Fixed => {}
        }
    }

    /// `google.protobuf.Any`: a type, and a message or JSON.
    fn any(&self, slots: &[Slot], body: &mut [u8], depth: usize) {
        let of = |number| slots.iter().rev().find(move |slot| slot.number == number);
        let inner = of(1).and_then(|url| {
            let url = std::str::from_utf8(body.get(url.at.clone())?).ok()?;
            let name = url.rsplit('/').next()?;
            let name = name.strip_suffix("+json").unwrap_or(name);
            self.schemas().message(name)
        });
        for slot in slots.iter().filter(|slot| slot.kind.is_len()) {
            let Some(bytes) = body.get_mut(slot.at.clone()) else {
                continue;
            };
            let is_json = bytes.trim_ascii_start().first() == Some(&b'{');
            if slot.number != 2 || is_json {
                self.string(bytes);
                continue;
            }
            let fits = inner.as_ref().map(|it| self.fields(it, bytes, depth));
            if !matches!(fits, Some(Ok(()))) {
                self.raw_value(bytes);
            }
        }
    }

    /// What can be told only from several arguments of a command together.
    fn arguments(&self, slots: &[Slot], body: &mut [u8]) {
        let of_args = |slot: &&Slot| slot.number == 1 && slot.kind.is_len();
        let ranges = slots.iter().filter(of_args).map(|slot| slot.at.clone());
        let ranges: Vec<_> = ranges.collect();
        let copies = ranges.iter().map(|range| body.get(range.clone()));
        let mut copies: Vec<Vec<u8>> = copies.map(|arg| arg.unwrap_or_default().to_vec()).collect();
        let mut slices: Vec<&mut [u8]> = copies.iter_mut().map(Vec::as_mut_slice).collect();
        self.command(&mut slices);
        for (range, argument) in ranges.into_iter().zip(&copies) {
            if let Some(place) = body.get_mut(range) {
                place.copy_from_slice(argument);
            }
        }
    }

    /// The same for arguments that stand anywhere: masks what [`llb::command_line`] shows masked.
    pub(super) fn command(&self, arguments: &mut [&mut [u8]]) {
        let texts = arguments
            .iter()
            .map(|argument| std::str::from_utf8(argument));
        let Ok(texts) = texts.collect::<Result<Vec<&str>, _>>() else {
            return;
        };
        // A script was looked at as the text that it is.
        if llb::script(&texts).is_some() {
            return;
        }
        let (line, starts) = llb::command_line(&texts);
        let mut masked = line.clone().into_bytes();
        self.text(&mut masked);
        for (argument, start) in arguments.iter_mut().zip(starts) {
            let mut at = start;
            for byte in argument.iter_mut() {
                // A quote in quotes is written as four bytes, of which it is the third.
                let quote =
                    *byte == b'\'' && line.get(at..).is_some_and(|rest| rest.starts_with("'\\''"));
                let (origin, length) = if quote {
                    (at.saturating_add(2), 4)
                } else {
                    (at, 1)
                };
                if masked.get(origin) == Some(&FILL) {
                    *byte = FILL;
                }
                at = at.saturating_add(length);
            }
        }
    }
}

fn announces(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(announces_secret)
}

/// Whether a message is a name and a value, and the name is that of a secret: an attribute of a
/// span, a constraint of a policy.
fn has_secret_key(message: &MessageDescriptor, slots: &[Slot], body: &[u8]) -> bool {
    let name = |field| {
        let field = message.get_field_by_name(field)?;
        let slot = slots
            .iter()
            .rev()
            .find(|slot| slot.number == field.number())?;
        let name = body.get(slot.at.clone())?;
        (field.kind() == Kind::String).then(|| is_secret_name(&String::from_utf8_lossy(name)))
    };
    name("key").or_else(|| name("name")) == Some(true)
}

/// Whether a field called `key` is one of text, and so rather the name of something.
fn is_word_key(field: &FieldDescriptor) -> bool {
    field.name() == "key" && field.kind() == Kind::String
}

/// Whether a message is a `Packet` with an error's text in the place of contents.
fn is_error_packet(name: &str, slots: &[Slot]) -> bool {
    const PACKET_ERR: SlotKind = SlotKind::Varint(4);
    let mut kinds = slots.iter().rev().filter(|slot| slot.number == 1);
    name == "fsutil.types.Packet" && kinds.next().is_some_and(|slot| slot.kind == PACKET_ERR)
}
