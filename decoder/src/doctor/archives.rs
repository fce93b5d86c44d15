//! Rules about archives that do not end or are held up behind the client, and about contexts that
//! two clients keep in one place.

use super::transfers::name;
use super::{Case, ago, report};
use crate::core::Core;
use crate::event::{Side, Time};
use crate::protocol::engine::{Route, Target};
use crate::protocol::metadata;
use crate::trace::{
    Call, Confidence, Exchange, Id, Session, Severity, Subject, Trace, Transfer, TransferState,
};

/// Transfers among which another one of the same context is looked for.
const LATEST: usize = 256;

/// The archive is complete, and its sender does not say so.
pub(super) fn stream_not_ended(core: &mut Core, id: Id<Transfer>, confidence: Confidence) {
    let Some(transfer) = core.trace.transfers.get(id) else {
        return;
    };
    let Some(complete) = transfer.archive_end else {
        return;
    };
    let sender = transfer.sender();
    let (label, call) = (name(transfer), transfer.call);
    let age = ago(core.now, complete);
    let case = Case {
        code: "half-close-missing",
        severity: Severity::Warning,
        confidence,
        waiting_on: Some(sender),
        subject: Subject::Transfer(id),
        summary: format!(
            "{label}: the archive came to its end {age} ago, and the {sender} does not end the stream (END_STREAM)."
        ),
        advice: format!(
            "The {sender} must close its sending half when its source ends, and only that half: the {} reads on until \
             then.",
            sender.peer()
        ),
        evidence: vec![format!(
            "call {call}: the last bytes are the blocks of zeros that end a tar archive"
        )],
    };
    report(core, case);
}

/// How much longer than anything else the end of a call may take, after an archive: the receiver
/// may have it in its memory, and be writing it down.
const WRITING: u32 = 3;

/// All of an archive was sent at `since`, and its receiver does not end the call. Whether it ever
/// will cannot be told.
pub(super) fn call_not_ended(core: &mut Core, id: Id<Transfer>, since: Time) {
    if core.now.since(since) < core.stall().saturating_mul(WRITING) {
        return;
    }
    let Some(transfer) = core.trace.transfers.get(id) else {
        return;
    };
    let Some(call) = core.trace.calls.get(transfer.call) else {
        return;
    };
    let sender = transfer.sender();
    let receiver = sender.peer();
    let (label, bytes) = (name(transfer), call.sent_by(sender).bytes);
    let (call, age) = (call.id, ago(core.now, since));
    let case = Case {
        code: "call-not-ended",
        severity: Severity::Warning,
        confidence: Confidence::Likely,
        waiting_on: Some(receiver),
        subject: Subject::Transfer(id),
        summary: format!(
            "{label}: the {sender} sent everything and ended its half {age} ago, and the {receiver} does not end the \
             call: it still writes, or never will."
        ),
        advice: format!(
            "See whether what the {receiver} writes to stands still (a disk, a pipe). If it has written everything, it \
             must return from DiffCopy with status OK: the {sender} waits for the trailers."
        ),
        evidence: vec![format!(
            "call {call}: {bytes} bytes and END_STREAM from the {sender}, all within the {receiver}'s windows; no \
             trailers from the {receiver}"
        )],
    };
    report(core, case);
}

/// The request with which a client that does not take an archive loads it into an engine that
/// does not take it either.
pub(super) fn blocked_load(trace: &Trace, receiver: Side) -> Option<(&Exchange, Time)> {
    let mut exchanges = trace
        .exchanges
        .iter()
        .rev()
        .filter(|_| receiver == Side::Client);
    exchanges.find_map(|exchange| {
        let is_open = exchange.end.is_none() && exchange.request_end.is_none();
        if !is_open || exchange.method != "POST" {
            return None;
        }
        let connection = trace.connections.get(exchange.connection)?;
        let since = (*connection.not_reading.get(Side::Daemon))?;
        let route = Target::parse(&exchange.method, &exchange.target).route;
        (route == Route::ImagesLoad).then_some((exchange, since))
    })
}

/// Which directory is asked for, and which of its files.
fn wanted(call: &Call) -> metadata::FileSync {
    let pairs = call.metadata.iter().map(|(name, value)| (name, value));
    metadata::FileSync::from_headers(pairs)
}

/// A context was synced: perhaps into the same place as that of another client which builds at
/// the same time.
pub(super) fn shared_key(core: &mut Core, id: Id<Transfer>) {
    let trace = &core.trace;
    let Some(transfer) = trace.transfers.get(id) else {
        return;
    };
    if transfer.service != "FileSync" || transfer.state != TransferState::Complete {
        return;
    }
    let of = |transfer: &Transfer| -> Option<(&Session, &Call)> {
        let session = trace.sessions.get(transfer.session?)?;
        Some((session, trace.calls.get(transfer.call)?))
    };
    let Some((session, call)) = of(transfer) else {
        return;
    };
    let Some(key) = session.shared_key.clone() else {
        return;
    };
    let listed = |transfer: &Transfer| {
        let machine = &transfer.machine;
        (
            machine.entries().count(),
            machine.announced_bytes(),
            machine.last_path().to_owned(),
        )
    };
    let others = trace.transfers.iter().rev().take(LATEST).filter(|other| {
        other.id != id
            && other.service == transfer.service
            && other.name == transfer.name
            && other.session != transfer.session
            && other.state == TransferState::Complete
    });
    // The same context twice is meant to share a place; what changed between two builds, too.
    let collides = { others }.find_map(|other| {
        let (other_session, other_call) = of(other)?;
        let together = other_session.closed.is_none() && session.closed.is_none();
        let alike =
            other_session.shared_key.as_ref() == Some(&key) && wanted(other_call) == wanted(call);
        let differs = listed(other) != listed(transfer);
        (together && alike && differs).then(|| (other_session.uuid.clone(), other.id))
    });
    let Some((other, other_transfer)) = collides else {
        return;
    };
    let (uuid, directory, now) = (session.uuid.clone(), transfer.name.clone(), core.now);
    let key = if key.is_empty() {
        "the empty one".to_owned()
    } else {
        key
    };
    let opened = ago(now, session.opened);
    let case = Case {
        code: "shared-key-collision",
        severity: Severity::Info,
        confidence: Confidence::Likely,
        waiting_on: None,
        subject: Subject::Transfer(id),
        summary: format!(
            "Sessions {other} and {uuid} are open at the same time, have the same shared key and sync different files \
             as \"{directory}\": the daemon keeps both in one place."
        ),
        advice: "Give each client a shared key of its own (a random file beside its configuration): with one key \
                 builds wait for each other, or take over files of one another."
            .into(),
        evidence: vec![
            format!("shared key {key}; transfers {other_transfer} and {id} announced different listings"),
            format!("session {uuid} was opened {opened} ago, session {other} is open too"),
        ],
    };
    report(core, case);
}
