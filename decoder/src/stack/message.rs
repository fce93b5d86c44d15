//! Messages whose meaning moves the trace: solves, their status, what the daemon says of itself,
//! what a callback is about.

use buildtap_proto::moby::buildkit::v1 as control;
use buildtap_proto::moby::buildkit::v1::frontend;
use prost::Message as _;

use super::build;
use crate::core::Core;
use crate::doctor;
use crate::event::Side;
use crate::protocol::metadata;
use crate::text;
use crate::trace::{Call, Id};
use crate::wire::protobuf::{self, Value};

/// Bytes kept of what a call is about.
const SUBJECT_LIMIT: usize = 256;

/// What a call's messages mean here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// `Control.Solve`: a build.
    Solve,
    /// `Control.Status`: a build's steps.
    Status,
    /// `LLBBridge.Solve`: what a client that is its own frontend asks for.
    BridgeSolve,
    /// `Control.Info`: the daemon's version.
    Info,
    /// `Control.ListWorkers`: the same, of its workers.
    ListWorkers,
    /// A request of which this field says what the call is about.
    About(u32),
    /// `PolicyVerifier.CheckPolicy`: whether a source is allowed.
    Policy,
    /// Anything else: shown, not understood.
    Other,
}

impl Meaning {
    pub(super) fn of(path: &str) -> Self {
        match path {
            "/moby.buildkit.v1.Control/Solve" => Meaning::Solve,
            "/moby.buildkit.v1.Control/Status" => Meaning::Status,
            "/moby.buildkit.v1.frontend.LLBBridge/Solve" => Meaning::BridgeSolve,
            "/moby.buildkit.v1.Control/Info" => Meaning::Info,
            "/moby.buildkit.v1.Control/ListWorkers" => Meaning::ListWorkers,
            "/moby.buildkit.secrets.v1.Secrets/GetSecret"
            | "/moby.sshforward.v1.SSH/CheckAgent"
            | "/moby.filesync.v1.Auth/Credentials"
            | "/moby.filesync.v1.Auth/GetTokenAuthority"
            | "/moby.filesync.v1.Auth/VerifyTokenAuthority" => Meaning::About(1),
            "/moby.filesync.v1.Auth/FetchToken" => Meaning::About(2),
            "/moby.buildkit.v1.sourcepolicy.policysession.PolicyVerifier/CheckPolicy" => {
                Meaning::Policy
            }
            _ => Meaning::Other,
        }
    }

    /// Whether the whole message is needed.
    pub(super) fn is_needed(self, core: &Core, call: Id<Call>, from: Side) -> bool {
        let is_request = || {
            core.trace
                .calls
                .get(call)
                .is_some_and(|call| call.caller == from)
        };
        match self {
            Meaning::Solve | Meaning::Status | Meaning::Policy => true,
            Meaning::BridgeSolve | Meaning::About(_) => is_request(),
            Meaning::Info | Meaning::ListWorkers => !is_request(),
            Meaning::Other => false,
        }
    }

    /// Takes a whole message. One that does not parse is shown as it is, and means nothing.
    pub(super) fn message(self, core: &mut Core, call: Id<Call>, from: Side, body: &[u8]) {
        let Some(row) = core.trace.calls.get(call) else {
            return;
        };
        let request = row.caller == from;
        match self {
            Meaning::Solve if request => {
                if let Ok(solve) = control::SolveRequest::decode(body) {
                    build::solve(core, call, &solve);
                }
            }
            Meaning::Solve => {
                if let Ok(answer) = control::SolveResponse::decode(body) {
                    build::solved(core, call, answer);
                }
            }
            Meaning::Status if request => {
                if let Ok(status) = control::StatusRequest::decode(body) {
                    build::status_asked(core, call, &status.r#ref);
                }
            }
            Meaning::Status => {
                let build = row.build;
                if let (Some(build), Ok(status)) = (build, control::StatusResponse::decode(body)) {
                    build::status(core, build, status);
                }
            }
            Meaning::BridgeSolve => {
                if let Ok(solve) = frontend::SolveRequest::decode(body) {
                    build::bridge_solve(core, call, &solve);
                }
            }
            Meaning::Info => {
                if let Ok(info) = control::InfoResponse::decode(body)
                    && let Some(version) = info.buildkit_version
                {
                    note_version(core, from, &version.version);
                }
            }
            Meaning::ListWorkers => {
                if let Ok(workers) = control::ListWorkersResponse::decode(body) {
                    for worker in workers.record {
                        if let Some(version) = worker.buildkit_version {
                            note_version(core, from, &version.version);
                        }
                    }
                }
            }
            Meaning::About(number) => {
                let subject = text_field(body, number);
                if let (Some(subject), Some(row)) = (subject, core.trace.calls.get_mut(call)) {
                    row.subject = Some(subject);
                }
            }
            Meaning::Policy if request => {
                // CheckPolicyRequest.Source.Source.identifier
                let source = field(body, 2).and_then(|source| field(source, 1));
                let subject = source.and_then(|source| text_field(source, 1));
                if let (Some(subject), Some(row)) = (subject, core.trace.calls.get_mut(call)) {
                    row.subject = Some(subject);
                }
            }
            Meaning::Policy => {
                // CheckPolicyResponse is a decision, or a request for more; to convert is to ask again.
                const CONVERT: u64 = 2;
                let is_decided = field(body, 1).is_some_and(|decision| {
                    let mut fields = protobuf::fields(decision).map_while(Result::ok);
                    !fields.any(|it| it.number == 1 && matches!(it.value, Value::Varint(CONVERT)))
                });
                doctor::policy_answered(core, call, is_decided);
            }
            Meaning::Other => {}
        }
    }
}

/// Whether programs send their spans by a method, or read those that were recorded.
pub(super) fn is_spans(path: &str) -> bool {
    matches!(
        path,
        "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
            | "/moby.buildkit.v1.Control/ListenBuildHistory"
            | "/containerd.services.content.v1.Content/Read"
    )
}

/// A field of a message that has a length.
fn field(body: &[u8], number: u32) -> Option<&[u8]> {
    let mut fields = protobuf::fields(body).map_while(Result::ok);
    fields.find_map(|field| match field.value {
        Value::Len(bytes) if field.number == number => Some(bytes),
        _ => None,
    })
}

/// The text in a field of a message.
fn text_field(body: &[u8], number: u32) -> Option<String> {
    let subject = std::str::from_utf8(field(body, number)?).ok()?;
    Some(text::head(subject, SUBJECT_LIMIT).to_owned()).filter(|subject| !subject.is_empty())
}

/// What the request headers of a call say it is about.
pub(super) fn subject_of_headers(service: &str, headers: &[(String, String)]) -> Option<String> {
    let value = |wanted: &str| {
        let mut headers = headers.iter();
        headers
            .find(|(name, _)| name == wanted)
            .map(|(_, value)| value.clone())
    };
    let subject = match service {
        "moby.filesync.v1.FileSync" => {
            let pairs = headers.iter().map(|(name, value)| (name, value));
            metadata::FileSync::from_headers(pairs).dir_name
        }
        "moby.filesync.v1.FileSend" => {
            let index = value("buildkit-attachable-exporter-id");
            Some(format!("exporter {}", index.as_deref().unwrap_or("0")))
        }
        "moby.sshforward.v1.SSH" => value("buildkit.ssh.id"),
        "moby.upload.v1.Upload" => value("urlpath"),
        "containerd.services.content.v1.Content" => value("buildkit-attachable-store-id"),
        _ => None,
    }?;
    Some(text::head(&subject, SUBJECT_LIMIT).to_owned()).filter(|subject| !subject.is_empty())
}

fn note_version(core: &mut Core, side: Side, version: &str) {
    if !version.is_empty() {
        core.trace
            .versions
            .note(side, format!("BuildKit {version}"));
    }
}

/// A call began: ties it to the build that it serves.
pub(super) fn call_opened(core: &mut Core, call: Id<Call>) {
    build::tie(core, call);
    doctor::call_opened(core, call);
}

/// A call ended: what that means for its build.
pub(super) fn call_ended(core: &mut Core, call: Id<Call>) {
    let Some(row) = core.trace.calls.get(call) else {
        return;
    };
    let path = row.path();
    if row.vertex.is_none() {
        // The daemon may have named the step only after it made the call.
        build::tie(core, call);
    }
    if Meaning::of(&path) == Meaning::Solve {
        build::solve_ended(core, call);
    }
}
