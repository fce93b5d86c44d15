//! Metrics of a session that is watched live: counted as updates come, sent every ten seconds.
//!
//! There are none of captures: their times are in the past, where most stores of metrics take
//! nothing. `docs/traces.md` lists the names; `docs/grafana-dashboard.json` shows them.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use buildtap_decoder::event::Side;
use buildtap_decoder::trace::{Awaited, Call, Id, Trace, TransferState, Update};
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Histogram, MeterProvider as _, UpDownCounter};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::reader::MetricReader;
use opentelemetry_sdk::metrics::{
    InstrumentKind, ManualReader, Pipeline, SdkMeterProvider, Temporality,
};

/// Upper ends of the classes of durations, in seconds.
const SECONDS: [f64; 14] = [
    0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0, 600.0,
];
/// Of throughputs, in bytes per second.
const RATES: [f64; 9] = [1e4, 1e5, 1e6, 5e6, 1e7, 5e7, 1e8, 5e8, 1e9];

/// What is collected, for the thread that sends it.
#[derive(Clone, Debug)]
pub(super) struct Reader(Arc<ManualReader>);

impl Reader {
    pub(super) fn collect(&self, into: &mut ResourceMetrics) -> OTelSdkResult {
        self.0.collect(into)
    }
}

impl MetricReader for Reader {
    fn register_pipeline(&self, pipeline: Weak<Pipeline>) {
        self.0.register_pipeline(pipeline);
    }

    fn collect(&self, into: &mut ResourceMetrics) -> OTelSdkResult {
        self.0.collect(into)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.0.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.0.shutdown_with_timeout(timeout)
    }

    fn temporality(&self, kind: InstrumentKind) -> Temporality {
        self.0.temporality(kind)
    }
}

/// Counts what happens.
#[derive(Debug)]
pub struct Metrics {
    reader: Reader,
    /// Keeps the instruments alive.
    _provider: SdkMeterProvider,
    sessions: Counter<u64>,
    open_sessions: UpDownCounter<i64>,
    builds: Counter<u64>,
    build_duration: Histogram<f64>,
    calls: Counter<u64>,
    open_calls: UpDownCounter<i64>,
    call_duration: Histogram<f64>,
    bytes: Counter<u64>,
    health: Histogram<f64>,
    stalls: Counter<u64>,
    stall_duration: Histogram<f64>,
    transfers: Counter<u64>,
    transfer_bytes: Counter<u64>,
    throughput: Histogram<f64>,
    findings: Counter<u64>,
    /// Bytes of open calls that are counted already: the client's, the daemon's.
    counted: BTreeMap<Id<Call>, [u64; 2]>,
}

impl Metrics {
    /// Counts from nothing, for somebody with these attributes.
    pub fn new(own: Vec<KeyValue>) -> Self {
        let reader = Reader(Arc::new(ManualReader::builder().build()));
        let resource = Resource::builder_empty().with_attributes(own).build();
        let provider = SdkMeterProvider::builder()
            .with_resource(resource)
            .with_reader(reader.clone())
            .build();
        let meter = provider.meter("buildtap");
        let counter = |name, what, unit| {
            let builder = meter.u64_counter(name).with_description(what);
            builder.with_unit(unit).build()
        };
        let open = |name, what, unit| {
            let builder = meter.i64_up_down_counter(name).with_description(what);
            builder.with_unit(unit).build()
        };
        let histogram = |name, what, unit, classes: &[f64]| {
            let builder = meter.f64_histogram(name).with_description(what);
            let builder = builder.with_unit(unit).with_boundaries(classes.to_vec());
            builder.build()
        };
        Metrics {
            sessions: counter(
                "buildtap.sessions",
                "Sessions that were asked for",
                "{session}",
            ),
            open_sessions: open(
                "buildtap.sessions.open",
                "Sessions that are open",
                "{session}",
            ),
            builds: counter("buildtap.builds", "Builds that ended", "{build}"),
            build_duration: histogram("buildtap.build.duration", "Builds", "s", &SECONDS),
            calls: counter("buildtap.calls", "Calls that ended", "{call}"),
            open_calls: open("buildtap.calls.open", "Calls that are open", "{call}"),
            call_duration: histogram("buildtap.call.duration", "Calls", "s", &SECONDS),
            bytes: counter("buildtap.call.bytes", "Bytes of messages", "By"),
            health: histogram(
                "buildtap.health_check.duration",
                "Health checks of the daemon, answered by the client",
                "s",
                &SECONDS,
            ),
            stalls: counter("buildtap.stalls", "Waits of 50 ms and more", "{stall}"),
            stall_duration: histogram("buildtap.stall.duration", "Those waits", "s", &SECONDS),
            transfers: counter("buildtap.transfers", "Transfers that ended", "{transfer}"),
            transfer_bytes: counter("buildtap.transfer.bytes", "Contents of transfers", "By"),
            throughput: histogram(
                "buildtap.transfer.throughput",
                "Contents of a transfer by its duration",
                "By/s",
                &RATES,
            ),
            findings: counter("buildtap.findings", "What is abnormal", "{finding}"),
            counted: BTreeMap::new(),
            reader,
            _provider: provider,
        }
    }

    pub(super) fn reader(&self) -> Reader {
        self.reader.clone()
    }

    /// Counts what an update says.
    pub(super) fn update(&mut self, trace: &Trace, update: &Update) {
        match update {
            Update::SessionOpened(id) => {
                if let Some(row) = trace.sessions.get(*id) {
                    let path = [KeyValue::new("buildkit.session.path", row.path.as_str())];
                    self.sessions.add(1, &path);
                    self.open_sessions.add(1, &path);
                }
            }
            Update::SessionClosed(id) => {
                if let Some(row) = trace.sessions.get(*id) {
                    let path = [KeyValue::new("buildkit.session.path", row.path.as_str())];
                    self.open_sessions.add(-1, &path);
                }
            }
            Update::CallStarted(id) => {
                if let Some(row) = trace.calls.get(*id) {
                    self.counted.insert(*id, [0; 2]);
                    self.open_calls.add(1, &[service(row)]);
                }
            }
            Update::CallEnded(id) => {
                if let Some(row) = trace.calls.get(*id) {
                    self.call_ended(row);
                }
            }
            Update::TransferEnded(id) => {
                if let Some(row) = trace.transfers.get(*id) {
                    let direction =
                        KeyValue::new("buildkit.transfer.direction", row.direction.as_str());
                    let state = KeyValue::new("buildkit.transfer.state", row.state.as_str());
                    self.transfers.add(1, &[direction.clone(), state]);
                    self.transfer_bytes
                        .add(row.bytes, std::slice::from_ref(&direction));
                    let took = row.end.unwrap_or(row.start).since(row.start).as_secs_f64();
                    if row.state == TransferState::Complete && row.bytes > 0 && took > 0.0 {
                        self.throughput
                            .record(row.bytes as f64 / took, &[direction]);
                    }
                }
            }
            Update::BuildEnded(id) => {
                if let Some(row) = trace.builds.get(*id) {
                    let state = [KeyValue::new("buildkit.build.state", row.state.as_str())];
                    self.builds.add(1, &state);
                    let took = row.end.unwrap_or(row.start).since(row.start);
                    self.build_duration.record(took.as_secs_f64(), &state);
                }
            }
            Update::Waited(wait) => {
                let kind = match wait.awaited {
                    Awaited::Packet(_) | Awaited::Slice => "transfer",
                    Awaited::Window { .. } => "flow-control",
                    Awaited::Read => "socket",
                };
                let what = [
                    KeyValue::new("buildkit.wait.side", wait.side.as_str()),
                    KeyValue::new("buildkit.stall.kind", kind),
                ];
                self.stalls.add(1, &what);
                let took = wait.until.since(wait.since);
                self.stall_duration.record(took.as_secs_f64(), &what);
            }
            Update::Finding(id) => {
                if let Some(row) = trace.findings.get(*id) {
                    let what = [
                        KeyValue::new("buildkit.finding.code", row.code),
                        KeyValue::new("buildkit.finding.severity", row.severity.as_str()),
                    ];
                    self.findings.add(1, &what);
                }
            }
            _ => {}
        }
    }

    fn call_ended(&mut self, row: &Call) {
        self.count_bytes(row);
        if self.counted.remove(&row.id).is_some() {
            self.open_calls.add(-1, &[service(row)]);
        }
        let took = row.end.unwrap_or(row.start).since(row.start).as_secs_f64();
        if row.service.ends_with(".Health") && row.method == "Check" {
            self.health.record(took, &[]);
        }
        let mut what = vec![
            service(row),
            KeyValue::new("rpc.method", row.path().trim_start_matches('/').to_owned()),
            KeyValue::new("buildkit.caller", row.caller.as_str()),
        ];
        self.call_duration.record(took, &what);
        let status = row
            .status
            .as_ref()
            .map_or("RESET".to_owned(), |status| status.name());
        what.push(KeyValue::new("buildkit.status", status));
        self.calls.add(1, &what);
    }

    /// Counts what open calls carried since this was last asked.
    pub(super) fn look(&mut self, trace: &Trace) {
        let open: Vec<Id<Call>> = self.counted.keys().copied().collect();
        for id in open {
            match trace.calls.get(id) {
                Some(row) => self.count_bytes(row),
                // Its row is gone: nobody will tell of its end.
                None => drop(self.counted.remove(&id)),
            }
        }
    }

    fn count_bytes(&mut self, row: &Call) {
        let known = self.counted.get(&row.id).copied().unwrap_or_default();
        let now = Side::BOTH.map(|side| row.sent_by(side).bytes);
        for side in Side::BOTH {
            let more = now[side.index()].saturating_sub(known[side.index()]);
            if more > 0 {
                let from = KeyValue::new("buildkit.side", side.as_str());
                self.bytes.add(more, &[service(row), from]);
            }
        }
        if let Some(counted) = self.counted.get_mut(&row.id) {
            *counted = now;
        }
    }
}

fn service(row: &Call) -> KeyValue {
    KeyValue::new("rpc.service", row.service.clone())
}
