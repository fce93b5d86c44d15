//! Frames written by hand, and what is heard of them.

use proptest::prelude::*;

use super::*;
use crate::event::Side::{self, Client, Daemon};
use crate::limits::Limits;

const END_STREAM: u8 = flags::END_STREAM;
const END_HEADERS: u8 = flags::END_HEADERS;
const PADDED: u8 = flags::PADDED;
const PRIORITY: u8 = flags::PRIORITY;

/// Writes down what it hears; DATA of one frame is joined.
#[derive(Debug, Default)]
struct Log {
    lines: Vec<String>,
    data: Vec<u8>,
}

impl Handler for Log {
    fn headers(&mut self, from: Side, stream_id: u32, headers: Headers, end_stream: bool) {
        let fields: Vec<String> = headers
            .fields
            .iter()
            .map(|field| format!("{}={}", field.name, field.value))
            .collect();
        let end = if end_stream { " end" } else { "" };
        let fields = fields.join(" ");
        self.lines
            .push(format!("{from} {stream_id} headers {fields}{end}"));
    }

    fn data(&mut self, _: Side, _: u32, bytes: &[u8]) {
        assert!(!bytes.is_empty());
        self.data.extend_from_slice(bytes);
    }

    fn data_end(&mut self, from: Side, stream_id: u32, end_stream: bool, window: i64) {
        let data = String::from_utf8(std::mem::take(&mut self.data)).unwrap();
        let end = if end_stream { " end" } else { "" };
        self.lines.push(format!(
            "{from} {stream_id} data {data:?} window {window}{end}"
        ));
    }

    fn rst_stream(&mut self, from: Side, stream_id: u32, code: u32) {
        self.lines.push(format!(
            "{from} {stream_id} reset {}",
            error_code_name(code)
        ));
    }

    fn settings(&mut self, from: Side, parameters: &[(u16, u32)]) {
        if !parameters.is_empty() {
            self.lines.push(format!("{from} settings {parameters:?}"));
        }
    }

    fn goaway(&mut self, from: Side, last_stream_id: u32, code: u32, debug: &[u8]) {
        let debug = String::from_utf8_lossy(debug);
        let code = error_code_name(code);
        self.lines
            .push(format!("{from} goaway {last_stream_id} {code} {debug}"));
    }

    fn ping(&mut self, from: Side, ack: bool, payload: u64) {
        self.lines.push(format!("{from} ping {ack} {payload:x}"));
    }

    fn window(&mut self, to: Side, stream_id: u32, window: i64) {
        // The window of the connection after DATA is only noise here.
        if stream_id != 0 || window > WINDOW_DEFAULT {
            self.lines
                .push(format!("{to} {stream_id} may send {window}"));
        }
    }

    fn violation(&mut self, from: Side, violation: Violation) {
        self.lines.push(format!("{from} breaks {violation:?}"));
    }
}

fn frame(kind: u8, flags: u8, stream_id: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream_id.to_be_bytes());
    frame.extend(payload);
    frame
}

fn data(flags: u8, stream_id: u32, payload: &[u8]) -> Vec<u8> {
    frame(0, flags, stream_id, payload)
}

fn headers(flags: u8, stream_id: u32, payload: &[u8]) -> Vec<u8> {
    frame(1, flags, stream_id, payload)
}

fn settings(parameters: &[(u16, u32)]) -> Vec<u8> {
    let mut payload = Vec::new();
    for (number, value) in parameters {
        payload.extend(number.to_be_bytes());
        payload.extend(value.to_be_bytes());
    }
    frame(4, 0, 0, &payload)
}

fn window_update(stream_id: u32, increment: u32) -> Vec<u8> {
    frame(8, 0, stream_id, &increment.to_be_bytes())
}

/// `name: value`, to be put into the dynamic table (RFC 7541 §6.2.1).
fn indexed(name: &str, value: &str) -> Vec<u8> {
    let mut block = vec![0x40];
    for text in [name, value] {
        block.push(text.len() as u8);
        block.extend(text.as_bytes());
    }
    block
}

/// The newest entry of the dynamic table (RFC 7541 §6.1).
const NEWEST: &[u8] = &[0x80 | 62];

/// Both sides have begun; the client has opened stream 1.
struct Talk {
    connection: Connection,
    log: Log,
}

impl Talk {
    fn fresh() -> Self {
        let limits = Limits {
            header_block: 256,
            ..Limits::default()
        };
        Talk {
            connection: Connection::new(Client, &limits),
            log: Log::default(),
        }
    }

    fn new() -> Self {
        let mut talk = Self::fresh();
        talk.say(Client, PREFACE);
        talk.say(Client, &settings(&[]));
        talk.say(Daemon, &settings(&[]));
        let open = headers(END_HEADERS, 1, &indexed("a", "1"));
        talk.say(Client, &open);
        assert_eq!(talk.heard(), ["client 1 headers a=1"]);
        talk
    }

    fn say(&mut self, from: Side, bytes: &[u8]) -> &mut Self {
        self.connection.feed(from, bytes, &mut self.log);
        self
    }

    /// What was heard since this was last asked.
    fn heard(&mut self) -> Vec<String> {
        std::mem::take(&mut self.log.lines)
    }
}

#[test]
fn padding_is_left_out_and_counts_for_the_window() {
    let mut talk = Talk::new();
    talk.say(Client, &data(PADDED, 1, b"\x03abc\0\0\0"));
    talk.say(Client, &data(PADDED | END_STREAM, 1, b"\x00"));
    let padded = [b"\x02".as_slice(), NEWEST, b"\0\0"].concat();
    talk.say(Client, &headers(END_HEADERS | PADDED, 3, &padded));
    // Priority comes after the pad length.
    let both = [b"\x01\x80\0\0\0\x10".as_slice(), NEWEST, b"\0"].concat();
    talk.say(
        Client,
        &headers(END_HEADERS | PADDED | PRIORITY | END_STREAM, 5, &both),
    );
    assert_eq!(
        talk.heard(),
        [
            "client 1 data \"abc\" window 65528",
            "client 1 data \"\" window 65527 end",
            "client 3 headers a=1",
            "client 5 headers a=1 end",
        ]
    );
    assert_eq!(talk.connection.window(Client), WINDOW_DEFAULT - 8);
}

#[test]
fn padding_longer_than_its_frame() {
    let mut talk = Talk::new();
    talk.say(Client, &data(PADDED, 1, b"\x04abc"));
    assert_eq!(
        talk.heard(),
        [
            "client breaks FrameSize { kind: Data, length: 4 }",
            "client 1 data \"\" window 65531",
        ]
    );
    // In a header block something is lost for the table of the connection.
    talk.say(Client, &headers(END_HEADERS | PADDED, 3, b"\x09\x82"));
    talk.say(Client, &headers(END_HEADERS, 5, NEWEST));
    assert_eq!(
        talk.heard(),
        [
            "client breaks FrameSize { kind: Headers, length: 2 }",
            "client breaks Hpack(Poisoned)",
        ]
    );
}

#[test]
fn a_block_in_parts() {
    let mut talk = Talk::new();
    let block = [indexed("b", "2"), NEWEST.to_vec()].concat();
    talk.say(Client, &headers(END_STREAM, 3, &block[..2]));
    talk.say(Client, &frame(9, 0, 3, &block[2..3]));
    talk.say(Client, &frame(9, 0, 3, b""));
    assert_eq!(talk.heard(), [""; 0]);
    talk.say(Client, &frame(9, END_HEADERS, 3, &block[3..]));
    assert_eq!(talk.heard(), ["client 3 headers b=2 b=2 end"]);
}

#[test]
fn frames_in_the_middle_of_a_block() {
    let mut talk = Talk::new();
    let block = indexed("b", "2");
    talk.say(Client, &headers(0, 3, &block[..2]));
    // The peer's frames are no part of it.
    talk.say(Daemon, &data(0, 1, b"x"));
    talk.say(Client, &data(0, 1, b"y"));
    talk.say(Client, &frame(9, END_HEADERS, 5, &block[2..]));
    talk.say(Client, &headers(END_HEADERS, 7, NEWEST));
    assert_eq!(
        talk.heard(),
        [
            "daemon 1 data \"x\" window 65534",
            "client breaks Interleaved(Data)",
            "client 1 data \"y\" window 65534",
            "client breaks Interleaved(Continuation)",
            "client 3 headers b=2",
            "client 7 headers b=2",
        ]
    );
}

#[test]
fn a_block_that_is_given_up() {
    let mut talk = Talk::new();
    talk.say(Client, &headers(0, 3, &indexed("b", "2")));
    talk.say(Client, &headers(END_HEADERS, 5, NEWEST));
    talk.say(Client, &headers(END_HEADERS, 7, NEWEST));
    assert_eq!(
        talk.heard(),
        [
            "client breaks Interleaved(Headers)",
            "client breaks Hpack(Poisoned)"
        ]
    );
    let mut talk = Talk::new();
    talk.say(Client, &frame(9, END_HEADERS, 3, &indexed("b", "2")));
    talk.say(Client, &data(0, 1, b"still heard"));
    talk.say(Client, &headers(END_HEADERS, 5, NEWEST));
    assert_eq!(
        talk.heard(),
        [
            "client breaks Interleaved(Continuation)",
            "client 1 data \"still heard\" window 65524",
            "client breaks Hpack(Poisoned)"
        ]
    );
}

#[test]
fn header_blocks_have_a_limit() {
    let mut talk = Talk::new();
    talk.say(Client, &headers(0, 3, &[0; 200]));
    talk.say(Client, &frame(9, 0, 3, &[0; 56]));
    assert_eq!(talk.heard(), [""; 0]);
    talk.say(Client, &frame(9, 0, 3, &[0; 1]));
    talk.say(Client, &data(0, 1, b"passed over"));
    assert_eq!(talk.heard(), ["client breaks HeaderBlockTooLong"]);
    // The other direction goes on.
    talk.say(Daemon, &data(0, 1, b"x"));
    assert_eq!(talk.heard(), ["daemon 1 data \"x\" window 65534"]);
}

#[test]
fn the_table_follows_the_settings_of_the_peer() {
    let mut talk = Talk::new();
    // Without a table nothing is kept: the encoder says so (RFC 7541 §4.2).
    talk.say(Daemon, &settings(&[(1, 0)]));
    talk.say(
        Client,
        &headers(END_HEADERS, 3, &[b"\x20", &indexed("b", "2")[..]].concat()),
    );
    talk.say(Client, &headers(END_HEADERS, 5, NEWEST));
    let heard = talk.heard();
    assert_eq!(
        heard[..2],
        ["daemon settings [(1, 0)]", "client 3 headers b=2"]
    );
    assert!(heard[2].starts_with("client breaks Hpack("), "{heard:?}");

    // A larger one holds more than the default of 4096 octets.
    let mut talk = Talk::new();
    talk.say(Daemon, &settings(&[(1, 8192)]));
    talk.say(Client, &headers(END_HEADERS, 3, &[0x3f, 0xe1, 0x3f]));
    for n in 0..30 {
        let long = indexed(&format!("n{n}"), &"v".repeat(120));
        talk.say(Client, &headers(END_HEADERS, 5 + 2 * n, &long));
    }
    talk.heard();
    // 30 entries of 154 or 155 octets are before the first one.
    talk.say(Client, &headers(END_HEADERS, 101, &[0x80 | (62 + 30)]));
    assert_eq!(talk.heard(), ["client 101 headers a=1"]);
}

#[test]
fn windows() {
    let mut talk = Talk::new();
    talk.say(Client, &data(0, 1, &[b'x'; 60_000]));
    assert_eq!(talk.connection.stream_window(Client, 1), 5_535);
    talk.heard();
    // The peer allows less: what was sent already does not come back.
    talk.say(Daemon, &settings(&[(4, 10_000)]));
    talk.say(Daemon, &window_update(1, 55_000));
    talk.say(Daemon, &window_update(0, 100_000));
    assert_eq!(
        talk.heard(),
        [
            "client 1 may send -50000",
            "daemon settings [(4, 10000)]",
            "client 1 may send 5000",
            "client 0 may send 105535",
        ]
    );
    assert_eq!(talk.connection.stream_window(Daemon, 1), WINDOW_DEFAULT);
    talk.say(Client, &headers(END_HEADERS, 3, NEWEST));
    assert_eq!(talk.connection.stream_window(Client, 3), 10_000);
    // The reserved bit of an increment means nothing.
    talk.say(Daemon, &window_update(3, 0x8000_0001));
    assert_eq!(talk.connection.stream_window(Client, 3), 10_001);
    talk.heard();
    talk.say(Daemon, &window_update(3, 0));
    talk.say(Daemon, &window_update(3, 0x7fff_ffff));
    assert_eq!(
        talk.heard(),
        [
            "daemon breaks WindowUpdate { stream_id: 3, increment: 0 }",
            "client 3 may send 10001",
            "daemon breaks WindowUpdate { stream_id: 3, increment: 2147483647 }",
            "client 3 may send 2147493648",
        ]
    );
    // A stream that was never opened, or is over.
    talk.say(Client, &frame(3, 0, 3, &8u32.to_be_bytes()));
    talk.say(Daemon, &window_update(3, 1));
    talk.say(Daemon, &window_update(99, 1));
    assert_eq!(talk.heard(), ["client 3 reset CANCEL"]);
}

#[test]
fn control_frames() {
    let mut talk = Talk::new();
    talk.say(
        Client,
        &frame(6, 0, 0, &0x0102_0304_0506_0708u64.to_be_bytes()),
    );
    talk.say(
        Daemon,
        &frame(6, 1, 0, &0x0102_0304_0506_0708u64.to_be_bytes()),
    );
    talk.say(Client, &frame(2, 0, 1, &[0; 5]));
    talk.say(Client, &frame(4, 1, 0, b""));
    // A type that nobody knows (RFC 9113 §5.5), with and without a payload.
    talk.say(Client, &frame(0xfa, 0xff, 1, b"grease"));
    talk.say(Client, &frame(0xfa, 0, 1, b""));
    talk.say(Daemon, &frame(3, 0, 1, &5u32.to_be_bytes()));
    talk.say(
        Daemon,
        &frame(7, 0, 0, b"\x80\0\0\x07\0\0\0\x0btoo_many_pings"),
    );
    assert_eq!(
        talk.heard(),
        [
            "client ping false 102030405060708",
            "daemon ping true 102030405060708",
            "daemon 1 reset STREAM_CLOSED",
            "daemon goaway 7 ENHANCE_YOUR_CALM too_many_pings",
        ]
    );
}

#[test]
fn a_promise_only_moves_the_table() {
    let mut talk = Talk::new();
    let block = indexed("b", "2");
    let promised = [&2u32.to_be_bytes(), &block[..3]].concat();
    talk.say(Daemon, &frame(5, 0, 1, &promised));
    talk.say(Daemon, &frame(9, END_HEADERS, 1, &block[3..]));
    assert_eq!(talk.heard(), [""; 0]);
    let padded = [b"\x01\0\0\0\x04".as_slice(), NEWEST, b"\0"].concat();
    talk.say(Daemon, &frame(5, END_HEADERS | PADDED, 1, &padded));
    talk.say(Daemon, &headers(END_HEADERS, 1, NEWEST));
    assert_eq!(talk.heard(), ["daemon 1 headers b=2"]);
}

#[test]
fn lengths_that_do_not_fit() {
    let mut talk = Talk::new();
    talk.say(Daemon, &frame(4, 0, 0, b"\0\x04\0\0\x20\0\0\x03\0"));
    talk.say(Daemon, &frame(4, 1, 0, b"\0\x04\0\0\x20\0"));
    talk.say(Daemon, &frame(3, 0, 1, b"\0\0"));
    talk.say(Daemon, &frame(6, 0, 0, b"1234567"));
    talk.say(Daemon, &frame(7, 0, 0, b"1234567"));
    talk.say(Daemon, &frame(8, 0, 0, b"123"));
    talk.say(Daemon, &frame(8, 0, 0, b"\0\0\0\x01more"));
    talk.say(Daemon, &frame(8, 0, 0, b""));
    // None of it loses the place.
    talk.say(Daemon, &data(0, 1, b"x"));
    assert_eq!(
        talk.heard(),
        [
            "daemon breaks FrameSize { kind: Settings, length: 9 }",
            "client 1 may send 8192",
            "daemon settings [(4, 8192)]",
            "daemon breaks FrameSize { kind: Settings, length: 6 }",
            "daemon breaks FrameSize { kind: RstStream, length: 2 }",
            "daemon breaks FrameSize { kind: Ping, length: 7 }",
            "daemon breaks FrameSize { kind: GoAway, length: 7 }",
            "daemon breaks FrameSize { kind: WindowUpdate, length: 3 }",
            "daemon breaks FrameSize { kind: WindowUpdate, length: 8 }",
            "client 0 may send 65536",
            "daemon breaks FrameSize { kind: WindowUpdate, length: 0 }",
            "daemon 1 data \"x\" window 65534",
        ]
    );
}

#[test]
fn what_is_no_http2() {
    let mut talk = Talk::fresh();
    talk.say(Client, b"PRI * HTTP/2.0\r\n\r\nSM\r\nXX and so on");
    talk.say(Client, b"more");
    assert_eq!(talk.heard().len(), 1);
    let mut talk = Talk::fresh();
    talk.say(Client, b"GET / HTTP/1.1\r\n\r\n");
    assert_eq!(
        talk.heard(),
        [format!(
            "client breaks NoPreface {{ first: {:?} }}",
            b"GET / HTTP/1.1\r\n\r\n"
        )]
    );
    let mut talk = Talk::fresh();
    talk.say(Client, PREFACE);
    talk.say(Client, &data(0, 1, b""));
    talk.say(Daemon, b"HTTP/1.1 400 Bad Request\r\n\r\n");
    assert_eq!(
        talk.heard(),
        [
            "client breaks NoSettings { first: [0, 0, 0, 0, 0, 0, 0, 0, 1] }".to_owned(),
            format!("daemon breaks NoSettings {{ first: {:?} }}", b"HTTP/1.1 "),
        ]
    );
}

/// A bit of everything, from both sides.
fn medley() -> Vec<(Side, Vec<u8>)> {
    let block = indexed("b", "2");
    vec![
        (Client, PREFACE.to_vec()),
        (Client, settings(&[(4, 70_000), (1, 1000)])),
        (Daemon, settings(&[(4, 20_000)])),
        (Client, frame(4, 1, 0, b"")),
        (Client, headers(END_HEADERS, 1, &indexed("a", "1"))),
        (Client, data(PADDED, 1, b"\x03abc\0\0\0")),
        (Client, headers(0, 3, &block[..2])),
        (Client, frame(9, END_HEADERS, 3, &block[2..])),
        (Daemon, headers(END_HEADERS, 1, &indexed("c", "3"))),
        (Daemon, data(0, 1, &[b'x'; 300])),
        (Client, window_update(1, 300)),
        (Client, frame(0xbe, 0, 0, b"unknown")),
        (Client, data(END_STREAM, 3, b"")),
        (Daemon, frame(5, END_HEADERS, 3, b"\0\0\0\x02\x82")),
        (Daemon, frame(6, 0, 0, b"12345678")),
        (Daemon, headers(END_HEADERS | END_STREAM, 3, NEWEST)),
        (Client, frame(3, 0, 1, &8u32.to_be_bytes())),
        (Daemon, frame(7, 0, 0, b"\0\0\0\x03\0\0\0\0bye")),
    ]
}

#[test]
fn one_byte_at_a_time() {
    let mut whole = Talk::fresh();
    let mut bytewise = Talk::fresh();
    for (from, bytes) in medley() {
        whole.say(from, &bytes);
        for byte in bytes {
            bytewise.say(from, &[byte]);
        }
    }
    let heard = whole.heard();
    assert_eq!(heard.len(), 13, "{heard:#?}");
    assert_eq!(bytewise.heard(), heard);
}

proptest! {
    #[test]
    fn damage_is_survived(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        size in 1..40usize,
    ) {
        let mut medley = medley();
        for (at, byte) in damage {
            let which = at.index(medley.len());
            let bytes = &mut medley[which].1;
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let (mut whole, mut cut) = (Talk::fresh(), Talk::fresh());
        for (from, bytes) in medley {
            whole.connection.feed(from, &bytes, &mut Quiet);
            for bytes in bytes.chunks(size) {
                cut.connection.feed(from, bytes, &mut Quiet);
            }
        }
        for side in Side::BOTH {
            prop_assert_eq!(whole.connection.window(side), cut.connection.window(side));
            for stream_id in 0..8 {
                prop_assert_eq!(
                    whole.connection.stream_window(side, stream_id),
                    cut.connection.stream_window(side, stream_id)
                );
            }
        }
    }
}

/// Hears nothing.
struct Quiet;

impl Handler for Quiet {
    fn headers(&mut self, _: Side, _: u32, _: Headers, _: bool) {}
    fn data(&mut self, _: Side, _: u32, _: &[u8]) {}
    fn data_end(&mut self, _: Side, _: u32, _: bool, _: i64) {}
    fn rst_stream(&mut self, _: Side, _: u32, _: u32) {}
    fn violation(&mut self, _: Side, _: Violation) {}
}
