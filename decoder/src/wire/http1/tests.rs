use proptest::prelude::*;

use super::*;
use crate::wire::Sniff;

use Side::{Client, Daemon};

/// Writes down every call; the pieces of a body become one line.
#[derive(Debug, Default)]
struct Log {
    lines: Vec<String>,
    /// Whose body the last line is, and its content.
    open: Option<(&'static str, u64, Vec<u8>)>,
    /// The statuses that hand the connection over, besides 101.
    hijack: Option<u16>,
}

impl Log {
    fn body(&mut self, whose: &'static str, n: u64, bytes: &[u8]) {
        assert!(!bytes.is_empty(), "a piece of a body is never empty");
        match &mut self.open {
            Some((open, m, content)) if (*open, *m) == (whose, n) => {
                content.extend_from_slice(bytes);
            }
            _ => {
                self.close();
                self.open = Some((whose, n, bytes.to_vec()));
            }
        }
    }

    fn close(&mut self) {
        if let Some((whose, n, content)) = self.open.take() {
            let text = content.escape_ascii();
            self.lines.push(format!("{n} {whose} body {text}"));
        }
    }

    fn line(&mut self, line: String) {
        self.close();
        self.lines.push(line);
    }

    fn text(mut self) -> String {
        self.close();
        self.lines.join("\n")
    }
}

fn fields(headers: &Headers<'_>) -> String {
    headers
        .iter()
        .map(|(name, value)| format!(" [{name}: {}]", value.escape_ascii()))
        .collect()
}

impl Handler for Log {
    fn request(&mut self, n: u64, head: &RequestHead<'_>) {
        self.line(format!("{n} {head:?}{}", fields(&head.headers)));
    }
    fn request_body(&mut self, n: u64, bytes: &[u8]) {
        self.body("request", n, bytes);
    }
    fn request_end(&mut self, n: u64) {
        self.line(format!("{n} request end"));
    }
    fn response(&mut self, n: u64, head: &ResponseHead<'_>) -> After {
        self.line(format!("{n} {head:?}{}", fields(&head.headers)));
        if self.hijack == Some(head.status) {
            After::Hijacked
        } else {
            After::Http
        }
    }
    fn response_body(&mut self, n: u64, bytes: &[u8]) {
        self.body("response", n, bytes);
    }
    fn response_end(&mut self, n: u64, how: BodyEnd) {
        self.line(format!("{n} response end {how:?}"));
    }
    fn violation(&mut self, from: Side, what: Violation) {
        self.line(format!("{from}: {what}"));
    }
}

type Messages<'a> = &'a [(Side, &'a str)];

/// Feeds messages whole; all bytes must be taken.
fn heard(messages: Messages<'_>) -> String {
    let (mut connection, mut log) = (Connection::new(), Log::default());
    for (from, message) in messages {
        let taken = connection.feed(*from, message.as_bytes(), &mut log);
        assert_eq!(taken, message.len());
    }
    connection.end(Client, &mut log);
    connection.end(Daemon, &mut log);
    log.text()
}

fn expect(messages: Messages<'_>, lines: &[&str]) {
    assert_eq!(heard(messages), lines.join("\n"));
}

const GET: &str = "GET /_ping HTTP/1.1\r\nHost: d\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK";
const EMPTY: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
const UPGRADE: &str =
    "POST /session HTTP/1.1\r\nHost: \r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n";
const SWITCH: &str = "HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n";

#[test]
fn keep_alive() {
    expect(
        &[(Client, GET), (Daemon, OK), (Client, GET), (Daemon, EMPTY)],
        &[
            "0 GET /_ping HTTP/1.1 [Host: d]",
            "0 request end",
            "0 HTTP/1.1 200 OK [Content-Length: 2]",
            "0 response body OK",
            "0 response end Complete",
            "1 GET /_ping HTTP/1.1 [Host: d]",
            "1 request end",
            "1 HTTP/1.1 200 OK [Content-Length: 0]",
            "1 response end Complete",
        ],
    );
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let both = [GET, "HEAD /_ping HTTP/1.1\n\n"].concat();
    let answers = [OK, "HTTP/1.1 200 \nContent-Length: 2\n\n"].concat();
    expect(
        &[(Client, &both), (Daemon, &answers)],
        &[
            "0 GET /_ping HTTP/1.1 [Host: d]",
            "0 request end",
            "1 HEAD /_ping HTTP/1.1",
            "1 request end",
            "0 HTTP/1.1 200 OK [Content-Length: 2]",
            "0 response body OK",
            "0 response end Complete",
            "1 HTTP/1.1 200  [Content-Length: 2]",
            "1 response end Complete",
        ],
    );
}

#[test]
fn chunks_with_extensions_and_trailers() {
    expect(
        &[
            (
                Client,
                "POST /build HTTP/1.1\r\nTransfer-Encoding: gzip, Chunked\r\n\r\n\
                 5;name=\"v;\"\r\nhello\r\n00a \r\n, \r\nworld!\r\n0;last\r\nTrailer: x\r\nOther: y\r\n\r\n",
            ),
            (
                Daemon,
                "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n2\n{}\n0\n\n",
            ),
            (Client, GET),
        ],
        &[
            "0 POST /build HTTP/1.1 [Transfer-Encoding: gzip, Chunked]",
            r"0 request body hello, \r\nworld!",
            "0 request end",
            "0 HTTP/1.1 200 OK [Transfer-Encoding: chunked]",
            "0 response body {}",
            "0 response end Complete",
            "1 GET /_ping HTTP/1.1 [Host: d]",
            "1 request end",
        ],
    );
}

#[test]
fn an_interim_response_is_not_the_answer() {
    expect(
        &[
            (
                Client,
                "POST /x HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n",
            ),
            (Daemon, "HTTP/1.1 100 Continue\r\n\r\n"),
            (Client, "abc"),
            (
                Daemon,
                "HTTP/1.1 204 No Content\r\nContent-Length: 7\r\n\r\n",
            ),
            (Client, GET),
            (Daemon, "HTTP/1.1 304 Not Modified\r\n\r\n"),
        ],
        &[
            "0 POST /x HTTP/1.1 [Expect: 100-continue] [Content-Length: 3]",
            "0 HTTP/1.1 100 Continue",
            "0 request body abc",
            "0 request end",
            "0 HTTP/1.1 204 No Content [Content-Length: 7]",
            "0 response end Complete",
            "1 GET /_ping HTTP/1.1 [Host: d]",
            "1 request end",
            "1 HTTP/1.1 304 Not Modified",
            "1 response end Complete",
        ],
    );
}

#[test]
fn without_a_length_a_response_lasts_until_the_end() {
    expect(
        &[
            (Client, GET),
            (Daemon, "HTTP/1.0 200 OK\r\n\r\nlog"),
            (Daemon, "s"),
        ],
        &[
            "0 GET /_ping HTTP/1.1 [Host: d]",
            "0 request end",
            "0 HTTP/1.0 200 OK",
            "0 response body logs",
            "0 response end Complete",
        ],
    );
}

#[test]
fn what_ends_too_early_is_cut_short() {
    for (answer, last) in [
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nlog",
            "0 response end CutShort",
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nlog\r\n",
            "0 response end CutShort",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Le",
            "daemon: the connection ended in the middle of a message head",
        ),
    ] {
        let text = heard(&[(Client, GET), (Daemon, answer)]);
        assert_eq!(text.lines().last(), Some(last));
    }
}

#[test]
fn after_a_101_the_bytes_are_not_http() {
    let (mut connection, mut log) = (Connection::new(), Log::default());
    assert_eq!(
        connection.feed(Client, UPGRADE.as_bytes(), &mut log),
        UPGRADE.len()
    );
    assert_eq!(connection.feed(Client, b"early", &mut log), 5);
    assert!(connection.take_held().is_empty());
    assert!(!connection.is_upgraded());

    let answer = [SWITCH, "PRI * HTTP/2.0"].concat();
    assert_eq!(
        connection.feed(Daemon, answer.as_bytes(), &mut log),
        SWITCH.len()
    );
    assert!(connection.is_upgraded());
    assert_eq!(connection.take_held(), b"early");
    assert_eq!(connection.feed(Client, b"late", &mut log), 0);
    assert_eq!(connection.feed(Daemon, b"late", &mut log), 0);
    connection.end(Client, &mut log);
    connection.end(Daemon, &mut log);
    assert_eq!(
        log.text().lines().last(),
        Some("0 HTTP/1.1 101 UPGRADED [Connection: Upgrade] [Upgrade: h2c]")
    );
}

#[test]
fn a_refused_upgrade_leaves_requests() {
    let refusal = "HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\n\r\n{}";
    let (mut connection, mut log) = (Connection::new(), Log::default());
    connection.feed(Client, UPGRADE.as_bytes(), &mut log);
    connection.feed(Client, &GET.as_bytes()[..9], &mut log);
    connection.feed(Client, &GET.as_bytes()[9..], &mut log);
    assert_eq!(log.lines.len(), 2);
    connection.feed(Daemon, refusal.as_bytes(), &mut log);
    connection.feed(Daemon, OK.as_bytes(), &mut log);
    assert!(!connection.is_upgraded());
    assert_eq!(
        log.text().lines().skip(2).collect::<Vec<_>>(),
        [
            "0 HTTP/1.1 400 Bad Request [Content-Length: 2]",
            "1 GET /_ping HTTP/1.1 [Host: d]",
            "1 request end",
            "0 response body {}",
            "0 response end Complete",
            "1 HTTP/1.1 200 OK [Content-Length: 2]",
            "1 response body OK",
            "1 response end Complete",
        ]
    );
}

#[test]
fn an_upgrade_request_may_have_a_body() {
    let start = "POST /exec/1/start HTTP/1.1\r\nUpgrade: tcp\r\nContent-Length: 2\r\n\r\n{}PRI";
    let (mut connection, mut log) = (Connection::new(), Log::default());
    assert_eq!(
        connection.feed(Client, start.as_bytes(), &mut log),
        start.len()
    );
    connection.feed(Daemon, SWITCH.as_bytes(), &mut log);
    assert_eq!(connection.take_held(), b"PRI");
    assert!(log.text().contains("0 request end"));
}

#[test]
fn an_answer_before_the_end_of_the_request_upgrades_after_it() {
    let start = "POST /exec/1/start HTTP/1.1\r\nUpgrade: tcp\r\nContent-Length: 4\r\n\r\n{";
    let (mut connection, mut log) = (Connection::new(), Log::default());
    connection.feed(Client, start.as_bytes(), &mut log);
    connection.feed(Daemon, SWITCH.as_bytes(), &mut log);
    assert_eq!(connection.feed(Client, b"  }PRI", &mut log), 3);
    assert!(log.text().ends_with("0 request end"));
}

#[test]
fn the_handler_and_connect_hand_the_connection_over() {
    let hijacked = "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\n";
    let mut log = Log {
        hijack: Some(200),
        ..Log::default()
    };
    let mut connection = Connection::new();
    connection.feed(Client, GET.as_bytes(), &mut log);
    connection.feed(Client, b"ls", &mut log);
    let answer = [hijacked, "\x01\0\0\0"].concat();
    assert_eq!(
        connection.feed(Daemon, answer.as_bytes(), &mut log),
        hijacked.len()
    );
    assert_eq!(connection.take_held(), b"ls");

    let (mut connection, mut log) = (Connection::new(), Log::default());
    connection.feed(Client, b"CONNECT d:1 HTTP/1.1\r\n\r\nearly", &mut log);
    assert_eq!(
        connection.feed(Daemon, b"HTTP/1.1 200 OK\r\n\r\nx", &mut log),
        19
    );
    assert_eq!(connection.take_held(), b"early");
}

#[test]
fn an_answer_without_a_request_has_its_own_number() {
    let interim = ["HTTP/1.1 103 Early Hints\r\n\r\n", OK].concat();
    expect(
        &[(Daemon, &interim), (Client, GET), (Daemon, OK)],
        &[
            "0 HTTP/1.1 103 Early Hints",
            "0 HTTP/1.1 200 OK [Content-Length: 2]",
            "0 response body OK",
            "0 response end Complete",
            "1 GET /_ping HTTP/1.1 [Host: d]",
            "1 request end",
            "1 HTTP/1.1 200 OK [Content-Length: 2]",
            "1 response body OK",
            "1 response end Complete",
        ],
    );
}

#[test]
fn one_broken_direction_leaves_the_other() {
    expect(
        &[(Client, "\x16\x03\x01 hello"), (Client, GET), (Daemon, OK)],
        &[
            "client: what was sent is not an HTTP/1.x message head",
            "0 HTTP/1.1 200 OK [Content-Length: 2]",
            "0 response body OK",
            "0 response end Complete",
        ],
    );
}

#[test]
fn broken_framing_is_a_violation() {
    let post = |fields: &str, body: &str| format!("POST / HTTP/1.1\r\n{fields}\r\n\r\n{body}");
    for (sent, what) in [
        (post("Content-Length: +1", ""), Violation::ContentLength),
        (post("Content-Length: 1, 2", ""), Violation::ContentLength),
        (
            post("Content-Length: 99999999999999999999", ""),
            Violation::ContentLength,
        ),
        (
            post("Transfer-Encoding: gzip", ""),
            Violation::TransferEncoding,
        ),
        (post("Transfer-Encoding: chunked", "\r\n"), Violation::Chunk),
        (
            post("Transfer-Encoding: chunked", "-1\r\n"),
            Violation::Chunk,
        ),
        (
            post("Transfer-Encoding: chunked", "1\r\nabc"),
            Violation::Chunk,
        ),
        (
            post("Transfer-Encoding: chunked", "10000000000000000\r\n"),
            Violation::Chunk,
        ),
        ("GET / HTTP/2.0\r\n\r\n".into(), Violation::Head),
        ("GET /\r\n\r\n".into(), Violation::Head),
        (
            post(&"a: b\r\n".repeat(MAX_HEADERS + 1), ""),
            Violation::TooManyHeaders,
        ),
        (post(&"a".repeat(MAX_HEAD), ""), Violation::HeadTooLong),
        (
            [UPGRADE, &"x".repeat(MAX_HELD + 1)].concat(),
            Violation::HeldTooMuch,
        ),
        (GET.repeat(MAX_UNANSWERED + 1), Violation::TooManyUnanswered),
    ] {
        let text = heard(&[(Client, &sent)]);
        assert_eq!(
            text.lines().last(),
            Some(format!("client: {what}").as_str())
        );
    }
    let length = post("Content-Length: 3, 3\r\nContent-Length: 3", "abc");
    assert!(heard(&[(Client, &length)]).ends_with("request end"));
    let many = post(
        &["a: b\r\n".repeat(MAX_HEADERS - 1), "c: d".into()].concat(),
        "",
    );
    assert!(heard(&[(Client, &many)]).ends_with("request end"));
}

#[test]
fn a_gap_is_harmless_only_inside_a_body() {
    let post = "POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nab";
    for (missing, last) in [
        (Some(3), "0 request end"),
        (Some(8), "client: the capture has a gap here"),
        (None, "client: the capture has a gap here"),
    ] {
        let (mut connection, mut log) = (Connection::new(), Log::default());
        connection.feed(Client, post.as_bytes(), &mut log);
        connection.gap(Client, missing, &mut log);
        connection.feed(Client, b"wxyz", &mut log);
        assert_eq!(log.text().lines().last(), Some(last));
    }
}

#[test]
fn sniffing() {
    for (bytes, is) in [
        ("", Sniff::Maybe),
        ("POS", Sniff::Maybe),
        ("POST ", Sniff::Maybe),
        ("POST /session HTTP/1.1\r\n", Sniff::Yes),
        ("OPTIONS *", Sniff::Yes),
        ("GET http://d/", Sniff::Yes),
        ("CONNECT d:1", Sniff::Yes),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Sniff::No),
        ("SSH-2.0-OpenSSH", Sniff::No),
        ("EHLO there", Sniff::No),
        ("\x16\x03\x01", Sniff::No),
        (" /", Sniff::No),
        ("ABCDEFGHIJKLMNOPQRSTUVWXYZ", Sniff::No),
    ] {
        assert_eq!(looks_like_request(bytes.as_bytes()), is, "{bytes:?}");
    }
}

/// What is needed to compare two ways of feeding the same streams.
#[derive(Debug, PartialEq)]
struct Outcome {
    text: String,
    taken: [usize; 2],
    held: Vec<u8>,
}

/// Feeds messages in pieces whose lengths repeat `lengths`.
fn outcome(messages: &[(Side, Vec<u8>)], lengths: &[usize], hijack: Option<u16>) -> Outcome {
    let mut log = Log {
        hijack,
        ..Log::default()
    };
    let mut connection = Connection::new();
    let mut taken = [0; 2];
    let mut lengths = lengths.iter().cycle();
    for (from, message) in messages {
        let mut rest = &message[..];
        while !rest.is_empty() {
            let (piece, behind) = rest.split_at((*lengths.next().unwrap()).min(rest.len()));
            taken[from.index()] += connection.feed(*from, piece, &mut log);
            rest = behind;
        }
        let buffered = connection
            .client
            .buffer
            .len()
            .max(connection.daemon.buffer.len());
        assert!(buffered <= MAX_HEAD);
    }
    for side in Side::BOTH {
        connection.end(side, &mut log);
    }
    let held = connection.take_held();
    Outcome {
        text: log.text(),
        taken,
        held,
    }
}

/// A body, as header fields and bytes.
fn body() -> impl Strategy<Value = (String, Vec<u8>)> {
    let content = proptest::collection::vec(any::<u8>(), 1..40);
    let chunks = proptest::collection::vec(content.clone(), 0..4);
    prop_oneof![
        Just((String::new(), Vec::new())),
        content.prop_map(|content| (format!("Content-Length: {}\r\n", content.len()), content)),
        (chunks, any::<bool>()).prop_map(|(chunks, trailers)| {
            let mut coded = Vec::new();
            for chunk in chunks {
                coded.extend(format!("{:x};e=1\r\n", chunk.len()).bytes());
                coded.extend(chunk);
                coded.extend(b"\r\n");
            }
            coded.extend(if trailers {
                &b"0\r\nA: b\r\n\r\n"[..]
            } else {
                b"0\n\n"
            });
            ("Transfer-Encoding: chunked\r\n".to_owned(), coded)
        }),
    ]
}

/// The messages of an exchange: of the client, then of the daemon.
fn exchange() -> impl Strategy<Value = Vec<(Side, Vec<u8>)>> {
    let method = prop_oneof!["GET", "POST", "HEAD", "CONNECT"];
    let upgrade = prop_oneof![4 => Just(""), 1 => Just("Upgrade: h2c\r\n")];
    let status = prop_oneof![8 => Just(200u16), 2 => Just(204), 2 => Just(404), 1 => Just(101)];
    (method, upgrade, body(), status, body(), any::<bool>()).prop_map(
        |(method, upgrade, request, status, response, interim)| {
            let message = |line: String, more: &str, (fields, bytes): (String, Vec<u8>)| {
                [format!("{line}\r\n{fields}{more}\r\n").into_bytes(), bytes].concat()
            };
            let interim = if interim {
                "HTTP/1.1 100 Continue\r\n\r\n"
            } else {
                ""
            };
            vec![
                (
                    Client,
                    message(format!("{method} /x HTTP/1.1"), upgrade, request),
                ),
                (
                    Daemon,
                    message(format!("{interim}HTTP/1.1 {status} OK"), "", response),
                ),
            ]
        },
    )
}

proptest! {
    #[test]
    fn any_split_means_the_same(
        exchanges in proptest::collection::vec(exchange(), 1..6),
        pipelined in any::<bool>(),
        lengths in proptest::collection::vec(1..50usize, 1..8),
        flip in proptest::option::weighted(0.3, (any::<prop::sample::Index>(), any::<u8>())),
        hijack in proptest::option::weighted(0.2, Just(404)),
    ) {
        let mut messages: Vec<_> = exchanges.into_iter().flatten().collect();
        if pipelined {
            messages.sort_by_key(|(from, _)| from.index());
        }
        if let Some((index, byte)) = flip {
            let message = index.index(messages.len());
            let at = index.index(messages[message].1.len());
            messages[message].1[at] = byte;
        }
        let whole = outcome(&messages, &[usize::MAX], hijack);
        prop_assert_eq!(&whole, &outcome(&messages, &lengths, hijack));
        prop_assert_eq!(&whole, &outcome(&messages, &[1], hijack));
    }

    #[test]
    fn garbage_is_survived(
        messages in proptest::collection::vec(
            (prop_oneof![Just(Client), Just(Daemon)], prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..60),
                "(GET|POST|HEAD) /[a-z]{0,3} HTTP/1.[01]\r?\n([A-Za-z-]{1,4}: [ -~]{0,4}\r?\n){0,3}\r?\n".prop_map(String::into_bytes),
                "HTTP/1.[01] [0-9]{3} \r?\n(Transfer-Encoding: chunked\r\n|Content-Length: [0-9]\n)?\r?\n[0-9a-f\r\n]{0,9}".prop_map(String::into_bytes),
            ]),
            0..20,
        ),
        lengths in proptest::collection::vec(1..50usize, 1..8),
    ) {
        let whole = outcome(&messages, &[usize::MAX], None);
        prop_assert_eq!(whole, outcome(&messages, &lengths, None));
    }
}
