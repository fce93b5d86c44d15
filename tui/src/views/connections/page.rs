//! Everything that is known of a connection or of a request, in lines.

use buildtap_decoder::event::Side;
use buildtap_decoder::trace::{Connection, Exchange};
use buildtap_decoder::wire::http2::{error_code_name, setting_name};
use ratatui::style::Style;

use super::Line;
use crate::text::{thousands, wrap};
use crate::view::Context;
use crate::words;

/// Everything that is known of what a line is about.
fn page(cx: &Context<'_>, line: Line) -> Vec<(String, Style)> {
    let trace = cx.store.trace();
    match line {
        Line::Connection(id) => trace
            .connections
            .get(id)
            .map_or(vec![], |row| of_connection(cx, row)),
        Line::Exchange(id) => trace
            .exchanges
            .get(id)
            .map_or(vec![], |row| of_exchange(cx, row)),
    }
}

fn of_connection(cx: &Context<'_>, row: &Connection) -> Vec<(String, Style)> {
    let palette = cx.palette;
    let mut lines = vec![
        (format!("client  {}", row.endpoints.client), palette.plain()),
        (format!("daemon  {}", row.endpoints.daemon), palette.plain()),
    ];
    if let Some(process) = &row.endpoints.client_process {
        lines.push((format!("process {process}"), palette.plain()));
    }
    let origin = cx.store.origin();
    for side in Side::BOTH {
        if let Some(at) = row.half_closed.get(side) {
            let at = words::offset(*at, origin);
            lines.push((
                format!("{at}  the {side} will send no more"),
                palette.plain(),
            ));
        }
        if let Some(since) = row.not_reading.get(side) {
            let took = words::took(*since, None, cx.now);
            lines.push((format!("the {side} has not read for {took}"), palette.bad()));
        }
        if let Some(undecodable) = row.undecodable.get(side) {
            let why = format!(
                "from byte {} on what the {side} sends is not decoded: {}",
                undecodable.offset, undecodable.why
            );
            lines.push((why, palette.bad()));
        }
    }
    if let Some(http2) = &row.http2 {
        lines.push(("HTTP/2".into(), palette.heading()));
        lines.push((
            format!("  the {} makes the calls", http2.caller),
            palette.plain(),
        ));
        for side in Side::BOTH {
            let frames = thousands(*http2.frames.get(side));
            let window = match u64::try_from(*http2.window.get(side)) {
                Ok(window) => thousands(window),
                // What SETTINGS took away was used already.
                Err(_) => http2.window.get(side).to_string(),
            };
            let text = format!("  {side}: {frames} frames sent, may send {window} bytes more");
            lines.push((text, palette.side(side)));
            // The parameters by number (RFC 9113 §6.5.2).
            for number in 1..=6 {
                if let Some(value) = http2.setting(side, number) {
                    let name = setting_name(number);
                    lines.push((
                        format!("    {name} {}", thousands(value.into())),
                        palette.plain(),
                    ));
                }
            }
            if let Some(goaway) = http2.goaway.get(side) {
                let code = error_code_name(goaway.code);
                let text = format!(
                    "    GOAWAY {code}, last stream {} {}",
                    goaway.last_stream_id, goaway.debug
                );
                lines.push((text, palette.busy()));
            }
        }
    }
    lines
}

fn of_exchange(cx: &Context<'_>, row: &Exchange) -> Vec<(String, Style)> {
    let palette = cx.palette;
    let (path, query) = row.target.split_once('?').unwrap_or((&row.target, ""));
    let mut lines = vec![(format!("{} {path}", row.method), palette.strong())];
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        lines.push((format!("  ?{name}={value}"), palette.plain()));
    }
    for (name, value) in &row.request_headers {
        lines.push((format!("  {name}: {value}"), palette.plain()));
    }
    match &row.status {
        Some((code, reason)) => lines.push((format!("{code} {reason}"), palette.strong())),
        None => lines.push(("not answered".to_owned(), palette.busy())),
    }
    for (name, value) in &row.response_headers {
        lines.push((format!("  {name}: {value}"), palette.plain()));
    }
    if let Some(error) = &row.error {
        lines.push((format!("the daemon says: {error}"), palette.bad()));
    }
    lines
}

/// The same, broken into lines of at most `width` columns.
pub(super) fn wrapped(cx: &Context<'_>, line: Line, width: usize) -> Vec<(String, Style)> {
    let broken = |(text, style): (String, Style)| {
        let indent: String = text.chars().take_while(|c| *c == ' ').collect();
        let lines = wrap(text.trim_start(), width.saturating_sub(indent.len()));
        let indented = move |line| (format!("{indent}{line}"), style);
        lines.into_iter().map(indented).collect::<Vec<_>>()
    };
    page(cx, line).into_iter().flat_map(broken).collect()
}
