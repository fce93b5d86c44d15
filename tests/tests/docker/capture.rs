//! The same build seen live, by `--record` and by tcpdump: what buildtap decodes is the same.

use std::process::Command;

use buildtap_tests::compare::assert_same;
use buildtap_tests::lab::{Daemon, Flavour, Workshop};
use buildtap_tests::process::{Process, command};
use buildtap_tests::trace::Trace;
use buildtap_tests::{program, wait_for};
use rustix::process::Signal;

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

/// Runs docker under buildtap and tcpdump, and gives what was seen live, after insisting that both recordings say the
/// same.
fn recorded(daemon: &Daemon, build: &[&str], succeeds: bool) -> Trace {
    let shop = Workshop::new();
    let recording = Recording::start(daemon, &shop.text("build.pcap"));
    let live = shop.text("live.jsonl");
    let own = shop.text("own.pcapng");
    let mut arguments = vec![
        "run", "--format", "json", "--output", &live, "--record", &own, "--",
    ];
    arguments.extend(["docker", "build", "--network=none"]);
    arguments.extend(build);
    let contexts = shop.context("");
    let mut run = daemon.buildtap(shop.path(), &arguments);
    let ran = Process::run(run.current_dir(contexts));
    assert_eq!(ran.status.success(), succeeds, "{ran}");
    recording.stop();
    let live = Trace::read(&shop.file("live.jsonl"));
    for file in ["own.pcapng", "build.pcap"] {
        let show = ["show", "--format", "json", file];
        let shown = Process::run(&mut program::command(shop.path(), &show)).success();
        assert_same(&live, &Trace::parse(&shown.stdout), file);
    }
    live
}

// One test: tcpdump must see the connections of its own build only.
#[test]
fn a_build_that_was_recorded_reads_as_it_did_live() {
    let Some(daemon) = Daemon::start_another(Flavour::Bookworm) else {
        return;
    };
    let local = ["--output", "type=local,dest=../out", "tree"];
    let live = recorded(&daemon, &local, true);
    assert_eq!(live.session_calls().len(), 4);
    recorded(
        &daemon,
        &["--output", "type=tar,dest=../out.tar", "tree"],
        true,
    );
    let live = recorded(&daemon, &["failing"], false);
    assert_eq!(live.findings(), ["build-error-in-stream"]);
}
