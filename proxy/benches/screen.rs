//! How soon the screen answers to a key while fifty thousand messages a second pass the relay: the
//! real program in a pseudo-terminal, between a client and a daemon that only talk.
//!
//! ```text
//! cargo bench -p buildtap --bench screen
//! BENCH_KEYS=50 BENCH_MESSAGES=100000 cargo bench -p buildtap --bench screen
//! ```
//!
//! A key is answered when the picture that it asks for has arrived at the other end of the
//! pseudo-terminal. The bar is 100 ms.

#[path = "../../decoder/tests/common/mod.rs"]
mod common;
mod measure;

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use buildtap_proto::fsutil::types::packet::PacketType;
use common::*;
use measure::*;
use portable_pty::{CommandBuilder, PtySize, native_pty_system};

/// Messages in one write of the client.
const IN_CHUNK: u64 = 200;
/// Keys, and what is seen when each has been answered.
const KEYS: &[(&str, &str)] = &[
    ("2", "in words"),
    ("3", "client   daemon"),
    ("4", "asked for"),
    ("7", "connection, request"),
    ("?", "moving"),
    ("?", "connection, request"),
    ("1", "waiting for"),
];
/// How long a key may take before the bench gives up.
const DEADLINE: Duration = Duration::from_secs(20);

/// The program in its terminal.
struct Terminal {
    parser: vt100::Parser,
    output: Receiver<Vec<u8>>,
    writer: Box<dyn Write + Send>,
    child: Box<dyn portable_pty::Child + Send + Sync>,
}

impl Terminal {
    fn start(home: &Path) -> Self {
        let pty = native_pty_system();
        let size = PtySize {
            rows: 60,
            cols: 200,
            ..PtySize::default()
        };
        let pty = pty.openpty(size).unwrap();
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_buildtap"));
        let address = |name: &str| format!("unix://{}", home.join(name).display());
        command.args(["proxy", "--tui", "--listen", &address("tap.sock")]);
        command.args(["--upstream", &address("daemon.sock")]);
        command.env_clear();
        command.env("TERM", "xterm-256color");
        command.cwd(home);
        let child = pty.slave.spawn_command(command).unwrap();
        let mut reader = pty.master.try_clone_reader().unwrap();
        let writer = pty.master.take_writer().unwrap();
        let (sender, output) = channel();
        thread::spawn(move || {
            // The terminal is there as long as this runs.
            let _master = pty.master;
            let mut buffer = vec![0; 64 << 10];
            while let Ok(read @ 1..) = reader.read(&mut buffer) {
                if sender.send(buffer[..read].to_vec()).is_err() {
                    break;
                }
            }
        });
        Terminal {
            parser: vt100::Parser::new(60, 200, 0),
            output,
            writer,
            child,
        }
    }

    /// Waits until this is seen.
    fn wait_for(&mut self, wanted: &str) {
        let deadline = Instant::now() + DEADLINE;
        while !self.parser.screen().contents().contains(wanted) {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.output.recv_timeout(left) {
                Ok(bytes) => self.parser.process(&bytes),
                Err(_) => panic!("{wanted:?} is not in\n{}", self.parser.screen().contents()),
            }
        }
    }

    /// Takes what is printed for so long.
    fn idle(&mut self, time: Duration) {
        let until = Instant::now() + time;
        while let left @ 1.. = until.saturating_duration_since(Instant::now()).as_nanos() {
            let left = Duration::from_nanos(left as u64);
            if let Ok(bytes) = self.output.recv_timeout(left) {
                self.parser.process(&bytes);
            }
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// STAT packets of files, so many from number `from` on, as the client sends them.
fn stats(from: u64, count: u64) -> Vec<u8> {
    let mut talk = Talk::default();
    for number in from..from + count {
        let path = format!("src/module-{:06}/file-{number:08}.rs", number / 256);
        talk.packet(Client, 1, &stat(&path, 0o644, 5));
    }
    talk.0.into_iter().flat_map(|(_, bytes)| bytes).collect()
}

/// Sends so many messages a second until told to stop, and counts them.
fn talk(mut client: UnixStream, per_second: u64, stop: &AtomicBool, sent: &AtomicU64) {
    let begun = Instant::now();
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        client.write_all(&stats(number, IN_CHUNK)).unwrap();
        number += IN_CHUNK;
        sent.store(number, Ordering::Relaxed);
        let due = Duration::from_secs_f64(number as f64 / per_second as f64);
        thread::sleep(due.saturating_sub(begun.elapsed()));
    }
}

fn main() {
    // Whoever runs all tests wants to know that it runs, not how fast.
    let is_test = std::env::args().any(|argument| argument == "--test");
    let keys = setting("BENCH_KEYS", if is_test { 7 } else { 140 });
    let per_second = setting("BENCH_MESSAGES", if is_test { 2_000 } else { 50_000 });
    let home = tempfile::tempdir().unwrap();
    let daemon = UnixListener::bind(home.path().join("daemon.sock")).unwrap();
    let mut terminal = Terminal::start(home.path());
    terminal.wait_for("listens");
    let mut client = UnixStream::connect(home.path().join("tap.sock")).unwrap();
    let (mut daemon, _) = daemon.accept().unwrap();
    let mut before = Talk::default();
    before.http2(Client);
    before.call(Client, 1, FILE_SEND, &[]);
    before.packet(Client, 1, &stat("a", 0o644, 5));
    before.accept(Daemon, 1);
    before.packet(Daemon, 1, &plain(PacketType::PacketReq, 0));
    play(before, &mut client, &mut daemon);
    thread::spawn(move || std::io::copy(&mut daemon, &mut std::io::sink()));
    let (stop, sent) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU64::new(0)),
    );
    let talking = thread::spawn({
        let (stop, sent) = (Arc::clone(&stop), Arc::clone(&sent));
        move || talk(client, per_second, &stop, &sent)
    });
    terminal.wait_for("FileSend");

    let mut times = Vec::new();
    let begun = Instant::now();
    let first = sent.load(Ordering::Relaxed);
    for (at, (key, seen)) in (0..keys).zip(KEYS.iter().cycle()) {
        // Not in step with the pictures.
        terminal.idle(Duration::from_millis(40 + at * 17 % 90));
        let pressed = Instant::now();
        terminal.writer.write_all(key.as_bytes()).unwrap();
        terminal.wait_for(seen);
        times.push(pressed.elapsed());
    }
    let rate = (sent.load(Ordering::Relaxed) - first) as f64 / begun.elapsed().as_secs_f64();
    stop.store(true, Ordering::Relaxed);
    drop(terminal);
    // The relay is gone by now.
    let _ = talking.join();
    times.sort_unstable();
    let at =
        |part: usize| times[(times.len() * part / 100).min(times.len() - 1)].as_secs_f64() * 1e3;
    println!(
        "{rate:.0} messages a second: {} keys answered after {:.1} ms (median), {:.1} ms (p95), {:.1} ms (slowest)",
        times.len(),
        at(50),
        at(95),
        at(100),
    );
}
