//! The bodies of HTTP/1 messages, as far as secrets may be in them: cut into documents, and each
//! masked once it is complete.

use crate::core::Core;
use crate::event::Side;
use crate::origin::Joined;
use crate::redact;

/// Bytes of a document that is put together at most; the rest counts as another one.
const LIMIT: usize = 1 << 20;

/// The documents of one body.
#[derive(Debug, Default)]
pub(super) struct Documents {
    kind: Kind,
    /// What there is of the present one.
    part: Joined,
    nesting: Nesting,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Kind {
    /// The headers do not say: the first byte does.
    #[default]
    Untold,
    /// JSON, one value after the other.
    Json,
    /// Lines for people.
    Text,
    /// Archives and streams: contents of files.
    Contents,
}

/// Where in a JSON value its end is.
#[derive(Clone, Copy, Debug, Default)]
struct Nesting {
    depth: usize,
    in_string: bool,
    escaped: bool,
}

impl Nesting {
    /// Takes a byte; gives whether a document may end behind it.
    fn take(&mut self, byte: u8) -> bool {
        if self.in_string {
            let escaped = std::mem::take(&mut self.escaped);
            match byte {
                b'\\' => self.escaped = !escaped,
                b'"' if !escaped => self.in_string = false,
                _ => {}
            }
            return false;
        }
        match byte {
            b'"' => self.in_string = true,
            b'{' | b'[' => self.depth = self.depth.saturating_add(1),
            b'}' | b']' => {
                self.depth = self.depth.saturating_sub(1);
                return self.depth == 0;
            }
            b'\n' => return self.depth == 0,
            _ => {}
        }
        false
    }
}

impl Documents {
    /// Those of a body of this content type.
    pub(super) fn of(content_type: Option<&[u8]>) -> Self {
        let content_type = content_type.map(<[u8]>::to_ascii_lowercase);
        let has = |text: &[u8]| {
            let kind = content_type.as_deref().unwrap_or_default();
            kind.windows(text.len()).any(|part| part == text)
        };
        let kind = match content_type {
            None => Kind::Untold,
            Some(_) if has(b"json") => Kind::Json,
            Some(_) if has(b"text/") => Kind::Text,
            Some(_) => Kind::Contents,
        };
        Documents {
            kind,
            ..Documents::default()
        }
    }

    /// Takes bytes of the body, which are of the chunk in hand.
    pub(super) fn feed(&mut self, core: &mut Core, from: Side, bytes: &[u8]) {
        if self.kind == Kind::Untold {
            let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
            self.kind = match first {
                Some(b'{' | b'[') => Kind::Json,
                _ => Kind::Contents,
            };
        }
        if self.kind == Kind::Contents {
            let drop = core.options.redact.as_ref();
            if drop.is_some_and(|redaction| redaction.rules.drop_file_contents) {
                core.blank(bytes);
            }
            return;
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            let end = match self.kind {
                Kind::Json => rest.iter().position(|byte| self.nesting.take(*byte)),
                _ => rest.iter().position(|byte| *byte == b'\n'),
            };
            let length = end.map_or(rest.len(), |end| end.saturating_add(1));
            let (part, behind) = rest.split_at_checked(length).unwrap_or((rest, &[]));
            rest = behind;
            self.part.append(part, core.locate(part));
            if end.is_some() || self.part.bytes.len() > LIMIT {
                self.end(core, from);
            }
        }
    }

    /// The body is over, or as much of it as will be seen.
    pub(super) fn end(&mut self, core: &mut Core, from: Side) {
        let is_json = self.kind == Kind::Json;
        let part = &self.part;
        core.redact(
            from,
            &part.bytes,
            &part.origins,
            |redaction, bytes, out| match is_json {
                true => redact::json(&redaction.rules, bytes, out),
                false => redact::text(&redaction.rules, bytes, out),
            },
        );
        self.part.clear();
        self.nesting = Nesting::default();
    }

    /// Where what is not complete begins.
    pub(super) fn undecided(&self) -> Option<u64> {
        self.part.origins.first()
    }
}
