//! Spans on their way to the collector: bounded, and what does not fit is counted.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::otlp::span::Span;

/// Spans that wait at most.
pub(super) const LIMIT: usize = 16_384;
/// Bytes that they take at most, by estimate.
pub(super) const BYTES: usize = 32 << 20;

/// Between those who make spans and the thread that sends them.
#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    /// Something came, or nothing will come any more.
    came: Notify,
    /// Nothing will come any more.
    end: Notify,
    /// Something was taken.
    taken: Condvar,
}

#[derive(Debug, Default)]
struct State {
    spans: VecDeque<(Span, usize)>,
    bytes: usize,
    dropped: u64,
    closed: bool,
}

impl State {
    fn has_room(&self) -> bool {
        self.spans.len() < LIMIT && self.bytes < BYTES
    }

    fn add(&mut self, span: Span) {
        let bytes = weight(&span);
        self.bytes += bytes;
        self.spans.push_back((span, bytes));
    }
}

/// About how many bytes a span takes on the wire.
pub(super) fn weight(span: &Span) -> usize {
    let data = &span.data;
    let events = data
        .events
        .iter()
        .map(|event| 48 + texts(&event.attributes) + event.name.len());
    let links = data.links.len() * 64;
    160 + data.name.len() + texts(&data.attributes) + events.sum::<usize>() + links
}

fn texts(attributes: &[opentelemetry::KeyValue]) -> usize {
    use opentelemetry::{Array, Value};
    let one = |attribute: &opentelemetry::KeyValue| {
        let value = match &attribute.value {
            Value::String(text) => text.as_str().len(),
            Value::Array(Array::String(texts)) => {
                texts.iter().map(|text| text.as_str().len() + 8).sum()
            }
            _ => 8,
        };
        attribute.key.as_str().len() + value + 12
    };
    attributes.iter().map(one).sum()
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds what there is room for; the rest is dropped and counted.
    pub(super) fn offer(&self, spans: Vec<Span>) {
        let mut state = self.lock();
        for span in spans {
            match state.has_room() && !state.closed {
                true => state.add(span),
                false => state.dropped += 1,
            }
        }
        drop(state);
        self.came.notify_one();
    }

    /// Adds all, and waits for room. Gives `false` if there was none for so long.
    pub(super) fn push(&self, spans: Vec<Span>, patience: Duration) -> bool {
        let mut state = self.lock();
        for span in spans {
            let since = Instant::now();
            while !state.has_room() && !state.closed {
                self.came.notify_one();
                let left = patience.saturating_sub(since.elapsed());
                if left.is_zero() {
                    return false;
                }
                let waited = self.taken.wait_timeout(state, left);
                state = waited.unwrap_or_else(PoisonError::into_inner).0;
            }
            if state.closed {
                return false;
            }
            state.add(span);
        }
        drop(state);
        self.came.notify_one();
        true
    }

    /// Nothing more will come.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.came.notify_one();
        self.end.notify_waiters();
        self.taken.notify_all();
    }

    /// Whether nothing more will come.
    pub(super) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Waits until nothing more will come.
    pub(super) async fn closed(&self) {
        // It is told of from here on, also before it is polled.
        let end = self.end.notified();
        if !self.is_closed() {
            end.await;
        }
    }

    /// Forgets what waits; gives how much was dropped in all.
    pub(super) fn give_up(&self) -> u64 {
        let mut state = self.lock();
        state.closed = true;
        state.dropped += state.spans.len() as u64;
        state.spans.clear();
        state.bytes = 0;
        self.taken.notify_all();
        state.dropped
    }

    /// The next batch, of so many spans and bytes at most; waits until there is one, but for no
    /// longer than `linger` once there is something. `None` when nothing will come any more.
    pub(super) async fn batch(
        &self,
        count: usize,
        bytes: usize,
        linger: Duration,
    ) -> Option<Vec<Span>> {
        let mut deadline: Option<tokio::time::Instant> = None;
        loop {
            let came = self.came.notified();
            {
                let mut state = self.lock();
                let is_due = deadline.is_some_and(|due| due <= tokio::time::Instant::now());
                let is_full = state.spans.len() >= count || state.bytes >= bytes;
                if !state.spans.is_empty() && (is_full || is_due || state.closed) {
                    return Some(self.take(&mut state, count, bytes));
                }
                if state.closed {
                    return None;
                }
                if !state.spans.is_empty() && deadline.is_none() {
                    deadline = Some(tokio::time::Instant::now() + linger);
                }
            }
            match deadline {
                Some(due) => {
                    let _ = tokio::time::timeout_at(due, came).await;
                }
                None => came.await,
            }
        }
    }

    fn take(&self, state: &mut State, count: usize, bytes: usize) -> Vec<Span> {
        let mut batch = Vec::new();
        let mut taken = 0;
        while batch.len() < count && (taken < bytes || batch.is_empty()) {
            let Some((span, weight)) = state.spans.pop_front() else {
                break;
            };
            taken += weight;
            state.bytes = state.bytes.saturating_sub(weight);
            batch.push(span);
        }
        self.taken.notify_all();
        batch
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use buildtap_decoder::event::Time;
    use opentelemetry::trace::{SpanId, TraceId};

    use super::*;
    use crate::otlp::span::{Draft, Origin, Place};

    fn spans(count: usize) -> Vec<Span> {
        let origin = Arc::new(Origin::new([], None));
        let place = Place::root(TraceId::from_bytes([1; 16]));
        let id = SpanId::from_bytes([1; 8]);
        let span = |_| Draft::new(&place, id, "x", Time(1), Time(2)).finish(&origin);
        (0..count).map(span).collect()
    }

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_time().build().unwrap().block_on(future)
    }

    #[test]
    fn what_does_not_fit_is_counted() {
        let queue = Queue::default();
        queue.offer(spans(LIMIT - 1));
        queue.offer(spans(11));
        assert_eq!(queue.lock().spans.len(), LIMIT);
        assert!(!queue.push(spans(1), Duration::from_millis(1)), "full");
        assert_eq!(queue.give_up(), 10 + LIMIT as u64);
        queue.offer(spans(1));
        assert_eq!(
            queue.give_up(),
            11 + LIMIT as u64,
            "it takes nothing any more"
        );
    }

    #[test]
    fn batches_end_by_count_by_size_and_in_time() {
        let queue = Queue::default();
        queue.offer(spans(5));
        let take = |count, bytes| {
            let linger = Duration::from_millis(1);
            block_on(queue.batch(count, bytes, linger)).map(|batch| batch.len())
        };
        assert_eq!(take(2, usize::MAX), Some(2));
        // One is too large already, and goes by itself.
        assert_eq!(take(9, 1), Some(1));
        assert_eq!(
            take(9, usize::MAX),
            Some(2),
            "not full, but waited for long enough"
        );
        queue.close();
        assert_eq!(take(9, usize::MAX), None);
    }
}
