//! The bars of the screen, printed as ratios: a capture of a million messages opens, a session of
//! fifty thousand messages a second is shown live.
//!
//! `cargo bench -p buildtap-tui` prints a line for each.

use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use buildtap_decoder::describe::Describer;
use buildtap_decoder::event::{Closed, Endpoints, Side, TapEvent, TapId, Time};
use buildtap_decoder::{Decoder, Options};
use buildtap_fixtures::capture::{self, write};
use buildtap_proto::schema::Schemas;
use buildtap_tui::app::App;
use buildtap_tui::model::{Feed, Progress, Shared, Source};
use buildtap_tui::palette::Palette;
use buildtap_tui::view::Tab;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

/// Messages of the capture.
const MESSAGES: u64 = 1_000_000;
/// Messages in one chunk that a tap sees.
const IN_CHUNK: u64 = 200;
/// The frames of a live session that are asked for.
const FRAMES_PER_SECOND: u64 = 20;
/// Messages per second of the live session.
const PER_SECOND: u64 = 50_000;

fn main() {
    // Whoever runs all tests wants to know that it runs, not how fast.
    let is_test = std::env::args().any(|argument| argument == "--test");
    let messages = if is_test { 2_000 } else { MESSAGES };
    opens(messages);
    frames(messages);
    live(if is_test { 1 } else { 5 });
}

/// What the daemon is sent as client: the preface, SETTINGS, and the headers of a FileSync call.
fn beginning() -> Vec<u8> {
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    frame(&mut bytes, 4, 0, 0, &[]);
    let mut headers = vec![0x83, 0x86];
    let mut literal = |name: &str, value: &str| {
        headers.push(0x00);
        for text in [name, value] {
            headers.push(text.len() as u8);
            headers.extend_from_slice(text.as_bytes());
        }
    };
    literal(":path", "/moby.filesync.v1.FileSync/DiffCopy");
    literal("content-type", "application/grpc");
    literal("dir-name", "context");
    frame(&mut bytes, 1, 4, 1, &headers);
    bytes
}

/// How the daemon answers: SETTINGS, and response headers.
fn answer() -> Vec<u8> {
    let mut bytes = Vec::new();
    frame(&mut bytes, 4, 0, 0, &[]);
    // :status 200
    frame(&mut bytes, 1, 4, 1, &[0x88]);
    bytes
}

fn frame(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    out.extend_from_slice(&(payload.len() as u32).to_be_bytes()[1..]);
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
}

/// STAT packets of files, from number `from` on, in DATA frames.
fn stats(from: u64, count: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut data = Vec::new();
    for number in from..from + count {
        let path = format!("src/module-{:04}/file-{number:08}.rs", number / 256);
        let mut stat = vec![0x0a, path.len() as u8];
        stat.extend_from_slice(path.as_bytes());
        // mode 0644, size 5.
        stat.extend_from_slice(&[0x10, 0xa4, 0x03, 0x28, 0x05]);
        let mut packet = vec![0x12, stat.len() as u8];
        packet.extend_from_slice(&stat);
        data.push(0);
        data.extend_from_slice(&(packet.len() as u32).to_be_bytes());
        data.extend_from_slice(&packet);
    }
    for part in data.chunks(16_384) {
        frame(&mut bytes, 0, 0, 1, part);
    }
    bytes
}

const TAP: TapId = TapId(1);

/// The events of a session with so many messages, one per microsecond.
fn session(messages: u64, mut each: impl FnMut(Time, TapEvent<'_>)) {
    let start = Time(1_700_000_000_000_000_000);
    each(start, TapEvent::Open(Endpoints::default()));
    let bytes = beginning();
    each(
        start,
        TapEvent::Chunk {
            from: Side::Client,
            bytes: &bytes,
        },
    );
    let bytes = answer();
    each(
        start,
        TapEvent::Chunk {
            from: Side::Daemon,
            bytes: &bytes,
        },
    );
    for from in (0..messages).step_by(IN_CHUNK as usize) {
        let bytes = stats(from, IN_CHUNK.min(messages - from));
        let at = start.after(Duration::from_micros(from));
        each(
            at,
            TapEvent::Chunk {
                from: Side::Daemon,
                bytes: &bytes,
            },
        );
    }
    let end = start.after(Duration::from_micros(messages));
    each(
        end,
        TapEvent::Close {
            how: Closed::Abandoned,
        },
    );
}

fn options() -> Options {
    Options {
        updates: true,
        messages: true,
        frames: true,
        ..Options::default()
    }
}

fn app() -> App {
    App::new(
        Describer::new(Schemas::default(), false),
        Palette::new(true),
    )
}

fn draw(app: &mut App, shared: &Shared, buf: &mut Buffer) -> Duration {
    let begun = Instant::now();
    let store = shared.lock();
    let area = buf.area;
    buf.reset();
    app.draw(&store, store.now, area, buf);
    begun.elapsed()
}

fn memory(what: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(what));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    kib.unwrap_or(0) / 1024
}

/// A file is read in a thread while the screen draws it, as `buildtap view` does.
fn opens(messages: u64) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("million.pcapng");
    let output = write::create(&path).unwrap();
    let mut writer =
        write::Writer::new(std::io::BufWriter::new(output), &write::About::here()).unwrap();
    session(messages, |at, event| writer.event(at, TAP, &event).unwrap());
    drop(writer);
    let size = std::fs::metadata(&path).unwrap().len() >> 20;

    let alone = {
        let begun = Instant::now();
        let mut decoder = Decoder::new(options());
        read(&path, |time, tap, event| {
            decoder.event(time, tap, event);
            while decoder.take_update().is_some() {}
        });
        begun.elapsed()
    };
    let begun = Instant::now();
    let shared = Shared::new(Source::File(path.clone()));
    let loading = thread::spawn({
        let shared = Arc::clone(&shared);
        move || load(&path, &shared)
    });
    let mut app = app();
    let mut buf = Buffer::empty(Rect::new(0, 0, 200, 60));
    let mut first = None;
    let mut slowest = Duration::ZERO;
    while !loading.is_finished() {
        slowest = slowest.max(draw(&mut app, &shared, &mut buf));
        let is_seen = !shared.lock().trace().calls.is_empty();
        if first.is_none() && is_seen {
            first = Some(begun.elapsed());
        }
        thread::sleep(Duration::from_millis(50));
    }
    loading.join().unwrap();
    let all = begun.elapsed();
    let kept = shared.lock().messages.len();
    assert_eq!(kept as u64, messages);
    println!(
        "a capture of {kept} messages ({size} MiB): first screen after {} ms, all of it after {} ms \
         ({:.2} × decoding alone), slowest picture meanwhile {} ms, memory at most {} MiB",
        first.unwrap_or(all).as_millis(),
        all.as_millis(),
        all.as_secs_f64() / alone.as_secs_f64(),
        slowest.as_millis(),
        memory("VmHWM:"),
    );
}

fn read(path: &std::path::Path, mut each: impl FnMut(Time, TapId, TapEvent<'_>)) {
    let mut capture = capture::open(path, capture::Options::default()).unwrap();
    while let Some(event) = capture.next().unwrap() {
        each(event.time, event.tap, event.event);
    }
    capture.finish().unwrap();
    while let Some(event) = capture.next().unwrap() {
        each(event.time, event.tap, event.event);
    }
}

fn load(path: &std::path::Path, shared: &Arc<Shared>) {
    let mut decoder = Decoder::new(options());
    let mut feed = Feed::new(Arc::clone(shared));
    let mut batch = 0;
    read(path, |time, tap, event| {
        decoder.event(time, tap, event);
        feed.take(&mut decoder, &mut |_, _, _| {});
        batch += 1;
        if batch % 64 == 0 {
            feed.put();
        }
    });
    decoder.finish();
    feed.catch_up(&mut decoder);
    shared.set_progress(Progress::Over(None));
}

/// How long it takes to draw each view with all of it loaded.
fn frames(messages: u64) {
    let shared = Shared::new(Source::Live("bench".into()));
    let mut decoder = Decoder::new(options());
    let mut feed = Feed::new(Arc::clone(&shared));
    session(messages, |at, event| {
        decoder.event(at, TAP, event);
        feed.take(&mut decoder, &mut |_, _, _| {});
        feed.put();
    });
    feed.catch_up(&mut decoder);
    for tab in Tab::ALL {
        let mut app = app();
        app.open(tab);
        let mut buf = Buffer::empty(Rect::new(0, 0, 200, 60));
        draw(&mut app, &shared, &mut buf);
        let mut times: Vec<Duration> = (0..20).map(|_| draw(&mut app, &shared, &mut buf)).collect();
        times.sort_unstable();
        println!(
            "{:<12} of {messages} messages at 200×60: {:.2} ms a picture, slowest of 20 {:.2} ms",
            tab.title(),
            times[10].as_secs_f64() * 1e3,
            times[19].as_secs_f64() * 1e3,
        );
    }
}

/// A decoder under a lock, as the relay has it, that is told fifty thousand messages a second
/// while a feed takes from it and a screen draws.
fn live(seconds: u64) {
    let shared = Shared::new(Source::Live("bench".into()));
    let decoder = Arc::new(Mutex::new(Decoder::new(options())));
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let is_stopped = || stop.load(std::sync::atomic::Ordering::Relaxed);
    let (frames, slowest, held) = thread::scope(|scope| {
        let feeding = scope.spawn(|| {
            let mut feed = Feed::new(Arc::clone(&shared));
            let mut held = Duration::ZERO;
            while !is_stopped() {
                let mut decoder = decoder.lock().unwrap();
                let begun = Instant::now();
                feed.take(&mut decoder, &mut |_, _, _| {});
                held = held.max(begun.elapsed());
                drop(decoder);
                feed.put();
                thread::sleep(Duration::from_millis(20));
            }
            feed.catch_up(&mut decoder.lock().unwrap());
            held
        });
        let drawing = scope.spawn(|| {
            let mut app = app();
            app.open(Tab::Messages);
            let mut buf = Buffer::empty(Rect::new(0, 0, 200, 60));
            let (mut frames, mut slowest) = (0u64, Duration::ZERO);
            let mut next = Instant::now();
            while !is_stopped() {
                slowest = slowest.max(draw(&mut app, &shared, &mut buf));
                frames += 1;
                next += Duration::from_millis(1000 / FRAMES_PER_SECOND);
                thread::sleep(next.saturating_duration_since(Instant::now()));
            }
            (frames, slowest)
        });
        let begun = Instant::now();
        session(PER_SECOND * seconds, |at, event| {
            decoder.lock().unwrap().event(at, TAP, event);
            // One chunk of 200 messages every 4 ms is 50 000 a second.
            let due = at.since(Time(1_700_000_000_000_000_000)) * (1_000_000 / PER_SECOND) as u32;
            thread::sleep(due.saturating_sub(begun.elapsed()));
        });
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        let (frames, slowest) = drawing.join().unwrap();
        (frames, slowest, feeding.join().unwrap())
    });
    let store = shared.lock();
    println!(
        "live at {PER_SECOND} messages a second: {:.1} pictures a second, slowest {:.2} ms; decoder \
         held for at most {:.2} ms; {} of {} messages shown, {} left out",
        frames as f64 / seconds as f64,
        slowest.as_secs_f64() * 1e3,
        held.as_secs_f64() * 1e3,
        store.messages.len(),
        PER_SECOND * seconds,
        store.dropped,
    );
}
