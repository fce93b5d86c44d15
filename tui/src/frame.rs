//! What is around the views: where it comes from, the tabs, the bar of keys.

use buildtap_decoder::trace::Severity;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::keys::{self, Action};
use crate::model::{Pane, Progress};
use crate::palette::Palette;
use crate::text::{Pen, columns, count, duration, fit_path};
use crate::view::{Context, Tab};
use crate::widgets::{rule, terminal};

/// Where things are on the screen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Places {
    /// The line at the top.
    pub(crate) header: Rect,
    /// The line of tabs.
    pub(crate) tabs_line: Rect,
    /// Each tab.
    pub(crate) tabs: Vec<Rect>,
    /// The view.
    pub(crate) body: Rect,
    /// The line at the bottom.
    pub(crate) bar: Rect,
}

/// Divides the screen.
pub(crate) fn places(area: Rect) -> Places {
    let line = |y: u16| Rect {
        y: area.y + y.min(area.height.saturating_sub(1)),
        height: area.height.min(1),
        ..area
    };
    // What is looked at comes first where there is little room.
    let above = area.height.saturating_sub(4).min(2);
    let below = area.height.saturating_sub(3).min(1);
    Places {
        header: match above {
            2 => line(0),
            _ => Rect::default(),
        },
        tabs_line: match above {
            0 => Rect::default(),
            lines => line(lines - 1),
        },
        tabs: Vec::new(),
        body: Rect {
            y: area.y + above,
            height: area.height - above - below,
            ..area
        },
        bar: match below {
            0 => Rect::default(),
            _ => line(area.height - 1),
        },
    }
}

/// From which height on the command's terminal is seen below every view.
const TALL: u16 = 40;

/// Draws the command's terminal below the view, if there is room for both; gives what is left for
/// the view.
pub(crate) fn pane(pane: &Pane, palette: Palette, body: Rect, buf: &mut Buffer) -> Rect {
    if body.height < TALL {
        return body;
    }
    let height = body.height / 4;
    let below = Rect {
        y: body.bottom() - height,
        height,
        ..body
    };
    rule(buf, below, 0, "output of the command", palette);
    let inside = Rect {
        y: below.y + 1,
        height: height - 1,
        ..below
    };
    let colour = palette.has_colour();
    terminal(pane.screen(), colour, false, inside, buf);
    Rect {
        height: body.height - height,
        ..body
    }
}

/// Draws where it comes from, how far it is, and how it stands.
pub(crate) fn header(cx: &Context<'_>, paused: bool, area: Rect, buf: &mut Buffer) {
    let palette = cx.palette;
    let trace = cx.store.trace();
    let how_many = |severity| {
        let findings = trace.findings.iter();
        findings
            .filter(|finding| finding.severity == severity)
            .count() as u64
    };
    let mut right = Vec::new();
    let stalled = cx
        .waits
        .iter()
        .filter(|wait| wait.finding.is_some())
        .count() as u64;
    if stalled > 0 {
        right.push((format!("◔ {} stalled", stalled), palette.bad()));
    }
    match how_many(Severity::Error) {
        0 => {}
        errors => right.push((format!("✗ {}", count(errors, "error")), palette.bad())),
    }
    match how_many(Severity::Warning) {
        0 => {}
        warnings => right.push((format!("! {}", count(warnings, "warning")), palette.busy())),
    }
    if right.is_empty() && !trace.connections.is_empty() {
        right.push(("✓ nothing abnormal".to_owned(), palette.good()));
    }
    if let Some(pane) = &cx.store.pane {
        right.push(match pane.ended() {
            None => ("▶ runs".to_owned(), palette.good()),
            Some(how) => (format!("command: {how}"), palette.strong()),
        });
    }
    let elapsed = match trace.connections.is_empty() {
        true => String::new(),
        false => duration(cx.now.since(cx.store.origin())),
    };
    right.push(match &cx.store.progress {
        _ if paused => ("‖ paused".to_owned(), palette.busy()),
        Progress::Live => (
            format!("● live {elapsed}").trim_end().to_owned(),
            palette.good(),
        ),
        Progress::Loading(read, Some(all)) if *all > 0 => {
            let percent = u128::from(*read) * 100 / u128::from(*all);
            (format!("… loading {percent} %"), palette.busy())
        }
        Progress::Loading(..) => ("… loading".to_owned(), palette.busy()),
        Progress::Over(None) => (
            format!("■ over {elapsed}").trim_end().to_owned(),
            palette.dim(),
        ),
        Progress::Over(Some(_)) => (format!("■ {elapsed}, broken off"), palette.busy()),
    });
    if cx.filter.is_some() {
        right.insert(0, ("▽ filtered".to_owned(), palette.accent()));
    }
    let width: usize = right.iter().map(|(text, _)| columns(text) + 2).sum();
    let room = usize::from(area.width).saturating_sub(width + 14);
    let source = cx.store.source.to_string();
    let mut pen = Pen::new(buf, area, 0);
    pen.put(" buildtap ", palette.strong())
        .put(" ", palette.plain())
        .put(&fit_path(&source, room), palette.dim());
    pen.go_to(area.right().saturating_sub(width as u16));
    for (text, style) in right {
        pen.put(&text, style).put("  ", palette.plain());
    }
}

/// Draws the tabs, and gives where each is.
pub(crate) fn tabs(
    tabs: &[Tab],
    open: Tab,
    palette: Palette,
    area: Rect,
    buf: &mut Buffer,
) -> Vec<Rect> {
    let mut places = Vec::new();
    let all: usize = tabs.iter().map(|tab| columns(tab.title()) + 4).sum();
    let is_narrow = all > usize::from(area.width);
    let mut pen = Pen::new(buf, area, 0);
    for (at, tab) in tabs.iter().enumerate() {
        let start = pen.column();
        let (key, title) = match *tab == open {
            true => (palette.accent(), palette.cursor()),
            false => (palette.dim(), palette.plain()),
        };
        let name = match is_narrow && *tab != open {
            true => tab.title().get(..4).unwrap_or(tab.title()),
            false => tab.title(),
        };
        pen.put(&format!(" {}", at + 1), key)
            .put(" ", palette.plain())
            .put(name, title)
            .put(" ", palette.plain());
        places.push(Rect {
            x: start,
            width: pen.column() - start,
            ..area
        });
    }
    places
}

/// Draws what some keys do.
pub(crate) fn bar(view: &str, hints: &[Action], palette: Palette, area: Rect, buf: &mut Buffer) {
    const ALWAYS: [Action; 3] = [Action::Search, Action::Help, Action::Quit];
    let mut pen = Pen::new(buf, area, 0);
    let text = |action: &Action| {
        let binding = keys::binding(*action, view)?;
        Some((*binding.keys.first()?, binding.hint))
    };
    let width = |(key, hint): &(&str, &str)| columns(key) + columns(hint) + 3;
    let always: Vec<_> = ALWAYS.iter().filter_map(text).collect();
    let kept: usize = always.iter().map(width).sum();
    let mut room = usize::from(area.width).saturating_sub(kept);
    let mut shown = Vec::new();
    for hint in hints.iter().filter_map(text) {
        let Some(left) = room.checked_sub(width(&hint)) else {
            break;
        };
        room = left;
        shown.push(hint);
    }
    for (key, hint) in shown.into_iter().chain(always) {
        pen.put(" ", palette.plain())
            .put(key, palette.accent())
            .put(" ", palette.plain())
            .put(hint, palette.dim())
            .put(" ", palette.plain());
    }
}

/// Draws a sentence in the place of the bar.
pub(crate) fn said(text: &str, palette: Palette, area: Rect, buf: &mut Buffer) {
    let mut pen = Pen::new(buf, area, 0);
    pen.put(" ", palette.plain()).put(text, palette.strong());
}
