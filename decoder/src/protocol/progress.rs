//! The response of `POST /build`: a stream of JSON objects, in which the daemon reports progress
//! and, since the status was sent long before, also failure (Moby
//! `builder/builder-next/builder.go`, `pkg/streamformatter`).

use base64::prelude::{BASE64_STANDARD, Engine as _};
use bytes::Bytes;
use serde_json::Value;

/// Longest line that is read, in bytes.
pub const MAX_LINE: usize = 4 << 20;

/// One object of the stream.
#[derive(Clone, Debug, PartialEq)]
pub enum Progress {
    /// BuildKit's progress: an encoded `moby.buildkit.v1.StatusResponse`.
    Trace(Bytes),
    /// The image that was built: `sha256:…`.
    ImageId(String),
    /// Text of the classic builder.
    Stream(String),
    /// The build failed. This is the only sign of it: the status of the response is 200.
    Error {
        /// What the daemon says.
        message: String,
        /// The exit code of a command, where one is given.
        code: Option<i64>,
    },
    /// Another object: the progress of a pull, a warning.
    Other(Value),
    /// A line that is not JSON.
    Text(String),
}

impl Progress {
    fn from_json(value: Value) -> Progress {
        let text = |value: &Value, pointer: &str| {
            let text = value.pointer(pointer).and_then(Value::as_str);
            text.map(str::to_owned)
        };
        match value.get("id").and_then(Value::as_str) {
            Some("moby.buildkit.trace") => {
                let aux = value.get("aux").and_then(Value::as_str);
                if let Some(trace) = aux.and_then(|aux| BASE64_STANDARD.decode(aux).ok()) {
                    return Progress::Trace(trace.into());
                }
            }
            // The classic builder sends the object without an id.
            Some("moby.image.id") | None => {
                if let Some(id) = text(&value, "/aux/ID") {
                    return Progress::ImageId(id);
                }
            }
            Some(_) => {}
        }
        let message = text(&value, "/errorDetail/message").or_else(|| text(&value, "/error"));
        if let Some(message) = message {
            let code = value.pointer("/errorDetail/code").and_then(Value::as_i64);
            return Progress::Error { message, code };
        }
        match text(&value, "/stream") {
            Some(text) => Progress::Stream(text),
            None => Progress::Other(value),
        }
    }
}

/// Splits the body of the response into its objects. A line holds one, or by leniency several.
#[derive(Debug, Default)]
pub struct Splitter {
    /// The beginning of a line whose end has not come.
    line: Vec<u8>,
    /// The line is too long: it is passed over.
    skipping: bool,
    skipped: u64,
}

impl Splitter {
    /// At the beginning of a body.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes of the body and hands the objects that they complete to `each`.
    pub fn feed(&mut self, mut bytes: &[u8], each: &mut impl FnMut(Progress)) {
        while let Some(end) = bytes.iter().position(|&b| b == b'\n') {
            let (part, behind) = bytes.split_at_checked(end).unwrap_or((bytes, &[]));
            bytes = behind.get(1..).unwrap_or_default();
            if self.line.is_empty() && !self.skipping && part.len() <= MAX_LINE {
                parse(part, each);
            } else {
                self.append(part);
                self.end(each);
            }
        }
        self.append(bytes);
    }

    /// The body ends here: hands what is left, which lacks the end of its line, to `each`.
    pub fn end(&mut self, each: &mut impl FnMut(Progress)) {
        let line = std::mem::take(&mut self.line);
        if !std::mem::take(&mut self.skipping) {
            parse(&line, each);
        }
    }

    /// How many lines were longer than [`MAX_LINE`] and therefore not read.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    fn append(&mut self, part: &[u8]) {
        if self.skipping {
            return;
        }
        if self.line.len().saturating_add(part.len()) > MAX_LINE {
            self.line = Vec::new();
            self.skipping = true;
            self.skipped = self.skipped.saturating_add(1);
        } else {
            self.line.extend_from_slice(part);
        }
    }
}

fn parse(line: &[u8], each: &mut impl FnMut(Progress)) {
    let mut values = serde_json::Deserializer::from_slice(line).into_iter();
    let mut read = 0_usize;
    while let Some(value) = values.next() {
        match value {
            Ok(value) => each(Progress::from_json(value)),
            Err(_) => {
                let rest = line.get(read..).unwrap_or_default().trim_ascii();
                each(Progress::Text(String::from_utf8_lossy(rest).into_owned()));
                return;
            }
        }
        read = values.byte_offset();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str = concat!(
        "{\"id\":\"moby.buildkit.trace\",\"aux\":\"CgA=\"}\r\n",
        "{\"stream\":\"Step 1/2\\n\"}\n\n",
        "{\"id\":\"moby.image.id\",\"aux\":{\"ID\":\"sha256:00\"}}{\"aux\":{\"ID\":\"sha256:01\"}}\r\n",
        "{\"errorDetail\":{\"code\":7,\"message\":\"exit code: 7\"},\"error\":\"exit code: 7\"}\r\n",
        "{\"error\":\"old\"}\n",
        "{\"id\":\"moby.buildkit.trace\",\"aux\":\"!\"}\n",
        "{\"stream\":1}\n",
        "not JSON {}\r\n",
        "{\"status\":\"Pulling\"}",
    );

    fn split(body: &[u8], length: usize) -> (Vec<Progress>, u64) {
        let (mut splitter, mut all) = (Splitter::new(), Vec::new());
        for piece in body.chunks(length) {
            splitter.feed(piece, &mut |progress| all.push(progress));
        }
        splitter.end(&mut |progress| all.push(progress));
        (all, splitter.skipped())
    }

    #[test]
    fn objects_in_pieces() {
        let json = |text| Progress::Other(serde_json::from_str(text).unwrap());
        let error = |message: &str, code| Progress::Error {
            message: message.into(),
            code,
        };
        for length in [1, 2, 7, BODY.len()] {
            assert_eq!(
                split(BODY.as_bytes(), length).0,
                [
                    Progress::Trace(Bytes::from_static(b"\x0a\0")),
                    Progress::Stream("Step 1/2\n".into()),
                    Progress::ImageId("sha256:00".into()),
                    Progress::ImageId("sha256:01".into()),
                    error("exit code: 7", Some(7)),
                    error("old", None),
                    json(r#"{"id":"moby.buildkit.trace","aux":"!"}"#),
                    json(r#"{"stream":1}"#),
                    Progress::Text("not JSON {}".into()),
                    json(r#"{"status":"Pulling"}"#),
                ]
            );
        }
    }

    #[test]
    fn a_long_line_is_skipped_and_counted() {
        let long = "x".repeat(MAX_LINE + 1);
        let body = format!("{long}\n{{\"stream\":\"a\"}}\n{long}");
        for length in [999_999, usize::MAX] {
            let (all, skipped) = split(body.as_bytes(), length);
            assert_eq!(all, [Progress::Stream("a".into())]);
            assert_eq!(skipped, 2);
        }
    }

    #[test]
    fn deep_nesting_is_not_followed() {
        let deep = "[".repeat(100_000);
        assert!(matches!(
            &split(deep.as_bytes(), 4096).0[..],
            [Progress::Text(_)]
        ));
    }
}
