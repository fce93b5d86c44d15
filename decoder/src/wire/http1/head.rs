//! Heads: the request line or status line and the header fields, and where they end.

use std::fmt;

use super::Violation;

/// Longest head that is kept and parsed, in bytes.
pub const MAX_HEAD: usize = 1 << 20;
/// Most header fields in one head.
pub const MAX_HEADERS: usize = 4096;
/// Heads with at most this many fields are parsed without an allocation.
const USUAL_HEADERS: usize = 64;

/// The head of a request.
#[derive(Clone, Copy)]
pub struct RequestHead<'a> {
    /// The method as sent; methods are case-sensitive (RFC 9110 §9.1).
    pub method: &'a str,
    /// The request target as sent, not decoded: `/v1.47/build?version=2`.
    pub target: &'a str,
    /// The minor version: 1 for HTTP/1.1, 0 for HTTP/1.0.
    pub minor_version: u8,
    /// The header fields.
    pub headers: Headers<'a>,
    /// All of the head, from the request line to the empty line.
    pub raw: &'a [u8],
    /// Where it stands, if the handler told.
    pub at: Option<u64>,
}

/// The head of a response.
#[derive(Clone, Copy)]
pub struct ResponseHead<'a> {
    /// The status code.
    pub status: u16,
    /// The reason phrase as sent; may be empty.
    pub reason: &'a str,
    /// The minor version: 1 for HTTP/1.1, 0 for HTTP/1.0.
    pub minor_version: u8,
    /// The header fields.
    pub headers: Headers<'a>,
    /// All of the head, from the status line to the empty line.
    pub raw: &'a [u8],
    /// Where it stands, if the handler told.
    pub at: Option<u64>,
}

impl ResponseHead<'_> {
    /// Whether this is an interim response (1xx) after which the final one is still to come.
    /// A 101 is final.
    pub fn informational(&self) -> bool {
        (100..200).contains(&self.status) && self.status != 101
    }
}

impl fmt::Debug for RequestHead<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The header fields may hold credentials: they are not for logs.
        write!(
            f,
            "{} {} HTTP/1.{}",
            self.method, self.target, self.minor_version
        )
    }
}

impl fmt::Debug for ResponseHead<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "HTTP/1.{} {} {}",
            self.minor_version, self.status, self.reason
        )
    }
}

/// The header fields of a head, in the order they were sent.
#[derive(Clone, Copy)]
pub struct Headers<'a>(&'a [httparse::Header<'a>]);

impl<'a> Headers<'a> {
    /// Names as sent and values as sent, without the white space around them.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, &'a [u8])> + Clone + use<'a> {
        self.0.iter().map(|field| (field.name, field.value))
    }

    /// The value of the first field of this name, compared without regard to case.
    pub fn get(&self, name: &str) -> Option<&'a [u8]> {
        self.get_all(name).next()
    }

    /// The values of every field of this name, in order.
    pub fn get_all<'n>(&self, name: &'n str) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        self.iter()
            .filter(move |(given, _)| given.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// How many fields there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The elements of a field that is a comma-separated list, over all fields of this name.
    pub(super) fn elements<'n>(
        &self,
        name: &'n str,
    ) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        self.get_all(name)
            .flat_map(|value| value.split(|&b| b == b','))
            .map(<[u8]>::trim_ascii)
            .filter(|element| !element.is_empty())
    }
}

/// Parses `raw`, which ends with the empty line, and hands the request head to `then`.
pub(super) fn with_request<R>(
    raw: &[u8],
    at: Option<u64>,
    then: impl FnOnce(RequestHead<'_>) -> R,
) -> Result<R, Violation> {
    let mut few = [httparse::EMPTY_HEADER; USUAL_HEADERS];
    let mut many = Vec::new();
    let mut request = httparse::Request::new(room(raw, &mut few, &mut many));
    let parsed = httparse::ParserConfig::default()
        .ignore_invalid_headers_in_requests(true)
        .parse_request(&mut request, raw)?;
    match (request.method, request.path, request.version) {
        (Some(method), Some(target), Some(minor_version))
            if parsed == httparse::Status::Complete(raw.len()) =>
        {
            Ok(then(RequestHead {
                method,
                target,
                minor_version,
                headers: Headers(request.headers),
                raw,
                at,
            }))
        }
        _ => Err(Violation::Head),
    }
}

/// Parses `raw`, which ends with the empty line, and hands the response head to `then`.
pub(super) fn with_response<R>(
    raw: &[u8],
    at: Option<u64>,
    then: impl FnOnce(ResponseHead<'_>) -> R,
) -> Result<R, Violation> {
    let mut few = [httparse::EMPTY_HEADER; USUAL_HEADERS];
    let mut many = Vec::new();
    let mut response = httparse::Response::new(room(raw, &mut few, &mut many));
    let parsed = httparse::ParserConfig::default()
        .ignore_invalid_headers_in_responses(true)
        .allow_spaces_after_header_name_in_responses(true)
        .allow_obsolete_multiline_headers_in_responses(true)
        .parse_response(&mut response, raw)?;
    match (response.code, response.version) {
        (Some(status), Some(minor_version)) if parsed == httparse::Status::Complete(raw.len()) => {
            Ok(then(ResponseHead {
                status,
                reason: response.reason.unwrap_or_default(),
                minor_version,
                headers: Headers(response.headers),
                raw,
                at,
            }))
        }
        _ => Err(Violation::Head),
    }
}

/// Room for the fields of `raw`: on the stack when they are few. A field takes a line.
fn room<'r, 'b>(
    raw: &[u8],
    few: &'r mut [httparse::Header<'b>],
    many: &'r mut Vec<httparse::Header<'b>>,
) -> &'r mut [httparse::Header<'b>] {
    let lines = raw.iter().filter(|&&b| b == b'\n').count();
    if lines <= few.len() {
        few
    } else {
        many.resize(lines.min(MAX_HEADERS), httparse::EMPTY_HEADER);
        many
    }
}

impl From<httparse::Error> for Violation {
    fn from(error: httparse::Error) -> Self {
        match error {
            httparse::Error::TooManyHeaders => Violation::TooManyHeaders,
            _ => Violation::Head,
        }
    }
}

/// Finds the empty line that ends a head or a trailer section, in a stream that comes in
/// pieces. Lines end with LF; a CR before it is not needed.
#[derive(Clone, Copy, Debug)]
pub(super) enum Line {
    /// At the start of a line, where a CR is of no account.
    Start,
    /// Further on in a line.
    Within,
}

impl Line {
    /// How many of `bytes` there are up to and including the empty line, if it ends in them.
    pub(super) fn find_empty(&mut self, bytes: &[u8]) -> Option<usize> {
        for (at, &byte) in bytes.iter().enumerate() {
            *self = match (byte, *self) {
                (b'\n', Line::Start) => return at.checked_add(1),
                (b'\n', Line::Within) => Line::Start,
                (b'\r', Line::Start) => Line::Start,
                _ => Line::Within,
            };
        }
        None
    }
}
