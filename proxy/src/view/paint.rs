//! Colour, width and units of text for people.
//!
//! Colours are the terminal's own sixteen, and never the only sign of anything.

use std::fmt::Write as _;
use std::time::Duration;

use unicode_width::UnicodeWidthStr;

/// How a piece of text looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Style {
    /// As it comes.
    #[default]
    Plain,
    /// A heading.
    Bold,
    /// Less important.
    Dim,
    /// Good.
    Green,
    /// Worth a look.
    Yellow,
    /// Bad.
    Red,
    /// A name of the protocol.
    Cyan,
}

/// Paints, or does not.
#[derive(Clone, Copy, Debug)]
pub(super) struct Paint {
    /// Whether colours are understood and wanted.
    pub(super) colour: bool,
}

impl Paint {
    /// Appends `text` in this style.
    pub(super) fn push(self, out: &mut String, style: Style, text: &str) {
        let code = match style {
            Style::Plain => "",
            Style::Bold => "1",
            Style::Dim => "2",
            Style::Green => "32",
            Style::Yellow => "33",
            Style::Red => "31",
            Style::Cyan => "36",
        };
        if self.colour && !code.is_empty() && !text.is_empty() {
            let _ = write!(out, "\x1b[{code}m{text}\x1b[0m");
        } else {
            out.push_str(text);
        }
    }
}

/// Rows of cells in aligned columns.
#[derive(Debug, Default)]
pub(super) struct Table {
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    cells: Vec<(Style, String)>,
    /// Lines below the row, indented and not aligned.
    notes: Vec<(Style, String)>,
}

impl Table {
    /// Adds a row.
    pub(super) fn row<const N: usize>(&mut self, cells: [(Style, String); N]) {
        self.rows.push(Row {
            cells: cells.into(),
            notes: Vec::new(),
        });
    }

    /// Adds a line below the last row.
    pub(super) fn note(&mut self, style: Style, text: String) {
        if let Some(row) = self.rows.last_mut() {
            row.notes.push((style, text));
        }
    }

    /// Whether there is no row.
    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Appends it, every line indented by so many columns. A column is as wide as its widest
    /// cell; the last one is not filled up.
    pub(super) fn push(&self, out: &mut String, paint: Paint, indent: usize) {
        let columns = self
            .rows
            .iter()
            .map(|row| row.cells.len())
            .max()
            .unwrap_or(0);
        let widths: Vec<usize> = (0..columns)
            .map(|column| {
                let cells = self.rows.iter().filter_map(|row| row.cells.get(column));
                cells.map(|(_, text)| text.width()).max().unwrap_or(0)
            })
            .collect();
        for row in &self.rows {
            let mut line = String::new();
            for (column, ((style, text), width)) in row.cells.iter().zip(&widths).enumerate() {
                if *width == 0 {
                    continue;
                }
                paint.push(&mut line, *style, text);
                if column + 1 < row.cells.len() {
                    line.extend(std::iter::repeat_n(' ', width - text.width() + 2));
                }
            }
            out.extend(std::iter::repeat_n(' ', indent));
            out.push_str(line.trim_end());
            out.push('\n');
            for (style, text) in &row.notes {
                out.extend(std::iter::repeat_n(' ', indent + 4));
                paint.push(out, *style, text);
                out.push('\n');
            }
        }
    }
}

/// Columns that sentences are wrapped at: wider lines are hard to read.
const MEASURE: usize = 100;

/// Sentences in lines of a readable width, all but the first of them indented.
pub(super) fn wrapped(text: &str, indent: usize, width: Option<usize>) -> String {
    let width = width.unwrap_or(MEASURE).min(MEASURE).max(indent + 20);
    let margin = " ".repeat(indent);
    textwrap::fill(
        text,
        textwrap::Options::new(width)
            .subsequent_indent(&margin)
            .break_words(false),
    )
}

/// `412 ms`, `1.23 s`, `4 min 05 s`.
pub(super) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    match duration.as_secs() {
        0 if duration.as_micros() < 1000 => format!("{} µs", duration.as_micros()),
        0 => format!("{} ms", duration.as_millis()),
        1..60 => format!("{seconds:.2} s"),
        whole => format!("{} min {:02} s", whole / 60, whole % 60),
    }
}

/// `312 B`, `12.4 KiB`, `1.2 GiB`.
pub(super) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// `1 file`, `3 files`.
pub(super) fn count(n: u64, one: &str) -> String {
    let plural = match one {
        _ if n == 1 => one.to_owned(),
        _ if one.ends_with('y') => format!("{}ies", &one[..one.len() - 1]),
        _ => format!("{one}s"),
    };
    format!("{n} {plural}")
}

/// The beginning of a text that is longer than `limit` characters.
pub(super) fn shorten(text: &str, limit: usize) -> String {
    if text.chars().count() <= limit {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(limit.saturating_sub(1)).collect();
    short.push('…');
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units() {
        assert_eq!(duration(Duration::from_micros(312)), "312 µs");
        assert_eq!(duration(Duration::from_millis(412)), "412 ms");
        assert_eq!(duration(Duration::from_millis(1234)), "1.23 s");
        assert_eq!(duration(Duration::from_secs(245)), "4 min 05 s");
        assert_eq!(
            [bytes(0), bytes(1023), bytes(1024)],
            ["0 B", "1023 B", "1.0 KiB"]
        );
        assert_eq!(
            [bytes((1 << 20) - 1), bytes(1 << 31)],
            ["1.0 MiB", "2.0 GiB"]
        );
        assert_eq!(
            [count(1, "entry"), count(2, "entry"), count(0, "file")],
            ["1 entry", "2 entries", "0 files"]
        );
    }

    #[test]
    fn columns_are_as_wide_as_they_look() {
        let mut table = Table::default();
        let cell = |text: &str| (Style::Plain, text.to_owned());
        table.row([cell("日本"), cell("x")]);
        table.row([cell("abc"), cell("y")]);
        table.note(Style::Dim, "below".into());
        let mut out = String::new();
        table.push(&mut out, Paint { colour: false }, 2);
        assert_eq!(out, "  日本  x\n  abc   y\n      below\n");
    }
}
