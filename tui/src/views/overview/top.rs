//! What the first screen says first: who is waited for, and what is wrong.

use buildtap_decoder::findings;
use buildtap_decoder::trace::{CallState, Finding, Id, Severity, Subject, Trace, TransferState};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::keys::Action;
use crate::model::Wait;
use crate::text::{Pen, columns, count, duration, wrap};
use crate::view::Context;
use crate::widgets::{List, rule};
use crate::words;

/// Entries that are seen at once.
const SEEN: u16 = 5;
/// From which height on there is room for more about one of them.
const ROOMY: u16 = 16;

/// The lines at the top, and where the user stands in them.
#[derive(Debug, Default)]
pub(super) struct Top {
    entries: Vec<Entry>,
    list: List,
    /// Which entry is on which line, as it was drawn last.
    drawn: Vec<Option<usize>>,
}

/// An entry.
#[derive(Clone, Debug)]
enum Entry {
    /// Somebody is waited for.
    Wait(Box<Wait>),
    /// Something is wrong for which nobody is waited.
    Finding(Id<Finding>),
}

impl Top {
    /// Looks who is waited for, and what is wrong: what stands still first, then what went wrong,
    /// the first of it first, then who is waited for not long enough to be wrong.
    pub(super) fn update(&mut self, cx: &Context<'_>) {
        let trace = cx.store.trace();
        let (stalled, waiting): (Vec<&Wait>, Vec<&Wait>) =
            cx.waits.iter().partition(|wait| wait.finding.is_some());
        let is_told = |finding: &Finding| {
            stalled.iter().any(|wait| {
                wait.finding == Some(finding.id) || wait.is_about(trace, finding.subject)
            })
        };
        let wrong = trace.findings.iter().filter(|finding| {
            finding.severity != Severity::Info && lasts(cx, finding) && !is_told(finding)
        });
        let wrong: Vec<Entry> = wrong.map(|finding| Entry::Finding(finding.id)).collect();
        let entry = |wait: &&Wait| Entry::Wait(Box::new((*wait).clone()));
        self.entries.clear();
        self.entries.extend(stalled.iter().map(entry));
        self.entries.extend(wrong);
        self.entries.extend(waiting.iter().map(entry));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn list(&mut self) -> &mut List {
        &mut self.list
    }

    /// Moves as a key asks; false if it asks for something else.
    pub(super) fn act(&mut self, action: Action) -> bool {
        self.list.act(action, self.entries.len())
    }

    /// Whether the cursor is on the last entry.
    pub(super) fn is_at_end(&self) -> bool {
        self.list.selected() + 1 >= self.entries.len()
    }

    fn entry(&self) -> Option<&Entry> {
        self.entries.get(self.list.selected())
    }

    /// What the entry under the cursor is about.
    pub(super) fn subject(&self, trace: &Trace) -> Option<Subject> {
        match self.entry()? {
            Entry::Wait(wait) => Some(wait.subject),
            Entry::Finding(id) => trace.findings.get(*id).map(|finding| finding.subject),
        }
    }

    /// The finding that the entry under the cursor is, or that says so.
    pub(super) fn finding(&self) -> Option<Id<Finding>> {
        match self.entry()? {
            Entry::Wait(wait) => wait.finding,
            Entry::Finding(id) => Some(*id),
        }
    }

    /// Whether the entry under the cursor is a finding, and nobody is waited for.
    pub(super) fn is_finding(&self) -> bool {
        matches!(self.entry(), Some(Entry::Finding(_)))
    }

    /// The entry that is seen on this line.
    pub(super) fn at_line(&self, line: u16) -> Option<usize> {
        *self.drawn.get(usize::from(line))?
    }

    /// Draws it at the top of `area`; gives how many lines it took. `active`: the cursor is in it.
    pub(super) fn draw(
        &mut self,
        cx: &Context<'_>,
        active: bool,
        area: Rect,
        buf: &mut Buffer,
    ) -> u16 {
        rule(buf, area, 0, &self.title(), cx.palette);
        self.drawn.clear();
        self.drawn.push(None);
        let most = (area.height / 4).clamp(1, SEEN);
        let window = self.list.window(self.entries.len(), most.into());
        // More is said of the one under the cursor.
        let told = match (active, area.height >= ROOMY) {
            (_, false) => None,
            (true, true) => Some(self.list.selected()),
            (false, true) => Some(window.start),
        };
        let mut line = 1;
        for at in window {
            let Some(entry) = self.entries.get(at) else {
                continue;
            };
            headline(cx, entry, area, line, buf);
            if active && at == self.list.selected() {
                let here = Rect {
                    y: area.y + line,
                    height: 1,
                    ..area
                };
                buf.set_style(here.intersection(area), cx.palette.cursor());
            }
            self.drawn.push(Some(at));
            line += 1;
            if told == Some(at) {
                for text in more(cx, entry, area) {
                    Pen::new(buf, area, line)
                        .put(INDENT, cx.palette.plain())
                        .put(&text, cx.palette.dim());
                    self.drawn.push(Some(at));
                    line += 1;
                }
            }
        }
        line.min(area.height)
    }

    fn title(&self) -> String {
        let mut waits = 0;
        let mut stalled = 0;
        for entry in &self.entries {
            if let Entry::Wait(wait) = entry {
                waits += 1;
                stalled += u64::from(wait.finding.is_some());
            }
        }
        let wrong = self.entries.len() as u64 - waits;
        let waits = match (stalled, waits) {
            (0, 0) if wrong > 0 => String::new(),
            (0, 0) => "nobody is waited for".to_owned(),
            (0, all) => format!("waiting: {all}"),
            (stalled, all) if stalled == all => format!("stands still: {stalled}"),
            (stalled, all) => format!("stands still: {stalled} of {all} that wait"),
        };
        match (wrong, waits.is_empty()) {
            (0, _) => waits,
            (_, true) => format!("{} wrong", count(wrong, "thing")),
            (_, false) => format!("{waits} · {} wrong", count(wrong, "thing")),
        }
    }
}

/// What stands before what is said more.
const INDENT: &str = "     ";

/// Whether what a finding says is still worth a line at the top: a stall that is over, and ended
/// well, only took time.
fn lasts(cx: &Context<'_>, finding: &Finding) -> bool {
    let trace = cx.store.trace();
    let is_stall = findings::find(finding.code).is_some_and(|entry| entry.stall);
    if !is_stall || findings::stands(trace, finding, cx.now) {
        return true;
    }
    let ended_well = match finding.subject {
        Subject::Transfer(id) => trace
            .transfers
            .get(id)
            .is_some_and(|it| matches!(it.state, TransferState::Open | TransferState::Complete)),
        Subject::Call(id) => trace.calls.get(id).is_some_and(|call| match call.state {
            CallState::Open => true,
            _ => call.status.as_ref().is_some_and(|it| it.code == 0),
        }),
        _ => false,
    };
    !ended_well
}

/// Who must do what, and since when; or what is wrong, and when that was.
fn headline(cx: &Context<'_>, entry: &Entry, area: Rect, line: u16, buf: &mut Buffer) {
    let palette = cx.palette;
    let trace = cx.store.trace();
    let (sign, style, behind) = match entry {
        Entry::Wait(wait) => {
            let age = duration(wait.age(cx.now));
            match wait.finding {
                Some(_) => (" ✗ ", palette.bad(), age),
                None => (" · ", palette.plain(), age),
            }
        }
        Entry::Finding(id) => {
            let Some(finding) = trace.findings.get(*id) else {
                return;
            };
            let sign = match finding.severity {
                Severity::Error => " ✗ ",
                _ => " ! ",
            };
            let at = format!("at {}", words::offset(finding.at, cx.store.origin()));
            (sign, palette.severity(finding.severity), at)
        }
    };
    let width = u16::try_from(columns(&behind) + 1).unwrap_or(u16::MAX);
    let before = Rect {
        width: area.width.saturating_sub(width + 1),
        ..area
    };
    let mut pen = Pen::new(buf, before, line);
    pen.put(sign, style);
    match entry {
        Entry::Wait(wait) => {
            pen.put("the ", palette.plain())
                .put(wait.side.as_str(), palette.side(wait.side))
                .put(" must ", palette.plain())
                .put(&wait.action, style)
                .put("  ", palette.plain())
                .put(&words::subject(trace, wait.subject), palette.dim());
        }
        Entry::Finding(id) => {
            if let Some(finding) = trace.findings.get(*id) {
                let title = findings::find(finding.code).map_or(finding.code, |it| it.title);
                pen.put(title, style)
                    .put("  ", palette.plain())
                    .put(&words::subject(trace, finding.subject), palette.dim());
            }
        }
    }
    Pen::new(buf, area, line)
        .go_to(area.right().saturating_sub(width))
        .put(&behind, palette.plain());
}

/// Why, by which rule, and what that holds up.
fn more(cx: &Context<'_>, entry: &Entry, area: Rect) -> Vec<String> {
    let trace = cx.store.trace();
    let mut last = Vec::new();
    let sentence = match entry {
        Entry::Wait(wait) => {
            let finding = wait.finding.and_then(|id| trace.findings.get(id));
            last.extend(finding.map(|finding| finding.code.to_owned()));
            let blocked = wait.blocks.iter().map(|it| words::subject(trace, *it));
            let blocked: Vec<String> = blocked.collect();
            if !blocked.is_empty() {
                last.push(format!("holds up {}", blocked.join(", ")));
            }
            wait.sentence.as_str()
        }
        Entry::Finding(id) => match trace.findings.get(*id) {
            Some(finding) => {
                last.push(finding.code.to_owned());
                if let Some(side) = finding.waiting_on {
                    last.push(format!("the {side} must act"));
                }
                finding.summary.as_str()
            }
            None => "",
        },
    };
    let room = usize::from(area.width).saturating_sub(INDENT.len());
    let most = match area.height {
        0..24 => 2,
        _ => 4,
    };
    let mut lines = wrap(sentence, room);
    if lines.len() > most {
        lines.truncate(most);
        if let Some(cut) = lines.last_mut() {
            // For the pen to cut, too.
            cut.push_str(" …");
        }
    }
    lines.push(last.join(" · "));
    lines.retain(|line| !line.is_empty());
    lines
}
