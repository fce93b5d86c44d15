//! The state machine of a packet stream, drawn: the state that it is in is lit.

use buildtap_decoder::event::{Side, Time};
use buildtap_decoder::trace::{Transfer, TransferState};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::text::{Pen, columns, duration, thousands};
use crate::view::Context;

/// How a state stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Light {
    /// It is not reached.
    Ahead,
    /// It is the one.
    Lit,
    /// It is done with.
    Behind,
}

/// A state of the machine.
struct State {
    name: &'static str,
    /// Who makes it go on.
    side: Option<Side>,
    note: String,
    light: Light,
}

/// Draws the machine; gives how many lines that took.
pub(super) fn draw(
    cx: &Context<'_>,
    row: &Transfer,
    area: Rect,
    line: u16,
    buf: &mut Buffer,
) -> u16 {
    let palette = cx.palette;
    let states = states(row);
    let count = states.len() as u16;
    const ARROW: u16 = 3;
    let width = ((area.width + ARROW) / count)
        .saturating_sub(ARROW)
        .clamp(8, 24);
    let middle = |text: &str, room: u16| {
        let text = crate::text::fit(text, room.into());
        let left = usize::from(room).saturating_sub(columns(&text)) / 2;
        format!("{}{text}", " ".repeat(left))
    };
    for (at, state) in (0u16..).zip(&states) {
        let place = Rect {
            x: area.x + at * (width + ARROW),
            width: width.min(area.width),
            ..area
        };
        let style = match state.light {
            Light::Ahead => palette.dim(),
            Light::Lit => palette.accent(),
            Light::Behind => palette.good(),
        };
        let bar = |left: &str, fill: &str, right: &str| {
            format!(
                "{left}{}{right}",
                fill.repeat(usize::from(width).saturating_sub(2))
            )
        };
        let (top, sides, bottom) = match state.light {
            Light::Lit => (bar("┏", "━", "┓"), "┃", bar("┗", "━", "┛")),
            _ => (bar("╭", "─", "╮"), "│", bar("╰", "─", "╯")),
        };
        let name = match state.light {
            Light::Behind => format!("✓ {}", state.name),
            Light::Lit => format!("▶ {}", state.name),
            Light::Ahead => state.name.to_owned(),
        };
        Pen::new(buf, place, line).put(&top, style);
        Pen::new(buf, place, line + 1)
            .put(sides, style)
            .left(&middle(&name, width - 2), width - 2, style)
            .put(sides, style);
        Pen::new(buf, place, line + 2).put(&bottom, style);
        let side_style = state
            .side
            .map_or(palette.plain(), |side| palette.side(side));
        let side = state.side.map_or("", Side::as_str);
        Pen::new(buf, place, line + 3).put(&middle(side, width), side_style);
        Pen::new(buf, place, line + 4).put(&middle(&state.note, width), palette.plain());
        if at + 1 < count {
            let arrow = Rect {
                x: place.x + width,
                width: ARROW,
                ..area
            };
            Pen::new(buf, arrow, line + 1).put("──▶", palette.dim());
        }
    }
    5
}

fn states(row: &Transfer) -> Vec<State> {
    let machine = &row.machine;
    let sender = row.sender();
    let receiver = sender.peer();
    let is_complete = row.state == TransferState::Complete;
    let listed = machine.final_stat().is_some();
    let requested = machine.requested();
    let flying = requested > machine.completed();
    let receiver_fin = machine.fin_of(receiver);
    let sender_fin = machine.fin_of(sender);
    let done = |is_done: bool, is_lit: bool| match (is_done, is_lit) {
        (true, _) => Light::Behind,
        (false, true) => Light::Lit,
        (false, false) => Light::Ahead,
    };
    let is_over = row.state != TransferState::Open;
    let asks = listed && !flying && requested < machine.files() && receiver_fin.is_none();
    let says_fin = listed && !flying && requested >= machine.files();
    let since = |at: Option<Time>| match at {
        Some(at) => format!("+{}", duration(at.since(row.start))),
        None => "not yet".to_owned(),
    };
    vec![
        State {
            name: "listing",
            side: Some(sender),
            note: format!("{} entries", thousands(machine.entries().count())),
            light: done(listed, !is_over && !flying),
        },
        State {
            name: "requests",
            side: Some(receiver),
            note: format!("{} of {}", thousands(requested), thousands(machine.files())),
            light: done(
                receiver_fin.is_some()
                    || says_fin
                    || (listed && flying && requested == machine.files()),
                !is_over && asks,
            ),
        },
        State {
            name: "contents",
            side: Some(sender),
            note: format!(
                "{} of {}",
                thousands(machine.completed()),
                thousands(requested)
            ),
            light: done(
                listed && !flying && (receiver_fin.is_some() || says_fin),
                !is_over && flying,
            ),
        },
        State {
            name: "FIN",
            side: Some(receiver),
            note: since(receiver_fin),
            light: done(receiver_fin.is_some(), !is_over && says_fin),
        },
        State {
            name: "FIN back",
            side: Some(sender),
            note: since(sender_fin),
            light: done(
                is_complete || sender_fin.is_some(),
                !is_over && receiver_fin.is_some(),
            ),
        },
    ]
}
