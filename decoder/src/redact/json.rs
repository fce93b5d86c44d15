//! JSON in place: strings and numbers are overwritten, all else stays.
//!
//! Whether something is JSON is for `serde_json` to say. Here it is only walked through, so what
//! is found is not checked again.

use std::ops::Range;

use serde_json::Value;

use super::layer::{Escapes, Layer};
use super::text::Held;
use super::{FILL, Redactor, Settled, fill, settle};
use crate::protocol::mask::{announces_secret, is_secret_name};

/// What a number is overwritten with: any number of them is one.
const DIGIT: u8 = b'1';

/// Names of members that are commands with their arguments, in lower case.
const COMMANDS: [&str; 5] = ["args", "cmd", "command", "cmdline", "entrypoint"];

impl Redactor<'_> {
    /// Objects and lists of JSON in a row, or text, or text after them.
    pub(super) fn json_body(&self, bytes: &mut [u8]) {
        if settle(bytes, |bytes| self.json_body_once(bytes)) == Settled::No {
            bytes.fill(FILL);
        }
    }

    fn json_body_once(&self, bytes: &mut [u8]) {
        if serde_json::from_slice::<Value>(bytes).is_ok() {
            self.json_value(bytes);
            return;
        }
        let mut at = 0_usize;
        for length in value_lengths(bytes) {
            let end = at.saturating_add(length);
            if let Some(value) = bytes.get_mut(at..end) {
                self.json_value(value);
            }
            at = end;
        }
        self.text(bytes.get_mut(at..).unwrap_or_default());
    }

    /// Masks `bytes` if they are one JSON object or list; gives whether they are.
    pub(super) fn json_text(&self, bytes: &mut [u8]) -> bool {
        let is_json = matches!(bytes.trim_ascii_start().first(), Some(b'{' | b'['))
            && serde_json::from_slice::<Value>(bytes).is_ok();
        if is_json {
            self.json_value(bytes);
        }
        is_json
    }

    /// One value, with white space around it.
    fn json_value(&self, bytes: &mut [u8]) {
        let marks = self.matches(bytes);
        let mut walk = Walk {
            redactor: *self,
            bytes,
            at: 0,
            marks,
        };
        walk.value(None);
    }
}

/// How long the JSON values are that `bytes` begin with, white space before them included.
fn value_lengths(bytes: &[u8]) -> Vec<usize> {
    let mut values = serde_json::Deserializer::from_slice(bytes).into_iter::<Value>();
    let mut lengths = Vec::new();
    let mut at = 0_usize;
    while let Some(Ok(value)) = values.next() {
        let end = values.byte_offset();
        if !(value.is_object() || value.is_array()) {
            break;
        }
        lengths.push(end.saturating_sub(at));
        at = end;
    }
    lengths
}

/// A way through a JSON value that is known to be one.
struct Walk<'a, 'b> {
    redactor: Redactor<'a>,
    bytes: &'b mut [u8],
    at: usize,
    /// Where the patterns match.
    marks: Vec<Range<usize>>,
}

/// The inside of a string.
type Inside = Range<usize>;

impl Walk<'_, '_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn step(&mut self) {
        self.at = self.at.saturating_add(1);
    }

    fn skip_space(&mut self) {
        while self.peek().is_some_and(|byte| byte.is_ascii_whitespace()) {
            self.step();
        }
    }

    /// A value, which is not deeper within others than the parser allowed; `name` is that of the
    /// member that it is.
    fn value(&mut self, name: Option<&str>) {
        self.skip_space();
        let secret = name.is_some_and(is_secret_name);
        match self.peek() {
            Some(b'{') => self.object(),
            Some(b'[') => self.list(name),
            Some(b'"') => {
                let inside = self.string();
                self.mask_string(inside, secret);
            }
            Some(b'-' | b'0'..=b'9') => self.number(secret),
            // true, false, null
            _ => {
                while self.peek().is_some_and(|byte| byte.is_ascii_alphabetic()) {
                    self.step();
                }
            }
        }
    }

    fn object(&mut self) {
        self.step();
        let mut id = Vec::new();
        let mut aux = None;
        loop {
            self.skip_space();
            match self.peek() {
                Some(b'"') => {}
                Some(b',') => {
                    self.step();
                    continue;
                }
                _ => break,
            }
            let inside = self.string();
            let name = self.plain(&inside);
            let name = String::from_utf8_lossy(&name).into_owned();
            self.mask_text(inside);
            self.skip_space();
            self.step(); // the colon
            self.skip_space();
            match (name.as_str(), self.peek()) {
                ("aux", Some(b'"')) => aux = Some(self.string()),
                ("id", Some(b'"')) => {
                    let inside = self.string();
                    id = self.plain(&inside);
                    self.mask_string(inside, false);
                }
                _ => self.value(Some(&name)),
            }
        }
        self.step();
        if let Some(aux) = aux {
            // Progress of a build (Moby `builder/builder-next/builder.go`).
            match self.redactor.within() {
                Some(within) if id == b"moby.buildkit.trace" => {
                    let aux = self.bytes.get_mut(aux).unwrap_or_default();
                    within.in_base64(aux, |this, message| this.status_response(message));
                }
                _ => self.mask_string(aux, false),
            }
        }
    }

    fn list(&mut self, name: Option<&str>) {
        self.step();
        let mut secret = false;
        let mut strings = Vec::new();
        loop {
            self.skip_space();
            match self.peek() {
                Some(b',') => {
                    self.step();
                    continue;
                }
                Some(b'"') => {
                    let inside = self.string();
                    let announces =
                        announces_secret(&String::from_utf8_lossy(&self.plain(&inside)));
                    self.mask_string(inside.clone(), secret && !announces);
                    secret = announces;
                    strings.push(inside);
                }
                Some(b']') | None => break,
                Some(_) => {
                    let before = self.at;
                    self.value(None);
                    secret = false;
                    if self.at == before {
                        break;
                    }
                }
            }
        }
        self.step();
        let is_command = |name: &str| COMMANDS.iter().any(|c| name.eq_ignore_ascii_case(c));
        if strings.len() > 1 && name.is_some_and(is_command) {
            self.command(&strings);
        }
    }

    /// What can be told only from several arguments together.
    fn command(&mut self, arguments: &[Inside]) {
        let raw = |inside: &Inside| self.bytes.get(inside.clone()).unwrap_or_default();
        let layers = arguments
            .iter()
            .map(|inside| Layer::of(Escapes::Json, raw(inside)));
        let layers: Vec<Layer> = layers.collect();
        let mut plain: Vec<Vec<u8>> = layers.iter().map(|layer| layer.plain.clone()).collect();
        let mut slices: Vec<&mut [u8]> = plain.iter_mut().map(Vec::as_mut_slice).collect();
        self.redactor.command(&mut slices);
        for ((inside, layer), masked) in arguments.iter().zip(&layers).zip(&plain) {
            if let Some(raw) = self.bytes.get_mut(inside.clone())
                && !layer.write(masked, raw)
            {
                raw.fill(FILL);
            }
        }
    }

    /// Passes over a string, and gives where its inside is.
    fn string(&mut self) -> Inside {
        self.step();
        let start = self.at;
        while let Some(byte) = self.peek() {
            match byte {
                b'"' => break,
                b'\\' => self.at = self.at.saturating_add(2),
                _ => self.step(),
            }
        }
        let end = self.at.min(self.bytes.len());
        self.step();
        start..end
    }

    /// What a string says.
    fn plain(&self, inside: &Inside) -> Vec<u8> {
        let raw = self.bytes.get(inside.clone()).unwrap_or_default();
        Layer::of(Escapes::Json, raw).plain
    }

    fn mask_string(&mut self, inside: Inside, secret: bool) {
        let outside = |mark: &Range<usize>| {
            let touches = mark.start < inside.end && inside.start < mark.end;
            touches && (mark.start < inside.start || inside.end < mark.end)
        };
        if secret || self.marks.iter().any(outside) {
            fill(self.bytes, inside);
            return;
        }
        self.mask_text(inside);
    }

    fn mask_text(&mut self, inside: Inside) {
        let Some(raw) = self.bytes.get_mut(inside) else {
            return;
        };
        if raw.contains(&b'\\') {
            self.redactor.wrapped(Escapes::Json, raw);
        } else {
            self.redactor.text(raw);
            if let Some(within) = self.redactor.within() {
                within.base64(raw, Held::Anything);
            }
        }
    }

    fn number(&mut self, secret: bool) {
        let start = self.at;
        let in_number = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
        while self.peek().is_some_and(in_number) {
            self.step();
        }
        let number = start..self.at;
        let marked = self
            .marks
            .iter()
            .any(|m| m.start < number.end && number.start < m.end);
        if !(secret || marked) {
            return;
        }
        // Not so great that it is no number any more.
        match self.bytes.get_mut(number) {
            Some([zero, point, digits @ ..]) if !digits.is_empty() => {
                (*zero, *point) = (b'0', b'.');
                digits.fill(DIGIT);
            }
            Some(digits) => digits.fill(DIGIT),
            None => {}
        }
    }
}
