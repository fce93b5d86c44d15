//! Texts on the screen: safe, as wide as they are seen, and short words for numbers and times.
//!
//! Everything that comes off a wire goes through [`Pen`], which escapes what could disturb a
//! terminal.

use std::borrow::Cow;
use std::time::Duration;

use buildtap_decoder::describe::printable;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Writes on one line, from left to right, and no further than its end.
#[derive(Debug)]
pub struct Pen<'a> {
    buf: &'a mut Buffer,
    x: u16,
    y: u16,
    end: u16,
}

impl<'a> Pen<'a> {
    /// A pen at the beginning of line `line` of `area`. What is beyond it is not written.
    pub fn new(buf: &'a mut Buffer, area: Rect, line: u16) -> Self {
        let is_in = line < area.height;
        let inside = area.intersection(buf.area);
        Pen {
            buf,
            x: area.x,
            y: area.y.saturating_add(line),
            end: match is_in {
                true => inside.right(),
                false => area.x,
            },
        }
    }

    /// How many columns are left.
    pub fn room(&self) -> u16 {
        self.end.saturating_sub(self.x)
    }

    /// The column that is written next.
    pub fn column(&self) -> u16 {
        self.x
    }

    /// Writes `text`, cut with `…` if there is no room for all of it.
    pub fn put(&mut self, text: &str, style: Style) -> &mut Self {
        let text = printable(text);
        let text = fit(&text, self.room().into());
        if !text.is_empty() && self.y < self.buf.area.bottom() {
            let room = self.room().into();
            (self.x, _) = self.buf.set_stringn(self.x, self.y, &*text, room, style);
        }
        self
    }

    /// Writes `text` in a column of `width`, at its left.
    pub fn left(&mut self, text: &str, width: u16, style: Style) -> &mut Self {
        let end = self.x.saturating_add(width).min(self.end);
        let was = std::mem::replace(&mut self.end, end);
        self.put(text, style);
        self.x = end;
        self.end = was;
        self
    }

    /// Writes `text` in a column of `width`, at its right.
    pub fn right(&mut self, text: &str, width: u16, style: Style) -> &mut Self {
        let text = printable(text);
        let text = fit(&text, width.min(self.room()).into());
        let before = usize::from(width).saturating_sub(columns(&text));
        self.skip(u16::try_from(before).unwrap_or_default());
        let start = self.x;
        self.put(&text, style);
        self.x = self.x.max(start);
        self
    }

    /// Leaves columns empty.
    pub fn skip(&mut self, columns: u16) -> &mut Self {
        self.x = self.x.saturating_add(columns).min(self.end);
        self
    }

    /// Goes on at this column of the screen, if it is not behind.
    pub fn go_to(&mut self, column: u16) -> &mut Self {
        self.x = self.x.max(column).min(self.end);
        self
    }
}

/// How many columns a text takes.
pub fn columns(text: &str) -> usize {
    text.width()
}

/// As much of `text` as there is room for, with `…` at the end if that is not all.
pub fn fit(text: &str, room: usize) -> Cow<'_, str> {
    if columns(text) <= room {
        return Cow::Borrowed(text);
    }
    let Some(before) = room.checked_sub(1) else {
        return Cow::Borrowed("");
    };
    let mut taken = 0;
    let mut short = String::with_capacity(room + 4);
    for c in text.chars() {
        taken += c.width().unwrap_or(0);
        if taken > before {
            break;
        }
        short.push(c);
    }
    short.push('…');
    Cow::Owned(short)
}

/// The same of a path, of which the end matters more.
pub fn fit_path(path: &str, room: usize) -> Cow<'_, str> {
    if columns(path) <= room {
        return Cow::Borrowed(path);
    }
    let mut taken = 1;
    let mut start = path.len();
    for (at, c) in path.char_indices().rev() {
        taken += c.width().unwrap_or(0);
        if taken > room {
            break;
        }
        start = at;
    }
    Cow::Owned(format!("…{}", path.get(start..).unwrap_or_default()))
}

/// `text` in lines of at most `room` columns, broken between words where that can be.
pub fn wrap(text: &str, room: usize) -> Vec<String> {
    let text = printable(text);
    let room = room.max(1);
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split(' ') {
        let mut word = word;
        loop {
            let gap = usize::from(!line.is_empty());
            if columns(&line) + gap + columns(word) <= room {
                if gap == 1 {
                    line.push(' ');
                }
                line.push_str(word);
                break;
            }
            if !line.is_empty() {
                lines.push(std::mem::take(&mut line));
                continue;
            }
            // A word longer than a line.
            let mut taken = 0;
            let end = word.char_indices().find(|(_, c)| {
                taken += c.width().unwrap_or(0);
                taken > room
            });
            let end = end.map_or(word.len(), |(at, _)| at);
            let first = word.chars().next().map_or(0, char::len_utf8);
            let (head, rest) = word.split_at(end.max(first));
            lines.push(head.to_owned());
            word = rest;
            if word.is_empty() {
                break;
            }
        }
    }
    if !line.is_empty() || lines.is_empty() {
        lines.push(line);
    }
    lines
}

/// `312 B`, `12.4 KiB`, `260 KiB`, `1.2 GiB`: in at most eight columns.
pub fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut value = bytes as f64;
    let mut unit = "B";
    for next in UNITS {
        if value < 1023.5 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    match unit {
        "B" => format!("{bytes} B"),
        _ if value >= 99.95 => format!("{value:.0} {unit}"),
        _ => format!("{value:.1} {unit}"),
    }
}

/// `850 µs`, `12 ms`, `1.42 s`, `3m05s`, `2h10m`: a time that passed, in at most seven columns.
pub fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 if duration.as_micros() < 1000 => format!("{} µs", duration.as_micros()),
        0 => format!("{} ms", duration.as_millis()),
        1..10 => format!("{:.2} s", duration.as_secs_f64()),
        10..60 => format!("{:.1} s", duration.as_secs_f64()),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds / 3600 % 24),
    }
}

/// `1 file`, `3 files`, `1,234 entries`.
pub fn count(n: u64, one: &str) -> String {
    let name = match one {
        _ if n == 1 => one.to_owned(),
        _ if one.ends_with('y') => format!("{}ies", one.trim_end_matches('y')),
        _ => format!("{one}s"),
    };
    format!("{} {name}", thousands(n))
}

/// `1,234,567`.
pub fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_where_there_is_no_room() {
        assert_eq!(fit("plain", 5), "plain");
        assert_eq!(fit("plainer", 5), "plai…");
        assert_eq!(fit("日本語", 5), "日本…");
        assert_eq!(fit("日本語", 4), "日…");
        assert_eq!(fit("x", 0), "");
        assert_eq!(fit_path("a/long/path.rs", 8), "…path.rs");
    }

    #[test]
    fn texts_are_wrapped_between_words() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("abcdefgh i", 3), ["abc", "def", "gh", "i"]);
        assert_eq!(wrap("日本語", 1), ["日", "本", "語"]);
        assert_eq!(wrap("", 10), [""]);
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1024 * 1024), "1.0 MiB");
        assert_eq!(thousands(1_234_567), "1,234,567");
        assert_eq!(count(2, "entry"), "2 entries");
        assert_eq!(duration(Duration::from_millis(61_500)), "1m01s");
    }

    #[test]
    fn a_pen_does_not_leave_its_line() {
        let mut buf = Buffer::empty(Rect::new(0, 0, 10, 1));
        let area = Rect::new(2, 0, 6, 1);
        let plain = Style::new();
        Pen::new(&mut buf, area, 0).put("a\u{1b}[2Jbcdefgh", plain);
        Pen::new(&mut buf, area, 1).put("beyond", plain);
        let line: String = buf.content.iter().map(|cell| cell.symbol()).collect();
        assert_eq!(line, "  a\\u{1…  ");
        Pen::new(&mut buf, area, 0)
            .right("1", 3, plain)
            .put("2", plain);
        let line: String = buf.content.iter().map(|cell| cell.symbol()).collect();
        assert_eq!(line, "  a\\121…  ");
    }
}
