//! What there is to find: every kind of finding in words for whoever maintains a client or a
//! daemon. `buildtap explain` and `docs/findings.md` are made from it.
//!
//! What is odd but healthy has no entry: it stands under [`Entry::healthy`] of what it is
//! mistaken for. The rules are not here; a test holds that they and the catalogue agree.

mod builds;
mod callbacks;
mod connections;
mod sessions;
mod transfers;

use std::fmt;

pub use super::stall::stands;
use crate::trace::Severity;

/// A kind of finding.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Its stable name, in kebab-case: [`Finding::code`](crate::trace::Finding::code).
    pub code: &'static str,
    /// What it is, in a few words.
    pub title: &'static str,
    /// How bad it is at its worst.
    pub severity: Severity,
    /// Where it happens.
    pub layer: Layer,
    /// Whether it says that somebody is waited for who does not act, so that something stands
    /// still.
    pub stall: bool,
    /// What happens, and what comes of it.
    pub what: &'static str,
    /// How it looks on the wire.
    pub wire: &'static str,
    /// Why it happens.
    pub why: &'static str,
    /// What to change in the client, or in how it is used; `None`: nothing.
    pub client_fix: Option<&'static str>,
    /// What to change in the daemon, at its machine or on the way to it; `None`: nothing.
    pub daemon_fix: Option<&'static str>,
    /// What looks the same and is healthy, and since when things are as they are.
    pub healthy: Option<&'static str>,
    /// Where it was met.
    pub links: &'static [Issue],
}

/// Where something happens, the innermost first: what goes wrong further in explains what goes
/// wrong further out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Layer {
    /// fsutil Packets, or the archive, of a transfer.
    Packets,
    /// A gRPC call and its HTTP/2 stream.
    Call,
    /// The session and the HTTP/2 connection that it is.
    Session,
    /// The build: Solve, Status, `POST /build`.
    Build,
    /// The transport: HTTP/1.1, upgrades, tunnels, sockets.
    Connection,
}

impl Layer {
    /// As it stands in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Layer::Packets => "packets",
            Layer::Call => "call",
            Layer::Session => "session",
            Layer::Build => "build",
            Layer::Connection => "connection",
        }
    }
}

/// An issue or a pull request on GitHub. Displays as its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Issue {
    /// `owner/name`.
    pub repository: &'static str,
    /// Its number.
    pub number: u32,
}

impl fmt::Display for Issue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Issue { repository, number } = self;
        write!(f, "https://github.com/{repository}/issues/{number}")
    }
}

/// All kinds, those of one topic together.
pub fn entries() -> impl Iterator<Item = &'static Entry> {
    [
        sessions::ENTRIES,
        callbacks::ENTRIES,
        transfers::ENTRIES,
        builds::ENTRIES,
        connections::ENTRIES,
    ]
    .into_iter()
    .flatten()
}

/// The kind with this code.
pub fn find(code: &str) -> Option<&'static Entry> {
    entries().find(|entry| entry.code == code)
}

const fn issue(repository: &'static str, number: u32) -> Issue {
    Issue { repository, number }
}

const BUILDKIT: &str = "moby/buildkit";
const MOBY: &str = "moby/moby";
const BUILDX: &str = "docker/buildx";
const BOLLARD: &str = "fussybeaver/bollard";
const DAGGER: &str = "dagger/dagger";

/// What entries have in common unless they say otherwise.
const ERROR: Entry = Entry {
    code: "",
    title: "",
    severity: Severity::Error,
    layer: Layer::Connection,
    stall: false,
    what: "",
    wire: "",
    why: "",
    client_fix: None,
    daemon_fix: None,
    healthy: None,
    links: &[],
};

/// The same for what need not be the end.
const WARNING: Entry = Entry {
    severity: Severity::Warning,
    ..ERROR
};

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    /// Words with hyphens in quotes, which in the rules are codes and nothing else; and what is
    /// called a code.
    fn codes_of(source: &str) -> BTreeSet<String> {
        let mut before = "";
        let mut codes = BTreeSet::new();
        for text in source.split('"') {
            let kebab = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
            let hyphens = text.contains('-') && !text.starts_with('-') && !text.ends_with('-');
            let is_called = before.ends_with("code: ") && !text.is_empty();
            if text.bytes().all(kebab) && (hyphens || is_called) {
                codes.insert(text.to_owned());
            }
            before = text;
        }
        codes
    }

    /// What the rules report is in the catalogue, and what is in the catalogue is reported.
    #[test]
    fn rules_and_catalogue_agree() {
        let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/doctor");
        let mut reported = BTreeSet::new();
        for file in std::fs::read_dir(rules).unwrap() {
            let path = file.unwrap().path();
            if path.is_file() {
                reported.extend(codes_of(&std::fs::read_to_string(path).unwrap()));
            }
        }
        let known: BTreeSet<String> = entries().map(|entry| entry.code.to_owned()).collect();
        assert_eq!(reported, known);
    }

    #[test]
    fn codes_are_unique() {
        let codes: BTreeSet<&str> = entries().map(|entry| entry.code).collect();
        assert_eq!(codes.len(), entries().count());
        let quoted: String = codes
            .iter()
            .map(|code| format!("code: \"{code}\""))
            .collect();
        assert!(codes_of(&quoted).iter().eq(&codes), "in kebab-case");
    }

    #[test]
    fn every_entry_says_all_there_is_to_say() {
        for entry in entries() {
            let Entry {
                code,
                title,
                what,
                wire,
                why,
                ..
            } = entry;
            assert!(
                !title.is_empty() && !title.ends_with('.'),
                "{code}: {title}"
            );
            let fixes = [entry.client_fix, entry.daemon_fix, entry.healthy];
            for text in [*what, *wire, *why]
                .into_iter()
                .chain(fixes.into_iter().flatten())
            {
                assert!(text.ends_with(['.', ':']), "{code}: {text:?}");
                assert!(!text.contains("  "), "{code}: {text:?}");
            }
            let nobody = entry.client_fix.is_none() && entry.daemon_fix.is_none();
            assert!(!nobody, "{code}: somebody can change something");
        }
    }

    #[test]
    fn issues_have_addresses() {
        assert_eq!(
            issue(BOLLARD, 415).to_string(),
            "https://github.com/fussybeaver/bollard/issues/415"
        );
    }
}
