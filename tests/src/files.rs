//! Trees on disk.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// What is at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its type and permission bits.
    pub mode: u32,
    /// When it was modified; `None` for a directory, whose time is that of its last entry's arrival.
    pub modified: Option<SystemTime>,
    /// The bytes of a file, or what a symbolic link leads to.
    pub content: Content,
}

/// See [`Entry::content`].
#[derive(Clone, PartialEq, Eq)]
pub enum Content {
    /// A directory.
    Directory,
    /// A regular file.
    File(Vec<u8>),
    /// A symbolic link.
    Link(PathBuf),
}

impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Content::Directory => write!(f, "directory"),
            Content::File(bytes) => write!(f, "file of {} bytes", bytes.len()),
            Content::Link(to) => write!(f, "link to {}", to.display()),
        }
    }
}

/// Everything below `top`, by path.
pub fn tree(top: &Path) -> BTreeMap<PathBuf, Entry> {
    let mut found = BTreeMap::new();
    let mut left = vec![top.to_owned()];
    while let Some(directory) = left.pop() {
        for entry in fs::read_dir(&directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            let metadata = fs::symlink_metadata(&path).expect("an entry");
            let content = if metadata.is_dir() {
                left.push(path.clone());
                Content::Directory
            } else if metadata.is_symlink() {
                Content::Link(fs::read_link(&path).expect("a link"))
            } else {
                assert!(metadata.is_file(), "{}", path.display());
                Content::File(fs::read(&path).expect("a file"))
            };
            let entry = Entry {
                mode: metadata.mode(),
                modified: metadata.modified().ok().filter(|_| !metadata.is_dir()),
                content,
            };
            let path = path.strip_prefix(top).expect("below the top");
            found.insert(path.to_owned(), entry);
        }
    }
    found
}

/// The permission bits of what is at `path`.
pub fn permissions(path: &Path) -> u32 {
    let metadata = fs::symlink_metadata(path).expect("it is there");
    metadata.permissions().mode() & 0o7777
}
