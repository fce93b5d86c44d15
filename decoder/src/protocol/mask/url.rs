//! Credentials in URLs, and in the targets of requests.

use std::borrow::Cow;
use std::ops::Range;

use percent_encoding::percent_decode_str;

use super::names::is_secret_name;
use super::{MASK, mask_json};

/// The user information of every URL in `text` that is secret: password and all.
pub(crate) fn secret_users(text: &str) -> Vec<Range<usize>> {
    let mut users = Vec::new();
    let mut at = 0_usize;
    while let Some((before, after)) = text.get(at..).and_then(|rest| rest.split_once("://")) {
        let start = at.saturating_add(before.len()).saturating_add(3);
        let end = after.find(['/', '?', '#']).unwrap_or(after.len());
        let authority = after.get(..end).unwrap_or_default();
        if let Some((user, _)) = authority.rsplit_once('@')
            && is_secret_user(before, user)
        {
            users.push(start..start.saturating_add(user.len()));
        }
        at = start.saturating_add(end);
    }
    users
}

fn is_secret_user(scheme: &str, user: &str) -> bool {
    // A token can stand alone, in the place of the user.
    !user.is_empty() && (user.contains(':') || !(user == "git" || scheme.ends_with("ssh")))
}

/// Masks the user information of every URL in `text`.
pub(super) fn mask_users(text: &str) -> Cow<'_, str> {
    replace(text, &secret_users(text))
}

/// `text` with [`MASK`] in the place of each of `ranges`, which are in order.
pub(super) fn replace<'t>(text: &'t str, ranges: &[Range<usize>]) -> Cow<'t, str> {
    if ranges.is_empty() {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for range in ranges {
        out.push_str(text.get(at..range.start).unwrap_or_default());
        out.push_str(MASK);
        at = range.end;
    }
    out.push_str(text.get(at..).unwrap_or_default());
    Cow::Owned(out)
}

/// A parameter in the query of a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Parameter {
    /// Whether its name is that of a secret.
    pub(crate) secret: bool,
    /// Where its value stands in the URL; never empty.
    pub(crate) value: Range<usize>,
}

/// The parameters of `url`, if it has a query.
pub(crate) fn parameters(url: &str) -> impl Iterator<Item = Parameter> + '_ {
    let (before, after) = url.split_once('?').unwrap_or((url, ""));
    let query = after.split('#').next().unwrap_or_default();
    let mut at = before.len();
    query.split('&').filter_map(move |pair| {
        // Past the `?`, or the `&`.
        let start = at.saturating_add(1);
        at = start.saturating_add(pair.len());
        let (name, value) = pair.split_once('=')?;
        let value = at.saturating_sub(value.len())..at;
        (!value.is_empty()).then(|| Parameter {
            secret: is_secret_name(&percent_decode_str(name).decode_utf8_lossy()),
            value,
        })
    })
}

/// Masks the secret values in the query of `url`, if it has one.
pub(super) fn mask_query(url: &str) -> Cow<'_, str> {
    let mut out = String::new();
    let mut at = 0;
    for Parameter { secret, value } in parameters(url) {
        let shown = url.get(value.clone()).unwrap_or_default();
        let masked = match secret {
            true => Some(MASK.to_owned()),
            false => mask_parameter(shown),
        };
        if let Some(masked) = masked {
            out.push_str(url.get(at..value.start).unwrap_or_default());
            out.push_str(&masked);
            at = value.end;
        }
    }
    if at == 0 {
        return Cow::Borrowed(url);
    }
    out.push_str(url.get(at..).unwrap_or_default());
    Cow::Owned(out)
}

/// The value of a query parameter with what is secret in it masked; None if nothing is.
fn mask_parameter(value: &str) -> Option<String> {
    // Of a pair without `=` all is the name.
    let (plain, _) = form_urlencoded::parse(value.as_bytes()).next()?;
    let plain = if value.contains(['=', '&']) {
        Cow::Borrowed(value)
    } else {
        plain
    };
    let masked = if plain.starts_with(['{', '[']) {
        let mut json = serde_json::from_str(&plain).ok()?;
        mask_json(&mut json).then(|| json.to_string())
    } else {
        match mask_users(&plain) {
            Cow::Borrowed(_) => None,
            Cow::Owned(masked) => Some(masked),
        }
    }?;
    Some(form_urlencoded::byte_serialize(masked.as_bytes()).collect())
}
