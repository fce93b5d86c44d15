//! Connections: sockets, upgrades, tunnels, HTTP/2 and its flow control.

use super::{BOLLARD, BUILDKIT, BUILDX, DAGGER, ERROR, Entry, Layer, MOBY, WARNING, issue};

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        code: "daemon-unreachable",
        title: "The daemon cannot be reached",
        what: "A client connected, and there was nobody to pass its words on to.",
        wire: "The connection is closed before a byte was relayed.",
        why: "The daemon does not run, or listens elsewhere, or its socket is not for this user.",
        daemon_fix: Some("Start it, or name its address with --upstream."),
        ..ERROR
    },
    Entry {
        code: "upgrade-refused",
        title: "An HTTP upgrade was refused",
        what: "The client wanted to turn a request into another protocol, and got an ordinary answer. It says that it is \
               \"unable to upgrade\" and has no session, no control connection or no tunnel.",
        wire: "A status other than 101 in answer to `Upgrade: h2c` or `tcp` on `/session`, `/grpc` or `/exec/ID/start`.",
        why: "A proxy in between does not pass upgrades on; for h2c RFC 9113 no longer defines one. Strict proxies also \
              refuse the empty Host header that Go clients from version 25 on send on these requests.",
        client_fix: Some("Connect to the daemon's socket without the proxy."),
        daemon_fix: Some("Configure the proxy to pass `Connection` and `Upgrade` on."),
        links: &[
            issue(MOBY, 37959),
            issue(MOBY, 49836),
            issue("Tecnativa/docker-socket-proxy", 132),
            issue("haproxy/haproxy", 2684),
        ],
        ..ERROR
    },
    Entry {
        code: "endpoint-disabled",
        title: "The daemon does not offer the endpoint",
        what: "The request that should become a session, a control connection or a tunnel is answered as not found or not \
               allowed.",
        wire: "403 or 404 on `/session`, `/grpc` or `/exec/ID/start`.",
        why: "An engine up to 18.06 has `/session` only in experimental mode, `/grpc` came with 19.03, and filters in front of \
              a socket allow only what they know.",
        client_fix: Some("Fall back to the classic builder, or say which version is needed."),
        daemon_fix: Some("Use a newer engine; allow these endpoints in the filter."),
        links: &[issue(MOBY, 37959)],
        ..ERROR
    },
    Entry {
        code: "exec-stream-not-demultiplexed",
        title: "The client reads a multiplexed stream as if it were plain",
        what: "The client speaks to buildkitd through `docker exec` and takes the frames around standard output for HTTP/2.",
        wire: "From the daemon frames of 8 bytes of header, `01 00 00 00` and a length, with HTTP/2 inside; from the client no \
               acknowledgement of SETTINGS, but GOAWAY with PROTOCOL_ERROR or FRAME_SIZE_ERROR, the end, or nothing. Only \
               this direction is framed.",
        why: "Without a terminal the engine multiplexes standard output and error. Older APIs call such a stream raw all the \
              same.",
        client_fix: Some("Decide by the Tty flag of the exec, and take the frames off."),
        links: &[issue(BOLLARD, 745)],
        ..ERROR
    },
    Entry {
        code: "dial-stdio-failed",
        title: "The tunnel into the builder does not reach buildkitd",
        what: "The command that should connect to buildkitd in its container says why it cannot, where nobody reads it. The \
               client only sees the end of the stream.",
        wire: "Frames of type 2 (standard error) on the exec stream, and then the end, instead of SETTINGS.",
        why: "buildkitd is not running in the container, still starts, or listens elsewhere; or the container has no buildctl.",
        client_fix: Some(
            "Show standard error of the exec to the user; wait until the builder is ready.",
        ),
        daemon_fix: Some("Look at `docker logs` of the builder's container."),
        links: &[
            issue(BUILDX, 4021),
            issue(BUILDX, 4027),
            issue(BUILDX, 1570),
        ],
        ..ERROR
    },
    Entry {
        code: "tunnel-not-ready",
        title: "Nobody answers at the far end of the tunnel",
        stall: true,
        what: "The client has opened a tunnel to a builder and speaks, and nothing comes back.",
        wire: "The client's HTTP/2 preface, and no SETTINGS of the server for more than 5 s.",
        why: "The pod or container at the far end is not ready or has died, and what is in between keeps the near end open.",
        client_fix: Some("Give the handshake a deadline, and switch keepalive on."),
        daemon_fix: Some("Look whether the builder's pod is alive."),
        links: &[
            issue(BUILDX, 4040),
            issue(BUILDX, 4077),
            issue(BUILDX, 3966),
            issue(BUILDX, 3967),
            issue(BUILDX, 556),
        ],
        ..ERROR
    },
    Entry {
        code: "control-connection-silent",
        title: "The control connection has gone silent",
        stall: true,
        what: "Nothing is said on a connection any more on which something would have to be said. Probably it does not \
               exist any more, and nobody has noticed; or the other end is stopped.",
        wire: "For 30 s no byte of a daemon that checks the health of a session there every 5 s; or for 20 s no answer to a \
               PING.",
        why: "A gateway forgets idle connections. gRPC clients here do not ping by default, servers only after two hours.",
        client_fix: Some("Switch keepalive on, not more often than every 5 minutes."),
        daemon_fix: Some("Raise the idle timeout of what is in between."),
        healthy: Some(
            "A RUN step that prints nothing is as silent. Where Solve and Status have a connection of their own and nobody \
             sends PINGs, a dead one cannot be told from that, and is not reported.",
        ),
        links: &[issue(BUILDX, 3967)],
        ..ERROR
    },
    Entry {
        code: "goaway",
        title: "An end shut the HTTP/2 connection down with an error",
        what: "A side announces that it will take no more calls on the connection, and why. What is open is lost or runs out.",
        wire: "GOAWAY with a code other than NO_ERROR, perhaps with a text; or with NO_ERROR (\"graceful_stop\") in the midst \
               of a build which is lost.",
        why: "ENHANCE_YOUR_CALM with \"too_many_pings\": somebody pings more often than the server allows, for grpc-go every \
              5 minutes. Other codes name a breach of HTTP/2.",
        client_fix: Some("Raise the keepalive interval to 5 minutes or more."),
        daemon_fix: Some(
            "Look at the log of the side that sent it, and at load balancers, which ping too.",
        ),
        healthy: Some(
            "GOAWAY with NO_ERROR is how grpc-go ends connections in good order. Its pings to measure the bandwidth are no \
             keepalive.",
        ),
        links: &[
            issue(BUILDX, 2789),
            issue(BUILDX, 2064),
            issue(BUILDX, 2380),
        ],
        ..ERROR
    },
    Entry {
        code: "daemon-died",
        title: "The daemon is gone",
        what: "Every connection to the daemon ended in the same moment and without a word: it crashed, was killed, or was \
               cut off.",
        wire: "The end or reset of control and session at once, without GOAWAY, with calls open on both.",
        why: "A crash, lack of memory, a restart, or a network that went away.",
        client_fix: Some(
            "Say that the daemon went away, instead of the last error of the transport.",
        ),
        daemon_fix: Some("Look at its log and the kernel's for the time of the end."),
        links: &[
            issue(BUILDKIT, 3576),
            issue(BUILDX, 1325),
            issue(BUILDX, 2064),
        ],
        ..ERROR
    },
    Entry {
        code: "flow-control-stall",
        title: "A receiver gives no window back",
        layer: Layer::Call,
        stall: true,
        what: "A side has data and may not send it: the flow-control window is used up. The receiver has to take what it was \
               sent and open the window again.",
        wire: "DATA until the window of the stream or of the connection is 0, and no WINDOW_UPDATE. In a nested session it \
               may be the window outside, which stops everything inside, also health checks.",
        why: "The receiver does not read: it waits for its disk, for another stream, or its handler is stuck while it \
              holds the data.",
        client_fix: Some(
            "Read every stream on a task of its own, and give window back for what was taken.",
        ),
        daemon_fix: Some("If the daemon is the receiver, look at its disk and its log."),
        healthy: Some("A window of 0 for a moment is how flow control works."),
        links: &[
            issue(BUILDKIT, 2950),
            issue(BUILDKIT, 4453),
            issue(BUILDKIT, 1657),
            issue(DAGGER, 6355),
        ],
        ..ERROR
    },
    Entry {
        code: "stream-limit-reached",
        title: "The session has as many calls open as it allows",
        layer: Layer::Session,
        stall: true,
        what: "More callbacks are wanted than the client's server takes at a time. They wait inside the daemon, and nothing \
               shows it.",
        wire: "As many open streams as SETTINGS_MAX_CONCURRENT_STREAMS, 250 with the Go server, and no new one.",
        why: "Many SSH connections or content reads at once, or calls that are never ended.",
        client_fix: Some("Raise the limit, and end calls that are done."),
        ..WARNING
    },
    Entry {
        code: "half-close-missing",
        title: "A side that has said everything does not say so",
        layer: Layer::Call,
        stall: true,
        what: "One end has nothing more to send and leaves its direction open. The other one reads on.",
        wire: "The two blocks of zeros that end a tar archive, of an export or an upload, and then no END_STREAM.",
        why: "The end of the inner stream (a file, a socket) is not passed on as the end of the outer one.",
        client_fix: Some("Close the sending half when the source ends, and only that half."),
        daemon_fix: Some(
            "How SSH forwarding closes was changed several times in BuildKit: try a newer version.",
        ),
        links: &[
            issue(BUILDKIT, 3431),
            issue(BUILDKIT, 3506),
            issue(BUILDKIT, 3840),
            issue(BUILDKIT, 1146),
            issue(DAGGER, 4673),
        ],
        ..WARNING
    },
    Entry {
        code: "message-too-large",
        title: "A message is larger than its receiver takes",
        layer: Layer::Call,
        what: "The receiver refuses a message for its size, and the call fails with RESOURCE_EXHAUSTED.",
        wire: "A gRPC prefix that announces more than 4 MiB to a Go session server, or more than 16 MiB to BuildKit; then \
               grpc-status 8 with both numbers.",
        why: "4 MiB is the default of gRPC, 16 MiB what BuildKit sets for itself. A session server keeps the default unless \
              the client raises it.",
        client_fix: Some(
            "Raise the limit of what the client receives to 16 MiB; send definitions and contexts in pieces.",
        ),
        links: &[
            issue(BUILDKIT, 1539),
            issue(BUILDKIT, 4948),
            issue(BOLLARD, 710),
        ],
        ..ERROR
    },
    Entry {
        code: "handshake-timeout",
        title: "The server does not begin to speak HTTP/2",
        stall: true,
        what: "The connection was accepted, and no SETTINGS came. The client gives up waiting for the handshake.",
        wire: "The preface of the client, and nothing from the server.",
        why: "The server hangs, is no HTTP/2 server, or something in front of it accepted in its name.",
        client_fix: Some("Say which address did not answer, and try again with a deadline."),
        daemon_fix: Some("Look whether the daemon still answers others."),
        links: &[issue(BUILDX, 907)],
        ..WARNING
    },
    Entry {
        code: "tls-alpn-mismatch",
        title: "TLS is spoken on one side only, or without h2",
        what: "The two ends do not agree on TLS, or on HTTP/2 inside it, and the connection fails in its first bytes.",
        wire: "A TLS alert in the clear (`15 03 03 00 02 02` and its number) in answer to a plain request or to a handshake; \
               plain HTTP in answer to a handshake.",
        why: "buildkitd offers only h2, and asks for a client certificate when it has a CA. Newer grpc-go refuses a server \
              that selects no protocol, as proxies do that end TLS.",
        client_fix: Some("Offer h2 by ALPN, and present a certificate."),
        daemon_fix: Some("Let the proxy that ends TLS offer h2."),
        ..ERROR
    },
    Entry {
        code: "http2-violation",
        title: "A rule of HTTP/2 is broken",
        what: "A side sent frames that HTTP/2 does not allow. buildtap can follow them; the peer may close the connection.",
        wire: "As the finding says: a window that is exceeded, a frame on a stream that is not open, and the like.",
        why: "A fault in an HTTP/2 library, or something in between that rewrites frames.",
        client_fix: Some("Try another version of the client's HTTP/2 library."),
        daemon_fix: Some("Try without what is in between."),
        ..WARNING
    },
    Entry {
        code: "not-decoded",
        title: "buildtap cannot read on",
        what: "From here on buildtap does not know what is said on the connection. It passes it on unchanged; findings after \
               this point would be guesses, and are not made.",
        wire: "Bytes that are neither of the protocols that buildtap knows, or a capture with a hole in it.",
        why: "TLS, a protocol that is new to buildtap, a capture that began late or lost packets, or a peer that breaks the \
              protocol.",
        client_fix: Some(
            "Record from before the connection is opened, with a large buffer; or watch with `buildtap run`.",
        ),
        ..WARNING
    },
];
