//! What must not be shown: the rules by which secrets are known by their names, and their
//! replacement in text. Whatever is printed, drawn or exported goes through here, unless the
//! person asked to see secrets.
//!
//! The rules err on the side of masking. Masking inside captured bytes, which must keep every
//! length, is done in [`redact`]. Both agree because text is shown as it stands
//! once redacted, with [`MASK`] for what is masked then: what was redacted before looks the same.

mod names;
mod quoted;
#[cfg(test)]
mod tests;
mod url;
mod words;

use std::borrow::Cow;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::Value;

use crate::redact;
use words::contains_scheme;

pub(crate) use names::{announces_secret, is_secret_attribute};
pub use names::{is_secret_header, is_secret_name};
pub(crate) use quoted::quoted_secrets;
pub(crate) use url::{Parameter, parameters, secret_users};
pub(crate) use words::{Part, parts};

/// What is shown in the place of a secret.
pub const MASK: &str = "***";

/// Shortest base64 that is tried for what is in it.
pub(crate) const MIN_BASE64: usize = 16;

/// What stands for a secret of `len` bytes.
pub(crate) fn masked(len: usize) -> String {
    match len {
        1 => format!("{MASK} (1 byte)"),
        _ => format!("{MASK} ({len} bytes)"),
    }
}

/// The value of a named thing as it may be shown.
pub fn mask_value<'a>(name: &str, value: &'a str) -> Cow<'a, str> {
    if value.is_empty() {
        Cow::Borrowed(value)
    } else if is_secret_name(name) {
        Cow::Borrowed(MASK)
    } else {
        mask_text(value)
    }
}

/// The value of a header field or gRPC metadata entry as it may be shown, in the form in which it
/// was sent: the value of `:path` is a target, `grpc-message` is percent-encoded.
pub fn mask_header<'a>(name: &str, value: &'a str) -> Cow<'a, str> {
    if value.is_empty() {
        return Cow::Borrowed(value);
    }
    if is_secret_header(name) {
        return Cow::Borrowed(MASK);
    }
    if name.eq_ignore_ascii_case(":path") {
        return mask_url(value);
    }
    shown(redact::header_text(name, value), shorten)
}

/// A URL, or the target of a request, without its credentials: the user information, and the
/// secret values of its query, also inside JSON or another URL there. The login names of SSH and
/// `git@` stay, a password does not. Anything else is given back as it is.
pub fn mask_url(url: &str) -> Cow<'_, str> {
    shown(redact::url_text(url), shorten_url)
}

/// Text that somebody wrote, such as a shell command or an error message, without the secrets
/// that can be told from their surroundings: credentials in URLs, `NAME=value` and
/// `--name value` with a secret name, `Authorization: …` and `Bearer …`, and the members of JSON
/// with secret names.
pub fn mask_text(text: &str) -> Cow<'_, str> {
    if !may_hold_secrets(text) {
        return Cow::Borrowed(text);
    }
    shown(redact::plain_text(text), shorten)
}

/// `redacted` text with [`MASK`] for what is masked.
fn shown(redacted: Cow<'_, str>, shorten: fn(&str) -> Cow<'_, str>) -> Cow<'_, str> {
    match redacted {
        Cow::Borrowed(text) => shorten(text),
        Cow::Owned(text) => Cow::Owned(shorten(&text).into_owned()),
    }
}

/// Whether a text can be told at a glance to hold nothing that the rules mask.
pub(crate) fn may_hold_secrets(text: &str) -> bool {
    // Everything that is masked follows one of these, or a word for an authentication scheme.
    text.contains([':', '=', '-'])
        || text
            .split(|c| !is_base64(c))
            .any(|word| word.len() >= MIN_BASE64)
        || contains_scheme(text)
}

/// Whether a character may stand in base64 without its padding.
pub(crate) fn is_base64(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '+' | '/')
}

fn shorten_url(url: &str) -> Cow<'_, str> {
    match url::mask_query(url) {
        Cow::Borrowed(url) => url::mask_users(url),
        Cow::Owned(url) => url::mask_users(&url).into_owned().into(),
    }
}

fn shorten(text: &str) -> Cow<'_, str> {
    if text.trim_start().starts_with(['{', '['])
        && let Ok(before) = serde_json::from_str::<Value>(text)
    {
        let mut after = before.clone();
        mask_members(&mut after);
        return match after == before {
            true => Cow::Borrowed(text),
            false => Cow::Owned(after.to_string()),
        };
    }
    match url::replace(text, &quoted_secrets(text)) {
        Cow::Borrowed(text) => shorten_words(text),
        Cow::Owned(text) => Cow::Owned(shorten_words(&text).into_owned()),
    }
}

/// Masks what is secret in a text by its words and URLs.
fn shorten_words(text: &str) -> Cow<'_, str> {
    // In one that has no white space a URL may be all of it, whatever its password is made of.
    let urls = match text.contains(char::is_whitespace) {
        true => Cow::Borrowed(text),
        false => shorten_url(text),
    };
    let mut out = String::with_capacity(urls.len());
    let mut before = Part::Shown;
    for (range, part) in parts(&urls) {
        let piece = urls.get(range).unwrap_or_default();
        match part {
            Part::Shown => out.push_str(piece),
            Part::Word => out.push_str(&shorten_url(piece)),
            Part::Secret if before == Part::Secret => {}
            Part::Secret => out.push_str(MASK),
        }
        before = part;
    }
    if out == text {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(out)
    }
}

/// Masks the members with secret names in a JSON value, at any depth, and the credentials of
/// URLs. Gives whether there were any.
pub fn mask_json(value: &mut Value) -> bool {
    match value {
        Value::String(text) => match url::mask_users(text) {
            Cow::Borrowed(_) => false,
            Cow::Owned(masked) => {
                *text = masked;
                true
            }
        },
        // `|`: every element is masked.
        Value::Array(list) => list
            .iter_mut()
            .fold(false, |any, each| mask_json(each) | any),
        Value::Object(members) => members.iter_mut().fold(false, |any, (name, member)| {
            let secret = is_secret_name(name)
                && match member {
                    Value::String(text) => !text.is_empty(),
                    Value::Number(_) => true,
                    _ => false,
                };
            if secret {
                *member = MASK.into();
            }
            secret | mask_json(member) | any
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Masks what is secret in JSON by name, and what is in the strings. JSON is not nested deeply,
/// since the parser refuses it; and one in a string of another one is shorter than that.
pub(crate) fn mask_members(json: &mut Value) {
    mask_json(json);
    mask_strings(json);
}

fn mask_strings(json: &mut Value) {
    match json {
        Value::String(text) => {
            if let Some(mut object) = in_base64(text) {
                mask_members(&mut object);
                *json = object;
            } else if let Cow::Owned(masked) = mask_text(text) {
                *text = masked;
            }
        }
        Value::Array(list) => {
            let mut secret = false;
            for each in list {
                let announces = each.as_str().is_some_and(announces_secret);
                match each {
                    Value::String(text) if secret && !announces => *text = masked(text.len()),
                    _ => mask_strings(each),
                }
                secret = announces;
            }
        }
        Value::Object(members) => members.values_mut().for_each(mask_strings),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// The JSON object that `text` is in base64, if it is. What BuildKit answers about an image is
/// such (`containerimage.descriptor`), and older releases put one with the build arguments into
/// the image's configuration (`moby.buildkit.buildinfo.v0`).
pub(crate) fn in_base64(text: &str) -> Option<Value> {
    // `{`, with whatever comes after it, begins with this.
    if text.len() < MIN_BASE64 || !text.starts_with('e') {
        return None;
    }
    let bytes = BASE64_STANDARD.decode(text).ok()?;
    let object: Value = serde_json::from_slice(&bytes).ok()?;
    object.is_object().then_some(object)
}
