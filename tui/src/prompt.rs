//! A line that is typed: what to search for, a filter, a time.

use std::time::Duration;

use buildtap_decoder::event::Time;
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::palette::Palette;
use crate::text::Pen;

/// What is typed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To search for it.
    Search,
    /// To show only what fits.
    Filter,
    /// To go to that time.
    GoTo,
}

impl Purpose {
    fn title(self) -> &'static str {
        match self {
            Purpose::Search => "search: ",
            Purpose::Filter => "filter: ",
            Purpose::GoTo => "go to time: ",
        }
    }
}

/// A line that is being typed.
#[derive(Clone, Debug)]
pub struct Prompt {
    purpose: Purpose,
    text: String,
    /// Where the cursor stands, in bytes.
    cursor: usize,
}

impl Prompt {
    /// An empty line.
    pub fn new(purpose: Purpose) -> Self {
        Prompt {
            purpose,
            text: String::new(),
            cursor: 0,
        }
    }

    /// The same with something in it.
    pub fn with(self, text: &str) -> Self {
        Prompt {
            text: text.to_owned(),
            cursor: text.len(),
            ..self
        }
    }

    /// What it is typed for.
    pub fn purpose(&self) -> Purpose {
        self.purpose
    }

    /// What was typed.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Where the cursor stands, in bytes.
    pub fn cursor(&self) -> usize {
        self.cursor
    }

    /// Puts `text` where the bytes of `range` stand, and the cursor behind it.
    pub fn replace(&mut self, range: std::ops::Range<usize>, text: &str) {
        if self.text.get(range.clone()).is_some() {
            self.cursor = range.start + text.len();
            self.text.replace_range(range, text);
        }
    }

    /// A key was pressed.
    pub fn key(&mut self, event: KeyEvent) {
        let control = event.modifiers.contains(KeyModifiers::CONTROL);
        match event.code {
            KeyCode::Char('u') if control => {
                self.text.drain(..self.cursor);
                self.cursor = 0;
            }
            KeyCode::Char('w') if control => {
                let before = self.text.get(..self.cursor).unwrap_or_default();
                let kept = before.trim_end();
                let start = kept.rfind(' ').map_or(0, |at| at + 1);
                self.replace(start..self.cursor, "");
            }
            KeyCode::Char('a') if control => self.cursor = 0,
            KeyCode::Char('e') if control => self.cursor = self.text.len(),
            KeyCode::Char(_) if control => {}
            KeyCode::Char(c) => {
                self.text.insert(self.cursor, c);
                self.cursor += c.len_utf8();
            }
            KeyCode::Backspace => {
                let before = self.before();
                self.replace(before..self.cursor, "");
            }
            KeyCode::Delete => {
                let cursor = self.cursor;
                let behind = self.behind();
                self.replace(cursor..behind, "");
            }
            KeyCode::Left => self.cursor = self.before(),
            KeyCode::Right => self.cursor = self.behind(),
            KeyCode::Home => self.cursor = 0,
            KeyCode::End => self.cursor = self.text.len(),
            _ => {}
        }
    }

    fn before(&self) -> usize {
        let before = self.text.get(..self.cursor).unwrap_or_default();
        let last = before.chars().next_back().map_or(0, char::len_utf8);
        self.cursor - last
    }

    fn behind(&self) -> usize {
        let behind = self.text.get(self.cursor..).unwrap_or_default();
        let next = behind.chars().next().map_or(0, char::len_utf8);
        self.cursor + next
    }

    /// Draws it on one line.
    pub fn draw(&self, palette: Palette, area: Rect, buf: &mut Buffer) {
        let mut pen = Pen::new(buf, area, 0);
        let (before, behind) = self.text.split_at(self.cursor);
        let mut behind = behind.chars();
        let under = behind.next().map_or(" ".to_owned(), String::from);
        pen.put(" ", palette.plain())
            .put(self.purpose.title(), palette.accent())
            .put(before, palette.plain())
            .put(&under, palette.cursor())
            .put(behind.as_str(), palette.plain());
    }
}

/// The time that a person means: `12.5` seconds after `origin`, `-3` before the end, `14:03:07`
/// on the (UTC) day of `origin`.
pub fn time(text: &str, origin: Time, end: Time) -> Option<Time> {
    let text = text.trim();
    let seconds = |text: &str| {
        let seconds: f64 = text.trim().trim_end_matches('s').trim_end().parse().ok()?;
        Duration::try_from_secs_f64(seconds).ok()
    };
    if let Some(back) = text.strip_prefix('-') {
        let back = u64::try_from(seconds(back)?.as_nanos()).ok()?;
        return Some(Time(end.0.saturating_sub(back)));
    }
    if text.contains(':') {
        const DAY: u64 = 86_400;
        let mut parts = text.split(':').map(|part| part.parse::<f64>().ok());
        let (hours, minutes) = (parts.next()??, parts.next()??);
        let rest = parts.next().unwrap_or(Some(0.0))?;
        let of_day = Duration::try_from_secs_f64(hours * 3600.0 + minutes * 60.0 + rest).ok()?;
        let midnight = origin.0 / (DAY * 1_000_000_000) * DAY * 1_000_000_000;
        return Some(Time(midnight).after(of_day));
    }
    Some(origin.after(seconds(text.trim_start_matches('+'))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_edited() {
        let mut prompt = Prompt::new(Purpose::Search);
        let mut press = |code, modifiers| prompt.key(KeyEvent::new(code, modifiers));
        for c in "naïve x".chars() {
            press(KeyCode::Char(c), KeyModifiers::NONE);
        }
        press(KeyCode::Char('w'), KeyModifiers::CONTROL);
        press(KeyCode::Backspace, KeyModifiers::NONE);
        press(KeyCode::Left, KeyModifiers::NONE);
        press(KeyCode::Left, KeyModifiers::NONE);
        press(KeyCode::Backspace, KeyModifiers::NONE);
        assert_eq!((prompt.text(), prompt.cursor()), ("nave", 2));
    }

    #[test]
    fn times_as_people_write_them() {
        let (origin, end) = (Time(1_000_000_000_000), Time(1_010_000_000_000));
        assert_eq!(time("1.5", origin, end), Some(Time(1_001_500_000_000)));
        assert_eq!(time("+2s", origin, end), Some(Time(1_002_000_000_000)));
        assert_eq!(time("-1", origin, end), Some(Time(1_009_000_000_000)));
        assert_eq!(time("00:16:41", origin, end), Some(Time(1_001_000_000_000)));
        assert_eq!(time("soon", origin, end), None);
        assert_eq!(time("1e300", origin, end), None);
    }
}
