//! Texts and bytes, and what is in them.

use serde_json::Value as Json;

use super::{Builder, MAX_VALUE, Node, NodeKind};
use crate::describe::line::{short, shorten_digest};
use crate::describe::printable::printable;
use crate::protocol::mask::{in_base64, mask_members, mask_text, masked};

/// How many lines of a text are nodes.
const MAX_LINES: usize = 1_000;
/// How many bytes are shown of what is no text.
const MAX_BYTES: usize = 24;
/// What a redacted capture has in the place of secrets.
pub(super) const FILL: u8 = b'*';

/// A value as it may be shown.
pub(super) fn shown(text: &str) -> String {
    short(&printable(short_bytes(text)), MAX_VALUE)
}

/// As much of a text as can matter for what is shown of it.
fn short_bytes(text: &str) -> &str {
    crate::text::head(text, MAX_VALUE.saturating_mul(4))
}

/// A text in one line, in the way of code.
fn quoted(text: &str) -> String {
    let short_text = shorten_digest(text);
    if short_text != text {
        return short_text;
    }
    let inner = shown(text);
    format!("\"{inner}\"")
}

/// A text into a node that has its place, without looking into it.
pub(super) fn text(mut node: Node, text: &str) -> Node {
    node.kind = NodeKind::Text;
    node.value = quoted(text);
    node
}

impl Builder<'_> {
    /// A text into a node that has its place.
    pub(super) fn text(&mut self, mut node: Node, bytes: &[u8], depth: usize) -> Node {
        let Ok(text) = std::str::from_utf8(bytes) else {
            return self.binary(node, bytes);
        };
        if is_masked(text) {
            node.kind = NodeKind::Secret;
            node.value = masked(text.len());
            return node;
        }
        if let Some(json) = in_base64(text).or_else(|| json(text)) {
            return self.json(node, json, depth);
        }
        // Once more, by the words of this text alone.
        let masked_text = match self.show {
            true => text.into(),
            false => mask_text(text),
        };
        node.kind = NodeKind::Text;
        let lines = masked_text.trim_end_matches('\n').split('\n').count();
        if lines < 2 {
            node.value = quoted(&masked_text);
            return node;
        }
        let first = masked_text.lines().find(|line| !line.trim().is_empty());
        node.value = format!("\"{}\" … ({lines} lines)", shown(first.unwrap_or_default()));
        let mut at = node.content.start;
        let original = text.split_inclusive('\n');
        for (number, (line, masked_line)) in original.zip(masked_text.lines()).enumerate() {
            let end = at.saturating_add(line.len());
            let Some(left) = self.left.checked_sub(1).filter(|_| number < MAX_LINES) else {
                node.children.push(more(at..node.content.end));
                break;
            };
            self.left = left;
            node.children.push(Node {
                name: number.saturating_add(1).to_string(),
                value: shown(masked_line),
                kind: NodeKind::Text,
                range: at..end,
                content: at..end,
                children: Vec::new(),
            });
            at = end;
        }
        node
    }

    /// Bytes into a node that has its place: JSON as such, text as text.
    pub(super) fn bytes(&mut self, node: Node, bytes: &[u8], depth: usize) -> Node {
        let in_text =
            |c: char| !c.is_control() || matches!(c, '\n' | '\r' | '\t' | '\x1b' | '\x08');
        match std::str::from_utf8(bytes) {
            Ok(text) if text.chars().all(in_text) => self.text(node, bytes, depth),
            _ => self.binary(node, bytes),
        }
    }

    fn binary(&mut self, mut node: Node, bytes: &[u8]) -> Node {
        let beginning = bytes.get(..MAX_BYTES).unwrap_or(bytes);
        let more = if bytes.len() > beginning.len() {
            "…"
        } else {
            ""
        };
        let hex: String = beginning.iter().map(|byte| format!("{byte:02x}")).collect();
        node.kind = NodeKind::Bytes;
        node.value = format!("<{hex}{more}> ({} bytes)", bytes.len());
        node
    }

    /// JSON that is in a text.
    fn json(&mut self, mut node: Node, mut json: Json, depth: usize) -> Node {
        if !self.show {
            mask_members(&mut json);
        }
        self.json_value(&mut node, &json, depth);
        node
    }

    fn json_value(&mut self, node: &mut Node, json: &Json, depth: usize) {
        node.kind = NodeKind::Json;
        node.value = match json {
            Json::String(text) => quoted(text),
            Json::Null | Json::Bool(_) | Json::Number(_) => json.to_string(),
            Json::Array(_) | Json::Object(_) => shown(&json.to_string()),
        };
        let Some(depth) = depth.checked_sub(1) else {
            return;
        };
        let range = node.content.clone();
        let mut child = |builder: &mut Self, name: String, json: &Json| {
            let Some(left) = builder.left.checked_sub(1) else {
                return false;
            };
            builder.left = left;
            let mut inner = Node {
                name: shown(&name),
                range: range.clone(),
                content: range.clone(),
                ..Node::default()
            };
            builder.json_value(&mut inner, json, depth);
            node.children.push(inner);
            true
        };
        match json {
            Json::Array(items) => {
                let mut items = items.iter().enumerate();
                items.all(|(at, item)| child(self, format!("[{at}]"), item));
            }
            Json::Object(members) => {
                let mut members = members.iter();
                members.all(|(name, value)| child(self, name.clone(), value));
            }
            _ => {}
        }
    }
}

/// A JSON object or array that a text is.
fn json(text: &str) -> Option<Json> {
    let first = text.trim_start().as_bytes().first()?;
    matches!(first, b'{' | b'[')
        .then(|| serde_json::from_str(text).ok())
        .flatten()
}

/// Whether bytes, taken for a text, have something in them that must not be shown.
pub(super) fn holds_secret(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    match in_base64(&text).or_else(|| json(&text)) {
        Some(json) => {
            let mut masked = json.clone();
            mask_members(&mut masked);
            masked != json
        }
        None => mask_text(&text) != text,
    }
}

/// Whether nothing of a text was left when it was redacted.
fn is_masked(text: &str) -> bool {
    text.len() > 2 && text.bytes().all(|byte| byte == FILL)
}

/// In the place of more lines than are shown.
fn more(range: std::ops::Range<usize>) -> Node {
    Node {
        value: "… more than is shown".to_owned(),
        kind: NodeKind::Rest,
        content: range.clone(),
        range,
        ..Node::default()
    }
}
