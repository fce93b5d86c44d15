//! Colours: those of the terminal, by what they mean. No meaning is in a colour alone.

use buildtap_decoder::event::Side;
use buildtap_decoder::trace::Severity;
use ratatui::style::{Color, Modifier, Style};

/// The styles of everything on the screen.
///
/// Only the sixteen colours that a terminal's user chose are used, so that it is legible on dark
/// and on light; without colours, attributes and words remain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Palette {
    colour: bool,
}

impl Palette {
    /// With colours, or without.
    pub fn new(colour: bool) -> Self {
        Palette { colour }
    }

    /// As the user wants it: `NO_COLOR` (<https://no-color.org>).
    pub fn of_process() -> Self {
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Palette { colour: !unwanted }
    }

    /// Whether there are colours.
    pub fn has_colour(self) -> bool {
        self.colour
    }

    fn fg(self, colour: Color) -> Style {
        match self.colour {
            true => Style::new().fg(colour),
            false => Style::new(),
        }
    }

    /// Text.
    pub fn plain(self) -> Style {
        Style::new()
    }

    /// What matters less.
    pub fn dim(self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    /// What matters more.
    pub fn strong(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// Headings of columns and sections.
    pub fn heading(self) -> Style {
        self.fg(Color::Blue).add_modifier(Modifier::BOLD)
    }

    /// The row under the cursor.
    pub fn cursor(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    /// The tab that is open, a key.
    pub fn accent(self) -> Style {
        self.fg(Color::Cyan).add_modifier(Modifier::BOLD)
    }

    /// Went well.
    pub fn good(self) -> Style {
        self.fg(Color::Green)
    }

    /// Goes on, or may be the cause of trouble.
    pub fn busy(self) -> Style {
        self.fg(Color::Yellow)
    }

    /// Went wrong.
    pub fn bad(self) -> Style {
        self.fg(Color::Red).add_modifier(Modifier::BOLD)
    }

    /// What was searched for.
    pub fn found(self) -> Style {
        self.fg(Color::Yellow)
            .add_modifier(Modifier::UNDERLINED | Modifier::BOLD)
    }

    /// A side.
    pub fn side(self, side: Side) -> Style {
        match side {
            Side::Client => self.fg(Color::Cyan),
            Side::Daemon => self.fg(Color::Magenta),
        }
    }

    /// How bad it is.
    pub fn severity(self, severity: Severity) -> Style {
        match severity {
            Severity::Error => self.bad(),
            Severity::Warning => self.busy(),
            Severity::Info => self.dim(),
        }
    }
}
