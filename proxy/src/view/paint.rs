//! Colour, width and units of text for people.
//!
//! Colours are the terminal's own sixteen, and never the only sign of anything.

use std::fmt::Write as _;
use std::time::Duration;

use buildtap_decoder::event::Time;
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
    /// Columns that are aligned to the right: those of numbers.
    right: &'static [usize],
}

#[derive(Debug)]
struct Row {
    cells: Vec<(Style, String)>,
    /// Sentences below the row, indented and not aligned.
    notes: Vec<(Style, String)>,
}

impl Table {
    /// A table in which these columns are aligned to the right.
    pub(super) fn new(right: &'static [usize]) -> Self {
        Table {
            rows: Vec::new(),
            right,
        }
    }

    /// Adds a row.
    pub(super) fn row<const N: usize>(&mut self, cells: [(Style, String); N]) {
        self.rows.push(Row {
            cells: cells.into(),
            notes: Vec::new(),
        });
    }

    /// Adds a sentence below the last row.
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
    /// cell, an empty one is left out; the last one is not filled up. Notes are wrapped to the
    /// `width` of the terminal.
    pub(super) fn push(&self, out: &mut String, paint: Paint, indent: usize, width: Option<usize>) {
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
            let mut line = " ".repeat(indent);
            // Blanks are written before the next cell only, so that no line ends with them.
            let mut blanks = 0;
            for (column, ((style, text), width)) in row.cells.iter().zip(&widths).enumerate() {
                if *width == 0 {
                    continue;
                }
                let missing = width - text.width();
                let (before, after) = match self.right.contains(&column) {
                    true => (missing, 0),
                    false => (0, missing),
                };
                if !text.is_empty() {
                    line.extend(std::iter::repeat_n(' ', blanks + before));
                    paint.push(&mut line, *style, text);
                    blanks = after + GAP;
                } else {
                    blanks += missing + GAP;
                }
            }
            out.push_str(&line);
            out.push('\n');
            let before = widths.iter().take(NOTES_BELOW).filter(|width| **width > 0);
            let margin = indent + before.map(|width| width + GAP).sum::<usize>();
            let columns = width.unwrap_or(NOTE_COLUMNS).min(NOTE_COLUMNS);
            for (style, text) in &row.notes {
                let text = format!("{:margin$}{text}", "");
                for line in fill(&text, margin + 2, columns).lines() {
                    paint.push(out, *style, line);
                    out.push('\n');
                }
            }
        }
    }
}

/// Blanks between columns.
const GAP: usize = 2;
/// The column that notes stand below.
const NOTES_BELOW: usize = 2;
/// Columns that notes are wrapped at.
const NOTE_COLUMNS: usize = 120;

/// Columns that sentences are wrapped at: wider lines are hard to read.
const MEASURE: usize = 100;

/// Sentences in lines of a readable width, all but the first of them indented.
pub(super) fn wrapped(text: &str, indent: usize, width: Option<usize>) -> String {
    fill(text, indent, width.unwrap_or(MEASURE).min(MEASURE))
}

fn fill(text: &str, indent: usize, width: usize) -> String {
    let margin = " ".repeat(indent);
    textwrap::fill(
        text,
        textwrap::Options::new(width.max(indent + 30))
            .subsequent_indent(&margin)
            .break_words(false),
    )
}

/// When it was, in seconds after `origin`: `0.412`.
pub(super) fn offset(at: Time, origin: Time) -> String {
    format!("{:.3}", at.since(origin).as_secs_f64())
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
        table.push(&mut out, Paint { colour: false }, 2, None);
        assert_eq!(out, "  日本  x\n  abc   y\n           below\n");
    }

    #[test]
    fn numbers_stand_below_each_other_and_no_line_ends_blank() {
        let mut table = Table::new(&[1]);
        let cell = |text: &str| (Style::Cyan, text.to_owned());
        table.row([cell("a"), cell("9"), cell("")]);
        table.row([cell("b"), cell("10"), cell("c")]);
        table.row([cell("b"), cell(""), cell("")]);
        table.row([cell(""), cell(""), cell("d")]);
        let mut out = String::new();
        table.push(&mut out, Paint { colour: false }, 0, None);
        assert_eq!(out, "a   9\nb  10  c\nb\n       d\n");
    }
}
