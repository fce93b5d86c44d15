//! Everything that is known of one thing, in lines: for the pane below a table.

use buildtap_decoder::event::Side;
use buildtap_decoder::trace::{Build, Call, Session, Subject};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use crate::text::{Pen, bytes, count, thousands, wrap};
use crate::view::Context;
use crate::widgets::rule;
use crate::words;

/// From which height on there is room for a table and for details below it, however long the table
/// is.
const TALL: u16 = 36;
/// Lines that are worth it below a table that is short.
const FEW: u16 = 5;

/// Draws what is known of `subject` at the bottom of `area`, if there is room for that below a
/// table of so many rows; gives what is left.
pub(crate) fn below(
    cx: &Context<'_>,
    subject: Option<Subject>,
    rows: usize,
    area: Rect,
    buf: &mut Buffer,
) -> Rect {
    // The headings, and a line between.
    let table = u16::try_from(rows).unwrap_or(u16::MAX).saturating_add(2);
    let free = area.height.saturating_sub(table);
    let height = match area.height {
        TALL.. => area.height / 3,
        _ => free,
    };
    let Some(subject) = subject.filter(|_| height >= FEW) else {
        return area;
    };
    let lines = lines(cx, subject);
    if lines.is_empty() {
        return area;
    }
    let place = Rect {
        x: area.x + 1,
        y: area.bottom() - height,
        width: area.width.saturating_sub(2),
        height,
    };
    let title = words::subject(cx.store.trace(), subject);
    rule(buf, place, 0, &title, cx.palette);
    let wrapped = lines.into_iter().flat_map(|(name, text, style)| {
        const NAME: usize = 14;
        let lines = wrap(&text, usize::from(place.width).saturating_sub(NAME + 2));
        lines.into_iter().enumerate().map(move |(at, line)| {
            let name = if at == 0 { name.clone() } else { String::new() };
            (name, line, style)
        })
    });
    for (at, (name, text, style)) in (1..height).zip(wrapped) {
        Pen::new(buf, place, at)
            .left(&name, 14, cx.palette.dim())
            .skip(2)
            .put(&text, style);
    }
    Rect {
        height: area.height - height,
        ..area
    }
}

/// A name, what is to be said under it, and how that looks.
type Line = (String, String, Style);

fn lines(cx: &Context<'_>, subject: Subject) -> Vec<Line> {
    let trace = cx.store.trace();
    match subject {
        Subject::Call(id) => trace.calls.get(id).map_or(vec![], |row| call(cx, row)),
        Subject::Transfer(id) => {
            let row = trace.transfers.get(id);
            let row = row.and_then(|row| trace.calls.get(row.call));
            row.map_or(vec![], |row| call(cx, row))
        }
        Subject::Session(id) => trace
            .sessions
            .get(id)
            .map_or(vec![], |row| session(cx, row)),
        Subject::Build(id) => trace.builds.get(id).map_or(vec![], |row| build(cx, row)),
        Subject::Connection(_) | Subject::Exchange(_) => Vec::new(),
    }
}

fn call(cx: &Context<'_>, row: &Call) -> Vec<Line> {
    let palette = cx.palette;
    let plain = palette.plain();
    let trace = cx.store.trace();
    let mut lines = Vec::new();
    let mut line = |name: &str, text: String, style: Style| {
        lines.push((name.to_owned(), text, style));
    };
    for finding in trace.findings.iter() {
        let about = match finding.subject {
            Subject::Call(id) => id == row.id,
            Subject::Transfer(id) => row.transfer == Some(id),
            _ => false,
        };
        if about {
            line(
                words::severity(finding.severity),
                format!("{}: {}", finding.code, finding.summary),
                palette.severity(finding.severity),
            );
            line("", format!("→ {}", finding.advice), palette.good());
        }
    }
    let (caller, callee) = (row.caller, row.caller.peer());
    line(
        "calls",
        format!("the {caller} calls {} of the {callee}", row.path()),
        plain,
    );
    line("ended", words::ending(trace, row), plain);
    for side in [Side::Client, Side::Daemon] {
        let flow = row.sent_by(side);
        let said = count(flow.messages, "message");
        let ended = match flow.ended {
            Some(_) => ", and will send no more",
            None => "",
        };
        let text = format!("{said}, {}{ended}", bytes(flow.bytes));
        line(side.as_str(), text, palette.side(side));
    }
    if let Some(digest) = &row.vertex {
        let build = row.build.and_then(|id| trace.builds.get(id));
        let step = build.and_then(|build| build.vertex(digest));
        let name = step.map_or(digest, |step| &step.name);
        line("for the step", name.clone(), plain);
    }
    for (title, headers) in [
        ("request", &row.metadata),
        ("response", &row.response_metadata),
        ("trailers", &row.trailers),
    ] {
        for (at, (name, value)) in headers.iter().enumerate() {
            let title = if at == 0 { title } else { "" };
            line(title, format!("{name}: {value}"), palette.dim());
        }
    }
    lines
}

fn session(cx: &Context<'_>, row: &Session) -> Vec<Line> {
    let plain = cx.palette.plain();
    let mut lines = vec![
        ("uuid".to_owned(), row.uuid.clone(), plain),
        ("over".to_owned(), row.path.as_str().to_owned(), plain),
    ];
    if let Some(name) = &row.name {
        lines.push(("context".to_owned(), name.clone(), plain));
    }
    if let Some(refused) = &row.refused {
        lines.push(("refused".to_owned(), refused.clone(), cx.palette.bad()));
    }
    for (at, method) in row.methods.iter().enumerate() {
        let title = if at == 0 { "offers" } else { "" };
        lines.push((title.to_owned(), method.clone(), plain));
    }
    lines
}

fn build(cx: &Context<'_>, row: &Build) -> Vec<Line> {
    let palette = cx.palette;
    let plain = palette.plain();
    let mut lines = Vec::new();
    let mut line = |name: &str, text: String, style: Style| {
        lines.push((name.to_owned(), text, style));
    };
    if let Some(error) = &row.error {
        line("failed", error.clone(), palette.bad());
    }
    for (name, value) in &row.frontend_attrs {
        line("frontend", format!("{name}={value}"), plain);
    }
    for (at, exporter) in row.exporters.iter().enumerate() {
        let attrs: Vec<String> = exporter
            .attrs
            .iter()
            .map(|(k, v)| format!("{k}={v}"))
            .collect();
        line(
            &format!("output {at}"),
            format!("{} {}", exporter.kind, attrs.join(" ")),
            plain,
        );
    }
    line("printed", bytes(row.log_bytes), plain);
    if row.vertices_dropped > 0 {
        let text = format!("{} more steps", thousands(row.vertices_dropped));
        line("not kept", text, palette.dim());
    }
    for warning in &row.warnings {
        line("warns", warning.clone(), palette.busy());
    }
    for operation in &row.llb {
        line("graph", operation.clone(), palette.dim());
    }
    lines
}
