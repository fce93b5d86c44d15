//! The summary: what was said, grouped as a person reads it.
//!
//! Times are seconds after the first client connected, as in the log.

mod calls;
mod transport;

use std::collections::BTreeSet;
use std::time::Duration;

use buildtap_decoder::describe::printable;
use buildtap_decoder::event::Time;
use buildtap_decoder::trace::{Build, Finding, Id, Session, SessionPath, Subject, Trace, Vertex};

use crate::diagnose::{Diagnosis, Item};

use super::paint::{Paint, Style, Table, count, duration, offset, shorten, wrapped};
use super::words;

/// Characters of a name or an error that are shown.
const TEXT: usize = 100;
/// Rows of a table that are shown before the rest is only counted.
const ROWS: usize = 200;

/// The whole summary of a trace, seen at `now`; `failed` says that decoding failed before its end,
/// `told` which findings need no more than a line.
pub(super) fn summary(
    trace: &Trace,
    now: Time,
    failed: bool,
    told: &BTreeSet<u64>,
    paint: Paint,
    width: Option<usize>,
) -> String {
    let mut summary = Summary {
        trace,
        now,
        failed,
        origin: words::origin(trace).unwrap_or(now),
        paint,
        width,
        out: String::new(),
        shown: BTreeSet::new(),
        told,
    };
    if trace.connections.is_empty() && !failed {
        summary.line(0, &[(Style::Yellow, &wrapped(NOBODY, 2, width))]);
        return summary.out;
    }
    summary.head();
    for build in trace.builds.iter() {
        summary.build(build);
    }
    for session in trace.sessions.iter() {
        summary.lone_session(session);
    }
    summary.control_calls();
    summary.exchanges();
    summary.connections();
    summary.findings();
    summary.out
}

/// What there is to say when nothing was seen.
const NOBODY: &str = "\
buildtap: no client connected, so there is nothing to show. A client that is told another address \
itself (docker --host or --context, buildctl --addr, a buildx builder that was made for another \
address: see `docker buildx ls`) does not pass here; point it at the address that DOCKER_HOST or \
BUILDKIT_HOST has under `buildtap run`, or that `buildtap proxy` prints.";

/// What is said in place of a verdict.
const FAILED: &str =
    "\nbuildtap failed while decoding: what came after that is not in this summary";

struct Summary<'a> {
    trace: &'a Trace,
    now: Time,
    failed: bool,
    origin: Time,
    paint: Paint,
    width: Option<usize>,
    out: String,
    /// Sessions that were shown with a build.
    shown: BTreeSet<Id<Session>>,
    /// Findings that were told in full before.
    told: &'a BTreeSet<u64>,
}

impl Summary<'_> {
    fn line(&mut self, indent: usize, parts: &[(Style, &str)]) {
        self.out.extend(std::iter::repeat_n(' ', indent));
        for (style, text) in parts {
            self.paint.push(&mut self.out, *style, text);
        }
        self.out.push('\n');
    }

    fn table(&mut self, table: &Table, indent: usize) {
        table.push(&mut self.out, self.paint, indent, self.width);
    }

    /// A label and a text that may be long.
    fn labelled(&mut self, indent: usize, label: &str, text: &str) {
        let lead = indent + label.chars().count() + 2;
        let lines = wrapped(
            &format!("{:lead$}{}", "", printable(text)),
            lead,
            self.width,
        );
        let text = lines.get(lead..).unwrap_or_default();
        self.line(
            indent,
            &[(Style::Dim, label), (Style::Plain, &format!("  {text}"))],
        );
    }

    fn head(&mut self) {
        let versions = &self.trace.versions;
        let join = |names: &[String]| match names.is_empty() {
            true => "does not say what it is".to_owned(),
            false => printable(&names.join(", ")).into_owned(),
        };
        let mut facts = Table::default();
        let mut fact = |name: &str, text: String| {
            facts.row([(Style::Bold, name.to_owned()), (Style::Plain, text)]);
        };
        fact("client", join(&versions.client));
        fact("daemon", join(&versions.daemon));
        let path = words::path_taken(self.trace);
        if !path.is_empty() {
            fact("path", path);
        }
        self.table(&facts, 0);
    }

    fn build(&mut self, build: &Build) {
        // A Status for a build that was never asked for here says nothing of its own.
        if build.call.is_none() && build.exchange.is_none() && build.vertices.is_empty() {
            return;
        }
        let (style, state) = words::build_state(build, self.now);
        let title = format!("\nbuild {}  ", build.id);
        if words::is_probe(build) {
            let why = "  solves nothing: the client looks what the daemon can do";
            self.line(
                0,
                &[(Style::Bold, &title), (style, &state), (Style::Dim, why)],
            );
            self.probe(build);
        } else {
            self.line(0, &[(Style::Bold, &title), (style, &state)]);
            self.facts(build);
            self.llb(build);
            self.steps(build);
        }
        let named = |session: &&Session| {
            let named = build.session.as_deref();
            named.is_some_and(|named| session.is_named(named))
        };
        for session in self.trace.sessions.iter().filter(named) {
            self.session(session, 2);
        }
    }

    /// What a build that solves nothing was called, and the calls that it consists of.
    fn probe(&mut self, build: &Build) {
        let mut facts = Table::default();
        let mut fact = |name: &str, text: &str| {
            let text = shorten(&printable(text), 2 * TEXT);
            facts.row([(Style::Dim, name.to_owned()), (Style::Plain, text)]);
        };
        fact("ref", build.reference.as_deref().unwrap_or_default());
        let calls: Vec<String> = self
            .calls_of_probe(build)
            .map(|call| format!("{} {}", call.id, call.short_name()))
            .collect();
        if let (Some(asked), false) = (build.call, calls.is_empty()) {
            let connection = self.trace.calls.get(asked).map(|call| call.connection);
            let on = connection.map_or(String::new(), |id| format!(", on connection {id}"));
            fact("calls", &format!("{}: OK{on}", calls.join(", ")));
        }
        self.table(&facts, 2);
    }

    fn facts(&mut self, build: &Build) {
        let mut facts = Table::default();
        let mut fact = |name: &str, style, text: &str| {
            let text = shorten(&printable(text), 2 * TEXT);
            facts.row([(Style::Dim, name.to_owned()), (style, text)]);
        };
        if let Some(reference) = &build.reference {
            fact("ref", Style::Plain, reference);
        }
        let frontend = words::frontend(build);
        fact(
            "frontend",
            Style::Plain,
            &with_attrs(frontend, &build.frontend_attrs),
        );
        for (index, exporter) in build.exporters.iter().enumerate() {
            let text = with_attrs(&exporter.kind, &exporter.attrs);
            fact(&format!("output {index}"), Style::Plain, &text);
        }
        for (name, value) in &build.exporter_response {
            fact("result", Style::Plain, &format!("{name}={value}"));
        }
        if let Some(error) = &build.error {
            fact("error", Style::Red, error);
        }
        for warning in &build.warnings {
            fact("warning", Style::Yellow, warning);
        }
        if let Some(turn) = words::turn(self.trace, Subject::Build(build.id), self.now) {
            let turn = shorten(&printable(&turn), 4 * TEXT);
            facts.row([(Style::Dim, "turn".to_owned()), (Style::Yellow, turn)]);
        }
        self.table(&facts, 2);
    }

    fn llb(&mut self, build: &Build) {
        if build.llb.is_empty() {
            return;
        }
        self.line(2, &[(Style::Bold, "operations that the client sent")]);
        for line in build.llb.iter().take(ROWS) {
            let line = shorten(&printable(line), 2 * TEXT);
            self.line(4, &[(Style::Plain, &line)]);
        }
        self.more(build.llb.len(), 0, "operation");
    }

    /// The steps in the order in which they began.
    fn steps(&mut self, build: &Build) {
        let mut steps: Vec<&Vertex> = build.vertices.iter().collect();
        steps.sort_by_key(|vertex| (vertex.started.is_none(), vertex.started));
        let Some(first) = steps.first().and_then(|vertex| vertex.started) else {
            return;
        };
        // Steps are timed by the daemon's clock, which on another machine may be another time.
        let slack = Duration::from_secs(1);
        let same_clock = build.start.since(first) <= slack && first.since(self.now) <= slack;
        let (origin, clock) = match same_clock {
            true => (self.origin, ""),
            false => (first, "  after the first one, by the daemon's clock"),
        };
        self.line(2, &[(Style::Bold, "steps"), (Style::Dim, clock)]);
        let mut table = Table::new(&[0, 1]);
        for vertex in steps.iter().take(ROWS) {
            let start = vertex.started.map(|at| offset(at, origin));
            let (style, mut state) = match words::step_state(vertex) {
                Some((style, state)) => (style, state.to_owned()),
                None => (Style::Dim, "not begun".to_owned()),
            };
            if let ("done", Some(start), Some(end)) =
                (state.as_str(), vertex.started, vertex.completed)
            {
                state = duration(end.since(start));
            }
            let name = shorten(&printable(&vertex.name), TEXT);
            table.row([
                (Style::Dim, start.unwrap_or_default()),
                (style, state),
                (Style::Plain, name),
            ]);
            if let Some(error) = &vertex.error {
                table.note(Style::Red, shorten(&printable(error), 2 * TEXT));
            }
        }
        self.table(&table, 4);
        self.more(steps.len(), build.vertices_dropped, "step");
    }

    /// Says how many rows are not shown, `dropped` of them not even kept.
    fn more(&mut self, rows: usize, dropped: u64, what: &str) {
        let hidden = (rows.saturating_sub(ROWS) as u64).saturating_add(dropped);
        if hidden > 0 {
            let text = format!("and {} more", count(hidden, what));
            self.line(4, &[(Style::Dim, &text)]);
        }
    }

    fn lone_session(&mut self, session: &Session) {
        if !self.shown.contains(&session.id) {
            self.out.push('\n');
            self.session(session, 0);
        }
    }

    fn session(&mut self, session: &Session, indent: usize) {
        if !self.shown.insert(session.id) {
            return;
        }
        let path = match session.path {
            SessionPath::EngineSession => "POST /session",
            SessionPath::ControlSession => "Control.Session",
        };
        let (style, state) = match (&session.refused, session.closed) {
            (Some(why), _) => (Style::Red, format!("refused: {}", printable(why))),
            (None, Some((at, by))) => {
                let by = by.map_or(String::new(), |by| format!(" by the {by}"));
                let took = duration(at.since(session.opened));
                (Style::Plain, format!("closed{by} after {took}"))
            }
            (None, None) if session.accepted.is_none() => {
                (Style::Yellow, "not accepted yet".to_owned())
            }
            (None, None) => {
                let took = duration(self.now.since(session.opened));
                (Style::Yellow, format!("open for {took}"))
            }
        };
        let title = format!("session {}", printable(&session.uuid));
        let path = format!("  {path}  ");
        self.line(
            indent,
            &[(Style::Bold, &title), (Style::Dim, &path), (style, &state)],
        );
        self.labelled(indent + 2, "offers", &words::offers(&session.methods));
        let calls = self.trace.calls.iter();
        let calls: Vec<_> = calls
            .filter(|call| call.session == Some(session.id))
            .collect();
        self.calls(&calls, indent + 2);
    }

    fn findings(&mut self) {
        let findings = &self.trace.findings;
        if self.failed {
            self.line(0, &[(Style::Yellow, FAILED)]);
        }
        if findings.is_empty() && self.failed {
            return;
        }
        if findings.is_empty() {
            self.line(0, &[(Style::Green, "\n✓ nothing abnormal")]);
            return;
        }
        let title = format!("\n{}", count(findings.len() as u64, "finding"));
        self.line(0, &[(Style::Bold, &title)]);
        for cause in &Diagnosis::new(self.trace).causes {
            self.finding(&cause.item);
            for effect in &cause.effects {
                self.effect(&effect.finding);
            }
        }
        let codes: BTreeSet<&str> = findings.iter().map(|finding| finding.code).collect();
        let code = match codes.len() {
            1 => codes.first().copied().unwrap_or_default(),
            _ => "CODE",
        };
        let more = format!("  buildtap explain {code} tells more");
        self.line(0, &[(Style::Dim, &more)]);
    }

    /// A finding that no other explains.
    fn finding(&mut self, item: &Item) {
        let finding = &item.finding;
        let (style, mark) = words::severity(finding.severity);
        let told = self.told.contains(&finding.id.number());
        let at = offset(finding.certain.unwrap_or(finding.at), self.origin);
        let note = match (told, finding.certain) {
            (true, _) => format!("  at {at} s, told above"),
            (false, None) => "  likely".to_owned(),
            (false, Some(_)) => String::new(),
        };
        let passed = match item.passed {
            true => "  passed: what was waited for came in the end",
            false => "",
        };
        let code = format!("  {}", finding.code);
        self.line(
            2,
            &[
                (style, mark),
                (Style::Bold, &code),
                (Style::Dim, &note),
                (Style::Dim, passed),
            ],
        );
        if !told {
            words::say(&mut self.out, 4, "", &finding.summary, self.width);
            words::reasons(&mut self.out, 4, finding, self.width);
        }
    }

    /// A finding that follows from the one above it.
    fn effect(&mut self, finding: &Finding) {
        let at = offset(finding.certain.unwrap_or(finding.at), self.origin);
        let code = finding.code;
        let text = match self.told.contains(&finding.id.number()) {
            true => format!("{code} follows from it, at {at} s, told above"),
            false => format!("{code} follows from it, at {at} s: {}", finding.summary),
        };
        words::say(&mut self.out, 4, "↳ ", &text, self.width);
    }
}

fn with_attrs(name: &str, attrs: &[(String, String)]) -> String {
    let mut text = name.to_owned();
    for (name, value) in attrs {
        text.push(' ');
        text.push_str(name);
        if !value.is_empty() {
            text.push('=');
            text.push_str(value);
        }
    }
    text
}
