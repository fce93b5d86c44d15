//! Sessions: opening them, keeping them alive, and what they offer.

use super::{BOLLARD, BUILDKIT, BUILDX, DAGGER, ERROR, Entry, Layer, WARNING, issue};

const SESSION: Entry = Entry {
    layer: Layer::Session,
    ..ERROR
};

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        code: "no-session",
        title: "The build names no session",
        layer: Layer::Session,
        what: "The client asks the engine for a BuildKit build without a session. Whatever the daemon has to ask the \
               client for, such as the credentials of a registry, it cannot ask, and the build fails with \"no active \
               sessions\".",
        wire: "`POST /build?version=2` without `session=`, or with an empty one, and no `POST /session` beside it.",
        why: "The classic builder needed no session; a client that only switches to `version=2` still has to open one.",
        client_fix: Some(
            "Open `POST /session` (Upgrade: h2c), serve gRPC on it, and pass its id as the `session` parameter. Even an \
             empty session with only the health service is enough for public images.",
        ),
        healthy: Some("`version=1` builds have no session."),
        links: &[
            issue(BUILDKIT, 2429),
            issue(BUILDKIT, 5309),
            issue(BOLLARD, 280),
            issue(BOLLARD, 284),
            issue("testcontainers/testcontainers-node", 571),
            issue("testcontainers/testcontainers-go", 2482),
        ],
        ..WARNING
    },
    Entry {
        code: "session-id-mismatch",
        title: "The build names a session that was never opened",
        what: "The id under which the client opened its session is not the one that the build asks for. The daemon \
               waits 5 s for it at every attempt and then reports that there is no active session with that id.",
        wire: "The uuid of `POST /session` or `Control.Session` differs from `session=` or `SolveRequest.Session`. A \
               prefix up to the first colon does not count: the daemon strips it.",
        why: "Two places of the client make up an id each, or one is remembered from an earlier build.",
        client_fix: Some("Make up one id for each build and use it for both."),
        healthy: Some("`name:uuid` in the build and `uuid` in the session are the same session."),
        ..SESSION
    },
    Entry {
        code: "session-too-late",
        title: "The session was opened after the daemon had given up on it",
        what: "The session that the build names does come, but more than 5 s after the daemon first needed it.",
        wire: "A look-up of the session fails, and its `POST /session` or `Control.Session` stands later in the record.",
        why: "The client does slow work, such as reading a big context, between asking for the build and opening its \
              session.",
        client_fix: Some("Open the session first, or at the same time as the build."),
        healthy: Some("Either may come first: the daemon waits up to 5 s."),
        ..SESSION
    },
    Entry {
        code: "duplicate-session-id",
        title: "Two live sessions have the same id",
        what: "A second session is opened under an id that is in use. dockerd refuses it; buildkitd lets it replace the \
               first, so that callbacks go to the wrong client, and when the first one ends the second is forgotten too.",
        wire: "The same uuid twice while the first session is open: HTTP 400 \"already exists\" on `POST /session`, \
               nothing at all on `Control.Session`.",
        why: "The client has a fixed id, or one that is derived from the context's name, and builds run at the same time.",
        client_fix: Some("Make up a random id for every build."),
        links: &[issue(BOLLARD, 762)],
        ..SESSION
    },
    Entry {
        code: "session-refused",
        title: "The daemon refused the session",
        what: "The daemon did not take the session. The build that names it fails as soon as it needs something from the \
               client.",
        wire: "`POST /session` is answered with an error instead of 101, or `Control.Session` ends with a status at once.",
        why: "The id is in use, the Upgrade header is missing or is not h2c, or the headers that describe the session are \
              not there.",
        client_fix: Some("The daemon's words are in the evidence; they name what is missing."),
        ..SESSION
    },
    Entry {
        code: "session-closed-early",
        title: "The session ended while the build needed it",
        what: "The session was closed before the build was answered. Everything that the daemon was asking for is lost, \
               and what comes next fails, often in words that blame a registry or a FROM line.",
        wire: "The end of the session's connection (or of `Control.Session`) before the answer to the build, with calls \
               open on it, or followed by an error \"no active session\".",
        why: "The client's process ended or dropped the session's task; the daemon ends a session whose health checks \
              fail; or something between the two cut an idle connection.",
        client_fix: Some(
            "Keep the session until the build is answered, also when building in several tasks, and look at the \
             client's log for what ended it.",
        ),
        daemon_fix: Some(
            "If the daemon closed it, look in its log for failed health checks or a restart.",
        ),
        healthy: Some("A client that is interrupted closes build and session together."),
        links: &[
            issue(BUILDKIT, 6422),
            issue(BUILDKIT, 2367),
            issue(BUILDX, 456),
        ],
        ..SESSION
    },
    Entry {
        code: "health-service-missing",
        title: "The session does not answer health checks",
        what: "The session's server has no health service. The daemon checks every 5 s and ends the session after the \
               second failure: builds of less than ten seconds work, longer ones lose their session.",
        wire: "`/grpc.health.v1.Health/Check` answered UNIMPLEMENTED twice, five seconds apart, and then the end of the \
               connection, from the daemon.",
        why: "gRPC libraries do not bring the health service unless it is registered.",
        client_fix: Some(
            "Register grpc.health.v1.Health on the session's server and answer SERVING.",
        ),
        healthy: Some(
            "The daemon does not look whether the service was named in the list of methods: it always asks.",
        ),
        links: &[
            issue("apocas/dockerode", 845),
            issue("apocas/dockerode", 847),
        ],
        ..SESSION
    },
    Entry {
        code: "health-check-failed",
        title: "A health check of the session failed",
        layer: Layer::Session,
        what: "The session's server answered a health check with an error. After two such answers in a row the daemon ends \
               the session.",
        wire: "A status other than OK on `/grpc.health.v1.Health/Check`.",
        why: "The server was shutting down, or answers NOT_SERVING or an error for the empty service name.",
        client_fix: Some(
            "Answer SERVING for the empty service name for as long as the session lives.",
        ),
        links: &[issue(DAGGER, 10162)],
        ..WARNING
    },
    Entry {
        code: "health-check-starved",
        title: "A health check gets no answer",
        layer: Layer::Session,
        stall: true,
        what: "The daemon has asked whether the session is alive and hears nothing. When its deadline passes twice it ends \
               the session in the midst of the build.",
        wire: "A request of `Health/Check` without a response for longer than `--stall-after`. Often the connection is \
               full of file contents, or one of its windows is 0.",
        why: "The check travels on the same connection as the files: a slow uplink, a client that is out of memory or \
              stopped, or a connection window that nobody opens holds it up.",
        client_fix: Some(
            "Answer health checks on a task of their own, give window back at once, and exclude big files from the \
             context with .dockerignore.",
        ),
        daemon_fix: Some("Newer daemons are more patient: prefer BuildKit 0.10.4 or later."),
        healthy: Some(
            "The deadline is 15 s from BuildKit 0.30 on, 30 s from 0.10.4 on, and 10 s with a single strike before; a \
             check that took long raises the next deadline to one and a half times that.",
        ),
        links: &[
            issue(BUILDKIT, 2998),
            issue(DAGGER, 10162),
            issue("useblacksmith/setup-docker-builder", 117),
        ],
        ..WARNING
    },
    Entry {
        code: "method-not-offered",
        title: "The build needs a method that the session does not offer",
        what: "The daemon looks in the session's list of methods before it syncs a local directory or sends an output, and \
               fails without calling when the method is not there.",
        wire: "No call is opened. The list (`X-Docker-Expose-Session-Grpc-Method`) lacks `/moby.filesync.v1.FileSync/\
               DiffCopy` or `/moby.filesync.v1.FileSend/DiffCopy`, compared without regard to case.",
        why: "The client registered no target for the output that it asked for, or lists only what it thinks of first.",
        client_fix: Some("Register the server, and name its methods with full paths in the list."),
        healthy: Some(
            "Only these two methods are looked up; all others are called without a look at the list.",
        ),
        links: &[
            issue("pulumi/pulumi-docker-build", 498),
            issue(BUILDX, 1522),
        ],
        ..SESSION
    },
    Entry {
        code: "method-unimplemented",
        title: "The daemon called a method that the session does not have",
        layer: Layer::Call,
        what: "A call of the daemon was answered UNIMPLEMENTED, and the daemon cannot do without it.",
        wire: "grpc-status 12 on a call of the session.",
        why: "The build asks for something (an SSH mount, an upload, a token, a content store, a policy) whose service the \
              client's session does not serve.",
        client_fix: Some("Implement the method, or do not ask for what needs it."),
        healthy: Some(
            "The daemon is prepared for UNIMPLEMENTED from Credentials, GetTokenAuthority, VerifyTokenAuthority (also \
             for UNAVAILABLE) and the Exporter service, and goes on in another way: these are not reported.",
        ),
        ..ERROR
    },
    Entry {
        code: "header-list-too-large",
        title: "The headers of a request are larger than its receiver takes",
        layer: Layer::Call,
        what: "A request fails for the size of its headers. Include and exclude patterns of a context travel as headers, \
               and so does the list of methods of a session.",
        wire: "HTTP 400 or 431 on `/session`, or GOAWAY, RST_STREAM or an error about header size on a FileSync; the \
               headers sum up to more than SETTINGS_MAX_HEADER_LIST_SIZE of the receiver.",
        why: "HTTP/2 libraries and proxies limit headers, many to 8 to 64 KiB, where the Go server takes about 1 MiB and \
              grpc-go 16 MiB.",
        client_fix: Some(
            "Raise the limit of the session's HTTP/2 server; use fewer and broader patterns.",
        ),
        daemon_fix: Some("Raise the limit in the proxy that is in between."),
        links: &[issue("grpc/grpc-go", 8845)],
        ..ERROR
    },
    Entry {
        code: "session-on-other-daemon",
        title: "The session went to another daemon than the build",
        what: "A load balancer gave the two connections of one build to two daemons. The one that builds does not know the \
               session.",
        wire: "The session is opened and stays idle, and the build fails with \"no active session\"; the addresses behind \
               the two connections differ.",
        why: "Build and session are two connections that must meet in one process, which a balancer does not know.",
        client_fix: Some(
            "Use `Control.Session` on the connection of the build, so that both are one connection.",
        ),
        daemon_fix: Some("Make the balancer pin a client to one daemon."),
        links: &[issue(DAGGER, 10128), issue(BUILDX, 3861)],
        ..SESSION
    },
];
