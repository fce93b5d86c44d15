//! Masking inside captured bytes: every length stays, so that a capture reads as before.
//!
//! Each function takes one unit as it stood on the wire (a head, a body, a header field's value,
//! a message) and gives the [`Patch`]es that make it safe to write down. Which fields and names
//! are secret is decided by [`mask`](crate::protocol::mask) and by the field rules of
//! [`describe`](crate::describe). Where units stand in a stream is for the caller to know.
//!
//! What holds for every unit: the length stays; redacting twice is redacting once; and it is
//! shown as the same text before and after, because whoever shows it redacts it first.
//!
//! Text is masked with `*`, contents of files with zeros. Every layer in which a secret may be
//! wrapped is opened: percent-encoding, the escapes of JSON, base64, Huffman code, gzip. What no
//! rule knows for a secret stays; for those there are [`Rules::patterns`].

mod gzip;
mod head;
mod header;
mod json;
mod layer;
mod message;
mod raw;
#[cfg(test)]
pub(crate) mod tests;
mod text;

use std::borrow::Cow;
use std::ops::Range;

use buildtap_proto::schema::Schemas;
pub use regex::bytes::Regex;

pub use message::{concerns, is_contents};

/// How many layers (JSON in base64 in a query in JSON …) are opened one within the other.
const MAX_LAYERS: usize = 6;

/// How often a unit is gone through until nothing changes. Twice is usual; what needs more than
/// this was made for it, and is masked as a whole.
const MAX_PASSES: usize = 12;

/// The byte that stands in the place of each byte of a secret.
const FILL: u8 = b'*';

/// More to mask than the rules know.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// What is masked wherever it is found, in text and in bytes, also when it is wrapped in
    /// base64 or escapes. A match may reach beyond one value: what it covers of values is masked.
    pub patterns: Vec<Regex>,
    /// Whether the contents of files and archives are overwritten with zeros.
    pub drop_file_contents: bool,
}

/// Bytes to be written in the place of as many that stand at `at` in the unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patch {
    /// Where they go: bytes from the beginning of the unit.
    pub at: usize,
    /// What is written there. Never empty.
    pub bytes: Vec<u8>,
}

/// The head of an HTTP/1 request or response, from the first byte of the start line to the blank
/// line or as far as there is any of it: query and credentials in the target, header values.
pub fn head(rules: &Rules, head: &[u8], out: &mut Vec<Patch>) {
    patch(head, out, |unit| Redactor::new(rules).head(unit));
}

/// A body of JSON: an object or several in a row, as a whole or a line of it. It stays valid JSON.
/// What is not JSON is masked as text.
pub fn json(rules: &Rules, body: &[u8], out: &mut Vec<Patch>) {
    patch(body, out, |unit| Redactor::new(rules).json_body(unit));
}

/// Text for people, in UTF-8 or nearly.
pub fn text(rules: &Rules, text: &[u8], out: &mut Vec<Patch>) {
    patch(text, out, |unit| Redactor::new(rules).text(unit));
}

/// Bytes of any kind: only what [`Rules::patterns`] match.
pub fn patterns(rules: &Rules, bytes: &[u8], out: &mut Vec<Patch>) {
    patch(bytes, out, |unit| {
        for found in Redactor::new(rules).matches(bytes) {
            fill(unit, found);
        }
    });
}

/// The value of a header field as it stands in a header block of HTTP/2, if anything of it is to
/// be masked: as many octets as `raw`, that decode to as many as `value` has, so that the sizes
/// of dynamic tables stay what they are.
///
/// `raw` is the string literal without its length, `huffman` whether it is Huffman-coded, `value`
/// the text that it decodes to. In plain strings secrets become `*`. In Huffman-coded ones their
/// place is taken by symbols that are chosen by the length of the code alone and may be any; the
/// rest of the value keeps its symbols where the lengths can be made to fit, which they nearly
/// always can, and is masked, too, where they cannot.
pub fn header_value(
    rules: &Rules,
    name: &[u8],
    value: &[u8],
    raw: &[u8],
    huffman: bool,
) -> Option<Vec<u8>> {
    Redactor::new(rules).header_value(name, value, raw, huffman)
}

/// A gRPC message, not compressed.
///
/// `path` is that of the call, `/package.Service/Method`, `request` says whether the caller sent
/// it; `cut` says that `body` is only its beginning. A message that does not parse, and has
/// fields for secrets, becomes zeros.
pub fn message(
    rules: &Rules,
    schemas: &Schemas,
    path: &str,
    request: bool,
    body: &[u8],
    cut: bool,
    out: &mut Vec<Patch>,
) {
    patch(body, out, |unit| {
        Redactor::with(rules, schemas).message(path, request, unit, cut);
    });
}

/// A message or body compressed with gzip, of which `patches` gives what is to be masked in the
/// decompressed bytes. None if that is nothing; otherwise as many bytes as `compressed` has.
///
/// They are a valid gzip stream of the masked content: compressed anew, and filled up with empty
/// blocks. Where that does not fit, or where `compressed` does not inflate to at most `limit`
/// bytes, they are zeros.
pub fn compressed(
    compressed: &[u8],
    limit: usize,
    patches: impl FnOnce(&[u8], &mut Vec<Patch>),
) -> Option<Vec<u8>> {
    gzip::redacted(compressed, limit, patches)
}

/// Writes `patches` over `unit`. What lies outside of it is left out.
pub fn apply(unit: &mut [u8], patches: &[Patch]) {
    for patch in patches {
        let end = patch.at.saturating_add(patch.bytes.len());
        if let Some(place) = unit.get_mut(patch.at..end) {
            place.copy_from_slice(&patch.bytes);
        }
    }
}

/// A message as it stands once redacted without further rules.
pub(crate) fn plain_message<'a>(
    schemas: &Schemas,
    path: &str,
    request: bool,
    body: &'a [u8],
    cut: bool,
) -> Cow<'a, [u8]> {
    let mut unit = body.to_vec();
    Redactor::with(&Rules::default(), schemas).message(path, request, &mut unit, cut);
    match unit == body {
        true => Cow::Borrowed(body),
        false => Cow::Owned(unit),
    }
}

/// Text as it stands once redacted without further rules.
pub(crate) fn plain_text(text: &str) -> Cow<'_, str> {
    plain(text, |redactor, unit| redactor.text(unit))
}

/// A URL or target, likewise.
pub(crate) fn url_text(url: &str) -> Cow<'_, str> {
    plain(url, |redactor, unit| redactor.target(unit))
}

/// The value of a header field, likewise.
pub(crate) fn header_text<'a>(name: &str, value: &'a str) -> Cow<'a, str> {
    plain(value, |redactor, unit| {
        redactor.header(name.as_bytes(), unit)
    })
}

fn plain<'a>(text: &'a str, redact: impl FnOnce(&Redactor<'_>, &mut [u8])) -> Cow<'a, str> {
    let mut unit = text.as_bytes().to_vec();
    redact(&Redactor::new(&Rules::default()), &mut unit);
    if unit == text.as_bytes() {
        return Cow::Borrowed(text);
    }
    // Whole characters are masked, so that it is still UTF-8.
    let unit = String::from_utf8(unit);
    Cow::Owned(unit.unwrap_or_else(|bytes| String::from_utf8_lossy(bytes.as_bytes()).into_owned()))
}

/// What a redaction goes by. Its methods write into the unit that they are given, and may be
/// called again on the result, which changes nothing any more.
#[derive(Clone, Copy)]
struct Redactor<'a> {
    rules: &'a Rules,
    /// The schemas in use; None for the built-in ones, which are loaded when they are needed.
    schemas: Option<&'a Schemas>,
    /// How many more layers are opened.
    layers: usize,
}

impl<'a> Redactor<'a> {
    fn new(rules: &'a Rules) -> Self {
        Redactor {
            rules,
            schemas: None,
            layers: MAX_LAYERS,
        }
    }

    fn with(rules: &'a Rules, schemas: &'a Schemas) -> Self {
        Redactor {
            schemas: Some(schemas),
            ..Redactor::new(rules)
        }
    }

    fn schemas(&self) -> Cow<'a, Schemas> {
        match self.schemas {
            Some(schemas) => Cow::Borrowed(schemas),
            None => Cow::Owned(Schemas::builtin()),
        }
    }

    /// For what is wrapped in a layer more; None if that is too deep.
    fn within(self) -> Option<Self> {
        let layers = self.layers.checked_sub(1)?;
        Some(Redactor { layers, ..self })
    }

    /// Where the patterns match in a unit.
    fn matches(&self, unit: &[u8]) -> Vec<Range<usize>> {
        let patterns = self.rules.patterns.iter();
        let matches = patterns.flat_map(|pattern| pattern.find_iter(unit));
        let matches = matches.filter(|found| !found.is_empty());
        matches.map(|found| found.range()).collect()
    }
}

/// Repeats a pass over a unit until it changes nothing.
fn settle(unit: &mut [u8], mut pass: impl FnMut(&mut [u8])) -> Settled {
    let mut before = unit.to_vec();
    for _ in 0..MAX_PASSES {
        pass(unit);
        if before == unit {
            return Settled::Yes;
        }
        before.copy_from_slice(unit);
    }
    Settled::No
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Settled {
    Yes,
    No,
}

/// Overwrites a part of a unit, if there is such a part.
fn fill(unit: &mut [u8], range: Range<usize>) {
    if let Some(secret) = unit.get_mut(range) {
        secret.fill(FILL);
    }
}

/// Collects what `redact` changes in a copy of `unit`.
fn patch(unit: &[u8], out: &mut Vec<Patch>, redact: impl FnOnce(&mut [u8])) {
    let mut copy = unit.to_vec();
    redact(&mut copy);
    let mut open: Option<Patch> = None;
    for (at, (before, after)) in unit.iter().zip(&copy).enumerate() {
        match &mut open {
            _ if before == after => out.extend(open.take()),
            Some(patch) => patch.bytes.push(*after),
            None => {
                let bytes = vec![*after];
                open = Some(Patch { at, bytes });
            }
        }
    }
    out.extend(open);
}
