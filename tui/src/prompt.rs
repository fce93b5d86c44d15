//! A line that is typed: what to search for, a filter, a time.

use std::time::Duration;

use buildtap_decoder::describe::printable;
use buildtap_decoder::event::Time;
use buildtap_decoder::filter::{Filter, complete};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::widgets::{Clear, Widget};

use crate::palette::Palette;
use crate::text::{Pen, columns};
use crate::widgets::rule;

/// What is typed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To search for it.
    Search,
    /// To show only what fits.
    Filter,
    /// To go to that time.
    GoTo,
    /// To save what is shown under that name.
    Save,
}

impl Purpose {
    fn title(self) -> &'static str {
        match self {
            Purpose::Search => "search: ",
            Purpose::Filter => "filter: ",
            Purpose::GoTo => "go to time: ",
            Purpose::Save => "save as NAME.jsonl or NAME.pcapng: ",
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

    /// The same with the cursor at this byte.
    pub fn at(self, cursor: usize) -> Self {
        let cursor = match self.text.is_char_boundary(cursor) {
            true => cursor,
            false => self.text.len(),
        };
        Prompt { cursor, ..self }
    }

    /// Writes what may come next: what most of it begins with, or the first.
    fn complete(&mut self) {
        let candidates = complete(&self.text, self.cursor);
        let Some(first) = candidates.first() else {
            return;
        };
        let common = candidates.iter().fold(first.text.clone(), |common, it| {
            let same = common
                .chars()
                .zip(it.text.chars())
                .take_while(|(a, b)| a == b);
            same.map(|(c, _)| c).collect()
        });
        let text = match (candidates.len(), common.len() > first.replaces.len()) {
            (1, _) => format!("{} ", first.text),
            (_, true) => common,
            (_, false) => return,
        };
        self.replace(first.replaces.clone(), &text);
    }

    /// Draws what is wrong with a filter, and what may come next, at the bottom of `area`.
    pub fn advise(&self, palette: Palette, area: Rect, buf: &mut Buffer) {
        const CANDIDATES: usize = 8;
        if self.purpose != Purpose::Filter {
            return;
        }
        let error = Filter::parse(&self.text).err();
        let candidates = complete(&self.text, self.cursor);
        let shown = candidates.iter().take(CANDIDATES);
        let lines = (shown.len() + usize::from(error.is_some()) + 1) as u16;
        let lines = lines.min(area.height);
        let below = Rect {
            y: area.bottom() - lines,
            height: lines,
            ..area
        };
        Clear.render(below, buf);
        let title = match candidates.len() {
            0 => "filter".to_owned(),
            all if all > CANDIDATES => format!("filter: Tab completes, {all} may come next"),
            _ => "filter: Tab completes".to_owned(),
        };
        rule(buf, below, 0, &title, palette);
        for (line, candidate) in (1..).zip(shown) {
            let mut pen = Pen::new(buf, below, line);
            pen.put("   ", palette.plain())
                .left(&candidate.text, 16, palette.accent())
                .put(candidate.help, palette.dim());
        }
        if let Some(error) = error {
            // The place is marked right above it in the line that is typed.
            let before = self.text.get(..error.at.start).unwrap_or_default();
            let before = columns(&printable(before)) + columns(self.purpose.title()) + 1;
            let wrong = self.text.get(error.at.clone()).unwrap_or_default();
            let mark = "^".repeat(columns(&printable(wrong)).max(1));
            let text = format!("{mark} {error}");
            // What does not fit behind it stands as far left as it must.
            let most = usize::from(below.width).saturating_sub(columns(&text));
            let at = before.min(most.max(before.min(usize::from(below.width / 2))));
            Pen::new(buf, below, lines - 1)
                .skip(u16::try_from(at).unwrap_or(u16::MAX))
                .put(&text, palette.bad());
        }
    }

    /// A key was pressed.
    pub fn key(&mut self, event: KeyEvent) {
        let control = event.modifiers.contains(KeyModifiers::CONTROL);
        match event.code {
            KeyCode::Tab if self.purpose == Purpose::Filter => self.complete(),
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
