//! Spans in a file as Chrome trace events, which <https://ui.perfetto.dev> and `chrome://tracing`
//! draw, for people without a collector.
//!
//! A trace is a process there and a lane of it a thread. What is in one lane never overlaps: a span
//! goes to the first lane of its kind that is free again. Spans come by their ends, so that a lane
//! is free if everything in it ended before the span began.
//!
//! Format: "Trace Event Format" (Chromium), complete events (`ph: X`), metadata (`ph: M`), and
//! instants (`ph: i`) for what happened during a span. Times are microseconds.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry::trace::{Status, TraceId};
use opentelemetry::{KeyValue, Value};
use serde::Serialize;
use serde_json::{Map, json};

use super::spans::SpanWriter;
use crate::otlp::span::Span;
use crate::view::json::values::SafeFormatter;

/// Kinds of lanes, in the order in which they are drawn.
const KINDS: [&str; 8] = [
    "build",
    "steps",
    "connections",
    "HTTP",
    "sessions",
    "calls",
    "transfers",
    "files",
];

/// Writes spans as trace events.
#[derive(Debug)]
pub struct Perfetto<W> {
    out: W,
    line: Vec<u8>,
    traces: BTreeMap<[u8; 16], Process>,
    is_empty: bool,
}

#[derive(Debug)]
struct Process {
    number: usize,
    /// When each lane of a kind is free.
    lanes: BTreeMap<usize, Vec<SystemTime>>,
}

impl<W: Write> Perfetto<W> {
    /// Writes to `out`.
    pub fn new(out: W) -> Self {
        Perfetto {
            out,
            line: Vec::new(),
            traces: BTreeMap::new(),
            is_empty: true,
        }
    }

    fn event(&mut self, event: &serde_json::Value) -> io::Result<()> {
        self.line.clear();
        let opening: &[u8] = match self.is_empty {
            true => b"{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n",
            false => b",\n",
        };
        self.is_empty = false;
        self.line.extend_from_slice(opening);
        let mut serializer = serde_json::Serializer::with_formatter(&mut self.line, SafeFormatter);
        event.serialize(&mut serializer)?;
        self.out.write_all(&self.line)
    }

    /// The numbers of a trace and of a lane in it that is free from `start` on; what is new is
    /// introduced.
    fn lane(
        &mut self,
        trace: TraceId,
        kind: usize,
        start: SystemTime,
        end: SystemTime,
    ) -> io::Result<(usize, usize)> {
        let count = self.traces.len();
        let id = trace.to_bytes();
        let is_new = !self.traces.contains_key(&id);
        let process = self.traces.entry(id).or_insert_with(|| Process {
            number: count + 1,
            lanes: BTreeMap::new(),
        });
        let number = process.number;
        let lanes = process.lanes.entry(kind).or_default();
        let lane = lanes.iter().position(|free| *free <= start);
        let is_new_lane = lane.is_none();
        let lane = lane.unwrap_or(lanes.len());
        match lanes.get_mut(lane) {
            Some(free) => *free = end,
            None => lanes.push(end),
        }
        let thread = (kind + 1) * 10_000 + lane;
        if is_new {
            let name = format!("trace {trace}");
            self.event(&json!({
                "ph": "M", "pid": number, "name": "process_name", "args": {"name": name}
            }))?;
        }
        if is_new_lane {
            let kind = KINDS.get(kind).copied().unwrap_or("other");
            let name = if lane == 0 {
                kind.to_owned()
            } else {
                format!("{kind} {}", lane + 1)
            };
            self.event(&json!({
                "ph": "M", "pid": number, "tid": thread, "name": "thread_name",
                "args": {"name": name}
            }))?;
            self.event(&json!({
                "ph": "M", "pid": number, "tid": thread, "name": "thread_sort_index",
                "args": {"sort_index": thread}
            }))?;
        }
        Ok((number, thread))
    }

    fn span(&mut self, span: &Span) -> io::Result<()> {
        let data = &span.data;
        let kind = kind(span);
        let trace = data.span_context.trace_id();
        let (pid, tid) = self.lane(trace, kind, data.start_time, data.end_time)?;
        let category = KINDS.get(kind).copied().unwrap_or("other");
        let mut args = fields(&data.attributes);
        args.insert(
            "span_id".into(),
            data.span_context.span_id().to_string().into(),
        );
        if data.parent_span_id != opentelemetry::trace::SpanId::INVALID {
            args.insert(
                "parent_span_id".into(),
                data.parent_span_id.to_string().into(),
            );
        }
        if let Status::Error { description } = &data.status {
            args.insert("error".into(), description.to_string().into());
        }
        let took = data
            .end_time
            .duration_since(data.start_time)
            .unwrap_or_default();
        let mut event = json!({
            "ph": "X", "pid": pid, "tid": tid, "name": data.name, "cat": category,
            "ts": micros(since_epoch(data.start_time)), "dur": micros(took), "args": args,
        });
        if let (Status::Error { .. }, Some(event)) = (&data.status, event.as_object_mut()) {
            event.insert("cname".into(), "terrible".into());
        }
        self.event(&event)?;
        for happened in data.events.iter() {
            let at = micros(since_epoch(happened.timestamp));
            self.event(&json!({
                "ph": "i", "s": "t", "pid": pid, "tid": tid, "name": happened.name,
                "cat": category, "ts": at, "args": fields(&happened.attributes),
            }))?;
        }
        Ok(())
    }
}

fn since_epoch(at: SystemTime) -> Duration {
    at.duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Microseconds, with a fraction.
fn micros(passed: Duration) -> f64 {
    passed.as_nanos() as f64 / 1e3
}

fn fields(attributes: &[KeyValue]) -> Map<String, serde_json::Value> {
    let pair = |it: &KeyValue| (it.key.to_string(), value(&it.value));
    attributes.iter().map(pair).collect()
}

fn value(value: &Value) -> serde_json::Value {
    match value {
        Value::Bool(flag) => (*flag).into(),
        Value::I64(number) => (*number).into(),
        Value::F64(number) => (*number).into(),
        other => other.as_str().into_owned().into(),
    }
}

/// Which kind of lane a span is for, by what is said of it.
fn kind(span: &Span) -> usize {
    let has = |key: &str| span.data.attributes.iter().any(|it| it.key.as_str() == key);
    let keys = [
        ("buildkit.build.state", 0),
        ("buildkit.vertex.cached", 1),
        ("buildkit.file.id", 7),
        ("buildkit.wait.side", 6),
        ("buildkit.transfer.flavour", 6),
        ("rpc.system", 5),
        ("http.request.method", 3),
        ("buildkit.session.path", 4),
        ("buildkit.connection.number", 2),
    ];
    let found = keys.into_iter().find(|(key, _)| has(key));
    found.map_or(KINDS.len(), |(_, kind)| kind)
}

impl<W: Write + Send + 'static> SpanWriter for Perfetto<W> {
    type Out = W;

    fn write(&mut self, spans: Vec<Span>) -> io::Result<()> {
        spans.iter().try_for_each(|span| self.span(span))
    }

    fn finish(mut self) -> io::Result<W> {
        let ending: &[u8] = match self.is_empty {
            true => b"{\"displayTimeUnit\":\"ms\",\"traceEvents\":[]}\n",
            false => b"\n]}\n",
        };
        self.out.write_all(ending)?;
        Ok(self.out)
    }
}
