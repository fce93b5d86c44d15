//! The lines of the tree: the name of what each is about, and how that stands.

use buildtap_decoder::event::{Side, Time};
use buildtap_decoder::findings;
use buildtap_decoder::trace::{Subject, Trace};

use super::tree::{self, Line, What};
use crate::model::{Activity, Wait, sparkline};
use crate::text::{bytes, count, duration};
use crate::view::Context;
use crate::widgets::Cell;
use crate::words;

/// What a line is about.
pub(super) fn name(trace: &Trace, what: What, is_wide: bool) -> String {
    match what {
        What::Build(id) => trace.builds.get(id).map_or(String::new(), words::build),
        What::Steps(id) => {
            let steps = trace
                .builds
                .get(id)
                .map_or(0, |build| build.vertices.len() as u64);
            count(steps, "step")
        }
        What::Step(id, at) => {
            let build = trace.builds.get(id);
            let step = build.and_then(|build| build.vertices.get(at));
            step.map_or(String::new(), |step| step.name.clone())
        }
        What::Session(id) => match trace.sessions.get(id) {
            Some(session) => format!("session {id} {}", session.uuid),
            None => format!("session {id}"),
        },
        What::Finished(id) => {
            let calls = tree::finished(trace, id).count() as u64;
            format!("{} that ended well", count(calls, "call"))
        }
        What::Call(id) => match trace.calls.get(id) {
            Some(call) if is_wide || call.session.is_none() => {
                format!("{id} {} → {}", call.caller, words::call(call))
            }
            Some(call) => format!("{id} {}", words::call(call)),
            None => format!("call {id}"),
        },
        What::OtherCalls => {
            format!(
                "{} to the daemon",
                count(tree::other_calls(trace).count() as u64, "call")
            )
        }
        What::Requests => count(
            trace.exchanges.len() as u64 + trace.exchanges.gone(),
            "HTTP request",
        ),
        What::Exchange(id) => match trace.exchanges.get(id) {
            Some(exchange) => format!("{} {}", exchange.method, words::target(exchange)),
            None => format!("request {id}"),
        },
        What::Finding(id) => match trace.findings.get(id) {
            Some(finding) => {
                let title = findings::find(finding.code).map_or("", |entry| entry.title);
                format!(
                    "{} {} · {title}",
                    words::sign(finding.severity),
                    finding.code
                )
            }
            None => format!("finding {id}"),
        },
    }
}

/// A line of the tree, with what stands beside its name.
pub(super) fn row<'a>(cx: &Context<'a>, line: &Line, is_wide: bool) -> Vec<Cell<'a>> {
    let trace = cx.store.trace();
    let palette = cx.palette;
    let plain = palette.plain();
    let fold = match line.fold {
        Some((_, true)) => "▾ ",
        Some((_, false)) => "▸ ",
        None => "  ",
    };
    let indent = "  ".repeat(line.depth.into());
    let text = format!("{indent}{fold}{}", name(trace, line.what, is_wide));
    let mut cells = Cells::default();
    let mut style = plain;
    match line.what {
        What::Build(id) => {
            if let Some(build) = trace.builds.get(id) {
                let (state, state_style) = words::build_state(build, palette);
                style = palette.strong();
                cells.state = Cell::new(state, state_style);
                cells.took = words::took(build.start, build.end, cx.now);
            }
        }
        What::Steps(id) => {
            style = palette.dim();
            if let Some(build) = trace.builds.get(id) {
                let steps = build.vertices.iter();
                let done = steps.filter(|step| step.completed.is_some()).count();
                cells.state = Cell::new(format!("{done} done"), palette.dim());
            }
        }
        What::Step(id, at) => {
            let build = trace.builds.get(id);
            if let Some(step) = build.and_then(|build| build.vertices.get(at)) {
                let (state, state_style) = match (&step.error, step.started, step.completed) {
                    (Some(_), ..) => ("✗ failed", palette.bad()),
                    _ if step.cached => ("✓ cached", palette.dim()),
                    (None, Some(_), Some(_)) => ("✓ done", palette.good()),
                    (None, Some(_), None) => ("● running", palette.busy()),
                    (None, None, _) => ("○ announced", palette.dim()),
                };
                cells.state = Cell::new(state, state_style);
                if let Some(started) = step.started {
                    cells.took = words::took(started, step.completed, cx.now);
                }
            }
        }
        What::Session(id) => {
            if let Some(session) = trace.sessions.get(id) {
                let (state, state_style) = words::session_state(session, palette);
                cells.state = Cell::new(state, state_style);
                let closed = session.closed.map(|(at, _)| at);
                cells.took = words::took(session.opened, closed, cx.now);
                let sent = trace
                    .connections
                    .get(session.connection)
                    .map(|it| it.bytes.0);
                cells.sent = sent;
                cells.activity = cx.store.activity_of_session(id).map(|it| (it, closed));
            }
        }
        What::Call(id) => {
            if let Some(call) = trace.calls.get(id) {
                let (state, state_style) = words::call_state(trace, call, palette);
                cells.state = Cell::new(state, state_style);
                cells.took = words::took(call.start, call.end, cx.now);
                cells.sent = Some(Side::BOTH.map(|side| call.sent_by(side).bytes));
                cells.activity = cx.store.activity_of_call(id).map(|it| (it, call.end));
                cells.waits_for = cx
                    .waits
                    .iter()
                    .find(|wait| wait.is_about(trace, Subject::Call(id)));
            }
        }
        What::Exchange(id) => {
            if let Some(exchange) = trace.exchanges.get(id) {
                let (state, state_style) = words::exchange_state(exchange, palette);
                cells.state = Cell::new(state, state_style);
                cells.took = words::took(exchange.start, exchange.end, cx.now);
                cells.sent = Some([exchange.request_bytes, exchange.response_bytes]);
            }
        }
        What::Finding(id) => {
            let finding = trace.findings.get(id);
            style = finding.map_or(plain, |it| palette.severity(it.severity));
            return vec![Cell::new(text, style)];
        }
        What::Finished(_) | What::OtherCalls | What::Requests => style = palette.dim(),
    }
    cells.row(cx, Cell::new(text, style), is_wide)
}

/// What stands beside a name.
#[derive(Default)]
struct Cells<'a> {
    state: Cell<'a>,
    took: String,
    sent: Option<[u64; 2]>,
    activity: Option<(&'a Activity, Option<Time>)>,
    waits_for: Option<&'a Wait>,
}

impl Cells<'_> {
    fn row<'a>(self, cx: &Context<'_>, what: Cell<'a>, is_wide: bool) -> Vec<Cell<'a>> {
        let palette = cx.palette;
        let sent = self.sent.map(|sent| {
            sent.map(|sent| match sent {
                0 => "-".to_owned(),
                sent => bytes(sent),
            })
        });
        let [client, daemon] = sent.unwrap_or_default();
        let waits_for = match self.waits_for {
            None => Cell::default(),
            Some(wait) => {
                let age = duration(wait.age(cx.now));
                let text = match is_wide {
                    true => format!("{} {age}: {}", wait.side, wait.action),
                    false => wait.side.to_string(),
                };
                let style = match wait.finding {
                    Some(_) => palette.bad(),
                    None => palette.side(wait.side),
                };
                Cell::new(text, style)
            }
        };
        let mut row = vec![
            what,
            Cell::new(self.state.text.into_owned(), self.state.style),
            Cell::plain(self.took),
            Cell::plain(client),
            Cell::plain(daemon),
        ];
        if is_wide {
            let activity = self
                .activity
                .map(|(activity, end)| sparkline(&activity.until(end.unwrap_or(cx.now))));
            row.push(Cell::new(
                activity.unwrap_or_default(),
                palette.side(Side::Client),
            ));
        }
        row.push(waits_for);
        row
    }
}
