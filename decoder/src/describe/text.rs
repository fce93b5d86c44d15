//! Strings and bytes as JSON: masked, not too long, and JSON inside them unfolded.

use std::borrow::Cow;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value as Json, json};

use crate::protocol::mask::{MASK, is_secret_name, mask_json, mask_text, mask_url};

/// Longest string that is shown whole, in bytes.
pub(super) const MAX_STRING: usize = 4 << 10;
/// How many of the bytes are shown that are no text.
const MAX_BYTES: usize = 48;
/// Shortest base64 that is tried for JSON.
const MIN_BASE64: usize = 16;

/// What stands for a secret of `len` bytes.
pub(super) fn masked(len: usize) -> String {
    match len {
        1 => format!("{MASK} (1 byte)"),
        _ => format!("{MASK} ({len} bytes)"),
    }
}

/// A string as it may be shown; `show` for one with its secrets.
pub(super) fn text(text: &str, show: bool) -> Json {
    if let Some(object) = unfolded(text, show) {
        return object;
    }
    let text = if show {
        Cow::Borrowed(text)
    } else {
        mask(text)
    };
    cut(&text).into_owned().into()
}

/// The JSON object that `text` is in base64, if it is. What BuildKit answers about an image is
/// such (`containerimage.descriptor`), and older releases put one with the build arguments into
/// the image's configuration (`moby.buildkit.buildinfo.v0`).
fn unfolded(text: &str, show: bool) -> Option<Json> {
    // `{`, with whatever comes after it, begins with this.
    if text.len() < MIN_BASE64 || !text.starts_with('e') {
        return None;
    }
    object(&BASE64_STANDARD.decode(text).ok()?, show)
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

/// Text without its secrets. JSON is masked as such.
pub(super) fn mask(text: &str) -> Cow<'_, str> {
    if text.trim_start().starts_with(['{', '['])
        && let Ok(before) = serde_json::from_str::<Json>(text)
    {
        let mut after = before.clone();
        mask_members(&mut after);
        if after != before {
            return Cow::Owned(after.to_string());
        }
    }
    match mask_quoted(text) {
        Cow::Borrowed(text) => mask_words(text),
        Cow::Owned(text) => Cow::Owned(mask_words(&text).into_owned()),
    }
}

/// Masks what is secret in a text by its words and URLs.
fn mask_words(text: &str) -> Cow<'_, str> {
    // In one that has no white space a URL may be all of it, whatever its password is made of.
    if text.contains(char::is_whitespace) {
        return mask_text(text);
    }
    match mask_url(text) {
        Cow::Borrowed(same) => mask_text(same),
        Cow::Owned(masked) => Cow::Owned(mask_text(&masked).into_owned()),
    }
}

/// Masks `"name": "value"` and `"--name", "value"` with a secret name wherever they stand: JSON in the midst of an error
/// message, JSON inside a string of JSON, JSON of which a part is missing.
fn mask_quoted(text: &str) -> Cow<'_, str> {
    let mut out = String::new();
    let mut rest = text;
    let mut masked = false;
    while let Some(at) = rest.find([':', ',']) {
        let (before, after) = rest.split_at_checked(at).unwrap_or((rest, ""));
        let (sign, after) = after.split_at_checked(1).unwrap_or((after, ""));
        out.push_str(before);
        out.push_str(sign);
        rest = after;
        let name = before.trim_end().strip_suffix('"');
        let name = name.map(|name| name.trim_end_matches('\\'));
        let name = name.and_then(|name| name.rsplit('"').next());
        let secret = match sign {
            ":" => name.is_some_and(is_secret_name),
            _ => name.is_some_and(announces_secret),
        };
        if !secret {
            continue;
        }
        // The quotes of JSON inside a string of JSON have backslashes before them.
        let value = rest.trim_start_matches(|c: char| c.is_whitespace() || c == '\\');
        let Some(value) = value.strip_prefix('"') else {
            continue;
        };
        let opening = rest.len().saturating_sub(value.len());
        let (opening, value) = rest.split_at_checked(opening).unwrap_or((rest, ""));
        let quote = opening.trim_start();
        let end = value.match_indices(quote).map(|(at, _)| at);
        let mut end = end.filter(|&at| quote != "\"" || !is_escaped(value, at));
        let end = end.next().unwrap_or(value.len());
        let (value, behind) = value.split_at_checked(end).unwrap_or((value, ""));
        out.push_str(opening);
        out.push_str(if value.is_empty() { "" } else { MASK });
        masked |= !value.is_empty();
        rest = behind;
    }
    if masked {
        out.push_str(rest);
        Cow::Owned(out)
    } else {
        Cow::Borrowed(text)
    }
}

/// Whether the character at `at` has an odd number of backslashes before it.
fn is_escaped(text: &str, at: usize) -> bool {
    let before = text.get(..at).unwrap_or_default();
    let backslashes = before.bytes().rev().take_while(|&byte| byte == b'\\');
    backslashes.count() % 2 == 1
}

/// Whether `word` is a flag whose value follows as a word of its own, and is secret.
pub(super) fn announces_secret(word: &str) -> bool {
    word.starts_with('-') && !word.contains('=') && is_secret_name(word)
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
    let mut object: Json = serde_json::from_slice(bytes).ok()?;
    if !show {
        mask_members(&mut object);
    }
    cut_members(&mut object);
    Some(object)
}

/// Masks what is secret by name, and what is in the strings. JSON is not nested deeply, since the
/// parser refuses it; and one in a string of another one is shorter than that.
fn mask_members(json: &mut Json) {
    mask_json(json);
    mask_strings(json);
}

fn mask_strings(json: &mut Json) {
    match json {
        Json::String(text) => {
            if let Some(object) = unfolded(text, false) {
                *json = object;
            } else if let Cow::Owned(masked) = mask(text) {
                *text = masked;
            }
        }
        Json::Array(list) => {
            let mut secret = false;
            for each in list {
                let announces = each.as_str().is_some_and(announces_secret);
                match each {
                    Json::String(text) if secret && !announces => *text = masked(text.len()),
                    _ => mask_strings(each),
                }
                secret = announces;
            }
        }
        Json::Object(members) => members.values_mut().for_each(mask_strings),
        Json::Null | Json::Bool(_) | Json::Number(_) => {}
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_of_json_inside_text() {
        for (text, masked) in [
            (
                r#"got {"token": "a:b", "x":"y"} from u"#,
                r#"got {"token": "***", "x":"y"} from u"#,
            ),
            (r#"{"token":"a\"b","x":"y""#, r#"{"token":"***","x":"y""#),
            (
                r#"x {\"pw\":\"a b\",\"x\":1}"#,
                r#"x {\"pw\":\"***\",\"x\":1}"#,
            ),
            (r#"x {"pw":"a b"#, r#"x {"pw":"***"#),
            (r#"x {"pw":"","y":"z"}"#, r#"x {"pw":"","y":"z"}"#),
            (
                r#"secret "NPM_TOKEN": not found"#,
                r#"secret "NPM_TOKEN": not found"#,
            ),
            (
                r#"RUN ["login", "--password", "x y", "h"]"#,
                // `mask_text` takes the comma for the value, too.
                r#"RUN ["login", "--password"***"***", "h"]"#,
            ),
            ("\":\":", "\":\":"),
        ] {
            assert_eq!(mask(text), masked);
        }
    }
}
