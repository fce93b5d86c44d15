//! To a collector: a thread of its own takes spans out of a bounded queue and sends them in
//! batches, so that a collector which is slow, gone or broken delays nothing and costs no more
//! memory than the queue. What could not be sent is counted and said at the end.

mod client;
mod queue;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use opentelemetry_otlp::MetricExporter;
use opentelemetry_sdk::error::OTelSdkError;
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::exporter::PushMetricExporter as _;
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};

use self::client::LastError;
use self::queue::Queue;
use super::metrics::{Metrics, Reader};
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
    /// What the collector, or the way to it, said last.
    error: Mutex<Option<String>>,
}

impl Counts {
    fn error(&self) -> Option<String> {
        let error = self.error.lock();
        error
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clone()
    }
}

/// What became of the spans. Displays as a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Where they went.
    pub endpoint: String,
    /// Spans that the collector took.
    pub sent: u64,
    /// Spans that it did not get, or did not take.
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
            endpoint: settings.traces.clone(),
            timeout: settings.timeout,
            ended,
        };
        let refused = |endpoint: String| {
            move |error: std::io::Error| SettingsError::Refused {
                endpoint,
                why: error.to_string(),
            }
        };
        let endpoint = settings.traces.clone();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(refused(endpoint.clone()))?;
        std::thread::Builder::new()
            .name("otlp".into())
            .spawn(move || {
                let errors = LastError::default();
                let client = {
                    let _context = runtime.enter();
                    client::spans(&settings, &errors).and_then(|spans| match reader {
                        Some(_) => Ok((spans, client::metrics(&settings, &LastError::default())?)),
                        None => Ok((spans, None)),
                    })
                };
                let (client, metrics) = match client {
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
                    errors,
                    queue,
                    counts,
                    notices,
                    endpoint: settings.traces,
                    timeout: settings.timeout,
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
        let sent = self.counts.sent.load(Ordering::Relaxed);
        let failed =
            self.counts.failed.load(Ordering::Relaxed) + self.counts.going.load(Ordering::Relaxed);
        let unsent = self.queue.give_up();
        let error = self.counts.error();
        Sent {
            endpoint: self.endpoint,
            sent,
            dropped: failed + unsent,
            error: error.or_else(|| is_late.then(|| "it did not answer in time".to_owned())),
        }
    }
}

struct Sender {
    client: opentelemetry_otlp::SpanExporter,
    metrics: Option<(MetricExporter, Reader)>,
    errors: LastError,
    queue: Arc<Queue>,
    counts: Arc<Counts>,
    notices: Notices,
    endpoint: String,
    timeout: Duration,
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
            for (origin, spans) in by_origin(batch) {
                let count = spans.len() as u64;
                self.counts.going.store(count, Ordering::Relaxed);
                self.client.set_resource(&origin.resource());
                let exported = self.export(spans).await;
                self.counts.going.store(0, Ordering::Relaxed);
                let taken = match exported {
                    Ok(()) => &self.counts.sent,
                    Err(()) => &self.counts.failed,
                };
                taken.fetch_add(count, Ordering::Relaxed);
            }
        }
        self.send_metrics().await;
    }

    /// Sends metrics as they stand. Those that are not taken are not missed: the next ones have
    /// what they had.
    async fn send_metrics(&self) {
        if let Some((client, reader)) = &self.metrics {
            let mut collected = ResourceMetrics::default();
            if reader.collect(&mut collected).is_ok() {
                let _ = client.export(&collected).await;
            }
        }
    }

    /// Sends one batch, again and again with growing pauses, for as long as a request may take.
    async fn export(&mut self, spans: Vec<SpanData>) -> Result<(), ()> {
        let begun = Instant::now();
        let mut pause = PAUSE;
        loop {
            let Err(error) = self.client.export(spans.clone()).await else {
                return Ok(());
            };
            let why = self.why(&error);
            let is_final = is_final(&why);
            self.tell(why);
            let left = self.timeout.saturating_sub(begun.elapsed());
            if is_final || left <= pause {
                return Err(());
            }
            tokio::time::sleep(pause).await;
            pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
        }
    }

    fn why(&self, error: &OTelSdkError) -> String {
        match (self.errors.take(), error) {
            (Some(why), _) => why,
            (None, OTelSdkError::InternalFailure(why)) => {
                why.replace("TonicTracesClient export failed with ", "")
            }
            (None, error) => error.to_string(),
        }
    }

    fn tell(&mut self, why: String) {
        if !std::mem::replace(&mut self.told, true) {
            self.notices.tell(&Notice::SpansRefused {
                endpoint: &self.endpoint,
                error: &why,
            });
        }
        let slot = self.counts.error.lock();
        *slot.unwrap_or_else(PoisonError::into_inner) = Some(why);
    }
}

/// Whether sending the same again would be of no use: the codes that the protocol does not name
/// as those to be tried again (<https://opentelemetry.io/docs/specs/otlp/#failures>).
fn is_final(why: &str) -> bool {
    const GRPC: [&str; 8] = [
        "InvalidArgument",
        "NotFound",
        "AlreadyExists",
        "PermissionDenied",
        "FailedPrecondition",
        "Unimplemented",
        "Internal",
        "Unauthenticated",
    ];
    let code = why.split_once("gRPC code: ").map(|(_, code)| code);
    let code = code.map(|code| code.split(|c: char| !c.is_alphanumeric()).next());
    if let Some(Some(code)) = code {
        return GRPC.contains(&code);
    }
    let status = why
        .strip_prefix("it answered ")
        .and_then(|rest| rest.split(' ').next());
    status.is_some_and(|status| !matches!(status, "429" | "502" | "503" | "504"))
}

/// One request has spans of one origin.
fn by_origin(batch: Vec<Span>) -> Vec<(Arc<Origin>, Vec<SpanData>)> {
    let mut groups: Vec<(Arc<Origin>, Vec<SpanData>)> = Vec::new();
    for Span { origin, data } in batch {
        let known = groups
            .iter_mut()
            .rev()
            .find(|(known, _)| Arc::ptr_eq(known, &origin));
        match known {
            Some((_, spans)) => spans.push(data),
            None => groups.push((origin, vec![data])),
        }
    }
    groups
}
