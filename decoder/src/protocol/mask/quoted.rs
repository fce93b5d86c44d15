//! Secrets in quotes: JSON in the midst of other text.

use std::ops::Range;

use super::names::{announces_secret, is_secret_name};

/// The values of `"name": "value"` and `"--name", "value"` with a secret name wherever they
/// stand: JSON in the midst of an error message, JSON inside a string of JSON, JSON of which a
/// part is missing.
pub(crate) fn quoted_secrets(text: &str) -> Vec<Range<usize>> {
    let mut secrets = Vec::new();
    let mut at = 0_usize;
    while let Some(rest) = text.get(at..)
        && let Some(sign) = rest.find([':', ','])
    {
        let (before, after) = rest.split_at_checked(sign).unwrap_or((rest, ""));
        let (sign, after) = after.split_at_checked(1).unwrap_or((after, ""));
        at = text.len().saturating_sub(after.len());
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
        let value = after.trim_start_matches(|c: char| c.is_whitespace() || c == '\\');
        let Some(value) = value.strip_prefix('"') else {
            continue;
        };
        let opening = after.len().saturating_sub(value.len());
        let quote = after.get(..opening).unwrap_or_default().trim_start();
        let end = value.match_indices(quote).map(|(at, _)| at);
        let mut end = end.filter(|&at| quote != "\"" || !is_escaped(value, at));
        let end = end.next().unwrap_or(value.len());
        let start = text.len().saturating_sub(value.len());
        at = start.saturating_add(end);
        if end > 0 {
            secrets.push(start..at);
        }
    }
    secrets
}

/// Whether the character at `at` has an odd number of backslashes before it.
fn is_escaped(text: &str, at: usize) -> bool {
    let before = text.get(..at).unwrap_or_default();
    let backslashes = before.bytes().rev().take_while(|&byte| byte == b'\\');
    backslashes.count() % 2 == 1
}
