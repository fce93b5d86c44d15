//! Calls of the daemon on the session, but for file transfers.

use buildtap_decoder::event::Side::Client;
use buildtap_fixtures::peers::grpc::code;
use buildtap_fixtures::peers::script::{Action, ExtraCall, Rule, Step};
use buildtap_fixtures::peers::tree::Tree;
use buildtap_proto::moby::buildkit::v1::frontend::{
    ResolveSourceMetaRequest, ResolveSourceMetaResponse,
};
use buildtap_proto::moby::buildkit::v1::sourcepolicy::policysession::{
    CheckPolicyRequest, CheckPolicyResponse, DecisionResponse, check_policy_response,
};
use buildtap_proto::pb::SourceOp;
use bytes::Bytes;
use prost::Message as _;

use crate::table::{Entry, Play, build};

const CREDENTIALS: &str = "/moby.filesync.v1.Auth/Credentials";
const SECRET: &str = "/moby.buildkit.secrets.v1.Secrets/GetSecret";
const FILE_SYNC: &str = "/moby.filesync.v1.FileSync/DiffCopy";
const FILE_SEND: &str = "/moby.filesync.v1.FileSend/DiffCopy";
const FORWARD_AGENT: &str = "/moby.sshforward.v1.SSH/ForwardAgent";
const CONTENT_INFO: &str = "/containerd.services.content.v1.Content/Info";
const CHECK_POLICY: &str =
    "/moby.buildkit.v1.sourcepolicy.policysession.PolicyVerifier/CheckPolicy";

/// The client answers calls of a method with an error.
fn answer(play: &mut Play, path: &str, code: u32, message: &str) {
    let message = message.into();
    let rule = Rule::new(Step::AnswerCall, Action::Fail { code, message });
    play.client.rules.push(rule.scope(path));
}

/// The client does not answer calls of a method.
fn silent(play: &mut Play, path: &str) {
    let rule = Rule::new(Step::AnswerCall, Action::Hang);
    play.client.rules.push(rule.scope(path));
}

/// A build with an SSH mount, and a client with an agent for it.
fn with_agent() -> Play {
    let mut play = build();
    let text = "FROM alpine:3.20\nRUN --mount=type=ssh ssh-add -l\n";
    play.client.dockerfile = Tree::new().text("Dockerfile", text);
    play.client.ssh_agent = true;
    play
}

/// The question whether an image may be used.
fn check_policy(image: &str) -> ExtraCall {
    let source = SourceOp {
        identifier: format!("docker-image://docker.io/library/{image}:latest"),
        ..SourceOp::default()
    };
    let request = CheckPolicyRequest {
        source: Some(ResolveSourceMetaResponse {
            source: Some(source),
            ..ResolveSourceMetaResponse::default()
        }),
        ..CheckPolicyRequest::default()
    };
    ExtraCall {
        path: CHECK_POLICY.into(),
        metadata: Vec::new(),
        request: request.encode_to_vec().into(),
    }
}

pub(crate) static ENTRIES: &[Entry] = &[
    Entry {
        code: "local-dir-not-offered",
        twin: "a client that offers `context` and `dockerfile`",
        play: build,
        animal: "does not know the directory `dockerfile`",
        fault: |play| {
            let text = "no access allowed to dir \"dockerfile\"";
            answer(play, FILE_SYNC, code::NOT_FOUND, text);
        },
        waits_for: None,
        says: &["NOT_FOUND by the client", "does not offer that directory"],
    },
    Entry {
        code: "auth-callback-stuck",
        twin: "a client that answers with no password",
        play: build,
        animal: "does not answer the question for a registry's password",
        fault: |play| silent(play, CREDENTIALS),
        waits_for: Some(Client),
        says: &["Auth.Credentials waits for the client"],
    },
    Entry {
        code: "ssh-agent-stuck",
        twin: "a client that forwards an agent without keys",
        play: with_agent,
        animal: "does not pass on what its agent answers",
        fault: |play| silent(play, FORWARD_AGENT),
        waits_for: Some(Client),
        says: &["SSH.ForwardAgent waits for the client"],
    },
    Entry {
        code: "method-unimplemented",
        twin: "a client that forwards an agent without keys",
        play: with_agent,
        animal: "forwards no agent, and the build needs one",
        fault: |play| play.client.ssh_agent = false,
        waits_for: None,
        says: &[
            "SSH.CheckAgent was answered UNIMPLEMENTED by the client",
            "the daemon needs this method",
        ],
    },
    Entry {
        code: "secret-not-found",
        twin: "a client that has the secret",
        play: build,
        animal: "has no secret of that name",
        fault: |play| play.client.secrets.clear(),
        waits_for: None,
        says: &["Secrets.GetSecret was answered NOT_FOUND by the client"],
    },
    Entry {
        code: "callback-unanswered",
        twin: "a client that has the secret",
        play: build,
        animal: "does not answer the question for a secret",
        fault: |play| silent(play, SECRET),
        waits_for: Some(Client),
        says: &["Secrets.GetSecret waits for the client"],
    },
    Entry {
        code: "call-failed",
        twin: "a client that answers with no password",
        play: build,
        animal: "fails when it is asked for a registry's password",
        fault: |play| {
            answer(play, CREDENTIALS, code::INTERNAL, "the keyring is locked");
        },
        waits_for: None,
        says: &["INTERNAL by the client", "the keyring is locked"],
    },
    Entry {
        code: "content-store-missing",
        twin: "a client with a content store for an OCI layout",
        play: || {
            let mut play = build();
            play.daemon.calls.push(ExtraCall {
                path: CONTENT_INFO.into(),
                metadata: vec![("buildkit-attachable-store-id".into(), "oci:base".into())],
                // A digest, in field 1.
                request: Bytes::from_static(b"\x0a\x0bsha256:0000"),
            });
            let there = Rule::new(Step::AnswerCall, Action::Instead(Bytes::new()));
            play.client.rules.push(there.scope(CONTENT_INFO));
            play
        },
        animal: "has no content store of the name that is asked for",
        fault: |play| {
            play.client.rules.clear();
            let text = "unknown store oci:base";
            answer(play, CONTENT_INFO, code::NOT_FOUND, text);
        },
        waits_for: None,
        says: &["NOT_FOUND by the client", "no content store of that name"],
    },
    Entry {
        code: "policy-loop",
        twin: "a client whose policy is asked for three sources, once each",
        play: || {
            let mut play = build();
            play.daemon.calls = ["alpine", "busybox", "debian"].map(check_policy).into();
            let allow = CheckPolicyResponse {
                result: Some(check_policy_response::Result::Decision(
                    DecisionResponse::default(),
                )),
            };
            let allow = Action::Instead(allow.encode_to_vec().into());
            let answer = Rule::new(Step::AnswerCall, allow).scope(CHECK_POLICY);
            play.client.rules.push(answer);
            play
        },
        animal: "asks for more about a source each time that it is asked, until the daemon gives up",
        fault: |play| {
            play.daemon.calls = vec![check_policy("alpine"); 12];
            let more = CheckPolicyResponse {
                result: Some(check_policy_response::Result::Request(
                    ResolveSourceMetaRequest::default(),
                )),
            };
            let more = Action::Instead(more.encode_to_vec().into());
            play.client.rules = vec![Rule::new(Step::AnswerCall, more).scope(CHECK_POLICY)];
            let too_many = Action::Fail {
                code: code::UNKNOWN,
                message: "too many policy requests".into(),
            };
            let gives_up = Rule::new(Step::Vertex, too_many);
            play.daemon.rules.push(gives_up);
        },
        waits_for: Some(Client),
        says: &["The client's policy has not decided about", "alpine"],
    },
    Entry {
        code: "exporter-id-unknown",
        twin: "a client with a target for exporter 0",
        play: build,
        animal: "has no target for exporter 0",
        fault: |play| {
            answer(play, FILE_SEND, code::UNKNOWN, "exporter 0 not found");
        },
        waits_for: None,
        says: &["no exporter with that id", "exporter 0 not found"],
    },
];
