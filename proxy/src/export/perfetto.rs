//! Spans in a file as Chrome trace events, which <https://ui.perfetto.dev> and `chrome://tracing`
//! draw, for people without a collector.
//!
//! What one service says of a trace is a process there, and a lane of it a thread. What is in one
//! lane never overlaps: a span goes to the first lane of its kind that is free again. Spans come by
//! their ends, so that a lane is free if everything in it ended before the span began. Links are
//! arrows, from what began first.
//!
//! Format: "Trace Event Format" (Chromium), complete events (`ph: X`), metadata (`ph: M`), instants
//! (`ph: i`) for what happened during a span, and flows (`ph: s`, `ph: f`) for links. Times are
//! microseconds since the beginning of the day before (`otherData.zero`): since 1970 they would be more than
//! a double can tell apart, and what follows at once would overlap.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry::trace::Status;
use opentelemetry::{KeyValue, Value};
use serde::Serialize;
use serde_json::{Map, json};

use super::spans::SpanWriter;
use crate::otlp::span::Span;
use crate::view::json::values::SafeFormatter;

/// Kinds of lanes, in the order in which they are drawn.
const KINDS: [&str; 9] = [
    "build",
    "steps",
    "sessions",
    "calls",
    "transfers",
    "waits",
    "files",
    "HTTP",
    "connections",
];
const FILES: usize = 6;
/// Spans that links may lead to or from, and are remembered.
const LINKED: usize = 65_536;
const DAY: u64 = 24 * 60 * 60;

/// Writes spans as trace events.
#[derive(Debug)]
pub struct Perfetto<W> {
    out: W,
    line: Vec<u8>,
    /// By trace and service.
    processes: BTreeMap<([u8; 16], String), Process>,
    /// Where spans are that links may lead to.
    spots: BTreeMap<[u8; 8], Spot>,
    /// Links to spans that have not come yet.
    pending: BTreeMap<[u8; 8], Vec<Spot>>,
    flows: u64,
    is_first: bool,
    /// The beginning of the day of the first span.
    zero: Option<SystemTime>,
}

/// Where a span begins.
#[derive(Clone, Copy, Debug)]
struct Spot {
    pid: usize,
    tid: usize,
    start: SystemTime,
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
            processes: BTreeMap::new(),
            spots: BTreeMap::new(),
            pending: BTreeMap::new(),
            flows: 0,
            is_first: true,
            zero: None,
        }
    }

    /// Writes what stands before the first event.
    fn begin(&mut self, first: SystemTime) -> io::Result<()> {
        // Some spans began before the first that ended, but not the day before that.
        let days = (since(first, UNIX_EPOCH).as_secs() / DAY).saturating_sub(1);
        let zero = UNIX_EPOCH + Duration::from_secs(days * DAY);
        self.zero = Some(zero);
        let said = humantime::format_rfc3339_seconds(zero);
        writeln!(
            self.out,
            "{{\"displayTimeUnit\":\"ms\",\"otherData\":{{\"zero\":\"{said}\"}},\"traceEvents\":["
        )?;
        Ok(())
    }

    fn event(&mut self, event: &serde_json::Value) -> io::Result<()> {
        self.line.clear();
        if !std::mem::take(&mut self.is_first) {
            self.line.extend_from_slice(b",\n");
        }
        let mut serializer = serde_json::Serializer::with_formatter(&mut self.line, SafeFormatter);
        event.serialize(&mut serializer)?;
        self.out.write_all(&self.line)
    }

    /// Microseconds since zero.
    fn at(&self, at: SystemTime) -> f64 {
        micros(since(at, self.zero.unwrap_or(UNIX_EPOCH)))
    }

    /// The numbers of a process and of a lane in it that is free from `start` on; what is new is
    /// introduced.
    fn lane(&mut self, span: &Span, kind: usize) -> io::Result<(usize, usize)> {
        let (start, end) = (span.data.start_time, span.data.end_time);
        let trace = span.data.span_context.trace_id();
        let attributes = span.origin.attributes().iter();
        let service = attributes
            .rev()
            .find(|it| it.key.as_str() == "service.name");
        let service = service.map_or_else(String::new, |it| it.value.as_str().into_owned());
        let count = self.processes.len();
        let key = (trace.to_bytes(), service);
        let name = format!("{} trace {trace}", key.1);
        let is_new = !self.processes.contains_key(&key);
        let process = self.processes.entry(key).or_insert_with(|| Process {
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
        if self.zero.is_none() {
            self.begin(data.start_time)?;
        }
        let (pid, tid) = self.lane(span, kind)?;
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
        let took = micros(since(data.end_time, data.start_time));
        let mut event = json!({
            "ph": "X", "pid": pid, "tid": tid, "name": data.name, "cat": category,
            "ts": self.at(data.start_time), "dur": took, "args": args,
        });
        if let (Status::Error { .. }, Some(event)) = (&data.status, event.as_object_mut()) {
            event.insert("cname".into(), "terrible".into());
        }
        self.event(&event)?;
        for happened in data.events.iter() {
            let at = self.at(happened.timestamp);
            self.event(&json!({
                "ph": "i", "s": "t", "pid": pid, "tid": tid, "name": happened.name,
                "cat": category, "ts": at, "args": fields(&happened.attributes),
            }))?;
        }
        let start = data.start_time;
        self.links(span, kind, Spot { pid, tid, start })
    }

    /// Arrows between a span and those that it has links to, or that have links to it, as far as
    /// these have come.
    fn links(&mut self, span: &Span, kind: usize, spot: Spot) -> io::Result<()> {
        if kind == FILES {
            return Ok(());
        }
        let id = span.data.span_context.span_id().to_bytes();
        for other in self.pending.remove(&id).unwrap_or_default() {
            self.arrow(other, spot)?;
        }
        for link in &span.data.links.links {
            let to = link.span_context.span_id().to_bytes();
            match self.spots.get(&to).copied() {
                Some(other) => self.arrow(other, spot)?,
                None if self.pending.len() < LINKED => {
                    self.pending.entry(to).or_default().push(spot);
                }
                None => {}
            }
        }
        if self.spots.len() < LINKED {
            self.spots.insert(id, spot);
        }
        Ok(())
    }

    fn arrow(&mut self, one: Spot, other: Spot) -> io::Result<()> {
        let (from, to) = match one.start <= other.start {
            true => (one, other),
            false => (other, one),
        };
        self.flows += 1;
        let id = self.flows;
        for (phase, spot) in [("s", from), ("f", to)] {
            let mut event = json!({
                "ph": phase, "id": id, "pid": spot.pid, "tid": spot.tid, "name": "link",
                "cat": "link", "ts": self.at(spot.start),
            });
            if let (true, Some(event)) = (phase == "f", event.as_object_mut()) {
                // It ends at the span that is there, not at the next one.
                event.insert("bp".into(), "e".into());
            }
            self.event(&event)?;
        }
        Ok(())
    }
}

fn since(at: SystemTime, before: SystemTime) -> Duration {
    at.duration_since(before).unwrap_or_default()
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
        ("buildkit.file.id", FILES),
        ("buildkit.wait.for", 5),
        ("buildkit.transfer.flavour", 4),
        ("rpc.system", 3),
        ("http.request.method", 7),
        ("buildkit.session.path", 2),
        ("buildkit.connection.number", 8),
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
        let ending: &[u8] = match self.zero {
            None => b"{\"displayTimeUnit\":\"ms\",\"traceEvents\":[]}\n",
            Some(_) => b"\n]}\n",
        };
        self.out.write_all(ending)?;
        Ok(self.out)
    }
}
