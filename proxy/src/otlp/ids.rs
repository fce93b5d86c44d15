//! Ids of traces and spans that are the same whenever the same thing is exported.
//!
//! Both kinds are the head of a SHA-256 sum. A trace of a build is named after the build's ref, so
//! that the live session, its recording, and a second export of the recording make one trace. A
//! span is named after its row: kind, number and beginning, which a recording keeps.

use buildtap_decoder::event::Time;
use buildtap_decoder::trace::{Build, Connection};
use opentelemetry::trace::{SpanId, TraceId};
use sha2::{Digest, Sha256};

/// What a sum is made of, piece by piece; no two different lists of pieces read the same.
#[derive(Clone, Debug)]
struct Sum(Sha256);

impl Sum {
    fn new(kind: &str) -> Self {
        Sum(Sha256::new()).text("buildtap").text(kind)
    }

    fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.update((bytes.len() as u64).to_be_bytes());
        self.0.update(bytes);
        self
    }

    fn text(self, text: &str) -> Self {
        self.bytes(text.as_bytes())
    }

    fn number(self, number: u64) -> Self {
        self.bytes(&number.to_be_bytes())
    }

    /// The first bytes of the sum; an id of nothing but zeros is not valid, and never comes.
    fn head<const N: usize>(self) -> [u8; N] {
        let sum = self.0.finalize();
        sum.first_chunk().copied().unwrap_or([1; N])
    }

    fn trace(self) -> TraceId {
        TraceId::from_bytes(self.head())
    }

    fn span(self) -> SpanId {
        SpanId::from_bytes(self.head())
    }
}

/// The trace of a build to which nobody brought a trace of theirs. Also what its spans are named
/// after.
pub(crate) fn trace_of_build(build: &Build) -> TraceId {
    match build.reference.as_deref().filter(|it| !it.is_empty()) {
        Some(reference) => Sum::new("build").text(reference),
        // The ref of a `POST /build` never leaves the daemon.
        None => Sum::new("post-build")
            .text(build.build_id.as_deref().unwrap_or_default())
            .text(build.session.as_deref().unwrap_or_default())
            .number(build.start.0),
    }
    .trace()
}

/// The trace of what was said on a connection that belongs to no build.
pub(crate) fn trace_of_connection(connection: &Connection) -> TraceId {
    Sum::new("connection")
        .number(connection.tap.0)
        .number(connection.opened.0)
        .trace()
}

/// The span of a row: `kind` says of which table.
pub(crate) fn of_row(kind: &'static str, number: u64, start: Time) -> SpanId {
    Sum::new(kind).number(number).number(start.0).span()
}

/// The span of a build.
pub(crate) fn of_build(build: &Build) -> SpanId {
    Sum::new("build-span")
        .bytes(&trace_of_build(build).to_bytes())
        .number(build.id.number())
        .span()
}

/// The span of a step of a build, which may be linked to before the step is reported.
pub(crate) fn of_vertex(build: &Build, digest: &str) -> SpanId {
    Sum::new("vertex")
        .bytes(&trace_of_build(build).to_bytes())
        .number(build.id.number())
        .text(digest)
        .span()
}

/// A span below another: `number` tells it from its siblings of that kind.
pub(crate) fn below(parent: SpanId, kind: &'static str, number: u64) -> SpanId {
    Sum::new(kind)
        .bytes(&parent.to_bytes())
        .number(number)
        .span()
}

/// What stands for a text that is not to be read: 16 hexadecimal digits.
pub(crate) fn digest(text: &str) -> String {
    Sum::new("digest").text(text).span().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_kept_apart() {
        let id = |a: &str, b: &str| Sum::new("x").text(a).text(b).span();
        assert_ne!(id("ab", "c"), id("a", "bc"));
        assert_eq!(id("ab", "c"), id("ab", "c"));
        assert_ne!(Sum::new("a").span(), Sum::new("b").span());
    }

    #[test]
    fn ids_are_valid_and_stay_as_they_are() {
        // What is in somebody's backend already must not be made twice by the next version.
        let id = of_row("call", 7, Time(1_700_000_000_000_000_000));
        assert_eq!(id.to_string(), "af834f63e8aae3a0");
        assert_eq!(digest("sub/hello.txt").len(), 16);
    }
}
