//! What both ends of a packet stream announced, asked for, sent and owe.
//!
//! The sender walks its tree (STAT…, final STAT) and serves requests (DATA…, empty DATA); the
//! receiver asks (REQ), then says that it needs no more (FIN), which the sender answers with FIN.

use std::collections::{BTreeMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use super::entries::{Entries, Entry, EntryKind};
use super::packet::{Packet, PacketType};
use crate::event::{Side, Time};
use crate::obligation::Act;
use crate::trace::{File, FileState, Turn};

/// Requests that may be open at once before they are only counted.
const IN_FLIGHT_LIMIT: usize = 65_536;

/// Bytes that it takes to remember a file that hard links may point at.
const LINK_BYTES: usize = 24;

/// Directories inside one another of which parents are checked.
const DEPTH_LIMIT: usize = 256;

/// Files that nobody asked for whose names are in an outline, and entries that are looked at to find them.
const UNASKED_KEPT: usize = 64;
const ENTRIES_LOOKED_AT: usize = 1_024;

/// Files that were open at the end of their transfer whose names are kept.
const OPEN_FILES_KEPT: usize = 1_024;

/// The state of one packet stream.
#[derive(Debug)]
pub struct Machine {
    sender: Side,
    entries: Entries,
    /// Regular files, whose contents can be asked for.
    files: u64,
    hard_links: u64,
    announced_bytes: u64,
    requested: u64,
    completed: u64,
    data_bytes: u64,
    in_flight: BTreeMap<u32, InFlight>,
    in_flight_lost: u64,
    /// In an outline: the first files, as long as none was asked for.
    unasked: Vec<(u32, String, u64)>,
    last_path: String,
    /// The directory announced last.
    directory: String,
    /// How much of its path leads to the directories that were announced on the way to it, and are
    /// left: an entry's parent is one of them.
    parents: Vec<usize>,
    /// What hard links may point at, as far as there is room.
    linkable: HashSet<u64>,
    /// There was not enough.
    links_lost: bool,
    final_stat: Option<Time>,
    fin: [Option<Time>; 2],
    err: Option<(Time, Side, String)>,
    /// When the last packet of each side was sent.
    last: [Option<Time>; 2],
    packets: [u64; 2],
    opened: Time,
}

#[derive(Debug)]
struct InFlight {
    requested: Time,
    /// When the first DATA for it was sent.
    began: Option<Time>,
    bytes: u64,
    /// What was announced of it, once the entries are forgotten.
    announced: Option<(String, u64)>,
}

/// What a packet did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing that needs saying.
    Moved,
    /// The contents of a file are complete.
    FileDone(File),
    /// FIN was answered by FIN: the transfer is complete.
    Complete,
    /// A side gave up, with this text.
    Failed {
        /// Who.
        by: Side,
        /// Why.
        text: String,
    },
    /// The packet breaks a rule of the protocol.
    Violation(Violation),
}

/// A rule that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Violation {
    /// The paths of two STATs in a row do not ascend (`validator.go`).
    OutOfOrder {
        /// The path announced before.
        before: String,
        /// The path announced after it, which should have come first.
        after: String,
    },
    /// A path that is absolute, unclean or leads out of the tree.
    BadPath(String),
    /// An entry whose directory was not announced before it (`validator.go`).
    NoParent(String),
    /// A hard link to a file that was not announced before it (`hardlinks.go`).
    BadLink {
        /// The path of the link.
        path: String,
        /// What it points at.
        target: String,
    },
    /// REQ for an id that was not announced, or is not a regular file.
    BadRequest {
        /// The id.
        id: u32,
        /// What is there instead.
        what: &'static str,
    },
    /// REQ for an id whose contents were asked for before.
    RequestedTwice(u32),
    /// DATA for an id that was not asked for.
    UnexpectedData(u32),
    /// A packet from the wrong side.
    WrongSide {
        /// What it is.
        kind: PacketType,
        /// Who sent it.
        from: Side,
    },
    /// FIN from the receiver before the listing was complete.
    EarlyFin,
}

impl Machine {
    /// A stream on which `sender` sends the files.
    pub(crate) fn new(sender: Side, opened: Time) -> Self {
        Machine {
            sender,
            entries: Entries::default(),
            files: 0,
            hard_links: 0,
            announced_bytes: 0,
            requested: 0,
            completed: 0,
            data_bytes: 0,
            in_flight: BTreeMap::new(),
            in_flight_lost: 0,
            unasked: Vec::new(),
            last_path: String::new(),
            directory: String::new(),
            parents: Vec::new(),
            linkable: HashSet::new(),
            links_lost: false,
            final_stat: None,
            fin: [None; 2],
            err: None,
            last: [None; 2],
            packets: [0; 2],
            opened,
        }
    }

    /// Takes the next packet of `from`. An entry that it announces may take `room` bytes.
    pub(crate) fn packet(&mut self, at: Time, from: Side, packet: &Packet, room: usize) -> Step {
        if let Some(last) = self.last.get_mut(from.index()) {
            *last = Some(at);
        }
        if let Some(count) = self.packets.get_mut(from.index()) {
            *count = count.saturating_add(1);
        }
        let from_sender = from == self.sender;
        match packet.kind {
            PacketType::Stat | PacketType::Data if !from_sender => {
                Step::Violation(Violation::WrongSide {
                    kind: packet.kind,
                    from,
                })
            }
            PacketType::Req if from_sender => Step::Violation(Violation::WrongSide {
                kind: packet.kind,
                from,
            }),
            PacketType::Stat => self.stat(at, packet, room),
            PacketType::Req => self.request(at, packet.id),
            PacketType::Data => self.data(at, packet),
            PacketType::Fin => self.fin(at, from),
            PacketType::Err => {
                let text = packet.text.clone().unwrap_or_default();
                self.err.get_or_insert((at, from, text.clone()));
                Step::Failed { by: from, text }
            }
            PacketType::Other(_) => Step::Violation(Violation::WrongSide {
                kind: packet.kind,
                from,
            }),
        }
    }

    fn stat(&mut self, at: Time, packet: &Packet, room: usize) -> Step {
        let Some(stat) = &packet.stat else {
            self.final_stat.get_or_insert(at);
            return Step::Moved;
        };
        let before = self.entries.bytes();
        self.entries.add(stat, room);
        match EntryKind::of(stat) {
            EntryKind::File => {
                self.files = self.files.saturating_add(1);
                self.announced_bytes = self
                    .announced_bytes
                    .saturating_add(u64::try_from(stat.size).unwrap_or(0));
            }
            EntryKind::HardLink => self.hard_links = self.hard_links.saturating_add(1),
            _ => {}
        }
        let kind = EntryKind::of(stat);
        let has_parent = self.enter(&stat.path, kind);
        let step = if !is_clean(&stat.path) {
            Step::Violation(Violation::BadPath(stat.path.clone()))
        } else if !self.last_path.is_empty() && !ascends(&self.last_path, &stat.path) {
            Step::Violation(Violation::OutOfOrder {
                before: self.last_path.clone(),
                after: stat.path.clone(),
            })
        } else if !has_parent {
            Step::Violation(Violation::NoParent(stat.path.clone()))
        } else if kind == EntryKind::HardLink && !self.is_linkable(&stat.linkname) {
            Step::Violation(Violation::BadLink {
                path: stat.path.clone(),
                target: stat.linkname.clone(),
            })
        } else {
            Step::Moved
        };
        if kind == EntryKind::File {
            let grown = self.entries.bytes().saturating_sub(before);
            self.remember(&stat.path, room.saturating_sub(grown));
        }
        self.last_path.clone_from(&stat.path);
        step
    }

    /// Goes on to this entry in the listing; gives whether its directory was announced, and is
    /// one that leads to where the listing is.
    fn enter(&mut self, path: &str, kind: EntryKind) -> bool {
        let parent = path.rsplit_once('/').map(|(parent, _)| parent);
        let known = match parent {
            None => Some(0),
            Some(parent) => {
                let mut lengths = self.parents.iter();
                let at = lengths.rposition(|length| *length == parent.len());
                let is_it = self.directory.get(..parent.len()) == Some(parent);
                at.filter(|_| is_it).map(|at| at.saturating_add(1))
            }
        };
        // Deeper than anybody builds: whether that is right is not known.
        let is_deep = self.parents.len() >= DEPTH_LIMIT;
        match known {
            Some(kept) => self.parents.truncate(kept),
            None if is_deep => {}
            None => self.parents.clear(),
        }
        if kind == EntryKind::Directory && self.parents.len() < DEPTH_LIMIT {
            path.clone_into(&mut self.directory);
            self.parents.push(path.len());
        }
        known.is_some() || is_deep
    }

    /// Remembers a file that hard links may point at, if there is room.
    fn remember(&mut self, path: &str, room: usize) {
        match room >= LINK_BYTES {
            true => {
                self.linkable.insert(hash(path));
            }
            false => self.links_lost = true,
        }
    }

    fn is_linkable(&self, target: &str) -> bool {
        self.links_lost || self.linkable.contains(&hash(target))
    }

    fn request(&mut self, at: Time, id: u32) -> Step {
        if !self.entries.announced(id) {
            return Step::Violation(Violation::BadRequest {
                id,
                what: "no entry was announced with that id",
            });
        }
        if let Some(entry) = self.entries.get_mut(id) {
            if !matches!(entry.kind, EntryKind::File | EntryKind::HardLink) {
                return Step::Violation(Violation::BadRequest {
                    id,
                    what: "that entry is not a regular file",
                });
            }
            if entry.requested {
                return Step::Violation(Violation::RequestedTwice(id));
            }
            entry.requested = true;
        }
        self.requested = self.requested.saturating_add(1);
        if self.in_flight.len() < IN_FLIGHT_LIMIT {
            self.in_flight.insert(
                id,
                InFlight {
                    requested: at,
                    began: None,
                    bytes: 0,
                    announced: None,
                },
            );
        } else {
            self.in_flight_lost = self.in_flight_lost.saturating_add(1);
        }
        Step::Moved
    }

    fn data(&mut self, at: Time, packet: &Packet) -> Step {
        self.data_bytes = self.data_bytes.saturating_add(packet.data);
        let Some(open) = self.in_flight.get_mut(&packet.id) else {
            if self.in_flight_lost > 0 {
                if packet.data == 0 {
                    self.in_flight_lost = self.in_flight_lost.saturating_sub(1);
                    self.completed = self.completed.saturating_add(1);
                }
                return Step::Moved;
            }
            return Step::Violation(Violation::UnexpectedData(packet.id));
        };
        open.bytes = open.bytes.saturating_add(packet.data);
        open.began.get_or_insert(at);
        if packet.data > 0 {
            return Step::Moved;
        }
        let Some(done) = self.in_flight.remove(&packet.id) else {
            return Step::Moved;
        };
        self.completed = self.completed.saturating_add(1);
        Step::FileDone(File {
            id: packet.id,
            path: self.entries.path(packet.id).map(str::to_owned),
            size: self.entries.get(packet.id).map(|entry| entry.size),
            bytes: done.bytes,
            requested: done.requested,
            began: done.began,
            completed: Some(at),
            state: FileState::Complete,
        })
    }

    fn fin(&mut self, at: Time, from: Side) -> Step {
        let early = from != self.sender && self.final_stat.is_none();
        if let Some(fin) = self.fin.get_mut(from.index()) {
            fin.get_or_insert(at);
        }
        if self.is_complete() {
            Step::Complete
        } else if early {
            Step::Violation(Violation::EarlyFin)
        } else {
            Step::Moved
        }
    }

    /// Whether FIN was said by both sides.
    pub fn is_complete(&self) -> bool {
        self.fin.iter().all(Option::is_some)
    }

    /// The entries that were announced.
    pub fn entries(&self) -> &Entries {
        &self.entries
    }

    /// Regular files among the entries: those whose contents can be asked for.
    pub fn files(&self) -> u64 {
        self.files
    }

    /// Hard links among the entries.
    pub fn hard_links(&self) -> u64 {
        self.hard_links
    }

    /// The sizes of all regular files together, as announced.
    pub fn announced_bytes(&self) -> u64 {
        self.announced_bytes
    }

    /// Files whose contents were asked for.
    pub fn requested(&self) -> u64 {
        self.requested
    }

    /// Files whose contents were sent to the end.
    pub fn completed(&self) -> u64 {
        self.completed
    }

    /// Bytes of contents.
    pub fn data_bytes(&self) -> u64 {
        self.data_bytes
    }

    /// When the listing was complete.
    pub fn final_stat(&self) -> Option<Time> {
        self.final_stat
    }

    /// When `side` said FIN.
    pub fn fin_of(&self, side: Side) -> Option<Time> {
        self.fin.get(side.index()).copied().flatten()
    }

    /// The first ERR packet: when, whose, and its text.
    pub fn err(&self) -> Option<(Time, Side, &str)> {
        self.err
            .as_ref()
            .map(|(at, by, text)| (*at, *by, text.as_str()))
    }

    /// How many packets `side` sent.
    pub fn packets(&self, side: Side) -> u64 {
        self.packets.get(side.index()).copied().unwrap_or(0)
    }

    /// The path announced last.
    pub fn last_path(&self) -> &str {
        &self.last_path
    }

    /// Files that were asked for and whose end has not come, by id.
    pub fn open_files(&self) -> impl Iterator<Item = File> {
        self.in_flight.iter().map(|(&id, open)| {
            let kept = || {
                let path = self.entries.path(id)?.to_owned();
                Some((path, self.entries.get(id)?.size))
            };
            let announced = open.announced.clone().or_else(kept);
            let (path, size) = announced.unzip();
            File {
                id,
                path,
                size,
                bytes: open.bytes,
                requested: open.requested,
                began: open.began,
                completed: None,
                state: FileState::Open,
            }
        })
    }

    /// The first files that were announced, with ids and announced sizes, as long as none was asked for. Those of a
    /// transfer that is over are forgotten.
    pub fn unasked(&self) -> impl Iterator<Item = (u32, &str, u64)> {
        let is_file = |entry: &Entry| entry.kind == EntryKind::File;
        let kept = self.entries.iter().take(ENTRIES_LOOKED_AT);
        let kept = kept.filter(move |(_, entry)| is_file(entry) && self.requested == 0);
        let kept = kept.filter_map(|(id, entry)| Some((id, self.entries.path(id)?, entry.size)));
        let outlined = self.unasked.iter();
        let outlined = outlined.map(|(id, path, size)| (*id, path.as_str(), *size));
        kept.chain(outlined).take(UNASKED_KEPT)
    }

    /// Bytes that the entries take.
    pub(crate) fn entry_bytes(&self) -> usize {
        let links = self.linkable.len().saturating_mul(LINK_BYTES);
        self.entries.bytes().saturating_add(links)
    }

    /// The transfer is over: forgets the entries, but for how many there were, and for the files
    /// that are still open.
    pub(crate) fn forget_entries(&mut self) {
        if let Some((&beyond, _)) = self.in_flight.iter().nth(OPEN_FILES_KEPT) {
            let lost = self.in_flight.split_off(&beyond).len() as u64;
            self.in_flight_lost = self.in_flight_lost.saturating_add(lost);
        }
        let entries = &self.entries;
        for (id, open) in &mut self.in_flight {
            let size = entries.get(*id).map_or(0, |entry| entry.size);
            open.announced = entries.path(*id).map(|path| (path.to_owned(), size));
        }
        self.entries.forget();
        self.directory = String::new();
        self.parents = Vec::new();
        self.linkable = HashSet::new();
        self.links_lost = true;
    }

    /// A copy that knows how many entries there are, but not which, and of files that are open
    /// the first ones.
    pub(crate) fn outline(&self) -> Self {
        let open = self.open_files().take(OPEN_FILES_KEPT);
        let in_flight: BTreeMap<u32, InFlight> = open
            .map(|file| {
                let open = InFlight {
                    requested: file.requested,
                    began: file.began,
                    bytes: file.bytes,
                    announced: file.path.zip(file.size),
                };
                (file.id, open)
            })
            .collect();
        let left = self.in_flight.len().saturating_sub(in_flight.len()) as u64;
        Machine {
            entries: self.entries.outline(),
            in_flight_lost: self.in_flight_lost.saturating_add(left),
            in_flight,
            unasked: self
                .unasked()
                .map(|(id, path, size)| (id, path.to_owned(), size))
                .collect(),
            last_path: self.last_path.clone(),
            directory: String::new(),
            parents: Vec::new(),
            linkable: HashSet::new(),
            err: self.err.clone(),
            ..*self
        }
    }

    /// Whose turn it is; `None` when nobody owes anything any more.
    pub fn turn(&self) -> Option<Turn> {
        if self.is_complete() || self.err.is_some() {
            return None;
        }
        let receiver = self.sender.peer();
        let last_of = |side: Side| {
            self.last
                .get(side.index())
                .copied()
                .flatten()
                .unwrap_or(self.opened)
        };
        let turn = |side, act, action: String, since| {
            Some(Turn {
                side,
                act,
                action,
                since,
            })
        };
        if self.fin_of(receiver).is_some() {
            return turn(
                self.sender,
                Act::AnswerFin,
                "answer FIN with FIN".into(),
                last_of(receiver),
            );
        }
        if !self.in_flight.is_empty() || self.in_flight_lost > 0 {
            let open = (self.in_flight.len() as u64).saturating_add(self.in_flight_lost);
            let since = last_of(self.sender).max(last_of(receiver));
            let first = self.open_files().next().and_then(|file| file.path);
            let action = match (open, first) {
                (1, Some(path)) => format!("send the rest of {path}"),
                (_, Some(path)) => {
                    format!("send the rest of {open} requested files ({path} first)")
                }
                (_, None) => format!("send the rest of {open} requested files"),
            };
            return turn(self.sender, Act::SendContents, action, since);
        }
        if self.final_stat.is_none() {
            let action = match self.entries.count() {
                0 => "announce its files (STAT)".to_owned(),
                _ => format!(
                    "go on announcing its files (STAT; the last one was {})",
                    self.last_path
                ),
            };
            return turn(self.sender, Act::Announce, action, last_of(self.sender));
        }
        let unrequested = self.files.saturating_sub(self.requested);
        let since = last_of(self.sender).max(last_of(receiver));
        let act = match unrequested {
            0 => Act::SayFin,
            _ => Act::Request,
        };
        let action = match unrequested {
            0 if self.files == 0 => "say FIN: there is no file to ask for".to_owned(),
            0 => "say FIN: every file has arrived".to_owned(),
            1 => "send REQ for 1 file, or FIN".to_owned(),
            n => format!("send REQ for {n} files, or FIN"),
        };
        turn(receiver, act, action, since)
    }
}

/// Whether `after` may follow `before`: compared byte by byte with `/` the lowest (`validator.go`).
fn ascends(before: &str, after: &str) -> bool {
    let key = |byte: u8| if byte == b'/' { 0 } else { byte };
    before.bytes().map(key).lt(after.bytes().map(key))
}

fn hash(path: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    path.hash(&mut hasher);
    hasher.finish()
}

/// Whether a path is relative, clean, and stays inside the tree.
fn is_clean(path: &str) -> bool {
    !path.is_empty() && path.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

#[cfg(test)]
mod tests {
    use super::super::packet::Stat;
    use super::*;

    const DIRECTORY: u32 = 1 << 31;

    fn stat(path: &str, mode: u32, size: i64) -> Packet {
        let stat = Stat {
            path: path.into(),
            mode,
            size,
            ..Stat::default()
        };
        Packet {
            stat: Some(stat),
            ..Packet::default()
        }
    }

    fn packet(kind: PacketType, id: u32, data: u64) -> Packet {
        Packet {
            kind,
            id,
            data,
            ..Packet::default()
        }
    }

    struct Play {
        machine: Machine,
        clock: u64,
    }

    impl Play {
        /// A local export: the daemon sends.
        fn new() -> Self {
            Play {
                machine: Machine::new(Side::Daemon, Time(0)),
                clock: 0,
            }
        }

        fn say(&mut self, from: Side, packet: Packet) -> Step {
            self.clock += 1;
            self.machine
                .packet(Time(self.clock), from, &packet, usize::MAX)
        }

        fn turn(&self) -> (Side, String) {
            let turn = self.machine.turn().unwrap();
            (turn.side, turn.action)
        }
    }

    use PacketType::{Data, Fin, Req};
    use Side::{Client, Daemon};

    #[test]
    fn a_healthy_export_and_whose_turn_it_is() {
        let mut play = Play::new();
        assert_eq!(play.turn(), (Daemon, "announce its files (STAT)".into()));
        play.say(Daemon, stat("dir", DIRECTORY | 0o755, 0));
        play.say(Daemon, stat("dir/a", 0o644, 3));
        play.say(Daemon, stat("empty", 0o644, 0));
        assert_eq!(play.turn().0, Daemon);
        play.say(Daemon, Packet::default());
        assert_eq!(play.turn(), (Client, "send REQ for 2 files, or FIN".into()));
        play.say(Client, packet(Req, 1, 0));
        assert_eq!(play.turn(), (Daemon, "send the rest of dir/a".into()));
        play.say(Daemon, packet(Data, 1, 3));
        let Step::FileDone(file) = play.say(Daemon, packet(Data, 1, 0)) else {
            panic!()
        };
        assert_eq!(
            (file.path.as_deref(), file.bytes, file.size),
            (Some("dir/a"), 3, Some(3))
        );
        play.say(Client, packet(Req, 2, 0));
        assert!(matches!(
            play.say(Daemon, packet(Data, 2, 0)),
            Step::FileDone(_)
        ));
        assert_eq!(
            play.turn(),
            (Client, "say FIN: every file has arrived".into())
        );
        assert_eq!(play.say(Client, packet(Fin, 0, 0)), Step::Moved);
        assert_eq!(play.turn(), (Daemon, "answer FIN with FIN".into()));
        assert_eq!(play.say(Daemon, packet(Fin, 0, 0)), Step::Complete);
        assert_eq!(play.machine.turn(), None);
        assert_eq!(
            (
                play.machine.files(),
                play.machine.requested(),
                play.machine.completed()
            ),
            (2, 2, 2)
        );
    }

    #[test]
    fn order_is_checked_with_the_slash_lowest() {
        let mut play = Play::new();
        play.say(Daemon, stat("a", DIRECTORY, 0));
        assert_eq!(play.say(Daemon, stat("a/z", 0, 0)), Step::Moved);
        assert_eq!(play.say(Daemon, stat("a-b", 0, 0)), Step::Moved);
        assert!(matches!(
            play.say(Daemon, stat("a/c", 0, 0)),
            Step::Violation(Violation::OutOfOrder { .. })
        ));
        assert!(matches!(
            play.say(Daemon, stat("../x", 0, 0)),
            Step::Violation(Violation::BadPath(_))
        ));
    }

    #[test]
    fn broken_rules() {
        let mut play = Play::new();
        play.say(Daemon, stat("d", DIRECTORY, 0));
        assert!(matches!(
            play.say(Client, packet(Req, 0, 0)),
            Step::Violation(Violation::BadRequest { .. })
        ));
        assert!(matches!(
            play.say(Client, packet(Req, 9, 0)),
            Step::Violation(Violation::BadRequest { .. })
        ));
        assert!(matches!(
            play.say(Daemon, packet(Data, 0, 1)),
            Step::Violation(Violation::UnexpectedData(0))
        ));
        assert!(matches!(
            play.say(Daemon, packet(Req, 0, 0)),
            Step::Violation(Violation::WrongSide { .. })
        ));
        assert_eq!(
            play.say(Client, packet(Fin, 0, 0)),
            Step::Violation(Violation::EarlyFin)
        );
    }
}
