//! Builds: Solve, Status and `POST /build`.

use super::{BUILDKIT, ERROR, Entry, Layer, WARNING, issue};
use crate::trace::Severity;

const BUILD: Entry = Entry {
    layer: Layer::Build,
    ..ERROR
};
const BUILD_WARNING: Entry = Entry {
    layer: Layer::Build,
    ..WARNING
};

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        code: "build-failed",
        title: "The build failed",
        what: "The daemon says that the build failed. The step and its error are in the evidence.",
        wire: "A status other than OK on `Control/Solve`; a vertex with an error on `Control/Status`.",
        why: "Mostly the build itself: a command that returned non-zero, a file that is not there. If another finding \
              stands with it, that one is the cause.",
        client_fix: Some(
            "Correct the Dockerfile or its inputs; a client should show the step with its error.",
        ),
        healthy: Some("A build that was cancelled is not a failure."),
        ..BUILD
    },
    Entry {
        code: "build-error-in-stream",
        title: "The build failed after HTTP 200",
        what: "The failure of a build through `POST /build` is only in its stream of messages. A client that looks at the \
               HTTP status alone reports success.",
        wire: "Status 200, and at the end of the body an object with `errorDetail`.",
        why: "The engine has to send the status before the build begins.",
        client_fix: Some("Read the body to its end, and treat `errorDetail` as the result."),
        healthy: Some(
            "With `q=1` nothing is printed until the end, which looks like a hang and is none.",
        ),
        ..BUILD
    },
    Entry {
        code: "cancelled-by-peer",
        title: "Somebody gave up",
        severity: Severity::Info,
        what: "One end cancelled, and everything that was open ended with \"context canceled\". Only the first one of these \
               says something.",
        wire: "The first RST_STREAM with CANCEL, end of a stream, or `POST /build/cancel`; from the daemon grpc-status 1.",
        why: "A person pressed a key, a deadline passed, or a failure elsewhere ended the rest.",
        client_fix: Some("Look at what was going on just before; log why a cancellation is made."),
        healthy: Some("After Solve has been answered, Status is cancelled as a matter of course."),
        ..BUILD_WARNING
    },
    Entry {
        code: "status-before-solve",
        title: "Status was asked for a build that does not exist",
        what: "The client asks for the progress of a build whose Solve has not arrived or has failed. The daemon waits up to \
               6 s and then says that there is no such job.",
        wire: "`Control/Status` with a `Ref` that no `Control/Solve` has used yet, ended with NOT_FOUND.",
        why: "The two calls race, or use different refs.",
        client_fix: Some(
            "Start both at the same time with the same ref, and let an error of Solve count first.",
        ),
        healthy: Some("When Solve failed at once, the error of Status says nothing of its own."),
        ..BUILD_WARNING
    },
    Entry {
        code: "gateway-build-id-missing",
        title: "A call as a frontend does not say for which build",
        layer: Layer::Call,
        severity: Severity::Error,
        what: "The client acts as a frontend, and the daemon does not know for which build, or that build is over.",
        wire: "An `LLBBridge` call without the metadata `buildkit-controlapi-buildid`, or with the ref of no running Solve; \
               an error about the build id after 3 s.",
        why: "The metadata is added by a wrapper in the Go client; others must do it themselves.",
        client_fix: Some(
            "Send the Solve's ref in that header with every call, and none after Return.",
        ),
        ..BUILD_WARNING
    },
    Entry {
        code: "status-never-ends",
        title: "Status goes on after Solve was answered",
        stall: true,
        what: "The build is done, and a client that waits for the end of its progress stream waits for ever.",
        wire: "The trailers of `Control/Solve`, and none on `Control/Status`.",
        why: "A step of the daemon left its progress writer open.",
        client_fix: Some(
            "Cancel Status some seconds after Solve was answered, as the Go client does after 5 s.",
        ),
        daemon_fix: Some(
            "A known case, in the local exporter, is corrected in newer versions of BuildKit.",
        ),
        healthy: Some("A client that cancels Status after Solve does the right thing."),
        links: &[issue(BUILDKIT, 6811)],
        layer: Layer::Build,
        ..WARNING
    },
    Entry {
        code: "upload-rendezvous-missed",
        title: "One half of a build with an uploaded context is missing",
        severity: Severity::Error,
        what: "A build that gets its context from a second request fails, because the two do not meet within 5 s.",
        wire: "`POST /build` with `remote=upload-request` and one with `buildid=upload-request:ID` and the tar as its body: \
               only one of them.",
        why: "The client sends them one after the other, or with different ids.",
        client_fix: Some("Send both at the same time, with the same id."),
        ..BUILD_WARNING
    },
    Entry {
        code: "build-context-unread",
        title: "The daemon does not read the context that it is sent",
        stall: true,
        what: "The daemon has failed already and does not read the rest of the tar. A client that writes all of it before it \
               reads the answer never gets to the answer.",
        wire: "The body of `POST /build` stands still while the response already has an error in it.",
        why: "HTTP/1.1 lets a server answer before it has read the request, and few clients are prepared for that.",
        client_fix: Some("Read the response while the body is written."),
        daemon_fix: Some("Newer engines read on."),
        links: &[issue("gotempsh/temps", 765)],
        ..BUILD_WARNING
    },
    Entry {
        code: "image-load-stalled",
        title: "Loading the image into the engine holds the export up",
        stall: true,
        what: "The client pipes an exported archive into the engine, and the engine takes it slowly or not at all.",
        wire: "A FileSend whose window is used up, while the engine does not read the body of a `POST /images/load`. That is \
               seen live; in a capture of tcpdump it is a flow-control-stall of the client.",
        why: "The two are one pipe: what the engine does not read, the builder cannot send.",
        client_fix: Some("Report the pressure of the engine as such, instead of a slow export."),
        daemon_fix: Some("Look at the engine's disk and its log."),
        links: &[issue(BUILDKIT, 6209)],
        ..BUILD_WARNING
    },
];
