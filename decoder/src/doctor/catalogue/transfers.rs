//! Transfers of files.

use super::{BOLLARD, BUILDKIT, BUILDX, DAGGER, ERROR, Entry, Layer, WARNING, issue};
use crate::trace::Severity;

const PACKETS: Entry = Entry {
    layer: Layer::Packets,
    ..ERROR
};
const WAIT: Entry = Entry {
    layer: Layer::Packets,
    stall: true,
    ..WARNING
};

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        code: "packets-read-as-bytes",
        title: "A tree of files is read as if it were an archive",
        stall: true,
        what: "The output is `local`, which travels as fsutil Packets, and the client reads it as a stream of bytes. It \
               never asks for a file, so the daemon waits for ever with everything announced.",
        wire: "On `FileSend/DiffCopy` messages that begin with 0x12 and then one of length 0, all from the daemon; from the \
               client no message at all, though it reads (its window is open).",
        why: "The schema declares BytesMessage for FileSend. That a `local` output carries Packets is a convention between \
              the two Go programs and stands in no .proto file; both decode as the other without an error.",
        client_fix: Some(
            "For `local`, speak the receiver's half of fsutil: count the STATs from 0, send REQ for every regular file, \
             write its DATA until an empty one, send FIN when all are there, and wait for FIN. Or ask for `tar` and \
             unpack it.",
        ),
        healthy: Some("A tree without regular files needs no REQ, but FIN is still owed."),
        links: &[issue(BOLLARD, 415)],
        ..PACKETS
    },
    Entry {
        code: "bytes-read-as-packets",
        title: "An archive is read as if it were a tree of files",
        what: "The output is an archive (`tar`, `oci`, `docker`), and the client treats it as fsutil Packets. It fails at the \
               first message, or answers where nothing is to be answered.",
        wire: "On `FileSend/DiffCopy` messages that begin with 0x0a, and Packets or an error status from the client.",
        why: "The mirror image of packets-read-as-bytes: what is on the stream depends on the kind of the exporter.",
        client_fix: Some(
            "Choose by the exporter's kind: write the data of BytesMessages down as they come, send nothing.",
        ),
        ..PACKETS
    },
    Entry {
        code: "request-missing",
        title: "The receiver does not ask for files that were announced",
        what: "Files were announced, the receiver has not asked for all of them, and has not said FIN either. The sender has \
               nothing to do.",
        wire: "STATs up to the final one, fewer REQs than regular files, no FIN from the receiver, and silence.",
        why: "The receiver waits for something else: its disk, a lock, the end of the stream, or it counts ids wrongly.",
        client_fix: Some(
            "On a FileSend, send REQ for each regular file as soon as its STAT is there.",
        ),
        daemon_fix: Some("On a FileSync the daemon is the receiver: look at its disk and its log."),
        healthy: Some(
            "A daemon that has all files in its cache asks for none, and says FIN at once.",
        ),
        ..WAIT
    },
    Entry {
        code: "file-end-missing",
        title: "A file that was asked for is not sent to its end",
        what: "The receiver has asked for a file, and the sender does not send the rest of it.",
        wire: "A REQ without the empty DATA of the same id; nothing else of the sender; its window is open.",
        why: "The sender blocks in reading the file (a FIFO, a network mount, a failing disk), or forgot that a file ends \
              with an empty DATA. An empty file is that empty DATA alone.",
        client_fix: Some("Send the empty DATA for every REQ; open files so that it cannot block."),
        daemon_fix: Some("On a FileSend the daemon is the sender: look at its disk and its log."),
        links: &[
            issue(BUILDKIT, 2950),
            issue(BUILDKIT, 4453),
            issue(DAGGER, 6355),
        ],
        ..WAIT
    },
    Entry {
        code: "final-stat-missing",
        title: "The listing of files is not ended",
        what: "The sender has stopped in the middle of its listing. The receiver cannot know whether more comes.",
        wire: "STATs, and then neither the message of length 0 that ends them nor an ERR.",
        why: "The walk is slow or stuck: a huge tree, a network mount, a directory that cannot be read.",
        client_fix: Some(
            "Look at what comes after the last path that was announced; exclude it with .dockerignore. A sender of your \
             own must end the listing with an empty Packet.",
        ),
        healthy: Some("Contents may be asked for and sent while the listing goes on."),
        links: &[
            issue("docker/compose", 10445),
            issue("docker/desktop-feedback", 262),
        ],
        ..WAIT
    },
    Entry {
        code: "fin-missing",
        title: "The receiver has everything and does not say FIN",
        what: "All files were asked for and sent, and the receiver does not end the transfer. The sender must wait, since it \
               cannot know that nothing more will be asked for.",
        wire: "The empty DATA of every file, and no FIN (`08 03`) from the receiver.",
        why: "The receiver waits for the end of the stream, which comes only after its own FIN, or is still writing.",
        client_fix: Some(
            "Send FIN when the listing has ended and no file is open, then read until FIN comes back.",
        ),
        daemon_fix: Some("On a FileSync the daemon is the receiver: look at its disk and its log."),
        ..WAIT
    },
    Entry {
        code: "fin-unanswered",
        title: "FIN is not answered",
        what: "The receiver has said that it is done, and the sender does not say so too.",
        wire: "FIN one way, and nothing back.",
        why: "The sender is still busy with a file, lost the stream, or does not know that it must answer.",
        client_fix: Some(
            "A sender answers FIN with FIN and then ends the call; a receiver waits for it.",
        ),
        daemon_fix: Some("On a FileSend the daemon is the sender: look at its log."),
        healthy: Some(
            "After FIN and FIN the daemon may reset the stream of an export instead of waiting for trailers.",
        ),
        ..WAIT
    },
    Entry {
        code: "call-not-ended",
        title: "The receiver of an archive does not end the call",
        layer: Layer::Call,
        what: "The archive was sent whole, and its receiver does not answer with trailers. The export, and with it the \
               build, waits for them.",
        wire: "END_STREAM from the sender on `FileSend/DiffCopy`, no window in its way, and nothing from the receiver for \
               three times as long as a wait may last elsewhere.",
        why: "The receiver writes what it has in its memory to a disk or a pipe that is slow or stands still; or it is done, \
              and its handler does not return.",
        client_fix: Some(
            "Return from DiffCopy (status OK) as soon as everything is written. If a program reads the output from a \
             pipe, see whether it still does.",
        ),
        healthy: Some(
            "A client that loads the image into an engine ends the call after the engine has answered.",
        ),
        ..WAIT
    },
    Entry {
        code: "transfer-error-packet",
        title: "One end gave the transfer up and says why",
        what: "A Packet of type ERR ends a transfer. Its text is the cause; the gRPC status beside it often only says that \
               something was cancelled.",
        wire: "`08 04 22 …` with the text as data.",
        why: "As the text says: a file that cannot be read or written, a path that is refused, a broken rule.",
        client_fix: Some(
            "If the client sent it, the text is about the client's files. A client should show this text to its user.",
        ),
        daemon_fix: Some(
            "If the daemon sent it, the text is about its disk or about a rule that the client broke.",
        ),
        healthy: Some(
            "\"context canceled\" in an ERR is what a cancelled build leaves behind, and is not reported.",
        ),
        ..PACKETS
    },
    Entry {
        code: "transfer-incomplete",
        title: "The call ended well before the transfer was complete",
        what: "A transfer ended with status OK although something was still owed. Files may be missing, and nobody is told.",
        wire: "Trailers with OK before FIN was answered by FIN.",
        why: "One end returned from its handler early.",
        client_fix: Some("Return only when FIN went both ways."),
        ..PACKETS
    },
    Entry {
        code: "malformed-packet",
        title: "A message is no Packet",
        what: "Where an fsutil Packet belongs stands something that does not decode as one.",
        wire: "A message on a transfer of Packets whose protobuf fields are broken or of the wrong type.",
        why: "The sender uses another schema, or sends bytes where packets belong.",
        client_fix: Some("Generate the messages from fsutil's types/wire.proto and stat.proto."),
        ..PACKETS
    },
    Entry {
        code: "flavour-contradicted",
        title: "The transfer carries something else than its exporter says",
        layer: Layer::Packets,
        what: "The build asked for one kind of output, and what is sent looks like the other kind.",
        wire: "The first message begins with 0x0a (bytes) for `local`, or with 0x12 (Packets) for an archive.",
        why: "The call belongs to another exporter than its number says, or the sender was changed.",
        client_fix: Some("Look whether the numbers of the exporters are those of the build."),
        ..WARNING
    },
    Entry {
        code: "stat-order-violation",
        title: "Files are announced in the wrong order",
        what: "The receiver refuses the whole transfer, in fsutil with \"changes out of order\".",
        wire: "A STAT whose path is not greater than the one before, compared component by component, or whose directory had \
               no STAT before it.",
        why: "The rule is not that of a plain sort of strings: `/` counts as lower than every other character, so that \
              `a/b` comes before `a-b`. A directory comes before what is in it.",
        client_fix: Some("Walk depth first, and sort the names in every directory as bytes."),
        ..PACKETS
    },
    Entry {
        code: "stat-order-violation-path",
        title: "A path is announced that is not allowed",
        what: "The receiver refuses the transfer, since the path could lead out of the tree.",
        wire: "A STAT whose path is absolute, or has `.`, `..`, an empty part or a trailing slash in it.",
        why: "The path was not made relative to the root of the tree, or comes from another system with its separators.",
        client_fix: Some(
            "Send clean relative paths with `/` between their parts; the root itself is not sent.",
        ),
        ..PACKETS
    },
    Entry {
        code: "stat-order-violation-link",
        title: "A hard link points at nothing",
        what: "The receiver refuses the transfer, in fsutil with \"invalid link\".",
        wire: "A STAT with a regular mode whose `linkname` is no path of a file that was announced before it.",
        why: "The first of several links was filtered out, comes later, or the target is not relative to the tree.",
        client_fix: Some(
            "Send the first link as a file, and the others with its path in this listing as `linkname`.",
        ),
        ..PACKETS
    },
    Entry {
        code: "stat-order-violation-request",
        title: "Contents are asked for that cannot be given",
        what: "The sender fails the transfer, in fsutil with \"invalid file id\".",
        wire: "A REQ with an id that was not announced, that is no regular file, or that was asked for before.",
        why: "Ids count every STAT from 0, also directories and links. A receiver that counts only regular files asks for \
              the wrong ones.",
        client_fix: Some(
            "Count all STATs, and ask once for each entry whose mode has no type bits.",
        ),
        ..PACKETS
    },
    Entry {
        code: "stat-order-violation-data",
        title: "Contents are sent that nobody asked for",
        what: "The receiver fails the transfer, in fsutil with \"invalid file request\".",
        wire: "DATA with an id for which there is no open REQ.",
        why: "The sender numbers its files in another way than the STATs, or goes on after the end of a file.",
        client_fix: Some("Answer a REQ with its own id, and nothing after the empty DATA."),
        ..PACKETS
    },
    Entry {
        code: "stat-order-violation-side",
        title: "A packet comes from the wrong end",
        what: "An end sends what only the other one may send, and the transfer fails.",
        wire: "STAT or DATA from the receiver, or REQ from the sender.",
        why: "The client has mixed up its part: on FileSync it sends files, on FileSend it receives them, although it is \
              the gRPC server in both.",
        client_fix: Some("Be the sender on FileSync and the receiver on FileSend."),
        ..PACKETS
    },
    Entry {
        code: "stat-order-violation-fin",
        title: "FIN comes before the listing has ended",
        what: "The transfer is ended by the receiver while the sender still announces files, which are lost.",
        wire: "FIN before the message of length 0 that ends the STATs.",
        why: "The receiver takes \"no file is open\" for the end.",
        client_fix: Some("Wait for the empty STAT, then for the open files, then say FIN."),
        ..PACKETS
    },
    Entry {
        code: "file-changed-during-transfer",
        title: "A file changed while it was sent",
        layer: Layer::Packets,
        what: "The number of bytes that were sent is not the size that was announced. The build goes on with what came.",
        wire: "The DATA of an id sum up to something else than `size` in its STAT; a file that vanished is a lone empty DATA.",
        why: "Something writes into the tree during the build: another build, an editor, a log.",
        client_fix: Some("Build from a copy, or exclude what changes with .dockerignore."),
        healthy: Some(
            "A hard link whose first occurrence was filtered out may be announced with size 0.",
        ),
        ..WARNING
    },
    Entry {
        code: "shared-key-collision",
        title: "Two builds share one place for their context",
        severity: Severity::Info,
        layer: Layer::Packets,
        what: "Daemons keep a context under the session's shared key and the directory's name. Builds with the same pair \
               wait for each other, or take over files of one another when metadata happen to be the same.",
        wire: "The same `X-Docker-Expose-Session-Sharedkey`, perhaps an empty one, and the same `dir-name` in sessions of \
               different clients.",
        why: "The key is derived from the path of the context, which in a CI system is often the same on every machine.",
        client_fix: Some(
            "Make the key of something that is the client's own, such as a random file beside its configuration.",
        ),
        healthy: Some("Two builds of the same context are meant to share it."),
        links: &[
            issue(BUILDKIT, 1368),
            issue(BUILDKIT, 6470),
            issue(BUILDKIT, 6478),
            issue(BUILDX, 2558),
            issue(BUILDX, 3618),
        ],
        ..WARNING
    },
];
