//! What can stop buildtap itself, as sentences with the cause and the next step, and the exit
//! codes that go with them.
//!
//! | exit code | of | meaning |
//! |---|---|---|
//! | the command's | `run` | the command ran; 128 + N if signal N ended it |
//! | 0 | others | done, or ended by an interrupt |
//! | 1 | others | buildtap itself failed |
//! | 2 | all | wrong usage: nothing was done |
//! | 3 | `diagnose` | something failed or cannot go on |
//! | 124 | `run` | nothing could move any more (`--fail-on-stall`), and the command was ended |
//! | 0, 1, 2 | `diff` | the sessions mean the same; they differ; they could not be compared |
//! | 125 | `run` | buildtap itself failed, before or while the command ran |
//! | 126 | `run` | the command cannot be executed |
//! | 127 | `run` | there is no such command |
//!
//! 124 to 127 are what timeout(1), env(1) and docker use.

use std::io;

use crate::child::ChildError;
use crate::listen::ListenError;
use crate::upstream::UpstreamError;

/// Why buildtap itself failed. Displays as sentences.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no daemon to relay to.
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    /// A socket cannot be opened.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The command cannot be started.
    #[error(transparent)]
    Child(#[from] ChildError),
    /// Schemas that the user gave cannot be used.
    #[error("cannot use the schemas in {path} ({error})")]
    Schemas {
        /// What was given.
        path: String,
        /// What is wrong with it.
        error: buildtap_proto::schema::SchemaError,
    },
    /// The place where things are to be shown cannot be written.
    #[error("cannot write to {path} ({error}); name another file with --output")]
    Output {
        /// The file.
        path: String,
        /// What the system said.
        error: io::Error,
    },
    /// A file with schemas cannot be read.
    #[error("cannot read {path} ({error}); look whether the path is right")]
    Read {
        /// The file.
        path: String,
        /// What the system said.
        error: io::Error,
    },
    /// The capture file cannot be made.
    #[error(transparent)]
    Record(#[from] buildtap_fixtures::capture::write::CreateError),
    /// A capture cannot be shown.
    #[error(transparent)]
    Show(#[from] crate::show::ShowError),
    /// A capture cannot be copied without its secrets.
    #[error(transparent)]
    Redact(#[from] crate::redact::RedactError),
    /// A capture cannot be exported.
    #[error(transparent)]
    Export(#[from] crate::export::ExportError),
    /// Spans cannot be sent.
    #[error(transparent)]
    Otlp(#[from] crate::otlp::settings::SettingsError),
    /// A capture or cassette cannot be used.
    #[error("{path}: {error}")]
    Recording {
        /// The file.
        path: String,
        /// What is wrong with it.
        error: buildtap_fixtures::recording::RecordingError,
    },
    /// A cassette cannot be written.
    #[error(transparent)]
    Cassette(#[from] buildtap_fixtures::cassette::CassetteError),
    /// Contents of a recording are gone.
    #[error("cannot read the temporary file for contents ({0}); look whether the disk is broken")]
    Contents(#[source] io::Error),
    /// A recording cannot be played.
    #[error(transparent)]
    Replay(#[from] buildtap_fixtures::replay::ReplayError),
    /// There is nothing to draw on.
    #[error(
        "--tui and view need a terminal: standard output is none. Leave out --tui, or use show"
    )]
    NoTerminal,
    /// The system refuses what normally works.
    #[error(
        "cannot {doing} ({error}). The system may be out of processes or file descriptors: see ulimit -a"
    )]
    System {
        /// What was tried: completes "cannot …".
        doing: &'static str,
        /// What the system said.
        error: io::Error,
    },
}

impl Error {
    /// The exit code of `buildtap run`.
    pub fn run_exit_code(&self) -> u8 {
        match self {
            Error::Child(ChildError::NotFound(_)) => 127,
            Error::Child(ChildError::NotExecutable(..)) => 126,
            _ => 125,
        }
    }

    /// For [`Error::System`]: completes "cannot …".
    pub(crate) fn system(doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |error| Error::System { doing, error }
    }
}

/// The exit code of `buildtap run --fail-on-stall` when nothing could move any more.
pub const STALLED: u8 = 124;

/// The exit code of wrong usage.
pub const USAGE: u8 = 2;

/// The exit code of commands other than `run` when buildtap itself failed.
pub const FAILURE: u8 = 1;
