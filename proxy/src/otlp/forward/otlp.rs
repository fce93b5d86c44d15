//! Spans in OTLP, as the SDK has them.

use buildtap_decoder::event::Time;
use opentelemetry::trace::{
    Event, Link, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{InstrumentationScope, KeyValue, Value};
use opentelemetry_proto::tonic::common::v1 as common;
use opentelemetry_proto::tonic::trace::v1 as proto;
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};

use super::words::{LINKS, attributes, first};
use crate::otlp::span::{EVENTS, cut, system_time};
use crate::otlp::spans::Words;

/// Levels of a value inside another that are gone through.
const DEPTH: usize = 8;
/// Longest `tracestate` that is kept.
const STATE: usize = 4_096;

pub(super) fn scope(
    scope: common::InstrumentationScope,
    schema_url: String,
) -> InstrumentationScope {
    let mut builder = InstrumentationScope::builder(cut(&scope.name));
    if !scope.version.is_empty() {
        builder = builder.with_version(cut(&scope.version));
    }
    if !schema_url.is_empty() {
        builder = builder.with_schema_url(cut(&schema_url));
    }
    builder.build()
}

pub(super) fn context(trace_id: &[u8], span_id: &[u8], state: &str) -> Option<SpanContext> {
    let context = SpanContext::new(
        TraceId::from_bytes(trace_id.try_into().ok()?),
        SpanId::from_bytes(span_id.try_into().ok()?),
        // What is sent was sampled.
        TraceFlags::SAMPLED,
        false,
        Some(state)
            .filter(|state| state.len() <= STATE)
            .and_then(|state| state.parse::<TraceState>().ok())
            .unwrap_or_default(),
    );
    context.is_valid().then_some(context)
}

pub(super) fn span(
    span: proto::Span,
    scope: InstrumentationScope,
    words: Words,
) -> Option<SpanData> {
    let parent = <[u8; 8]>::try_from(&span.parent_span_id[..]);
    let pair = |it| pair(it, words);
    let event = |event: proto::span::Event| {
        let dropped = event.dropped_attributes_count;
        let (attributes, dropped) = attributes(event.attributes, pair, dropped);
        let name = words.forwarded_text(&event.name);
        let at = system_time(Time(event.time_unix_nano));
        Event::new(name, at, attributes, dropped)
    };
    let link = |link: proto::span::Link| {
        let context = context(&link.trace_id, &link.span_id, &link.trace_state)?;
        let dropped = link.dropped_attributes_count;
        let (attributes, dropped) = attributes(link.attributes, pair, dropped);
        Some(Link::new(context, attributes, dropped))
    };
    let mut events = SpanEvents::default();
    let (kept, dropped) = first(span.events, EVENTS, span.dropped_events_count);
    events.events = kept.into_iter().map(event).collect();
    events.dropped_count = dropped;
    let mut links = SpanLinks::default();
    let (kept, dropped) = first(span.links, LINKS, span.dropped_links_count);
    links.links = kept.into_iter().filter_map(link).collect();
    links.dropped_count = dropped;
    let dropped = span.dropped_attributes_count;
    let (attributes, dropped_attributes) = attributes(span.attributes, pair, dropped);
    let kind = match span.kind {
        2 => SpanKind::Server,
        3 => SpanKind::Client,
        4 => SpanKind::Producer,
        5 => SpanKind::Consumer,
        _ => SpanKind::Internal,
    };
    let status = span.status.unwrap_or_default();
    Some(SpanData {
        span_context: context(&span.trace_id, &span.span_id, &span.trace_state)?,
        parent_span_id: parent.map_or(SpanId::INVALID, SpanId::from_bytes),
        // Bit 9 says so, if bit 8 says that it is known.
        parent_span_is_remote: span.flags & 0x300 == 0x300,
        span_kind: kind,
        name: words.forwarded_name(&span.name).into(),
        start_time: system_time(Time(span.start_time_unix_nano)),
        end_time: system_time(Time(span.end_time_unix_nano)),
        attributes,
        dropped_attributes_count: dropped_attributes,
        events,
        links,
        status: match status.code {
            1 => Status::Ok,
            2 => Status::error(words.forwarded_error(&status.message)),
            _ => Status::Unset,
        },
        instrumentation_scope: scope,
    })
}

pub(super) fn pair(it: common::KeyValue, words: Words) -> Option<KeyValue> {
    words.forwarded(it.key, value(it.value?)?)
}

/// A value as the SDK has them: lists of one kind of thing, and what it has not as JSON.
pub(super) fn value(value: common::AnyValue) -> Option<Value> {
    use common::any_value::Value as Any;
    Some(match value.value? {
        Any::StringValue(text) => text.into(),
        Any::BoolValue(flag) => flag.into(),
        Any::IntValue(number) => number.into(),
        Any::DoubleValue(number) => number.into(),
        Any::ArrayValue(list) => array(list),
        other => json(&other, DEPTH).to_string().into(),
    })
}

fn array(list: common::ArrayValue) -> Value {
    use common::any_value::Value as Any;
    use opentelemetry::Array;
    let values: Vec<Any> = list
        .values
        .into_iter()
        .filter_map(|value| value.value)
        .collect();
    macro_rules! all {
        ($kind:ident, $array:ident) => {
            let of_kind = |value: &Any| match value {
                Any::$kind(value) => Some(value.clone().into()),
                _ => None,
            };
            if let Some(values) = values.iter().map(of_kind).collect() {
                return Value::Array(Array::$array(values));
            }
        };
    }
    all!(StringValue, String);
    all!(BoolValue, Bool);
    all!(IntValue, I64);
    all!(DoubleValue, F64);
    let list = values.iter().map(|value| json(value, DEPTH)).collect();
    serde_json::Value::Array(list).to_string().into()
}

fn json(value: &common::any_value::Value, depth: usize) -> serde_json::Value {
    use common::any_value::Value as Any;
    let inner = |value: &Option<common::AnyValue>| {
        let value = value.as_ref().and_then(|value| value.value.as_ref());
        match value.filter(|_| depth > 0) {
            Some(value) => json(value, depth - 1),
            None => serde_json::Value::Null,
        }
    };
    match value {
        Any::StringValue(text) => text.clone().into(),
        Any::BoolValue(flag) => (*flag).into(),
        Any::IntValue(number) => (*number).into(),
        Any::DoubleValue(number) => (*number).into(),
        Any::ArrayValue(list) => {
            let values = list.values.iter();
            values.map(|value| inner(&Some(value.clone()))).collect()
        }
        Any::KvlistValue(list) => {
            let pairs = list.values.iter();
            pairs
                .map(|pair| (pair.key.clone(), inner(&pair.value)))
                .collect()
        }
        Any::BytesValue(bytes) => format!("{} bytes", bytes.len()).into(),
        Any::StringValueStrindex(_) => serde_json::Value::Null,
    }
}
