//! Why an expression was not understood: where, and what to write instead.

use std::fmt;
use std::ops::Range;

use unicode_width::UnicodeWidthStr;

use crate::describe::printable;

/// Why an expression was not understood. Displays as one line without the position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// The bytes of the expression that are not understood; empty at its end if something is
    /// missing there.
    pub at: Range<usize>,
    /// What is wrong.
    pub message: String,
    /// What to write instead, where that can be told.
    pub hint: Option<String>,
}

impl Error {
    pub(super) fn new(at: Range<usize>, message: impl Into<String>) -> Self {
        Error {
            at,
            message: message.into(),
            hint: None,
        }
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The expression with the place marked below it, for a terminal: two lines.
    ///
    /// ```text
    /// servce == FileSend
    /// ^^^^^^
    /// ```
    pub fn marked(&self, expression: &str) -> String {
        let cut = |range: Range<usize>| printable(expression.get(range).unwrap_or_default());
        let before = cut(0..self.at.start).width();
        let wrong = cut(self.at.clone()).width().max(1);
        format!(
            "{}\n{}{}",
            printable(expression),
            " ".repeat(before),
            "^".repeat(wrong)
        )
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "; {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {}

/// How much alike words must be for one to be proposed in the place of the other, from 0 to 1.
const ALIKE: f64 = 0.7;

/// The one of `words` that was probably meant by `word`.
pub(super) fn nearest<'a>(word: &str, words: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_ascii_lowercase();
    words
        .map(|other| {
            let lower = other.to_ascii_lowercase();
            let part = word.len() > 2 && (lower.starts_with(&word) || word.starts_with(&lower));
            let alike = strsim::normalized_damerau_levenshtein(&word, &lower);
            (if part { alike.max(ALIKE) } else { alike }, other)
        })
        .filter(|(alike, _)| *alike >= ALIKE)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, other)| other)
}

/// `a, b or c`.
pub(super) fn either(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [others @ .., last] => format!("{} or {last}", others.join(", ")),
    }
}
