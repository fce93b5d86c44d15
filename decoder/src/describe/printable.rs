//! Text that cannot disturb a terminal.

use std::borrow::Cow;

/// `text` with everything that could disturb a terminal, or the eye, escaped visibly: C0, DEL and
/// C1 control characters, line and paragraph separators, the controls of bidirectional text, and
/// characters that are not seen at all. Line feeds and tabs are among them: split lines first.
///
/// A right-to-left override becomes the eight characters `\u{202e}`, a line feed `\n`.
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(disturbs) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len().saturating_add(16));
    for c in text.chars() {
        if disturbs(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

/// Whether [`printable`] escapes this character.
pub fn disturbs(c: char) -> bool {
    c.is_control()
        || matches!(c,
            // Bidirectional text: marks, embeddings, overrides, isolates.
            '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
            // Not seen: zero width space, invisible operators, byte order mark, tags. Joiners are
            // part of words and emoji.
            | '\u{200b}' | '\u{2060}'..='\u{2065}' | '\u{206a}'..='\u{206f}' | '\u{feff}'
            | '\u{e0000}'..='\u{e007f}'
            // Line and paragraph separator, interlinear annotation.
            | '\u{2028}' | '\u{2029}' | '\u{fff9}'..='\u{fffb}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_disturbs_is_escaped() {
        assert_eq!(printable("a\u{202e}b"), "a\\u{202e}b");
        assert_eq!(printable("\x1b[2J"), "\\u{1b}[2J");
        assert_eq!(printable("\u{9b}2J\x7f"), "\\u{9b}2J\\u{7f}");
        assert_eq!(printable("a\tb\r\n"), "a\\tb\\r\\n");
    }

    #[test]
    fn the_rest_is_left_alone() {
        for text in ["", "plain", "naïve … 日本語 👩\u{200d}🔬", "\\u{202e}"] {
            assert!(
                matches!(printable(text), Cow::Borrowed(same) if same == text),
                "{text}"
            );
        }
    }
}
