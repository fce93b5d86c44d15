//! Secrets in text that can be told from the words around them.

use std::ops::Range;

use super::names::{is_secret_header_exactly, is_secret_name};

/// What a part of a text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// It tells nothing.
    Shown,
    /// It is secret, or a part of what is.
    Secret,
    /// It is a word in which there may be URLs.
    Word,
}

/// The parts of `text`, in order and without gaps: credentials after `NAME=`, `--name`,
/// `Authorization:` and `Bearer` are secret.
pub(crate) fn parts(text: &str) -> Vec<(Range<usize>, Part)> {
    let mut scanner = Scanner {
        parts: Vec::new(),
        at: 0,
        secret: Secret::No,
        quote: None,
    };
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if is_separator(first) {
            scanner.separator(first, rest);
        } else {
            let end = rest.find(is_separator).unwrap_or(rest.len());
            scanner.word(rest.get(..end).unwrap_or_default());
        }
        rest = text.get(scanner.at..).unwrap_or_default();
    }
    scanner.parts
}

/// Whether a word of `text` announces credentials.
pub(super) fn contains_scheme(text: &str) -> bool {
    let mut words = text.split(is_separator);
    words.any(is_scheme)
}

/// Whether a word announces credentials (RFC 9110 §11.4).
fn is_scheme(word: &str) -> bool {
    word.eq_ignore_ascii_case("bearer") || word.eq_ignore_ascii_case("basic")
}

/// Whether what follows `Basic` or `Bearer` is credentials rather than prose or a parameter.
fn looks_like_credentials(word: &str) -> bool {
    let odd = |c: char| c.is_ascii_digit() || c.is_ascii_uppercase();
    let masked = word.chars().all(|c| c == '*');
    masked || word.len() >= 6 && word.chars().skip(1).any(odd)
}

/// Whether `name: ` in text announces a secret. Error messages put all sorts of words in front
/// of a colon ("secret NPM_TOKEN: not found"), so a secret name alone does not count.
fn is_secret_label(name: &str) -> bool {
    is_secret_header_exactly(name)
        || name.eq_ignore_ascii_case("password")
        || (name.get(..2).is_some_and(|x| x.eq_ignore_ascii_case("x-")) && is_secret_name(name))
}

fn is_separator(c: char) -> bool {
    c.is_whitespace() || is_quote(c) || matches!(c, '(' | ')' | '<' | '>' | '|' | ';')
}

fn is_quote(c: char) -> bool {
    matches!(c, '"' | '\'' | '`')
}

/// Which of the text to come is secret.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Secret {
    No,
    /// A quoted string, if one follows at once.
    Quoted,
    /// The next word, or quoted string.
    Word,
    /// The next word, if it looks like credentials.
    Credentials,
    /// The rest of the line or quoted string.
    Line,
    /// As `Line`, and some of it has been seen.
    Masked,
}

struct Scanner {
    parts: Vec<(Range<usize>, Part)>,
    /// How much of the text is done, in bytes.
    at: usize,
    secret: Secret,
    /// The quote that a string was opened with and not closed yet.
    quote: Option<char>,
}

impl Scanner {
    fn take(&mut self, length: usize, part: Part) {
        if length == 0 {
            return;
        }
        let end = self.at.saturating_add(length);
        self.parts.push((self.at..end, part));
        self.at = end;
    }

    /// Takes a separator, which `rest` begins with, or the quoted string that it opens, if that
    /// is secret.
    fn separator(&mut self, separator: char, rest: &str) {
        let length = separator.len_utf8();
        let closes = self.quote == Some(separator);
        match self.secret {
            Secret::Quoted | Secret::Word if is_quote(separator) => {
                self.secret = Secret::No;
                let quoted = rest.get(length..).unwrap_or_default();
                let end = quoted.find(separator).unwrap_or(quoted.len());
                self.take(length, Part::Shown);
                self.take(end, Part::Secret);
                // What looks like the end of this string may be the beginning of another:
                // `--token' API_KEY='a b'`.
                let inside = quoted.get(..end).unwrap_or_default();
                let last = inside.rsplit(is_separator).next().unwrap_or_default();
                if let Some((_, next)) = announcement(last) {
                    self.secret = next;
                    return;
                }
                let closed = end < quoted.len();
                self.take(if closed { length } else { 0 }, Part::Shown);
                return;
            }
            Secret::Line | Secret::Masked if closes || separator == '\n' => {
                self.secret = Secret::No;
            }
            Secret::Line if is_quote(separator) => {
                self.secret = Secret::Masked;
                self.take(length, Part::Secret);
                return;
            }
            Secret::Masked => {
                self.take(length, Part::Secret);
                return;
            }
            Secret::Quoted => self.secret = Secret::No,
            Secret::Word | Secret::Credentials | Secret::Line | Secret::No => {}
        }
        if closes {
            self.quote = None;
        } else if is_quote(separator) && self.quote.is_none() {
            self.quote = Some(separator);
        }
        self.take(length, Part::Shown);
    }

    fn word(&mut self, word: &str) {
        let secret = std::mem::replace(&mut self.secret, Secret::No);
        match secret {
            Secret::Line | Secret::Masked => {
                self.secret = Secret::Masked;
                self.take(word.len(), Part::Secret);
            }
            Secret::Word | Secret::Credentials | Secret::Quoted | Secret::No => {
                let announced = announcement(word);
                self.secret = announced.map_or(Secret::No, |(_, next)| next);
                if secret == Secret::Word
                    || secret == Secret::Credentials && looks_like_credentials(word)
                {
                    self.take(word.len(), Part::Secret);
                } else if let Some((shown, _)) = announced {
                    self.take(shown, Part::Shown);
                    self.take(word.len().saturating_sub(shown), Part::Secret);
                } else {
                    self.take(word.len(), Part::Word);
                }
            }
        }
    }
}

/// Whether `word` announces a secret: how much of it may be shown, the rest being secret, and
/// what of the following text is.
fn announcement(word: &str) -> Option<(usize, Secret)> {
    if is_scheme(word) {
        return Some((word.len(), Secret::Credentials));
    }
    if word.strip_suffix(':').is_some_and(is_secret_label) {
        return Some((word.len(), Secret::Line));
    }
    // An assignment may be inside another one: `--build-arg=TOKEN=…`. Of a URL only the part in
    // front can be one.
    let names = word.split_once("://").map_or(word, |(before, _)| before);
    let mut start = 0_usize;
    for (at, sign) in names.match_indices(['=', ':', ',', '&']) {
        let name = names.get(start..at).unwrap_or_default();
        start = at.saturating_add(1);
        if sign == "=" && is_secret_name(name) {
            let empty = start == word.len();
            let next = if empty { Secret::Quoted } else { Secret::No };
            return Some((start, next));
        }
        // As in `Authorization:Bearer …`.
        if sign == ":" && is_secret_header_exactly(name) {
            return Some((start, Secret::Masked));
        }
    }
    let flag = word.starts_with("--") && !word.contains('=') && is_secret_name(word);
    flag.then_some((word.len(), Secret::Word))
}
