//! What stands on the timeline: builds, their steps, and the calls that these made.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use buildtap_decoder::event::Time;
use buildtap_decoder::filter::Thing;
use buildtap_decoder::trace::{
    Build, BuildState, Call, CallState, Flavour, Id, Subject, Trace, Transfer, Vertex,
};

use super::critical;
use crate::text::{bytes, duration};
use crate::view::Context;
use crate::words;

/// A line of the timeline.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub(super) what: What,
    pub(super) depth: u16,
    pub(super) start: Time,
    /// `None`: it goes on.
    pub(super) end: Option<Time>,
    /// A moment within that parts a transfer's listing from its contents.
    pub(super) listed: Option<Time>,
    pub(super) how: How,
    /// Whether it is on the critical path.
    pub(super) critical: bool,
    /// What the keys lead to.
    pub(super) subject: Subject,
}

/// What a line is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Build,
    /// A step, and its place in its build.
    Step(Id<Build>, usize),
    Call,
    Transfer,
}

/// How it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    Open,
    Good,
    Cached,
    Failed,
    /// It ended, and more is not to be told by it.
    Over,
}

/// The lines, and what is worth saying of the whole.
#[derive(Clone, Debug, Default)]
pub(super) struct Rows {
    pub(super) rows: Vec<Row>,
    /// What the longest build's time went into.
    pub(super) summary: String,
    /// The daemon's clock was taken to be off by so many nanoseconds, if by more than none.
    pub(super) shifted: i64,
}

/// Calls that last as long as what they serve, or that nobody waits for.
const BESIDE: [(&str, &str); 5] = [
    (".Control", "Solve"),
    (".Control", "Status"),
    (".Control", "Session"),
    (".Health", "Check"),
    (".TraceService", "Export"),
];

/// All lines that the filter lets through.
pub(super) fn rows(cx: &Context<'_>) -> Rows {
    let trace = cx.store.trace();
    let mut of_step: HashMap<(Id<Build>, &str), Vec<&Call>> = HashMap::new();
    let mut of_build: HashMap<Id<Build>, Vec<&Call>> = HashMap::new();
    let mut others = Vec::new();
    let is_beside = |call: &Call| {
        let mut beside = BESIDE.iter();
        beside.any(|(service, method)| call.method == *method && call.service.ends_with(service))
    };
    for call in trace.calls.iter().filter(|call| !is_beside(call)) {
        match (call.build, call.vertex.as_deref()) {
            (Some(build), Some(vertex)) if has_ran(trace, build, vertex) => {
                of_step.entry((build, vertex)).or_default().push(call);
            }
            (Some(build), _) if trace.builds.get(build).is_some() => {
                of_build.entry(build).or_default().push(call);
            }
            _ => others.push(call),
        }
    }
    let mut all = Rows::default();
    let mut longest = None;
    for build in trace.builds.iter() {
        let path = critical::path(build);
        let behind = critical::behind(build, cx.now);
        if behind != 0 {
            all.shifted = behind;
        }
        let took = build.end.unwrap_or(cx.now).since(build.start);
        if longest.is_none_or(|longest| took > longest) && !path.is_empty() {
            longest = Some(took);
            all.summary = told(build, &path, cx.now);
        }
        let head = all.rows.len();
        all.rows.push(of_a_build(build));
        let on_path: BTreeSet<usize> = path.into_iter().collect();
        let mut steps: Vec<(usize, &Vertex)> = build
            .vertices
            .iter()
            .enumerate()
            .filter(|(_, vertex)| vertex.started.is_some())
            .collect();
        steps.sort_by_key(|(at, vertex)| (vertex.started, *at));
        for (at, vertex) in steps {
            let critical = on_path.contains(&at);
            if cx.shows(Thing::Vertex(build, vertex)) {
                all.rows.extend(step(build, at, vertex, critical, behind));
            }
            let calls = of_step.remove(&(build.id, vertex.digest.as_str()));
            for call in calls.into_iter().flatten() {
                all.rows.extend(of_a_call(cx, call, 2, critical));
            }
        }
        for call in of_build.remove(&build.id).into_iter().flatten() {
            all.rows.extend(of_a_call(cx, call, 1, false));
        }
        // The heading of nothing.
        if all.rows.len() == head + 1 && !cx.shows(Thing::Build(build)) {
            all.rows.pop();
        }
    }
    for call in others {
        all.rows.extend(of_a_call(cx, call, 0, false));
    }
    all
}

/// What a line is of, by name.
pub(super) fn label(trace: &Trace, row: &Row) -> String {
    let name = match (row.what, row.subject) {
        (What::Step(build, at), _) => trace
            .builds
            .get(build)
            .and_then(|build| build.vertices.get(at))
            .map(|vertex| vertex.name.clone()),
        (_, Subject::Build(id)) => trace.builds.get(id).map(words::build),
        (_, Subject::Call(id)) => trace.calls.get(id).map(words::call),
        _ => None,
    };
    name.unwrap_or_default()
}

/// Whether a step has a line of its own.
fn has_ran(trace: &Trace, build: Id<Build>, digest: &str) -> bool {
    let build = trace.builds.get(build);
    build
        .and_then(|build| build.vertex(digest))
        .is_some_and(|vertex| vertex.started.is_some())
}

fn of_a_build(build: &Build) -> Row {
    Row {
        what: What::Build,
        depth: 0,
        start: build.start,
        end: build.end,
        listed: None,
        how: match build.state {
            BuildState::Open => How::Open,
            BuildState::Complete => How::Good,
            BuildState::Failed => How::Failed,
            BuildState::Cancelled => How::Over,
        },
        critical: false,
        subject: Subject::Build(build.id),
    }
}

fn step(build: &Build, at: usize, vertex: &Vertex, critical: bool, behind: i64) -> Option<Row> {
    let shifted = |time: Time| Time(time.0.saturating_add_signed(behind));
    // What a build left unfinished ended with it.
    let end = vertex.completed.map(shifted).or(build.end);
    Some(Row {
        what: What::Step(build.id, at),
        depth: 1,
        start: shifted(vertex.started?),
        end,
        listed: None,
        how: match (&vertex.error, vertex.cached, vertex.completed) {
            (Some(_), ..) => How::Failed,
            (None, true, _) => How::Cached,
            (None, false, Some(_)) => How::Good,
            (None, false, None) if build.end.is_none() => How::Open,
            (None, false, None) => How::Over,
        },
        critical,
        subject: Subject::Build(build.id),
    })
}

fn of_a_call(cx: &Context<'_>, call: &Call, depth: u16, critical: bool) -> Option<Row> {
    let trace = cx.store.trace();
    let transfer = call.transfer.and_then(|id| trace.transfers.get(id));
    if !cx.shows(Thing::Call(call)) {
        return None;
    }
    let failed = call.status.as_ref().is_some_and(|status| status.code != 0);
    Some(Row {
        what: match transfer {
            Some(_) => What::Transfer,
            None => What::Call,
        },
        depth,
        start: call.start,
        end: call.end,
        listed: transfer.and_then(listed),
        how: match (call.state, failed && words::is_blamed(trace, call)) {
            (CallState::Open, _) => How::Open,
            (_, true) => How::Failed,
            (CallState::Complete, false) if !failed => How::Good,
            _ => How::Over,
        },
        critical,
        subject: Subject::Call(call.id),
    })
}

/// When the listing of a tree was complete.
fn listed(transfer: &Transfer) -> Option<Time> {
    (transfer.flavour == Flavour::Packet)
        .then(|| transfer.machine.final_stat())
        .flatten()
}

/// What a build's time went into: its longest steps on the critical path, and what was between
/// them.
fn told(build: &Build, path: &[usize], now: Time) -> String {
    let end = build.end.unwrap_or(now);
    let took = |vertex: &Vertex| {
        let started = vertex.started.unwrap_or(build.start);
        vertex.completed.unwrap_or(end).since(started)
    };
    let steps: Vec<&Vertex> = path
        .iter()
        .filter_map(|at| build.vertices.get(*at))
        .collect();
    let all = end.since(build.start);
    let inside: Duration = steps.iter().map(|vertex| took(vertex)).sum();
    let mut parts: Vec<(Duration, &str)> = steps
        .iter()
        .map(|vertex| (took(vertex), vertex.name.as_str()))
        .collect();
    parts.push((all.saturating_sub(inside), "between steps"));
    parts.sort_by_key(|(took, _)| std::cmp::Reverse(*took));
    let longest = parts.iter().take(4);
    let longest: Vec<String> = longest
        .map(|(took, name)| format!("{} {name}", duration(*took)))
        .collect();
    let more = if parts.len() > longest.len() {
        " + …"
    } else {
        ""
    };
    let all = duration(all);
    format!("build {}: {all} = {}{more}", build.id, longest.join(" + "))
}

/// What is known of what a line is of, in a sentence or two.
pub(super) fn detail(cx: &Context<'_>, row: &Row) -> String {
    let trace = cx.store.trace();
    let mut waits = cx.waits.iter();
    let wait = waits.find(|wait| row.end.is_none() && wait.is_about(trace, row.subject));
    let said = said(cx, row);
    match wait {
        Some(wait) => format!("the {} must {}; {said}", wait.side, wait.action),
        None => said,
    }
}

fn said(cx: &Context<'_>, row: &Row) -> String {
    let trace = cx.store.trace();
    match (row.what, row.subject) {
        (What::Step(build, at), _) => {
            let build = trace.builds.get(build);
            build
                .and_then(|build| build.vertices.get(at))
                .map_or(String::new(), of_step)
        }
        (What::Transfer | What::Call, Subject::Call(id)) => {
            let Some(call) = trace.calls.get(id) else {
                return String::new();
            };
            let transfer = call.transfer.and_then(|id| trace.transfers.get(id));
            match transfer {
                Some(transfer) => of_transfer(row, transfer, cx.now),
                None => {
                    let answered = call.answered.map(|at| duration(at.since(call.start)));
                    let ending = words::ending(trace, call);
                    match answered {
                        Some(answered) => format!("{ending}; answered after {answered}"),
                        None => format!("{ending}; not answered"),
                    }
                }
            }
        }
        (_, Subject::Build(id)) => {
            let error = trace.builds.get(id).and_then(|build| build.error.clone());
            error.unwrap_or_default()
        }
        _ => String::new(),
    }
}

fn of_step(vertex: &Vertex) -> String {
    let mut parts = Vec::new();
    if let Some(error) = &vertex.error {
        parts.push(error.clone());
    }
    for progress in vertex.progress.iter().take(3) {
        let current = u64::try_from(progress.current).unwrap_or_default();
        let id = progress.id.trim_end_matches(':');
        parts.push(match current {
            0 => id.to_owned(),
            _ => format!("{id} {}", bytes(current)),
        });
    }
    if vertex.log_bytes > 0 {
        parts.push(format!("{} of output", bytes(vertex.log_bytes)));
    }
    if parts.is_empty() && vertex.cached {
        parts.push("its result was there already".to_owned());
    }
    parts.join("; ")
}

/// Into what a transfer's time went: walking the tree, or moving what is in the files.
fn of_transfer(row: &Row, transfer: &Transfer, now: Time) -> String {
    let machine = &transfer.machine;
    let end = transfer.end.or(row.end).unwrap_or(now);
    let files = machine.files();
    match row.listed {
        Some(listed) => format!(
            "listing {} of {} entries; then {} for {} of {files} files, {}",
            duration(listed.since(row.start)),
            machine.entries().count(),
            duration(end.since(listed)),
            machine.completed(),
            bytes(transfer.bytes),
        ),
        None if transfer.flavour == Flavour::Packet => format!(
            "listing for {} by now, {} entries",
            duration(end.since(row.start)),
            machine.entries().count()
        ),
        None => format!("{} of an archive", bytes(transfer.bytes)),
    }
}
