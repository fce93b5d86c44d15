//! Obligations that explain one another, in a row and in a sentence.

use super::{Act, Layer, Obligation, State, hindrance};
use crate::event::{Side, Time};
use crate::text::ago;
use crate::trace::{Subject, Trace, Transfer};

/// Links that are followed: a build, its callback or transfer, and what that waits for.
const LINKS: usize = 8;

/// What explains what: every link is there because of the one after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// The outermost first; never empty.
    links: Vec<Obligation>,
    sentence: String,
}

impl Chain {
    /// The outermost obligation first, and last the one that explains the others.
    pub fn links(&self) -> &[Obligation] {
        &self.links
    }

    /// The obligation that explains the others.
    pub fn innermost(&self) -> Option<&Obligation> {
        self.links.last()
    }

    /// All of it in one sentence without a full stop: `build 1 waits for export 0 (local); export
    /// 0 (local) waits for FIN from the client; the client has read nothing for 31.0 s: its
    /// window of connection 1 is 0`. Texts that a peer wrote are in it as they are.
    pub fn sentence(&self) -> &str {
        &self.sentence
    }
}

/// Whose turn it is on `subject` at `now`, and why, down to the obligation that explains the
/// others; `None` if it is not open.
pub fn chain(trace: &Trace, subject: Subject, now: Time) -> Option<Chain> {
    let mut links = vec![trace.obligation(subject, now)?];
    while links.len() < LINKS {
        let next = links.last().and_then(|last| next(trace, last, now));
        // A Solve waits for its build, and a build for one of its calls: never for itself.
        let known = |next: &Obligation| links.iter().any(|link| link.subject == next.subject);
        match next.filter(|next| next.layer < Layer::Http2 || !known(next)) {
            Some(next) => links.push(next),
            None => break,
        }
    }
    let sentence = sentence(trace, &links, now);
    Some(Chain { links, sentence })
}

/// The link after this one.
fn next(trace: &Trace, link: &Obligation, now: Time) -> Option<Obligation> {
    let behind = link.behind?;
    let held = hindrance::of_obligation(trace, link);
    match held.filter(|held| held.subject == behind) {
        Some(held) => Some(held),
        None => trace.obligation(behind, now),
    }
}

fn sentence(trace: &Trace, links: &[Obligation], now: Time) -> String {
    let clause = |(at, link): (usize, &Obligation)| {
        let next = links.get(at.saturating_add(1));
        let name = label(trace, link.subject);
        if is_flow(link) {
            return flow(trace, link, now);
        }
        if let Some(next) = next.filter(|next| !is_flow(next)) {
            return format!("{name} waits for {}", label(trace, next.subject));
        }
        let Some(side) = link.side else {
            return format!("{name} is idle: nobody owes anything");
        };
        let age = match next {
            None => format!(", for {} now", ago(now, link.since)),
            Some(_) => String::new(),
        };
        let (action, awaited) = (&link.action, link.awaited());
        match (link.state, link.act) {
            (State::Busy, Act::Solve) => format!("{name} goes on: the {side} must {action}{age}"),
            (State::Busy, _) => format!("{name} goes on: the {side} must {action}"),
            (_, Act::OpenSession) => format!("{name} waits for the {side} to {action}{age}"),
            _ => format!("{name} waits for {awaited} from the {side}{age}"),
        }
    };
    let clauses: Vec<String> = links.iter().enumerate().map(clause).collect();
    clauses.join("; ")
}

fn is_flow(link: &Obligation) -> bool {
    matches!(
        link.layer,
        Layer::Socket | Layer::ConnectionWindow | Layer::StreamWindow
    )
}

/// What a side does not read.
fn flow(trace: &Trace, link: &Obligation, now: Time) -> String {
    let side = link.side.map_or("receiver", Side::as_str);
    let age = ago(now, link.since);
    match link.subject {
        Subject::Call(id) => {
            let stream = trace.calls.get(id).map_or(0, |call| call.stream_id);
            format!(
                "the {side} has taken nothing from call {id} for {age}: its window on stream {stream} is 0"
            )
        }
        Subject::Connection(id) if link.layer == Layer::ConnectionWindow => {
            format!("the {side} has read nothing for {age}: its window of connection {id} is 0")
        }
        _ => format!("the {side} has read nothing from its socket for {age}"),
    }
}

/// How a chain calls what is open: `build 1`, `export 0 (local)`, `the sync of "context"`.
fn label(trace: &Trace, subject: Subject) -> String {
    match subject {
        Subject::Build(id) => format!("build {id}"),
        Subject::Connection(id) => format!("connection {id}"),
        Subject::Session(id) => match trace.sessions.get(id) {
            Some(session) => format!("session {}", session.uuid),
            None => format!("session {id}"),
        },
        Subject::Exchange(id) => match trace.exchanges.get(id) {
            Some(exchange) => {
                let path = exchange.target.split('?').next().unwrap_or_default();
                format!("{} {path}", exchange.method)
            }
            None => format!("request {id}"),
        },
        Subject::Call(id) => match trace.calls.get(id) {
            Some(call) => match &call.subject {
                Some(about) => format!("{} of {about}", call.short_name()),
                None => call.short_name(),
            },
            None => format!("call {id}"),
        },
        Subject::Transfer(id) => match trace.transfers.get(id) {
            Some(transfer) => of_transfer(transfer),
            None => format!("transfer {id}"),
        },
    }
}

fn of_transfer(transfer: &Transfer) -> String {
    match (transfer.service.as_str(), &transfer.exporter) {
        ("FileSend", Some(kind)) => format!("export {} ({kind})", transfer.name),
        ("FileSend", None) => format!("export {}", transfer.name),
        ("FileSync", _) => format!("the sync of \"{}\"", transfer.name),
        (_, _) => format!("the upload of \"{}\"", transfer.name),
    }
}
