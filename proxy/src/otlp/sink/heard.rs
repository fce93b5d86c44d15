//! What the library says of a request in its log, and nowhere else: how many spans a collector rejected of those that it
//! took, and what it answered.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber};

use super::client::Failure;

/// What was said of one request.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// Spans that the collector took and threw away.
    pub(super) rejected: i64,
    /// Why, in its words.
    pub(super) why: String,
    /// What it answered instead of taking them (gRPC).
    pub(super) message: String,
    /// The details of that answer.
    pub(super) details: String,
    /// Why it was not taken (HTTP).
    pub(super) failure: Option<Failure>,
}

/// Listens to what is said of the requests of one exporter.
#[derive(Clone, Debug, Default)]
pub(super) struct Heard(Arc<Mutex<Said>>);

impl Heard {
    fn lock(&self) -> MutexGuard<'_, Said> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn fail(&self, failure: Failure) {
        self.lock().failure = Some(failure);
    }

    pub(super) fn reject(&self, rejected: i64, why: String) {
        let mut said = self.lock();
        (said.rejected, said.why) = (rejected, why);
    }

    /// What was said since this was last asked.
    pub(super) fn take(&self) -> Said {
        std::mem::take(&mut self.lock())
    }

    fn is_heard(metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && metadata.target().starts_with("opentelemetry")
    }
}

impl Subscriber for Heard {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        match Heard::is_heard(metadata) {
            true => Interest::always(),
            false => Interest::never(),
        }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        Heard::is_heard(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::DEBUG)
    }

    fn event(&self, event: &Event<'_>) {
        event.record(&mut *self.lock());
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

impl Visit for Said {
    fn record_i64(&mut self, field: &Field, value: i64) {
        if field.name() == "rejected_spans" {
            self.rejected = value;
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let slot = match field.name() {
            "error_message" => &mut self.why,
            "grpc_message" => &mut self.message,
            "grpc_details" => &mut self.details,
            _ => return,
        };
        value.clone_into(slot);
    }

    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
}
