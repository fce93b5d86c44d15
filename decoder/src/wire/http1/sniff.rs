//! Whether bytes can be the beginning of HTTP/1.x at all.

use crate::wire::Sniff;

/// Longest method that is taken for one.
const MAX_METHOD: usize = 20;

/// Whether a stream that begins with `bytes` begins with an HTTP/1.x request.
///
/// It is meant to tell HTTP/1.x from other protocols on an unknown connection, so it is stricter
/// than the decoder: an upper-case method and a target in one of the forms of RFC 9112 §3.2.
/// The preface of HTTP/2 (RFC 9113 §3.4) is not a request.
pub fn looks_like_request(bytes: &[u8]) -> Sniff {
    let Some(space) = bytes.iter().position(|&b| b == b' ') else {
        let fits = bytes.len() <= MAX_METHOD && bytes.iter().all(u8::is_ascii_uppercase);
        return if fits { Sniff::Maybe } else { Sniff::No };
    };
    let (method, target) = bytes.split_at_checked(space).unwrap_or_default();
    if method.is_empty()
        || method.len() > MAX_METHOD
        || method == b"PRI"
        || !method.iter().all(u8::is_ascii_uppercase)
    {
        return Sniff::No;
    }
    match target.get(1) {
        None => Sniff::Maybe,
        Some(b'/' | b'*' | b'h' | b'H') => Sniff::Yes,
        Some(c) if method == b"CONNECT" && c.is_ascii_graphic() => Sniff::Yes,
        Some(_) => Sniff::No,
    }
}

/// Whether a head of a request can begin like this: a method and a space.
pub(super) fn may_be_request(start: &[u8]) -> bool {
    let method = start.split(|&b| b == b' ').next().unwrap_or_default();
    method.len() <= MAX_METHOD
        && (start.is_empty() || !method.is_empty())
        && method
            .iter()
            .all(|&b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

/// Whether a head of a response can begin like this.
pub(super) fn may_be_response(start: &[u8]) -> bool {
    start.iter().zip(b"HTTP/1.").all(|(a, b)| a == b)
}
