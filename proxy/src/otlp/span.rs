//! A span that is ready to be sent, and how one is put together.

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use buildtap_decoder::event::Time;
use buildtap_decoder::redact::Regex;
use opentelemetry::trace::{
    Event, Link, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{InstrumentationScope, KeyValue, StringValue, Value};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};

/// Events of one span.
pub(crate) const EVENTS: usize = 256;
/// Bytes of one text that is exported.
pub(crate) const TEXT: usize = 4 << 10;

/// A span, and whose it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// What made it.
    pub origin: Arc<Origin>,
    /// The span itself.
    pub data: SpanData,
}

impl Span {
    /// Moves it below another span of its trace; a link says where it was.
    pub(crate) fn hang_below(&mut self, parent: SpanId) {
        let data = &mut self.data;
        let context = SpanContext::new(
            data.span_context.trace_id(),
            std::mem::replace(&mut data.parent_span_id, parent),
            TraceFlags::SAMPLED,
            true,
            data.span_context.trace_state().clone(),
        );
        let why = vec![KeyValue::new(
            "buildkit.link",
            "the span that it names as its parent",
        )];
        data.links.links.push(Link::new(context, why, 0));
    }

    /// Replaces what matches, wherever it stands.
    pub(crate) fn mask(&mut self, patterns: &[Regex]) {
        let data = &mut self.data;
        if let Some(name) = masked(&data.name, patterns) {
            data.name = name.into();
        }
        mask_values(&mut data.attributes, patterns);
        for event in &mut data.events.events {
            if let Some(name) = masked(&event.name, patterns) {
                event.name = name.into();
            }
            mask_values(&mut event.attributes, patterns);
        }
        for link in &mut data.links.links {
            mask_values(&mut link.attributes, patterns);
        }
        if let Status::Error { description } = &mut data.status
            && let Some(masked) = masked(description, patterns)
        {
            *description = masked.into();
        }
    }
}

/// A text in which something matches, without that.
fn masked(text: &str, patterns: &[Regex]) -> Option<String> {
    let mut masked = Cow::Borrowed(text.as_bytes());
    for pattern in patterns {
        if let Cow::Owned(changed) = pattern.replace_all(&masked, &b"***"[..]) {
            masked = Cow::Owned(changed);
        }
    }
    match masked {
        Cow::Owned(masked) => Some(String::from_utf8_lossy(&masked).into_owned()),
        Cow::Borrowed(_) => None,
    }
}

/// Gives whether there was something to mask.
fn mask_values(attributes: &mut [KeyValue], patterns: &[Regex]) -> bool {
    let mut found = false;
    for attribute in attributes {
        if let Value::String(_) | Value::Array(_) = attribute.value
            && let Some(masked) = masked(&attribute.value.as_str(), patterns)
        {
            attribute.value = masked.into();
            found = true;
        }
    }
    found
}

/// What makes spans: an OpenTelemetry resource, with its attributes in order.
#[derive(Clone, Debug, PartialEq)]
pub struct Origin {
    attributes: Vec<KeyValue>,
    schema_url: Option<String>,
}

impl Origin {
    /// One with these attributes; of two with the same key the later one counts.
    pub fn new(attributes: impl IntoIterator<Item = KeyValue>, schema_url: Option<String>) -> Self {
        let mut kept: Vec<KeyValue> = Vec::new();
        for attribute in attributes {
            match kept.iter_mut().find(|known| known.key == attribute.key) {
                Some(known) => *known = attribute,
                None => kept.push(attribute),
            }
        }
        kept.sort_by(|a, b| a.key.cmp(&b.key));
        Origin {
            attributes: kept,
            schema_url,
        }
    }

    /// Its attributes, by key.
    pub fn attributes(&self) -> &[KeyValue] {
        &self.attributes
    }

    /// The same without what matches; `None` if nothing does.
    pub(crate) fn masked(&self, patterns: &[Regex]) -> Option<Self> {
        let mut masked = self.clone();
        mask_values(&mut masked.attributes, patterns).then_some(masked)
    }

    /// The version of the conventions that they follow.
    pub fn schema_url(&self) -> Option<&str> {
        self.schema_url.as_deref()
    }

    /// The same for the SDK.
    pub(crate) fn resource(&self) -> Resource {
        let builder = Resource::builder_empty();
        match &self.schema_url {
            Some(url) => builder.with_schema_url(self.attributes.clone(), url.clone()),
            None => builder.with_attributes(self.attributes.clone()),
        }
        .build()
    }
}

/// Where a span belongs: in which trace, and below what.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Place {
    pub(crate) trace_id: TraceId,
    pub(crate) parent: Option<SpanId>,
    /// The parent is a peer's span, which told us by a header.
    pub(crate) is_remote: bool,
    pub(crate) state: TraceState,
}

impl Place {
    /// At the top of a trace.
    pub(crate) fn root(trace_id: TraceId) -> Self {
        Place {
            trace_id,
            parent: None,
            is_remote: false,
            state: TraceState::NONE,
        }
    }

    /// Below the span of which a peer told us.
    pub(crate) fn below_remote(context: &SpanContext) -> Self {
        Place {
            trace_id: context.trace_id(),
            parent: Some(context.span_id()),
            is_remote: true,
            state: context.trace_state().clone(),
        }
    }

    /// Below `parent`, a span of ours that is in this place.
    pub(crate) fn below(&self, parent: SpanId) -> Self {
        Place {
            trace_id: self.trace_id,
            parent: Some(parent),
            is_remote: false,
            state: self.state.clone(),
        }
    }

    /// What a link to the span `id` in this place says.
    pub(crate) fn context(&self, id: SpanId) -> SpanContext {
        let sampled = TraceFlags::SAMPLED;
        SpanContext::new(self.trace_id, id, sampled, false, self.state.clone())
    }
}

/// A moment for OpenTelemetry.
pub(crate) fn system_time(at: Time) -> SystemTime {
    UNIX_EPOCH + Duration::from_nanos(at.0)
}

/// What says that it is buildtap which made a span.
fn scope() -> InstrumentationScope {
    static SCOPE: LazyLock<InstrumentationScope> = LazyLock::new(|| {
        InstrumentationScope::builder("buildtap")
            .with_version(env!("CARGO_PKG_VERSION"))
            .build()
    });
    SCOPE.clone()
}

/// A span that is being put together.
#[derive(Debug)]
pub(crate) struct Draft(SpanData);

impl Draft {
    /// From `start` to `end`, which is not before.
    pub(crate) fn new(
        place: &Place,
        id: SpanId,
        name: impl Into<Cow<'static, str>>,
        start: Time,
        end: Time,
    ) -> Self {
        Draft(SpanData {
            span_context: place.context(id),
            parent_span_id: place.parent.unwrap_or(SpanId::INVALID),
            parent_span_is_remote: place.is_remote,
            span_kind: SpanKind::Internal,
            name: name.into(),
            start_time: system_time(start),
            end_time: system_time(end.max(start)),
            attributes: Vec::new(),
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: Status::Unset,
            instrumentation_scope: scope(),
        })
    }

    /// Something that one side asks of the other.
    pub(crate) fn server(mut self) -> Self {
        self.0.span_kind = SpanKind::Server;
        self
    }

    pub(crate) fn add(&mut self, attribute: KeyValue) {
        self.0.attributes.push(attribute);
    }

    pub(crate) fn extend(&mut self, attributes: impl IntoIterator<Item = KeyValue>) {
        self.0.attributes.extend(attributes);
    }

    pub(crate) fn text(&mut self, key: &'static str, text: &str) {
        self.add(KeyValue::new(key, cut(text)));
    }

    pub(crate) fn maybe_text(&mut self, key: &'static str, text: Option<&str>) {
        if let Some(text) = text {
            self.text(key, text);
        }
    }

    pub(crate) fn number(&mut self, key: &'static str, number: u64) {
        self.add(KeyValue::new(key, integer(number)));
    }

    pub(crate) fn flag(&mut self, key: &'static str, flag: bool) {
        self.add(KeyValue::new(key, flag));
    }

    pub(crate) fn event(
        &mut self,
        at: Time,
        name: impl Into<Cow<'static, str>>,
        attributes: Vec<KeyValue>,
    ) {
        let events = &mut self.0.events;
        if events.events.len() < EVENTS {
            let event = Event::new(name, system_time(at), attributes, 0);
            events.events.push(event);
        } else {
            events.dropped_count = events.dropped_count.saturating_add(1);
        }
    }

    /// Events that were left out before.
    pub(crate) fn dropped_events(&mut self, count: u32) {
        let dropped = &mut self.0.events.dropped_count;
        *dropped = dropped.saturating_add(count);
    }

    pub(crate) fn link(&mut self, to: SpanContext, why: &'static str) {
        let why = vec![KeyValue::new("buildkit.link", why)];
        self.0.links.links.push(Link::new(to, why, 0));
    }

    /// It went wrong. What was said first stays.
    pub(crate) fn error(&mut self, why: &str) {
        if self.0.status == Status::Unset {
            self.0.status = Status::error(cut(why));
        }
    }

    pub(crate) fn finish(mut self, origin: &Arc<Origin>) -> Span {
        self.0.events.events.sort_by_key(|event| event.timestamp);
        Span {
            origin: Arc::clone(origin),
            data: self.0,
        }
    }
}

/// A number, as OTLP has them.
pub(crate) fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Texts as one attribute.
pub(crate) fn texts<'a>(texts: impl IntoIterator<Item = &'a str>) -> Value {
    let texts: Vec<StringValue> = texts.into_iter().map(|text| cut(text).into()).collect();
    Value::Array(opentelemetry::Array::String(texts))
}

/// The head of a text that is too long.
pub(crate) fn cut(text: &str) -> String {
    if text.len() <= TEXT {
        return text.to_owned();
    }
    let end = (0..=TEXT).rev().find(|at| text.is_char_boundary(*at));
    format!("{}…", &text[..end.unwrap_or(0)])
}
