//! Recording: what the tap is told, into a capture file, off the relay's path.
//!
//! [`Recorder::event`] makes packets of an event and puts them into a queue in memory; a thread
//! writes the queue out. When the disk is slower than the connections for so long that the
//! queue is full, the connections wait for it, but for no more than a small part of the time
//! (`SLACK`); then what does not fit is left out: the file has a gap there, and the operator is
//! told. When writing fails, the recording is over, and nothing else is.
//!
//! What does not live here: the format of the file (`buildtap_fixtures::capture::write`), and
//! masking: what [`Recorder::event`] is given is written as it is.

mod about;
mod queue;

use std::collections::{HashMap, HashSet};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use buildtap_decoder::event::{Side, TapEvent, TapId, Time};
use buildtap_fixtures::capture::write::{About, Output, Writer};

pub use about::{about, command_line};

use self::queue::Queue;
use crate::notice::{Notice, Notices};

/// How many bytes of the file may wait in memory.
pub const QUEUE: usize = 64 * 1024 * 1024;

/// How long the relay may wait for the disk: so much in all, and so much of the time since the
/// recording began, in percent. A recording with gaps is of little use, and a disk that is a
/// little slower than memory for a moment is usual.
const SLACK: (Duration, u32) = (Duration::from_millis(500), 10);

/// What may wait beyond that of what is not payload: beginnings, ends and gaps of connections.
/// Connections that begin beyond it are not recorded.
const MARGIN: usize = 4 * 1024 * 1024;

/// Bytes that are worth a write. Fewer wait for more, for [`LINGER`].
const PLENTY: usize = 1024 * 1024;
const LINGER: Duration = Duration::from_millis(20);

/// From when on the page cache helps the disk: when so many bytes wait, as a part of the limit.
const HASTE: usize = 4;

/// How often a compressed file is made readable up to its present end.
const FLUSH: Duration = Duration::from_millis(500);

/// How long the end waits for the disk to take what is left.
const PATIENCE: Duration = Duration::from_secs(30);

/// Writes a capture of what it is told. It may be told from several threads.
#[derive(Debug)]
pub struct Recorder {
    shared: Arc<Shared>,
    done: Mutex<mpsc::Receiver<io::Result<u64>>>,
}

/// How a recording ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// All of it was written.
    Written(Recorded),
    /// It could not be written, as a notice has said.
    Failed,
    /// Nobody took what was left, for so long that nobody waits for it any more.
    Late,
}

/// What there is to say about a recording that was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Connections that are in it.
    pub connections: u64,
    /// Bytes that were written, before compression.
    pub bytes: u64,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    /// Blocks were written out.
    room: Condvar,
}

#[derive(Debug)]
struct State {
    writer: Writer<Queue>,
    limit: usize,
    began: Instant,
    /// How long the relay has waited for the disk.
    waited: Duration,
    connections: u64,
    /// The queue is too full for payload; it must be half empty before that is taken again.
    is_skipping: bool,
    /// Bytes of open connections, by side, that were left out and not told to the writer yet.
    left_out: HashMap<TapId, [u64; 2]>,
    /// Open connections that are not recorded.
    ignored: HashSet<TapId>,
    /// Something was left out, and nobody was told.
    tell_behind: bool,
    stop: bool,
    /// Nothing is taken any more.
    dead: bool,
}

impl Recorder {
    /// Begins a recording into `output`, which is called `path` in what is said of it. The head of
    /// the file is written at once: an error says that nothing can be written.
    pub fn start(
        output: Output,
        path: PathBuf,
        about: &About,
        notices: Notices,
    ) -> io::Result<Self> {
        Self::with_limit(output, path, about, notices, QUEUE)
    }

    /// The same with another limit than [`QUEUE`].
    pub fn with_limit(
        mut output: Output,
        path: PathBuf,
        about: &About,
        notices: Notices,
        limit: usize,
    ) -> io::Result<Self> {
        let mut writer = Writer::new(Queue::default(), about)?;
        let mut head = Vec::new();
        writer.get_mut().take(&mut head);
        let head_len = writer.get_ref().len() as u64;
        for block in &head {
            output.write_all(block)?;
        }
        output.flush()?;
        writer.get_mut().give_back(&mut head);
        let state = State {
            writer,
            limit,
            began: Instant::now(),
            waited: Duration::ZERO,
            connections: 0,
            is_skipping: false,
            left_out: HashMap::new(),
            ignored: HashSet::new(),
            tell_behind: false,
            stop: false,
            dead: false,
        };
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            changed: Condvar::new(),
            room: Condvar::new(),
        });
        let (sender, done) = mpsc::channel();
        let queue = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("record".into())
            .spawn(move || {
                let written = queue.write_out(output, &notices).map(|len| head_len + len);
                if let Err(error) = &written {
                    queue.lock().give_up();
                    queue.room.notify_all();
                    notices.tell(&Notice::RecordingFailed { path: &path, error });
                }
                // Nobody waits for it any more if this fails.
                let _ = sender.send(written);
            })?;
        Ok(Recorder {
            shared,
            done: Mutex::new(done),
        })
    }

    /// Records that `event` happened on connection `id` at `at`. Waits for the disk at most as
    /// long as `SLACK` says.
    ///
    /// Calls for one connection come in order; the order of calls is the order in the file.
    pub fn event(&self, at: Time, id: TapId, event: &TapEvent<'_>) {
        let mut state = self.shared.lock();
        if state.dead {
            return;
        }
        if let TapEvent::Chunk { bytes, .. } = event {
            state = self.shared.wait_for_room(state, bytes.len());
        }
        let before = state.writer.get_ref().waiting();
        state.take(at, id, event);
        let now = state.writer.get_ref().waiting();
        drop(state);
        if (before == 0 && now > 0) || (before < PLENTY && now >= PLENTY) {
            self.shared.changed.notify_one();
        }
    }

    /// Ends the recording, and waits until it is written.
    pub fn finish(&self) -> Ending {
        let connections = {
            let mut state = self.shared.lock();
            state.stop = true;
            state.dead = true;
            state.connections
        };
        self.shared.changed.notify_one();
        let done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        match done.recv_timeout(PATIENCE) {
            Ok(Ok(bytes)) => Ending::Written(Recorded { connections, bytes }),
            Ok(Err(_)) | Err(RecvTimeoutError::Disconnected) => Ending::Failed,
            Err(RecvTimeoutError::Timeout) => Ending::Late,
        }
    }
}

impl State {
    /// Whether so many bytes more are too many.
    fn is_full(&self, more: usize) -> bool {
        self.writer.get_ref().len().saturating_add(more) > self.limit
    }

    fn take(&mut self, at: Time, id: TapId, event: &TapEvent<'_>) {
        let queued = self.writer.get_ref().len();
        let beyond_margin = queued > self.limit.saturating_add(MARGIN);
        if self.is_skipping && queued <= self.limit / 2 {
            self.is_skipping = false;
        }
        match *event {
            TapEvent::Open(_) if beyond_margin => {
                self.ignored.insert(id);
                self.tell_behind = true;
                return;
            }
            TapEvent::Open(_) => self.connections += 1,
            TapEvent::Close { .. } if self.ignored.remove(&id) => return,
            _ if self.ignored.contains(&id) => return,
            TapEvent::Chunk { from, bytes } => {
                self.is_skipping |= queued.saturating_add(bytes.len()) > self.limit;
                if self.is_skipping {
                    let left_out = self.left_out.entry(id).or_default();
                    left_out[from.index()] += bytes.len() as u64;
                    self.tell_behind = true;
                    return;
                }
            }
            // Nothing comes of an `Unblocked` without it, so that the margin is enough.
            TapEvent::Blocked { .. } if beyond_margin => return,
            _ => {}
        }
        // The queue is memory: writing to it never fails.
        if let Some(left_out) = self.left_out.remove(&id) {
            for (from, bytes) in Side::BOTH.into_iter().zip(left_out) {
                if bytes > 0 {
                    let bytes = Some(bytes);
                    let _ = self.writer.event(at, id, &TapEvent::Gap { from, bytes });
                }
            }
        }
        let _ = self.writer.event(at, id, event);
    }

    /// Writing has failed: nothing is kept for it any more.
    fn give_up(&mut self) {
        self.dead = true;
        *self.writer.get_mut() = Queue::default();
        self.left_out = HashMap::new();
        self.ignored = HashSet::new();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until there is room for so many bytes, or for long enough.
    fn wait_for_room<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        more: usize,
    ) -> MutexGuard<'a, State> {
        if !state.is_full(more) {
            return state;
        }
        let (once, percent) = SLACK;
        let begun = Instant::now();
        while state.is_full(more) && !state.is_skipping && !state.dead {
            let allowed = once + state.began.elapsed() / 100 * percent;
            let left = allowed.saturating_sub(state.waited + begun.elapsed());
            if left.is_zero() {
                break;
            }
            self.changed.notify_one();
            let waited = self.room.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        state.waited += begun.elapsed();
        state
    }

    /// Waits until there is something to be done: bytes to be written, or written ones to be
    /// flushed when that is `due`.
    fn wait(&self, due: Option<Instant>) -> MutexGuard<'_, State> {
        let mut state = self.lock();
        loop {
            let waiting = state.writer.get_ref().waiting();
            if state.stop || state.tell_behind || waiting >= PLENTY {
                return state;
            }
            let patience = match (waiting, due) {
                (0, None) => {
                    let changed = self.changed.wait(state);
                    state = changed.unwrap_or_else(PoisonError::into_inner);
                    continue;
                }
                (0, Some(due)) => due.saturating_duration_since(Instant::now()),
                _ => LINGER,
            };
            let changed = self.changed.wait_timeout(state, patience);
            return changed.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Writes the queue out until the recording is stopped; gives how many bytes that were.
    fn write_out(&self, mut output: Output, notices: &Notices) -> io::Result<u64> {
        let mut total = 0;
        let mut flushed = Instant::now();
        let mut is_flushed = true;
        let mut told_behind = false;
        let mut blocks = Vec::new();
        loop {
            let mut state = self.wait((!is_flushed).then_some(flushed + FLUSH));
            let stop = state.stop;
            let tell_behind = std::mem::take(&mut state.tell_behind);
            state.writer.get_mut().take(&mut blocks);
            let is_behind = state.writer.get_ref().waiting() > state.limit / HASTE;
            drop(state);
            if tell_behind && !told_behind {
                told_behind = true;
                notices.tell(&Notice::RecordingBehind);
            }
            output.haste(is_behind);
            for block in &blocks {
                output.write_all(block)?;
                total += block.len() as u64;
                is_flushed = false;
            }
            if !is_flushed && flushed.elapsed() >= FLUSH {
                output.flush()?;
                flushed = Instant::now();
                is_flushed = true;
            }
            if blocks.is_empty() && stop {
                break;
            }
            self.lock().writer.get_mut().give_back(&mut blocks);
            self.room.notify_all();
        }
        output.finish()?;
        Ok(total)
    }
}
