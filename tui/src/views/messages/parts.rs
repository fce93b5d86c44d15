//! One message, opened: its tree as lines that can be folded.

use buildtap_decoder::describe::tree::{Node, NodeKind, Tree};

/// Parts of a list that are more than this are folded at first.
const MANY: usize = 48;

/// A message that is open.
#[derive(Debug)]
pub(super) struct Parts {
    /// Its bytes, secrets overwritten.
    pub(super) bytes: Vec<u8>,
    /// All nodes, each before those in it.
    pub(super) nodes: Vec<Part>,
    /// The nodes that are not folded away.
    pub(super) seen: Vec<usize>,
}

/// A node of the tree.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) node: Node,
    pub(super) depth: usize,
    pub(super) folded: bool,
    parent: Option<usize>,
    /// The first that is not in it.
    pub(super) end: usize,
}

impl Part {
    /// Whether there is something to fold.
    pub(super) fn is_branch(&self, at: usize) -> bool {
        self.end > at + 1
    }
}

impl Parts {
    pub(super) fn new(tree: Tree) -> Self {
        let mut parts = Parts {
            bytes: tree.bytes,
            nodes: Vec::new(),
            seen: Vec::new(),
        };
        parts.add(tree.root, None, 0);
        parts.arrange();
        parts
    }

    fn add(&mut self, mut node: Node, parent: Option<usize>, depth: usize) {
        let children = std::mem::take(&mut node.children);
        let at = self.nodes.len();
        // At first, what is at hand: the fields of the message, and of what is in it if that is
        // not much; a graph with all of its operations.
        let folded = match node.kind {
            NodeKind::Graph => children.len() > 4 * MANY,
            NodeKind::Operation | NodeKind::Time => true,
            _ => depth > 2 || children.len() > MANY,
        };
        self.nodes.push(Part {
            node,
            depth,
            folded: folded && depth > 0,
            parent,
            end: at + 1,
        });
        for child in children {
            self.add(child, Some(at), depth + 1);
        }
        let end = self.nodes.len();
        if let Some(part) = self.nodes.get_mut(at) {
            part.end = end;
        }
    }

    /// Finds out what is seen.
    fn arrange(&mut self) {
        self.seen.clear();
        let mut at = 0;
        while let Some(part) = self.nodes.get(at) {
            self.seen.push(at);
            at = if part.folded { part.end } else { at + 1 };
        }
    }

    /// The node on a line that is seen.
    pub(super) fn on(&self, line: usize) -> Option<(usize, &Part)> {
        let at = *self.seen.get(line)?;
        Some((at, self.nodes.get(at)?))
    }

    /// Folds the node on a line, or unfolds it.
    pub(super) fn toggle(&mut self, line: usize) {
        if let Some(at) = self.seen.get(line)
            && let Some(part) = self.nodes.get_mut(*at)
        {
            part.folded = !part.folded;
            self.arrange();
        }
    }

    /// Unfolds the node on a line, or steps into it: gives the line to go to.
    pub(super) fn right(&mut self, line: usize) -> usize {
        match self.on(line) {
            Some((at, part)) if part.is_branch(at) && part.folded => {
                self.toggle(line);
                line
            }
            Some((at, part)) if part.is_branch(at) => line + 1,
            _ => line,
        }
    }

    /// Folds the node on a line, or goes to what it is in: gives the line to go to.
    pub(super) fn left(&mut self, line: usize) -> usize {
        let Some((at, part)) = self.on(line) else {
            return line;
        };
        if part.is_branch(at) && !part.folded {
            self.toggle(line);
            return line;
        }
        let parent = part.parent;
        let found = self.seen.iter().position(|seen| Some(*seen) == parent);
        found.unwrap_or(line)
    }

    /// Unfolds what a node is in, and gives its line.
    pub(super) fn reveal(&mut self, at: usize) -> usize {
        let mut next = self.nodes.get(at).and_then(|part| part.parent);
        while let Some(parent) = next {
            let Some(part) = self.nodes.get_mut(parent) else {
                break;
            };
            part.folded = false;
            next = part.parent;
        }
        self.arrange();
        self.seen.iter().position(|seen| *seen == at).unwrap_or(0)
    }

    /// The innermost node that the byte at `offset` is of.
    pub(super) fn at_byte(&self, offset: usize) -> usize {
        let holds = |part: &&Part| part.node.range.contains(&offset);
        let deepest = self.nodes.iter().enumerate().filter(|(_, part)| {
            // The members of JSON have no bytes of their own.
            holds(part)
                && part.parent.is_none_or(|parent| {
                    self.nodes
                        .get(parent)
                        .is_none_or(|parent| parent.node.kind != NodeKind::Json)
                })
        });
        deepest
            .max_by_key(|(_, part)| part.depth)
            .map_or(0, |(at, _)| at)
    }

    /// A node as it is searched: its name and its value.
    pub(super) fn text(&self, at: usize) -> String {
        match self.nodes.get(at) {
            Some(part) => format!("{}: {}", part.node.name, part.node.value),
            None => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf(name: &str, range: std::ops::Range<usize>) -> Node {
        Node {
            name: name.to_owned(),
            content: range.clone(),
            range,
            ..Node::default()
        }
    }

    /// `root(a, b(c(d(e))))`
    fn parts() -> Parts {
        let within = |name: &str, range, child| Node {
            children: vec![child],
            ..leaf(name, range)
        };
        let b = within(
            "b",
            2..9,
            within("c", 3..9, within("d", 4..9, leaf("e", 5..9))),
        );
        Parts::new(Tree {
            bytes: vec![0; 9],
            root: Node {
                children: vec![leaf("a", 0..2), b],
                ..leaf("root", 0..9)
            },
        })
    }

    fn seen(parts: &Parts) -> String {
        let names = parts
            .seen
            .iter()
            .map(|at| parts.nodes[*at].node.name.as_str());
        names.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn what_is_deep_is_folded_at_first() {
        let mut parts = parts();
        assert_eq!(seen(&parts), "root a b c d");
        assert_eq!(parts.right(4), 4);
        assert_eq!(seen(&parts), "root a b c d e");
        assert_eq!(parts.right(4), 5);
        assert_eq!(parts.left(5), 4);
        assert_eq!(parts.left(2), 2);
        assert_eq!(seen(&parts), "root a b");
        assert_eq!(parts.left(2), 0);
        assert_eq!(parts.left(1), 0);
    }

    #[test]
    fn a_byte_leads_to_the_innermost_part() {
        let mut parts = parts();
        parts.toggle(2);
        assert_eq!(parts.at_byte(1), 1);
        assert_eq!(parts.at_byte(3), 3);
        let innermost = parts.at_byte(8);
        assert_eq!(parts.text(innermost), "e: ");
        assert_eq!(parts.reveal(innermost), 5);
        assert_eq!(parts.at_byte(100), 0);
    }
}
