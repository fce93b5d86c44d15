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

pub(crate) use calls::{call_ended, message_began};
pub(crate) use connections::{
    connection_closed, exchange_ended, exec_stderr, goaway, http2_violation, undecodable,
};
pub(crate) use control::{call_opened, policy_answered};
pub(crate) use sessions::{build_ended, build_started, session_opened, session_refused};
pub(crate) use setup::{header_list, stream_limit, stream_limit_reached};
pub(crate) use stall::tick;
pub(crate) use transfers::{
    error_packet, file_done, flavour_contradicted, malformed_packet, receiver_spoke,
    transfer_ended, violation,
};

pub(crate) use tunnels::tls;

use crate::core::Core;
use crate::event::Side;
use crate::text::ago;
use crate::trace::{Confidence, Finding, Severity, Subject};

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
        catalogue::find(case.code).is_some_and(|entry| entry.detected),
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
