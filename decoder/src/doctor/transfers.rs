//! Rules about transfers.

use std::time::Duration;

use super::stall::{chain_of, sentence};
use super::{Case, archives, report};
use crate::core::Core;
use crate::event::{Side, Time};
use crate::protocol::diffcopy::Violation;
use crate::trace::{
    Call, CallState, Confidence, File, Flavour, Id, Severity, Subject, Transfer, TransferState,
};
use crate::wire::protobuf::Malformed;

/// `FileSend of exporter 0 (local)`, `FileSync of "context"`.
pub(super) fn name(transfer: &Transfer) -> String {
    match (transfer.service.as_str(), &transfer.exporter) {
        ("FileSend", Some(kind)) => format!("FileSend of exporter {} ({kind})", transfer.name),
        ("FileSend", None) => format!("FileSend of exporter {}", transfer.name),
        (service, _) => format!("{service} of \"{}\"", transfer.name),
    }
}

fn simple(
    core: &mut Core,
    id: Id<Transfer>,
    (code, severity): (&'static str, Severity),
    summary: impl FnOnce(&str) -> String,
    advice: &str,
    evidence: Vec<String>,
) {
    let Some(transfer) = core.trace.transfers.get(id) else {
        return;
    };
    let call = transfer.call;
    let summary = summary(&name(transfer));
    let mut evidence = evidence;
    evidence.insert(0, format!("transfer {id} on call {call}"));
    let case = Case {
        code,
        severity,
        confidence: Confidence::Certain,
        waiting_on: None,
        subject: Subject::Transfer(id),
        summary,
        advice: advice.into(),
        evidence,
    };
    report(core, case);
}

/// Whether bytes of a transfer may be missing: then what its machine makes of the rest is no
/// evidence against anybody.
pub(super) fn is_partial(core: &Core, id: Id<Transfer>) -> bool {
    let transfer = core.trace.transfers.get(id);
    transfer
        .and_then(|transfer| core.trace.calls.get(transfer.call))
        .is_some_and(|call| core.trace.is_partial(call.connection))
}

/// The first bytes are not what the build's exporter promised.
pub(super) fn flavour_contradicted(core: &mut Core, id: Id<Transfer>, before: Flavour) {
    simple(
        core,
        id,
        ("flavour-contradicted", Severity::Warning),
        |name| {
            format!(
                "{name} was expected to carry {}, but its first bytes say otherwise.",
                match before {
                    Flavour::Packet => "packets",
                    Flavour::Bytes => "bytes",
                    Flavour::Unknown => "nothing",
                }
            )
        },
        "The sender does not do what the build's exporter asks for, or the call belongs to another build.",
        Vec::new(),
    );
}

/// The receiver of an archive answered, which only a receiver of packets does.
pub(super) fn receiver_spoke(core: &mut Core, id: Id<Transfer>) {
    if is_partial(core, id) {
        return;
    }
    simple(
        core,
        id,
        ("bytes-read-as-packets", Severity::Error),
        |name| {
            format!(
                "{name} carries an archive (BytesMessages), but the receiver answers as if it were fsutil Packets."
            )
        },
        "For tar, oci and docker outputs the client must read BytesMessages and write their data down, and send \
         nothing.",
        Vec::new(),
    );
}

/// A message that is no packet where one should be.
pub(super) fn malformed_packet(
    core: &mut Core,
    id: Id<Transfer>,
    from: Side,
    malformed: &Malformed,
) {
    simple(
        core,
        id,
        ("malformed-packet", Severity::Error),
        |name| format!("On {name} the {from} sent a message that is no fsutil Packet."),
        "The sender speaks another protocol on this method, or its messages are damaged on the way.",
        vec![malformed.to_string()],
    );
}

/// A side gave up.
pub(super) fn error_packet(core: &mut Core, id: Id<Transfer>, by: Side, text: &str) {
    // The text of a transfer that was cancelled with its build says nothing new.
    if text.contains("context canceled") {
        return;
    }
    simple(
        core,
        id,
        ("transfer-error-packet", Severity::Error),
        |name| format!("{name} failed: the {by} says in an ERR packet: {text}"),
        "This text is the cause; the gRPC status that follows often only says that the call was cancelled.",
        vec![format!("ERR packet from the {by}: {text}")],
    );
}

/// The contents of a file are complete.
pub(super) fn file_done(core: &mut Core, id: Id<Transfer>, file: &File) {
    let Some(size) = file.size.filter(|size| *size != file.bytes) else {
        return;
    };
    // fsutil makes a file of a hard link whose target was filtered out, and leaves its size at 0.
    if (size == 0 && file.bytes > 0) || is_partial(core, id) {
        return;
    }
    let path = file
        .path
        .clone()
        .unwrap_or_else(|| format!("id {}", file.id));
    simple(
        core,
        id,
        ("file-changed-during-transfer", Severity::Warning),
        |name| {
            format!(
                "On {name} the file {path} was announced with {size} bytes, but {} were sent.",
                file.bytes
            )
        },
        "The file changed or vanished while it was read; a file that cannot be opened arrives empty, without an error.",
        vec![format!(
            "{path}: STAT says {size}, DATA carried {}",
            file.bytes
        )],
    );
}

/// A packet broke a rule.
pub(super) fn violation(core: &mut Core, id: Id<Transfer>, from: Side, violation: &Violation) {
    if is_partial(core, id) {
        return;
    }
    let (code, summary, advice) = match violation {
        Violation::OutOfOrder { before, after } => (
            "stat-order-violation",
            format!(
                "the {from} announces {after} after {before}, but paths must ascend with `/` as the lowest character"
            ),
            "Sort the walk by path with `/` lowest: the receiver answers \"changes out of order\".",
        ),
        Violation::BadPath(path) => (
            "stat-order-violation-path",
            format!(
                "the {from} announces the path {path:?}, which is absolute, unclean or leads out of the tree"
            ),
            "Paths are relative, slash-separated and clean, without `.` and `..`.",
        ),
        Violation::NoParent(path) => (
            "stat-order-violation",
            format!("the {from} announces {path} without having announced its directory before"),
            "Send a STAT for every directory, before those of what is in it: the receiver answers \"changes out of \
             order\".",
        ),
        Violation::BadLink { path, target } => (
            "stat-order-violation-link",
            format!(
                "the {from} announces {path} as a hard link to {target}, which was not announced before it"
            ),
            "Announce the first of several links as a file and the others as links to it, by its path in this \
             listing: the receiver answers \"invalid link\".",
        ),
        Violation::BadRequest { id, what } => (
            "stat-order-violation-request",
            format!("the {from} asks for the contents of id {id}, but {what}"),
            "Ids count every STAT from 0, directories and links included; only regular files can be asked for.",
        ),
        Violation::RequestedTwice(id) => (
            "stat-order-violation-request",
            format!("the {from} asks for id {id} a second time"),
            "Each file can be asked for once: the sender answers \"invalid file id\".",
        ),
        Violation::UnexpectedData(id) => (
            "stat-order-violation-data",
            format!("the {from} sends contents of id {id}, which nobody asked for"),
            "DATA must answer a REQ with the same id: the receiver says \"invalid file request\".",
        ),
        Violation::WrongSide { kind, .. } => (
            "stat-order-violation-side",
            format!("the {from} sends a packet {kind:?} that is not its to send"),
            "The sender sends STAT and DATA, the receiver REQ; both send FIN and ERR.",
        ),
        Violation::EarlyFin => (
            "stat-order-violation-fin",
            format!("the {from} says FIN before the listing is complete"),
            "FIN comes after the STAT without a stat that ends the listing.",
        ),
    };
    simple(
        core,
        id,
        (code, Severity::Error),
        |name| format!("On {name} {summary}."),
        advice,
        Vec::new(),
    );
}

/// A transfer ended.
pub(super) fn transfer_ended(core: &mut Core, id: Id<Transfer>) {
    archives::shared_key(core, id);
    let Some(transfer) = core.trace.transfers.get(id) else {
        return;
    };
    if transfer.state != TransferState::Failed || transfer.flavour != Flavour::Packet {
        return;
    }
    if packets_read_as_bytes(core, id) {
        return;
    }
    let Some(transfer) = core.trace.transfers.get(id) else {
        return;
    };
    let Some(call) = core.trace.calls.get(transfer.call) else {
        return;
    };
    if core.trace.is_partial(call.connection) {
        return;
    }
    // What ended because its session or build ended is said there.
    let own_fault = call.state == CallState::Complete
        && call.status.as_ref().is_none_or(|status| status.code == 0);
    if !own_fault || transfer.machine.err().is_some() {
        return;
    }
    let Some(turn) = transfer.machine.turn() else {
        return;
    };
    simple(
        core,
        id,
        ("transfer-incomplete", Severity::Error),
        |name| {
            format!(
                "{name} ended with status OK before it was complete: the {} still had to {}.",
                turn.side, turn.action
            )
        },
        "A transfer is complete when FIN was answered by FIN; ending the call earlier loses files.",
        Vec::new(),
    );
}

/// Calls among which a health check is looked for.
const LATEST_CALLS: usize = 256;

/// How long a receiver of a local export may say nothing after the listing before it is taken for
/// one that reads bytes: a healthy one asks for its first file at once.
const PACKETS_AS_BYTES: Duration = Duration::from_secs(2);
/// How long before that is certain, when nothing else shows that it lives.
const SURE: Duration = Duration::from_secs(5);

/// Whether `side` has a health check before it that it has not answered for a while, or its socket
/// is not read, so that it says nothing of anything after `since`.
fn is_deaf(core: &Core, call: &Call, since: Time, side: Side) -> bool {
    let connection = core.trace.connections.get(call.connection);
    let said = connection.and_then(|connection| *connection.last_bytes.get(side));
    let blocked = connection.is_some_and(|connection| connection.not_reading.get(side).is_some());
    let mut calls = core.trace.calls.iter().rev().take(LATEST_CALLS);
    let unanswered = calls.any(|other| {
        other.connection == call.connection
            && other.service.ends_with(".Health")
            && other.state == CallState::Open
            && core.now.since(other.start) >= PACKETS_AS_BYTES
    });
    said <= Some(since) && (blocked || unanswered)
}

/// The receiver of a local export takes its packets for an archive: it never asks for a file.
/// Gives whether that is so.
pub(super) fn packets_read_as_bytes(core: &mut Core, id: Id<Transfer>) -> bool {
    let Some(transfer) = core.trace.transfers.get(id) else {
        return false;
    };
    let machine = &transfer.machine;
    let sender = transfer.sender();
    let receiver = sender.peer();
    let Some(call) = core.trace.calls.get(transfer.call) else {
        return false;
    };
    // When the sender cancels, the build was over, and the receiver had no more time.
    const CANCEL: u32 = 8;
    let cancelled = call
        .reset
        .as_ref()
        .is_some_and(|reset| reset.by == Some(sender) && reset.code == Some(CANCEL));
    let patience = core.options.stall_after.unwrap_or(PACKETS_AS_BYTES);
    // A message that is on its way may be the first request.
    let listed = machine
        .final_stat()
        .max(call.sent_by(receiver).last)
        .filter(|at| core.now.since(*at) >= PACKETS_AS_BYTES.min(patience));
    let fits = !cancelled
        && listed.is_some()
        && !is_partial(core, id)
        && transfer.service == "FileSend"
        && transfer.flavour == Flavour::Packet
        && machine.final_stat().is_some()
        && machine.files() > 0
        && machine.packets(receiver) == 0;
    let Some(listed) = listed.filter(|_| fits) else {
        return false;
    };
    // Who is stopped, or reads nothing at all, does not mistake packets for bytes: it answers
    // nothing else either.
    if is_deaf(core, call, listed, receiver) {
        return false;
    }
    let lives = core.trace.connections.get(call.connection);
    let lives = lives.and_then(|connection| *connection.last_bytes.get(receiver));
    let patience = core.options.stall_after.unwrap_or(SURE);
    let confidence = match lives > Some(listed) || core.now.since(listed) >= patience {
        true => Confidence::Certain,
        false => Confidence::Likely,
    };
    if core.found("packets-read-as-bytes", Subject::Transfer(id)) >= Some(confidence) {
        return true;
    }
    let files = machine.files();
    let entries = machine.entries().count();
    let output = match &transfer.exporter {
        Some(kind) => format!("`{kind}`"),
        None => "a tree (`local`)".to_owned(),
    };
    let summary = format!(
        "{}: the output is {output}, so FileSend carries fsutil Packets, but the {receiver} handles it as a stream of \
         BytesMessages: it has asked for nothing, and owes REQ for {files} file{}.",
        name(transfer),
        if files == 1 { "" } else { "s" }
    );
    let mut evidence = transfer.evidence.clone();
    evidence.push(format!(
        "the {} announced {entries} entries ({files} regular files) and ended the listing; the {receiver} has sent no \
         message on call {}",
        transfer.sender(),
        transfer.call
    ));
    evidence.extend(sentence(chain_of(
        &core.trace,
        Subject::Transfer(id),
        core.now,
    )));
    report(
        core,
        Case {
            code: "packets-read-as-bytes",
            severity: Severity::Error,
            confidence,
            waiting_on: Some(receiver),
            subject: Subject::Transfer(id),
            summary,
            advice: "For a `local` output read fsutil Packets: count the STATs (the first has id 0), send REQ with the \
                     id of each regular file, write its DATA until an empty DATA, then send FIN and wait for FIN. Or \
                     ask for the `tar` output, which is a plain stream."
                .into(),
            evidence,
        },
    );
    true
}
