//! Calls of the daemon on the session, but for file transfers.

use super::{BOLLARD, BUILDKIT, ERROR, Entry, Layer, WARNING, issue};

const CALL: Entry = Entry {
    layer: Layer::Call,
    ..ERROR
};
const WAIT: Entry = Entry {
    layer: Layer::Call,
    ..WARNING
};

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        code: "local-dir-not-offered",
        title: "The client does not know the directory that is asked for",
        what: "The daemon asks for a local source by name, and the client has none of that name.",
        wire: "FileSync answered NOT_FOUND; the name is in the request header `dir-name`.",
        why: "The client serves its directory under another name, or a named context was announced in the build's attributes \
              and not to the session.",
        client_fix: Some(
            "Serve `context` and `dockerfile`, and every named context under its name.",
        ),
        healthy: Some(
            "A source that names no session is looked for in every session of the build, one after the other.",
        ),
        ..CALL
    },
    Entry {
        code: "auth-callback-stuck",
        title: "The client does not answer a question about credentials",
        stall: true,
        what: "The daemon has asked for credentials or a token and gets no answer. The step that loads the image's metadata \
               waits for it.",
        wire: "A request of `Auth/Credentials`, `Auth/FetchToken` or a related method, and no response; the registry is in \
               the request's `host`.",
        why: "The client runs a credential helper that waits for a locked keyring or a dialogue, or asks a token endpoint that \
              does not answer.",
        client_fix: Some(
            "Run the helper by hand to see where it hangs; give helper and token requests a deadline.",
        ),
        daemon_fix: Some(
            "From BuildKit 0.30 on the daemon gives up after 60 s; before, it waits for ever.",
        ),
        links: &[
            issue(BUILDKIT, 6709),
            issue(BUILDKIT, 3875),
            issue(BUILDKIT, 7143),
            issue("earthly/earthly", 1403),
        ],
        ..WAIT
    },
    Entry {
        code: "ssh-agent-stuck",
        title: "The SSH agent does not answer",
        stall: true,
        what: "A step of the build has asked the forwarded SSH agent something, and no answer comes.",
        wire: "`SSH/ForwardAgent` is open, its last message came from the daemon. The agent is named in `buildkit.ssh.id`.",
        why: "The agent waits for a person: a confirmation, a pass phrase, a touch of a hardware key. Or the client does not \
              pass on what the agent says.",
        client_fix: Some(
            "Look for a dialogue or a blinking key; try `ssh-add -l` in the same environment.",
        ),
        healthy: Some(
            "A forwarding in which the agent spoke last is idle: the step holds it open and asks nothing.",
        ),
        links: &[issue(BOLLARD, 770), issue(BOLLARD, 416)],
        ..WAIT
    },
    Entry {
        code: "secret-not-found",
        title: "The client has no secret of that name",
        what: "A step asks for a secret that the client does not have. If the mount is required, the step fails.",
        wire: "`Secrets/GetSecret` answered NOT_FOUND, or UNIMPLEMENTED, which the daemon takes for the same.",
        why: "The build was started without the secret, or under another id than the one in the mount.",
        client_fix: Some("Pass it (`--secret id=…`), or drop `required` from the mount."),
        healthy: Some(
            "Tokens for Git (`GIT_AUTH_TOKEN`, `GIT_AUTH_HEADER`) are asked for on the off chance; the build goes on \
             without.",
        ),
        ..WAIT
    },
    Entry {
        code: "callback-unanswered",
        title: "The client does not answer a call",
        stall: true,
        what: "The daemon has asked the client something, and the step that needs it waits.",
        wire: "A request on the session without a response for longer than `--stall-after`.",
        why: "The handler in the client blocks, perhaps on a dialogue, a lock, or a task that is not polled.",
        client_fix: Some("Answer, also when the answer is no: a status ends the wait."),
        ..WAIT
    },
    Entry {
        code: "call-failed",
        title: "A call of the daemon failed in the client",
        what: "The client answered a call with an error that buildtap has no more specific words for.",
        wire: "A status other than OK on a call of the session; the client's text stands with it.",
        why: "The text is the client's own, and says why if anything does.",
        client_fix: Some("Look for the text in the client's log and source."),
        healthy: Some("CANCELLED is not reported: who cancelled is said where it happened."),
        ..WAIT
    },
    Entry {
        code: "content-store-missing",
        title: "The client has no content store of that name",
        what: "The daemon reads or writes blobs in a store of the client, for an OCI layout or a local cache, that the client \
               did not register.",
        wire: "A `Content` call answered NOT_FOUND \"unknown store\"; the header `buildkit-attachable-store-id` has the name: \
               `oci:NAME`, `local:PATH` or `export`.",
        why: "The build's attributes name a store, and the session was made without it.",
        client_fix: Some("Attach a store for every `oci-layout` source and every local cache."),
        healthy: Some(
            "NOT_FOUND of a blob in a store that exists only says that it is not there yet.",
        ),
        ..CALL
    },
    Entry {
        code: "policy-loop",
        title: "The policy asks for more again and again",
        what: "The daemon asks the client's policy whether a source is allowed, and is asked for more about it each time, until \
               it gives up.",
        wire: "`PolicyVerifier/CheckPolicy` many times for one source, and then an error about too many requests.",
        why: "The verifier does not take what it was given for an answer to what it asked.",
        client_fix: Some(
            "Decide when the metadata that was asked for is there, also if it is empty.",
        ),
        healthy: Some(
            "A few rounds for one source are usual: five in a row without a decision are likely to be a loop, and BuildKit \
             gives up after ten.",
        ),
        ..CALL
    },
    Entry {
        code: "exporter-id-unknown",
        title: "The client has no target for that exporter",
        what: "The daemon sends an output under a number for which the client registered nothing.",
        wire: "FileSend answered with an error that the exporter is not found; the number is in \
               `buildkit-attachable-exporter-id`.",
        why: "The number is the place of the exporter in `SolveRequest.Exporters`, counted from 0 over all of them, also those \
              that send nothing. The client counts otherwise.",
        client_fix: Some("Number the targets as the exporters are numbered."),
        healthy: Some("Daemons before BuildKit 0.13 send no number, which means 0."),
        ..CALL
    },
];
