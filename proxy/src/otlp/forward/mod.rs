//! Spans of the peers that pass by on the wire, handed on as they are.
//!
//! Clients send theirs to the daemon (`TraceService/Export`), which keeps them, with its own, in
//! the history of builds. A client that reads the history gets both: `ListenBuildHistory` names the
//! blob of a build's trace, `Content/Read` reads it, in pieces as small as it likes (`blobs`). That
//! blob is not OTLP: it is what Go's SDK calls span stubs, one JSON object after another
//! (`application/vnd.buildkit.otlp.json.v0`, `solver/llbsolver/history.go`).

mod blobs;
mod otlp;
mod stub;
#[cfg(test)]
mod tests;
mod words;

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use buildtap_decoder::trace::{Call, Id, Said, Trace};
use buildtap_proto::containerd::services::content::v1 as content;
use buildtap_proto::moby::buildkit::v1 as control;
use opentelemetry::KeyValue;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_sdk::trace::SpanData;
use prost::Message as _;

use self::blobs::Blobs;
use super::span::{Origin, Span};
use super::spans::Words;

/// Spans that are known to have been handed on.
const SEEN: usize = 65_536;

/// Takes spans out of what the peers say.
#[derive(Debug, Default)]
pub(super) struct Forward {
    /// What holds the traces of builds, while it is read.
    blobs: Blobs,
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
                    self.blobs.named(blob.digest, blob.size);
                }
            }
            ("containerd.services.content.v1.Content", "Read", true) => {
                if let Ok(request) = content::ReadContentRequest::decode(body.clone()) {
                    self.blobs
                        .asked(call.number(), request.digest, request.offset);
                }
            }
            ("containerd.services.content.v1.Content", "Read", false) => {
                if let Ok(answer) = content::ReadContentResponse::decode(body.clone())
                    && let Some(blob) = self.blobs.read(call.number(), &answer.data)
                {
                    self.stubs(&blob, words, out);
                }
            }
            _ => {}
        }
    }

    /// A call ended, and will read nothing more.
    pub(super) fn call_ended(&mut self, call: Id<Call>) {
        self.blobs.call_ended(call.number());
    }

    fn origin(&mut self, mut attributes: Vec<KeyValue>, schema_url: Option<String>) -> Arc<Origin> {
        if !attributes
            .iter()
            .any(|it| it.key.as_str() == "service.name")
        {
            // As the specification has it for one that says nothing.
            attributes.push(KeyValue::new("service.name", "unknown_service"));
        }
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
            let pair = |it| otlp::pair(it, words);
            let (attributes, _) = words::attributes(attributes.unwrap_or_default(), pair, 0);
            let url = Some(group.schema_url).filter(|url| !url.is_empty());
            let origin = self.origin(attributes, url);
            for group in group.scope_spans {
                let scope = otlp::scope(group.scope.unwrap_or_default(), group.schema_url);
                for span in group.spans {
                    if let Some(data) = otlp::span(span, scope.clone(), words) {
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
                let (attributes, _) = stub::pairs(&stub["Resource"], words, 0);
                if let Some(data) = stub::span(&stub, words) {
                    let origin = self.origin(attributes, None);
                    self.hand_on(&origin, data, out);
                }
            }
        }
    }
}
