//! What of a peer's span is handed on: secrets masked, paths left out if that is wanted, and no more
//! of anything than somebody looks at.

use opentelemetry::{KeyValue, Value};

use crate::otlp::span::{TEXT, cut};
use crate::otlp::spans::Words;

/// Attributes, links and texts in a list that are handed on; of events there is a limit for all.
const ATTRIBUTES: usize = 128;
pub(super) const LINKS: usize = 128;
const TEXTS: usize = 128;
/// Bytes of a key.
const KEY: usize = 256;

/// The first of them, and how many were left out, together with those that were before.
pub(super) fn first<T>(
    all: impl IntoIterator<Item = T>,
    limit: usize,
    before: u32,
) -> (Vec<T>, u32) {
    let mut all = all.into_iter();
    let kept = all.by_ref().take(limit).collect();
    let left = u32::try_from(all.count()).unwrap_or(u32::MAX);
    (kept, before.saturating_add(left))
}

/// The same of attributes, each of which is looked at by `pair`.
pub(super) fn attributes<T>(
    all: impl IntoIterator<Item = T>,
    pair: impl Fn(T) -> Option<KeyValue>,
    before: u32,
) -> (Vec<KeyValue>, u32) {
    let (kept, dropped) = first(all, ATTRIBUTES, before);
    (kept.into_iter().filter_map(pair).collect(), dropped)
}

/// A text that is far too long is not gone through to its end: what is cut off afterwards is so far
/// behind the end of what is kept that no secret is cut in two where it could be seen.
fn head(text: &str) -> &str {
    if text.len() <= 2 * TEXT {
        return text;
    }
    let end = (0..=2 * TEXT).rev().find(|at| text.is_char_boundary(*at));
    &text[..end.unwrap_or(0)]
}

impl Words {
    /// What a peer called a span: the name of a call, or a step of a build.
    pub(super) fn forwarded_name(self, name: &str) -> String {
        let name = head(name);
        cut(&match name.contains('/') && !name.contains(' ') {
            true => self.free(name),
            false => self.step(name),
        })
    }

    /// What a peer wrote.
    pub(super) fn forwarded_text(self, text: &str) -> String {
        cut(&self.free(head(text)))
    }

    /// Why something went wrong.
    pub(super) fn forwarded_error(self, text: &str) -> String {
        cut(&self.prose(head(text)).unwrap_or_default())
    }

    /// Whether an attribute is handed on: with paths hashed, a text only if it holds none.
    fn forwards(self, key: &str, value: &Value) -> bool {
        const PLAIN: [&str; 6] = [
            "rpc.",
            "service.",
            "telemetry.",
            "net.",
            "server.",
            "network.",
        ];
        let is_text = matches!(value, Value::String(_) | Value::Array(_));
        !self.hash_paths || !is_text || PLAIN.iter().any(|plain| key.starts_with(plain))
    }

    pub(super) fn forwarded(self, key: String, value: Value) -> Option<KeyValue> {
        // In a recording the history's blob is masked: what says `"Key":` looks like a secret.
        let is_masked = key.starts_with("**");
        if is_masked || key.len() > KEY || !self.forwards(&key, &value) {
            return None;
        }
        let value = match value {
            Value::String(text) => self.forwarded_text(text.as_str()).into(),
            Value::Array(opentelemetry::Array::String(texts)) => {
                let texts = texts
                    .iter()
                    .take(TEXTS)
                    .map(|text| self.forwarded_text(text.as_str()).into());
                Value::Array(opentelemetry::Array::String(texts.collect()))
            }
            other => other,
        };
        Some(KeyValue::new(key, value))
    }
}
