//! `buildtap show`, for what needs the whole program: the rest is tested next to the views.

use buildtap_tests::process::Process;
use buildtap_tests::program::command;
use buildtap_tests::trace::Trace;
use tempfile::TempDir;

const CAPTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/captures");

// A file is read faster than a session happens: the transfer may be over before its packets are shown.
#[test]
fn packets_name_the_file_that_they_are_about() {
    let home = TempDir::new().unwrap();
    let capture = format!("{CAPTURES}/local-export.pcap");
    let show = ["show", "--format", "json", &capture];
    let shown = Process::run(&mut command(home.path(), &show)).success();
    let trace = Trace::parse(&shown.stdout);
    let mut seen = 0;
    for message in trace.of_kind("message") {
        let packet = &message["packet"];
        if packet["type"] == "DATA" || packet["type"] == "REQ" {
            assert!(packet["path"].is_string(), "{message}");
            seen += 1;
        }
    }
    assert!(seen > 20, "{seen}");
}
