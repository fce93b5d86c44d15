//! Collectors that refuse, hang, reset, reject or answer errors: the session is as it would be without them, and the end
//! says what was not taken.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use buildtap_fixtures::peers::client::Outcome;
use buildtap_fixtures::peers::scenario::{self, Scene};
use buildtap_tests::process::Finished;
use buildtap_tests::unwrapped;
use serde_json::Value;

use crate::stage::Stage;

/// Bytes each way: enough that what disturbs the relay takes time.
const VOLUME: u64 = 8 << 20;

/// How a scene went through `buildtap proxy`.
struct Played {
    outcome: Outcome,
    took: Duration,
    finished: Finished,
    /// How long buildtap took to end.
    ending: Duration,
}

fn play(scene: Scene, arguments: &[&str]) -> Played {
    let arguments = [&["--format", "json"], arguments].concat();
    let stage = Stage::new(scene.daemon, &arguments);
    let begun = Instant::now();
    let outcome = stage
        .runtime
        .block_on(scenario::client(&stage.tap, scene.client));
    let took = begun.elapsed();
    stage.daemon.abort();
    let begun = Instant::now();
    let finished = stage.proxy.process.interrupt().success();
    Played {
        outcome,
        took,
        finished,
        ending: begun.elapsed(),
    }
}

/// A server on this machine that does `answer` with whoever connects.
fn server(answer: impl Fn(TcpStream) + Clone + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let answer = answer.clone();
            thread::spawn(move || answer(stream));
        }
    });
    address
}

/// What was received and sent: the trees with the sums of their contents, and how many messages and bytes of them went
/// each way on each call.
fn said(played: &Played) -> (String, Vec<String>) {
    let report = &played.outcome.report;
    let ending = &played.outcome.ending;
    let trees = format!("{ending:?} {:?} {:?}", report.sent, report.exports);
    let rows = played.finished.stdout.lines();
    let rows = rows.map(|line| serde_json::from_str::<Value>(line).unwrap());
    let calls = rows.filter(|row| row["kind"] == "call" && row["method"] != "Check");
    let fields = [
        "service",
        "method",
        "request_messages",
        "request_bytes",
        "response_messages",
        "response_bytes",
        "state",
    ];
    let mut calls: Vec<String> = calls
        .map(|row| fields.map(|field| row[field].to_string()).join(" "))
        .collect();
    calls.sort();
    (trees, calls)
}

/// The same build by turns without and with a collector: not a byte differs, and it takes as long. The shortest of each
/// is compared, and after more turns again, since other things go on on this machine.
fn assert_same(arguments: &[&str]) -> Vec<Played> {
    let scene = || scenario::bulk(VOLUME, VOLUME);
    let least = |all: &[Played]| all.iter().map(|it| it.took).min().unwrap();
    let (mut without, mut with) = (Vec::new(), Vec::new());
    let mut is_as_long = false;
    for round in 0..6 {
        without.push(play(scene(), &[]));
        with.push(play(scene(), arguments));
        let limit = least(&without) * 3 / 2 + Duration::from_millis(300);
        is_as_long = least(&with) < limit;
        if round > 0 && is_as_long {
            break;
        }
    }
    let (plain, took) = (least(&without), least(&with));
    assert!(is_as_long, "{took:?}, and {plain:?} without a collector");
    let wanted = said(&without[0]);
    assert!(wanted.1.len() >= 4, "{wanted:?}");
    for played in without.iter().chain(&with) {
        assert_eq!(said(played), wanted);
    }
    with
}

#[track_caller]
fn assert_unharmed(collector: &str, protocol: &str, why: &str, patience: Duration) {
    for played in assert_same(&["--otlp", collector, "--otlp-protocol", protocol]) {
        let Played {
            finished, ending, ..
        } = played;
        assert!(ending < patience, "the end took {ending:?}");
        let told = unwrapped(&finished.stderr);
        assert!(told.contains("sent 0 spans to"), "{finished}");
        assert!(told.contains("were dropped"), "{finished}");
        assert!(told.contains(why), "{finished}");
    }
}

/// The end waits for 5 s at most.
const FLUSH: Duration = Duration::from_secs(8);
/// It waits for nobody who is not there.
const AT_ONCE: Duration = Duration::from_secs(3);

#[test]
fn nobody_listens() {
    let address = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    assert_unharmed(&address, "grpc", "Connection refused", AT_ONCE);
    assert_unharmed(&address, "http/protobuf", "Connection refused", AT_ONCE);
}

#[test]
fn it_takes_the_connection_and_says_nothing() {
    let address = server(|mut stream| {
        let mut buffer = [0; 65_536];
        while stream.read(&mut buffer).is_ok_and(|n| n > 0) {}
    });
    assert_unharmed(&address, "grpc", "did not answer in time", FLUSH);
    assert_unharmed(&address, "http/json", "did not answer in time", FLUSH);
}

#[test]
fn it_hangs_up() {
    let address = server(drop);
    assert_unharmed(&address, "grpc", "did not take them", FLUSH);
    assert_unharmed(&address, "http/protobuf", "did not take them", FLUSH);
}

#[test]
fn it_answers_with_an_error() {
    let address = server(|mut stream| {
        let mut buffer = [0; 65_536];
        let _ = stream.read(&mut buffer);
        let _ = stream.write_all(
            b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        );
        let _ = stream.read(&mut buffer);
    });
    assert_unharmed(&address, "http/protobuf", "it answered 503", FLUSH);
}

/// One that answers this to every request, after a while.
fn answers(head: &'static str, body: &'static [u8], after: Duration) -> String {
    server(move |mut stream| {
        while has_asked(&mut stream) {
            thread::sleep(after);
            let head = format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\n\r\n", body.len());
            let _ = stream.write_all(head.as_bytes());
            let _ = stream.write_all(body);
        }
    })
}

/// Reads one request to its end; `false` if there is none.
fn has_asked(stream: &mut TcpStream) -> bool {
    let mut asked = Vec::new();
    let mut buffer = [0; 65_536];
    loop {
        let text = String::from_utf8_lossy(&asked).to_lowercase();
        if let Some((head, _)) = text.split_once("\r\n\r\n") {
            let length = head.split_once("content-length: ").unwrap().1;
            let length = length.lines().next().unwrap().trim();
            let head = asked.windows(4).position(|it| it == b"\r\n\r\n").unwrap();
            if asked.len() >= head + 4 + length.parse::<usize>().unwrap() {
                return true;
            }
        }
        match stream.read(&mut buffer) {
            Ok(n) if n > 0 => asked.extend_from_slice(&buffer[..n]),
            _ => return false,
        }
    }
}

/// A build to a collector of its own, and what is said at its end.
fn told(collector: &str, protocol: &str) -> (String, Duration) {
    let arguments = ["--otlp", collector, "--otlp-protocol", protocol];
    let played = play(scenario::bulk(1, 1), &arguments);
    (unwrapped(&played.finished.stderr), played.ending)
}

#[test]
fn it_is_slow_but_takes_them() {
    let address = answers("200 OK", b"", Duration::from_secs(2));
    let (told, ending) = told(&address, "http/protobuf");
    assert!(
        !told.contains("dropped") && told.contains(" spans to "),
        "{told}"
    );
    assert!(!told.contains("sent 0 spans"), "{told}");
    assert!(
        ending > Duration::from_secs(1),
        "it was waited for: {ending:?}"
    );
}

#[test]
fn it_takes_them_and_rejects_some() {
    for (protocol, body) in [
        (
            "http/json",
            &br#"{"partialSuccess":{"rejectedSpans":"2","errorMessage":"too old"}}"#[..],
        ),
        ("http/protobuf", b"\x0a\x0b\x08\x02\x12\x07too old"),
    ] {
        let (told, _) = told(&answers("200 OK", body, Duration::ZERO), protocol);
        assert!(told.contains("2 spans were dropped"), "{protocol}: {told}");
        assert!(told.contains("it rejected them: too old"), "{told}");
        assert!(!told.contains("sent 0 spans"), "{told}");
    }
}

#[test]
fn it_answers_with_more_than_anybody_reads() {
    static LONG: [u8; 32 << 20] = [b'x'; 32 << 20];
    let (told, ending) = told(&answers("200 OK", &LONG, Duration::ZERO), "http/json");
    assert!(
        !told.contains("dropped") && told.contains(" spans to "),
        "{told}"
    );
    assert!(ending < AT_ONCE, "{ending:?}");
}
