//! To a collector: a thread of its own takes spans out of a bounded queue and sends them in
//! batches, so that a collector which is slow, gone or broken delays nothing and costs no more
//! memory than the queue. What could not be sent is counted and said at the end.

mod client;
mod heard;
mod queue;
#[cfg(test)]
mod tests;
mod tls;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};

use opentelemetry_otlp::MetricExporter;
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::exporter::PushMetricExporter as _;
use opentelemetry_sdk::trace::SpanData;

use self::client::{Client, Failure, Taken};
use self::queue::Queue;
use super::metrics::{Metrics, Reader};
use super::request;
use super::settings::{Settings, SettingsError};
use super::span::{Origin, Span};
use crate::notice::{Notice, Notices};

/// Spans of one request.
const BATCH: usize = 1_024;
/// Bytes of one request, by estimate: collectors take 4 MiB unless they are told otherwise.
const BATCH_BYTES: usize = 1 << 20;
/// How long spans wait for others to be sent with them.
const LINGER: Duration = Duration::from_secs(1);
/// How often metrics are sent.
const METRICS: Duration = Duration::from_secs(10);
/// How long it is waited before what was not taken is sent again, at first and at most.
const PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How long the end waits for the collector.
pub const FLUSH: Duration = Duration::from_secs(5);

/// Sends spans.
#[derive(Debug)]
pub struct Sink {
    queue: Arc<Queue>,
    counts: Arc<Counts>,
    endpoint: String,
    timeout: Duration,
    ended: mpsc::Receiver<()>,
}

#[derive(Debug, Default)]
struct Counts {
    sent: AtomicU64,
    /// Under way: nobody knows yet whether they are taken.
    going: AtomicU64,
    failed: AtomicU64,
    /// Taken, and thrown away.
    rejected: AtomicU64,
    /// What the collector, or the way to it, said last.
    error: Mutex<Option<String>>,
}

impl Counts {
    fn error(&self) -> MutexGuard<'_, Option<String>> {
        self.error.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What became of the spans. Displays as a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Where they went.
    pub endpoint: String,
    /// Spans that the collector took.
    pub sent: u64,
    /// Spans that it did not get, did not take, or took and rejected.
    pub dropped: u64,
    /// Why, as far as that is known.
    pub error: Option<String>,
}

impl fmt::Display for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = |count: u64| if count == 1 { "" } else { "s" };
        let Sent {
            endpoint,
            sent,
            dropped,
            error,
        } = self;
        write!(f, "sent {sent} span{} to {endpoint}", s(*sent))?;
        if *dropped > 0 {
            let were = if *dropped == 1 { "was" } else { "were" };
            write!(f, "; {dropped} span{} {were} dropped", s(*dropped))?;
            match error {
                Some(error) => write!(
                    f,
                    ", because the collector did not take them ({error}): look whether it runs \
                     there, and speaks this protocol (--otlp-protocol)"
                )?,
                None => write!(f, ", because the collector took them too slowly")?,
            }
        }
        Ok(())
    }
}

impl Sink {
    /// Begins to send, metrics too if there are any. `notices` is told once if the collector does
    /// not take it.
    pub fn start(
        settings: Settings,
        metrics: Option<&Metrics>,
        notices: Notices,
    ) -> Result<Self, SettingsError> {
        let reader = metrics.map(Metrics::reader);
        let queue = Arc::new(Queue::default());
        let counts = Arc::new(Counts::default());
        let (started, is_started) = mpsc::channel();
        let (end, ended) = mpsc::channel();
        let sink = Sink {
            queue: Arc::clone(&queue),
            counts: Arc::clone(&counts),
            endpoint: settings.traces.endpoint.clone(),
            timeout: settings.traces.timeout,
            ended,
        };
        let refused = |endpoint: String| {
            move |error: std::io::Error| SettingsError::Refused {
                endpoint,
                why: error.to_string(),
            }
        };
        let endpoint = settings.traces.endpoint.clone();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(refused(endpoint.clone()))?;
        std::thread::Builder::new()
            .name("otlp".into())
            .spawn(move || {
                let clients = {
                    let _context = runtime.enter();
                    Client::new(&settings.traces).and_then(|traces| {
                        let target = settings.metrics.as_ref().filter(|_| reader.is_some());
                        Ok((traces, target.map(client::metrics).transpose()?))
                    })
                };
                let (client, metrics) = match clients {
                    Ok((client, metrics)) => {
                        let _ = started.send(Ok(()));
                        (client, metrics.zip(reader))
                    }
                    Err(error) => {
                        let _ = started.send(Err(error));
                        return;
                    }
                };
                let sender = Sender {
                    client,
                    metrics,
                    queue,
                    counts,
                    notices,
                    endpoint: settings.traces.endpoint,
                    timeout: settings.traces.timeout,
                    metrics_timeout: settings.metrics.map_or(METRICS, |metrics| metrics.timeout),
                    told: false,
                };
                runtime.block_on(sender.run());
                // What is left of a connection is not waited for.
                runtime.shutdown_background();
                let _ = end.send(());
            })
            .map_err(refused(endpoint))?;
        match is_started.recv() {
            Ok(Err(error)) => Err(error),
            _ => Ok(sink),
        }
    }

    /// Takes spans to send; those for which there is no room are dropped and counted.
    pub fn offer(&self, spans: Vec<Span>) {
        if !spans.is_empty() {
            self.queue.offer(spans);
        }
    }

    /// Takes spans to send, and waits for room. Gives `false` when the collector takes nothing.
    pub fn push(&self, spans: Vec<Span>) -> bool {
        if spans.is_empty() {
            return true;
        }
        let failed = self.counts.failed.load(Ordering::Relaxed);
        failed == 0 && self.queue.push(spans, self.timeout.saturating_mul(2))
    }

    /// Sends what waits, for at most [`FLUSH`], and says what became of it all.
    pub fn finish(self) -> Sent {
        self.queue.close();
        let is_late = self.ended.recv_timeout(FLUSH).is_err();
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let Counts {
            sent,
            going,
            failed,
            rejected,
            ..
        } = &*self.counts;
        let lost = load(failed) + load(going) + load(rejected);
        let sent = load(sent);
        let unsent = self.queue.give_up();
        let error = self.counts.error().clone();
        Sent {
            endpoint: self.endpoint,
            sent,
            dropped: lost + unsent,
            error: error.or_else(|| is_late.then(|| Failure::late().why)),
        }
    }
}

struct Sender {
    client: Client,
    metrics: Option<(MetricExporter, Reader)>,
    queue: Arc<Queue>,
    counts: Arc<Counts>,
    notices: Notices,
    endpoint: String,
    timeout: Duration,
    metrics_timeout: Duration,
    told: bool,
}

impl Sender {
    async fn run(mut self) {
        let mut due = tokio::time::interval(METRICS);
        due.tick().await;
        loop {
            let batch = tokio::select! {
                biased;
                batch = self.queue.batch(BATCH, BATCH_BYTES, LINGER) => batch,
                _ = due.tick() => {
                    self.send_metrics().await;
                    continue;
                }
            };
            let Some(batch) = batch else { break };
            // One request has spans of one origin.
            let groups = request::by_origin(batch);
            let going = groups.iter().map(|(_, spans)| spans.len() as u64).sum();
            self.counts.going.store(going, Ordering::Relaxed);
            for (origin, spans) in groups {
                let count = spans.len() as u64;
                let exported = self.export(&origin, spans).await;
                let is_nobody = exported.as_ref().is_err_and(|failure| failure.nobody);
                self.count(count, exported);
                self.counts.going.fetch_sub(count, Ordering::Relaxed);
                if is_nobody && self.queue.is_closed() {
                    // Nobody will be there for the rest either.
                    return;
                }
            }
        }
        self.send_metrics().await;
    }

    /// Counts what became of so many spans.
    fn count(&mut self, count: u64, exported: Result<Taken, Failure>) {
        let Ok(taken) = exported else {
            self.counts.failed.fetch_add(count, Ordering::Relaxed);
            return;
        };
        let rejected = taken.rejected.min(count);
        let sent = count - rejected;
        self.counts.sent.fetch_add(sent, Ordering::Relaxed);
        self.counts.rejected.fetch_add(rejected, Ordering::Relaxed);
        if rejected > 0 {
            self.tell(match &*taken.why {
                "" => "it rejected them, and did not say why".to_owned(),
                why => format!("it rejected them: {why}"),
            });
        }
    }

    /// Sends metrics as they stand. Those that are not taken are not missed: the next ones have
    /// what they had.
    async fn send_metrics(&self) {
        if let Some((client, reader)) = &self.metrics {
            let mut collected = ResourceMetrics::default();
            if reader.collect(&mut collected).is_ok() {
                let sending = client.export(&collected);
                let _ = tokio::time::timeout(self.metrics_timeout, sending).await;
            }
        }
    }

    /// Sends one batch, again and again with growing pauses, for as long as a request may take.
    /// At the end nobody waits for a collector that is not there.
    async fn export(&mut self, origin: &Origin, spans: Vec<SpanData>) -> Result<Taken, Failure> {
        let deadline = Instant::now() + self.timeout;
        let mut pause = PAUSE;
        loop {
            let is_end = self.queue.is_closed();
            let sending = self.client.send(origin, spans.clone());
            let sent = tokio::time::timeout_at(deadline.into(), sending).await;
            let failure = match sent.unwrap_or_else(|_| Err(Failure::late())) {
                Ok(taken) => return Ok(taken),
                Err(failure) => failure,
            };
            self.tell(failure.why.clone());
            let wait = failure.pause.unwrap_or_default().max(pause);
            let is_late = deadline.saturating_duration_since(Instant::now()) <= wait;
            if !failure.again || is_late || failure.nobody && is_end {
                return Err(failure);
            }
            let waiting = tokio::time::sleep(wait);
            match failure.nobody {
                // The end is a reason to look at once whether somebody has come.
                true => tokio::select! {
                    () = waiting => {}
                    () = self.queue.closed() => {}
                },
                false => waiting.await,
            }
            pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
        }
    }

    fn tell(&mut self, why: String) {
        if !std::mem::replace(&mut self.told, true) {
            self.notices.tell(&Notice::SpansRefused {
                endpoint: &self.endpoint,
                error: &why,
            });
        }
        *self.counts.error() = Some(why);
    }
}
