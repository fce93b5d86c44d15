//! What enters one side leaves the other, whatever the sockets, the sizes, the pauses and the
//! ends, and whatever the tap does.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use buildtap::notice::{Notice, Notices};
use buildtap::relay::{BUFFER_SIZE, Phase};
use buildtap::stream::SEND_BUFFER;
use buildtap::stream::Stream;
use buildtap::tap::{NullTap, Tap};
use buildtap_decoder::event::{Closed, Side, TapEvent, TapId, Time};
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::sleep;

use common::{Bed, Kind, Recorder, abort, bytes_of, io, noise, within_deadline};

/// When a side ends its direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// As soon as it has written everything.
    WhenWritten,
    /// After it has also seen the other side's end.
    AfterPeer,
}

/// What one side does.
#[derive(Clone, Debug)]
struct Plan {
    seed: u64,
    /// Sizes of the writes, each with a pause in milliseconds before it.
    writes: Vec<(usize, u64)>,
    /// Size of the reads, and the pause before the first one.
    reads: (usize, u64),
    end: End,
}

impl Plan {
    fn bytes(&self) -> Vec<u8> {
        noise(self.seed, self.writes.iter().map(|(len, _)| len).sum())
    }

    /// Does it, and gives what was read.
    async fn act(self, stream: Stream) -> Vec<u8> {
        let (mut source, mut sink) = tokio::io::split(io(stream));
        let bytes = self.bytes();
        let (seen, mut wait_seen) = tokio::sync::watch::channel(false);
        let writing = async {
            let mut rest = bytes.as_slice();
            for (len, pause) in &self.writes {
                if *pause > 0 {
                    sleep(Duration::from_millis(*pause)).await;
                }
                let (now, later) = rest.split_at(*len);
                sink.write_all(now).await.unwrap();
                rest = later;
            }
            if self.end == End::AfterPeer {
                wait_seen.wait_for(|seen| *seen).await.unwrap();
            }
            sink.shutdown().await.unwrap();
        };
        let reading = async {
            let (size, pause) = self.reads;
            if pause > 0 {
                sleep(Duration::from_millis(pause)).await;
            }
            let mut all = Vec::new();
            let mut buffer = vec![0; size];
            loop {
                match source.read(&mut buffer).await.unwrap() {
                    0 => break,
                    n => all.extend_from_slice(&buffer[..n]),
                }
            }
            seen.send_replace(true);
            all
        };
        tokio::join!(writing, reading).1
    }
}

fn any_plan() -> impl Strategy<Value = Plan> {
    let len = prop_oneof![
        4 => 1..200_usize,
        3 => 1..40_000_usize,
        1 => 100_000..900_000_usize,
    ];
    let pause = prop_oneof![6 => Just(0), 1 => 1..4_u64];
    (
        any::<u64>(),
        prop::collection::vec((len, pause), 0..8),
        (
            prop_oneof![Just(7_usize), Just(4096), Just(70_000)],
            prop_oneof![5 => Just(0), 1 => 1..30_u64],
        ),
    )
        .prop_map(|(seed, mut writes, reads)| {
            if reads.0 == 7 {
                // Seven bytes at a time should not take all day.
                writes.iter_mut().for_each(|(len, _)| *len %= 20_000);
            }
            Plan {
                seed,
                writes,
                reads,
                end: End::WhenWritten,
            }
        })
}

/// Plans of client and daemon; at most one waits for the other.
fn any_plans() -> impl Strategy<Value = [Plan; 2]> {
    (any_plan(), any_plan(), 0..3_usize).prop_map(|(client, daemon, waits)| {
        let mut plans = [client, daemon];
        if let Some(plan) = plans.get_mut(waits) {
            plan.end = End::AfterPeer;
        }
        plans
    })
}

fn any_kind() -> impl Strategy<Value = Kind> {
    prop_oneof![Just(Kind::Unix), Just(Kind::Tcp)]
}

/// Acts out `plans` on a connected pair and checks that everything arrived.
async fn act(pair: (Stream, Stream), plans: &[Plan; 2]) {
    let [client, daemon] = plans.clone();
    let daemon = tokio::spawn(daemon.act(pair.1));
    let at_client = client.act(pair.0).await;
    let at_daemon = daemon.await.unwrap();
    // Not assert_eq: nobody wants to read a megabyte.
    assert!(at_daemon == plans[0].bytes(), "client to daemon differs");
    assert!(at_client == plans[1].bytes(), "daemon to client differs");
}

fn assert_told_all(recorder: &Recorder, id: u64, plans: &[Plan; 2]) {
    let (told, how) = recorder.wait_closed(id);
    assert_eq!(how, Closed::Finished);
    assert_eq!(told.misplaced, 0);
    for side in Side::BOTH {
        assert!(bytes_of(&told, side) == plans[side.index()].bytes());
        let end = TapEvent::HalfClose { from: side };
        assert_eq!(told.events.iter().filter(|event| **event == end).count(), 1);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn everything_arrives(kind in any_kind(), plans in any_plans()) {
        let recorder = Arc::new(Recorder::default());
        within_deadline(async {
            let bed = Bed::new(kind, Arc::clone(&recorder) as _, Notices::none()).await;
            act(bed.connect().await, &plans).await;
        });
        assert_told_all(&recorder, 0, &plans);
    }

    #[test]
    fn a_tap_that_panics_changes_nothing(plans in any_plans(), at in 0..12_usize) {
        /// Panics at the `at`th event, and fails the test if it is called after that.
        struct Panics {
            at: usize,
            calls: AtomicUsize,
        }
        impl Tap for Panics {
            fn event(&self, _: TapId, _: Time, _: TapEvent<'_>) {
                let call = self.calls.fetch_add(1, Ordering::SeqCst);
                if call == self.at {
                    // Unlike panic!, this prints nothing.
                    std::panic::resume_unwind(Box::new("a tap fails on purpose"));
                }
            }
        }
        let tap = Arc::new(Panics { at, calls: AtomicUsize::new(0) });
        let reports = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&reports);
        let notices = Notices::new(move |notice| {
            assert!(matches!(notice, Notice::TapFailed));
            count.fetch_add(1, Ordering::SeqCst);
        });
        within_deadline(async {
            let mut bed = Bed::new(Kind::Unix, Arc::clone(&tap) as _, notices).await;
            act(bed.connect().await, &plans).await;
            act(bed.connect().await, &plans).await;
            bed.set(Phase::Drain);
            bed.served().await;
        });
        let calls = tap.calls.load(Ordering::SeqCst);
        prop_assert!(calls <= at + 1, "called {calls} times, though it failed at {at}");
        prop_assert_eq!(reports.load(Ordering::SeqCst), usize::from(calls > at));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4, ..ProptestConfig::default() })]

    #[test]
    fn many_connections_at_once(
        kind in any_kind(),
        all in prop::collection::vec(any_plans(), 64),
    ) {
        let recorder = Arc::new(Recorder::default());
        within_deadline(async {
            let bed = Bed::new(kind, Arc::clone(&recorder) as _, Notices::none()).await;
            let mut pairs = Vec::new();
            for _ in &all {
                pairs.push(bed.connect().await);
            }
            let acts = pairs.into_iter().zip(all.clone()).map(|(pair, plans)| {
                tokio::spawn(async move { act(pair, &plans).await })
            });
            for act in acts.collect::<Vec<_>>() {
                act.await.unwrap();
            }
        });
        for (id, plans) in (0..).zip(&all) {
            assert_told_all(&recorder, id, plans);
        }
    }
}

/// Both kinds of sockets, and both sides in the part of the one that is looked at.
fn each_case(mut test: impl FnMut(Kind, Side)) {
    for kind in [Kind::Unix, Kind::Tcp] {
        for side in Side::BOTH {
            test(kind, side);
        }
    }
}

/// The pair as (`side`, its peer).
fn seen_from(side: Side, (client, daemon): (Stream, Stream)) -> (Stream, Stream) {
    match side {
        Side::Client => (client, daemon),
        Side::Daemon => (daemon, client),
    }
}

#[test]
fn a_reset_reaches_the_other_side() {
    each_case(|kind, side| {
        let recorder = Arc::new(Recorder::default());
        within_deadline(async {
            let bed = Bed::new(kind, Arc::clone(&recorder) as _, Notices::none()).await;
            let (goes, stays) = seen_from(side, bed.connect().await);
            let mut stays = io(stays);
            // The one that goes leaves something unread, which makes it a reset on a Unix
            // socket too. All of it has arrived when a part of it has.
            let mut goes = goes;
            stays.write_all(b"unread").await.unwrap();
            read_exact(&mut goes, &mut [0; 2]).await;
            abort(goes);
            // On a Unix socket, the other side sees a reset if it had sent more than the relay
            // read, and otherwise the end.
            let seen = stays.read(&mut [0; 16]).await.map_err(|e| e.kind());
            match kind {
                Kind::Tcp => assert_eq!(seen, Err(std::io::ErrorKind::ConnectionReset)),
                Kind::Unix => assert_eq!(seen, Ok(0)),
            }
            // Nobody takes what is said now.
            while stays.write_all(b"hello?").await.is_ok() {
                tokio::task::yield_now().await;
            }
        });
        let (_, how) = recorder.wait_closed(0);
        assert_eq!(how, Closed::Reset { by: Some(side) }, "{kind:?} {side}");
    });
}

async fn read_exact(stream: &mut Stream, buffer: &mut [u8]) {
    let read = match stream {
        Stream::Unix(stream) => stream.read_exact(buffer).await,
        Stream::Tcp(stream) => stream.read_exact(buffer).await,
    };
    read.unwrap();
}

#[test]
fn what_a_side_sent_before_it_was_reset_is_a_prefix() {
    each_case(|kind, side| {
        let recorder = Arc::new(Recorder::default());
        let sent = noise(1, 3_000_000);
        let received = within_deadline(async {
            let bed = Bed::new(kind, Arc::clone(&recorder) as _, Notices::none()).await;
            let (mut goes, stays) = seen_from(side, bed.connect().await);
            let all = sent.clone();
            let going = tokio::spawn(async move {
                let written = match &mut goes {
                    Stream::Unix(stream) => stream.write_all(&all).await,
                    Stream::Tcp(stream) => stream.write_all(&all).await,
                };
                written.unwrap();
                abort(goes);
            });
            let mut received = Vec::new();
            // Ends with an error or without.
            let _ = io(stays).read_to_end(&mut received).await;
            going.await.unwrap();
            received
        });
        assert!(sent.starts_with(&received), "{kind:?} {side}");
        let (told, _) = recorder.wait_closed(0);
        assert!(bytes_of(&told, side).starts_with(&received));
        if kind == Kind::Unix {
            // A Unix socket keeps what was written when its writer goes.
            assert_eq!(received.len(), sent.len(), "{side}");
        }
    });
}

#[test]
fn last_words_arrive_though_their_speaker_stopped_listening() {
    // A daemon that refuses a request before it has read it: responds and closes.
    each_case(|kind, side| {
        let recorder = Arc::new(Recorder::default());
        let words = noise(2, 50_000);
        let (received, wrote) = within_deadline(async {
            let bed = Bed::new(kind, Arc::clone(&recorder) as _, Notices::none()).await;
            let (refuses, sends) = seen_from(side, bed.connect().await);
            let (mut source, mut sink) = tokio::io::split(io(sends));
            let sending = tokio::spawn(async move {
                let chunk = noise(3, 30_000);
                loop {
                    if let Err(e) = sink.write_all(&chunk).await {
                        break e.kind();
                    }
                }
            });
            let mut refuses = io(refuses);
            refuses.read_exact(&mut [0; 100]).await.unwrap();
            refuses.write_all(&words).await.unwrap();
            drop(refuses);
            let mut received = Vec::new();
            let _ = source.read_to_end(&mut received).await;
            (received, sending.await.unwrap())
        });
        use std::io::ErrorKind::{BrokenPipe, ConnectionReset};
        assert!(matches!(wrote, BrokenPipe | ConnectionReset), "{wrote:?}");
        assert!(received == words, "{kind:?} {side}: {}", received.len());
        let (_, how) = recorder.wait_closed(0);
        assert_eq!(how, Closed::Reset { by: Some(side) });
    });
}

/// Writes to `stream` until it takes no more, counting.
async fn fill(stream: &mut Stream, taken: &AtomicUsize, until: usize) {
    let bytes = noise(4, 64 * 1024);
    while taken.load(Ordering::SeqCst) < until {
        let at = taken.load(Ordering::SeqCst) % bytes.len();
        let rest = &bytes[at..];
        let n = match stream {
            Stream::Unix(stream) => stream.write(rest).await.unwrap(),
            Stream::Tcp(stream) => stream.write(rest).await.unwrap(),
        };
        taken.fetch_add(n, Ordering::SeqCst);
    }
}

/// The most that the kernel holds for one direction of one connection.
fn kernel_holds(kind: Kind) -> usize {
    let setting = |name: &str| -> usize {
        let text = std::fs::read_to_string(format!("/proc/sys/net/{name}")).unwrap();
        // The last of smallest, default and largest, where there are three.
        text.split_whitespace().last().unwrap().parse().unwrap()
    };
    match kind {
        // Twice the setting, as the kernel counts its own overhead too (socket(7)).
        Kind::Unix => {
            let asked = SEND_BUFFER.min(setting("core/wmem_max"));
            2 * asked.max(setting("core/wmem_default"))
        }
        Kind::Tcp => setting("ipv4/tcp_wmem") + setting("ipv4/tcp_rmem"),
    }
}

#[test]
fn a_side_that_stops_reading_stops_the_other_one() {
    each_case(|kind, side| {
        let recorder = Arc::new(Recorder::default());
        within_deadline(async {
            let bed = Bed::new(kind, Arc::clone(&recorder) as _, Notices::none()).await;

            let (mut writes, stalls) = seen_from(side.peer(), bed.connect().await);
            let taken = Arc::new(AtomicUsize::new(0));
            let limit = 2 * kernel_holds(kind) + BUFFER_SIZE;
            let total = limit + 8 * BUFFER_SIZE;
            let count = Arc::clone(&taken);
            let writing = tokio::spawn(async move { fill(&mut writes, &count, total).await });
            let blocked = TapEvent::Blocked { to: side };
            let waiting = Arc::clone(&recorder);
            tokio::task::spawn_blocking(move || {
                waiting.wait(0, |told| told.events.contains(&blocked))
            })
            .await
            .unwrap();
            // Two connections instead of one, and one buffer.
            let taken = taken.load(Ordering::SeqCst);
            assert!(
                taken <= limit,
                "{kind:?} {side}: took {taken}, limit {limit}"
            );

            let mut received = Vec::new();
            io(stalls)
                .take(total as u64)
                .read_to_end(&mut received)
                .await
                .unwrap();
            writing.await.unwrap();
            let pattern = noise(4, 64 * 1024);
            for block in received.chunks(pattern.len()) {
                assert!(pattern.starts_with(block));
            }
        });
        let (told, _) = recorder.wait_closed(0);
        let unblocked = TapEvent::Unblocked { to: side };
        assert!(told.events.contains(&unblocked), "{:?}", told.events);
    });
}

#[test]
fn an_unreachable_daemon_is_reported_once() {
    let recorder = Arc::new(Recorder::default());
    let (tell, told) = std::sync::mpsc::channel();
    let notices = Notices::new(move |notice| tell.send(notice.to_string()).unwrap());
    within_deadline(async {
        let directory = tempfile::TempDir::new().unwrap();
        let mut bed = Bed::new(Kind::Unix, Arc::clone(&recorder) as _, notices).await;
        bed.kill_daemon(&directory.path().join("other.sock"));
        for _ in 0..3 {
            let client = Stream::connect(bed.tapped()).await.unwrap();
            let mut answer = Vec::new();
            let _ = io(client).read_to_end(&mut answer).await;
            assert!(answer.is_empty());
        }
    });
    for id in 0..3 {
        assert_eq!(recorder.wait_closed(id).1, Closed::Unreachable);
    }
    let all: Vec<_> = told.try_iter().collect();
    assert_eq!(all.len(), 1, "{all:?}");
    assert!(
        all[0].contains("nobody listens there: start the daemon"),
        "{all:?}"
    );
}

#[test]
fn stopping_abandons_what_is_open() {
    let recorder = Arc::new(Recorder::default());
    within_deadline(async {
        let mut bed = Bed::new(Kind::Unix, Arc::clone(&recorder) as _, Notices::none()).await;
        let (client, daemon) = bed.connect().await;
        bed.set(Phase::Drain);
        let (mut client, mut daemon) = (io(client), io(daemon));
        client.write_all(b"still").await.unwrap();
        daemon.read_exact(&mut [0; 5]).await.unwrap();
        bed.set(Phase::Stop);
        bed.served().await;
        assert!(Stream::connect(bed.tapped()).await.is_err());
        assert_eq!(daemon.read(&mut [0; 5]).await.unwrap(), 0);
    });
    assert_eq!(recorder.wait_closed(0).1, Closed::Abandoned);
}

#[test]
fn the_client_process_is_named() {
    let recorder = Arc::new(Recorder::default());
    within_deadline(async {
        let bed = Bed::new(Kind::Unix, Arc::clone(&recorder) as _, Notices::none()).await;
        drop(bed.connect().await);
    });
    let (told, _) = recorder.wait_closed(0);
    let Some(TapEvent::Open(endpoints)) = told.events.first() else {
        panic!("{:?}", told.events);
    };
    assert_eq!(endpoints.client, "unix");
    assert!(endpoints.daemon.ends_with("/daemon.sock"), "{endpoints:?}");
    let process = endpoints.client_process.as_deref().unwrap();
    assert!(process.starts_with("transparency-"), "{process}");
    assert!(
        process.ends_with(&format!("(pid {})", std::process::id())),
        "{process}"
    );
}

#[test]
fn a_null_tap_is_enough() {
    within_deadline(async {
        let bed = Bed::new(Kind::Tcp, Arc::new(NullTap), Notices::none()).await;
        let (client, daemon) = bed.connect().await;
        let (mut client, mut daemon) = (io(client), io(daemon));
        client.write_all(b"ping").await.unwrap();
        daemon.read_exact(&mut [0; 4]).await.unwrap();
    });
}
