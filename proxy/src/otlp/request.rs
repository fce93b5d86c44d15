//! Spans as OTLP has them: grouped by what made them.

use std::sync::Arc;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::transform::common::tonic::{Attributes, ResourceAttributesWithSchema};
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::trace::SpanData;

use super::span::{Origin, Span};

/// The spans of each origin, in the order in which they came.
pub(crate) fn by_origin(spans: Vec<Span>) -> Vec<(Arc<Origin>, Vec<SpanData>)> {
    let mut groups: Vec<(Arc<Origin>, Vec<SpanData>)> = Vec::new();
    for Span { origin, data } in spans {
        // Most spans of a batch are of one origin, and that is the same object.
        let is_it =
            |(known, _): &&mut (Arc<Origin>, _)| Arc::ptr_eq(known, &origin) || *known == origin;
        match groups.iter_mut().find(is_it) {
            Some((_, spans)) => spans.push(data),
            None => groups.push((origin, vec![data])),
        }
    }
    groups
}

/// One request with these spans, as it stands in a file.
pub(crate) fn of_spans(spans: Vec<Span>) -> ExportTraceServiceRequest {
    let of_origin = |(origin, spans): (Arc<Origin>, _)| {
        // Not from the SDK's resource, which forgets the order of its attributes.
        let resource = ResourceAttributesWithSchema {
            attributes: Attributes::from(origin.attributes().to_vec()),
            schema_url: origin.schema_url().map(str::to_owned),
        };
        group_spans_by_resource_and_scope(spans, &resource)
    };
    ExportTraceServiceRequest {
        resource_spans: by_origin(spans).into_iter().flat_map(of_origin).collect(),
    }
}
