//! Spans of the peers that pass by on the wire, handed on as they are.
//!
//! Clients send theirs to the daemon (`TraceService/Export`), which keeps them, with its own, in
//! the history of builds. A client that reads the history gets both: `ListenBuildHistory` names the
//! blob of a build's trace, `Content/Read` reads it. That blob is not OTLP: it is what Go's SDK
//! calls span stubs, one JSON object after another
//! (`application/vnd.buildkit.otlp.json.v0`, `solver/llbsolver/history.go`).

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::sync::Arc;

use buildtap_decoder::event::Time;
use buildtap_decoder::trace::{Call, Id, Said, Trace};
use buildtap_proto::containerd::services::content::v1 as content;
use buildtap_proto::moby::buildkit::v1 as control;
use opentelemetry::trace::{
    Event, Link, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{InstrumentationScope, KeyValue, Value};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1 as common;
use opentelemetry_proto::tonic::trace::v1 as proto;
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use prost::Message as _;

use super::span::{Origin, Span, cut, system_time};
use super::spans::Words;

/// Traces of builds whose blobs are known.
const KNOWN: usize = 1_024;
/// Blobs that are read at a time, and bytes of one.
const READING: usize = 16;
const BLOB: usize = 16 << 20;
/// Spans that are known to have been handed on.
const SEEN: usize = 65_536;
/// Levels of a value inside another that are gone through.
const DEPTH: usize = 8;

/// Takes spans out of what the peers say.
#[derive(Debug, Default)]
pub(super) struct Forward {
    /// Digests of blobs that hold the trace of a build.
    traces: BTreeSet<String>,
    /// Calls that read such a blob, and what they read so far.
    reading: BTreeMap<Id<Call>, Vec<u8>>,
    /// Spans that were handed on: a client may send them to each daemon that it talks to.
    seen: HashSet<([u8; 16], [u8; 8])>,
    seen_order: VecDeque<([u8; 16], [u8; 8])>,
    /// Made last: the next span mostly comes from the same.
    last: Option<Arc<Origin>>,
}

impl Forward {
    /// A message that may hold spans, or tell of some.
    pub(super) fn said(&mut self, trace: &Trace, said: &Said, words: Words, out: &mut Vec<Span>) {
        let Said::Message {
            call,
            from,
            body,
            cut: false,
        } = said
        else {
            return;
        };
        let Some(row) = trace.calls.get(*call) else {
            return;
        };
        let is_request = row.caller == *from;
        match (row.service.as_str(), row.method.as_str(), is_request) {
            ("opentelemetry.proto.collector.trace.v1.TraceService", "Export", true) => {
                if let Ok(request) = ExportTraceServiceRequest::decode(body.clone()) {
                    self.request(request, words, out);
                }
            }
            ("moby.buildkit.v1.Control", "ListenBuildHistory", false) => {
                let event = control::BuildHistoryEvent::decode(body.clone());
                let record = event.ok().and_then(|event| event.record);
                if let Some(blob) = record.and_then(|record| record.trace) {
                    self.traces.insert(blob.digest);
                    if self.traces.len() > KNOWN {
                        self.traces.pop_first();
                    }
                }
            }
            ("containerd.services.content.v1.Content", "Read", true) => {
                let request = content::ReadContentRequest::decode(body.clone());
                // A part of a blob is of no use.
                let is_trace = request.is_ok_and(|request| {
                    request.offset == 0 && self.traces.contains(&request.digest)
                });
                if is_trace && self.reading.len() < READING {
                    self.reading.insert(*call, Vec::new());
                }
            }
            ("containerd.services.content.v1.Content", "Read", false) => {
                if let Some(blob) = self.reading.get_mut(call)
                    && let Ok(answer) = content::ReadContentResponse::decode(body.clone())
                {
                    blob.extend_from_slice(&answer.data);
                    if blob.len() > BLOB {
                        self.reading.remove(call);
                    }
                }
            }
            _ => {}
        }
    }

    /// A call ended: if it read a trace, that is there now.
    pub(super) fn call_ended(&mut self, call: Id<Call>, words: Words, out: &mut Vec<Span>) {
        if let Some(blob) = self.reading.remove(&call) {
            self.stubs(&blob, words, out);
        }
    }

    fn origin(&mut self, attributes: Vec<KeyValue>, schema_url: Option<String>) -> Arc<Origin> {
        let made = Origin::new(attributes, schema_url);
        match &self.last {
            Some(last) if **last == made => Arc::clone(last),
            _ => Arc::clone(self.last.insert(Arc::new(made))),
        }
    }

    /// Hands a span on, once.
    fn hand_on(&mut self, origin: &Arc<Origin>, data: SpanData, out: &mut Vec<Span>) {
        let context = &data.span_context;
        let id = (context.trace_id().to_bytes(), context.span_id().to_bytes());
        if !self.seen.insert(id) {
            return;
        }
        self.seen_order.push_back(id);
        if self.seen_order.len() > SEEN
            && let Some(oldest) = self.seen_order.pop_front()
        {
            self.seen.remove(&oldest);
        }
        out.push(Span {
            origin: Arc::clone(origin),
            data,
        });
    }

    fn request(&mut self, request: ExportTraceServiceRequest, words: Words, out: &mut Vec<Span>) {
        for group in request.resource_spans {
            let attributes = group.resource.map(|resource| resource.attributes);
            let attributes = pairs(attributes.unwrap_or_default(), words);
            let url = Some(group.schema_url).filter(|url| !url.is_empty());
            let origin = self.origin(attributes, url);
            for group in group.scope_spans {
                let scope = scope(group.scope.unwrap_or_default(), group.schema_url);
                for span in group.spans {
                    if let Some(data) = of_proto(span, scope.clone(), words) {
                        self.hand_on(&origin, data, out);
                    }
                }
            }
        }
    }

    /// Span stubs, one after another; what is none ends it.
    fn stubs(&mut self, blob: &[u8], words: Words, out: &mut Vec<Span>) {
        let objects = serde_json::Deserializer::from_slice(blob).into_iter::<serde_json::Value>();
        for object in objects.map_while(Result::ok) {
            let list = match object {
                serde_json::Value::Array(list) => list,
                object => vec![object],
            };
            for stub in list {
                let attributes = stub::pairs(&stub["Resource"], words);
                if let Some(data) = stub::span(&stub, words) {
                    let origin = self.origin(attributes, None);
                    self.hand_on(&origin, data, out);
                }
            }
        }
    }
}

impl Words {
    /// What a peer called a span: the name of a call, or a step of a build.
    fn forwarded_name(self, name: &str) -> String {
        match name.contains('/') && !name.contains(' ') {
            true => self.free(name).into_owned(),
            false => self.step(name).into_owned(),
        }
    }

    /// Whether an attribute is handed on: with paths hashed, a text only if it holds none.
    fn forwards(self, key: &str, value: &Value) -> bool {
        const PLAIN: [&str; 6] = [
            "rpc.",
            "service.",
            "telemetry.",
            "net.",
            "server.",
            "network.",
        ];
        let is_text = matches!(value, Value::String(_) | Value::Array(_));
        !self.hash_paths || !is_text || PLAIN.iter().any(|plain| key.starts_with(plain))
    }

    fn forwarded(self, key: String, value: Value) -> Option<KeyValue> {
        if !self.forwards(&key, &value) {
            return None;
        }
        let value = match value {
            Value::String(text) => cut(&self.free(text.as_str())).into(),
            Value::Array(opentelemetry::Array::String(texts)) => {
                let texts = texts
                    .iter()
                    .map(|text| cut(&self.free(text.as_str())).into());
                Value::Array(opentelemetry::Array::String(texts.collect()))
            }
            other => other,
        };
        Some(KeyValue::new(key, value))
    }
}

fn scope(scope: common::InstrumentationScope, schema_url: String) -> InstrumentationScope {
    let mut builder = InstrumentationScope::builder(scope.name);
    if !scope.version.is_empty() {
        builder = builder.with_version(scope.version);
    }
    if !schema_url.is_empty() {
        builder = builder.with_schema_url(schema_url);
    }
    builder.build()
}

fn context(trace_id: &[u8], span_id: &[u8], state: &str) -> Option<SpanContext> {
    let context = SpanContext::new(
        TraceId::from_bytes(trace_id.try_into().ok()?),
        SpanId::from_bytes(span_id.try_into().ok()?),
        // What is sent was sampled.
        TraceFlags::SAMPLED,
        false,
        state.parse::<TraceState>().unwrap_or_default(),
    );
    context.is_valid().then_some(context)
}

fn of_proto(span: proto::Span, scope: InstrumentationScope, words: Words) -> Option<SpanData> {
    let parent = <[u8; 8]>::try_from(&span.parent_span_id[..]);
    let events = span.events.into_iter().map(|event| {
        let attributes = pairs(event.attributes, words);
        let dropped = event.dropped_attributes_count;
        let name = words.free(&event.name).into_owned();
        Event::new(
            name,
            system_time(Time(event.time_unix_nano)),
            attributes,
            dropped,
        )
    });
    let links = span.links.into_iter().filter_map(|link| {
        let context = context(&link.trace_id, &link.span_id, &link.trace_state)?;
        let attributes = pairs(link.attributes, words);
        Some(Link::new(
            context,
            attributes,
            link.dropped_attributes_count,
        ))
    });
    let kind = match span.kind {
        2 => SpanKind::Server,
        3 => SpanKind::Client,
        4 => SpanKind::Producer,
        5 => SpanKind::Consumer,
        _ => SpanKind::Internal,
    };
    let status = span.status.unwrap_or_default();
    let mut all_events = SpanEvents::default();
    all_events.events = events.collect();
    all_events.dropped_count = span.dropped_events_count;
    let mut all_links = SpanLinks::default();
    all_links.links = links.collect();
    all_links.dropped_count = span.dropped_links_count;
    Some(SpanData {
        span_context: context(&span.trace_id, &span.span_id, &span.trace_state)?,
        parent_span_id: parent.map_or(SpanId::INVALID, SpanId::from_bytes),
        // Bit 9 says so, if bit 8 says that it is known.
        parent_span_is_remote: span.flags & 0x300 == 0x300,
        span_kind: kind,
        name: words.forwarded_name(&span.name).into(),
        start_time: system_time(Time(span.start_time_unix_nano)),
        end_time: system_time(Time(span.end_time_unix_nano)),
        attributes: pairs(span.attributes, words),
        dropped_attributes_count: span.dropped_attributes_count,
        events: all_events,
        links: all_links,
        status: match status.code {
            1 => Status::Ok,
            2 => Status::error(
                words
                    .prose(&status.message)
                    .unwrap_or_default()
                    .into_owned(),
            ),
            _ => Status::Unset,
        },
        instrumentation_scope: scope,
    })
}

fn pairs(attributes: Vec<common::KeyValue>, words: Words) -> Vec<KeyValue> {
    let pair = |it: common::KeyValue| words.forwarded(it.key, value(it.value?)?);
    attributes.into_iter().filter_map(pair).collect()
}

/// A value as the SDK has them: lists of one kind of thing, and what it has not as JSON.
fn value(value: common::AnyValue) -> Option<Value> {
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

/// Go's span stubs (`go.opentelemetry.io/otel/sdk/trace/tracetest`).
mod stub {
    use std::time::SystemTime;

    use opentelemetry::trace::{Event, Link, SpanContext, SpanId, SpanKind, Status};
    use opentelemetry::{Array, InstrumentationScope, KeyValue, StringValue, Value};
    use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
    use serde_json::Value as Json;

    use crate::otlp::spans::Words;

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
        super::context(
            &hex::<16>(&json["TraceID"])?,
            &hex::<8>(&json["SpanID"])?,
            state,
        )
    }

    fn time(json: &Json) -> Option<SystemTime> {
        let at = crate::otlp::spans::rfc3339(json.as_str()?)?;
        Some(super::system_time(at))
    }

    pub(super) fn pairs(json: &Json, words: Words) -> Vec<KeyValue> {
        let pairs = json.as_array().into_iter().flatten();
        let pair = |pair: &Json| {
            let key = pair["Key"].as_str()?.to_owned();
            words.forwarded(key, value(&pair["Value"])?)
        };
        pairs.filter_map(pair).collect()
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
            let name = words.free(event["Name"].as_str()?).into_owned();
            let attributes = pairs(&event["Attributes"], words);
            Some(Event::new(name, time(&event["Time"])?, attributes, 0))
        };
        let link = |link: &Json| {
            let attributes = pairs(&link["Attributes"], words);
            Some(Link::new(context(&link["SpanContext"])?, attributes, 0))
        };
        let mut events = SpanEvents::default();
        events.events = list("Events").filter_map(event).collect();
        let mut links = SpanLinks::default();
        links.links = list("Links").filter_map(link).collect();
        let parent = hex::<8>(&stub["Parent"]["SpanID"]);
        let scope = match &stub["InstrumentationLibrary"] {
            Json::Null => &stub["InstrumentationScope"],
            library => library,
        };
        let scope_name = scope["Name"].as_str().unwrap_or_default().to_owned();
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
            attributes: pairs(&stub["Attributes"], words),
            dropped_attributes_count: 0,
            events,
            links,
            status: match stub["Status"]["Code"].as_str() {
                Some("Ok") => Status::Ok,
                Some("Error") => {
                    let why = stub["Status"]["Description"].as_str().unwrap_or_default();
                    Status::error(words.prose(why).unwrap_or_default().into_owned())
                }
                _ => Status::Unset,
            },
            instrumentation_scope: InstrumentationScope::builder(scope_name).build(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STUBS: &str = r#"
{"Name":"moby.buildkit.v1.Control/Solve",
 "SpanContext":{"TraceID":"4bf92f3577b34da6a3ce929d0e0e4736","SpanID":"00f067aa0ba902b7","TraceFlags":"01","TraceState":"","Remote":false},
 "Parent":{"TraceID":"4bf92f3577b34da6a3ce929d0e0e4736","SpanID":"53995c3f42cd8ad8","TraceFlags":"01","TraceState":"","Remote":true},
 "SpanKind":2,"StartTime":"1994-11-06T10:49:37.5+02:00","EndTime":"1994-11-06T08:49:38Z",
 "Attributes":[{"Key":"rpc.grpc.status_code","Value":{"Type":"INT64","Value":2}},
               {"Key":"argv","Value":{"Type":"STRINGSLICE","Value":["docker","build"]}}],
 "Events":[{"Name":"exception","Attributes":null,"DroppedAttributeCount":0,"Time":"1994-11-06T08:49:37.6Z"}],
 "Links":null,"Status":{"Code":"Error","Description":"exit code: 127"},
 "DroppedAttributes":0,"DroppedEvents":0,"DroppedLinks":0,"ChildSpanCount":1,
 "Resource":[{"Key":"service.name","Value":{"Type":"STRING","Value":"buildkitd"}}],
 "InstrumentationLibrary":{"Name":"otelgrpc","Version":"1","SchemaURL":""}}
{"Name":"second","SpanContext":{"TraceID":"4bf92f3577b34da6a3ce929d0e0e4736","SpanID":"00f067aa0ba902b8"},
 "StartTime":"1994-11-06T08:49:37Z","EndTime":"1994-11-06T08:49:38Z","Resource":null}
{"Name":"no context"}
{"broken"#;

    #[test]
    fn span_stubs_of_a_build_s_history() {
        let mut out = Vec::new();
        let mut forward = Forward::default();
        forward.stubs(STUBS.as_bytes(), Words::default(), &mut out);
        // Once only.
        forward.stubs(STUBS.as_bytes(), Words::default(), &mut out);
        let [first, second] = &out[..] else {
            panic!("{out:#?}");
        };
        let data = &first.data;
        assert_eq!(data.name, "moby.buildkit.v1.Control/Solve");
        assert_eq!(data.span_context.span_id().to_string(), "00f067aa0ba902b7");
        assert_eq!(data.parent_span_id.to_string(), "53995c3f42cd8ad8");
        assert!(data.parent_span_is_remote);
        assert_eq!(data.span_kind, SpanKind::Server);
        assert_eq!(data.start_time, system_time(Time(784_111_777_500_000_000)));
        assert_eq!(data.end_time, system_time(Time(784_111_778_000_000_000)));
        assert_eq!(data.attributes[0], KeyValue::new("rpc.grpc.status_code", 2));
        assert_eq!(data.events[0].name, "exception");
        assert_eq!(data.status, Status::error("exit code: 127"));
        let service = &first.origin.attributes()[0];
        assert_eq!(service, &KeyValue::new("service.name", "buildkitd"));
        assert_eq!(second.data.name, "second");
        assert_eq!(second.data.parent_span_id, SpanId::INVALID);
    }

    #[test]
    fn values_that_the_sdk_has_not() {
        use common::any_value::Value as Any;
        let any = |value: Any| common::AnyValue { value: Some(value) };
        let list = |values: Vec<Any>| {
            let values = values.into_iter().map(any).collect();
            value(any(Any::ArrayValue(common::ArrayValue { values }))).unwrap()
        };
        let numbers = list(vec![Any::IntValue(1), Any::IntValue(2)]);
        assert_eq!(numbers, Value::Array(opentelemetry::Array::I64(vec![1, 2])));
        let mixed = list(vec![Any::IntValue(1), Any::StringValue("a".into())]);
        assert_eq!(mixed.as_str(), "[1,\"a\"]");
        let pair = common::KeyValue {
            key: "k".into(),
            value: Some(any(Any::BoolValue(true))),
            ..Default::default()
        };
        let map = common::KeyValueList { values: vec![pair] };
        let map = value(any(Any::KvlistValue(map))).unwrap();
        assert_eq!(map.as_str(), "{\"k\":true}");
    }

    proptest::proptest! {
        #[test]
        fn nothing_that_claims_to_be_spans_breaks_it(
            bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200),
            cut in 0..STUBS.len(),
        ) {
            let mut out = Vec::new();
            let mut forward = Forward::default();
            forward.stubs(&bytes, Words::default(), &mut out);
            forward.stubs(&STUBS.as_bytes()[..cut], Words::default(), &mut out);
            if let Ok(request) = ExportTraceServiceRequest::decode(&bytes[..]) {
                forward.request(request, Words::default(), &mut out);
            }
        }
    }
}
