//! Rules about what does not happen.
//!
//! Whose turn it is comes from the machines of the protocol; silence only says for how long.

use std::time::Duration;

use super::transfers::{is_partial, name, packets_read_as_bytes};
use super::{Case, ago, report, sessions, setup};
use crate::core::Core;
use crate::event::{Side, Time};
use crate::trace::{
    Call, CallState, Finding, Flavour, Id, Severity, Subject, Trace, Transfer, TransferState,
};

/// How long something may stand still before that is worth a word.
const STALL: Duration = Duration::from_secs(5);

/// Looks at everything that is open: the oldest matters most. To be called about once a second;
/// full tables take about a millisecond.
pub(crate) fn tick(core: &mut Core) {
    let open: Vec<Id<Transfer>> = core
        .trace
        .transfers
        .iter()
        .filter(|transfer| transfer.state == TransferState::Open)
        .map(|transfer| transfer.id)
        .collect();
    for id in open {
        transfer(core, id);
    }
    let open: Vec<Id<Call>> = core
        .trace
        .calls
        .iter()
        .filter(|call| {
            call.state == CallState::Open && call.session.is_some() && call.transfer.is_none()
        })
        .map(|call| call.id)
        .collect();
    for id in open {
        callback(core, id);
    }
    sessions::tick(core);
    setup::tick(core);
}

fn transfer(core: &mut Core, id: Id<Transfer>) {
    let now = core.now;
    let stall = core.options.stall_after.unwrap_or(STALL);
    let Some(transfer) = core.trace.transfers.get(id) else {
        return;
    };
    if is_partial(core, id) {
        return;
    }
    if transfer.flavour != Flavour::Packet {
        archive(core, id);
        return;
    }
    let (Some(turn), Some(row)) = (transfer.machine.turn(), core.trace.calls.get(transfer.call))
    else {
        return;
    };
    // Bytes within a message are progress, too.
    let since = row.sent_by(turn.side).last.max(Some(turn.since));
    let since = since.unwrap_or(turn.since);
    if packets_read_as_bytes(core, id) || now.since(since) < stall {
        return;
    }
    let Some(transfer) = core.trace.transfers.get(id) else {
        return;
    };
    let sender = transfer.sender();
    let label = name(transfer);
    let call = transfer.call;
    let age = ago(now, since);
    // A sender without a window cannot send: the receiver is the one to act.
    if turn.side == sender
        && let Some(blocked) = flow_control(&core.trace, call, sender)
    {
        no_window(core, id, since, &blocked, &turn.action);
        return;
    }
    let machine = &transfer.machine;
    let code = if machine.fin_of(sender.peer()).is_some() {
        "fin-unanswered"
    } else if turn.side != sender && machine.requested() >= machine.files() {
        "fin-missing"
    } else if turn.side != sender {
        "request-missing"
    } else if machine.final_stat().is_none() && machine.requested() == machine.completed() {
        "final-stat-missing"
    } else {
        "file-end-missing"
    };
    let side = turn.side;
    report(
        core,
        Case {
            code,
            severity: Severity::Warning,
            waiting_on: Some(side),
            subject: Subject::Transfer(id),
            summary: format!(
                "{label} stands still for {age}: the {side} must {}.",
                turn.action
            ),
            advice: format!(
                "Nothing else can move on this stream until the {side} does that: look at what the {side} is doing."
            ),
            evidence: vec![format!(
                "call {call}: {} entries announced, {} of {} files asked for, {} complete",
                machine.entries().count(),
                machine.requested(),
                machine.files(),
                machine.completed()
            )],
        },
    );
}

/// The sender of an archive owes nothing at any time: only a window that is used up tells that the
/// receiver is the one to act.
fn archive(core: &mut Core, id: Id<Transfer>) {
    let stall = core.options.stall_after.unwrap_or(STALL);
    let Some(transfer) = core.trace.transfers.get(id) else {
        return;
    };
    let Some(call) = core.trace.calls.get(transfer.call) else {
        return;
    };
    let sender = transfer.sender();
    let sent = call.sent_by(sender);
    let since = sent.last.unwrap_or(call.start);
    if sent.ended.is_some() || core.now.since(since) < stall {
        return;
    }
    if let Some(blocked) = flow_control(&core.trace, call.id, sender) {
        no_window(core, id, since, &blocked, "send the rest of the archive");
    }
}

/// A sender cannot send, because the window `blocked` is used up.
fn no_window(core: &mut Core, id: Id<Transfer>, since: Time, blocked: &str, action: &str) {
    let Some(transfer) = core.trace.transfers.get(id) else {
        return;
    };
    let (label, call) = (name(transfer), transfer.call);
    let sender = transfer.sender();
    let receiver = sender.peer();
    let age = ago(core.now, since);
    report(
        core,
        Case {
            code: "flow-control-stall",
            severity: Severity::Error,
            waiting_on: Some(receiver),
            subject: Subject::Transfer(id),
            summary: format!(
                "{label} stands still for {age}: the {sender} has no flow-control window left, and the {receiver} owes \
                 WINDOW_UPDATE {blocked}."
            ),
            advice: format!(
                "The {receiver} does not consume what was sent: look at what it writes to, and whether it still reads."
            ),
            evidence: vec![format!("call {call}: the {sender} must {action}")],
        },
    );
}

/// Which window keeps `sender` from sending on a call, as it follows "WINDOW_UPDATE".
fn flow_control(trace: &Trace, call: Id<Call>, sender: Side) -> Option<String> {
    let row = trace.calls.get(call)?;
    let connection = trace.connections.get(row.connection)?;
    if *row.window.get(sender) <= 0 {
        return Some(format!("on stream {}", row.stream_id));
    }
    let http2 = connection.http2.as_ref()?;
    if *http2.window.get(sender) <= 0 {
        return Some(format!("on connection {}", connection.id));
    }
    // The same one level further out, when the connection is carried by a call.
    let (_, outer) = connection.parent?;
    flow_control(trace, outer, sender).map(|blocked| format!("{blocked} outside"))
}

/// Whether a window that is used up keeps `sender` from sending on a call.
pub(crate) fn window_used_up(trace: &Trace, call: Id<Call>, sender: Side) -> bool {
    flow_control(trace, call, sender).is_some()
}

/// Whether somebody still has not done what a finding of a stall says that they must. `false` for
/// findings that are no stalls.
pub fn stands(trace: &Trace, finding: &Finding) -> bool {
    let is_stall = super::catalogue::find(finding.code).is_some_and(|entry| entry.stall);
    if !is_stall {
        return false;
    }
    match finding.subject {
        Subject::Transfer(id) => trace.transfers.get(id).is_some_and(|transfer| {
            transfer.state == TransferState::Open
                && match transfer.flavour {
                    Flavour::Packet => transfer.machine.turn().is_some(),
                    // The sender may have found nothing to send, since.
                    _ => flow_control(trace, transfer.call, transfer.sender()).is_some(),
                }
        }),
        Subject::Call(id) if finding.code == "status-never-ends" => {
            let call = trace.calls.get(id);
            call.is_some_and(|call| call.state == CallState::Open)
        }
        // Whoever was asked last has the word.
        Subject::Call(id) => trace.calls.get(id).is_some_and(|call| {
            call.state == CallState::Open && call.request.last > call.response.last
        }),
        Subject::Connection(id) => trace.connections.get(id).is_some_and(|connection| {
            let said = |side| {
                *connection
                    .http2
                    .as_ref()
                    .map_or(&0, |it| it.frames.get(side))
            };
            connection.closed.is_none() && Side::BOTH.into_iter().any(|side| said(side) == 0)
        }),
        _ => false,
    }
}

/// A callback of the daemon that the client does not answer.
fn callback(core: &mut Core, id: Id<Call>) {
    let now = core.now;
    let stall = core.options.stall_after.unwrap_or(STALL);
    let Some(call) = core.trace.calls.get(id) else {
        return;
    };
    let last = call
        .request
        .last
        .max(call.response.last)
        .unwrap_or(call.start);
    if now.since(last) < stall || core.trace.is_partial(call.connection) {
        return;
    }
    let service = call.service.rsplit('.').next().unwrap_or_default();
    let callee = call.caller.peer();
    let unanswered = call.response.messages == 0;
    let (code, advice) = match (service, call.method.as_str()) {
        ("Auth", _) if unanswered => (
            "auth-callback-stuck",
            "The client asks its credential helper or a token endpoint: see whether that one hangs.",
        ),
        // What is asked in two slices may be answered in one: only who spoke last tells.
        ("SSH", "ForwardAgent")
            if call.request.messages > 0 && call.request.last > call.response.last =>
        {
            (
                "ssh-agent-stuck",
                "The agent may be waiting for somebody to confirm, or to touch a key.",
            )
        }
        ("Health", _) if unanswered => (
            "health-check-starved",
            "The session's connection is saturated or the client stands still; the second check that fails ends the session.",
        ),
        ("Secrets", _) if unanswered => (
            "callback-unanswered",
            "The client must answer with the secret or NOT_FOUND.",
        ),
        _ => return,
    };
    let name = call.short_name();
    let age = ago(now, last);
    report(
        core,
        Case {
            code,
            severity: Severity::Warning,
            waiting_on: Some(callee),
            subject: Subject::Call(id),
            summary: format!("{name} waits for the {callee} since {age}."),
            advice: advice.into(),
            evidence: vec![format!("call {id}: asked, not answered")],
        },
    );
}
