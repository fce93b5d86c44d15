//! Spans as peers write them, and what only claims to be spans.

use buildtap_decoder::event::Time;
use opentelemetry::Value;
use opentelemetry::trace::{SpanId, SpanKind, Status};
use opentelemetry_proto::tonic::common::v1 as common;

use super::otlp::value;
use super::*;
use crate::otlp::span::system_time;

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

fn proto_span() -> opentelemetry_proto::tonic::trace::v1::Span {
    opentelemetry_proto::tonic::trace::v1::Span {
        trace_id: vec![1; 16],
        span_id: vec![2; 8],
        name: "call".to_owned(),
        ..Default::default()
    }
}

fn hand_on(span: opentelemetry_proto::tonic::trace::v1::Span) -> Vec<Span> {
    use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans};
    let scope_spans = vec![ScopeSpans {
        spans: vec![span],
        ..Default::default()
    }];
    let resource_spans = vec![ResourceSpans {
        scope_spans,
        ..Default::default()
    }];
    let mut out = Vec::new();
    let request = ExportTraceServiceRequest { resource_spans };
    Forward::default().request(request, Words::default(), &mut out);
    out
}

#[test]
fn ids_of_the_wrong_length_are_none() {
    assert_eq!(hand_on(proto_span()).len(), 1);
    for length in [0, 7, 9, 16, 1 << 20] {
        let mut span = proto_span();
        span.span_id = vec![2; length];
        assert_eq!(hand_on(span).len(), 0, "{length}");
        let mut span = proto_span();
        span.trace_id = vec![1; length + 1];
        assert_eq!(hand_on(span).len(), 0, "{length}");
        let mut span = proto_span();
        span.parent_span_id = vec![3; if length == 0 { 1 } else { length }];
        let handed_on = hand_on(span);
        assert_eq!(handed_on[0].data.parent_span_id, SpanId::INVALID);
    }
    let mut zeros = proto_span();
    zeros.span_id = vec![0; 8];
    assert_eq!(hand_on(zeros).len(), 0);
}

#[test]
fn what_is_absurd_is_cut() {
    use common::any_value::Value as Any;
    use opentelemetry_proto::tonic::trace::v1::span as parts;
    let pair = |key: String, value: Any| common::KeyValue {
        key,
        value: Some(common::AnyValue { value: Some(value) }),
        ..Default::default()
    };
    let long = || "x".repeat(1 << 20);
    let mut span = proto_span();
    span.name = long();
    span.trace_state = long();
    span.end_time_unix_nano = u64::MAX;
    span.attributes = (0..10_000)
        .map(|n| pair(format!("key {n}"), Any::StringValue("v".repeat(10_000))))
        .collect();
    span.attributes.insert(0, pair(long(), Any::IntValue(1)));
    span.events = (0..100_000)
        .map(|_| parts::Event {
            name: "log".to_owned(),
            ..Default::default()
        })
        .collect();
    span.links = (0..100_000)
        .map(|_| parts::Link {
            trace_id: vec![1; 16],
            span_id: vec![4; 8],
            ..Default::default()
        })
        .collect();
    span.dropped_events_count = u32::MAX;
    span.dropped_links_count = 7;
    let [span] = &hand_on(span)[..] else {
        panic!("one span");
    };
    let data = &span.data;
    assert!(data.name.len() < 5_000);
    assert_eq!(data.events.len(), crate::otlp::span::EVENTS);
    assert_eq!(data.events.dropped_count, u32::MAX);
    assert_eq!(data.links.len(), 128);
    assert_eq!(data.links.dropped_count, 100_000 - 128 + 7);
    // The one whose key is absurd is left out, too.
    assert_eq!(data.attributes.len(), 127);
    assert_eq!(data.dropped_attributes_count, 10_001 - 128);
    assert!(
        data.attributes
            .iter()
            .all(|it| it.value.as_str().len() < 5_000)
    );
}

#[test]
fn secrets_of_the_peers_are_masked() {
    use common::any_value::Value as Any;
    use opentelemetry_proto::tonic::trace::v1::span as parts;
    let secret = "hunter2-hunter2";
    let pair = |value: String| common::KeyValue {
        key: "argv".to_owned(),
        value: Some(common::AnyValue {
            value: Some(Any::StringValue(value)),
        }),
        ..Default::default()
    };
    let mut span = proto_span();
    span.name = format!("RUN TOKEN={secret} fetch");
    span.attributes = vec![pair(format!("curl https://me:{secret}@host/"))];
    span.events = vec![parts::Event {
        name: format!("said --password {secret}"),
        attributes: vec![pair(format!("Authorization: Bearer {secret}"))],
        ..Default::default()
    }];
    span.links = vec![parts::Link {
        trace_id: vec![1; 16],
        span_id: vec![4; 8],
        attributes: vec![pair(format!("Authorization: Bearer {secret}"))],
        ..Default::default()
    }];
    span.status = Some(opentelemetry_proto::tonic::trace::v1::Status {
        code: 2,
        message: format!("cannot fetch https://me:{secret}@host/"),
    });
    let out = hand_on(span);
    assert_eq!(out.len(), 1);
    assert!(!format!("{out:?}").contains(secret), "{out:#?}");
}
