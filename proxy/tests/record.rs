//! The recorder between a tap that must not wait and a disk that does what it likes.

use std::io::{self, Cursor, Write};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use buildtap::notice::{Notice, Notices};
use buildtap::record::{Ending, Recorded, Recorder, about};
use buildtap_decoder::event::{Closed, Endpoints, Side, TapEvent, TapId, Time};
use buildtap_fixtures::capture::write::Output;
use buildtap_fixtures::capture::{Capture, Notes, Options};

const DEADLINE: Duration = Duration::from_secs(30);

/// A disk that takes bytes only while its gate is open, and only so many.
#[derive(Clone, Debug)]
struct Disk(Arc<(Mutex<Held>, Condvar)>);

#[derive(Debug)]
struct Held {
    bytes: Vec<u8>,
    room: usize,
    is_open: bool,
}

impl Disk {
    fn new(room: usize) -> Self {
        let held = Held {
            bytes: Vec::new(),
            room,
            is_open: true,
        };
        Disk(Arc::new((Mutex::new(held), Condvar::new())))
    }

    /// Takes nothing more until it is opened.
    fn close(&self) {
        self.0.0.lock().unwrap().is_open = false;
    }

    fn open(&self) {
        self.0.0.lock().unwrap().is_open = true;
        self.0.1.notify_all();
    }

    fn bytes(&self) -> Vec<u8> {
        self.0.0.lock().unwrap().bytes.clone()
    }
}

impl Write for Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let (held, changed) = &*self.0;
        let wait = |held: &mut Held| !held.is_open;
        let mut held = changed.wait_while(held.lock().unwrap(), wait).unwrap();
        let room = held.room.saturating_sub(held.bytes.len());
        if room == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let taken = &bytes[..bytes.len().min(room)];
        held.bytes.extend(taken);
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What the operator was told.
#[derive(Clone, Debug, Default)]
struct Said(Arc<Mutex<Vec<String>>>);

impl Said {
    fn notices(&self) -> Notices {
        let said = self.clone();
        Notices::new(move |notice: &Notice<'_>| said.0.lock().unwrap().push(notice.to_string()))
    }

    fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

fn start(disk: &Disk, said: &Said, limit: usize) -> Recorder {
    let output = Output::to(disk.clone());
    let path = PathBuf::from("build.pcapng");
    Recorder::with_limit(output, path, &about(None, false), said.notices(), limit).unwrap()
}

/// The chunks of each side put together, and everything else.
#[derive(Debug, Default)]
struct Seen {
    bytes: [Vec<u8>; 2],
    missing: [u64; 2],
    closed: Vec<Closed>,
    opened: usize,
}

fn read(bytes: Vec<u8>) -> (Seen, Notes) {
    let mut capture = Capture::new(Cursor::new(bytes), Options::default());
    let mut seen = Seen::default();
    let mut finished = false;
    loop {
        match capture.next().unwrap().map(|event| event.event) {
            Some(TapEvent::Open(_)) => seen.opened += 1,
            Some(TapEvent::Chunk { from, bytes }) => seen.bytes[from.index()].extend(bytes),
            Some(TapEvent::Gap { from, bytes }) => seen.missing[from.index()] += bytes.unwrap(),
            Some(TapEvent::Close { how }) => seen.closed.push(how),
            Some(_) => {}
            None if finished => return (seen, capture.notes()),
            None => {
                finished = true;
                capture.finish().unwrap();
            }
        }
    }
}

const ID: TapId = TapId(0);

fn open() -> TapEvent<'static> {
    TapEvent::Open(Endpoints::default())
}

fn chunk(from: Side, bytes: &[u8]) -> TapEvent<'_> {
    TapEvent::Chunk { from, bytes }
}

fn wait_until(what: &str, ready: impl Fn() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !ready() {
        assert!(Instant::now() < deadline, "gave up waiting: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn all_is_written_in_order() {
    let (disk, said) = (Disk::new(usize::MAX), Said::default());
    let recorder = start(&disk, &said, 64 << 20);
    recorder.event(Time(1), ID, &open());
    let mut sent = Vec::new();
    for n in 0..2000_u64 {
        let bytes = vec![n as u8; 1 + n as usize * 7];
        recorder.event(Time(2 + n), ID, &chunk(Side::Daemon, &bytes));
        sent.extend(bytes);
    }
    let how = Closed::Reset { by: None };
    recorder.event(Time(5000), ID, &TapEvent::Close { how });
    let Ending::Written(Recorded { connections, bytes }) = recorder.finish() else {
        panic!("{said:?}");
    };
    assert_eq!(connections, 1);
    assert_eq!(bytes, disk.bytes().len() as u64);
    let (seen, notes) = read(disk.bytes());
    assert!(seen.bytes[1] == sent);
    assert_eq!(seen.closed, [how]);
    assert_eq!(notes.cut_tail, None);
    assert_eq!(said.all(), [""; 0]);
}

/// Nobody waits for a moment when there is much to write.
#[test]
fn a_little_is_written_soon() {
    let (disk, said) = (Disk::new(usize::MAX), Said::default());
    let recorder = start(&disk, &said, 64 << 20);
    recorder.event(Time(1), ID, &open());
    recorder.event(Time(2), ID, &chunk(Side::Client, b"hello"));
    wait_until("the bytes", || {
        disk.bytes().windows(5).any(|part| part == b"hello")
    });
}

#[test]
fn what_a_slow_disk_does_not_take_is_a_gap() {
    let limit = 1 << 20;
    let (disk, said) = (Disk::new(usize::MAX), Said::default());
    let recorder = start(&disk, &said, limit);
    disk.close();
    recorder.event(Time(1), ID, &open());
    let bytes = vec![0x5a; 64 * 1024];
    let begun = Instant::now();
    let mut sent = [0_u64; 2];
    for n in 0..1000 {
        let from = if n % 3 == 0 {
            Side::Client
        } else {
            Side::Daemon
        };
        recorder.event(Time(2 + n), ID, &chunk(from, &bytes));
        sent[from.index()] += bytes.len() as u64;
    }
    // 64 MB into a queue of one: it waited for a moment, and for no more.
    assert!(begun.elapsed() < DEADLINE / 2);
    disk.open();
    wait_until("the notice", || !said.all().is_empty());
    // When there is room again, it goes on.
    wait_until("the queue", || disk.bytes().len() > limit / 2);
    recorder.event(Time(5000), ID, &chunk(Side::Daemon, b"the end"));
    sent[1] += 7;
    recorder.event(Time(5001), ID, &TapEvent::HalfClose { from: Side::Daemon });
    let how = Closed::Abandoned;
    recorder.event(Time(5002), ID, &TapEvent::Close { how });
    assert!(matches!(recorder.finish(), Ending::Written(_)));
    let (seen, notes) = read(disk.bytes());
    assert_eq!((seen.opened, &seen.closed[..]), (1, &[how][..]));
    for side in [0, 1] {
        assert_eq!(
            seen.bytes[side].len() as u64 + seen.missing[side],
            sent[side]
        );
        assert!(seen.missing[side] > 0);
        assert!(!seen.bytes[side].is_empty());
    }
    assert!(notes.to_string().contains(" missing in 2 gaps"), "{notes}");
    let said = said.all();
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(
        said[0].contains("some bytes are left out of the recording"),
        "{said:?}"
    );
}

/// Connections that begin while not even their beginnings can be kept are left out as a whole.
#[test]
fn memory_is_bounded_whatever_happens() {
    let (disk, said) = (Disk::new(usize::MAX), Said::default());
    let recorder = start(&disk, &said, 1024);
    disk.close();
    let count = 60_000;
    for n in 0..count {
        let id = TapId(n);
        recorder.event(Time(n), id, &open());
        recorder.event(Time(n), id, &chunk(Side::Client, &[7; 2000]));
        recorder.event(Time(n), id, &TapEvent::Blocked { to: Side::Client });
        recorder.event(Time(n), id, &TapEvent::Unblocked { to: Side::Client });
        let how = Closed::Abandoned;
        recorder.event(Time(n), id, &TapEvent::Close { how });
    }
    disk.open();
    let Ending::Written(recorded) = recorder.finish() else {
        panic!("{said:?}");
    };
    assert!(recorded.bytes < 6 << 20, "{recorded:?}");
    assert!(
        (1000..count).contains(&recorded.connections),
        "{recorded:?}"
    );
    let (seen, _) = read(disk.bytes());
    assert_eq!(seen.opened as u64, recorded.connections);
    assert_eq!(seen.closed.len() as u64, recorded.connections);
    assert_eq!(said.all().len(), 1);
}

#[test]
fn a_full_disk_is_told_once() {
    let (disk, said) = (Disk::new(100_000), Said::default());
    let recorder = start(&disk, &said, 64 << 20);
    recorder.event(Time(1), ID, &open());
    for n in 0..200 {
        recorder.event(Time(2 + n), ID, &chunk(Side::Client, &[7; 10_000]));
    }
    wait_until("the notice", || !said.all().is_empty());
    recorder.event(Time(500), ID, &chunk(Side::Client, b"nobody takes it"));
    assert_eq!(recorder.finish(), Ending::Failed);
    let said = said.all();
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(
        said[0].starts_with("the recording in build.pcapng ends here ("),
        "{said:?}"
    );
    assert!(said[0].contains("make room on that disk"), "{said:?}");
    // Whole blocks are read, and the rest is told.
    let (seen, notes) = read(disk.bytes());
    assert!(seen.bytes[0].len() > 80_000);
    assert!(notes.cut_tail.is_some());
}
