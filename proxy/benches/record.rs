//! What recording costs: throughput of a 1 GiB local export with `--record` over without, on the
//! same disk, in alternating runs; the size of the file; and how fast it is read back, beside
//! `tshark -r` on the same file.
//!
//! ```text
//! cargo bench -p buildtap --bench record
//! BENCH_MIB=256 BENCH_ROUNDS=3 BENCH_DIR=/var/tmp BENCH_TSHARK=0 cargo bench -p buildtap --bench record
//! ```
//!
//! The receiving side writes what it gets to a file on that disk, as a client with a local export
//! does. Files are synchronised and removed between runs, outside of the measured time.

#[path = "../../decoder/tests/common/mod.rs"]
mod common;
mod measure;

use std::env;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use buildtap::address::Address;
use buildtap::listen::{Listener, PrivateDirectory};
use buildtap::notice::Notices;
use buildtap::record::{self, Ending, Recorder};
use buildtap::relay::{Phase, Relay};
use buildtap::tap::Tap;
use buildtap::watch::{DecodingTap, Showing};
use buildtap_decoder::Options;
use buildtap_fixtures::capture::write::create;
use buildtap_proto::fsutil::types::packet::PacketType;
use common::*;
use measure::*;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::watch;

/// Bytes of contents in one packet.
const BLOCK: u64 = 32 << 10;

/// What a run took, in seconds.
struct Cost {
    time: f64,
    processor_time: f64,
    /// Bytes that went through, and those of the recording.
    payload: u64,
    file: u64,
}

/// One local export through the relay, recorded to `file` if there is one.
fn export(
    runtime: &Runtime,
    directory: &Path,
    file: Option<&Path>,
    bytes: u64,
    store: bool,
    queue: usize,
) -> Cost {
    let home = TempDir::new_in(directory).unwrap();
    let exit = home.path().join("daemon.sock");
    let daemon = UnixListener::bind(&exit).unwrap();
    let recorder = file.map(|file| {
        let output = create(file).unwrap();
        let about = record::about(None, false);
        let (path, notices) = (file.to_owned(), Notices::stderr());
        Arc::new(Recorder::with_limit(output, path, &about, notices, queue).unwrap())
    });
    let options = Options {
        updates: true,
        ..Options::default()
    };
    let tap = Arc::new(DecodingTap::new(options).recording(recorder.clone()));
    let showing = Showing::start(Arc::clone(&tap), Silent).unwrap();
    let private = PrivateDirectory::create(home.path()).unwrap();
    let (stop, phase) = watch::channel(Phase::Serve);
    let (entrance, serving) = {
        let _in_runtime = runtime.enter();
        let listener = Listener::private(&private, "tap.sock").unwrap();
        let entrance = listener.address().path().unwrap().to_owned();
        let relay = Relay::new(tap as Arc<dyn Tap>, Notices::stderr());
        (
            entrance,
            runtime.spawn(relay.serve(listener, Address::Unix(exit), phase)),
        )
    };
    let mut client = UnixStream::connect(entrance).unwrap();
    let (mut daemon, _) = daemon.accept().unwrap();

    // The daemon sends a tree with one file to the client.
    let mut before = Talk::default();
    before.http2(Daemon);
    before.call(Daemon, 1, FILE_SEND, &[]);
    before.packet(Daemon, 1, &stat("file", 0o644, bytes as i64));
    before.packet(Daemon, 1, &plain(PacketType::PacketStat, 0));
    before.accept(Client, 1);
    before.packet(Client, 1, &plain(PacketType::PacketReq, 0));
    let mut payload = play(before, &mut client, &mut daemon);
    let mut block = Talk::default();
    block.packet(Daemon, 1, &data(0, vec![0x5a; BLOCK as usize]));
    let block: Vec<u8> = block.0.into_iter().flat_map(|(_, bytes)| bytes).collect();
    let blocks = bytes / BLOCK;
    let mut rest = blocks * block.len() as u64;
    payload += rest;
    let mut exported = store.then(|| File::create(home.path().join("exported")).unwrap());
    let (start, start_processor) = (Instant::now(), processor_time());
    let writing = thread::spawn(move || {
        for _ in 0..blocks {
            daemon.write_all(&block).unwrap();
        }
        daemon
    });
    let mut buffer = vec![0; 64 * 1024];
    while rest > 0 {
        let n = client.read(&mut buffer).unwrap();
        assert!(n > 0, "the connection ended early");
        if let Some(exported) = &mut exported {
            exported.write_all(&buffer[..n]).unwrap();
        }
        rest -= n as u64;
    }
    let mut daemon = writing.join().unwrap();
    let mut after = Talk::default();
    after.packet(Daemon, 1, &plain(PacketType::PacketData, 0));
    after.packet(Client, 1, &plain(PacketType::PacketFin, 0));
    after.packet(Daemon, 1, &plain(PacketType::PacketFin, 0));
    payload += play(after, &mut client, &mut daemon);
    let time = start.elapsed().as_secs_f64();
    for end in [client, daemon] {
        end.shutdown(Shutdown::Write).unwrap();
    }
    stop.send_replace(Phase::Drain);
    runtime.block_on(serving).unwrap();
    showing.finish();
    let mut written = 0;
    if let Some(recorder) = &recorder {
        match recorder.finish() {
            Ending::Written(recorded) => written = recorded.bytes,
            other => panic!("{other:?}"),
        }
    }
    let processor_time = processor_time() - start_processor;
    Cost {
        time,
        processor_time,
        payload,
        file: written,
    }
}

/// How long a command takes to read the file, and the most memory it had, in MiB.
fn reading(command: &mut Command) -> Option<(f64, u64)> {
    let start = Instant::now();
    let mut child = command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let status = PathBuf::from(format!("/proc/{}/status", child.id()));
    let mut peak = 0;
    loop {
        if let Ok(text) = fs::read_to_string(&status)
            && let Some(line) = text.lines().find(|line| line.starts_with("VmHWM:"))
        {
            let kib = line
                .split_whitespace()
                .nth(1)
                .and_then(|kib| kib.parse().ok());
            peak = kib.unwrap_or(peak);
        }
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success(), "{command:?}");
            return Some((start.elapsed().as_secs_f64(), peak / 1024));
        }
        thread::sleep(std::time::Duration::from_millis(2));
    }
}

fn main() {
    let bytes = setting("BENCH_MIB", 1024) << 20;
    let rounds = setting("BENCH_ROUNDS", 5).max(1);
    let directory = env::var_os("BENCH_DIR").map_or_else(env::temp_dir, PathBuf::from);
    let home = TempDir::new_in(&directory).unwrap();
    let file = home.path().join("export.pcapng");
    let runtime = Runtime::new().unwrap();
    println!(
        "local export of {} MiB, {rounds} rounds, in {}",
        bytes >> 20,
        directory.display()
    );
    let run = |file: Option<&Path>, store| {
        let cost = export(&runtime, home.path(), file, bytes, store, record::QUEUE);
        rustix::fs::sync();
        cost
    };
    for store in [true, false] {
        let (mut throughput, mut processor, mut rates) = (vec![], vec![], [vec![], vec![]]);
        let mut seconds = [vec![], vec![]];
        let mut noise = Vec::new();
        for _ in 0..rounds {
            let plain = run(None, store);
            let recorded = run(Some(&file), store);
            let again = run(None, store);
            // Recording between two runs without: a slow stretch of the machine hits both.
            let without = (plain.time + again.time) / 2.0;
            throughput.push(without / recorded.time);
            noise.push(plain.time / again.time);
            processor.push(recorded.processor_time / plain.processor_time);
            for (seconds, cost) in seconds.iter_mut().zip([&plain, &recorded]) {
                seconds.push(cost.processor_time / cost.payload as f64 * f64::from(1 << 30));
            }
            for (rates, cost) in rates.iter_mut().zip([&plain, &recorded]) {
                rates.push(cost.payload as f64 / cost.time / f64::from(1 << 20));
            }
            if store {
                println!(
                    "  file size {:.4} of the bytes relayed",
                    recorded.file as f64 / recorded.payload as f64
                );
                if recorded.file < recorded.payload {
                    println!("  the disk was too slow: what did not fit in memory was left out");
                }
            }
        }
        let what = if store {
            "client stores the export on the same disk"
        } else {
            "client drops the export"
        };
        let [without, with] = rates.each_mut().map(|rates| spread(rates));
        println!("{what}");
        println!(
            "  throughput recorded / not recorded  {}",
            spread(&throughput)
        );
        println!("  not recorded / not recorded again   {}", spread(&noise));
        println!(
            "  processor time, the same ratio      {}",
            spread(&processor)
        );
        let [idle, busy] = seconds.each_mut().map(|seconds| spread(seconds));
        println!("  processor seconds for a GiB, not    {idle}");
        println!("  processor seconds for a GiB, rec.   {busy}");
        println!("  MiB/s not recorded                  {without}");
        println!("  MiB/s recorded                      {with}");
    }
    // Whole, however slow the disk is at present.
    export(&runtime, home.path(), Some(&file), bytes, false, usize::MAX);
    let len = fs::metadata(&file).unwrap().len() as f64 / f64::from(1 << 30);
    let mut times = Vec::new();
    let mut memory = 0;
    for _ in 0..rounds {
        let mut show = Command::new(env!("CARGO_BIN_EXE_buildtap"));
        let (time, peak) = reading(show.arg("show").arg(&file)).unwrap();
        times.push(len / time);
        memory = memory.max(peak);
    }
    println!("reading it back, {len:.2} GiB");
    println!(
        "  buildtap show  {} GiB/s, at most {memory} MiB of memory",
        spread(&times)
    );
    if setting("BENCH_TSHARK", 1) == 1 {
        let mut tshark = Command::new("tshark");
        match reading(
            tshark
                .arg("-r")
                .arg(&file)
                .args(["-q", "-d", "tcp.port==2375,http2"]),
        ) {
            Some((time, peak)) => {
                println!(
                    "  tshark -r      {:5.3} GiB/s, {peak} MiB of memory",
                    len / time
                );
            }
            None => println!("  tshark is not installed"),
        }
    }
}
