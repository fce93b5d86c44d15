//! HTTP/1.1 (RFC 9112) as it passes by: both directions of one connection, up to the moment when
//! it is upgraded to another protocol.
//!
//! What lives here is framing: heads, bodies, which response answers which request, and where
//! the bytes of HTTP end. What the requests of the Docker Engine mean is not known here.
//!
//! The decoder is lenient where peers are: lines may end with LF alone, `Host` may be empty.

mod body;
mod head;
mod sniff;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::VecDeque;
use std::fmt;

use crate::event::Side;
use body::{Body, Piece};
use head::Line;
pub use head::{Headers, MAX_HEAD, MAX_HEADERS, RequestHead, ResponseHead};
pub use sniff::looks_like_request;

/// Most bytes of the client that are held back after a request to upgrade, until its answer.
pub const MAX_HELD: usize = 64 << 10;
/// Most requests that may wait for their answer.
pub const MAX_UNANSWERED: usize = 1024;

/// What was seen. `n` is the number of the exchange (a request and its response) on the
/// connection, from 0.
///
/// Requests and responses of different exchanges interleave when a client pipelines, and a
/// response may begin and end before its request does.
pub trait Handler {
    /// The head of a request.
    fn request(&mut self, n: u64, head: &RequestHead<'_>);
    /// Some of the request's content, without the chunked coding; never empty.
    fn request_body(&mut self, n: u64, bytes: &[u8]);
    /// The request is complete. Not called for one that is cut short.
    fn request_end(&mut self, n: u64);
    /// The head of a response, interim ones (1xx) included. A response without a request (the
    /// capture began too late, or the daemon gave up waiting) has a number of its own.
    ///
    /// The answer says whether the connection belongs to another protocol from here on. It does
    /// so without asking after a 101 and after a 2xx to CONNECT. The response that hands the
    /// connection over has no content and no end; of the daemon it is the last call.
    fn response(&mut self, n: u64, head: &ResponseHead<'_>) -> After;
    /// Some of the response's content, without the chunked coding; never empty.
    fn response_body(&mut self, n: u64, bytes: &[u8]);
    /// The response is over.
    fn response_end(&mut self, n: u64, how: BodyEnd);
    /// `from` sent something that is not HTTP as known here. The rest of its direction is passed
    /// over without a call.
    fn violation(&mut self, from: Side, what: Violation);
    /// Bytes of `from` that are passed over: nobody knows what they are.
    fn passed_over(&mut self, from: Side, bytes: &[u8]) {
        let _ = (from, bytes);
    }
    /// Where bytes stand in the stream of their side, if somebody wants to know that. They are of
    /// what was fed, or of what was entered.
    fn locate(&self, bytes: &[u8]) -> Option<u64> {
        let _ = bytes;
        None
    }
    /// Bytes that were held back are gone through from here on; they stand at `at`.
    fn enter(&mut self, from: Side, bytes: &[u8], at: Option<u64>) {
        let _ = (from, bytes, at);
    }
    /// The bytes that were entered are done with.
    fn leave(&mut self) {}
}

/// What follows the head of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// Its content, and further exchanges.
    Http,
    /// Another protocol, in both directions, although the status does not say so.
    Hijacked,
}

/// How a response's content ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyEnd {
    /// Where it should.
    Complete,
    /// The connection ended, or became unreadable, before it did.
    CutShort,
}

/// Why a direction cannot be read as HTTP/1.x any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// Not a request line or status line, or not header fields after it.
    #[error("what was sent is not an HTTP/1.x message head")]
    Head,
    /// A head longer than [`MAX_HEAD`].
    #[error("a message head is longer than {MAX_HEAD} bytes")]
    HeadTooLong,
    /// A head with more than [`MAX_HEADERS`] fields.
    #[error("a message head has more than {MAX_HEADERS} header fields")]
    TooManyHeaders,
    /// `Content-Length` is not a number, or several that differ.
    #[error("Content-Length does not say how long the body is")]
    ContentLength,
    /// `Transfer-Encoding` of a request whose last coding is not `chunked`.
    #[error("Transfer-Encoding of a request does not end with chunked")]
    TransferEncoding,
    /// The chunked coding of a body is broken.
    #[error("a body in chunks has a chunk without a proper size or end")]
    Chunk,
    /// More than [`MAX_HELD`] bytes after a request to upgrade, before its answer.
    #[error("more than {MAX_HELD} bytes were sent after an upgrade request, before its answer")]
    HeldTooMuch,
    /// More than [`MAX_UNANSWERED`] requests without an answer.
    #[error("more than {MAX_UNANSWERED} requests wait for an answer")]
    TooManyUnanswered,
    /// The direction ended in the middle of a head.
    #[error("the connection ended in the middle of a message head")]
    EndedInHead,
    /// The tap missed bytes that were needed.
    #[error("the capture has a gap here")]
    Gap,
}

/// The decoder of one connection.
#[derive(Debug, Default)]
pub struct Connection {
    client: Direction,
    daemon: Direction,
    /// The exchanges whose final response has not begun, oldest first.
    unanswered: VecDeque<Unanswered>,
    /// The number of the next exchange.
    next: u64,
    upgraded: bool,
}

/// One direction of the connection.
#[derive(Default)]
struct Direction {
    reading: Reading,
    /// The beginning of a head whose end has not come; of the client also the bytes that are
    /// held until it is known what they are.
    buffer: Vec<u8>,
    /// Where the buffer's first byte stands, if somebody wants to know that.
    buffer_at: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
enum Reading {
    /// A head, or nothing yet.
    Head(Line),
    /// The body of exchange `n`.
    Body { n: u64, body: Body },
    /// Of the client: what follows a request to upgrade; its answer says what this is.
    Held,
    /// Nothing: after a violation.
    Nothing,
}

impl Reading {
    const HEAD: Reading = Reading::Head(Line::Within);
}

impl Default for Reading {
    fn default() -> Self {
        Reading::HEAD
    }
}

#[derive(Clone, Copy, Debug)]
struct Unanswered {
    n: u64,
    method: Method,
    /// What the client sends after it may belong to another protocol.
    upgrade: bool,
}

/// The methods that decide how a response is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    Head,
    Connect,
    Other,
}

impl Connection {
    /// A connection on which nothing has been said.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes of one side and tells `handler` what they are. Gives how many were
    /// taken: fewer than given, possibly none, when the connection was upgraded and the rest
    /// belongs to the new protocol.
    ///
    /// Between the sides the order must be that of the wire to the extent that a response does
    /// not come before its request.
    pub fn feed(&mut self, from: Side, bytes: &[u8], handler: &mut impl Handler) -> usize {
        let mut rest = bytes;
        let fed = match from {
            Side::Client => self.feed_client(&mut rest, handler),
            Side::Daemon => self.feed_daemon(&mut rest, handler),
        };
        match fed {
            Ok(()) => bytes.len().saturating_sub(rest.len()),
            Err(what) => {
                handler.passed_over(from, rest);
                self.lose(from, what, handler);
                bytes.len()
            }
        }
    }

    /// `from` will send no more: a response that lasts until then is complete, other unfinished
    /// messages are cut short.
    pub fn end(&mut self, from: Side, handler: &mut impl Handler) {
        let upgraded = self.upgraded;
        let direction = self.direction(from);
        match direction.reading {
            Reading::Head(_) if !direction.buffer.is_empty() && !upgraded => {
                self.lose(from, Violation::EndedInHead, handler);
            }
            Reading::Body { n, body } if from == Side::Daemon => {
                direction.reading = Reading::Nothing;
                let how = match body {
                    Body::UntilEof => BodyEnd::Complete,
                    Body::Length(_) | Body::Chunked(_) => BodyEnd::CutShort,
                };
                handler.response_end(n, how);
            }
            _ => {}
        }
    }

    /// Bytes of `from` are missing here, `missing` of them where that is known. Harmless inside
    /// a body that is longer; anywhere else the direction is undecodable from here.
    pub fn gap(&mut self, from: Side, missing: Option<u64>, handler: &mut impl Handler) {
        let upgraded = self.upgraded;
        let direction = self.direction(from);
        let harmless = match &mut direction.reading {
            Reading::Body { body, .. } => match (body, missing) {
                (Body::UntilEof, _) => true,
                (body, Some(missing)) => body.skip(missing),
                _ => false,
            },
            Reading::Head(_) => upgraded,
            Reading::Held => false,
            Reading::Nothing => true,
        };
        if !harmless {
            self.lose(from, Violation::Gap, handler);
        }
    }

    /// Whether the connection belongs to another protocol. Bytes that [`feed`](Self::feed) does
    /// not take from then on, and those of [`take_held`](Self::take_held), are of that protocol.
    pub fn is_upgraded(&self) -> bool {
        self.upgraded
    }

    /// Once the connection is upgraded: what the client sent before the answer to its request
    /// for it, and that belongs to the new protocol. Empty before, and when taken already.
    pub fn take_held(&mut self) -> Vec<u8> {
        if self.upgraded {
            std::mem::take(&mut self.client.buffer)
        } else {
            Vec::new()
        }
    }

    /// What is there of a head that is not complete, or held, and where it stands.
    pub(crate) fn buffered(&self, from: Side) -> Option<(&[u8], u64)> {
        let direction = match from {
            Side::Client => &self.client,
            Side::Daemon => &self.daemon,
        };
        let at = direction.buffer_at.filter(|_| !direction.buffer.is_empty());
        Some((&direction.buffer, at?))
    }

    fn direction(&mut self, from: Side) -> &mut Direction {
        match from {
            Side::Client => &mut self.client,
            Side::Daemon => &mut self.daemon,
        }
    }

    /// Gives a direction up.
    fn lose(&mut self, from: Side, what: Violation, handler: &mut impl Handler) {
        let direction = self.direction(from);
        let was = std::mem::replace(&mut direction.reading, Reading::Nothing);
        direction.buffer = Vec::new();
        if let (Reading::Body { n, .. }, Side::Daemon) = (was, from) {
            handler.response_end(n, BodyEnd::CutShort);
        }
        handler.violation(from, what);
    }

    fn feed_client(
        &mut self,
        rest: &mut &[u8],
        handler: &mut impl Handler,
    ) -> Result<(), Violation> {
        loop {
            match &mut self.client.reading {
                Reading::Nothing => {
                    handler.passed_over(Side::Client, rest);
                    *rest = &[];
                    return Ok(());
                }
                Reading::Head(_) | Reading::Held if self.upgraded => return Ok(()),
                Reading::Held => {
                    if self.client.buffer.len().saturating_add(rest.len()) > MAX_HELD {
                        return Err(Violation::HeldTooMuch);
                    }
                    if self.client.buffer.is_empty() {
                        self.client.buffer_at = handler.locate(rest);
                    }
                    self.client.buffer.extend_from_slice(rest);
                    *rest = &[];
                    return Ok(());
                }
                Reading::Head(_) => {
                    let may_be = sniff::may_be_request;
                    match self.client.take_head(rest, may_be, handler)? {
                        Some((raw, at)) => self.request(&raw, at, handler)?,
                        None => return Ok(()),
                    }
                }
                Reading::Body { n, body } => {
                    let n = *n;
                    match body.next(rest)? {
                        Piece::Data(bytes) => handler.request_body(n, bytes),
                        Piece::More => return Ok(()),
                        Piece::End => {
                            handler.request_end(n);
                            self.client.reading = match self.unanswered.back() {
                                Some(last) if last.n == n && last.upgrade => Reading::Held,
                                _ => Reading::HEAD,
                            };
                        }
                    }
                }
            }
        }
    }

    fn feed_daemon(
        &mut self,
        rest: &mut &[u8],
        handler: &mut impl Handler,
    ) -> Result<(), Violation> {
        loop {
            match &mut self.daemon.reading {
                Reading::Nothing => {
                    handler.passed_over(Side::Daemon, rest);
                    *rest = &[];
                    return Ok(());
                }
                Reading::Head(_) | Reading::Held if self.upgraded => return Ok(()),
                Reading::Head(_) | Reading::Held => {
                    let may_be = sniff::may_be_response;
                    match self.daemon.take_head(rest, may_be, handler)? {
                        Some((raw, at)) => self.response(&raw, at, handler)?,
                        None => return Ok(()),
                    }
                }
                Reading::Body { n, body } => {
                    let n = *n;
                    match body.next(rest)? {
                        Piece::Data(bytes) => handler.response_body(n, bytes),
                        Piece::More => return Ok(()),
                        Piece::End => {
                            self.daemon.reading = Reading::HEAD;
                            handler.response_end(n, BodyEnd::Complete);
                        }
                    }
                }
            }
        }
    }

    /// A whole head of a request.
    fn request(
        &mut self,
        raw: &[u8],
        at: Option<u64>,
        handler: &mut impl Handler,
    ) -> Result<(), Violation> {
        if self.unanswered.len() >= MAX_UNANSWERED {
            return Err(Violation::TooManyUnanswered);
        }
        let n = self.next;
        let (method, upgrade, body) = head::with_request(raw, at, |head| {
            handler.request(n, &head);
            let method = match head.method {
                "HEAD" => Method::Head,
                "CONNECT" => Method::Connect,
                _ => Method::Other,
            };
            let upgrade = method == Method::Connect || head.headers.get("Upgrade").is_some();
            (method, upgrade, Body::of_request(&head.headers))
        })?;
        self.next = n.saturating_add(1);
        self.unanswered.push_back(Unanswered { n, method, upgrade });
        self.client.reading = Reading::Body { n, body: body? };
        Ok(())
    }

    /// A whole head of a response.
    fn response(
        &mut self,
        raw: &[u8],
        at: Option<u64>,
        handler: &mut impl Handler,
    ) -> Result<(), Violation> {
        let answered = match self.unanswered.front() {
            Some(&request) => request,
            None => Unanswered {
                n: self.next,
                method: Method::Other,
                upgrade: false,
            },
        };
        let n = answered.n;
        let (status, informational, after, body) = head::with_response(raw, at, |head| {
            let after = handler.response(n, &head);
            let body = Body::of_response(&head.headers);
            (head.status, head.informational(), after, body)
        })?;

        if self.unanswered.is_empty() {
            self.next = n.saturating_add(1);
            self.unanswered.push_back(answered);
        }
        let tunnel = answered.method == Method::Connect && (200..300).contains(&status);
        if status == 101 || tunnel || after == After::Hijacked {
            self.upgraded = true;
            self.unanswered.clear();
            return Ok(());
        }
        self.daemon.reading = Reading::HEAD;
        if informational {
            return Ok(());
        }

        self.unanswered.pop_front();
        if answered.upgrade && matches!(self.client.reading, Reading::Held) {
            // The answer to the request to upgrade is no: what came after it is HTTP.
            self.client.reading = Reading::HEAD;
            let held = std::mem::take(&mut self.client.buffer);
            handler.enter(Side::Client, &held, self.client.buffer_at);
            self.feed(Side::Client, &held, handler);
            handler.leave();
        }
        let empty = answered.method == Method::Head || matches!(status, 204 | 304);
        match body {
            _ if empty => handler.response_end(n, BodyEnd::Complete),
            Ok(body) => self.daemon.reading = Reading::Body { n, body },
            Err(what) => {
                handler.response_end(n, BodyEnd::CutShort);
                return Err(what);
            }
        }
        Ok(())
    }
}

impl Direction {
    /// Takes a head, or the part of one that is there, off the front of `rest`. Gives the whole
    /// head once it is complete: a part of `rest` if all of it was there, else what was buffered
    /// of it. Empty lines before a head are dropped (RFC 9112 §2.2).
    /// With it comes where it stands.
    #[expect(clippy::type_complexity, reason = "bytes and their place")]
    fn take_head<'a>(
        &mut self,
        rest: &mut &'a [u8],
        may_be_head: fn(&[u8]) -> bool,
        handler: &impl Handler,
    ) -> Result<Option<(Cow<'a, [u8]>, Option<u64>)>, Violation> {
        /// So many bytes of a head tell whether it can be one.
        const START: usize = 24;

        let Reading::Head(line) = &mut self.reading else {
            return Ok(None);
        };
        if self.buffer.is_empty() {
            let blank = rest.iter().take_while(|b| matches!(b, b'\r' | b'\n'));
            *rest = rest.get(blank.count()..).unwrap_or_default();
        }
        let mut start = [0; START];
        let given = self.buffer.iter().chain(*rest);
        let length = start.iter_mut().zip(given).map(|(to, b)| *to = *b).count();
        if !may_be_head(start.get(..length).unwrap_or_default()) {
            return Err(Violation::Head);
        }

        let end = line.find_empty(rest);
        let length = end.unwrap_or(rest.len());
        if self.buffer.len().saturating_add(length) > MAX_HEAD {
            return Err(Violation::HeadTooLong);
        }
        let (part, behind) = rest.split_at_checked(length).unwrap_or((rest, &[]));
        *rest = behind;
        if end.is_some() && self.buffer.is_empty() {
            return Ok(Some((Cow::Borrowed(part), handler.locate(part))));
        }
        if self.buffer.is_empty() {
            self.buffer_at = handler.locate(part);
        }
        self.buffer.extend_from_slice(part);
        let at = self.buffer_at;
        Ok(end.map(|_| (Cow::Owned(std::mem::take(&mut self.buffer)), at)))
    }
}

impl fmt::Debug for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What is buffered may hold credentials.
        f.debug_struct("Direction")
            .field("reading", &self.reading)
            .field("buffered", &self.buffer.len())
            .finish()
    }
}
