//! The same build seen live and by tcpdump: what buildtap decodes is the same.

use std::collections::BTreeMap;
use std::process::Command;

use buildtap_tests::lab::{Daemon, Flavour, Workshop};
use buildtap_tests::process::{Process, command};
use buildtap_tests::trace::Trace;
use buildtap_tests::{program, wait_for};
use rustix::process::Signal;
use serde_json::Value;

/// tcpdump on the loopback, writing to `file`.
pub(crate) struct Recording {
    tcpdump: Process,
    port: u16,
}

impl Recording {
    pub(crate) fn start(daemon: &Daemon, file: &str) -> Self {
        let port = daemon.address.rsplit(':').next().unwrap().parse().unwrap();
        let mut tcpdump = command("tcpdump");
        tcpdump
            .args([
                "-i", "lo", "-n", "-Z", "root", "-s", "0", "-U", "-B", "65536",
            ])
            .args(["--immediate-mode", "-w", file])
            .arg(format!("tcp port {port}"));
        let mut tcpdump = Process::start(&mut tcpdump);
        tcpdump.wait_until_said("listening on lo");
        Recording { tcpdump, port }
    }

    /// Ends it once the connections of the build are closed, and insists that it lost nothing.
    pub(crate) fn stop(self) {
        let port = self.port;
        let filter = format!("( sport = :{port} or dport = :{port} )");
        wait_for("the connections to close", || {
            let mut ss = Command::new("ss");
            let open = Process::run(ss.args([
                "-Htn",
                "state",
                "connected",
                "exclude",
                "time-wait",
                &filter,
            ]))
            .success();
            open.stdout.trim().is_empty().then_some(())
        });
        self.tcpdump.signal_group(Signal::INT);
        let ended = self.tcpdump.finish();
        assert!(
            ended.stderr.contains("0 packets dropped by kernel"),
            "{ended}"
        );
    }
}

/// Everything that a build says, without what depends on who looks: times, addresses, numbers, and how bytes were cut
/// into events. Sorted, because two connections may be seen in either order.
fn normalised(trace: &Trace) -> Vec<String> {
    let connections = stable_numbers(trace);
    let mut lines: Vec<String> = trace
        .all()
        .iter()
        .map(|object| {
            let mut object = object.clone();
            normalise(&mut object, &connections);
            object.to_string()
        })
        .collect();
    lines.sort();
    lines
}

/// What a connection was opened for, by its number.
fn stable_numbers(trace: &Trace) -> BTreeMap<u64, String> {
    let mut names: BTreeMap<u64, String> = BTreeMap::new();
    for exchange in trace.of_kind("exchange") {
        let connection = exchange["connection"].as_u64().unwrap();
        let target = exchange["target"].as_str().unwrap();
        names.entry(connection).or_default().push_str(target);
    }
    names
}

fn normalise(value: &mut Value, connections: &BTreeMap<u64, String>) {
    match value {
        Value::Object(fields) => {
            for gone in ["id", "number", "tap", "exchange", "upgraded_by", "address"] {
                // The id of a file or of an exporter is part of the protocol, that of a session too.
                let kept = matches!(
                    fields.get("kind").and_then(Value::as_str),
                    Some("file" | "session") | None
                );
                if !(gone == "id" && kept) {
                    fields.shift_remove(gone);
                }
            }
            fields.shift_remove("client_process");
            fields.retain(|name, value| !name.ends_with("_ns") && !is_time(value));
            if let Some(connection) = fields.get_mut("connection")
                && let Some(name) = connection.as_u64().and_then(|id| connections.get(&id))
            {
                *connection = name.clone().into();
            }
            for value in fields.values_mut() {
                normalise(value, connections);
            }
        }
        Value::Array(values) => {
            for value in values {
                normalise(value, connections);
            }
        }
        _ => {}
    }
}

/// RFC 3339 with nine digits behind the second.
fn is_time(value: &Value) -> bool {
    value
        .as_str()
        .is_some_and(|text| text.len() == 30 && text.ends_with('Z') && text.as_bytes()[10] == b'T')
}

/// Runs docker under buildtap and tcpdump, and gives what each saw.
fn both(daemon: &Daemon, build: &[&str], succeeds: bool) -> (Trace, Trace) {
    let shop = Workshop::new();
    let recording = Recording::start(daemon, &shop.text("build.pcap"));
    let live = shop.text("live.jsonl");
    let mut arguments = vec!["run", "--format", "json", "--output", &live, "--"];
    arguments.extend(["docker", "build", "--network=none"]);
    arguments.extend(build);
    let contexts = shop.context("");
    let mut run = daemon.buildtap(shop.path(), &arguments);
    let ran = Process::run(run.current_dir(contexts));
    assert_eq!(ran.status.success(), succeeds, "{ran}");
    recording.stop();
    let show = ["show", "--format", "json", "build.pcap"];
    let shown = Process::run(&mut program::command(shop.path(), &show)).success();
    (
        Trace::read(&shop.file("live.jsonl")),
        Trace::parse(&shown.stdout),
    )
}

fn assert_same(live: &Trace, shown: &Trace) {
    let (live, shown) = (normalised(live), normalised(shown));
    let only = |these: &[String], those: &[String]| -> String {
        let only = these.iter().filter(|line| !those.contains(line));
        only.map(|line| format!("{line}\n")).collect()
    };
    assert!(
        live == shown,
        "only live:\n{}\nonly captured:\n{}",
        only(&live, &shown),
        only(&shown, &live)
    );
    assert!(live.len() > 20, "that is too little to mean anything");
}

// One test: a recording must see the connections of its own build only.
#[test]
fn a_build_that_tcpdump_recorded_reads_as_it_did_live() {
    let Some(daemon) = Daemon::start_another(Flavour::Bookworm) else {
        return;
    };
    let (live, shown) = both(
        &daemon,
        &["--output", "type=local,dest=../out", "tree"],
        true,
    );
    assert_same(&live, &shown);
    assert_eq!(live.session_calls().len(), 4);
    let (live, shown) = both(
        &daemon,
        &["--output", "type=tar,dest=../out.tar", "tree"],
        true,
    );
    assert_same(&live, &shown);
    let (live, shown) = both(&daemon, &["failing"], false);
    assert_same(&live, &shown);
    assert_eq!(shown.findings(), ["build-error-in-stream"]);
}
