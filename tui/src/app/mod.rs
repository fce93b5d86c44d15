//! The whole screen: the views, what is drawn around them, and what keys and the mouse do.
//!
//! Nothing here reads a terminal or writes to one: see [`crate::screen`].

mod acting;
mod bookmarks;
mod taking;

use std::path::PathBuf;

use buildtap_decoder::describe::{Describer, disturbs};
use buildtap_decoder::event::{TapId, Time};
use buildtap_decoder::filter::Filter;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use self::bookmarks::{Bookmark, Place};
use crate::frame;
use crate::help::Help;
use crate::model::{SMALLEST, Store, ToCommand, Wait, waits};
use crate::palette::Palette;
use crate::prompt::Prompt;
use crate::view::{Context, Focus, Tab, View};
use crate::views;

/// What the terminal is to do for the screen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// End.
    Quit,
    /// Put this where it can be pasted from.
    Copy(String),
    /// Read the bytes of these messages again, by their places among all.
    Recall(Vec<u64>),
    /// Hold still, or go on.
    Pause(bool),
    /// Write this text to a new file.
    Save(PathBuf, String),
    /// Write what was said on these connections, or on all if none is named, to a new capture.
    SaveCapture(PathBuf, Vec<TapId>),
    /// For the terminal of the command that runs.
    ToCommand(ToCommand),
}

/// What views are drawn with, beside the store.
struct Sight {
    /// Who is waited for, as of the last drawing.
    waits: Vec<Wait>,
    focus: Focus,
    palette: Palette,
    describer: Describer,
    needle: String,
    filter: Option<Filter>,
}

impl Sight {
    fn context<'a>(&'a self, store: &'a Store, now: Time) -> Context<'a> {
        Context {
            store,
            now,
            waits: &self.waits,
            focus: &self.focus,
            palette: self.palette,
            describer: &self.describer,
            needle: &self.needle,
            filter: self.filter.as_ref(),
        }
    }
}

/// The screen.
pub struct App {
    views: Vec<(Tab, Box<dyn View>)>,
    tab: usize,
    bookmarks: Vec<Bookmark>,
    /// Where the cursor is to be put once the view was drawn.
    come_back: Option<Place>,
    /// Notes of the program that were told.
    noted: usize,
    /// Where we came from.
    trail: Vec<(usize, Focus)>,
    sight: Sight,
    help: Option<Help>,
    prompt: Option<Prompt>,
    /// What is said in the bar until the next key.
    said: Option<String>,
    paused: bool,
    /// Whether keys go to the command.
    typing: bool,
    /// Whether leaving was asked for once while the command runs.
    leaving: bool,
    /// The view that was drawn last: another one does not know yet what it shows.
    drawn_tab: Option<usize>,
    /// Where things were drawn: for the mouse.
    drawn: frame::Places,
    effects: Vec<Effect>,
}

impl App {
    /// A screen with all views; `describer` puts messages into words.
    pub fn new(describer: Describer, palette: Palette) -> Self {
        App {
            views: views::all(),
            tab: 0,
            bookmarks: Vec::new(),
            come_back: None,
            noted: 0,
            trail: Vec::new(),
            sight: Sight {
                waits: Vec::new(),
                focus: Focus::default(),
                palette,
                describer,
                needle: String::new(),
                filter: None,
            },
            help: None,
            prompt: None,
            said: None,
            paused: false,
            typing: false,
            leaving: false,
            drawn_tab: None,
            drawn: frame::Places::default(),
            effects: Vec::new(),
        }
    }

    /// Shows this view.
    pub fn open(&mut self, tab: Tab) {
        if let Some(at) = self.views.iter().position(|(it, _)| *it == tab) {
            self.tab = at;
        }
    }

    /// The view that is shown.
    pub fn tab(&self) -> Tab {
        self.views
            .get(self.tab)
            .map_or(Tab::Overview, |(tab, _)| *tab)
    }

    /// What the terminal is to do, since this was last asked.
    pub fn effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    /// Says something in the bar.
    pub fn say(&mut self, what: impl Into<String>) {
        self.said = Some(what.into());
    }

    /// Draws everything, at `now`.
    pub fn draw(&mut self, store: &Store, now: Time, area: Rect, buf: &mut Buffer) {
        self.sight.waits = waits(store.trace(), now);
        self.drawn_tab = Some(self.tab);
        // What the program has to say is said in the bar, too.
        if let Some(note) = store.notes.get(self.noted..).and_then(<[String]>::last) {
            self.noted = store.notes.len();
            if !store.trace().connections.is_empty() {
                self.said = Some(note.clone());
            }
        }
        // There is nothing to compare most of the time.
        let open = self.tab();
        let tabs = self.views.iter().map(|(tab, _)| *tab);
        let tabs = tabs.filter(|tab| *tab != Tab::Diff || store.diff.is_some() || *tab == open);
        let tabs: Vec<Tab> = tabs.collect();
        let mut places = frame::places(area);
        let tab = self.tab();
        if let Some(pane) = &store.pane {
            // As large as the view in which it stands alone.
            let size = (
                places.body.width.max(SMALLEST),
                places.body.height.max(SMALLEST),
            );
            if pane.size() != size && pane.ended().is_none() {
                let resize = ToCommand::Resize(size.0, size.1);
                self.effects.push(Effect::ToCommand(resize));
            }
            if tab != Tab::Output {
                places.body = frame::pane(pane, self.sight.palette, places.body, buf);
            }
        }
        if let Some((_, view)) = self.views.get_mut(self.tab) {
            let cx = self.sight.context(store, now);
            view.draw(&cx, places.body, buf);
            let place = self.come_back.take();
            if let Some(line) = place.and_then(|place| place.find(view.as_ref(), &cx)) {
                view.move_to(line);
                buf.set_style(places.body, ratatui::style::Style::reset());
                ratatui::widgets::Widget::render(ratatui::widgets::Clear, places.body, buf);
                view.draw(&cx, places.body, buf);
            }
            frame::header(&cx, self.paused, places.header, buf);
            self.drawn.tabs = frame::tabs(&tabs, tab, self.sight.palette, places.tabs_line, buf);
            match (&self.prompt, &self.said) {
                (Some(prompt), _) => prompt.draw(self.sight.palette, places.bar, buf),
                (None, Some(said)) => frame::said(said, self.sight.palette, places.bar, buf),
                (None, None) => frame::bar(
                    tab.title(),
                    view.hints(),
                    self.sight.palette,
                    places.bar,
                    buf,
                ),
            }
        }
        if let Some(prompt) = &self.prompt {
            prompt.advise(self.sight.palette, places.body, buf);
        }
        if let Some(help) = &mut self.help {
            help.draw(tab.title(), self.sight.palette, area, buf);
        }
        let tabs = std::mem::take(&mut self.drawn.tabs);
        self.drawn = frame::Places { tabs, ..places };
        mend(buf);
    }

    fn with_view<R>(
        &mut self,
        store: &Store,
        now: Time,
        look: impl FnOnce(&mut dyn View, &Context<'_>) -> R,
    ) -> Option<R> {
        let (_, view) = self.views.get_mut(self.tab)?;
        let cx = self.sight.context(store, now);
        Some(look(view.as_mut(), &cx))
    }

    /// Lets a view that was not drawn yet find out what it shows: keys may come faster than
    /// pictures.
    fn catch_up(&mut self, store: &Store, now: Time) {
        if self.drawn_tab == Some(self.tab) {
            return;
        }
        let area = self.drawn.body;
        self.drawn_tab = Some(self.tab);
        self.with_view(store, now, |view, cx| {
            view.draw(cx, area, &mut Buffer::empty(area));
        });
    }
}

/// The last guard in front of the terminal: whatever a view does, no character that disturbs it
/// is in a cell.
fn mend(buf: &mut Buffer) {
    for cell in &mut buf.content {
        if cell.symbol().contains(disturbs) {
            cell.set_symbol("?");
        }
    }
}
