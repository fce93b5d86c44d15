//! Text, and what may be wrapped in it: JSON, base64, URLs.

use std::borrow::Cow;
use std::ops::Range;

use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, Engine as _, GeneralPurpose, GeneralPurposeConfig};

use super::layer::{Escapes, Layer};
use super::{FILL, Redactor, Settled, fill, settle};
use crate::protocol::mask::{
    MIN_BASE64, Parameter, Part, is_base64, may_hold_secrets, parameters, parts, quoted_secrets,
    secret_users,
};

/// Padded or not, and whatever the last bits are: it was not written here.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Of so many bytes of text one may be none: colours, bells, the halves of characters.
const ODD_IN: usize = 16;

/// What a string in base64 may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Held {
    /// Text or JSON.
    Text,
    /// The same, or a protobuf message.
    Anything,
}

impl Redactor<'_> {
    /// Text for people.
    pub(super) fn text(&self, bytes: &mut [u8]) {
        if self.rules.patterns.is_empty() && !may_hold_secrets(&readable(bytes)) {
            return;
        }
        if settle(bytes, |bytes| self.text_once(bytes)) == Settled::No {
            bytes.fill(FILL);
        }
    }

    fn text_once(&self, bytes: &mut [u8]) {
        if let Some(within) = self.within() {
            if within.json_text(bytes) {
                return;
            }
            for run in base64_runs(bytes) {
                within.base64(bytes.get_mut(run).unwrap_or_default(), Held::Text);
            }
        }
        self.patterns(bytes);
        let quoted = quoted_secrets(&readable(bytes));
        for secret in quoted {
            fill(bytes, secret);
        }
        // In a text without white space a URL may be all of it, whatever its password is made of.
        if !readable(bytes).contains(char::is_whitespace) {
            self.url(bytes);
        }
        let found = parts(&readable(bytes));
        for (range, part) in found {
            match part {
                Part::Shown => {}
                Part::Secret => fill(bytes, range),
                Part::Word => self.url(bytes.get_mut(range).unwrap_or_default()),
            }
        }
    }

    /// A URL, or the target of a request.
    pub(super) fn target(&self, bytes: &mut [u8]) {
        let pass = |bytes: &mut [u8]| {
            self.patterns(bytes);
            self.url(bytes);
        };
        if settle(bytes, pass) == Settled::No {
            bytes.fill(FILL);
        }
    }

    fn url(&self, bytes: &mut [u8]) {
        let text = readable(bytes);
        let query: Vec<Parameter> = parameters(&text).collect();
        if query.is_empty() && !text.contains("://") {
            return;
        }
        for Parameter { secret, value } in query {
            let Some(value) = bytes.get_mut(value) else {
                continue;
            };
            if secret {
                value.fill(FILL);
            } else if let Some(within) = self.within() {
                within.wrapped(Escapes::Form, value);
            }
        }
        let users = secret_users(&readable(bytes));
        for user in users {
            self.user(bytes.get_mut(user).unwrap_or_default());
        }
    }

    /// The user information of a URL. Its colon stays: without one `git` would be no secret.
    fn user(&self, user: &mut [u8]) {
        for part in user.splitn_mut(2, |&byte| byte == b':') {
            part.fill(FILL);
        }
    }

    /// Text in escapes.
    pub(super) fn wrapped(&self, escapes: Escapes, raw: &mut [u8]) {
        let layer = Layer::of(escapes, raw);
        let mut plain = layer.plain.clone();
        self.text(&mut plain);
        if let Some(within) = self.within().filter(|_| escapes == Escapes::Json) {
            within.base64(&mut plain, Held::Anything);
        }
        if !layer.write(&plain, raw) {
            raw.fill(FILL);
        }
    }

    /// Text that is base64 as a whole, by what it holds.
    pub(super) fn base64(&self, bytes: &mut [u8], held: Held) {
        self.in_base64(bytes, |this, inner| this.held(inner, held));
    }

    /// Hands what `bytes` are the base64 of to `redact`, if they are.
    pub(super) fn in_base64(&self, bytes: &mut [u8], redact: impl FnOnce(&Self, &mut [u8])) {
        let padding = bytes.iter().rev().take_while(|&&byte| byte == b'=').count();
        let length = bytes.len().saturating_sub(padding);
        let digits = bytes.get(..length).unwrap_or_default();
        if bytes.len() < MIN_BASE64 || !digits.iter().all(|&byte| is_base64(byte.into())) {
            return;
        }
        let Ok(before) = BASE64.decode(&*bytes) else {
            return;
        };
        let mut after = before.clone();
        redact(self, &mut after);
        if after == before {
            return;
        }
        let encoded = BASE64.encode(&after).into_bytes();
        match (bytes.get_mut(..length), encoded.get(..length)) {
            (Some(bytes), Some(encoded)) => bytes.copy_from_slice(encoded),
            _ => bytes.fill(FILL),
        }
    }

    fn held(&self, bytes: &mut [u8], held: Held) {
        match held {
            Held::Anything => self.raw_value(bytes),
            Held::Text if is_text(bytes) => self.text(bytes),
            Held::Text => self.patterns(bytes),
        }
    }

    /// Bytes that may be text, JSON or anything.
    pub(super) fn bytes(&self, bytes: &mut [u8]) {
        self.held(bytes, Held::Text);
    }

    /// Masks what the patterns match.
    pub(super) fn patterns(&self, bytes: &mut [u8]) {
        for found in self.matches(bytes) {
            // Not the half of a character.
            let continues = |at: usize| bytes.get(at).is_some_and(|byte| byte & 0xc0 == 0x80);
            let mut range = found;
            for _ in 0..3 {
                if continues(range.start) {
                    range.start = range.start.saturating_sub(1);
                }
                if continues(range.end) {
                    range.end = range.end.saturating_add(1);
                }
            }
            fill(bytes, range);
        }
    }
}

/// What may be base64 in a text: words that are long enough, and their padding.
fn base64_runs(bytes: &[u8]) -> Vec<Range<usize>> {
    let mut at = 0_usize;
    let runs = bytes.split_inclusive(|&byte| !is_base64(byte.into()));
    runs.filter_map(|run| {
        let start = at;
        at = at.saturating_add(run.len());
        // The byte that ends the run may be padding, and so may be the next.
        let digits = run
            .iter()
            .take_while(|&&byte| is_base64(byte.into()))
            .count();
        let end = start.saturating_add(digits);
        let after = bytes.get(end..).unwrap_or_default();
        let padding = after
            .iter()
            .take(2)
            .take_while(|&&byte| byte == b'=')
            .count();
        (digits >= MIN_BASE64.saturating_sub(2)).then(|| start..end.saturating_add(padding))
    })
    .collect()
}

/// Whether bytes are text, or nearly.
pub(super) fn is_text(bytes: &[u8]) -> bool {
    let mut odd = 0_usize;
    for chunk in bytes.utf8_chunks() {
        let control =
            |c: &char| c.is_control() && !matches!(c, '\n' | '\r' | '\t' | '\x1b' | '\x08');
        odd = odd
            .saturating_add(chunk.valid().chars().filter(control).count())
            .saturating_add(chunk.invalid().len());
        if odd.saturating_mul(ODD_IN) > bytes.len() {
            return false;
        }
    }
    true
}

/// Text of the same length, with something in the place of what is no UTF-8 that neither parts
/// words nor is a part of what secrets are known by.
pub(super) fn readable(bytes: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Cow::Borrowed(text);
    }
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| '\x7f'));
    }
    Cow::Owned(text)
}
