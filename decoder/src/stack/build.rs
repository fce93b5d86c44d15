//! Builds: what was asked for, how its steps went, how it ended.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use buildtap_proto::moby::buildkit::v1 as control;
use buildtap_proto::moby::buildkit::v1::frontend;
use buildtap_proto::pb::Definition;

use super::masked;
use crate::core::Core;
use crate::doctor;
use crate::event::{Side, Time};
use crate::protocol::engine::BuildQuery;
use crate::protocol::llb;
use crate::text::head;
use crate::trace::{
    Build, BuildState, Call, CallState, Exchange, Exporter, Id, Printed, Update, Vertex,
    VertexProgress, same_session,
};

/// Text kept of an error or a warning.
const TEXT_LIMIT: usize = 16 << 10;
/// Text kept of a name or an attribute.
const NAME_LIMIT: usize = 4 << 10;
/// Exporters kept of a build.
const EXPORTER_LIMIT: usize = 64;
/// Lines kept of an operation graph.
const GRAPH_LIMIT: usize = 2_000;
/// Inputs kept of a vertex.
const INPUT_LIMIT: usize = 64;
/// Parts of a vertex whose progress is kept.
const PROGRESS_LIMIT: usize = 64;
/// Calls that are looked at when the daemon reports on steps.
const LATEST_CALLS: usize = 256;
/// Warnings kept of a build.
const WARNING_LIMIT: usize = 64;

fn new(id: Id<Build>, start: Time) -> Build {
    Build {
        id,
        reference: None,
        build_id: None,
        session: None,
        call: None,
        exchange: None,
        frontend: String::new(),
        frontend_attrs: Vec::new(),
        exporters: Vec::new(),
        state: BuildState::Open,
        error: None,
        exporter_response: Vec::new(),
        llb: Vec::new(),
        vertices: Vec::new(),
        positions: BTreeMap::new(),
        vertices_dropped: 0,
        log_bytes: 0,
        warnings: Vec::new(),
        start,
        end: None,
    }
}

/// The builds that use the session: those that are open, else the one that ended last.
fn of_session<'a>(core: &'a Core, uuid: &str) -> Vec<&'a Build> {
    let uses = |build: &&Build| {
        let named = build.session.as_deref();
        named.is_some_and(|session| same_session(session, uuid))
    };
    let builds: Vec<&Build> = core.trace.builds.iter().rev().filter(uses).collect();
    let open: Vec<&Build> = builds
        .iter()
        .copied()
        .filter(|build| build.end.is_none())
        .collect();
    if open.is_empty() {
        builds.into_iter().take(1).collect()
    } else {
        open
    }
}

/// The type of the exporter with this index of the build that uses the session. When several
/// builds use it, they must agree.
pub(super) fn exporter(core: &Core, uuid: &str, index: u64) -> Option<String> {
    let index = usize::try_from(index).ok()?;
    let mut kinds = of_session(core, uuid)
        .into_iter()
        .map(|build| build.exporters.get(index));
    let kind = &kinds.next()??.kind;
    kinds
        .all(|other| other.is_some_and(|other| other.kind == *kind))
        .then(|| kind.clone())
}

fn of_reference(core: &Core, reference: &str) -> Option<Id<Build>> {
    let has = |build: &&Build| build.reference.as_deref() == Some(reference);
    core.trace
        .builds
        .iter()
        .rev()
        .find(has)
        .map(|build| build.id)
}

fn add(core: &mut Core, reference: &str) -> Id<Build> {
    let now = core.now;
    let reference = head(reference, NAME_LIMIT).to_owned();
    core.trace.builds.add(0, |id| Build {
        reference: Some(reference),
        ..new(id, now)
    })
}

/// `POST /build`.
pub(super) fn query(core: &mut Core, exchange: Id<Exchange>, query: &BuildQuery) -> Id<Build> {
    let now = core.now;
    let outputs = query.outputs.as_deref().unwrap_or_default();
    let exporters = query
        .exporters()
        .into_iter()
        .map(|kind| {
            let attrs = outputs
                .iter()
                .find(|output| output.exporter == kind)
                .map(|output| &output.attrs);
            let attrs = attrs
                .into_iter()
                .flatten()
                .map(|(name, value)| (name.as_str(), value.as_str()));
            Exporter {
                kind: kind.to_owned(),
                attrs: masked::attrs(core, attrs),
            }
        })
        .collect();
    let frontend_attrs = frontend_attrs(core, query);
    let id = core.trace.builds.add(0, |id| Build {
        build_id: query.build_id.clone(),
        session: query.session.clone(),
        exchange: Some(exchange),
        frontend: if query.is_buildkit() {
            "dockerfile.v0".into()
        } else {
            String::new()
        },
        frontend_attrs,
        exporters,
        ..new(id, now)
    });
    core.update(Update::BuildStarted(id));
    doctor::build_started(core, id);
    id
}

/// What dockerd makes of the query for the frontend (`builder-next/builder.go`).
fn frontend_attrs(core: &Core, query: &BuildQuery) -> Vec<(String, String)> {
    let mut attrs: Vec<(String, String)> = Vec::new();
    let mut add = |name: &str, value: Option<&String>| {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            attrs.push((name.to_owned(), value.clone()));
        }
    };
    add("filename", query.dockerfile.as_ref());
    add("target", query.target.as_ref());
    add("platform", query.platform.as_ref());
    add("force-network-mode", query.network_mode.as_ref());
    for (name, value) in &query.build_args {
        add(&format!("build-arg:{name}"), value.as_ref());
    }
    for (name, value) in &query.labels {
        add(&format!("label:{name}"), Some(value));
    }
    if query.no_cache {
        attrs.push(("no-cache".into(), String::new()));
    }
    masked::attrs(
        core,
        attrs
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str())),
    )
}

/// `Control.Solve` is asked for.
pub(super) fn solve(core: &mut Core, call: Id<Call>, request: &control::SolveRequest) {
    // Its steps may have been asked for before it was; a second solve is another build.
    let heard_of = of_reference(core, &request.r#ref).filter(|id| {
        let row = core.trace.builds.get(*id);
        row.is_some_and(|row| row.call.is_none() && row.end.is_none()) && !request.r#ref.is_empty()
    });
    let id = heard_of.unwrap_or_else(|| add(core, &request.r#ref));
    let now = core.now;
    if let Some(row) = core.trace.calls.get_mut(call) {
        row.build = Some(id);
    }
    let graph = request.definition.as_ref().map(graph);
    let frontend_attrs = sorted(core, &request.frontend_attrs);
    let exporters: Vec<Exporter> = if request.exporters.is_empty() {
        // Old clients fill only the pair of fields for one exporter.
        Some(&request.exporter_deprecated)
            .filter(|kind| !kind.is_empty())
            .map(|kind| Exporter {
                kind: kind.clone(),
                attrs: sorted(core, &request.exporter_attrs_deprecated),
            })
            .into_iter()
            .collect()
    } else {
        request
            .exporters
            .iter()
            .take(EXPORTER_LIMIT)
            .map(|exporter| Exporter {
                kind: exporter.r#type.clone(),
                attrs: sorted(core, &exporter.attrs),
            })
            .collect()
    };
    if let Some(build) = core.trace.builds.get_mut(id) {
        build.start = now;
        build.call = Some(call);
        let session = Some(head(&request.session, NAME_LIMIT).to_owned());
        build.session = session.filter(|session| !session.is_empty());
        build.frontend = head(&request.frontend, NAME_LIMIT).to_owned();
        build.frontend_attrs = frontend_attrs;
        build.exporters = exporters;
        build.llb = graph.unwrap_or_default();
        let weight = weight(build);
        core.trace.builds.add_weight(id, weight);
    }
    core.update(Update::BuildStarted(id));
    doctor::build_started(core, id);
}

/// A client that is its own frontend says what to solve.
pub(super) fn bridge_solve(core: &mut Core, call: Id<Call>, request: &frontend::SolveRequest) {
    let Some(id) = core.trace.calls.get(call).and_then(|call| call.build) else {
        return;
    };
    let graph = request.definition.as_ref().map(graph);
    let frontend_attrs = sorted(core, &request.frontend_opt);
    let Some(build) = core.trace.builds.get_mut(id) else {
        return;
    };
    if build.frontend.is_empty() && !request.frontend.is_empty() {
        build.frontend = head(&request.frontend, NAME_LIMIT).to_owned();
        build.frontend_attrs = frontend_attrs;
    }
    if build.llb.is_empty() {
        build.llb = graph.unwrap_or_default();
    }
    let weight = weight(build);
    core.trace.builds.add_weight(id, weight);
}

fn graph(definition: &Definition) -> Vec<String> {
    llb::Graph::from_definition(definition)
        .to_string()
        .lines()
        .take(GRAPH_LIMIT)
        .map(|line| short(line.to_owned()))
        .collect()
}

/// Bytes of text that a build holds; its steps come on top.
fn weight(build: &Build) -> usize {
    let lines = build
        .llb
        .iter()
        .map(String::len)
        .fold(0, usize::saturating_add);
    let exporters = build
        .exporters
        .iter()
        .map(|exporter| masked::weight(&exporter.attrs));
    exporters.fold(
        lines.saturating_add(masked::weight(&build.frontend_attrs)),
        usize::saturating_add,
    )
}

fn sorted(core: &Core, attrs: &HashMap<String, String>) -> Vec<(String, String)> {
    masked::attrs(
        core,
        attrs
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str())),
    )
}

/// `Control.Solve` is answered.
pub(super) fn solved(core: &mut Core, call: Id<Call>, response: control::SolveResponse) {
    let Some(build) = core.trace.calls.get(call).and_then(|call| call.build) else {
        return;
    };
    let response = sorted(core, &response.exporter_response);
    if let Some(build) = core.trace.builds.get_mut(build) {
        build.exporter_response = response;
    }
}

/// The call of `Control.Solve` ended, and the build with it.
pub(super) fn solve_ended(core: &mut Core, call: Id<Call>) {
    const CANCELED: u32 = 1;
    let Some(row) = core.trace.calls.get(call) else {
        return;
    };
    let Some(build) = row.build else { return };
    if row.status.is_none() && core.trace.is_partial(row.connection) {
        // The answer may have been among what is missing.
        return;
    }
    let (state, error) = match (&row.status, row.state) {
        (Some(status), _) if status.code == 0 => (BuildState::Complete, None),
        (Some(status), _) if status.code == CANCELED => {
            (BuildState::Cancelled, Some(status.message.clone()))
        }
        (Some(status), _) => (BuildState::Failed, Some(status.message.clone())),
        (None, CallState::Reset) => match row.reset.as_ref().map(|reset| (reset.by, reset.code)) {
            Some((Some(Side::Client), _)) => (
                BuildState::Cancelled,
                Some("the client cancelled it".to_owned()),
            ),
            _ => (
                BuildState::Failed,
                Some("the connection ended before the answer".to_owned()),
            ),
        },
        (None, _) => (
            BuildState::Failed,
            Some("Solve ended without a status".to_owned()),
        ),
    };
    ended(core, build, state, error);
}

/// A build is over.
pub(super) fn ended(core: &mut Core, id: Id<Build>, state: BuildState, error: Option<String>) {
    let now = core.now;
    let Some(build) = core.trace.builds.get_mut(id) else {
        return;
    };
    if build.end.is_some() {
        return;
    }
    build.end = Some(now);
    build.state = state;
    build.error = error.map(|text| head(&text, TEXT_LIMIT).to_owned());
    core.update(Update::BuildEnded(id));
    doctor::build_ended(core, id);
}

/// Why a build ended that somebody asked to be cancelled.
pub(super) const CANCELLED: &str = "the client asked for it (POST /build/cancel)";

/// Somebody asked for the build with this id to be cancelled.
pub(super) fn cancel(core: &mut Core, build_id: &str) {
    let named = |build: &&Build| build.build_id.as_deref() == Some(build_id);
    let id = core
        .trace
        .builds
        .iter()
        .rev()
        .find(named)
        .map(|build| build.id);
    if let Some(id) = id {
        ended(core, id, BuildState::Cancelled, Some(CANCELLED.to_owned()));
    }
}

/// `Control.Status` is asked for.
pub(super) fn status_asked(core: &mut Core, call: Id<Call>, reference: &str) {
    let build = of_reference(core, reference).unwrap_or_else(|| add(core, reference));
    if let Some(call) = core.trace.calls.get_mut(call) {
        call.build = Some(build);
    }
}

/// The daemon reports on the steps of a build.
pub(super) fn status(core: &mut Core, id: Id<Build>, status: control::StatusResponse) {
    let limit = core.limits().vertices;
    let show = core.options.show_secrets;
    let text = |text: &str| masked::text(show, text);
    let Some(build) = core.trace.builds.get_mut(id) else {
        return;
    };
    let mut changed = Vec::new();
    let mut printed = Vec::new();
    for vertex in status.vertexes {
        let Some(at) = position(build, &vertex.digest, limit) else {
            build.vertices_dropped = build.vertices_dropped.saturating_add(1);
            continue;
        };
        let Some(row) = build.vertices.get_mut(at) else {
            continue;
        };
        row.name = short(text(&vertex.name));
        row.inputs = vertex
            .inputs
            .into_iter()
            .take(INPUT_LIMIT)
            .map(short)
            .collect();
        row.cached |= vertex.cached;
        row.started = vertex.started.and_then(|at| time(&at)).or(row.started);
        // A step whose result was looked for in vain is reported as completed, and begins anew.
        row.completed = vertex.completed.and_then(|at| time(&at));
        row.error = Some(text(&vertex.error))
            .filter(|error| !error.is_empty())
            .or(row.error.take());
        changed.push(at);
    }
    for progress in status.statuses {
        let Some(at) = position(build, &progress.vertex, limit) else {
            continue;
        };
        let Some(row) = build.vertices.get_mut(at) else {
            continue;
        };
        let completed = progress.completed.and_then(|at| time(&at));
        let part = VertexProgress {
            id: short(text(&progress.id)),
            current: progress.current,
            total: progress.total,
            completed,
        };
        let room = row.progress.len() < PROGRESS_LIMIT;
        match row.progress.iter_mut().find(|known| known.id == part.id) {
            Some(known) => *known = part,
            None if room => row.progress.push(part),
            None => {}
        }
    }
    for log in status.logs {
        let bytes = log.msg.len() as u64;
        build.log_bytes = build.log_bytes.saturating_add(bytes);
        if let Some(at) = position(build, &log.vertex, limit)
            && let Some(row) = build.vertices.get_mut(at)
        {
            row.log_bytes = row.log_bytes.saturating_add(bytes);
            if core.options.printed {
                printed.push(Printed {
                    vertex: log.vertex,
                    at: log.timestamp.and_then(|at| time(&at)),
                    stream: log.stream,
                    text: text(head(&String::from_utf8_lossy(&log.msg), TEXT_LIMIT)),
                });
            }
        }
    }
    for warning in status.warnings {
        if build.warnings.len() < WARNING_LIMIT {
            build
                .warnings
                .push(text(&String::from_utf8_lossy(&warning.short)));
        }
    }
    for printed in printed {
        core.update(Update::Printed(id, Box::new(printed)));
    }
    if !changed.is_empty() {
        tie_untied(core, id);
    }
    for at in changed {
        core.update(Update::Vertex(id, at));
    }
}

/// Where the vertex with this digest stands, which is added if it was not known.
fn position(build: &mut Build, digest: &str, limit: usize) -> Option<usize> {
    if let Some(at) = build.positions.get(digest) {
        return Some(*at);
    }
    if build.vertices.len() >= limit || digest.is_empty() || digest.len() > NAME_LIMIT {
        return None;
    }
    let at = build.vertices.len();
    build.positions.insert(digest.to_owned(), at);
    build.vertices.push(Vertex {
        digest: digest.to_owned(),
        ..Vertex::default()
    });
    Some(at)
}

fn time(at: &prost_types::Timestamp) -> Option<Time> {
    let seconds = Duration::from_secs(u64::try_from(at.seconds).ok()?);
    let nanos = Duration::from_nanos(u64::try_from(at.nanos).ok()?);
    // Go's zero time and the like are before the epoch, and mean "not yet".
    (at.seconds > 0).then(|| Time::default().after(seconds).after(nanos))
}

/// A name, cut if it is absurdly long.
fn short(name: String) -> String {
    if name.len() <= NAME_LIMIT {
        name
    } else {
        head(&name, NAME_LIMIT).to_owned()
    }
}

/// Ties a call to the build that it serves and, where its name allows it, to the vertex that
/// caused it.
pub(super) fn tie(core: &mut Core, call: Id<Call>) {
    let Some(row) = core.trace.calls.get(call) else {
        return;
    };
    let by_id = row
        .header("buildkit-controlapi-buildid")
        .and_then(|reference| of_reference(core, reference));
    let by_session = || {
        let session = core.trace.sessions.get(row.session?)?;
        match of_session(core, &session.uuid).as_slice() {
            [build] => Some(build.id),
            _ => None,
        }
    };
    let Some(id) = row.build.or(by_id).or_else(by_session) else {
        return;
    };
    let vertex = core
        .trace
        .builds
        .get(id)
        .and_then(|build| causing_vertex(row, build));
    if let Some(row) = core.trace.calls.get_mut(call) {
        row.build = Some(id);
        row.vertex = vertex;
    }
}

/// The vertex whose name says that it makes such calls. The names are those of BuildKit's
/// dockerfile frontend and exporters.
fn causing_vertex(call: &Call, build: &Build) -> Option<String> {
    let fitting: Vec<&Vertex> = build
        .vertices
        .iter()
        .filter(|vertex| vertex.started.is_some() && causes(&vertex.name, call))
        .collect();
    // The daemon's clock may be another than the tap's: time only decides between several.
    let runs = |vertex: &&&Vertex| {
        let begins_before = call.end.is_none_or(|end| vertex.started <= Some(end));
        begins_before && vertex.completed.is_none_or(|end| end >= call.start)
    };
    let vertex = match fitting.as_slice() {
        [vertex] => Some(*vertex),
        several => several.iter().rev().find(runs).copied(),
    };
    vertex.map(|vertex| vertex.digest.clone())
}

/// Whether a vertex of this name makes such a call.
fn causes(name: &str, call: &Call) -> bool {
    match call.service.as_str() {
        "moby.filesync.v1.FileSync" => {
            let mut wanted = call.metadata.iter().filter_map(|(name, value)| {
                let selects = name == "followpaths" || name == "include-patterns";
                selects.then_some(value.as_str())
            });
            match call.header("dir-name").unwrap_or_default() {
                // A client that is its own frontend need not name its steps: they are called as their sources.
                dir if name.strip_prefix("local://") == Some(dir) => true,
                "dockerfile" => name.contains("load build definition"),
                // The frontend asks for this one file before it asks for the rest.
                "context" if wanted.next() == Some(".dockerignore") && wanted.next().is_none() => {
                    name.contains("load .dockerignore")
                }
                "context" => name.contains("load build context"),
                other => name.contains(other),
            }
        }
        "moby.filesync.v1.FileSend" => {
            name.starts_with("exporting to client")
                || name.starts_with("sending tarball")
                || name == "copying files"
                || (name.starts_with("exporting to ") && name.ends_with(" image format"))
        }
        "moby.filesync.v1.Auth" => {
            name.contains("load metadata for ") || name.starts_with("[auth] ")
        }
        _ => false,
    }
}

/// Ties what came before the daemon named the step that caused it.
fn tie_untied(core: &mut Core, build: Id<Build>) {
    let untied: Vec<Id<Call>> = core
        .trace
        .calls
        .iter()
        .rev()
        .take(LATEST_CALLS)
        .filter(|call| call.build == Some(build) && call.vertex.is_none())
        .filter(|call| call.session.is_some())
        .map(|call| call.id)
        .collect();
    for call in untied {
        tie(core, call);
    }
}
