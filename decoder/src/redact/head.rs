//! Heads of HTTP/1.

use std::ops::Range;

use super::{Redactor, fill, settle};

impl Redactor<'_> {
    /// The start line and the header fields, up to the blank line.
    pub(super) fn head(&self, head: &mut [u8]) {
        // What a pattern that reaches over several fields leaves may be known by the rules.
        _ = settle(head, |head| self.head_once(head));
    }

    fn head_once(&self, head: &mut [u8]) {
        let marks = self.matches(head);
        let mut values = Vec::new();
        let mut at = 0_usize;
        let mut name = Vec::new();
        for (number, line) in head.split_inclusive(|&byte| byte == b'\n').enumerate() {
            let start = at;
            at = at.saturating_add(line.len());
            if number == 0 {
                let (kind, range) = start_line(line);
                values.push((kind, range));
                continue;
            }
            let end = start.saturating_add(line.trim_ascii_end().len());
            // A line that begins with white space goes on with the value before (RFC 9112 §5.2).
            let value = match line.iter().position(|&byte| byte == b':') {
                _ if matches!(line.first(), Some(b' ' | b'\t')) => start,
                Some(colon) => {
                    name = line.get(..colon).unwrap_or_default().trim_ascii().to_vec();
                    start.saturating_add(colon).saturating_add(1)
                }
                None => {
                    name.clear();
                    start
                }
            };
            values.push((Kind::Field(name.clone()), value..end));
        }
        for (kind, range) in values {
            let Some(value) = head.get_mut(range.clone()) else {
                continue;
            };
            let spaces = value.len().saturating_sub(value.trim_ascii_start().len());
            let value = value.get_mut(spaces..).unwrap_or_default();
            match kind {
                Kind::Target => self.target(value),
                Kind::Reason => self.text(value),
                Kind::Field(name) => self.header(&name, value),
            }
            let start = range.start.saturating_add(spaces);
            for mark in &marks {
                fill(head, mark.start.max(start)..mark.end.min(range.end));
            }
        }
    }
}

/// What a part of a head is.
enum Kind {
    /// The target of a request.
    Target,
    /// The text in a status line.
    Reason,
    /// The value of the field of this name.
    Field(Vec<u8>),
}

/// The part of a start line in which there may be something: `GET TARGET HTTP/1.1` or
/// `HTTP/1.1 200 REASON`.
fn start_line(line: &[u8]) -> (Kind, Range<usize>) {
    let end = line.trim_ascii_end().len();
    let space = |from: usize| {
        let rest = line.get(from..end).unwrap_or_default();
        let space = rest.iter().position(|&byte| byte == b' ');
        space.map(|at| from.saturating_add(at).saturating_add(1))
    };
    let Some(second) = space(0) else {
        return (Kind::Reason, 0..end);
    };
    if line.starts_with(b"HTTP/") {
        return (Kind::Reason, space(second).unwrap_or(end)..end);
    }
    // Up to the last space, since a broken client may send some in the target.
    let target = line.get(second..end).unwrap_or_default();
    let version = target.iter().rposition(|&byte| byte == b' ');
    let length = version.unwrap_or(target.len());
    (Kind::Target, second..second.saturating_add(length))
}
