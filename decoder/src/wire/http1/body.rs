//! Bodies: where they end, and what is in them once the chunked coding is taken off
//! (RFC 9112 §6 and §7).

use super::Violation;
use super::head::{Headers, Line};

/// How the end of a body is found, and how far it is read.
#[derive(Clone, Copy, Debug)]
pub(super) enum Body {
    /// So many bytes are still to come.
    Length(u64),
    /// In chunks.
    Chunked(Chunked),
    /// Until the sender closes its direction.
    UntilEof,
}

/// Where in the chunked coding the stream is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Chunked {
    /// In the digits of a chunk's size.
    Size { size: u64, digits: u8 },
    /// After them: an extension, or the end of the line.
    Extension { size: u64 },
    /// In a chunk's data; so many bytes of it are still to come.
    Data { left: u64 },
    /// After a chunk's data, before the end of its line.
    DataEnd { cr: bool },
    /// In the trailer section.
    Trailers(Line),
}

/// A step in the reading of a body.
pub(super) enum Piece<'a> {
    /// Some of the content; never empty.
    Data(&'a [u8]),
    /// All that was given has been read, and the body goes on.
    More,
    /// The body ends here; what is left of the input is behind it.
    End,
}

impl Body {
    const CHUNKED: Body = Body::Chunked(Chunked::SIZE);

    /// The body of a request with these header fields.
    pub(super) fn of_request(headers: &Headers<'_>) -> Result<Body, Violation> {
        match Coding::of(headers) {
            Coding::Chunked => Ok(Body::CHUNKED),
            // A request cannot be ended by closing: nobody could answer it (RFC 9112 §6.3).
            Coding::Other => Err(Violation::TransferEncoding),
            Coding::None => Ok(Body::Length(content_length(headers)?.unwrap_or(0))),
        }
    }

    /// The body of a response that may have one, with these header fields.
    pub(super) fn of_response(headers: &Headers<'_>) -> Result<Body, Violation> {
        match Coding::of(headers) {
            Coding::Chunked => Ok(Body::CHUNKED),
            Coding::Other => Ok(Body::UntilEof),
            Coding::None => Ok(content_length(headers)?.map_or(Body::UntilEof, Body::Length)),
        }
    }

    /// Takes the next piece off the front of `input`.
    pub(super) fn next<'a>(&mut self, input: &mut &'a [u8]) -> Result<Piece<'a>, Violation> {
        match self {
            Body::Length(0) => Ok(Piece::End),
            _ if input.is_empty() => Ok(Piece::More),
            Body::Length(left) => Ok(Piece::Data(take(input, left))),
            Body::UntilEof => Ok(Piece::Data(std::mem::take(input))),
            Body::Chunked(chunked) => chunked.next(input),
        }
    }

    /// Passes over `missing` bytes that were sent but not seen. False when they are not all
    /// content, so that what follows them cannot be read.
    pub(super) fn skip(&mut self, missing: u64) -> bool {
        match self {
            Body::UntilEof => true,
            Body::Length(left) | Body::Chunked(Chunked::Data { left }) => {
                let rest = left.checked_sub(missing);
                *left = rest.unwrap_or(*left);
                rest.is_some()
            }
            Body::Chunked(_) => false,
        }
    }
}

impl Chunked {
    const SIZE: Chunked = Chunked::Size { size: 0, digits: 0 };

    fn next<'a>(&mut self, input: &mut &'a [u8]) -> Result<Piece<'a>, Violation> {
        loop {
            match self {
                Chunked::Data { left: 0 } => *self = Chunked::DataEnd { cr: false },
                Chunked::Data { left } if !input.is_empty() => {
                    return Ok(Piece::Data(take(input, left)));
                }
                Chunked::Trailers(line) => {
                    let Some(length) = line.find_empty(input) else {
                        *input = &[];
                        return Ok(Piece::More);
                    };
                    *input = input.get(length..).unwrap_or_default();
                    return Ok(Piece::End);
                }
                _ => {
                    let Some((&byte, rest)) = input.split_first() else {
                        return Ok(Piece::More);
                    };
                    *input = rest;
                    *self = self.after(byte)?;
                }
            }
        }
    }

    /// The state after a byte of the coding itself.
    fn after(self, byte: u8) -> Result<Chunked, Violation> {
        match (self, byte) {
            (Chunked::Size { size, digits }, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                let digit = char::from(byte).to_digit(16).ok_or(Violation::Chunk)?;
                let size = size
                    .checked_mul(16)
                    .and_then(|size| size.checked_add(u64::from(digit)))
                    .ok_or(Violation::Chunk)?;
                let digits = digits.saturating_add(1);
                Ok(Chunked::Size { size, digits })
            }
            (Chunked::Size { size, digits: 1.. } | Chunked::Extension { size }, b'\n') => {
                Ok(match size {
                    0 => Chunked::Trailers(Line::Start),
                    left => Chunked::Data { left },
                })
            }
            (Chunked::Size { size, digits: 1.. }, b';' | b' ' | b'\t' | b'\r')
            | (Chunked::Extension { size }, _) => Ok(Chunked::Extension { size }),
            (Chunked::DataEnd { .. }, b'\n') => Ok(Chunked::SIZE),
            (Chunked::DataEnd { cr: false }, b'\r') => Ok(Chunked::DataEnd { cr: true }),
            _ => Err(Violation::Chunk),
        }
    }
}

/// Takes at most `left` bytes off the front of `input`, and counts them off.
fn take<'a>(input: &mut &'a [u8], left: &mut u64) -> &'a [u8] {
    let length = usize::try_from(*left).map_or(input.len(), |left| left.min(input.len()));
    let (taken, rest) = input.split_at_checked(length).unwrap_or((input, &[]));
    *input = rest;
    *left = left.saturating_sub(taken.len() as u64);
    taken
}

/// What `Transfer-Encoding` says about the end of the body: only the last coding counts.
enum Coding {
    None,
    Chunked,
    Other,
}

impl Coding {
    fn of(headers: &Headers<'_>) -> Coding {
        match headers.elements("Transfer-Encoding").last() {
            None => Coding::None,
            Some(last) if last.eq_ignore_ascii_case(b"chunked") => Coding::Chunked,
            // Not a coding, but sent, and harmless.
            Some(last) if last.eq_ignore_ascii_case(b"identity") => Coding::None,
            Some(_) => Coding::Other,
        }
    }
}

/// The value of `Content-Length`. The same value several times counts once (RFC 9112 §6.3).
fn content_length(headers: &Headers<'_>) -> Result<Option<u64>, Violation> {
    let mut lengths = headers.elements("Content-Length").map(|element| {
        // `parse` alone would accept a sign.
        std::str::from_utf8(element)
            .ok()
            .filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()))
            .and_then(|digits| digits.parse().ok())
            .ok_or(Violation::ContentLength)
    });
    let Some(first) = lengths.next().transpose()? else {
        return Ok(None);
    };
    for other in lengths {
        if other? != first {
            return Err(Violation::ContentLength);
        }
    }
    Ok(Some(first))
}
