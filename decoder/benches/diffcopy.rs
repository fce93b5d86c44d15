//! How fast the decoder is on DiffCopy streams, from the tap's bytes to the trace.
//!
//! Prints bytes per second of file contents in packets of 32 KiB, beside a copy of the same bytes
//! in memory, the peer in the same run; STAT packets per second; and what the doctor adds to each
//! of these. Run with
//! `cargo bench -p buildtap-decoder --bench diffcopy`.

#[path = "../tests/common/mod.rs"]
mod common;

use std::hint::black_box;
use std::time::{Duration, Instant};

use buildtap_decoder::event::{Endpoints, Side, TapEvent, TapId, Time};
use buildtap_decoder::{Decoder, Options};
use common::*;

/// What the relay reads at once.
const CHUNK: usize = 256 << 10;
const RUNS: usize = 9;

fn main() {
    let contents = 64 << 20;
    let export = joined(local_export(1, contents));
    let decode_time = median(|| decode(&export));
    let copy_time = median(|| copy(&export));
    let gib = |time: Duration| contents as f64 / time.as_secs_f64() / f64::from(1 << 30);
    println!(
        "DATA packets of 32 KiB: {:.1} GiB/s decoded; copying the same bytes: {:.1} GiB/s",
        gib(decode_time),
        gib(copy_time)
    );
    doctor("DATA packets", &export);
    let stats = 200_000;
    let listing = joined(local_export(stats, 0));
    let time = median(|| decode(&listing));
    // Each file is announced, asked for and ended: three packets.
    println!(
        "empty files (STAT, REQ, DATA): {:.2} million files/s, {:.2} million packets/s",
        f64::from(stats) / time.as_secs_f64() / 1e6,
        3.0 * f64::from(stats) / time.as_secs_f64() / 1e6
    );
    doctor("empty files", &listing);
    let mut announce = Talk::default();
    upgrade(&mut announce, "s1", &[FILE_SEND]);
    announce.call(Daemon, 1, FILE_SEND, &[]).accept(Client, 1);
    for directory in ["dir", "dir/sub"] {
        announce.packet(Daemon, 1, &stat(directory, 1 << 31 | 0o755, 0));
    }
    for n in 0..stats {
        announce.packet(
            Daemon,
            1,
            &stat(&format!("dir/sub/file-{n:08}"), 0o644, 1234),
        );
    }
    let announce = joined(announce);
    let time = median(|| decode(&announce));
    println!(
        "STAT packets: {:.2} million/s",
        f64::from(stats) / time.as_secs_f64() / 1e6
    );
    doctor("STAT packets", &announce);
    doctor("calls", &joined(health_checks(50_000)));
    tick();
}

/// What the doctor adds to the time that decoding takes: the best of runs with it, and of runs
/// without it, that take turns. The best is what noise disturbs least.
fn doctor(what: &str, talk: &[(Side, Vec<u8>)]) {
    const LONG_ENOUGH: Duration = Duration::from_millis(50);
    let start = busy();
    decode_with(talk, false);
    let times = LONG_ENOUGH.as_nanos() / (busy() - start).as_nanos().max(1);
    let mut best = [Duration::MAX; 2];
    for run in 0..4 * RUNS {
        let findings = run % 2;
        let start = busy();
        for _ in 0..=times {
            decode_with(talk, findings == 1);
        }
        best[findings] = best[findings].min(busy() - start);
    }
    let [without, with] = best.map(|time| time.as_secs_f64());
    println!(
        "  the doctor adds to {what}: {:+.1} %",
        (with / without - 1.0) * 100.0
    );
}

/// For how long this thread has had a processor: other programs do not count.
fn busy() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).expect("time goes on")
}

fn health_checks(calls: u32) -> Talk {
    let mut talk = Talk::default();
    upgrade(&mut talk, "s1", &[FILE_SYNC, HEALTH]);
    for stream_id in (0..calls).map(|n| 1 + 2 * n) {
        talk.call(Daemon, stream_id, HEALTH, &[])
            .end(Daemon, stream_id)
            .accept(Client, stream_id)
            .status(Client, stream_id, 0, "");
    }
    talk
}

/// How long the doctor takes for one look at a trace with many rows.
fn tick() {
    let (calls, transfers) = (60_000, 100);
    let mut talk = health_checks(calls);
    for stream_id in (calls..calls + transfers).map(|n| 1 + 2 * n) {
        talk.call(Daemon, stream_id, FILE_SYNC, &[("dir-name", "context")])
            .accept(Client, stream_id)
            .packet(Client, stream_id, &stat("file", 0o644, 1));
    }
    let mut decoder = Decoder::new(Options::default());
    let tap = TapId(1);
    decoder.event(Time(1), tap, TapEvent::Open(Endpoints::default()));
    for (from, bytes) in &joined(talk) {
        let chunk = TapEvent::Chunk { from: *from, bytes };
        decoder.event(Time(2), tap, chunk);
    }
    let time = median(|| decoder.tick(Time(1_000_000_000)));
    println!(
        "one look of the doctor at {calls} calls and {transfers} open transfers: {time:.1?}, {:.2} % of a core at four \
         a second",
        4.0 * time.as_secs_f64() * 100.0
    );
}

const HEALTH: &str = "/grpc.health.v1.Health/Check";

/// Runs of one side in one piece: as a relay under load reads them.
fn joined(talk: Talk) -> Vec<(Side, Vec<u8>)> {
    let mut joined: Vec<(Side, Vec<u8>)> = Vec::new();
    for (from, bytes) in talk.0 {
        match joined.last_mut() {
            Some((last, all)) if *last == from => all.extend(bytes),
            _ => joined.push((from, bytes)),
        }
    }
    joined
}

fn decode(talk: &[(Side, Vec<u8>)]) {
    decode_with(talk, true);
}

fn decode_with(talk: &[(Side, Vec<u8>)], findings: bool) {
    let mut decoder = Decoder::new(Options {
        updates: true,
        findings,
        ..Options::default()
    });
    let tap = TapId(1);
    let now = Time(1);
    decoder.event(now, tap, TapEvent::Open(Endpoints::default()));
    for (from, bytes) in talk {
        for chunk in bytes.chunks(CHUNK) {
            decoder.event(
                now,
                tap,
                TapEvent::Chunk {
                    from: *from,
                    bytes: chunk,
                },
            );
        }
        while decoder.take_update().is_some() {}
    }
    assert!(
        decoder.trace().findings.is_empty(),
        "{:?}",
        decoder.trace().findings
    );
    black_box(decoder);
}

fn copy(talk: &[(Side, Vec<u8>)]) {
    let mut buffer = vec![0; CHUNK];
    for (_, bytes) in talk {
        for chunk in bytes.chunks(CHUNK) {
            buffer[..chunk.len()].copy_from_slice(chunk);
            black_box(&buffer);
        }
    }
}

fn median(mut run: impl FnMut()) -> Duration {
    run();
    let mut times: Vec<Duration> = (0..RUNS)
        .map(|_| {
            let start = Instant::now();
            run();
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[RUNS / 2]
}
