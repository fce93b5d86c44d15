//! What the screen shows: a store of its own, which follows a decoder.
//!
//! A thread that reads a capture, or watches a relay, feeds the store ([`Feed`]); the screen
//! draws from it. The decoder is only locked while rows are copied, never while the screen is
//! drawn, and the store only while it is drawn, never while a terminal takes what was drawn.

mod activity;
mod diff;
mod feed;
mod frames;
mod messages;
mod pane;
mod waits;

use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use buildtap_decoder::Limits;
use buildtap_decoder::event::{TapId, Time};
use buildtap_decoder::trace::{self, Call, File, Follower, Id, Session, Text, Trace, Transfer};

pub use activity::{Activity, BUCKETS, sparkline};
pub use diff::{Diff, Difference};
pub use feed::Feed;
pub use frames::Frames;
pub use messages::{Key, Kind, Message, Messages};
pub(crate) use pane::SMALLEST;
pub use pane::{Pane, ToCommand};
pub use waits::{Wait, waits};

/// Files of one transfer that are kept once they are complete, the newest.
const FILES: usize = 4_096;
/// Texts that are kept, the newest.
const TEXTS: usize = 10_000;

/// Where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A relay, called so.
    Live(String),
    /// A capture file.
    File(PathBuf),
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Source::Live(name) => f.write_str(name),
            Source::File(path) => path.display().fmt(f),
        }
    }
}

/// How far it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// More may come.
    Live,
    /// So many bytes of so many are read.
    Loading(u64, Option<u64>),
    /// Nothing more will come; where it broke off, why.
    Over(Option<String>),
}

/// Whether messages whose bytes are not kept any more can be read again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recall {
    /// From nowhere.
    Impossible,
    /// From the file.
    Possible,
    /// That is being done.
    Running,
    /// It was tried: why there was nothing.
    Failed(String),
}

/// Everything that was seen, as the screen needs it.
#[derive(Debug)]
pub struct Store {
    follower: Follower,
    /// The messages.
    pub messages: Messages,
    /// HTTP/2 frames.
    pub frames: Frames,
    /// Files of transfers that are complete, by the transfer's number, the newest last.
    files: HashMap<u64, VecDeque<File>>,
    /// What was said for people, the newest last.
    texts: VecDeque<Text>,
    /// Where it comes from.
    pub source: Source,
    /// How far it is.
    pub progress: Progress,
    /// Whether what is forgotten can be read again.
    pub recall: Recall,
    /// The terminal of the command that runs, if one does.
    pub pane: Option<Pane>,
    /// How another capture differs from it, if two are open.
    pub diff: Option<Box<Diff>>,
    /// What the program has to say of itself: where it listens, what it could not do.
    pub notes: Vec<String>,
    /// Changes that were not taken fast enough.
    pub dropped: u64,
    /// The time of what was seen last.
    pub now: Time,
    activities: Activities,
    /// How much was said when, as it was when it was held still; `None` if it is not.
    held: Option<Box<Activities>>,
}

/// How much was said when, by the numbers of calls and sessions.
#[derive(Clone, Debug, Default)]
struct Activities {
    calls: HashMap<u64, Activity>,
    sessions: HashMap<u64, Activity>,
}

impl Store {
    /// With nothing in it.
    pub fn new(source: Source) -> Self {
        let progress = match source {
            Source::Live(_) => Progress::Live,
            Source::File(_) => Progress::Loading(0, None),
        };
        Store {
            follower: Follower::new(&Limits::default()),
            messages: Messages::default(),
            frames: Frames::default(),
            files: HashMap::new(),
            texts: VecDeque::new(),
            source,
            progress,
            recall: Recall::Impossible,
            pane: None,
            diff: None,
            notes: Vec::new(),
            dropped: 0,
            now: Time::default(),
            activities: Activities::default(),
            held: None,
        }
    }

    /// What was said, without its messages.
    pub fn trace(&self) -> &Trace {
        self.follower.trace()
    }

    /// The time that offsets count from: when the first client connected.
    pub fn origin(&self) -> Time {
        let first = self.trace().connections.iter().next();
        first.map_or(self.now, |first| first.opened)
    }

    fn activities(&self) -> &Activities {
        self.held.as_deref().unwrap_or(&self.activities)
    }

    /// How much was said on a call, over its life.
    pub fn activity_of_call(&self, call: Id<Call>) -> Option<&Activity> {
        self.activities().calls.get(&call.number())
    }

    /// How much was said in a session, over its life.
    pub fn activity_of_session(&self, session: Id<Session>) -> Option<&Activity> {
        self.activities().sessions.get(&session.number())
    }

    /// The files of a transfer that are complete, the newest last.
    pub fn files_of(&self, transfer: Id<Transfer>) -> impl DoubleEndedIterator<Item = &File> {
        let files = self.files.get(&transfer.number()).into_iter().flatten();
        let later = |file: &&File| file.completed.is_some_and(|at| at > self.now);
        files.filter(move |file| !self.is_paused() || !later(file))
    }

    /// What was said for people, the newest last.
    pub fn texts(&self) -> impl DoubleEndedIterator<Item = &Text> {
        let texts = self.texts.iter();
        texts.filter(|text| !self.is_paused() || text.at <= self.now)
    }

    /// Whether more may come.
    pub fn is_live(&self) -> bool {
        self.progress == Progress::Live
    }

    /// Whether it is held still.
    pub fn is_paused(&self) -> bool {
        self.held.is_some()
    }

    /// Holds still what is shown, or lets it go on. What is new is kept either way.
    fn hold(&mut self, still: bool) {
        if still == self.is_paused() {
            return;
        }
        self.held = still.then(|| Box::new(self.activities.clone()));
        let until = still.then_some(self.now);
        self.messages.hold(until);
        self.frames.hold(until);
    }

    fn add_file(&mut self, transfer: Id<Transfer>, file: File) {
        let files = self.files.entry(transfer.number()).or_default();
        if files.len() >= FILES {
            files.pop_front();
        }
        files.push_back(file);
    }

    fn add_text(&mut self, text: Text) {
        if self.texts.len() >= TEXTS {
            self.texts.pop_front();
        }
        self.texts.push_back(text);
    }
}

/// Saves what was said on some connections, or on all if none is named, as a capture; gives a
/// sentence about how that went.
pub type Saver = Arc<dyn Fn(&Path, &[TapId]) -> String + Send + Sync>;

/// Reads messages again, until it is told to stop; an error is a sentence without a stop.
pub type Reader = Arc<
    dyn Fn(HashMap<Key, u64>, &dyn Fn() -> bool) -> Result<Vec<(u64, trace::Message)>, String>
        + Send
        + Sync,
>;

/// A store that a thread feeds and the screen shows.
pub struct Shared {
    store: Mutex<Store>,
    /// Counts what was put into the store.
    revision: AtomicU64,
    /// The screen was left, or is to be.
    stop: AtomicBool,
    /// Saves what is asked for as a capture.
    saver: Mutex<Option<Saver>>,
    /// Reads messages again.
    reader: Mutex<Option<Reader>>,
    /// What is done to the command's terminal.
    command: Mutex<Option<SyncSender<ToCommand>>>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl Shared {
    /// A store with nothing in it.
    pub fn new(source: Source) -> Arc<Self> {
        Arc::new(Shared {
            store: Mutex::new(Store::new(source)),
            revision: AtomicU64::new(0),
            stop: AtomicBool::new(false),
            saver: Mutex::new(None),
            reader: Mutex::new(None),
            command: Mutex::new(None),
        })
    }

    /// The store. Not for long: who feeds it waits.
    pub fn lock(&self) -> MutexGuard<'_, Store> {
        // What it held before a panic is still worth showing.
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn try_lock(&self) -> Option<MutexGuard<'_, Store>> {
        match self.store.try_lock() {
            Ok(store) => Some(store),
            Err(std::sync::TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(std::sync::TryLockError::WouldBlock) => None,
        }
    }

    /// Says how far it is.
    pub fn set_progress(&self, progress: Progress) {
        self.lock().progress = progress;
        self.changed();
    }

    /// Says something of the program itself.
    pub fn note(&self, note: impl Into<String>) {
        const NOTES: usize = 256;
        let mut store = self.lock();
        if store.notes.len() < NOTES {
            store.notes.push(note.into());
        }
        drop(store);
        self.changed();
    }

    /// A command runs in a terminal of so many columns and lines; `sender` takes what is done to
    /// that from here.
    pub fn run(&self, columns: u16, lines: u16, sender: SyncSender<ToCommand>) {
        self.lock().pane = Some(Pane::new(columns, lines));
        *self.command.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
        self.changed();
    }

    /// Does something to the terminal of the command. It is lost if the command takes nothing.
    pub fn to_command(&self, what: ToCommand) {
        if let ToCommand::Resize(columns, lines) = what
            && let Some(pane) = &mut self.lock().pane
        {
            pane.resize(columns, lines);
        }
        let command = self.command.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = &*command {
            let _ = sender.try_send(what);
        }
    }

    /// The command printed this.
    pub fn printed(&self, bytes: &[u8]) {
        if let Some(pane) = &mut self.lock().pane {
            pane.print(bytes);
        }
        self.changed();
    }

    /// The command ended so.
    pub fn ended(&self, how: String) {
        if let Some(pane) = &mut self.lock().pane {
            pane.end(how);
        }
        self.changed();
    }

    /// Another capture is open beside this one: what is in `other` moves here.
    pub fn compare(&self, other: Arc<Shared>, differences: Vec<Difference>, common: usize) {
        let taken = Store::new(Source::File(PathBuf::new()));
        let other = std::mem::replace(&mut *other.lock(), taken);
        self.lock().diff = Some(Box::new(Diff {
            other,
            differences,
            common,
        }));
        self.changed();
    }

    /// Lets what is shown be saved as a capture.
    pub fn save_with(&self, saver: Saver) {
        *self.saver.lock().unwrap_or_else(PoisonError::into_inner) = Some(saver);
    }

    /// Saves as a capture what was said on some connections, or on all if none is named, in a
    /// thread of its own; a note tells how that went.
    pub fn save(self: &Arc<Self>, path: PathBuf, taps: Vec<TapId>) {
        let saver = self.saver.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(saver) = saver.clone() else {
            self.note(
                "what is watched is not recorded: start with --record FILE to save captures of it",
            );
            return;
        };
        let shared = Arc::clone(self);
        let thread = std::thread::Builder::new().name("save".into());
        let started = thread.spawn(move || shared.note(saver(&path, &taps)));
        if let Err(error) = started {
            self.note(format!("cannot start a thread ({error})"));
        }
    }

    /// Lets messages whose bytes are not kept any more be read again.
    pub fn recall_with(&self, reader: Reader) {
        *self.reader.lock().unwrap_or_else(PoisonError::into_inner) = Some(reader);
        self.lock().recall = Recall::Possible;
    }

    /// Reads messages again, by their places among all, in a thread of its own.
    pub fn recall(self: &Arc<Self>, places: Vec<u64>) {
        let reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(reader) = reader.clone() else { return };
        let mut store = self.lock();
        if store.recall == Recall::Running {
            return;
        }
        let key = |seq: u64| {
            let message = store.messages.get(seq)?;
            let (call, from, number) = (message.call, message.from, message.number);
            Some((Key { call, from, number }, seq))
        };
        let wanted: HashMap<Key, u64> = places.into_iter().filter_map(key).collect();
        store.recall = Recall::Running;
        drop(store);
        let shared = Arc::clone(self);
        let thread = std::thread::Builder::new().name("recall".into());
        let started = thread.spawn(move || {
            let again = reader(wanted, &|| shared.is_stopped());
            let mut store = shared.lock();
            store.recall = match again {
                Ok(again) if again.is_empty() => {
                    Recall::Failed("they are not in the file any more".to_owned())
                }
                Ok(again) => {
                    store.messages.recall(again);
                    Recall::Possible
                }
                Err(why) => Recall::Failed(why),
            };
            drop(store);
            shared.changed();
        });
        if let Err(error) = started {
            self.lock().recall = Recall::Failed(format!("cannot start a thread ({error})"));
        }
    }

    /// Holds what is shown still, or lets it go on.
    pub fn pause(&self, paused: bool) {
        self.lock().hold(paused);
        self.changed();
    }

    /// A number that grows with every change.
    pub fn revision(&self) -> u64 {
        self.revision.load(Ordering::Acquire)
    }

    fn changed(&self) {
        self.revision.fetch_add(1, Ordering::AcqRel);
    }

    /// Asks for the end: of the screen, and of who feeds it.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Release);
    }

    /// Whether the end was asked for.
    pub fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }
}
