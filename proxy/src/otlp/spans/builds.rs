//! From a build and its steps to their spans.

use buildtap_decoder::event::Time;
use buildtap_decoder::trace::{Build, BuildState, Printed, Vertex};
use opentelemetry::KeyValue;

use super::rows::Words;
use crate::otlp::ids;
use crate::otlp::span::{Draft, Place, cut, integer, texts};
use crate::view::is_probe;

/// What the daemon's clock says, compared with ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ClockOffset {
    /// How much the daemon's clock is ahead, in nanoseconds.
    pub(super) ahead: i64,
    /// What told it.
    pub(super) source: &'static str,
}

impl ClockOffset {
    fn note(self, draft: &mut Draft) {
        let seconds = self.ahead as f64 / 1e9;
        draft.add(KeyValue::new("buildkit.daemon.clock_offset", seconds));
        draft.text("buildkit.daemon.clock_source", self.source);
    }
}

pub(super) fn build(
    words: Words,
    place: &Place,
    row: &Build,
    clock: Option<ClockOffset>,
    now: Time,
) -> Draft {
    let frontend = match row.frontend.as_str() {
        "" if row.exchange.is_some() => "classic",
        "" => "client",
        frontend => frontend,
    };
    let end = row.end.unwrap_or(now);
    let name = match is_probe(row) {
        // Clients ask what a daemon can do by a build of nothing.
        true => "build of nothing, a probe".to_owned(),
        false => format!("build {}", words.free(frontend)),
    };
    let mut draft = Draft::new(place, ids::of_build(row), name, row.start, end);
    draft.number("buildkit.build.number", row.id.number());
    draft.maybe_text("buildkit.build.ref", row.reference.as_deref());
    draft.maybe_text("buildkit.build.id", row.build_id.as_deref());
    draft.maybe_text("buildkit.session.id", row.session.as_deref());
    draft.text("buildkit.build.frontend", frontend);
    draft.text("buildkit.build.state", row.state.as_str());
    if !words.hash_paths {
        let attrs = row.frontend_attrs.iter();
        let attrs: Vec<String> = attrs
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        if !attrs.is_empty() {
            let attrs = texts(attrs.iter().map(String::as_str));
            draft.add(KeyValue::new("buildkit.build.frontend_attrs", attrs));
        }
    }
    let kinds: Vec<&str> = row.exporters.iter().map(|it| it.kind.as_str()).collect();
    if !kinds.is_empty() {
        draft.add(KeyValue::new("buildkit.exporter.types", texts(kinds)));
    }
    container_image(&mut draft, row);
    let cached = row.vertices.iter().filter(|vertex| vertex.cached).count();
    draft.number("buildkit.build.vertices", row.vertices.len() as u64);
    draft.number("buildkit.build.vertices_cached", cached as u64);
    if row.vertices_dropped > 0 {
        draft.number("buildkit.build.vertices_dropped", row.vertices_dropped);
    }
    draft.number("buildkit.build.log_bytes", row.log_bytes);
    if let Some(clock) = clock {
        clock.note(&mut draft);
    }
    for warning in &row.warnings {
        if let Some(warning) = words.prose(warning) {
            let text = vec![KeyValue::new("buildkit.warning", warning.into_owned())];
            draft.event(end, "warning", text);
        }
    }
    match row.state {
        BuildState::Open => draft.flag("buildkit.open", true),
        BuildState::Failed => {
            let why = row.error.as_deref().and_then(|error| words.prose(error));
            draft.error(why.as_deref().unwrap_or("the build failed"));
        }
        BuildState::Complete | BuildState::Cancelled => {}
    }
    draft
}

/// The image that a build makes, by the conventions for container images.
fn container_image(draft: &mut Draft, row: &Build) {
    let names = row.exporters.iter().flat_map(|exporter| {
        let named = exporter.attrs.iter().filter(|(key, _)| key == "name");
        named.flat_map(|(_, value)| value.split(','))
    });
    let mut tags = Vec::new();
    let mut repository = None;
    for name in names.filter(|name| !name.is_empty()) {
        let bare = name.split('@').next().unwrap_or(name);
        let (image, tag) = match bare.rsplit_once(':') {
            Some((image, tag)) if !tag.contains('/') => (image, tag),
            _ => (bare, "latest"),
        };
        repository.get_or_insert(image);
        tags.push(tag);
    }
    draft.maybe_text("container.image.name", repository);
    if !tags.is_empty() {
        draft.add(KeyValue::new("container.image.tags", texts(tags)));
    }
    for (key, attribute) in [
        ("containerimage.digest", "oci.manifest.digest"),
        ("containerimage.config.digest", "container.image.id"),
    ] {
        let mut answered = row.exporter_response.iter();
        let value = answered.find(|(name, _)| name == key);
        draft.maybe_text(attribute, value.map(|(_, value)| value.as_str()));
    }
}

/// A step, by the daemon's clock; `None` if it was only announced.
pub(super) fn vertex(
    words: Words,
    place: &Place,
    build: &Build,
    row: &Vertex,
    clock: Option<ClockOffset>,
    now: Time,
) -> Option<Draft> {
    let start = row.started?;
    let end = row.completed.unwrap_or(now.max(start));
    let id = ids::of_vertex(build, &row.digest);
    let name = words.step(&row.name).into_owned();
    let mut draft = Draft::new(place, id, name, start, end);
    draft.text("buildkit.vertex.digest", &row.digest);
    draft.flag("buildkit.vertex.cached", row.cached);
    draft.add(KeyValue::new(
        "buildkit.vertex.inputs",
        integer(row.inputs.len() as u64),
    ));
    draft.number("buildkit.vertex.log_bytes", row.log_bytes);
    if let Some(clock) = clock {
        clock.note(&mut draft);
    }
    for progress in &row.progress {
        if let (Some(at), Some(id)) = (progress.completed, words.prose(&progress.id)) {
            let what = vec![
                KeyValue::new("buildkit.progress.id", id.into_owned()),
                KeyValue::new("buildkit.progress.current", progress.current),
            ];
            draft.event(at, "progress complete", what);
        }
    }
    if let Some(error) = &row.error {
        let error = words.prose(error);
        draft.error(error.as_deref().unwrap_or("the step failed"));
    }
    if row.completed.is_none() {
        draft.flag("buildkit.open", true);
    }
    Some(draft)
}

/// What a step printed, as an event of its span.
pub(super) fn printed(words: Words, row: &Printed, vertex: &Vertex, draft: &mut Draft) {
    let at = row.at.or(vertex.started).unwrap_or_default();
    let mut said = vec![KeyValue::new("buildkit.log.stream", row.stream)];
    if let Some(text) = words.prose(row.text.trim_end_matches('\n')) {
        said.push(KeyValue::new("buildkit.log.text", cut(&text)));
    }
    draft.event(at, "log", said);
}
