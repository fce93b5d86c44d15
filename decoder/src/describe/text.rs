//! Strings and bytes as JSON: masked, not too long, and JSON inside them unfolded.

use std::borrow::Cow;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value as Json, json};

use crate::protocol::mask::{in_base64, mask_members, mask_text};

/// Longest string that is shown whole, in bytes.
pub(super) const MAX_STRING: usize = 4 << 10;
/// How many of the bytes are shown that are no text.
const MAX_BYTES: usize = 48;

/// A string as it may be shown; `show` for one with its secrets.
pub(super) fn text(text: &str, show: bool) -> Json {
    if let Some(object) = unfolded(text, show) {
        return object;
    }
    let text = if show {
        Cow::Borrowed(text)
    } else {
        mask_text(text)
    };
    cut(&text).into_owned().into()
}

/// The JSON object that `text` is in base64, if it is.
fn unfolded(text: &str, show: bool) -> Option<Json> {
    Some(masked_object(in_base64(text)?, show))
}

/// Bytes as they may be shown: a JSON object as such, text as text, others in base64.
pub(super) fn bytes(bytes: &[u8], show: bool) -> Json {
    if let Some(object) = object(bytes, show) {
        return object;
    }
    let in_text = |c: char| !c.is_control() || matches!(c, '\n' | '\r' | '\t' | '\x1b' | '\x08');
    match std::str::from_utf8(bytes) {
        Ok(string) if string.chars().all(in_text) => text(string, show),
        _ => binary(bytes),
    }
}

/// The beginning of bytes that are no text, and how many there are.
pub(super) fn binary(bytes: &[u8]) -> Json {
    let beginning = bytes.get(..MAX_BYTES).unwrap_or(bytes);
    let mut base64 = BASE64_STANDARD.encode(beginning);
    if beginning.len() < bytes.len() {
        base64.push('…');
    }
    json!({ "base64": base64, "bytes": bytes.len() })
}

/// The beginning of `text` with its length, if it is longer than [`MAX_STRING`].
pub(super) fn cut(text: &str) -> Cow<'_, str> {
    if text.len() <= MAX_STRING {
        return Cow::Borrowed(text);
    }
    let start = (0..=MAX_STRING).rev().find_map(|end| text.get(..end));
    let start = start.unwrap_or_default();
    Cow::Owned(format!("{start}… ({} bytes)", text.len()))
}

/// A JSON object without its secrets; None if the bytes are none.
fn object(bytes: &[u8], show: bool) -> Option<Json> {
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        return None;
    }
    Some(masked_object(serde_json::from_slice(bytes).ok()?, show))
}

fn masked_object(mut object: Json, show: bool) -> Json {
    if !show {
        mask_members(&mut object);
    }
    cut_members(&mut object);
    object
}

fn cut_members(json: &mut Json) {
    match json {
        Json::String(text) => {
            if let Cow::Owned(short) = cut(text) {
                *text = short;
            }
        }
        Json::Array(list) => list.iter_mut().for_each(cut_members),
        Json::Object(members) => members.values_mut().for_each(cut_members),
        Json::Null | Json::Bool(_) | Json::Number(_) => {}
    }
}
