//! Rules about what does not happen.
//!
//! Whose turn it is comes from the machines of the protocol; silence only says for how long.

use std::time::Duration;

use super::transfers::{is_partial, name, packets_read_as_bytes};
use super::{Case, ago, archives, control, report, sessions, setup, tunnels};
use crate::core::Core;
use crate::event::{Side, Time};
use crate::obligation::{self, Act, Chain, Layer, State};
use crate::protocol::metadata;
use crate::trace::{
    Call, CallState, Confidence, Connection, Exchange, Finding, Id, Severity, Subject, Trace,
    Transfer, TransferState,
};

/// After how long a wait is certain not to end by itself: longer than all that BuildKit gives up
/// after, but for credentials.
const CERTAIN: Duration = Duration::from_secs(30);
/// The same for credentials, for which BuildKit waits up to 60 s (`session/auth`, from 0.30 on).
const CREDENTIALS: Duration = Duration::from_secs(60);

/// How sure it is that a wait that began at `since` does not end by itself.
fn confidence(core: &Core, since: Time, certain: Duration) -> Confidence {
    let stall = core.stall();
    match core.now.since(since) >= certain.max(stall) {
        true => Confidence::Certain,
        false => Confidence::Likely,
    }
}

/// Looks at everything that is open: the oldest matters most. To be called about once a second;
/// full tables take about a millisecond.
pub(super) fn tick(core: &mut Core) {
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
    control::tick(core);
    tunnels::tick(core);
}

/// A transfer whose next step does not come.
fn transfer(core: &mut Core, id: Id<Transfer>) {
    let now = core.now;
    let stall = core.stall();
    if is_partial(core, id) || packets_read_as_bytes(core, id) {
        return;
    }
    let Some(transfer) = core.trace.transfers.get(id) else {
        return;
    };
    let subject = Subject::Transfer(id);
    let Some(owed) = core.trace.obligation(subject, now) else {
        return;
    };
    // Bytes within a message are progress, too.
    let stands = owed.state == State::Waiting && now.since(owed.since) >= stall;
    let Some(side) = owed.side.filter(|_| stands) else {
        return;
    };
    if owed.act == Act::EndCall && owed.behind.is_none() {
        match side == transfer.sender() {
            true => archives::stream_not_ended(core, id, confidence(core, owed.since, CERTAIN)),
            false => archives::call_not_ended(core, id, owed.since),
        }
        return;
    }
    let code = match owed.act {
        _ if owed.behind.is_some() => "flow-control-stall",
        Act::Announce => "final-stat-missing",
        Act::Request => "request-missing",
        Act::SendContents => "file-end-missing",
        Act::SayFin => "fin-missing",
        Act::AnswerFin => "fin-unanswered",
        _ => return,
    };
    let confidence = confidence(core, owed.since, CERTAIN);
    if core.found(code, subject) >= Some(confidence) {
        return;
    }
    let chain = chain_of(&core.trace, subject, now);
    let label = name(transfer);
    let call = transfer.call;
    let machine = &transfer.machine;
    let counts = format!(
        "call {call}: {} entries announced, {} of {} files asked for, {} complete",
        machine.entries().count(),
        machine.requested(),
        machine.files(),
        machine.completed()
    );
    let innermost = chain.as_ref().and_then(Chain::innermost);
    let held_up = innermost.filter(|innermost| innermost.layer < Layer::Http2);
    if let Some((held_up, receiver)) = held_up.and_then(|it| Some((it, it.side?))) {
        // Who does not take what was sent is the one to act, whoever's turn it is.
        let what = match (held_up.layer, held_up.subject) {
            (Layer::Socket, _) => format!("the {receiver} does not read from its socket"),
            (_, Subject::Call(of)) => {
                let stream = core.trace.calls.get(of).map_or(0, |of| of.stream_id);
                let outside = if of == call { "" } else { " outside" };
                no_window(receiver, &format!("stream {stream}"), outside)
            }
            (_, Subject::Connection(of)) => no_window(
                receiver,
                &format!("connection {of}"),
                outside(&core.trace, call, of),
            ),
            _ => no_window(receiver, "it", ""),
        };
        let age = ago(now, held_up.since.max(owed.since));
        if let Some((load, since)) = archives::blocked_load(&core.trace, receiver) {
            image_load(core, id, (load.id, since), confidence, sentence(chain));
            return;
        }
        let evidence = [Some(format!(
            "call {call}: the {side} must {}",
            owed.action
        ))];
        let case = Case {
            code,
            severity: Severity::Error,
            confidence,
            waiting_on: Some(receiver),
            subject,
            summary: format!("{label} stands still for {age}: {what}."),
            advice: format!(
                "The {receiver} does not consume what was sent: look at what it writes to, and whether it still reads."
            ),
            evidence: evidence
                .into_iter()
                .chain([sentence(chain)])
                .flatten()
                .collect(),
        };
        report(core, case);
        return;
    }
    let case = Case {
        code,
        severity: Severity::Warning,
        confidence,
        waiting_on: Some(side),
        subject,
        summary: format!(
            "{label} stands still for {}: the {side} must {}.",
            ago(now, owed.since),
            owed.action
        ),
        advice: format!(
            "Nothing else can move on this stream until the {side} does that: look at what the {side} is doing."
        ),
        evidence: [Some(counts), sentence(chain)]
            .into_iter()
            .flatten()
            .collect(),
    };
    report(core, case);
}

/// The client does not take an archive, because the engine does not take it from the client.
fn image_load(
    core: &mut Core,
    id: Id<Transfer>,
    (load, since): (Id<Exchange>, Time),
    confidence: Confidence,
    chain: Option<String>,
) {
    let Some(transfer) = core.trace.transfers.get(id) else {
        return;
    };
    let label = name(transfer);
    let not_read = format!(
        "request {load}: the daemon has read nothing of its body for {}",
        ago(core.now, since)
    );
    let case = Case {
        code: "image-load-stalled",
        severity: Severity::Error,
        confidence,
        waiting_on: Some(Side::Daemon),
        subject: Subject::Transfer(id),
        summary: format!(
            "{label} is held up by `POST /images/load`: the engine does not read the image that the client pipes into it."
        ),
        advice:
            "Look at the engine's disk and its log: what it does not read, the builder cannot send."
                .into(),
        evidence: [Some(not_read), chain].into_iter().flatten().collect(),
    };
    report(core, case);
}

/// A window is used up that `receiver` must open.
fn no_window(receiver: Side, on: &str, outside: &str) -> String {
    let sender = receiver.peer();
    format!(
        "the {sender} has no flow-control window left, and the {receiver} owes WINDOW_UPDATE on {on}{outside}"
    )
}

/// Whether a connection is one that carries that of the call.
fn outside(trace: &Trace, call: Id<Call>, connection: Id<Connection>) -> &'static str {
    let own = trace.calls.get(call).map(|call| call.connection);
    match own == Some(connection) {
        true => "",
        false => " outside",
    }
}

/// Whose turn it is, seen from the build that waits for it if there is one.
pub(super) fn chain_of(trace: &Trace, subject: Subject, now: Time) -> Option<Chain> {
    let call = match subject {
        Subject::Transfer(id) => trace.transfers.get(id).map(|transfer| transfer.call),
        Subject::Call(id) => Some(id),
        _ => None,
    };
    let build = call.and_then(|id| trace.calls.get(id)?.build);
    let of_build = build.and_then(|id| obligation::chain(trace, Subject::Build(id), now));
    // The build may wait for something else, too.
    let of_build = of_build.filter(|chain| {
        let mut links = chain.links().iter();
        links.any(|link| link.subject == subject)
    });
    of_build.or_else(|| obligation::chain(trace, subject, now))
}

/// A chain as it stands in the evidence.
pub(super) fn sentence(chain: Option<Chain>) -> Option<String> {
    chain.map(|chain| chain.sentence().to_owned())
}

/// Whether somebody still has not done what a finding of a stall says that they must. `false` for
/// findings that are no stalls.
pub fn stands(trace: &Trace, finding: &Finding, now: Time) -> bool {
    let is_stall = super::catalogue::find(finding.code).is_some_and(|entry| entry.stall);
    if !is_stall {
        return false;
    }
    match finding.subject {
        // The sender of an archive may have found nothing to send, since.
        Subject::Transfer(_) => trace.obligation(finding.subject, now).is_some_and(|owed| {
            owed.state != State::Idle && (owed.act != Act::SendArchive || owed.behind.is_some())
        }),
        subject => {
            let owed = trace.obligation(subject, now);
            owed.is_some_and(|owed| owed.state != State::Idle)
        }
    }
}

/// A callback of the daemon that the client does not answer.
fn callback(core: &mut Core, id: Id<Call>) {
    let now = core.now;
    let stall = core.stall();
    let Some(call) = core.trace.calls.get(id) else {
        return;
    };
    let subject = Subject::Call(id);
    let Some(owed) = core.trace.obligation(subject, now) else {
        return;
    };
    let callee = call.caller.peer();
    let is_late = owed.state == State::Waiting && now.since(owed.since) >= stall;
    if !is_late || owed.side != Some(callee) || core.trace.is_partial(call.connection) {
        return;
    }
    let service = call.service.rsplit('.').next().unwrap_or_default();
    let (code, advice) = match (service, call.method.as_str()) {
        ("Auth", _) => (
            "auth-callback-stuck",
            "The client asks its credential helper or a token endpoint: see whether that one hangs.",
        ),
        ("SSH", "ForwardAgent") => (
            "ssh-agent-stuck",
            "The agent may be waiting for somebody to confirm, or to touch a key.",
        ),
        ("Health", _) => (
            "health-check-starved",
            "The session's connection is saturated or the client stands still; the second check that fails ends the session.",
        ),
        ("Secrets", _) => (
            "callback-unanswered",
            "The client must answer with the secret or NOT_FOUND.",
        ),
        ("SSH", _) => (
            "callback-unanswered",
            "The client must answer whether it has such an agent: OK or an error.",
        ),
        _ => return,
    };
    let certain = match service {
        "Auth" => CREDENTIALS,
        _ => CERTAIN,
    };
    let confidence = confidence(core, owed.since, certain);
    if core.found(code, subject) >= Some(confidence) {
        return;
    }
    let deadline = metadata::timeout(call.metadata.iter().map(|(name, value)| (name, value)));
    let left = deadline.map(|deadline| deadline.saturating_sub(now.since(call.start)));
    let then = match (service, left) {
        ("Health", Some(left)) => format!(
            "; the daemon gives it up in {:.1} s, and ends the session the second time",
            left.as_secs_f64()
        ),
        _ => String::new(),
    };
    let chain = chain_of(&core.trace, subject, now);
    let name = call.short_name();
    let age = ago(now, owed.since);
    report(
        core,
        Case {
            code,
            severity: Severity::Warning,
            confidence,
            waiting_on: Some(callee),
            subject,
            summary: format!("{name} waits for the {callee} since {age}{then}."),
            advice: advice.into(),
            evidence: [
                Some(format!("call {id}: asked, not answered")),
                sentence(chain),
            ]
            .into_iter()
            .flatten()
            .collect(),
        },
    );
}
