//! The whole screen: the views, what is drawn around them, and what keys and the mouse do.
//!
//! Nothing here reads a terminal or writes to one: see [`crate::screen`].

use std::path::PathBuf;

use buildtap_decoder::describe::{Describer, disturbs};
use buildtap_decoder::event::{TapId, Time};
use buildtap_decoder::filter::{Filter, Thing};
use buildtap_decoder::trace::{Finding, Id, Subject};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};

use crate::export;
use crate::frame;
use crate::help::Help;
use crate::keys::{self, Action};
use crate::model::{Store, ToCommand, Wait, waits};
use crate::palette::Palette;
use crate::prompt::{Prompt, Purpose};
use crate::view::{Context, Focus, Outcome, Tab, View};
use crate::views;

/// What the terminal is to do for the screen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// End.
    Quit,
    /// Put this where it can be pasted from.
    Copy(String),
    /// Hold still, or go on.
    Pause(bool),
    /// Write this text to a new file.
    Save(PathBuf, String),
    /// Write what was said on these connections, or on all if none is named, to a new capture.
    SaveCapture(PathBuf, Vec<TapId>),
    /// For the terminal of the command that runs.
    ToCommand(ToCommand),
}

/// What is said while keys go to the command.
const TYPING: &str = "keys go to the command; Ctrl-] takes them back";

/// Where the user wants to come back to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bookmark {
    tab: usize,
    focus: Focus,
    line: usize,
}

/// The screen.
pub struct App {
    views: Vec<(Tab, Box<dyn View>)>,
    tab: usize,
    bookmarks: Vec<Bookmark>,
    /// Where the cursor is to be put once the view was drawn.
    come_back: Option<usize>,
    /// Notes of the program that were told.
    noted: usize,
    /// Where we came from.
    trail: Vec<(usize, Focus)>,
    focus: Focus,
    palette: Palette,
    describer: Describer,
    help: Option<Help>,
    prompt: Option<Prompt>,
    needle: String,
    filter: Option<Filter>,
    /// Who is waited for, as of the last drawing.
    waits: Vec<Wait>,
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
            focus: Focus::default(),
            palette,
            describer,
            help: None,
            prompt: None,
            needle: String::new(),
            filter: None,
            waits: Vec::new(),
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
        self.waits = waits(store.trace(), now);
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
            let size = (places.body.width, places.body.height);
            if pane.size() != size && pane.ended().is_none() && size.1 > 0 {
                let resize = ToCommand::Resize(size.0, size.1);
                self.effects.push(Effect::ToCommand(resize));
            }
            if tab != Tab::Output {
                places.body = frame::pane(pane, self.palette, places.body, buf);
            }
        }
        if let Some((_, view)) = self.views.get_mut(self.tab) {
            let cx = Context {
                store,
                now,
                waits: &self.waits,
                focus: &self.focus,
                palette: self.palette,
                describer: &self.describer,
                needle: &self.needle,
                filter: self.filter.as_ref(),
            };
            view.draw(&cx, places.body, buf);
            if let Some(line) = self.come_back.take() {
                view.move_to(line);
                buf.set_style(places.body, ratatui::style::Style::reset());
                ratatui::widgets::Widget::render(ratatui::widgets::Clear, places.body, buf);
                view.draw(&cx, places.body, buf);
            }
            frame::header(&cx, self.paused, places.header, buf);
            self.drawn.tabs = frame::tabs(&tabs, tab, self.palette, places.tabs_line, buf);
            match (&self.prompt, &self.said) {
                (Some(prompt), _) => prompt.draw(self.palette, places.bar, buf),
                (None, Some(said)) => frame::said(said, self.palette, places.bar, buf),
                (None, None) => {
                    frame::bar(tab.title(), view.hints(), self.palette, places.bar, buf)
                }
            }
        }
        if let Some(prompt) = &self.prompt {
            prompt.advise(self.palette, places.body, buf);
        }
        if let Some(help) = &mut self.help {
            help.draw(tab.title(), self.palette, area, buf);
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
        let cx = Context {
            store,
            now,
            waits: &self.waits,
            focus: &self.focus,
            palette: self.palette,
            describer: &self.describer,
            needle: &self.needle,
            filter: self.filter.as_ref(),
        };
        Some(look(view.as_mut(), &cx))
    }

    /// A key was pressed.
    pub fn key(&mut self, event: KeyEvent, store: &Store, now: Time) {
        self.said = None;
        let runs = store.pane.as_ref().is_some_and(|it| it.ended().is_none());
        if self.typing && runs {
            match keys::bytes(event) {
                None => self.typing = false,
                Some(bytes) => {
                    self.effects.push(Effect::ToCommand(ToCommand::Type(bytes)));
                    self.say(TYPING);
                }
            }
            return;
        }
        self.typing = false;
        if let Some(prompt) = &mut self.prompt {
            // Ctrl-c leaves a prompt, too.
            let leave = event.code == KeyCode::Esc
                || (event.code == KeyCode::Char('c')
                    && event.modifiers.contains(KeyModifiers::CONTROL));
            if leave {
                self.prompt = None;
            } else if event.code == KeyCode::Enter {
                if let Some(prompt) = self.prompt.take() {
                    self.entered(&prompt, store, now);
                }
            } else {
                prompt.key(event);
            }
            return;
        }
        let Some(action) = keys::action(event, self.tab().title()) else {
            return;
        };
        self.act(action, store, now);
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

    /// Does what a key asks for.
    pub fn act(&mut self, action: Action, store: &Store, now: Time) {
        self.catch_up(store, now);
        if let Some(help) = &mut self.help {
            match action {
                Action::Help | Action::Back => self.help = None,
                Action::Quit => self.quit(store),
                _ => help.act(action),
            }
            return;
        }
        let outcome = self.with_view(store, now, |view, cx| view.act(action, cx));
        match outcome {
            None | Some(Outcome::Ignored) => self.general(action, store, now),
            Some(outcome) => self.follow(outcome, store),
        }
    }

    fn follow(&mut self, outcome: Outcome, store: &Store) {
        match outcome {
            Outcome::Ignored | Outcome::Done => {}
            Outcome::Go(tab, subject) => {
                self.leave();
                if let Some(subject) = subject {
                    self.focus.turn_to(subject, store);
                }
                self.open(tab);
            }
            Outcome::Finding(id) => self.show_finding(id),
            Outcome::Copy(text, what) => {
                self.say(format!("copied {what}"));
                self.effects.push(Effect::Copy(text));
            }
            Outcome::Say(what) => self.say(what),
        }
    }

    fn show_finding(&mut self, id: Id<Finding>) {
        self.leave();
        self.focus.finding = Some(id);
        self.open(Tab::Findings);
    }

    fn leave(&mut self) {
        const TRAIL: usize = 64;
        if self.trail.len() >= TRAIL {
            self.trail.remove(0);
        }
        self.trail.push((self.tab, self.focus));
    }

    /// Turns to what is under the cursor.
    fn take_up(&mut self, store: &Store, now: Time) -> Option<Subject> {
        let subject = self.with_view(store, now, |view, cx| view.selected(cx))??;
        self.focus.turn_to(subject, store);
        Some(subject)
    }

    fn go(&mut self, at: usize, store: &Store, now: Time) {
        if at < self.views.len() && at != self.tab {
            self.leave();
            self.take_up(store, now);
            self.tab = at;
        }
    }

    /// What a key does where the view does nothing else with it.
    fn general(&mut self, action: Action, store: &Store, now: Time) {
        let count = self.views.len() - usize::from(store.diff.is_none());
        match action {
            Action::Quit => self.quit(store),
            Action::Type if store.pane.as_ref().is_some_and(|it| it.ended().is_none()) => {
                self.typing = true;
                self.say(TYPING);
            }
            Action::Help => self.help = Some(Help::default()),
            Action::Tab(at) => self.go(at, store, now),
            Action::NextTab => self.go((self.tab + 1) % count, store, now),
            Action::PreviousTab => self.go((self.tab + count - 1) % count, store, now),
            Action::Back => {
                if !self.needle.is_empty() {
                    self.needle.clear();
                } else if self.trail.is_empty() && self.filter.take().is_some() {
                    self.say("the filter is gone");
                } else if let Some((tab, focus)) = self.trail.pop() {
                    (self.tab, self.focus) = (tab, focus);
                }
            }
            Action::Messages if self.take_up(store, now).is_some() => {
                self.leave();
                self.open(Tab::Messages);
            }
            Action::Findings => self.findings_of_selected(store, now),
            Action::Search => self.prompt = Some(Prompt::new(Purpose::Search)),
            Action::GoTo => self.prompt = Some(Prompt::new(Purpose::GoTo)),
            Action::Filter => {
                let was = self.filter.as_ref().map_or("", Filter::as_str);
                self.prompt = Some(Prompt::new(Purpose::Filter).with(was));
            }
            Action::Save => self.prompt = Some(Prompt::new(Purpose::Save)),
            Action::Bookmark => self.bookmark(store, now),
            Action::NextBookmark => self.next_bookmark(store, now),
            Action::CopyJson | Action::CopyGrpcurl => self.copy(action, store, now),
            Action::SearchNext => self.search(store, now, true),
            Action::SearchPrevious => self.search(store, now, false),
            Action::Pause => {
                self.paused = !self.paused;
                self.effects.push(Effect::Pause(self.paused));
            }
            Action::Follow => {
                let follows = self
                    .with_view(store, now, |view, _| view.follow())
                    .flatten();
                match follows {
                    Some(true) => self.say("follows what is newest"),
                    Some(false) => self.say("stays where it is"),
                    None => {}
                }
            }
            _ => {}
        }
    }

    /// Leaves, at the second time of asking while a command runs.
    fn quit(&mut self, store: &Store) {
        let runs = store.pane.as_ref().is_some_and(|it| it.ended().is_none());
        if runs && !std::mem::replace(&mut self.leaving, true) {
            self.say("the command still runs: q again ends it and leaves");
        } else {
            self.effects.push(Effect::Quit);
        }
    }

    /// Sets a bookmark, or removes it.
    fn bookmark(&mut self, store: &Store, now: Time) {
        let line = self.with_view(store, now, |view, _| view.cursor());
        let mut here = Bookmark {
            tab: self.tab,
            focus: self.focus,
            line: line.unwrap_or_default(),
        };
        if let Some(subject) = self
            .with_view(store, now, |view, cx| view.selected(cx))
            .flatten()
        {
            here.focus.turn_to(subject, store);
        }
        match self.bookmarks.iter().position(|it| *it == here) {
            Some(at) => {
                self.bookmarks.remove(at);
                self.say("the bookmark is gone");
            }
            None => {
                self.bookmarks.push(here);
                self.say(format!(
                    "bookmark {}; ' goes to the next one",
                    self.bookmarks.len()
                ));
            }
        }
    }

    fn next_bookmark(&mut self, store: &Store, now: Time) {
        let line = self.with_view(store, now, |view, _| view.cursor());
        let is_here = |it: &Bookmark| it.tab == self.tab && Some(it.line) == line;
        let here = self.bookmarks.iter().position(is_here);
        let next = here.map_or(0, |here| here + 1) % self.bookmarks.len().max(1);
        match self.bookmarks.get(next).copied() {
            None => self.say("there is no bookmark: b sets one"),
            Some(bookmark) => {
                self.leave();
                self.tab = bookmark.tab;
                self.focus = bookmark.focus;
                self.come_back = Some(bookmark.line);
                self.say(format!("bookmark {} of {}", next + 1, self.bookmarks.len()));
            }
        }
    }

    /// Copies the call under the cursor.
    fn copy(&mut self, action: Action, store: &Store, now: Time) {
        self.take_up(store, now);
        let Some(id) = self.focus.call else {
            self.say("there is no call under the cursor");
            return;
        };
        let text = self.with_view(store, now, |_, cx| {
            let call = cx.store.trace().calls.get(id)?;
            Some(match action {
                Action::CopyGrpcurl => export::grpcurl(cx, call),
                _ => export::lines(cx, std::iter::once(call)),
            })
        });
        if let Some(text) = text.flatten() {
            self.say(format!("copied call {id}"));
            self.effects.push(Effect::Copy(text));
        }
    }

    /// Saves what is shown: the call in hand where one is looked at, else all that the filter
    /// leaves.
    fn save(&mut self, path: &str, store: &Store, now: Time) {
        let name = path.trim();
        if name.is_empty() {
            return;
        }
        let path = PathBuf::from(name);
        let one = matches!(self.tab(), Tab::Messages | Tab::Transfer);
        let all = self.filter.is_none();
        let focus = self.focus.call.filter(|_| one);
        let is_capture = [".pcapng", ".pcapng.zst", ".pcapng.gz", ".pcap"];
        let is_capture = is_capture.iter().any(|ending| name.ends_with(ending));
        let effect = self.with_view(store, now, |_, cx| {
            let trace = cx.store.trace();
            let calls = trace.calls.iter().filter(|call| match focus {
                Some(focus) => call.id == focus,
                None => cx.shows(Thing::Call(call)),
            });
            if !is_capture {
                return Effect::Save(path, export::lines(cx, calls));
            }
            let mut taps = Vec::new();
            if !all || focus.is_some() {
                let connections = calls.filter_map(|call| trace.connections.get(call.connection));
                taps.extend(connections.map(|connection| connection.tap));
                taps.sort_unstable();
                taps.dedup();
            }
            Effect::SaveCapture(path, taps)
        });
        self.effects.extend(effect);
    }

    fn findings_of_selected(&mut self, store: &Store, now: Time) {
        let Some(subject) = self.take_up(store, now) else {
            return;
        };
        let about = |finding: &&Finding| {
            let mut focus = Focus::default();
            focus.turn_to(finding.subject, store);
            finding.subject == subject || (focus.call.is_some() && focus.call == self.focus.call)
        };
        match store.trace().findings.iter().find(about) {
            Some(finding) => self.show_finding(finding.id),
            None => self.say("nothing was found about it"),
        }
    }

    fn entered(&mut self, prompt: &Prompt, store: &Store, now: Time) {
        match prompt.purpose() {
            Purpose::Search => {
                self.needle = prompt.text().to_lowercase();
                self.search(store, now, true);
            }
            Purpose::GoTo => {
                let origin = store.origin();
                match crate::prompt::time(prompt.text(), origin, store.now) {
                    Some(at) => {
                        self.with_view(store, now, |view, cx| view.go_to(at, cx));
                    }
                    None => self.say("write 12.5 (seconds from the beginning), +3, -1 or 14:03:07"),
                }
            }
            Purpose::Save => self.save(prompt.text(), store, now),
            Purpose::Filter => match Filter::parse(prompt.text()) {
                Ok(_) if prompt.text().trim().is_empty() => self.filter = None,
                Ok(filter) => self.filter = Some(filter),
                Err(error) => {
                    // To be put right where it is wrong.
                    let at = error.at.start;
                    self.prompt = Some(prompt.clone().at(at));
                }
            },
        }
    }

    fn search(&mut self, store: &Store, now: Time, down: bool) {
        if self.needle.is_empty() {
            return;
        }
        let needle = self.needle.clone();
        let found = self.with_view(store, now, |view, cx| find(view, cx, &needle, down));
        if found == Some(false) {
            self.say(format!("{needle:?} is not in what is shown"));
        }
    }

    /// The mouse did something.
    pub fn mouse(&mut self, event: MouseEvent, store: &Store, now: Time) {
        let at = Position::new(event.column, event.row);
        match event.kind {
            MouseEventKind::ScrollUp => self.act(Action::Up, store, now),
            MouseEventKind::ScrollDown => self.act(Action::Down, store, now),
            MouseEventKind::Down(MouseButton::Left) => {
                self.said = None;
                if self.help.take().is_some() {
                    return;
                }
                let tab = self.drawn.tabs.iter().position(|tab| tab.contains(at));
                if let Some(tab) = tab {
                    self.go(tab, store, now);
                    return;
                }
                let body = self.drawn.body;
                if body.contains(at) {
                    let at = Position::new(at.x - body.x, at.y - body.y);
                    let outcome = self.with_view(store, now, |view, cx| view.click(at, cx));
                    if let Some(outcome) = outcome {
                        self.follow(outcome, store);
                    }
                }
            }
            _ => {}
        }
    }
}

/// Puts the cursor on the next line that has `needle` in it; false if there is none.
fn find(view: &mut dyn View, cx: &Context<'_>, needle: &str, down: bool) -> bool {
    let lines = view.lines(cx);
    let start = view.cursor();
    for step in 1..=lines {
        let line = match down {
            true => (start + step) % lines,
            false => (start + lines - step % lines) % lines,
        };
        if view.line(cx, line).to_lowercase().contains(needle) {
            view.move_to(line);
            return true;
        }
    }
    false
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
