//! A message as a tree that can be folded, each node with the bytes that it stands for.
//!
//! The tree is made by a walk over the wire format beside the schema, not from a decoded message:
//! only so is it known where a field stands, what a peer sent twice, and what is left of a message
//! that breaks off. It is made of the bytes as a redacted capture has them, so that whoever shows
//! the bytes beside it shows no secret either.

mod fields;
mod graph;
mod leaf;
mod summary;
#[cfg(test)]
mod tests;

use std::fmt;
use std::ops::Range;

use buildtap_proto::schema::Schemas;
use prost_reflect::DynamicMessage;

use super::secrets;
use super::{Describer, descriptor, hidden, limited};

/// How many messages may be within each other, the outermost included.
pub const MAX_DEPTH: usize = 24;

/// How many nodes a tree has at most, a few more for what is left out.
pub const MAX_NODES: usize = 20_000;

/// How many characters a value has at most.
pub const MAX_VALUE: usize = 300;

/// A message, its bytes and what they mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    /// The message, secrets and contents of files overwritten: what the ranges of the nodes point
    /// into. Only its beginning if it is longer than [`MAX_BODY`](super::MAX_BODY).
    pub bytes: Vec<u8>,
    /// All of it. Its name is that of the message's type, where that is known.
    pub root: Node,
}

/// A part of a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// The field's name, or its number if no schema has it; `[3]` in a list, the key in a map.
    pub name: String,
    /// What it says in one line, of at most [`MAX_VALUE`] characters; of something with parts,
    /// what tells it from others. Nothing in it disturbs a terminal, nor in the name.
    pub value: String,
    /// What it is.
    pub kind: NodeKind,
    /// Where it stands in the message, with the tag and the length of the field. Inside that of
    /// its parent, and not before that of a sibling that comes before it.
    pub range: Range<usize>,
    /// The same without tag and length.
    pub content: Range<usize>,
    /// Its parts.
    pub children: Vec<Node>,
}

/// What a node is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NodeKind {
    /// A message, whose children are fields.
    #[default]
    Message,
    /// Several values of a repeated field.
    List,
    /// Several entries of a map.
    Map,
    /// A text; its children are its lines, if there are several.
    Text,
    /// A JSON value inside a text or bytes. Its children have no bytes of their own.
    Json,
    /// Bytes that are no text.
    Bytes,
    /// A number.
    Number,
    /// True or false.
    Flag,
    /// The name of an enum's value.
    Enum,
    /// A moment or a length of time.
    Time,
    /// A build graph, whose children are operations.
    Graph,
    /// An operation of a build graph.
    Operation,
    /// A secret, which is masked.
    Secret,
    /// The contents of a file, or a connection inside the connection: only counted.
    Contents,
    /// What cannot be told, or is not there: bytes that are no field, the end of a message that
    /// breaks off, what is more than is shown.
    Rest,
}

impl Node {
    /// This node and all below it.
    pub fn count(&self) -> usize {
        self.children
            .iter()
            .map(Node::count)
            .fold(1, usize::saturating_add)
    }
}

impl Describer {
    /// A message as a tree. The arguments are those of [`json`](Describer::json).
    pub fn tree(&self, path: &str, request: bool, body: &[u8], cut: bool) -> Tree {
        let (body, cut) = limited(body, cut);
        let bytes = self.redacted(path, request, body, cut).into_owned();
        let whole = 0..bytes.len();
        let mut root = Node {
            range: whole.clone(),
            content: whole,
            ..Node::default()
        };
        let message = descriptor(&self.schemas, path, request, &bytes);
        let error = match &message {
            Some(message) if !cut => {
                DynamicMessage::decode(message.clone(), bytes.as_slice()).err()
            }
            _ => None,
        };
        let hides = match &message {
            None => secrets::is_secret_service(path),
            Some(message) => error.is_some() && secrets::may_hold_secrets(message),
        };
        if let Some(message) = &message {
            root.name = message.full_name().to_owned();
        }
        if hides && !self.show_secrets && !bytes.is_empty() {
            root.kind = NodeKind::Secret;
            root.value = hidden(bytes.len());
            return Tree { bytes, root };
        }
        let mut builder = Builder {
            schemas: &self.schemas,
            show: self.show_secrets,
            left: MAX_NODES,
        };
        root.children = builder.fields(message.as_ref(), &bytes, 0, MAX_DEPTH, cut);
        let fits = error.is_none() && !cut;
        root.value = match (&message, error) {
            (Some(_), Some(error)) => leaf::shown(&format!("does not fit its schema: {error}")),
            (Some(message), None) => summary::message(message, &bytes, &root.children),
            (None, _) => summary::fields(&root.children),
        };
        let mut tree = Tree { bytes, root };
        blank(&tree.root, &mut tree.bytes, !fits && !self.show_secrets);
        tree
    }
}

/// Overwrites the contents of files and of connections inside the connection, which may hold
/// secrets of their own. Where a message does not fit its schema, redaction took fields for others
/// than they are shown as: `again` overwrites what has a secret as it is shown.
fn blank(node: &Node, bytes: &mut [u8], again: bool) {
    if let Some(content) = bytes.get_mut(node.content.clone()) {
        match node.kind {
            NodeKind::Contents => content.fill(0),
            NodeKind::Secret => content.fill(leaf::FILL),
            _ if again && node.children.is_empty() && leaf::holds_secret(content) => {
                content.fill(leaf::FILL);
            }
            _ => {}
        }
    }
    for child in &node.children {
        blank(child, bytes, again);
    }
}

impl fmt::Display for Tree {
    /// The whole tree as indented lines: `name: value`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fn write(node: &Node, depth: usize, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            let indent = depth.saturating_mul(2);
            let colon = if node.name.is_empty() { "" } else { ": " };
            writeln!(f, "{:indent$}{}{colon}{}", "", node.name, node.value)?;
            let depth = depth.saturating_add(1);
            node.children
                .iter()
                .try_for_each(|child| write(child, depth, f))
        }
        write(&self.root, 0, f)
    }
}

/// Makes nodes, as many as there may be.
struct Builder<'a> {
    schemas: &'a Schemas,
    /// Whether secrets are shown.
    show: bool,
    /// How many nodes may still be made.
    left: usize,
}
