//! The entries that a sender announced, in a compact table: a million of them must fit.

use super::packet::Stat;

/// What an entry is; only [`File`](EntryKind::File) and [`HardLink`](EntryKind::HardLink) have
/// no type bits in their mode, and only a file's contents are ever asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A regular file that is another name of an entry announced before.
    HardLink,
    /// A directory.
    Directory,
    /// A symbolic link.
    SymLink,
    /// A device, a pipe.
    Special,
}

// Go's os.FileMode: the bits that make an entry other than a regular file.
const DIRECTORY: u32 = 1 << 31;
const SYMLINK: u32 = 1 << 27;
const TYPE_BITS: u32 = DIRECTORY | SYMLINK | 1 << 26 | 1 << 25 | 1 << 24 | 1 << 21 | 1 << 19;

impl EntryKind {
    /// The kind of an entry, by its `Stat`.
    pub fn of(stat: &Stat) -> Self {
        match stat.mode {
            mode if mode & DIRECTORY != 0 => EntryKind::Directory,
            mode if mode & SYMLINK != 0 => EntryKind::SymLink,
            mode if mode & TYPE_BITS != 0 => EntryKind::Special,
            _ if !stat.linkname.is_empty() => EntryKind::HardLink,
            _ => EntryKind::File,
        }
    }
}

/// What is kept of an entry.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Bytes of contents, as announced.
    pub size: u64,
    path_start: u32,
    path_len: u16,
    /// What it is.
    pub kind: EntryKind,
    /// Whether its contents were asked for.
    pub requested: bool,
}

/// All entries of a transfer, by id. Beyond the limits entries are counted only.
#[derive(Debug, Default)]
pub struct Entries {
    kept: Vec<Entry>,
    paths: Vec<u8>,
    count: u64,
}

impl Entries {
    /// Adds the entry with the next id, which is only counted when it takes more than `room`
    /// bytes, or one before it was only counted.
    pub(crate) fn add(&mut self, stat: &Stat, room: usize) {
        let id = self.count;
        self.count = self.count.saturating_add(1);
        let path = stat.path.as_bytes();
        let takes = size_of::<Entry>().saturating_add(path.len());
        let follows = self.kept.len() as u64 == id;
        let (Ok(path_start), Ok(path_len)) =
            (u32::try_from(self.paths.len()), u16::try_from(path.len()))
        else {
            return;
        };
        if follows && takes <= room {
            self.paths.extend_from_slice(path);
            let size = u64::try_from(stat.size).unwrap_or(0);
            self.kept.push(Entry {
                size,
                path_start,
                path_len,
                kind: EntryKind::of(stat),
                requested: false,
            });
        }
    }

    /// Bytes that the entries take.
    pub(crate) fn bytes(&self) -> usize {
        self.kept
            .len()
            .saturating_mul(size_of::<Entry>())
            .saturating_add(self.paths.len())
    }

    /// Forgets everything but how many there were.
    pub(crate) fn forget(&mut self) {
        self.kept = Vec::new();
        self.paths = Vec::new();
    }

    /// As many, and none of them.
    pub(crate) fn outline(&self) -> Self {
        Entries {
            count: self.count,
            ..Entries::default()
        }
    }

    /// How many entries were announced.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Whether an entry with this id was announced.
    pub fn announced(&self, id: u32) -> bool {
        u64::from(id) < self.count
    }

    /// The entry, where it was kept.
    pub fn get(&self, id: u32) -> Option<&Entry> {
        self.kept.get(usize::try_from(id).ok()?)
    }

    pub(crate) fn get_mut(&mut self, id: u32) -> Option<&mut Entry> {
        self.kept.get_mut(usize::try_from(id).ok()?)
    }

    /// The path of an entry, where it was kept.
    pub fn path(&self, id: u32) -> Option<&str> {
        let entry = self.get(id)?;
        if entry.path_len == 0 {
            return None;
        }
        let start = usize::try_from(entry.path_start).ok()?;
        let end = start.checked_add(usize::from(entry.path_len))?;
        std::str::from_utf8(self.paths.get(start..end)?).ok()
    }

    /// The entries that were kept, with their ids.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &Entry)> {
        (0u32..).zip(&self.kept)
    }
}
