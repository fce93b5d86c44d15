//! An OpenTelemetry receiver that others wrote (rotel), and what it says that it received.
//!
//! It prints every span and metric that it took: that is read here, so that what is compared is its understanding of
//! what was sent, not ours.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use tempfile::TempDir;

use crate::process::Process;

/// The receiver while it runs.
#[derive(Debug)]
pub struct Receiver {
    process: Process,
    /// Where it takes OTLP/gRPC: `http://127.0.0.1:PORT`.
    pub grpc: String,
    /// Where it takes OTLP/HTTP.
    pub http: String,
    markers: AtomicUsize,
    _home: TempDir,
}

/// A span as the receiver has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Its trace.
    pub trace_id: String,
    /// Its id.
    pub span_id: String,
    /// The id of its parent; empty if it has none.
    pub parent_id: String,
    /// What it is called.
    pub name: String,
    /// `SPAN_KIND_SERVER`.
    pub kind: String,
    /// When it began, in nanoseconds since the epoch.
    pub start: u64,
    /// When it ended.
    pub end: u64,
    /// `STATUS_CODE_ERROR`.
    pub status: String,
    /// What goes with the status.
    pub message: String,
    /// Its attributes, with the type of each: `Str(grpc)`, `Int(0)`.
    pub attributes: BTreeMap<String, String>,
    /// Names of its events, and when they happened.
    pub events: Vec<(String, u64)>,
    /// Traces and ids that it links to.
    pub links: Vec<(String, String)>,
    /// The attributes of the resource that it comes from.
    pub resource: BTreeMap<String, String>,
}

/// Two ports that nobody has: both are taken before either is given back.
fn free_ports() -> [u16; 2] {
    let listen = || TcpListener::bind("127.0.0.1:0").expect("a port");
    let listeners = [listen(), listen()];
    listeners.map(|listener| listener.local_addr().expect("an address").port())
}

fn program() -> PathBuf {
    let lab = std::env::var_os("BUILDTAP_LAB").unwrap_or_else(|| "/var/cache/buildtap-lab".into());
    Path::new(&lab).join("otlp/bin/rotel-agent")
}

impl Receiver {
    /// Starts one; `None` when it is not installed: Debian does not have it.
    pub fn start() -> Option<Self> {
        if !program().exists() {
            eprintln!(
                "skipped, because there is no {}: run tests/lab/install.sh as root",
                program().display()
            );
            return None;
        }
        let home = TempDir::with_prefix("tap-otlp-").expect("a directory");
        let [grpc, http] = free_ports();
        let address = |port: u16| format!("127.0.0.1:{port}");
        let mut command = Command::new(program());
        command
            .args(["start", "--exporter", "blackhole"])
            .args(["--otlp-grpc-endpoint", &address(grpc)])
            .args(["--otlp-http-endpoint", &address(http)])
            .args(["--debug-log", "traces", "--debug-log", "metrics"])
            .args(["--debug-log-verbosity", "detailed"])
            .arg("--pid-file")
            .arg(home.path().join("pid"))
            .env_clear()
            .current_dir(home.path());
        let process = Process::start(&mut command);
        crate::wait_for("the receiver to listen", || {
            let connects = |port| TcpStream::connect(address(port)).ok();
            connects(grpc).and(connects(http))
        });
        Some(Receiver {
            process,
            grpc: format!("http://{}", address(grpc)),
            http: format!("http://{}", address(http)),
            markers: AtomicUsize::new(0),
            _home: home,
        })
    }

    /// All that it has acknowledged until now.
    ///
    /// It prints what it took some time after it said that it did, and line by line: a span of the test's own, sent
    /// behind all others, tells when the rest is there.
    pub fn spans(&self) -> Vec<Span> {
        let marker = format!("marker {}", self.markers.fetch_add(1, Ordering::Relaxed));
        self.send(&marker);
        crate::wait_for("the receiver to print all it took", || {
            let mut spans = self.printed();
            let at = spans.iter().position(|span| span.name == marker)?;
            spans.truncate(at);
            spans.retain(|span| !span.name.starts_with("marker "));
            Some(spans)
        })
    }

    /// What it has printed so far, in whole lines: the last span may miss some.
    fn printed(&self) -> Vec<Span> {
        let text = self.process.stdout();
        let (lines, _) = text.rsplit_once('\n').unwrap_or_default();
        spans(lines)
    }

    fn send(&self, name: &str) {
        let span = serde_json::json!({
            "traceId": "0123456789abcdef0123456789abcdef", "spanId": "0123456789abcdef", "name": name,
            "kind": 1, "startTimeUnixNano": "1", "endTimeUnixNano": "2",
        });
        let body =
            serde_json::json!({ "resourceSpans": [{ "scopeSpans": [{ "spans": [span] }] }] })
                .to_string();
        let address = self.http.trim_start_matches("http://");
        let mut stream = TcpStream::connect(address).expect("the receiver listens");
        let head = format!(
            "POST /v1/traces HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nConnection: close\r\n\
             Content-Length: {}\r\n\r\n",
            body.len()
        );
        let mut answer = String::new();
        stream.write_all((head + &body).as_bytes()).expect("sent");
        stream.read_to_string(&mut answer).expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }

    /// What it says of metrics so far, in its own words.
    pub fn text(&self) -> String {
        self.process.stdout()
    }

    /// Waits until it has received what is wanted, and gives all spans.
    pub fn wait_for_spans(&self, what: &str, enough: impl Fn(&[Span]) -> bool) -> Vec<Span> {
        crate::wait_for(what, || {
            let spans = self.printed();
            enough(&spans).then_some(())
        });
        self.spans()
    }
}

/// What is being described.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Nothing,
    Resource,
    Span,
    Attributes,
    Event,
    Link,
}

fn spans(text: &str) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    let mut resource = BTreeMap::new();
    let mut part = Part::Nothing;
    for line in text.lines() {
        let words = line.trim();
        part = match words {
            "Resource attributes:" => {
                resource = BTreeMap::new();
                Part::Resource
            }
            _ if words.starts_with("ResourceMetrics #") => Part::Nothing,
            _ if words.starts_with("ScopeSpans #") => Part::Nothing,
            _ if line.starts_with("Span #") => {
                spans.push(Span {
                    resource: resource.clone(),
                    ..Span::default()
                });
                Part::Span
            }
            "Attributes:" if part != Part::Nothing => Part::Attributes,
            _ if words.starts_with("SpanEvent #") => Part::Event,
            _ if words.starts_with("SpanLink #") => Part::Link,
            _ => part,
        };
        if part == Part::Resource {
            if let Some((key, value)) = attribute(words) {
                resource.insert(key, value);
            }
            continue;
        }
        if let Some(span) = spans.last_mut() {
            field(span, part, line, words);
        }
    }
    spans
}

fn attribute(words: &str) -> Option<(String, String)> {
    let (key, value) = words.strip_prefix("-> ")?.split_once(": ")?;
    Some((key.to_owned(), value.to_owned()))
}

fn field(span: &mut Span, part: Part, line: &str, words: &str) {
    let number = |text: &str| text.trim().parse().expect("a number");
    let named = |name: &str| {
        let rest = words.strip_prefix(name)?.trim_start();
        Some(rest.strip_prefix(':')?.trim_start().to_owned())
    };
    match part {
        Part::Span => {
            let slots = [
                ("Trace ID", &mut span.trace_id),
                ("Parent ID", &mut span.parent_id),
                ("ID", &mut span.span_id),
                ("Name", &mut span.name),
                ("Kind", &mut span.kind),
                ("Status code", &mut span.status),
                ("Status message", &mut span.message),
            ];
            for (name, slot) in slots {
                if let Some(value) = named(name) {
                    *slot = value;
                    return;
                }
            }
            if let Some(at) = words.strip_prefix("Start time:") {
                span.start = number(at);
            } else if let Some(at) = words.strip_prefix("End time:") {
                span.end = number(at);
            }
        }
        Part::Attributes => {
            if let Some((key, value)) = attribute(words) {
                span.attributes.insert(key, value);
            }
        }
        // What belongs to the event itself is not indented as far as its attributes.
        Part::Event if line.starts_with("     -> ") => {
            if let Some(name) = words.strip_prefix("-> Name:") {
                span.events.push((name.trim().to_owned(), 0));
            } else if let Some(at) = words.strip_prefix("-> Timestamp:") {
                span.events.last_mut().expect("it has a name").1 = number(at);
            }
        }
        Part::Link if line.starts_with("     -> ") => {
            if let Some(id) = words.strip_prefix("-> Trace ID:") {
                span.links.push((id.trim().to_owned(), String::new()));
            } else if let Some(id) = words.strip_prefix("-> ID:") {
                span.links.last_mut().expect("it has a trace").1 = id.trim().to_owned();
            }
        }
        _ => {}
    }
}
