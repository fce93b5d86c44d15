//! Several connections told to one decoder, with time passing in between.

use std::collections::HashSet;
use std::time::Duration;

use buildtap_decoder::event::{Closed, Endpoints, Side, TapEvent, TapId, Time};
use buildtap_decoder::trace::{Build, Call, Finding, Session, Trace, Transfer, Update};
use buildtap_decoder::{Decoder, Options};
use buildtap_proto::moby::buildkit::v1::{Exporter, SolveRequest};
use prost::Message;

use super::{Client, Daemon, Talk};

/// A decoder and the time it is.
pub(crate) struct Scene {
    pub(crate) decoder: Decoder,
    pub(crate) now: Time,
    open: HashSet<u64>,
}

impl Scene {
    pub(crate) fn new() -> Self {
        Scene {
            decoder: Decoder::new(Options {
                updates: true,
                messages: true,
                ..Options::default()
            }),
            now: Time(1_000_000_000),
            open: HashSet::new(),
        }
    }

    fn event(&mut self, tap: u64, event: TapEvent<'_>) {
        self.now.0 += 1_000;
        self.decoder.event(self.now, TapId(tap), event);
    }

    /// Says something on a connection, which is opened if it is not yet.
    pub(crate) fn on(&mut self, tap: u64, say: impl FnOnce(&mut Talk)) -> &mut Self {
        if self.open.insert(tap) {
            let daemon = "unix:///run/docker.sock".to_owned();
            self.event(
                tap,
                TapEvent::Open(Endpoints {
                    daemon,
                    ..Endpoints::default()
                }),
            );
        }
        let mut talk = Talk::default();
        say(&mut talk);
        for (from, bytes) in talk.0 {
            let bytes = &bytes;
            self.event(tap, TapEvent::Chunk { from, bytes });
        }
        self
    }

    pub(crate) fn half_close(&mut self, tap: u64, from: Side) -> &mut Self {
        self.event(tap, TapEvent::HalfClose { from });
        self
    }

    pub(crate) fn close(&mut self, tap: u64, how: Closed) -> &mut Self {
        self.event(tap, TapEvent::Close { how });
        self.open.remove(&tap);
        self
    }

    /// Lets time pass in silence, second by second.
    pub(crate) fn wait(&mut self, seconds: u64) -> &mut Self {
        for _ in 0..seconds {
            self.now = self.now.after(Duration::from_secs(1));
            self.decoder.tick(self.now);
        }
        self
    }

    pub(crate) fn trace(&self) -> &Trace {
        self.decoder.trace()
    }

    pub(crate) fn findings(&self) -> Vec<&Finding> {
        self.trace().findings.iter().collect()
    }

    /// The codes of what was found.
    pub(crate) fn codes(&self) -> Vec<&'static str> {
        self.trace()
            .findings
            .iter()
            .map(|finding| finding.code)
            .collect()
    }

    /// The one finding there must be.
    pub(crate) fn finding(&self) -> &Finding {
        let findings = self.findings();
        assert_eq!(findings.len(), 1, "{findings:#?}");
        findings[0]
    }

    pub(crate) fn calls(&self) -> Vec<&Call> {
        self.trace().calls.iter().collect()
    }

    pub(crate) fn transfers(&self) -> Vec<&Transfer> {
        self.trace().transfers.iter().collect()
    }

    pub(crate) fn sessions(&self) -> Vec<&Session> {
        self.trace().sessions.iter().collect()
    }

    pub(crate) fn builds(&self) -> Vec<&Build> {
        self.trace().builds.iter().collect()
    }

    pub(crate) fn updates(&mut self) -> Vec<Update> {
        std::iter::from_fn(|| self.decoder.take_update()).collect()
    }
}

pub(crate) const SOLVE: &str = "/moby.buildkit.v1.Control/Solve";
pub(crate) const STATUS: &str = "/moby.buildkit.v1.Control/Status";

/// A solve that uses session `s1` and has outputs of these types.
pub(crate) fn solve(reference: &str, outputs: &[&str]) -> Vec<u8> {
    let exporters = outputs
        .iter()
        .map(|kind| Exporter {
            r#type: (*kind).to_owned(),
            ..Exporter::default()
        })
        .collect();
    SolveRequest {
        r#ref: reference.to_owned(),
        session: "s1".to_owned(),
        frontend: "dockerfile.v0".to_owned(),
        exporters,
        ..SolveRequest::default()
    }
    .encode_to_vec()
}

/// A scene with session `s1` on connection 1, offering these methods.
pub(crate) fn session(methods: &[&str]) -> Scene {
    let mut scene = Scene::new();
    scene.on(1, |talk| super::upgrade(talk, "s1", methods));
    scene
}

/// Begins a solve with these outputs on connection 2, stream 1.
pub(crate) fn build(scene: &mut Scene, outputs: &[&str]) {
    scene.on(2, |talk| {
        talk.http2(Client)
            .call(Client, 1, SOLVE, &[])
            .message(Client, 1, &solve("r1", outputs))
            .end(Client, 1)
            .accept(Daemon, 1);
    });
}
