//! A request of OTLP as it stands in a file: spans, grouped by what made them.

use std::sync::Arc;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1 as common;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans};
use opentelemetry_proto::transform::common::tonic::Attributes;

use super::span::{Origin, Span};

/// One request with these spans, grouped by what made them.
pub(crate) fn of_spans(spans: impl IntoIterator<Item = Span>) -> ExportTraceServiceRequest {
    let mut groups: Vec<(Arc<Origin>, ResourceSpans)> = Vec::new();
    for Span { origin, data } in spans {
        // Most spans of a batch are of one origin, and that is the same object.
        let is_it = |(known, _): &(Arc<Origin>, _)| Arc::ptr_eq(known, &origin) || *known == origin;
        let at = groups.iter().position(is_it);
        let at = at.unwrap_or_else(|| {
            groups.push((Arc::clone(&origin), resource_spans(&origin)));
            groups.len() - 1
        });
        let scopes = &mut groups[at].1.scope_spans;
        let scope = common::InstrumentationScope::from((&data.instrumentation_scope, None));
        let url = data.instrumentation_scope.schema_url().unwrap_or_default();
        let known = scopes
            .iter()
            .position(|known| known.scope.as_ref() == Some(&scope) && known.schema_url == url);
        let known = known.unwrap_or_else(|| {
            scopes.push(ScopeSpans {
                scope: Some(scope),
                spans: Vec::new(),
                schema_url: url.to_owned(),
            });
            scopes.len() - 1
        });
        scopes[known].spans.push(data.into());
    }
    ExportTraceServiceRequest {
        resource_spans: groups.into_iter().map(|(_, spans)| spans).collect(),
    }
}

fn resource_spans(origin: &Origin) -> ResourceSpans {
    ResourceSpans {
        resource: Some(Resource {
            attributes: Attributes::from(origin.attributes().to_vec()).0,
            dropped_attributes_count: 0,
            entity_refs: Vec::new(),
        }),
        scope_spans: Vec::new(),
        schema_url: origin.schema_url().unwrap_or_default().to_owned(),
    }
}
