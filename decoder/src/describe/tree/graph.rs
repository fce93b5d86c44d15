//! The operations of a build graph.

use buildtap_proto::pb;
use prost::Message as _;
use prost_reflect::MessageDescriptor;

use super::fields::Place;
use super::leaf::shown;
use super::{Builder, Node, NodeKind};
use crate::protocol::llb::{Graph, Op};

/// What the operations of a `pb.Definition` do.
pub(super) struct Operations(Graph);

impl Operations {
    /// Those of a message, if it is a definition.
    pub(super) fn of(message: &MessageDescriptor, bytes: &[u8]) -> Option<Self> {
        (message.full_name() == "pb.Definition")
            .then(|| pb::Definition::decode(bytes).ok())
            .flatten()
            .map(|definition| Operations(Graph::from_definition(&definition)))
    }
}

impl Builder<'_> {
    /// The operation that stands `nth` in a definition: it is called by its number, which is how
    /// others name it as their input.
    pub(super) fn operation(
        &mut self,
        operations: &Operations,
        nth: usize,
        bytes: &[u8],
        place: Place,
        depth: usize,
    ) -> Node {
        let mut node = place.node(nth.saturating_add(1).to_string());
        node.kind = NodeKind::Operation;
        if let Some(op) = self.schemas.message("pb.Op") {
            node.children = self.fields(Some(&op), bytes, node.content.start, depth, false);
        }
        node.value = match operations.0.ops.get(nth) {
            Some(op) => shown(&words(op)),
            None => "one more operation".to_owned(),
        };
        node
    }
}

/// `exec  RUN make  (secret npm)  ← 1,2  Dockerfile:7`.
fn words(op: &Op) -> String {
    let mut words = op.kind.as_str().to_owned();
    let text = op.name.as_ref().unwrap_or(&op.text);
    if text != op.kind.as_str() {
        words.push_str(&format!("  {text}"));
    }
    if !op.details.is_empty() {
        words.push_str(&format!("  ({})", op.details.join(", ")));
    }
    let inputs: Vec<String> = op.inputs.iter().map(ToString::to_string).collect();
    if !inputs.is_empty() {
        words.push_str(&format!("  ← {}", inputs.join(",")));
    }
    for more in [&op.location, &op.platform].into_iter().flatten() {
        words.push_str(&format!("  {more}"));
    }
    words
}
