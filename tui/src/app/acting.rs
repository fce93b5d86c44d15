//! What keys and the mouse do.

use buildtap_decoder::event::Time;
use buildtap_decoder::filter::Filter;
use buildtap_decoder::trace::{Finding, Id, Subject};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use ratatui::layout::Position;

use super::{App, Effect};
use crate::help::Help;
use crate::keys::{self, Action};
use crate::model::{Store, ToCommand};
use crate::prompt::{Prompt, Purpose};
use crate::view::{Context, Focus, Outcome, Tab, View};

/// What is said while keys go to the command.
const TYPING: &str = "keys go to the command; Ctrl-] takes them back";

impl App {
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
                    self.sight.focus.turn_to(subject, store);
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
        self.sight.focus.finding = Some(id);
        self.open(Tab::Findings);
    }

    pub(super) fn leave(&mut self) {
        const TRAIL: usize = 64;
        if self.trail.len() >= TRAIL {
            self.trail.remove(0);
        }
        self.trail.push((self.tab, self.sight.focus));
    }

    /// Turns to what is under the cursor.
    pub(super) fn take_up(&mut self, store: &Store, now: Time) -> Option<Subject> {
        let subject = self.with_view(store, now, |view, cx| view.selected(cx))??;
        self.sight.focus.turn_to(subject, store);
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
                if !self.sight.needle.is_empty() {
                    self.sight.needle.clear();
                } else if self.trail.is_empty() && self.sight.filter.take().is_some() {
                    self.say("the filter is gone");
                } else if let Some((tab, focus)) = self.trail.pop() {
                    (self.tab, self.sight.focus) = (tab, focus);
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
                let was = self.sight.filter.as_ref().map_or("", Filter::as_str);
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

    fn findings_of_selected(&mut self, store: &Store, now: Time) {
        let Some(subject) = self.take_up(store, now) else {
            return;
        };
        let about = |finding: &&Finding| {
            let mut focus = Focus::default();
            focus.turn_to(finding.subject, store);
            finding.subject == subject
                || (focus.call.is_some() && focus.call == self.sight.focus.call)
        };
        match store.trace().findings.iter().find(about) {
            Some(finding) => self.show_finding(finding.id),
            None => self.say("nothing was found about it"),
        }
    }

    fn entered(&mut self, prompt: &Prompt, store: &Store, now: Time) {
        match prompt.purpose() {
            Purpose::Search => {
                self.sight.needle = prompt.text().to_lowercase();
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
                Ok(_) if prompt.text().trim().is_empty() => self.sight.filter = None,
                Ok(filter) => self.sight.filter = Some(filter),
                Err(error) => {
                    // To be put right where it is wrong.
                    let at = error.at.start;
                    self.prompt = Some(prompt.clone().at(at));
                }
            },
        }
    }

    fn search(&mut self, store: &Store, now: Time, down: bool) {
        if self.sight.needle.is_empty() {
            return;
        }
        let needle = self.sight.needle.clone();
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
