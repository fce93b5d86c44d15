//! The screen of the real program, in a pseudo-terminal.

use std::path::Path;

use buildtap_tests::program::command;
use buildtap_tests::screen::Screen;
use rustix::process::Signal;
use tempfile::TempDir;

fn capture(name: &str) -> String {
    let captures = concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/captures");
    Path::new(captures).join(name).display().to_string()
}

fn view(home: &Path, columns: u16, lines: u16) -> Screen {
    let file = capture("local-export.pcap");
    let mut screen = Screen::start(&command(home, &["view", &file]), columns, lines);
    screen.wait_for(&["build 1 dockerfile.v0", "nothing abnormal"]);
    screen
}

#[test]
fn each_view_is_opened_by_its_key_and_the_terminal_is_given_back() {
    let home = TempDir::new().unwrap();
    for (columns, lines) in [(80, 24), (200, 60)] {
        let mut screen = view(home.path(), columns, lines);
        for (key, seen) in [
            ("2", "FileSync"),
            ("\x1b[B\x1b[B\r", "fsutil packets"),
            ("3", "STAT"),
            ("5", "Timeline"),
            ("6", "nothing abnormal"),
            ("7", "POST /session"),
            ("8", "Output"),
            ("9", "Diff"),
            ("1", "build 1"),
            ("?", "moving"),
        ] {
            screen.press(key);
            screen.wait_for(&[seen]);
        }
        screen.press("?q");
        let (code, text) = screen.end();
        assert_eq!((code, text.trim()), (0, ""), "{text}");
    }
}

#[test]
fn it_follows_the_size_of_the_terminal() {
    let home = TempDir::new().unwrap();
    let mut screen = view(home.path(), 80, 24);
    for (columns, lines) in [(20, 5), (1, 1), (250, 70), (3, 40), (80, 24)] {
        screen.resize(columns, lines);
        screen.press("\t");
    }
    screen.press("1");
    screen.wait_for(&["build 1 dockerfile.v0", "quit"]);
    screen.press("q");
    assert_eq!(screen.end().0, 0);
}

#[test]
fn a_signal_gives_the_terminal_back() {
    let home = TempDir::new().unwrap();
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let screen = view(home.path(), 80, 24);
        screen.signal(signal);
        assert_eq!(screen.end().0, 0, "{signal:?}");
    }
}

#[test]
fn a_panic_gives_the_terminal_back_and_can_be_read() {
    let home = TempDir::new().unwrap();
    let file = capture("local-export.pcap");
    let mut command = command(home.path(), &["view", &file]);
    command.env("BUILDTAP_TEST_FAIL_SCREEN", "1");
    let (code, text) = Screen::start(&command, 80, 24).end();
    assert_ne!(code, 0);
    assert!(text.contains("the screen was asked to fail here"), "{text}");
}

#[test]
fn a_hang_is_on_the_first_screen_and_three_keys_lead_to_the_bytes() {
    let home = TempDir::new().unwrap();
    let demo = command(home.path(), &["demo", "hang", "--tui"]);
    let mut screen = Screen::start(&demo, 80, 24);
    screen.wait_for(&[
        "stands still: 1",
        "the client must send REQ for 4 files",
        "packets-read-as-bytes",
        "holds up build 1",
    ]);
    screen.press("\r");
    screen.wait_for(&["▶ requests", "0 of 4 files"]);
    screen.press("m");
    screen.wait_for(&["STAT", "bytes in hex", "12 17 0a 05"]);
    screen.press("q");
    let (code, text) = screen.end();
    assert_eq!(code, 0);
    // The summary is said on the terminal when the screen is left.
    assert!(text.contains("packets-read-as-bytes"), "{text}");
}

#[test]
fn the_command_runs_in_a_terminal_of_its_own_and_its_status_is_kept() {
    let home = TempDir::new().unwrap();
    let script = "stty size; read line; echo got=$line; exit 7";
    let mut command = command(
        home.path(),
        &[
            "run",
            "--upstream",
            "unix:///nonexistent.sock",
            "--tui",
            "--",
            "sh",
            "-c",
            script,
        ],
    );
    command.env("NO_COLOR", "1");
    let mut screen = Screen::start(&command, 100, 30);
    screen.press("8");
    screen.wait_for(&["27 100"]);
    screen.press("ihello\r");
    screen.wait_for(&["got=hello", "exit status: 7"]);
    screen.press("q");
    assert_eq!(screen.end().0, 7);
}

#[test]
fn leaving_while_the_command_runs_ends_it() {
    let home = TempDir::new().unwrap();
    let command = command(
        home.path(),
        &[
            "run",
            "--upstream",
            "unix:///nonexistent.sock",
            "--tui",
            "--",
            "sleep",
            "600",
        ],
    );
    let mut screen = Screen::start(&command, 80, 24);
    screen.wait_for(&["runs"]);
    screen.press("q");
    screen.wait_for(&["the command still runs"]);
    screen.press("q");
    assert_eq!(screen.end().0, 128 + 15);
}

#[test]
fn what_is_shown_is_saved() {
    let home = TempDir::new().unwrap();
    let mut screen = view(home.path(), 100, 30);
    screen.press("f");
    screen.press("service == FileSend\r");
    screen.wait_for(&["filtered"]);
    screen.press("Sexport.jsonl\r");
    screen.wait_for(&["saved as export.jsonl"]);
    screen.press("Sexport.pcapng\r");
    screen.wait_for(&["saved export.pcapng"]);
    screen.press("q");
    assert_eq!(screen.end().0, 0);
    let lines = std::fs::read_to_string(home.path().join("export.jsonl")).unwrap();
    assert!(lines.lines().count() > 10, "{lines}");
    assert!(
        lines.lines().all(|line| line.contains("\"call\":4")),
        "{lines}"
    );
    let show = ["show", "export.pcapng"];
    let shown = buildtap_tests::process::Process::run(&mut command(home.path(), &show)).success();
    assert!(
        shown.stdout.contains("FileSend.DiffCopy exporter 0"),
        "{shown}"
    );
}

#[test]
fn two_captures_stand_side_by_side() {
    let home = TempDir::new().unwrap();
    let (good, bad) = (capture("local-export.pcap"), capture("tar-export.pcap"));
    let diff = command(home.path(), &["diff", "--tui", &good, &bad]);
    let mut screen = Screen::start(&diff, 140, 40);
    screen.wait_for(&["GOOD", "BAD", "FileSend.DiffCopy exporter 0", "differences"]);
    screen.press("q");
    assert_eq!(screen.end().0, 0);
}

#[test]
fn without_a_terminal_it_says_so() {
    let home = TempDir::new().unwrap();
    let file = capture("local-export.pcap");
    let mut command = command(home.path(), &["view", &file]);
    let ended = buildtap_tests::process::Process::run(&mut command);
    assert_eq!(ended.code(), 1);
    assert!(ended.stderr.contains("need a terminal"), "{ended}");
}
