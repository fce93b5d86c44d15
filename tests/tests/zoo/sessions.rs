//! Sessions: opening them, keeping them alive, and what they offer.

use std::time::Duration;

use buildtap_decoder::event::Side::Client;
use buildtap_fixtures::peers::grpc::code;
use buildtap_fixtures::peers::script::{Action, Health, Rule, Step};

use crate::between::Between;
use crate::table::{Entry, build, checked, nested};

pub(crate) const HEALTH: &str = "/grpc.health.v1.Health/Check";
const FILE_SEND: &str = "/moby.filesync.v1.FileSend/DiffCopy";
const FILE_SYNC: &str = "/moby.filesync.v1.FileSync/DiffCopy";

pub(crate) static ENTRIES: &[Entry] = &[
    Entry {
        code: "no-session",
        twin: "a client as docker 20.10",
        play: build,
        animal: "asks for a build with version=2 and opens no session",
        fault: |play| play.client.opens_session = false,
        waits_for: Some(Client),
        says: &["names no session"],
    },
    Entry {
        code: "session-id-mismatch",
        twin: "a client as docker 20.10",
        play: || {
            let mut play = build();
            play.daemon.session_timeout = Duration::from_millis(300);
            play
        },
        animal: "names another session in its build than the one that it opens",
        fault: |play| play.client.build_session_id = Some("other".into()),
        waits_for: Some(Client),
        says: &["names session other, which the client never opened"],
    },
    Entry {
        code: "session-too-late",
        twin: "a client that opens its session 0.3 s after it asked for the build",
        play: || {
            let mut play = build();
            play.daemon.session_timeout = Duration::from_secs(20);
            play.client = play.client.late_session(Duration::from_millis(300));
            play
        },
        animal: "opens its session 5.5 s after it asked for the build",
        fault: |play| {
            play.client.rules.clear();
            play.client.rules.push(Rule::new(
                Step::OpenSession,
                Action::Delay(Duration::from_millis(5_500)),
            ));
        },
        waits_for: None,
        says: &["was opened 5.", "after build 1 had been asked for"],
    },
    Entry {
        code: "duplicate-session-id",
        twin: "two clients at a time, each with an id of its own",
        play: || {
            let mut play = checked();
            play.second = Some(play.client.clone());
            play
        },
        animal: "opens its session under an id that another client has in use",
        fault: |play| {
            let same = Some("same".to_owned());
            play.client.session_id = same.clone();
            play.second.as_mut().unwrap().session_id = same;
        },
        waits_for: None,
        says: &["Two live sessions have the same id same"],
    },
    Entry {
        code: "duplicate-session-id",
        twin: "two clients as buildctl at a time, each with an id of its own",
        play: || {
            let mut play = nested();
            play.daemon.pace = Duration::from_millis(50);
            play.second = Some(play.client.clone());
            play
        },
        animal: "opens its nested session under an id that another client has in use",
        fault: |play| {
            let same = Some("same".to_owned());
            play.client.session_id = same.clone();
            play.second.as_mut().unwrap().session_id = same;
        },
        waits_for: None,
        says: &[
            "Two live sessions have the same id same",
            "replace the first",
        ],
    },
    Entry {
        code: "session-refused",
        twin: "a client as buildctl, whose session is a call",
        play: nested,
        animal: "a daemon refuses the call that is to be the session",
        fault: |play| {
            let action = Action::Fail {
                code: code::UNKNOWN,
                message: "no such session allowed".into(),
            };
            let session = Rule::new(Step::AnswerCall, action);
            let session = session.scope("/moby.buildkit.v1.Control/Session");
            play.daemon.rules.push(session);
        },
        waits_for: None,
        says: &["The daemon refused session", "no such session allowed"],
    },
    Entry {
        code: "session-closed-early",
        twin: "a client that keeps its session until the build is over",
        play: build,
        animal: "drops its session while its files are read, and waits for the build",
        fault: |play| play.client.session_socket.drop_after = Some(100_000),
        waits_for: None,
        says: &["The client closed session", "while build 1 still needed it"],
    },
    Entry {
        code: "health-service-missing",
        twin: "a client whose health is checked ten times",
        play: checked,
        animal: "has no health service",
        fault: |play| play.client.health = Health::Unimplemented,
        waits_for: None,
        says: &["UNIMPLEMENTED by the client", "no grpc.health.v1.Health"],
    },
    Entry {
        code: "health-check-failed",
        twin: "a client whose health is checked ten times",
        play: checked,
        animal: "answers a health check with an error",
        fault: |play| {
            let action = Action::Fail {
                code: code::UNAVAILABLE,
                message: "shutting down".into(),
            };
            let rule = Rule::new(Step::AnswerCall, action).scope(HEALTH);
            play.client.rules.push(rule.once());
        },
        waits_for: None,
        says: &[
            "Health.Check was answered UNAVAILABLE by the client",
            "shutting down",
        ],
    },
    Entry {
        code: "health-check-starved",
        twin: "a client whose health is checked ten times",
        play: checked,
        animal: "does not answer health checks",
        fault: |play| {
            play.client.health = Health::Silent;
            // So long does a step take.
            let run = Rule::new(Step::Vertex, Action::Hang).after(6);
            play.daemon.rules.push(run);
        },
        waits_for: Some(Client),
        says: &["Health.Check waits for the client"],
    },
    Entry {
        code: "method-not-offered",
        twin: "a client as docker 20.10",
        play: build,
        animal: "wants a local output and does not offer FileSend",
        fault: |play| play.client.methods.retain(|method| method != FILE_SEND),
        waits_for: Some(Client),
        says: &[
            "The output `local` will need",
            "which the client does not offer",
        ],
    },
    Entry {
        code: "method-unimplemented",
        twin: "a client as docker 20.10",
        play: build,
        animal: "offers FileSync and does not serve it",
        fault: |play| {
            let action = Action::Fail {
                code: code::UNIMPLEMENTED,
                message: "unknown method DiffCopy".into(),
            };
            play.client
                .rules
                .push(Rule::new(Step::AnswerCall, action).scope(FILE_SYNC));
        },
        waits_for: None,
        says: &[
            "UNIMPLEMENTED by the client",
            "the daemon needs this method",
        ],
    },
    Entry {
        code: "header-list-too-large",
        twin: "a client whose server takes 1 MiB of headers",
        play: || {
            let mut play = build();
            let long = ("exclude-patterns".to_owned(), "node_modules/".repeat(400));
            play.daemon.metadata.push(long);
            // Until then the client has said what it takes.
            play.daemon.pace = Duration::from_millis(50);
            play
        },
        animal: "takes 4 KiB of headers, and the daemon's have 5",
        fault: |play| play.client.windows.max_header_list = 4096,
        waits_for: None,
        says: &["headers", "the client"],
    },
    Entry {
        code: "session-on-other-daemon",
        twin: "a load balancer that gives both connections of the build to one of its daemons",
        play: || {
            let mut play = build();
            play.daemon.session_timeout = Duration::from_millis(300);
            play.between = Between::Balancer { daemons: 1 };
            play
        },
        animal: "a load balancer gives build and session to two daemons",
        fault: |play| play.between = Between::Balancer { daemons: 2 },
        waits_for: None,
        says: &["its daemon does not know session", "different daemons"],
    },
];
