//! Every message of every call, in little room: a row of forty bytes each, and the bytes of as
//! many as fit into a budget, the newest.

use std::collections::{HashMap, VecDeque};

use buildtap_decoder::event::{Side, Time};
use buildtap_decoder::trace::{self, Call, Content, Id};

/// Rows that are kept; when there are more, the oldest go.
const ROWS: usize = 4_000_000;
/// Bytes of messages that are kept, the newest.
const BYTES: usize = 160 << 20;
/// Bytes that are allocated, and forgotten, at a time.
const CHUNK: usize = 1 << 20;

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A protobuf message.
    Protobuf,
    /// An fsutil packet.
    Packet,
    /// A slice of an archive, of a tunnel or of a socket.
    Slice,
}

/// One message of a call.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// Its place among all messages that were seen, from 0.
    pub seq: u64,
    /// The number of its call.
    pub call: u64,
    /// When its last byte was sent.
    pub at: Time,
    /// Who sent it.
    pub from: Side,
    /// Its place among the messages of that side, from 1.
    pub number: u64,
    /// Its length in bytes, without the gRPC prefix.
    pub length: u64,
    /// What it is.
    pub kind: Kind,
    /// Its bytes as they were sent; `None` when they are not kept any more. Secrets are not masked
    /// in it.
    pub body: Option<&'a [u8]>,
    /// Whether there was more than `body`.
    pub cut: bool,
    /// For a packet: the path of the entry that it is about.
    pub path: Option<&'a str>,
}

#[derive(Clone, Copy, Debug)]
struct Row {
    at: Time,
    call: u32,
    number: u32,
    length: u32,
    /// Where its bytes are: the chunk, and where in it.
    chunk: u32,
    start: u32,
    kept: u32,
    /// Bytes of the path, which stands behind the body.
    path: u16,
    from: Side,
    kind: Kind,
    cut: bool,
}

/// The messages.
#[derive(Debug, Default)]
pub struct Messages {
    rows: VecDeque<Row>,
    gone: u64,
    calls: HashMap<u32, VecDeque<u64>>,
    chunks: VecDeque<Vec<u8>>,
    chunks_gone: u32,
    bytes: usize,
    /// Those of a call that were sent later are not shown.
    until: Option<Time>,
}

impl Messages {
    /// Adds one, the newest.
    pub fn add(&mut self, message: &trace::Message) {
        let (kind, body, path, cut) = match &message.content {
            Content::Protobuf { body, cut } => (Kind::Protobuf, body, None, *cut),
            Content::Packet { body, path, .. } => (Kind::Packet, body, path.as_deref(), false),
            Content::Bytes { body, .. } => (Kind::Slice, body, None, false),
        };
        let path = path.unwrap_or_default().as_bytes();
        let path = path.get(..usize::from(u16::MAX)).unwrap_or(path);
        let (chunk, start) = self.keep(body, path);
        let call = number(message.call.number());
        if self.rows.len() >= ROWS {
            self.forget();
        }
        let seq = self.gone + self.rows.len() as u64;
        self.rows.push_back(Row {
            at: message.at,
            call,
            number: number(message.number),
            length: number(message.length),
            chunk,
            start,
            kept: number(body.len() as u64),
            path: u16::try_from(path.len()).unwrap_or_default(),
            from: message.from,
            kind,
            cut: cut || (body.len() as u64) < message.length,
        });
        self.calls.entry(call).or_default().push_back(seq);
    }

    fn keep(&mut self, body: &[u8], path: &[u8]) -> (u32, u32) {
        let takes = body.len() + path.len();
        let fits = |chunk: &Vec<u8>| chunk.capacity() - chunk.len() >= takes;
        if !self.chunks.back().is_some_and(fits) {
            let size = takes.max(CHUNK);
            while self.bytes + size > BYTES
                && let Some(oldest) = self.chunks.pop_front()
            {
                self.bytes -= oldest.capacity();
                self.chunks_gone += 1;
            }
            let chunk = Vec::with_capacity(size);
            self.bytes += chunk.capacity();
            self.chunks.push_back(chunk);
        }
        let number = self.chunks_gone + self.chunks.len() as u32 - 1;
        let Some(chunk) = self.chunks.back_mut() else {
            return (number, 0);
        };
        let start = chunk.len() as u32;
        chunk.extend_from_slice(body);
        chunk.extend_from_slice(path);
        (number, start)
    }

    /// Forgets the oldest eighth.
    fn forget(&mut self) {
        for row in self.rows.drain(..ROWS / 8) {
            self.gone += 1;
            if let Some(of_call) = self.calls.get_mut(&row.call) {
                of_call.pop_front();
            }
        }
        self.calls.retain(|_, of_call| !of_call.is_empty());
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// How many were forgotten.
    pub fn gone(&self) -> u64 {
        self.gone
    }

    /// The message at this place of all.
    pub fn get(&self, seq: u64) -> Option<Message<'_>> {
        let row = self
            .rows
            .get(usize::try_from(seq.checked_sub(self.gone)?).ok()?)?;
        let kept = || {
            let chunk = self
                .chunks
                .get(row.chunk.checked_sub(self.chunks_gone)? as usize)?;
            let (_, from_here) = chunk.split_at_checked(row.start as usize)?;
            let (body, behind) = from_here.split_at_checked(row.kept as usize)?;
            Some((body, behind.get(..usize::from(row.path))?))
        };
        let (body, path) = kept().unzip();
        Some(Message {
            seq,
            call: row.call.into(),
            at: row.at,
            from: row.from,
            number: row.number.into(),
            length: row.length.into(),
            kind: row.kind,
            body,
            cut: row.cut,
            path: path
                .and_then(|path| std::str::from_utf8(path).ok())
                .filter(|path| !path.is_empty()),
        })
    }

    /// Lets those that are sent after `until` wait, or lets all of them be seen.
    pub fn hold(&mut self, until: Option<Time>) {
        self.until = until;
    }

    /// How many of a call are kept, and not held back.
    pub fn count(&self, call: Id<Call>) -> usize {
        let of_call = self.of(call);
        match self.until {
            None => of_call.map_or(0, VecDeque::len),
            Some(until) => of_call.map_or(0, |of_call| {
                of_call.partition_point(|seq| self.get(*seq).is_none_or(|it| it.at <= until))
            }),
        }
    }

    /// The message of a call at this place among those that are kept, in the order in which they
    /// were sent.
    pub fn of_call(&self, call: Id<Call>, place: usize) -> Option<Message<'_>> {
        self.get(*self.of(call)?.get(place)?)
    }

    /// The place among the kept messages of a call of the first that was sent at `at` or later.
    pub fn place_at(&self, call: Id<Call>, at: Time) -> usize {
        let Some(of_call) = self.of(call) else {
            return 0;
        };
        of_call.partition_point(|seq| self.get(*seq).is_some_and(|message| message.at < at))
    }

    fn of(&self, call: Id<Call>) -> Option<&VecDeque<u64>> {
        self.calls.get(&number(call.number()))
    }
}

fn number(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
