//! Builds and their vertices.

use std::collections::BTreeMap;

use super::{Call, Exchange, Id};
use crate::event::Time;

/// One build: a Solve, or a `POST /build`.
#[derive(Clone, Debug)]
pub struct Build {
    /// Its number.
    pub id: Id<Build>,
    /// `SolveRequest.Ref`; `None` for `POST /build`, whose ref never leaves the daemon.
    pub reference: Option<String>,
    /// `buildid` of `POST /build`.
    pub build_id: Option<String>,
    /// The session that it says it uses.
    pub session: Option<String>,
    /// The call that asked for it.
    pub call: Option<Id<Call>>,
    /// The request that asked for it.
    pub exchange: Option<Id<Exchange>>,
    /// `dockerfile.v0`, `gateway.v0`; empty when the client is the frontend.
    pub frontend: String,
    /// What the frontend was told, secrets masked.
    pub frontend_attrs: Vec<(String, String)>,
    /// The outputs, in the order that gives them their ids.
    pub exporters: Vec<Exporter>,
    /// How it stands.
    pub state: BuildState,
    /// Why it failed.
    pub error: Option<String>,
    /// What the exporters answered.
    pub exporter_response: Vec<(String, String)>,
    /// The graph of operations that the client sent, as text lines.
    pub llb: Vec<String>,
    /// The steps, in order of appearance.
    pub vertices: Vec<Vertex>,
    /// Where the vertex with a digest stands among them.
    pub(crate) positions: BTreeMap<String, usize>,
    /// Vertices that were not kept.
    pub vertices_dropped: u64,
    /// Bytes that the steps printed.
    pub log_bytes: u64,
    /// Warnings of the frontend.
    pub warnings: Vec<String>,
    /// When it was asked for.
    pub start: Time,
    /// When it was answered.
    pub end: Option<Time>,
}

impl Build {
    /// How one of its vertices stands, as in JSON: `open`, `complete`, `failed`, or `unfinished`
    /// if the build ended and it did not.
    pub fn vertex_state(&self, vertex: &Vertex) -> &'static str {
        match (&vertex.error, vertex.completed) {
            (Some(_), _) => "failed",
            (None, Some(_)) => "complete",
            (None, None) if self.state == BuildState::Open => "open",
            (None, None) => "unfinished",
        }
    }

    /// The vertex with this digest.
    pub fn vertex(&self, digest: &str) -> Option<&Vertex> {
        self.vertices.get(*self.positions.get(digest)?)
    }
}

/// An output of a build.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exporter {
    /// `local`, `tar`, `oci`, `docker`, `image`, `moby`.
    pub kind: String,
    /// Its attributes.
    pub attrs: Vec<(String, String)>,
}

/// How a build stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BuildState {
    /// It goes on, or its end was not seen.
    Open,
    /// It was answered without an error.
    Complete,
    /// It failed.
    Failed,
    /// It was cancelled.
    Cancelled,
}

impl BuildState {
    /// As it stands in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            BuildState::Open => "open",
            BuildState::Complete => "complete",
            BuildState::Failed => "failed",
            BuildState::Cancelled => "cancelled",
        }
    }
}

/// A step of a build, as the daemon reports it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vertex {
    /// Its digest.
    pub digest: String,
    /// What it does, in the frontend's words.
    pub name: String,
    /// The digests it depends on.
    pub inputs: Vec<String>,
    /// Whether its result was there already.
    pub cached: bool,
    /// When it began, by the daemon's clock.
    pub started: Option<Time>,
    /// When it ended, by the daemon's clock.
    pub completed: Option<Time>,
    /// Why it failed.
    pub error: Option<String>,
    /// What it reports of its progress, by id, latest value.
    pub progress: Vec<VertexProgress>,
    /// Bytes that it printed.
    pub log_bytes: u64,
}

/// A part of a step whose progress is reported (`VertexStatus`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VertexProgress {
    /// What it is: `transferring context:`, `exporting layers`.
    pub id: String,
    /// How much is done, in bytes mostly.
    pub current: i64,
    /// How much there is to do; 0 when not known.
    pub total: i64,
    /// When it ended, by the daemon's clock.
    pub completed: Option<Time>,
}
