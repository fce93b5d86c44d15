//! Builds: Solve, Status and `POST /build`.

use std::time::Duration;

use buildtap_decoder::event::Side::{Client, Daemon};
use buildtap_fixtures::peers::grpc::code;
use buildtap_fixtures::peers::script::{Action, ExtraCall, Mode, Output, Rule, Step, Windows};
use buildtap_fixtures::peers::tree::{Content, Tree};
use bytes::Bytes;

use crate::between::Between;
use crate::table::{Entry, Play, build, large, solve};

const PING: &str = "/moby.buildkit.v1.frontend.LLBBridge/Ping";

fn fail_a_step(play: &mut Play) {
    let action = Action::Fail {
        code: code::UNKNOWN,
        message: "process \"make\" did not complete successfully: exit code: 2".into(),
    };
    let step = Rule::new(Step::Vertex, action).after(5);
    play.daemon.rules.push(step.once());
}

/// The client gives up when it is about to announce its first file; the daemon, which waits for that, does not fail
/// before it learns why.
fn give_up(play: &mut Play) {
    let first = Rule::new(Step::SendStat, Action::GiveUp).scope("context");
    play.client.rules.push(first);
    let wait = Rule::new(Step::Receive, Action::Hang).scope("context");
    play.daemon.rules.push(wait);
}

pub(crate) static ENTRIES: &[Entry] = &[
    Entry {
        code: "build-failed",
        twin: "a build by Solve",
        play: solve,
        animal: "a step of the build fails",
        fault: fail_a_step,
        waits_for: None,
        says: &["Build 1 failed", "exit code: 2"],
    },
    Entry {
        code: "build-error-in-stream",
        twin: "a build by POST /build",
        play: build,
        animal: "a step of the build fails, after HTTP 200",
        fault: fail_a_step,
        waits_for: None,
        says: &["Build 1 failed", "exit code: 2"],
    },
    Entry {
        code: "status-never-ends",
        twin: "a daemon that ends Status with the build",
        play: solve,
        animal: "a daemon answers Solve and does not end Status",
        fault: |play| {
            play.client.status_patience = Duration::from_secs(30);
            let status = "/moby.buildkit.v1.Control/Status";
            play.daemon
                .rules
                .push(Rule::new(Step::EndCall, Action::Hang).scope(status));
        },
        waits_for: Some(Daemon),
        says: &["the daemon does not end its Status stream"],
    },
    Entry {
        code: "cancelled-by-peer",
        twin: "a client that waits for the end of its build",
        play: || {
            let mut play = solve();
            // The client's process lives on.
            play.between = Between::Proxy;
            play
        },
        animal: "gives up while it sends its context",
        fault: give_up,
        waits_for: None,
        says: &["The client cancelled build 1"],
    },
    Entry {
        code: "cancelled-by-peer",
        twin: "a client that waits for the end of its build",
        play: build,
        animal: "gives up while it sends its context, by POST /build/cancel",
        fault: |play| {
            play.client.cancels = true;
            give_up(play);
        },
        waits_for: None,
        says: &["The client cancelled build 1"],
    },
    Entry {
        code: "status-before-solve",
        twin: "a client that asks for the Status of its Solve",
        play: || {
            let mut play = solve();
            play.daemon.job_timeout = Duration::from_millis(300);
            play
        },
        animal: "asks for the Status of another ref",
        fault: |play| play.client.status_ref = Some("another".into()),
        waits_for: Some(Client),
        says: &[
            "The client asked for the Status of build \"another\"",
            "which the daemon did not know",
        ],
    },
    Entry {
        code: "gateway-build-id-missing",
        twin: "a client that is its own frontend, and says for which build",
        play: || {
            let mut play = solve();
            play.client.calls.push(ExtraCall {
                path: PING.into(),
                metadata: vec![("buildkit-controlapi-buildid".into(), "{ref}".into())],
                request: Bytes::new(),
            });
            let pong = Rule::new(Step::AnswerCall, Action::Instead(Bytes::new()));
            play.daemon.rules.push(pong.scope(PING));
            play
        },
        animal: "is its own frontend, and does not say for which build",
        fault: |play| {
            play.client.calls[0].metadata.clear();
            let missing = Action::Fail {
                code: code::UNKNOWN,
                message: "no buildid found in context".into(),
            };
            play.daemon.rules = vec![Rule::new(Step::AnswerCall, missing).scope(PING)];
        },
        waits_for: Some(Client),
        says: &["The client's LLBBridge.Ping does not say for which build it is"],
    },
    Entry {
        code: "upload-rendezvous-missed",
        twin: "a client that sends its context in a request of its own",
        play: || {
            let mut play = build();
            play.client.uploads_context = true;
            play.daemon.upload_timeout = Duration::from_millis(300);
            play
        },
        animal: "announces its context in a request of its own, and does not send that",
        fault: |play| {
            play.client
                .rules
                .push(Rule::new(Step::Upload, Action::Skip));
        },
        waits_for: Some(Client),
        says: &[
            "The client sent a request that waits for a context",
            "not the other half of it",
        ],
    },
    Entry {
        code: "build-context-unread",
        twin: "a client with a context of 8 MiB in the body of its request",
        play: || {
            let mut play = build();
            play.client.context = Tree::new().file("large.bin", Content::seeded(8, 8 << 20));
            play.client.context_in_body = true;
            play
        },
        animal: "a daemon says that the build failed, and does not read the context",
        fault: |play| {
            let action = Action::Fail {
                code: code::UNKNOWN,
                message: "dockerfile parse error".into(),
            };
            play.daemon.rules.push(Rule::new(Step::ReadBody, action));
        },
        waits_for: Some(Daemon),
        says: &[
            "The daemon has answered with an error",
            "dockerfile parse error",
        ],
    },
    Entry {
        code: "image-load-stalled",
        twin: "a client that pipes its image of 4 MiB into the engine",
        play: || {
            let mut play = large();
            play.client.mode = Mode::Grpc;
            play.client.output = Output::Docker;
            play.client.loads_image = true;
            play.client.windows = Windows {
                stream: 256 << 10,
                connection: 256 << 10,
                ..play.client.windows
            };
            play
        },
        animal: "an engine does not read the image that is piped into it",
        fault: |play| {
            let load = Rule::new(Step::ReadBody, Action::Hang).scope("/images/load");
            play.daemon.rules.push(load);
        },
        waits_for: Some(Daemon),
        says: &[
            "is held up by `POST /images/load`",
            "the engine does not read",
        ],
    },
];
