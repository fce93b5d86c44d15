//! Go's span stubs (`go.opentelemetry.io/otel/sdk/trace/tracetest`), as JSON.

use std::time::SystemTime;

use opentelemetry::trace::{Event, Link, SpanContext, SpanId, SpanKind, Status};
use opentelemetry::{Array, InstrumentationScope, KeyValue, StringValue, Value};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use serde_json::Value as Json;

use super::words::{LINKS, attributes, first};
use crate::otlp::span::{EVENTS, cut, system_time};
use crate::otlp::spans::{Words, rfc3339};

fn hex<const N: usize>(text: &Json) -> Option<[u8; N]> {
    let text = text
        .as_str()
        .filter(|text| text.len() == 2 * N && text.is_ascii())?;
    let mut bytes = [0; N];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(bytes)
}

fn context(json: &Json) -> Option<SpanContext> {
    let state = json["TraceState"].as_str().unwrap_or_default();
    super::otlp::context(
        &hex::<16>(&json["TraceID"])?,
        &hex::<8>(&json["SpanID"])?,
        state,
    )
}

fn count(json: &Json) -> u32 {
    let count = json.as_u64().unwrap_or(0);
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn time(json: &Json) -> Option<SystemTime> {
    let at = rfc3339(json.as_str()?)?;
    Some(system_time(at))
}

/// Those of a list of pairs.
pub(super) fn pairs(json: &Json, words: Words, before: u32) -> (Vec<KeyValue>, u32) {
    let pairs = json.as_array().into_iter().flatten();
    let pair = |pair: &Json| {
        let key = pair["Key"].as_str()?.to_owned();
        words.forwarded(key, value(&pair["Value"])?)
    };
    attributes(pairs, pair, before)
}

fn value(json: &Json) -> Option<Value> {
    let value = &json["Value"];
    Some(match json["Type"].as_str()? {
        "BOOL" => value.as_bool()?.into(),
        "INT64" => value.as_i64()?.into(),
        "FLOAT64" => value.as_f64()?.into(),
        "STRING" => value.as_str()?.to_owned().into(),
        "STRINGSLICE" => {
            let texts = value.as_array()?.iter().filter_map(Json::as_str);
            let texts = texts.map(|text| StringValue::from(text.to_owned()));
            Value::Array(Array::String(texts.collect()))
        }
        _ => value.to_string().into(),
    })
}

pub(super) fn span(stub: &Json, words: Words) -> Option<SpanData> {
    let list = |name: &str| stub[name].as_array().into_iter().flatten();
    let event = |event: &Json| {
        let name = words.forwarded_text(event["Name"].as_str()?);
        let dropped = count(&event["DroppedAttributeCount"]);
        let (attributes, dropped) = pairs(&event["Attributes"], words, dropped);
        Some(Event::new(name, time(&event["Time"])?, attributes, dropped))
    };
    let link = |link: &Json| {
        let dropped = count(&link["DroppedAttributeCount"]);
        let (attributes, dropped) = pairs(&link["Attributes"], words, dropped);
        let context = context(&link["SpanContext"])?;
        Some(Link::new(context, attributes, dropped))
    };
    let mut events = SpanEvents::default();
    let (kept, dropped) = first(list("Events"), EVENTS, count(&stub["DroppedEvents"]));
    events.events = kept.into_iter().filter_map(event).collect();
    events.dropped_count = dropped;
    let mut links = SpanLinks::default();
    let (kept, dropped) = first(list("Links"), LINKS, count(&stub["DroppedLinks"]));
    links.links = kept.into_iter().filter_map(link).collect();
    links.dropped_count = dropped;
    let dropped = count(&stub["DroppedAttributes"]);
    let (attributes, dropped_attributes) = pairs(&stub["Attributes"], words, dropped);
    let parent = hex::<8>(&stub["Parent"]["SpanID"]);
    let scope = match &stub["InstrumentationLibrary"] {
        Json::Null => &stub["InstrumentationScope"],
        library => library,
    };
    let scope_name = cut(scope["Name"].as_str().unwrap_or_default());
    Some(SpanData {
        span_context: context(&stub["SpanContext"])?,
        parent_span_id: parent.map_or(SpanId::INVALID, SpanId::from_bytes),
        parent_span_is_remote: stub["Parent"]["Remote"].as_bool().unwrap_or(false),
        span_kind: match stub["SpanKind"].as_i64() {
            Some(2) => SpanKind::Server,
            Some(3) => SpanKind::Client,
            Some(4) => SpanKind::Producer,
            Some(5) => SpanKind::Consumer,
            _ => SpanKind::Internal,
        },
        name: words.forwarded_name(stub["Name"].as_str()?).into(),
        start_time: time(&stub["StartTime"])?,
        end_time: time(&stub["EndTime"])?,
        attributes,
        dropped_attributes_count: dropped_attributes,
        events,
        links,
        status: match stub["Status"]["Code"].as_str() {
            Some("Ok") => Status::Ok,
            Some("Error") => {
                let why = stub["Status"]["Description"].as_str().unwrap_or_default();
                Status::error(words.forwarded_error(why))
            }
            _ => Status::Unset,
        },
        instrumentation_scope: InstrumentationScope::builder(scope_name).build(),
    })
}
