//! Both directions of one HTTP/2 connection.

use std::ops::Range;

use super::PREFACE;
use super::flow::{Flow, WINDOW_MAX};
use super::frame::{FrameHeader, FrameType, flags};
use super::header::{Header, Headers};
use crate::event::Side;
use crate::limits::Limits;
use crate::origin::{Joined, Origins};
use crate::wire::hpack;

/// Payload bytes of a control frame that are kept: GOAWAY debug data is the only long one.
const CONTROL_LIMIT: usize = 16 << 10;
/// A frame length above this is not HTTP/2: nobody announces a MAX_FRAME_SIZE so large here,
/// and following it would mean skipping whatever comes.
const FRAME_LIMIT: u32 = (1 << 24) - 1;

const HEADER_TABLE_SIZE: u16 = 1;
const INITIAL_WINDOW_SIZE: u16 = 4;

/// Hears what is said on a connection, in order.
#[allow(unused_variables)]
pub trait Handler {
    /// A frame began; called for every frame, before what it means.
    fn frame(&mut self, from: Side, header: &FrameHeader) {}
    /// The payload of a control frame (RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE) is complete, as far as it
    /// is kept; before what it means.
    fn control(&mut self, from: Side, header: &FrameHeader, payload: &[u8]) {}
    /// A header block is complete.
    fn headers(&mut self, from: Side, stream_id: u32, headers: Headers, end_stream: bool);
    /// Bytes of a stream, without padding; never empty.
    fn data(&mut self, from: Side, stream_id: u32, bytes: &[u8]);
    /// A DATA frame is complete; `window` is what `from` may still send on the stream.
    fn data_end(&mut self, from: Side, stream_id: u32, end_stream: bool, window: i64);
    /// A stream was reset.
    fn rst_stream(&mut self, from: Side, stream_id: u32, code: u32);
    /// Parameters of `from`, in order.
    fn settings(&mut self, from: Side, parameters: &[(u16, u32)]) {}
    /// `from` will take no more streams.
    fn goaway(&mut self, from: Side, last_stream_id: u32, code: u32, debug: &[u8]) {}
    /// A ping or, with `ack`, its answer.
    fn ping(&mut self, from: Side, ack: bool, payload: u64) {}
    /// What `to` may send on a stream (or, for stream 0, on the connection) changed.
    fn window(&mut self, to: Side, stream_id: u32, window: i64) {}
    /// A rule was broken. If it is fatal, what `from` sends is passed over from here.
    fn violation(&mut self, from: Side, violation: Violation);
    /// A field of a header block, before the block as a whole; also of one that breaks later.
    fn field(&mut self, from: Side, field: &hpack::Field<'_>, block: &Block<'_>) {}
    /// Bytes of `from` that are passed over: nobody knows what they are.
    fn passed_over(&mut self, from: Side, bytes: &[u8]) {}
    /// Where bytes that were fed stand in the stream of their side, if somebody wants to know.
    fn locate(&self, bytes: &[u8]) -> Option<u64> {
        None
    }
}

/// A header block as it stood on the wire, put together.
#[derive(Clone, Copy, Debug)]
pub struct Block<'a> {
    /// Its bytes.
    pub bytes: &'a [u8],
    pub(crate) origins: &'a Origins,
}

/// A rule that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Violation {
    /// The HTTP/2 client did not begin with the preface.
    NoPreface {
        /// The first bytes it sent instead.
        first: Vec<u8>,
    },
    /// A header block could not be decompressed.
    Hpack(hpack::Error),
    /// A header block that is longer than what is kept.
    HeaderBlockTooLong,
    /// A frame in the middle of a header block, or a CONTINUATION outside of one or of another
    /// stream's.
    Interleaved(FrameType),
    /// A frame whose length does not fit its type, or its padding.
    FrameSize {
        /// The type.
        kind: FrameType,
        /// The length.
        length: u32,
    },
    /// A WINDOW_UPDATE of nothing, or beyond the largest window there may be.
    WindowUpdate {
        /// The stream, or 0 for the connection.
        stream_id: u32,
        /// By how much.
        increment: u32,
    },
    /// The first frame of a side is not SETTINGS: this is hardly HTTP/2.
    NoSettings {
        /// The first nine bytes.
        first: [u8; FrameHeader::LEN],
    },
}

impl FrameHeader {
    fn bad_size(&self) -> Violation {
        Violation::FrameSize {
            kind: self.kind,
            length: self.length,
        }
    }
}

impl Violation {
    /// Whether what follows cannot be understood.
    pub fn is_fatal(&self) -> bool {
        match self {
            Violation::NoPreface { .. }
            | Violation::Hpack(_)
            | Violation::HeaderBlockTooLong
            | Violation::NoSettings { .. } => true,
            Violation::Interleaved(_)
            | Violation::FrameSize { .. }
            | Violation::WindowUpdate { .. } => false,
        }
    }
}

/// Both directions of one HTTP/2 connection.
#[derive(Debug)]
pub struct Connection {
    client: Side,
    halves: [Half; 2],
    flow: Flow,
    header_block_limit: usize,
}

/// What one side sends.
#[derive(Debug)]
struct Half {
    state: State,
    hpack: hpack::Decoder,
    saw_settings: bool,
    /// The header block that is being joined, and what began it.
    block: Joined,
    block_of: Option<FrameHeader>,
    /// The payload of a control frame that is being read.
    payload: Joined,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// The preface is being read; so many bytes matched.
    Preface(usize),
    /// A frame header is being read.
    FrameHeader {
        bytes: [u8; FrameHeader::LEN],
        have: usize,
    },
    /// The pad length of a DATA frame comes next.
    PadLength(FrameHeader),
    /// DATA goes on: so many bytes of data, then so many of padding.
    Data {
        header: FrameHeader,
        data: u32,
        padding: u32,
    },
    /// The payload of a frame that is kept until complete.
    Payload { header: FrameHeader, remaining: u32 },
    /// A payload that is passed over.
    Skip { remaining: u32 },
    /// Everything is passed over.
    Lost,
}

const AT_FRAME: State = State::FrameHeader {
    bytes: [0; FrameHeader::LEN],
    have: 0,
};

impl Connection {
    /// A connection on which `client` is the HTTP/2 client: the side that sends the preface.
    pub fn new(client: Side, limits: &Limits) -> Self {
        let half = |side: Side| Half {
            state: if side == client {
                State::Preface(0)
            } else {
                AT_FRAME
            },
            hpack: hpack::Decoder::new(4096),
            saw_settings: false,
            block: Joined::default(),
            block_of: None,
            payload: Joined::default(),
        };
        Connection {
            client,
            halves: [half(Side::Client), half(Side::Daemon)],
            flow: Flow::new(limits.streams),
            header_block_limit: limits.header_block,
        }
    }

    /// Who is the HTTP/2 client.
    pub fn client(&self) -> Side {
        self.client
    }

    fn half(&mut self, side: Side) -> &mut Half {
        let [client, daemon] = &mut self.halves;
        match side {
            Side::Client => client,
            Side::Daemon => daemon,
        }
    }

    /// What `side` may still send on the connection.
    pub fn window(&self, side: Side) -> i64 {
        self.flow.connection(side)
    }

    /// What `side` may still send on a stream.
    pub fn stream_window(&self, side: Side, stream_id: u32) -> i64 {
        self.flow.stream(side, stream_id)
    }

    /// The header block of `side` that is not complete: what there is of it.
    pub(crate) fn unfinished(&self, side: Side) -> impl Iterator<Item = &Joined> {
        let [client, daemon] = &self.halves;
        let half = match side {
            Side::Client => client,
            Side::Daemon => daemon,
        };
        let block = half.block_of.is_some().then_some(&half.block);
        let of_block = |kind| {
            matches!(
                kind,
                FrameType::Headers | FrameType::Continuation | FrameType::PushPromise
            )
        };
        let payload = match half.state {
            State::Payload { header, .. } if of_block(header.kind) => Some(&half.payload),
            _ => None,
        };
        block.into_iter().chain(payload)
    }

    /// Gives up on what `side` sends: bytes are missing.
    pub fn lose(&mut self, side: Side) {
        let half = self.half(side);
        half.state = State::Lost;
        half.hpack.poison();
    }

    /// Takes bytes of one side.
    pub fn feed(&mut self, from: Side, mut bytes: &[u8], handler: &mut impl Handler) {
        while !bytes.is_empty() {
            bytes = self.step(from, bytes, handler);
        }
    }

    /// Takes one step with at least one byte; gives the rest.
    fn step<'a>(&mut self, from: Side, bytes: &'a [u8], handler: &mut impl Handler) -> &'a [u8] {
        let half = self.half(from);
        match half.state {
            State::Preface(matched) => {
                let expected = PREFACE.get(matched..).unwrap_or_default();
                let same = bytes
                    .iter()
                    .zip(expected)
                    .take_while(|(a, b)| a == b)
                    .count();
                let rest = bytes.get(same..).unwrap_or_default();
                if same == expected.len() {
                    half.state = AT_FRAME;
                } else if rest.is_empty() {
                    half.state = State::Preface(matched.saturating_add(same));
                } else {
                    let first = [
                        PREFACE.get(..matched).unwrap_or_default(),
                        bytes.get(..24).unwrap_or(bytes),
                    ]
                    .concat();
                    handler.passed_over(from, bytes);
                    return self.fail(from, Violation::NoPreface { first }, handler);
                }
                rest
            }
            State::FrameHeader {
                bytes: mut head,
                have,
            } => {
                // The whole header in this chunk is the rule; otherwise collect it.
                if have == 0
                    && let Some((whole, rest)) = bytes.split_first_chunk::<{ FrameHeader::LEN }>()
                {
                    self.frame_header(from, whole, handler);
                    return rest;
                }
                let space = head.get_mut(have..).unwrap_or_default();
                let take = space.len().min(bytes.len());
                let (taken, rest) = bytes.split_at_checked(take).unwrap_or((bytes, &[]));
                for (to, byte) in space.iter_mut().zip(taken) {
                    *to = *byte;
                }
                let have = have.saturating_add(take);
                if have == FrameHeader::LEN {
                    self.frame_header(from, &head, handler);
                } else {
                    half.state = State::FrameHeader { bytes: head, have };
                }
                rest
            }
            State::PadLength(header) => {
                let (padding, rest) = bytes
                    .split_first()
                    .map_or((0, bytes), |(first, rest)| (u32::from(*first), rest));
                let left = header.length.saturating_sub(1);
                if padding > left {
                    handler.violation(from, header.bad_size());
                }
                let padding = padding.min(left);
                self.data(from, header, left.saturating_sub(padding), padding, handler);
                rest
            }
            State::Data {
                header,
                data,
                padding,
            } => {
                if data > 0 {
                    let (now, rest) = split(bytes, data);
                    handler.data(from, header.stream_id, now);
                    self.data(
                        from,
                        header,
                        data.saturating_sub(now.len() as u32),
                        padding,
                        handler,
                    );
                    rest
                } else {
                    let (now, rest) = split(bytes, padding);
                    self.data(
                        from,
                        header,
                        0,
                        padding.saturating_sub(now.len() as u32),
                        handler,
                    );
                    rest
                }
            }
            State::Payload { header, remaining } => {
                let (now, rest) = split(bytes, remaining);
                let keep = match header.kind {
                    FrameType::Headers | FrameType::Continuation | FrameType::PushPromise => {
                        usize::MAX
                    }
                    _ => CONTROL_LIMIT,
                };
                let room = keep.saturating_sub(half.payload.bytes.len());
                let kept = now.get(..room).unwrap_or(now);
                half.payload.append(kept, handler.locate(kept));
                let remaining = remaining.saturating_sub(now.len() as u32);
                half.state = State::Payload { header, remaining };
                if remaining == 0 {
                    self.payload_complete(from, header, handler);
                }
                rest
            }
            State::Skip { remaining } => {
                let (now, rest) = split(bytes, remaining);
                let remaining = remaining.saturating_sub(now.len() as u32);
                half.state = if remaining == 0 {
                    AT_FRAME
                } else {
                    State::Skip { remaining }
                };
                rest
            }
            State::Lost => {
                handler.passed_over(from, bytes);
                &[]
            }
        }
    }

    fn fail<'a>(
        &mut self,
        from: Side,
        violation: Violation,
        handler: &mut impl Handler,
    ) -> &'a [u8] {
        if violation.is_fatal() {
            self.lose(from);
        }
        handler.violation(from, violation);
        &[]
    }

    fn frame_header(
        &mut self,
        from: Side,
        bytes: &[u8; FrameHeader::LEN],
        handler: &mut impl Handler,
    ) {
        let header = FrameHeader::parse(bytes);
        let limit = self.header_block_limit;
        let half = self.half(from);
        if !half.saw_settings
            && (header.kind != FrameType::Settings || header.length >= FRAME_LIMIT)
        {
            self.fail(from, Violation::NoSettings { first: *bytes }, handler);
            return;
        }
        half.saw_settings = true;
        handler.frame(from, &header);
        let continued = half.block_of.map(|began| began.stream_id);
        let fits = match header.kind {
            FrameType::Continuation => continued == Some(header.stream_id),
            _ => continued.is_none(),
        };
        if !fits {
            handler.violation(from, Violation::Interleaved(header.kind));
            // Other frames change nothing for the block, and a CONTINUATION goes on with it,
            // whatever its stream. But if a part of a block has no place, the table is lost.
            match header.kind {
                FrameType::Continuation if continued.is_none() => {
                    half.hpack.poison();
                    half.state = skip(header.length);
                    return;
                }
                FrameType::Headers | FrameType::PushPromise => {
                    half.hpack.poison();
                    half.block_of = None;
                }
                _ => {}
            }
        }
        match header.kind {
            FrameType::Data if header.has(flags::PADDED) && header.length > 0 => {
                half.state = State::PadLength(header);
            }
            FrameType::Data => self.data(from, header, header.length, 0, handler),
            FrameType::Priority | FrameType::Other(_) => half.state = skip(header.length),
            _ => {
                let before = match header.kind {
                    FrameType::Headers | FrameType::PushPromise => Some(0),
                    FrameType::Continuation => Some(half.block.bytes.len()),
                    _ => None,
                };
                let too_long = before
                    .is_some_and(|before| before.saturating_add(header.length as usize) > limit);
                if too_long {
                    self.fail(from, Violation::HeaderBlockTooLong, handler);
                    return;
                }
                half.payload.clear();
                half.state = State::Payload {
                    header,
                    remaining: header.length,
                };
                if header.length == 0 {
                    self.payload_complete(from, header, handler);
                }
            }
        }
    }

    /// Goes on with a DATA frame of which so many bytes of data and padding are still to come.
    fn data(
        &mut self,
        from: Side,
        header: FrameHeader,
        data: u32,
        padding: u32,
        handler: &mut impl Handler,
    ) {
        if data > 0 || padding > 0 {
            self.half(from).state = State::Data {
                header,
                data,
                padding,
            };
            return;
        }
        self.half(from).state = AT_FRAME;
        // Padding and its length count for flow control too (RFC 9113 §6.9.1).
        self.flow.sent(from, header.stream_id, header.length);
        if header.length > 0 {
            handler.window(from, 0, self.flow.connection(from));
        }
        let window = self.flow.stream(from, header.stream_id);
        let end_stream = header.has(flags::END_STREAM);
        handler.data_end(from, header.stream_id, end_stream, window);
        if end_stream {
            self.flow.end(from, header.stream_id);
        }
    }

    fn payload_complete(&mut self, from: Side, header: FrameHeader, handler: &mut impl Handler) {
        let half = self.half(from);
        half.state = AT_FRAME;
        let payload = std::mem::take(&mut half.payload);
        let octets = payload.bytes.as_slice();
        let exact = match header.kind {
            FrameType::RstStream | FrameType::WindowUpdate => header.length == 4,
            FrameType::Ping => header.length == 8,
            FrameType::Settings => {
                header.length.is_multiple_of(6) && (header.length == 0 || !header.has(flags::ACK))
            }
            FrameType::GoAway => header.length >= 8,
            _ => true,
        };
        if !exact {
            handler.violation(from, header.bad_size());
        }
        if header.kind.is_control() {
            handler.control(from, &header, octets);
        }
        match header.kind {
            FrameType::Headers | FrameType::PushPromise => match fragment(&header, octets) {
                Some(fragment) => {
                    half.block.clear();
                    half.block.append_part(&payload, fragment);
                    half.block_of = Some(header);
                    if header.has(flags::END_HEADERS) {
                        self.block_complete(from, handler);
                    }
                }
                None => {
                    // Whatever it was, the sender's table has it.
                    half.hpack.poison();
                    handler.violation(from, header.bad_size());
                }
            },
            FrameType::Continuation => {
                half.block.append_part(&payload, 0..octets.len());
                if header.has(flags::END_HEADERS) {
                    self.block_complete(from, handler);
                }
            }
            FrameType::RstStream => {
                if let Some(code) = octets.first_chunk() {
                    handler.rst_stream(from, header.stream_id, u32::from_be_bytes(*code));
                    self.flow.reset(header.stream_id);
                }
            }
            FrameType::Settings => self.settings(from, &header, octets, handler),
            FrameType::Ping => {
                if let Some(opaque) = octets.first_chunk() {
                    handler.ping(from, header.has(flags::ACK), u64::from_be_bytes(*opaque));
                }
            }
            FrameType::GoAway => {
                if let Some((&[a, b, c, d, e, f, g, h], debug)) = octets.split_first_chunk::<8>() {
                    let last_stream_id = u32::from_be_bytes([a & 0x7f, b, c, d]);
                    let code = u32::from_be_bytes([e, f, g, h]);
                    handler.goaway(from, last_stream_id, code, debug);
                }
            }
            FrameType::WindowUpdate => {
                if let Some(&[a, b, c, d]) = octets.first_chunk() {
                    let increment = u32::from_be_bytes([a & 0x7f, b, c, d]);
                    self.window_update(from, header.stream_id, increment, handler);
                }
            }
            FrameType::Data | FrameType::Priority | FrameType::Other(_) => {}
        }
        // The buffer is used again.
        self.half(from).payload = payload;
    }

    fn window_update(
        &mut self,
        from: Side,
        stream_id: u32,
        increment: u32,
        handler: &mut impl Handler,
    ) {
        let to = from.peer();
        let window = self.flow.update(to, stream_id, increment);
        // What is not seen of a side is not counted either.
        let is_counted = !matches!(self.half(to).state, State::Lost);
        let overflows = is_counted && window.is_some_and(|window| window > WINDOW_MAX);
        if increment == 0 || overflows {
            let violation = Violation::WindowUpdate {
                stream_id,
                increment,
            };
            handler.violation(from, violation);
        }
        if let Some(window) = window {
            handler.window(to, stream_id, window);
        }
    }

    fn settings(
        &mut self,
        from: Side,
        header: &FrameHeader,
        payload: &[u8],
        handler: &mut impl Handler,
    ) {
        if header.has(flags::ACK) {
            return;
        }
        let parameters: Vec<(u16, u32)> = payload
            .chunks_exact(6)
            .filter_map(|pair| {
                let (number, value) = pair.split_first_chunk::<2>()?;
                Some((
                    u16::from_be_bytes(*number),
                    u32::from_be_bytes(*value.first_chunk()?),
                ))
            })
            .collect();
        let to = from.peer();
        for &(number, value) in &parameters {
            match number {
                // What `from` announces holds for what its peer sends. The peer follows it only
                // once it has read it; the difference is a round trip, and windows may go below 0.
                HEADER_TABLE_SIZE => {
                    self.half(to)
                        .hpack
                        .set_max_table_size(usize::try_from(value).unwrap_or(usize::MAX));
                }
                INITIAL_WINDOW_SIZE => {
                    self.flow.set_initial(to, value, |stream_id, window| {
                        handler.window(to, stream_id, window);
                    });
                }
                _ => {}
            }
        }
        handler.settings(from, &parameters);
    }

    fn block_complete(&mut self, from: Side, handler: &mut impl Handler) {
        let half = self.half(from);
        let Some(began) = half.block_of.take() else {
            return;
        };
        let block = std::mem::take(&mut half.block);
        let mut headers = Headers {
            fields: Vec::new(),
            block_bytes: block.bytes.len(),
        };
        let seen = Block {
            bytes: &block.bytes,
            origins: &block.origins,
        };
        let decoded = half.hpack.decode(seen.bytes, |field| {
            handler.field(from, &field, &seen);
            headers.fields.push(Header {
                name: String::from_utf8_lossy(field.name).into_owned(),
                value: String::from_utf8_lossy(field.value).into_owned(),
                never_indexed: field.never_indexed,
            });
        });
        half.block = block;
        match decoded {
            Err(error) => {
                self.fail(from, Violation::Hpack(error), handler);
            }
            // A promise only matters for the table; nobody here pushes.
            Ok(()) if began.kind == FrameType::PushPromise => {}
            Ok(()) => {
                let (stream_id, end_stream) = (began.stream_id, began.has(flags::END_STREAM));
                self.flow.open(stream_id);
                handler.headers(from, stream_id, headers, end_stream);
                if end_stream {
                    self.flow.end(from, stream_id);
                }
            }
        }
    }
}

/// Passes over a payload of this length.
fn skip(length: u32) -> State {
    match length {
        0 => AT_FRAME,
        remaining => State::Skip { remaining },
    }
}

/// Up to `limit` bytes, and the rest.
fn split(bytes: &[u8], limit: u32) -> (&[u8], &[u8]) {
    let at = usize::try_from(limit)
        .unwrap_or(usize::MAX)
        .min(bytes.len());
    bytes.split_at_checked(at).unwrap_or((bytes, &[]))
}

/// The header block fragment in the payload of HEADERS or PUSH_PROMISE: without padding,
/// priority and promised stream.
fn fragment(header: &FrameHeader, payload: &[u8]) -> Option<Range<usize>> {
    let mut rest = payload;
    let mut padding = 0;
    if header.has(flags::PADDED) {
        let (pad_length, after) = rest.split_first()?;
        padding = usize::from(*pad_length);
        rest = after;
    }
    if header.kind == FrameType::Headers && header.has(flags::PRIORITY) {
        rest = rest.get(5..)?;
    }
    if header.kind == FrameType::PushPromise {
        rest = rest.get(4..)?;
    }
    let start = payload.len().checked_sub(rest.len())?;
    Some(start..payload.len().checked_sub(padding)?).filter(|part| part.start <= part.end)
}
