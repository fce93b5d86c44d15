//! What an animal is.

use std::time::Duration;

use buildtap_decoder::event::Side;
use buildtap_fixtures::peers::scenario::demo_build;
use buildtap_fixtures::peers::script::{ClientScript, DaemonScript, Mode, Output};
use buildtap_fixtures::peers::tree::{Content, Tree};

use crate::between::Between;
use crate::{builds, callbacks, connections, sessions, transfers};

/// An animal, its twin, and what is to be said of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    /// The finding.
    pub(crate) code: &'static str,
    /// What the twin does, for people.
    pub(crate) twin: &'static str,
    /// The twin.
    pub(crate) play: fn() -> Play,
    /// What the animal does in its place, for people.
    pub(crate) animal: &'static str,
    /// Makes the twin misbehave.
    pub(crate) fault: fn(&mut Play),
    /// Who is to be named as the one who must act; `None` if nobody is waited for.
    pub(crate) waits_for: Option<Side>,
    /// What the sentence says, among other words.
    pub(crate) says: &'static [&'static str],
}

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Animal,
    Twin,
}

impl Entry {
    /// What is played.
    pub(crate) fn play(&self, kind: Kind) -> Play {
        let mut play = (self.play)();
        if kind == Kind::Animal {
            (self.fault)(&mut play);
        }
        play
    }
}

/// All of them, in the order of the catalogue.
pub(crate) fn entries() -> impl Iterator<Item = &'static Entry> {
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

/// What both sides do.
#[derive(Clone, Debug)]
pub(crate) struct Play {
    /// The client.
    pub(crate) client: ClientScript,
    /// Another client, which starts when the first is asked for its files.
    pub(crate) second: Option<ClientScript>,
    /// The daemon.
    pub(crate) daemon: DaemonScript,
    /// What is between them.
    pub(crate) between: Between,
}

/// Longer than anything here takes.
const GIVE_UP: Duration = Duration::from_secs(40);

/// The build of `buildtap demo` without its pauses: context, secret, credentials, and a local export.
pub(crate) fn build() -> Play {
    let scene = demo_build();
    Play {
        client: scene.client.give_up_after(GIVE_UP),
        second: None,
        daemon: DaemonScript {
            pace: Duration::ZERO,
            health_interval: Duration::from_secs(5),
            ..scene.daemon
        },
        between: Between::default(),
    }
}

/// The same by another way.
fn by(mode: Mode) -> Play {
    let mut play = build();
    play.client.mode = mode;
    play
}

/// The same by `Control.Solve` on `POST /grpc`, as buildx does.
pub(crate) fn solve() -> Play {
    by(Mode::Grpc)
}

/// The same with all on one connection, as buildctl does.
pub(crate) fn nested() -> Play {
    by(Mode::Nested)
}

/// The same with the output `tar`.
pub(crate) fn tar() -> Play {
    let mut play = build();
    play.client.output = Output::Tar;
    play
}

/// The same with an output of a file of 4 MiB.
pub(crate) fn large() -> Play {
    let mut play = build();
    play.daemon.export = Tree::new().file("large.bin", Content::seeded(5, 4 << 20));
    play
}

/// The same in no hurry: a step of the build takes half a second, and health is checked ten times meanwhile.
pub(crate) fn checked() -> Play {
    let mut play = build();
    play.daemon.health_interval = Duration::from_millis(50);
    play.daemon.pace = Duration::from_millis(50);
    play
}
