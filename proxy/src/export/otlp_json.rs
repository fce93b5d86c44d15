//! Spans in a file as the collector's file exporter writes them: OTLP JSON, one
//! `ExportTraceServiceRequest` per line. Collectors and Jaeger's upload read it.

use std::io::{self, Write};
use std::sync::Arc;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1 as common;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans};
use opentelemetry_proto::transform::common::tonic::Attributes;
use serde::Serialize;

use super::spans::SpanWriter;
use crate::otlp::span::{Origin, Span};
use crate::view::json::values::SafeFormatter;

/// Spans of one line.
const BATCH: usize = 512;

/// Writes spans.
#[derive(Debug)]
pub struct OtlpJson<W> {
    out: W,
    batch: Vec<Span>,
    line: Vec<u8>,
}

impl<W: Write> OtlpJson<W> {
    /// Writes to `out`.
    pub fn new(out: W) -> Self {
        OtlpJson {
            out,
            batch: Vec::new(),
            line: Vec::new(),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let request = request(std::mem::take(&mut self.batch));
        self.line.clear();
        let mut serializer = serde_json::Serializer::with_formatter(&mut self.line, SafeFormatter);
        request.serialize(&mut serializer)?;
        self.line.push(b'\n');
        self.out.write_all(&self.line)
    }
}

impl<W: Write + Send + 'static> SpanWriter for OtlpJson<W> {
    type Out = W;

    fn write(&mut self, spans: Vec<Span>) -> io::Result<()> {
        for span in spans {
            self.batch.push(span);
            if self.batch.len() >= BATCH {
                self.flush()?;
            }
        }
        Ok(())
    }

    fn finish(mut self) -> io::Result<W> {
        self.flush()?;
        Ok(self.out)
    }
}

/// One request with these spans, grouped by what made them.
fn request(spans: Vec<Span>) -> ExportTraceServiceRequest {
    let mut groups: Vec<(Arc<Origin>, ResourceSpans)> = Vec::new();
    for Span { origin, data } in spans {
        let at = groups.iter().position(|(known, _)| *known == origin);
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
