//! What flow control lets each side send (RFC 9113 §6.9): of the stream, of its connection, and
//! of the stream and connection that carry it, where it is inside another.

use buildtap_decoder::event::Side;
use buildtap_decoder::trace::{Call, Transfer};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::text::{Pen, bytes};
use crate::view::Context;
use crate::widgets::gauge;

/// SETTINGS_INITIAL_WINDOW_SIZE (RFC 9113 §6.5.2).
const INITIAL_WINDOW_SIZE: u16 = 4;
/// What a window is in the beginning, unless it is set.
const DEFAULT_WINDOW: u64 = 65_535;

/// Draws the windows as gauges; gives how many lines that took.
pub(super) fn draw(
    cx: &Context<'_>,
    row: &Transfer,
    area: Rect,
    line: u16,
    buf: &mut Buffer,
) -> u16 {
    let trace = cx.store.trace();
    let mut next = trace.calls.get(row.call);
    let mut lines = 0;
    // The innermost level first; two are what there is room for.
    for prefix in ["", "outer "] {
        let Some(call) = next else { break };
        lines += level(cx, call, prefix, area, line + lines, buf);
        let connection = trace.connections.get(call.connection);
        next = connection
            .and_then(|connection| connection.parent)
            .and_then(|(_, outer)| trace.calls.get(outer));
    }
    lines
}

fn level(
    cx: &Context<'_>,
    call: &Call,
    prefix: &str,
    area: Rect,
    line: u16,
    buf: &mut Buffer,
) -> u16 {
    let Some(connection) = cx.store.trace().connections.get(call.connection) else {
        return 0;
    };
    let Some(http2) = &connection.http2 else {
        return 0;
    };
    let initial = |side: Side| {
        let set = http2.setting(side.peer(), INITIAL_WINDOW_SIZE);
        set.map_or(DEFAULT_WINDOW, u64::from)
    };
    let stream = [
        (
            Side::Client,
            *call.window.get(Side::Client),
            initial(Side::Client),
        ),
        (
            Side::Daemon,
            *call.window.get(Side::Daemon),
            initial(Side::Daemon),
        ),
    ];
    let whole = [
        (
            Side::Client,
            *http2.window.get(Side::Client),
            DEFAULT_WINDOW,
        ),
        (
            Side::Daemon,
            *http2.window.get(Side::Daemon),
            DEFAULT_WINDOW,
        ),
    ];
    let rows = [
        (format!("{prefix}stream {}", call.stream_id), stream),
        (format!("{prefix}connection {}", connection.id), whole),
    ];
    for (at, (name, windows)) in (0u16..).zip(&rows) {
        gauges(cx, name, windows, area, line + at, buf);
    }
    rows.len() as u16
}

fn gauges(
    cx: &Context<'_>,
    name: &str,
    windows: &[(Side, i64, u64)],
    area: Rect,
    line: u16,
    buf: &mut Buffer,
) {
    let palette = cx.palette;
    let width = (area.width / 8).clamp(6, 20);
    let mut pen = Pen::new(buf, area, line);
    pen.left(name, 20, palette.dim());
    for (side, window, initial) in windows {
        let left = u64::try_from(*window).unwrap_or(0);
        let whole = left.max(*initial);
        let (text, style) = match left {
            // Nothing may be sent: that is what makes a sender wait.
            0 => ("✗ nothing".to_owned(), palette.bad()),
            left => (bytes(left), palette.plain()),
        };
        pen.left(side.as_str(), 7, palette.side(*side))
            .put(&gauge(left, whole, width), style)
            .put(" ", palette.plain())
            .left(&text, 12, style);
    }
}
