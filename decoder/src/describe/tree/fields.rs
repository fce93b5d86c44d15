//! The fields of a message, with a schema or without.

use std::collections::HashMap;
use std::ops::Range;

use prost::encoding::{WireType, decode_key, decode_varint};
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};

use super::graph::Operations;
use super::leaf::{self, shown};
use super::{Builder, Node, NodeKind, summary};
use crate::describe::line::{shorten_digest, size};
use crate::describe::secrets::{Rule, is_of_secret_package, rule};
use crate::protocol::mask::masked;
use crate::wire::protobuf::{self, Guess, Malformed, Value, Why, guess};

/// A node and the field that it is of, for joining those of one field.
struct Made {
    number: u32,
    /// Whether there may be several.
    many: Option<NodeKind>,
    node: Node,
}

/// Where a field stands, with and without its tag.
pub(super) struct Place {
    range: Range<usize>,
    content: Range<usize>,
}

impl Place {
    pub(super) fn node(self, name: String) -> Node {
        Node {
            name,
            range: self.range,
            content: self.content,
            ..Node::default()
        }
    }
}

impl Builder<'_> {
    /// The fields of a message. `base` is where it begins; `open` says that its end is missing.
    pub(super) fn fields(
        &mut self,
        message: Option<&MessageDescriptor>,
        bytes: &[u8],
        base: usize,
        depth: usize,
        open: bool,
    ) -> Vec<Node> {
        let at = |offset: usize| base.saturating_add(offset);
        let Some(depth) = depth.checked_sub(1) else {
            return rest(base, 0..bytes.len(), "… deeper than is shown");
        };
        let operations = message.and_then(|message| Operations::of(message, bytes));
        let has_contents = message.is_some_and(|message| !is_error_packet(message, bytes));
        let mut counts: HashMap<u32, usize> = HashMap::new();
        let mut made: Vec<Made> = Vec::new();
        let mut tail = Vec::new();
        for field in protobuf::fields(bytes) {
            let field = match field {
                Ok(field) => field,
                Err(malformed) => {
                    let end = made.last().map_or(0, |made| made.node.range.end);
                    let from = end.max(base).saturating_sub(base);
                    tail = self.tail(message, bytes, base, from, depth, open, &malformed);
                    break;
                }
            };
            let Some(left) = self.left.checked_sub(1) else {
                tail = rest(base, field.at.start..bytes.len(), "… more than is shown");
                break;
            };
            self.left = left;
            let inner: &[u8] = match field.value {
                Value::Len(inner) | Value::Group(inner) => inner,
                _ => &[],
            };
            let content = match field.value {
                Value::Len(inner) => field.at.end.saturating_sub(inner.len())..field.at.end,
                Value::Group(inner) => group(bytes, inner, &field.at),
                _ => value_of(bytes, &field.at),
            };
            let place = Place {
                range: at(field.at.start)..at(field.at.end),
                content: at(content.start)..at(content.end),
            };
            let known = message.and_then(|message| message.get_field(field.number));
            let index = counts.entry(field.number).or_default();
            let nth = *index;
            *index = nth.saturating_add(1);
            let Some(known) = known else {
                let hidden = message.is_some_and(|it| is_of_secret_package(it.full_name()));
                let node = self.unknown(place, field.number, field.value, depth, hidden);
                made.push(Made {
                    number: field.number,
                    many: None,
                    node,
                });
                continue;
            };
            let many = match (known.is_map(), known.is_list()) {
                (true, _) => Some(NodeKind::Map),
                (_, true) => Some(NodeKind::List),
                _ => None,
            };
            let name = match many {
                Some(NodeKind::List) => format!("[{nth}]"),
                _ => known.name().to_owned(),
            };
            let rule = message.and_then(|message| rule(message.full_name(), field.number));
            let node = match (rule, field.value) {
                (Some(Rule::Secret), Value::Len(_)) if !self.show => {
                    let mut node = place.node(name);
                    node.kind = NodeKind::Secret;
                    node.value = masked(inner.len());
                    node
                }
                (Some(Rule::Contents), Value::Len(_)) if has_contents && !self.show => {
                    let mut node = place.node(name);
                    node.kind = NodeKind::Contents;
                    node.value = contents(inner.len() as u64);
                    node
                }
                _ => match operations.as_ref().filter(|_| field.number == 1) {
                    Some(operations) => self.operation(operations, nth, inner, place, depth),
                    None => self.field(&known, name, field.value, place, depth),
                },
            };
            made.push(Made {
                number: field.number,
                many,
                node,
            });
        }
        let mut nodes = joined(message, made);
        nodes.append(&mut tail);
        nodes
    }

    /// A field that the schema has.
    fn field(
        &mut self,
        field: &FieldDescriptor,
        name: String,
        value: Value<'_>,
        place: Place,
        depth: usize,
    ) -> Node {
        let from = place.content.start;
        match (field.kind(), value) {
            (Kind::Message(entry), Value::Len(inner)) if field.is_map() => {
                self.entry(&entry, inner, place, depth)
            }
            (Kind::Message(message), Value::Len(inner) | Value::Group(inner)) => {
                let mut node = place.node(name);
                self.message(&message, inner, &mut node, depth, false);
                node
            }
            (Kind::String, Value::Len(inner)) => self.text(place.node(name), inner, depth),
            (Kind::Bytes, Value::Len(inner)) => {
                let mut node = place.node(name);
                match summary::is_span_id(field) && inner.len() <= 16 {
                    true => {
                        node.kind = NodeKind::Bytes;
                        node.value = summary::hex(inner);
                        node
                    }
                    false => self.bytes(node, inner, depth),
                }
            }
            (Kind::String | Kind::Bytes | Kind::Message(_), value) => {
                self.misfit(place, name, value, depth)
            }
            // Numbers, one behind the other.
            (_, Value::Len(inner)) if field.is_list() => {
                let mut node = place.node(name);
                node.kind = NodeKind::List;
                node.children = self.packed(field, inner, from);
                node.value = summary::items(node.children.len());
                node
            }
            (kind, Value::Varint(_) | Value::Fixed32(_) | Value::Fixed64(_)) => {
                match summary::number(field, &kind, value) {
                    Some((kind, value)) => {
                        let mut node = place.node(name);
                        node.kind = kind;
                        node.value = value;
                        node
                    }
                    None => self.misfit(place, name, value, depth),
                }
            }
            (_, value) => self.misfit(place, name, value, depth),
        }
    }

    /// A message, whose bytes are `inner`, into a node that has its place.
    pub(super) fn message(
        &mut self,
        message: &MessageDescriptor,
        inner: &[u8],
        node: &mut Node,
        depth: usize,
        open: bool,
    ) {
        node.children = self.fields(Some(message), inner, node.content.start, depth, open);
        if message.full_name() == "google.protobuf.Any" {
            self.any(node, inner, depth);
        }
        node.kind = match message.full_name() {
            "google.protobuf.Timestamp" | "google.protobuf.Duration" => NodeKind::Time,
            "pb.Definition" => NodeKind::Graph,
            _ => NodeKind::Message,
        };
        node.value = summary::message(message, inner, &node.children);
    }

    /// What is packed into an `Any`, in the place of its bytes.
    fn any(&mut self, node: &mut Node, inner: &[u8], depth: usize) {
        let of = |number: u32| {
            let fields = protobuf::fields(inner).map_while(Result::ok);
            let found = fields.filter(|field| field.number == number);
            match found.last()?.value {
                Value::Len(bytes) => Some(bytes),
                _ => None,
            }
        };
        let (Some(url), Some(value)) = (of(1), of(2)) else {
            return;
        };
        let url = String::from_utf8_lossy(url);
        let name = url.rsplit('/').next().unwrap_or_default();
        let Some(message) = self.schemas.message(name) else {
            return;
        };
        let mut children = node.children.iter_mut().rev();
        if let Some(child) = children.find(|child| child.name == "value") {
            self.message(&message, value, child, depth, false);
        }
    }

    /// An entry of a map: its value, called by its key.
    fn entry(
        &mut self,
        entry: &MessageDescriptor,
        inner: &[u8],
        place: Place,
        depth: usize,
    ) -> Node {
        let mut fields = self.fields(Some(entry), inner, place.content.start, depth, false);
        let mut node = place.node(entry_key(inner));
        let value = fields.iter().position(|field| field.name == "value");
        match value {
            // What an entry has beside one key and one value is worth to be seen.
            Some(value) if fields.len() <= 2 => {
                let value = fields.swap_remove(value);
                node.kind = value.kind;
                node.value = value.value;
                node.children = value.children;
            }
            // A key alone: its value is the default one.
            None if fields.len() == 1 => node.value = "empty".to_owned(),
            _ => {
                node.value = summary::fields(&fields);
                node.children = fields;
            }
        }
        node
    }

    /// Numbers that stand one behind the other.
    fn packed(&mut self, field: &FieldDescriptor, inner: &[u8], base: usize) -> Vec<Node> {
        let kind = field.kind();
        let mut nodes = Vec::new();
        let mut rest_of = inner;
        while !rest_of.is_empty() {
            let start = inner.len().saturating_sub(rest_of.len());
            let Some(left) = self.left.checked_sub(1) else {
                nodes.extend(rest(base, start..inner.len(), "… more than is shown"));
                break;
            };
            self.left = left;
            let value = match kind {
                Kind::Double | Kind::Fixed64 | Kind::Sfixed64 => {
                    rest_of.split_first_chunk().map(|(octets, after)| {
                        rest_of = after;
                        Value::Fixed64(u64::from_le_bytes(*octets))
                    })
                }
                Kind::Float | Kind::Fixed32 | Kind::Sfixed32 => {
                    rest_of.split_first_chunk().map(|(octets, after)| {
                        rest_of = after;
                        Value::Fixed32(u32::from_le_bytes(*octets))
                    })
                }
                _ => decode_varint(&mut rest_of).ok().map(Value::Varint),
            };
            let shown = value.and_then(|value| summary::number(field, &kind, value));
            let Some((kind, value)) = shown else {
                nodes.extend(rest(base, start..inner.len(), "not a number"));
                break;
            };
            let end = inner.len().saturating_sub(rest_of.len());
            let range = base.saturating_add(start)..base.saturating_add(end);
            nodes.push(Node {
                name: format!("[{}]", nodes.len()),
                value,
                kind,
                content: range.clone(),
                range,
                children: Vec::new(),
            });
        }
        nodes
    }

    /// A field that is not what its schema says.
    fn misfit(&mut self, place: Place, name: String, value: Value<'_>, depth: usize) -> Node {
        let mut node = self.guessed(place, name, value, depth);
        node.value = shown(&format!("{} (not what the schema says)", node.value));
        node
    }

    /// A field that no schema has.
    fn unknown(
        &mut self,
        place: Place,
        number: u32,
        value: Value<'_>,
        depth: usize,
        hidden: bool,
    ) -> Node {
        let name = number.to_string();
        if hidden && !self.show {
            let mut node = place.node(name);
            node.kind = NodeKind::Secret;
            node.value = masked(node.content.len());
            return node;
        }
        self.guessed(place, name, value, depth)
    }

    fn guessed(&mut self, place: Place, name: String, value: Value<'_>, depth: usize) -> Node {
        let mut node = place.node(name);
        let base = node.content.start;
        node.kind = NodeKind::Number;
        match value {
            Value::Varint(number) => node.value = number.to_string(),
            Value::Fixed64(number) => node.value = format!("0x{number:016x}"),
            Value::Fixed32(number) => node.value = format!("0x{number:08x}"),
            Value::Group(inner) => {
                node.kind = NodeKind::Message;
                node.children = self.fields(None, inner, base, depth, false);
                node.value = format!("group, {}", summary::fields(&node.children));
            }
            Value::Len(inner) => match guess(inner) {
                Guess::Text(_) => return self.text(node, inner, depth),
                Guess::Bytes => return self.bytes(node, inner, depth),
                Guess::Message => {
                    node.kind = NodeKind::Message;
                    node.children = self.fields(None, inner, base, depth, false);
                    node.value = summary::fields(&node.children);
                }
            },
        }
        node
    }

    /// What follows the last field that is there as a whole.
    #[expect(clippy::too_many_arguments, reason = "what `fields` knows")]
    fn tail(
        &mut self,
        message: Option<&MessageDescriptor>,
        bytes: &[u8],
        base: usize,
        from: usize,
        depth: usize,
        open: bool,
        malformed: &Malformed,
    ) -> Vec<Node> {
        if open && let Some(node) = self.begun(message, bytes, base, from, depth) {
            return vec![node];
        }
        let why = match (open, malformed.why) {
            (true, Why::Truncated) => "ends here",
            (_, Why::Truncated) => "ends within a field",
            _ => "not protobuf",
        };
        rest(base, from..bytes.len(), why)
    }

    /// The field that a message breaks off in.
    fn begun(
        &mut self,
        message: Option<&MessageDescriptor>,
        bytes: &[u8],
        base: usize,
        from: usize,
        depth: usize,
    ) -> Option<Node> {
        let mut inner = bytes.get(from..)?;
        let (number, wire_type) = decode_key(&mut inner).ok()?;
        let field = message.and_then(|message| message.get_field(number));
        let place = |content: usize| Place {
            range: base.saturating_add(from)..base.saturating_add(bytes.len()),
            content: base.saturating_add(content)..base.saturating_add(bytes.len()),
        };
        let name = field
            .as_ref()
            .map_or_else(|| number.to_string(), |field| field.name().to_owned());
        if wire_type != WireType::LengthDelimited {
            let mut node = place(from).node(name);
            node.kind = NodeKind::Rest;
            node.value = "ends here".to_owned();
            return Some(node);
        }
        let announced = decode_varint(&mut inner).ok()?;
        let mut node = place(bytes.len().saturating_sub(inner.len())).node(name);
        let hidden = message.and_then(|message| match rule(message.full_name(), number) {
            Some(Rule::Contents) => Some(NodeKind::Contents),
            Some(Rule::Secret) => Some(NodeKind::Secret),
            None if field.is_none() && is_of_secret_package(message.full_name()) => {
                Some(NodeKind::Secret)
            }
            None => None,
        });
        let hidden = hidden.filter(|_| !self.show);
        match (hidden, field.map(|field| field.kind())) {
            (Some(NodeKind::Contents), _) => {
                node.kind = NodeKind::Contents;
                node.value = contents(announced);
                return Some(node);
            }
            (Some(kind), _) => {
                node.kind = kind;
                node.value = masked(inner.len());
            }
            (None, Some(Kind::Message(message))) => {
                self.message(&message, inner, &mut node, depth, true);
            }
            (None, Some(Kind::String)) => {
                let text = String::from_utf8_lossy(inner);
                node = leaf::text(node, &text);
            }
            (None, _) => node.kind = NodeKind::Rest,
        }
        let missing = announced.saturating_sub(inner.len() as u64);
        let ends = format!("ends here, {} missing", size(missing));
        node.value = match node.value.is_empty() {
            true => ends,
            false => shown(&format!("{} ({ends})", node.value)),
        };
        Some(node)
    }
}

/// Joins what follows each other of one repeated field.
fn joined(message: Option<&MessageDescriptor>, made: Vec<Made>) -> Vec<Node> {
    let mut nodes: Vec<Node> = Vec::new();
    let mut made = made.into_iter().peekable();
    while let Some(first) = made.next() {
        let number = first.number;
        let Some(kind) = first.many else {
            nodes.push(first.node);
            continue;
        };
        let mut list = Node {
            name: message
                .and_then(|message| message.get_field(number))
                .map(|field| field.name().to_owned())
                .unwrap_or_default(),
            kind,
            range: first.node.range.clone(),
            ..Node::default()
        };
        list.children.push(first.node);
        while let Some(next) = made.next_if(|next| next.number == number) {
            list.range.end = next.node.range.end;
            list.children.push(next.node);
        }
        // A list of numbers in one field is one already.
        let packed = match list.children.as_slice() {
            [only] => only.kind == NodeKind::List,
            _ => false,
        };
        if packed && let Some(mut only) = list.children.pop() {
            only.name = list.name;
            nodes.push(only);
            continue;
        }
        list.content = list.range.clone();
        if list
            .children
            .first()
            .is_some_and(|first| first.kind == NodeKind::Operation)
        {
            list.kind = NodeKind::Graph;
        }
        list.value = match list.kind {
            NodeKind::Map => summary::entries(&list.children),
            NodeKind::Graph => summary::operations(list.children.len()),
            _ => summary::items(list.children.len()),
        };
        nodes.push(list);
    }
    nodes
}

/// What is said of contents that are so long.
fn contents(len: u64) -> String {
    format!("{} of contents", size(len))
}

/// What is left of a message, as one node, if there is something.
fn rest(base: usize, range: Range<usize>, why: &str) -> Vec<Node> {
    let range = base.saturating_add(range.start)..base.saturating_add(range.end);
    vec![Node {
        name: String::new(),
        value: shown(why),
        kind: NodeKind::Rest,
        content: range.clone(),
        range,
        children: Vec::new(),
    }]
}

/// Where the fields of a group stand, between its tags.
fn group(message: &[u8], inner: &[u8], at: &Range<usize>) -> Range<usize> {
    let mut after_tag = message.get(at.clone()).unwrap_or_default();
    let before = after_tag.len();
    let tag = match decode_key(&mut after_tag) {
        Ok(_) => before.saturating_sub(after_tag.len()),
        Err(_) => 0,
    };
    let start = at.start.saturating_add(tag).min(at.end);
    start..start.saturating_add(inner.len()).min(at.end)
}

/// Where the value of a number stands, behind its tag.
fn value_of(message: &[u8], at: &Range<usize>) -> Range<usize> {
    let mut after_tag = message.get(at.clone()).unwrap_or_default();
    match decode_key(&mut after_tag) {
        Ok(_) => at.end.saturating_sub(after_tag.len())..at.end,
        Err(_) => at.clone(),
    }
}

/// The key of an entry of a map, as a name.
fn entry_key(entry: &[u8]) -> String {
    let fields = protobuf::fields(entry).map_while(Result::ok);
    match fields.filter(|field| field.number == 1).last() {
        Some(field) => match field.value {
            Value::Len(key) => shown(&shorten_digest(&String::from_utf8_lossy(key))),
            Value::Varint(key) => key.to_string(),
            Value::Fixed64(key) => key.to_string(),
            Value::Fixed32(key) => key.to_string(),
            Value::Group(_) => String::new(),
        },
        None => String::new(),
    }
}

/// Whether a message is a `Packet` with an error's text in the place of contents.
fn is_error_packet(message: &MessageDescriptor, bytes: &[u8]) -> bool {
    const ERR: Value<'_> = Value::Varint(4);
    message.full_name() == "fsutil.types.Packet"
        && protobuf::fields(bytes)
            .map_while(Result::ok)
            .any(|field| field.number == 1 && field.value == ERR)
}
