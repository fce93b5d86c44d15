//! Rules about calls.

use super::{Case, control, report};
use crate::core::Core;
use crate::event::Side;
use crate::trace::{Call, Confidence, Flavour, Id, Severity, Subject};

/// What a Go session server, grpc-go's default, takes in one message.
const SESSION_LIMIT: u32 = 4 << 20;
/// What BuildKit's own servers and clients take.
const BUILDKIT_LIMIT: u32 = 16 << 20;

/// A message began, of so many bytes.
pub(super) fn message_began(core: &mut Core, id: Id<Call>, from: Side, length: u32) {
    if length <= SESSION_LIMIT {
        return;
    }
    let Some(call) = core.trace.calls.get(id) else {
        return;
    };
    let limit = if call.session.is_some() && from == Side::Daemon {
        SESSION_LIMIT
    } else {
        BUILDKIT_LIMIT
    };
    if length <= limit {
        return;
    }
    let name = call.short_name();
    let receiver = from.peer();
    report(
        core,
        Case {
            code: "message-too-large",
            severity: Severity::Warning,
            confidence: Confidence::Likely,
            waiting_on: None,
            subject: Subject::Call(id),
            summary: format!(
                "The {from} sends a message of {length} bytes on {name}; the {receiver} takes {limit} unless it was told otherwise."
            ),
            advice: format!(
                "Raise the {receiver}'s limit for received messages, or send less in one message."
            ),
            evidence: vec![format!(
                "call {id}: the gRPC prefix announces {length} bytes"
            )],
        },
    );
}

/// A call ended.
pub(super) fn call_ended(core: &mut Core, id: Id<Call>) {
    control::call_failed(core, id);
    let Some(call) = core.trace.calls.get(id) else {
        return;
    };
    let Some(status) = call.status.clone().filter(|status| status.code != 0) else {
        return;
    };
    let service = call
        .service
        .rsplit('.')
        .next()
        .unwrap_or_default()
        .to_owned();
    let name = call.short_name();
    let transfer = call.transfer.and_then(|id| core.trace.transfers.get(id));
    let carries_archive = transfer.is_some_and(|transfer| transfer.flavour == Flavour::Bytes);
    let Some(known) = judge(
        &service,
        &call.method,
        status.code,
        &status.message,
        call.session.is_some(),
        carries_archive,
    ) else {
        return;
    };
    let callee = call.caller.peer();
    let code = status.name();
    let mut evidence = vec![format!("call {id} {name} → {code} {}", status.message)];
    evidence.extend(status.details.iter().take(4).cloned());
    if service == "Health" {
        let mut before = core.trace.calls.iter().filter(|other| {
            other.id < id
                && other.session == call.session
                && other.service == call.service
                && other.status.as_ref().is_some_and(|status| status.code != 0)
        });
        evidence.extend(
            before
                .next_back()
                .map(|other| format!("call {} before it too", other.id)),
        );
    }
    let subject = match (service.as_str(), call.session) {
        ("Health", Some(session)) => Subject::Session(session),
        _ => Subject::Call(id),
    };
    report(
        core,
        Case {
            code: known.code,
            severity: known.severity,
            confidence: Confidence::Certain,
            waiting_on: None,
            subject,
            summary: format!(
                "{name} was answered {code} by the {callee}: {}",
                known.summary(&status.message)
            ),
            advice: known.advice.into(),
            evidence,
        },
    );
}

struct Judgement {
    code: &'static str,
    severity: Severity,
    meaning: &'static str,
    advice: &'static str,
}

impl Judgement {
    fn summary(&self, message: &str) -> String {
        match (self.meaning, message) {
            ("", message) => format!("{message}."),
            (meaning, "") => format!("{meaning}."),
            (meaning, message) => format!("{meaning} ({message})."),
        }
    }
}

/// Whether a message says that something did not decode as protobuf.
fn is_parse_error(message: &str) -> bool {
    let words = [
        "wire type",
        "decode",
        "unmarshal",
        "proto:",
        "invalid tag",
        "packet",
    ];
    let message = message.to_ascii_lowercase();
    words.iter().any(|word| message.contains(word))
}

/// What a failed call means. `None`: nothing, the caller is prepared for it, or it only follows
/// from something else.
fn judge(
    service: &str,
    method: &str,
    code: u32,
    message: &str,
    on_session: bool,
    carries_archive: bool,
) -> Option<Judgement> {
    use Severity::{Error, Warning};
    const CANCELED: u32 = 1;
    const UNKNOWN: u32 = 2;
    const INVALID_ARGUMENT: u32 = 3;
    const INTERNAL: u32 = 13;
    const NOT_FOUND: u32 = 5;
    const RESOURCE_EXHAUSTED: u32 = 8;
    const UNIMPLEMENTED: u32 = 12;
    const UNAVAILABLE: u32 = 14;
    let is = |code, severity, meaning, advice| {
        Some(Judgement {
            code,
            severity,
            meaning,
            advice,
        })
    };
    match (service, method, code) {
        // Who cancelled is said where it happened; the rest is collateral.
        (_, _, CANCELED) => None,
        _ if message.contains("context canceled") => None,
        (_, _, RESOURCE_EXHAUSTED) if message.contains("larger than max") => is(
            "message-too-large",
            Error,
            "a message was larger than its receiver takes",
            "Raise the receiver's limit: 4 MiB is the default of gRPC, 16 MiB is BuildKit's own.",
        ),
        _ if message.contains("HTTP status 431") => is(
            "header-list-too-large",
            Error,
            "the headers are larger than what it takes",
            "Long lists of include and exclude patterns are headers: shorten them, or raise the limit of the HTTP/2 \
             server.",
        ),
        ("Health", "Check", UNIMPLEMENTED) => is(
            "health-service-missing",
            Error,
            "the session server has no grpc.health.v1.Health; the daemon asks again in 5 s, and then ends the session",
            "Register the standard health service on the session's gRPC server, answering SERVING.",
        ),
        ("Health", "Check", _) => is(
            "health-check-failed",
            Warning,
            "the second failed check ends the session",
            "The session server must answer Health.Check with OK within its deadline.",
        ),
        // The daemon falls back to Credentials, and then to anonymous (auth.go).
        ("Auth", "GetTokenAuthority" | "VerifyTokenAuthority", UNIMPLEMENTED | UNAVAILABLE)
        | ("Auth", "Credentials", UNIMPLEMENTED)
        | ("Exporter", _, UNIMPLEMENTED) => None,
        // Whether the secret was optional is the build's matter.
        ("Secrets", "GetSecret", NOT_FOUND | UNIMPLEMENTED) => is(
            "secret-not-found",
            Warning,
            "the client has no such secret",
            "Pass it to the build (docker build --secret id=…), or mark the mount as not required.",
        ),
        ("FileSync", _, NOT_FOUND) => is(
            "local-dir-not-offered",
            Error,
            "the client does not offer that directory",
            "The names that the daemon asks for are `context`, `dockerfile` and those of named contexts; the \
             client's FileSync server must know them.",
        ),
        ("FileSend", _, _) if message.contains("exporter") && message.contains("not found") => is(
            "exporter-id-unknown",
            Error,
            "the client registered no exporter with that id",
            "Exporter ids are the positions in SolveRequest.Exporters: register FileSend targets under the same \
             numbers.",
        ),
        // The client has the content already.
        ("FileSend", _, 6) => None,
        ("Content", _, NOT_FOUND) if message.contains("store") => is(
            "content-store-missing",
            Error,
            "the client has no content store of that name",
            "The store is named by buildkit-attachable-store-id: oci:NAME, local:PATH or export.",
        ),
        ("Content", _, INVALID_ARGUMENT) if message.contains("metadata") => is(
            "content-store-missing",
            Error,
            "the client could not tell which of its content stores was meant",
            "The store is named by the header buildkit-attachable-store-id: oci:NAME, local:PATH or export.",
        ),
        ("SSH", "CheckAgent", code) if code != UNIMPLEMENTED => is(
            "call-failed",
            Warning,
            "the client forwards no SSH agent of that name",
            "Pass it to the build (docker build --ssh default), or change the id of the mount.",
        ),
        // A receiver of packets does not get past the first message of an archive.
        ("FileSend", _, UNKNOWN | INVALID_ARGUMENT | INTERNAL)
            if carries_archive && is_parse_error(message) =>
        {
            is(
                "bytes-read-as-packets",
                Error,
                "the call carries an archive (BytesMessages), and the client took it for fsutil Packets",
                "For tar, oci and docker outputs read BytesMessages, write their data down, and send nothing.",
            )
        }
        // The agent's socket was closed: how every forwarding ends (sshforward/copy.go).
        ("SSH", "ForwardAgent", _) if message == "EOF" => None,
        // Reading a content store asks for blobs that may not be there.
        ("Content", _, NOT_FOUND | 6) => None,
        (_, _, UNIMPLEMENTED) if on_session => is(
            "method-unimplemented",
            Error,
            "the daemon needs this method, and the client's session server does not have it",
            "Implement the method, or do not ask for what needs it.",
        ),
        _ if on_session => is(
            "call-failed",
            Warning,
            "",
            "The text is the callee's own: its log says more.",
        ),
        // On a control connection the caller is the one to say what it wanted.
        _ => None,
    }
}
