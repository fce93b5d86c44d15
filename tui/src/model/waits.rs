//! Who is waited for: what the first screen says first.

use std::time::Duration;

use buildtap_decoder::event::{Side, Time};
use buildtap_decoder::findings;
use buildtap_decoder::trace::{CallState, Finding, Flavour, Id, Subject, Trace, TransferState};

/// Something that somebody must do before anything can go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    /// Who must act.
    pub side: Side,
    /// What they must do, as it follows "must".
    pub action: String,
    /// Since when.
    pub since: Time,
    /// What it is about.
    pub subject: Subject,
    /// The finding that says so, once it has lasted.
    pub finding: Option<Id<Finding>>,
}

impl Wait {
    /// For how long, at `now`.
    pub fn age(&self, now: Time) -> Duration {
        now.since(self.since)
    }
}

/// Everything that somebody is waited for: what a finding says stands still first, then what
/// waits longest.
pub fn waits(trace: &Trace) -> Vec<Wait> {
    let mut waits = Vec::new();
    for transfer in trace.transfers.iter() {
        if transfer.state != TransferState::Open || transfer.flavour != Flavour::Packet {
            continue;
        }
        if let Some(turn) = transfer.machine.turn() {
            waits.push(Wait {
                side: turn.side,
                action: turn.action,
                since: turn.since,
                subject: Subject::Transfer(transfer.id),
                finding: None,
            });
        }
    }
    for call in trace.calls.iter() {
        // What the daemon asks of the client's session.
        let asks = call.session.is_some() && call.transfer.is_none();
        if call.state != CallState::Open || !asks || call.response.ended.is_some() {
            continue;
        }
        if call.request.last > call.response.last && call.request.messages > 0 {
            waits.push(Wait {
                side: call.caller.peer(),
                action: format!("answer {}", call.short_name()),
                since: call.request.last.unwrap_or(call.start),
                subject: Subject::Call(call.id),
                finding: None,
            });
        }
    }
    for finding in trace.findings.iter() {
        if !findings::stands(trace, finding) {
            continue;
        }
        let about = waits
            .iter_mut()
            .find(|wait| same(trace, wait.subject, finding.subject));
        if let Some(wait) = about {
            wait.finding = Some(finding.id);
            // A finding may know better whose turn it is: a sender without a window waits.
            wait.side = finding.waiting_on.unwrap_or(wait.side);
        } else if let Some(side) = finding.waiting_on {
            waits.push(Wait {
                side,
                action: findings::find(finding.code)
                    .map_or(finding.code, |entry| entry.title)
                    .to_owned(),
                since: finding.at,
                subject: finding.subject,
                finding: Some(finding.id),
            });
        }
    }
    waits.sort_by_key(|wait| (wait.finding.is_none(), wait.since));
    waits
}

fn same(trace: &Trace, one: Subject, other: Subject) -> bool {
    let call = |subject| match subject {
        Subject::Call(id) => Some(id),
        Subject::Transfer(id) => trace.transfers.get(id).map(|transfer| transfer.call),
        _ => None,
    };
    one == other || (call(one).is_some() && call(one) == call(other))
}
