//! Transfers of files.

use buildtap_decoder::event::Side::{Client, Daemon};
use std::time::Duration;

use buildtap_fixtures::peers::diffcopy::{Listing, data, fin, request, stat_packet};
use buildtap_fixtures::peers::grpc::code;
use buildtap_fixtures::peers::script::{Action, Output, Rule, Step};
use buildtap_fixtures::peers::tree::Tree;
use buildtap_proto::fsutil::types::{Packet, Stat};
use bytes::Bytes;
use prost::Message as _;

use crate::table::{Entry, build, tar};

/// The first message of a transfer is another one, at a step.
fn instead(rules: &mut Vec<Rule>, step: Step, transfer: &str, packet: &Packet) {
    let action = Action::Instead(packet.encode_to_vec().into());
    rules.push(Rule::new(step, action).scope(transfer).once());
}

pub(crate) static ENTRIES: &[Entry] = &[
    Entry {
        code: "packets-read-as-bytes",
        twin: "a client that reads its `local` export as Packets",
        play: build,
        animal: "reads the Packets of its `local` export as BytesMessages, and asks for nothing",
        fault: |play| play.client.reads_packets = false,
        waits_for: Some(Client),
        says: &[
            "but the client handles it as a stream of BytesMessages",
            "owes REQ for 4 files",
        ],
    },
    Entry {
        code: "packets-read-as-bytes",
        twin: "a client that asks for the files of its export",
        play: build,
        animal: "reads Packets and asks for no file",
        fault: |play| {
            let export = Rule::new(Step::SendRequest, Action::Skip).scope("export");
            play.client.rules.push(export);
        },
        waits_for: Some(Client),
        says: &["it has asked for nothing, and owes REQ for 4 files"],
    },
    Entry {
        code: "bytes-read-as-packets",
        twin: "a client that writes its `tar` export down",
        play: tar,
        animal: "takes the first BytesMessage of its `tar` export for the end of a listing, as Go's protobuf does, and says FIN",
        fault: |play| {
            play.client.reads_archive = false;
            instead(&mut play.client.rules, Step::Receive, "export", &fin());
            play.client
                .rules
                .push(Rule::new(Step::Receive, Action::Hang).scope("export"));
        },
        waits_for: None,
        says: &["carries an archive"],
    },
    Entry {
        code: "request-missing",
        twin: "a client that asks for all files of its export",
        play: build,
        animal: "asks for the first of four files only",
        fault: |play| {
            let export = Rule::new(Step::SendRequest, Action::Skip).scope("export");
            play.client.rules.push(export.after(1));
        },
        waits_for: Some(Client),
        says: &[
            "FileSend of exporter 0 (local) stands still",
            "the client must",
        ],
    },
    Entry {
        code: "request-missing",
        twin: "a daemon that has the context in its cache: it asks for no file, and says FIN",
        play: || {
            let mut play = build();
            play.daemon.warm_cache = true;
            play
        },
        animal: "a daemon asks for no file of the context, and does not say FIN",
        fault: |play| {
            play.daemon.warm_cache = false;
            let context = Rule::new(Step::SendRequest, Action::Skip).scope("context");
            play.daemon.rules.push(context);
        },
        waits_for: Some(Daemon),
        says: &["FileSync of \"context\" stands still", "the daemon must"],
    },
    Entry {
        code: "file-end-missing",
        twin: "a client that sends its files to their ends",
        play: build,
        animal: "does not send the empty DATA that ends a file of the context",
        fault: |play| {
            let end = Rule::new(Step::SendEndOfFile, Action::Skip).scope("context");
            play.client.rules.push(end);
        },
        waits_for: Some(Client),
        says: &[
            "FileSync of \"context\" stands still",
            "the client must send the rest of",
        ],
    },
    Entry {
        code: "final-stat-missing",
        twin: "a client that ends its listing",
        play: build,
        animal: "does not end the listing of its context",
        fault: |play| {
            let last = Rule::new(Step::SendFinalStat, Action::Skip).scope("context");
            play.client.rules.push(last);
        },
        waits_for: Some(Client),
        says: &["FileSync of \"context\" stands still", "the client must"],
    },
    Entry {
        code: "fin-missing",
        twin: "a client that says FIN when it has all files",
        play: build,
        animal: "does not say FIN when it has all files of its export",
        fault: |play| {
            let fin = Rule::new(Step::SendFin, Action::Hang).scope("export");
            play.client.rules.push(fin);
        },
        waits_for: Some(Client),
        says: &[
            "FileSend of exporter 0 (local) stands still",
            "the client must say FIN",
        ],
    },
    Entry {
        code: "fin-unanswered",
        twin: "a daemon that answers FIN with FIN",
        play: build,
        animal: "a daemon does not answer the FIN of its export",
        fault: |play| {
            let fin = Rule::new(Step::SendFin, Action::Hang).scope("export");
            play.daemon.rules.push(fin);
        },
        waits_for: Some(Daemon),
        says: &[
            "FileSend of exporter 0 (local) stands still",
            "the daemon must",
        ],
    },
    Entry {
        code: "fin-unanswered",
        twin: "a client that answers FIN with FIN",
        play: build,
        animal: "does not answer the FIN of its context",
        fault: |play| {
            let fin = Rule::new(Step::SendFin, Action::Hang).scope("context");
            play.client.rules.push(fin);
        },
        waits_for: Some(Client),
        says: &["FileSync of \"context\" stands still", "the client must"],
    },
    Entry {
        code: "call-not-ended",
        twin: "a client that ends the call when it has written its `tar` export down",
        play: tar,
        animal: "takes all of its `tar` export, and does not return from DiffCopy",
        fault: |play| {
            let end =
                Rule::new(Step::EndCall, Action::Hang).scope("/moby.filesync.v1.FileSend/DiffCopy");
            play.client.rules.push(end);
        },
        waits_for: Some(Client),
        says: &["the client does not end the call"],
    },
    Entry {
        code: "transfer-error-packet",
        twin: "a client that can read its context",
        play: build,
        animal: "cannot read a file of its context, and says so in an ERR packet",
        fault: |play| {
            let action = Action::Fail {
                code: code::UNKNOWN,
                message: "open secret: permission denied".into(),
            };
            let stat = Rule::new(Step::SendStat, action).scope("context");
            play.client.rules.push(stat.after(3));
        },
        waits_for: None,
        says: &["the client says in an ERR packet: open secret: permission denied"],
    },
    Entry {
        code: "transfer-incomplete",
        twin: "a client that answers FIN before it ends the call",
        play: build,
        animal: "ends the transfer of its context with OK in place of FIN",
        fault: |play| {
            let fin = Rule::new(Step::SendFin, Action::Skip).scope("context");
            play.client.rules.push(fin);
        },
        waits_for: None,
        says: &[
            "ended with status OK before it was complete",
            "the client still had to",
        ],
    },
    Entry {
        code: "malformed-packet",
        twin: "a client that sends Packets",
        play: build,
        animal: "sends a text where a Packet belongs",
        fault: |play| {
            let rule = Rule::new(Step::SendStat, Action::Instead("no packet".into()));
            play.client
                .rules
                .push(rule.scope("context").after(2).once());
        },
        waits_for: None,
        says: &["the client sent a message that is no fsutil Packet"],
    },
    Entry {
        code: "flavour-contradicted",
        twin: "a daemon that sends Packets for `local`",
        play: build,
        animal: "a daemon sends an archive for `local`",
        fault: |play| play.daemon.sends = Some(Output::Tar),
        waits_for: None,
        says: &["was expected to carry packets"],
    },
    Entry {
        code: "flavour-contradicted",
        twin: "a daemon that sends an archive for `tar`",
        play: tar,
        animal: "a daemon sends Packets for `tar`",
        fault: |play| play.daemon.sends = Some(Output::Local),
        waits_for: None,
        says: &["was expected to carry bytes"],
    },
    Entry {
        code: "stat-order-violation-path",
        twin: "a client whose paths are relative and clean",
        play: build,
        animal: "announces a path that leads out of its context",
        fault: |play| {
            let packet = stat_packet(Stat {
                path: "../etc/passwd".into(),
                mode: 0o644,
                ..Stat::default()
            });
            instead(&mut play.client.rules, Step::SendStat, "context", &packet);
        },
        waits_for: None,
        says: &["the client announces the path \"../etc/passwd\""],
    },
    Entry {
        code: "stat-order-violation-link",
        twin: "a client whose hard links lead to files that it announced before",
        play: || {
            let mut play = build();
            play.client.context = Tree::new().text("a", "one").hardlink("b", "a");
            play
        },
        animal: "announces a hard link to a file that it has not announced",
        fault: |play| {
            let packet = stat_packet(Stat {
                path: "b".into(),
                mode: 0o644,
                linkname: "elsewhere".into(),
                ..Stat::default()
            });
            let action = Action::Instead(packet.encode_to_vec().into());
            let second = Rule::new(Step::SendStat, action).scope("context").after(1);
            play.client.rules.push(second.once());
        },
        waits_for: None,
        says: &["the client", "elsewhere"],
    },
    Entry {
        code: "stat-order-violation-request",
        twin: "a client that asks for what was announced",
        play: build,
        animal: "counts only regular files, and so asks for a directory",
        fault: |play| {
            let rules = &mut play.client.rules;
            instead(rules, Step::SendRequest, "export", &request(0));
        },
        waits_for: None,
        says: &["the client asks for the contents of id 0"],
    },
    Entry {
        code: "stat-order-violation-data",
        twin: "a client that sends what was asked for",
        play: build,
        animal: "sends contents that nobody asked for",
        fault: |play| {
            let packet = data(99, Bytes::from_static(b"unasked"));
            let rules = &mut play.client.rules;
            instead(rules, Step::SendData, "context", &packet);
        },
        waits_for: None,
        says: &["the client sends contents of id 99, which nobody asked for"],
    },
    Entry {
        code: "stat-order-violation-side",
        twin: "a client that asks for the files of its export",
        play: build,
        animal: "announces files on the call by which it is to receive some",
        fault: |play| {
            let packet = stat_packet(Stat {
                path: "mine".into(),
                mode: 0o644,
                ..Stat::default()
            });
            let rules = &mut play.client.rules;
            instead(rules, Step::SendRequest, "export", &packet);
        },
        waits_for: None,
        says: &["the client sends a packet", "that is not its to send"],
    },
    Entry {
        code: "stat-order-violation-fin",
        twin: "a daemon that takes its time to list, and a client that says FIN when it has all files",
        play: || {
            let mut play = build();
            let slow = Action::Delay(Duration::from_millis(200));
            let last = Rule::new(Step::SendFinalStat, slow).scope("export");
            play.daemon.rules.push(last);
            play
        },
        animal: "says FIN before the listing has ended",
        fault: |play| {
            let slower = Action::Delay(Duration::from_secs(1));
            let last = Rule::new(Step::SendFinalStat, slower).scope("export");
            play.daemon.rules.push(last);
            let rules = &mut play.client.rules;
            instead(rules, Step::Receive, "export", &fin());
        },
        waits_for: None,
        says: &["the client says FIN before the listing is complete"],
    },
    Entry {
        code: "stat-order-violation",
        twin: "a client that lists its files in order",
        play: || {
            let mut play = build();
            play.client.context = Tree::new().text("a", "").text("b", "").text("c", "");
            play
        },
        animal: "lists its files in the opposite order",
        fault: |play| play.client.sending.order = Listing::Reversed,
        waits_for: None,
        says: &["the client announces", "paths must ascend"],
    },
    Entry {
        code: "stat-order-violation",
        twin: "a daemon that lists a directory before what is in it",
        play: build,
        animal: "a daemon lists what is in a directory before that",
        fault: |play| play.daemon.sending.order = Listing::Reversed,
        waits_for: None,
        says: &["the daemon announces out/share/version"],
    },
    Entry {
        code: "file-changed-during-transfer",
        twin: "a client whose files stay as they are",
        play: build,
        animal: "leaves a piece of a file out, as when the file becomes shorter while it is read",
        fault: |play| {
            let data = Rule::new(Step::SendData, Action::Skip).scope("context");
            play.client.rules.push(data.once());
        },
        waits_for: None,
        says: &["was announced with", "bytes, but"],
    },
    Entry {
        code: "shared-key-collision",
        twin: "two builds at a time, whose sessions have shared keys of their own",
        play: || {
            let mut play = build();
            play.client.shared_key = "first".into();
            let mut second = play.client.clone();
            second.shared_key = "second".into();
            second.context = Tree::new().text("other.txt", "another context");
            play.second = Some(second);
            play.daemon.pace = Duration::from_millis(50);
            play
        },
        animal: "builds another context under the shared key of a build that goes on",
        fault: |play| play.second.as_mut().unwrap().shared_key = "first".into(),
        waits_for: None,
        says: &["have the same shared key and sync different files"],
    },
];
