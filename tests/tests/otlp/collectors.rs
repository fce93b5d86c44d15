//! Collectors that refuse, hang, reset or answer errors: the session is as it would be without them, and the end says
//! what was not taken.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use buildtap_fixtures::peers::client::Outcome;
use buildtap_fixtures::peers::scenario::{self, Scene};
use buildtap_tests::process::Finished;
use buildtap_tests::unwrapped;

use crate::stage::Stage;

/// Bytes each way: enough that what disturbs the relay takes time.
const VOLUME: u64 = 8 << 20;

/// Plays a scene through `buildtap proxy`, and says how it went, how long it took, and how long buildtap took to end.
fn play(scene: Scene, arguments: &[&str]) -> (Outcome, Duration, Finished, Duration) {
    let stage = Stage::new(scene.daemon, arguments);
    let begun = Instant::now();
    let outcome = stage
        .runtime
        .block_on(scenario::client(&stage.tap, scene.client));
    let took = begun.elapsed();
    stage.daemon.abort();
    let begun = Instant::now();
    let finished = stage.proxy.process.interrupt().success();
    (outcome, took, finished, begun.elapsed())
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

/// What was received and sent, without what differs from run to run.
fn said(outcome: &Outcome) -> String {
    let report = &outcome.report;
    format!(
        "{:?} {:?} {:?}",
        outcome.ending, report.sent, report.exports
    )
}

#[track_caller]
fn assert_unharmed(collector: &str, protocol: &str, why: &str) {
    let scene = || scenario::bulk(VOLUME, VOLUME);
    let (without, plain, ..) = play(scene(), &[]);
    let arguments = ["--otlp", collector, "--otlp-protocol", protocol];
    let (with, took, finished, ending) = play(scene(), &arguments);
    assert_eq!(said(&with), said(&without));
    // Both are some tenths of a second on a machine that does other things as well.
    assert!(
        took < plain * 3 + Duration::from_secs(1),
        "{took:?}, and {plain:?} without a collector"
    );
    assert!(ending < Duration::from_secs(8), "the end took {ending:?}");
    let told = unwrapped(&finished.stderr);
    assert!(told.contains("sent 0 spans to"), "{finished}");
    assert!(told.contains("were dropped"), "{finished}");
    assert!(told.contains(why), "{finished}");
}

#[test]
fn nobody_listens() {
    let address = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    assert_unharmed(&address, "grpc", "Connection refused");
    assert_unharmed(&address, "http/protobuf", "Connection refused");
}

#[test]
fn it_takes_the_connection_and_says_nothing() {
    let address = server(|mut stream| {
        let mut buffer = [0; 65_536];
        while stream.read(&mut buffer).is_ok_and(|n| n > 0) {}
    });
    assert_unharmed(&address, "grpc", "did not answer in time");
    assert_unharmed(&address, "http/json", "did not answer in time");
}

#[test]
fn it_hangs_up() {
    let address = server(drop);
    assert_unharmed(&address, "grpc", "did not take them");
    assert_unharmed(&address, "http/protobuf", "did not take them");
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
    assert_unharmed(&address, "http/protobuf", "it answered 503");
}
