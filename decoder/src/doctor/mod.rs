//! What is wrong: rules over the trace, each with its evidence.
//!
//! The [`crate::stack`] calls the rules when something happens; [`tick`] looks for what does not
//! happen, and asks [`crate::obligation`] whose turn it is. What a rule cannot be sure of it says
//! is likely; what is healthy but odd (RST after trailers, a call cancelled because its build is
//! over, UNIMPLEMENTED where the daemon falls back) stays silent.

mod archives;
mod calls;
pub mod catalogue;
mod connections;
mod control;
mod loss;
mod sessions;
mod setup;
mod stall;
mod transfers;
mod tunnels;

pub(crate) use setup::stream_limit;

use crate::core::Core;
use crate::event::Side;
use crate::protocol::diffcopy::Violation;
use crate::text::ago;
use crate::trace::{
    Build, Call, Confidence, Connection, Exchange, File, Finding, Flavour, Id, Session, Severity,
    Subject, Transfer,
};
use crate::wire::protobuf::Malformed;

/// Declares what the rest of the decoder says to the rules: nothing, when nobody wants findings.
macro_rules! told {
    ($($rules:ident: $event:ident($($name:ident: $type:ty),*);)*) => {$(
        pub(crate) fn $event(core: &mut Core, $($name: $type),*) {
            if core.options.findings {
                $rules::$event(core, $($name),*);
            }
        }
    )*};
}

told! {
    connections: connection_closed(id: Id<Connection>);
    connections: undecodable(id: Id<Connection>, from: Side);
    connections: http2_violation(id: Id<Connection>, from: Side, what: &str);
    connections: goaway(id: Id<Connection>, from: Side);
    connections: exec_stderr(id: Id<Connection>, text: &str);
    connections: exchange_ended(id: Id<Exchange>);
    tunnels: tls(id: Id<Connection>, from: Side, bytes: &[u8], is_first: bool);
    setup: header_list(id: Id<Connection>, from: Side, stream_id: u32, size: usize);
    setup: stream_limit_reached(id: Id<Connection>, caller: Side, open: usize, limit: u32);
    sessions: session_opened(id: Id<Session>);
    sessions: session_refused(id: Id<Session>);
    sessions: build_started(id: Id<Build>);
    sessions: build_ended(id: Id<Build>);
    control: call_opened(id: Id<Call>);
    control: policy_answered(id: Id<Call>, is_decided: bool);
    calls: message_began(id: Id<Call>, from: Side, length: u32);
    calls: call_ended(id: Id<Call>);
    transfers: flavour_contradicted(id: Id<Transfer>, before: Flavour);
    transfers: receiver_spoke(id: Id<Transfer>);
    transfers: malformed_packet(id: Id<Transfer>, from: Side, malformed: &Malformed);
    transfers: violation(id: Id<Transfer>, from: Side, violation: &Violation);
    transfers: error_packet(id: Id<Transfer>, by: Side, text: &str);
    transfers: file_done(id: Id<Transfer>, file: &File);
    transfers: transfer_ended(id: Id<Transfer>);
    stall: tick();
}

/// A finding before it has its number.
struct Case {
    code: &'static str,
    severity: Severity,
    confidence: Confidence,
    waiting_on: Option<Side>,
    subject: Subject,
    summary: String,
    advice: String,
    evidence: Vec<String>,
}

/// Adds a finding. What was reported of the same subject before is not added again, but becomes
/// certain if it is now and was not then.
fn report(core: &mut Core, case: Case) {
    debug_assert!(
        catalogue::find(case.code).is_some(),
        "{} is not in the catalogue",
        case.code
    );
    let now = core.now;
    let evidence = case
        .evidence
        .iter()
        .map(String::len)
        .fold(0, usize::saturating_add);
    let weight = case.summary.len().saturating_add(evidence);
    let certain = (case.confidence == Confidence::Certain).then_some(now);
    core.find(
        case.code,
        case.subject,
        case.confidence,
        weight,
        |id, at| Finding {
            id,
            code: case.code,
            severity: case.severity,
            waiting_on: case.waiting_on,
            summary: case.summary,
            advice: case.advice,
            evidence: case.evidence,
            at,
            certain,
            subject: case.subject,
        },
    );
}
