//! What goes wrong is said in a sentence, with the right exit code.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};

use buildtap_tests::files::permissions;
use buildtap_tests::process::{Finished, Process};
use buildtap_tests::program::{buildtap, command, in_name_space};
use tempfile::TempDir;

const CAPTURE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../fixtures/captures/local-export.pcap"
);

fn run(home: &TempDir, arguments: &[&str]) -> Finished {
    Process::run(&mut command(home.path(), arguments))
}

/// Said by buildtap to a person: sentences, and no dump of a data structure or of a panic.
fn assert_said_well(finished: &Finished) {
    let said = finished.stderr.trim_end();
    assert!(said.starts_with("buildtap: "), "{finished}");
    for dump in ["Err(", "Os {", "Error {", "panicked", "unwrap()"] {
        assert!(!said.contains(dump), "{dump}: {finished}");
    }
}

/// Runs it where nobody listens at the usual places, whatever this machine runs.
fn without_daemons(home: &TempDir, arguments: &[&str]) -> Finished {
    let buildtap = command(home.path(), arguments);
    let hide = r#"mount -t tmpfs none /run && exec "$@""#;
    Process::run(&mut in_name_space(&buildtap, home.path(), hide))
}

#[test]
fn without_a_daemon_it_says_what_it_tried() {
    let home = TempDir::new().unwrap();
    for (arguments, code) in [
        (&["run", "--", "touch", "ran"][..], 125),
        (&["proxy"][..], 1),
    ] {
        let failed = without_daemons(&home, arguments);
        assert_eq!(failed.code(), code, "{failed}");
        assert_said_well(&failed);
        for tried in [
            "found no daemon to talk to. Tried:",
            "  DOCKER_HOST: not set",
            "  docker context: the default one",
            "  /var/run/docker.sock: no such socket",
            "docker.sock: ",
            "  BUILDKIT_HOST: not set",
            "buildkitd.sock: no such socket",
            "--upstream unix:///path/to/docker.sock",
        ] {
            assert!(failed.stderr.contains(tried), "{tried}\n{failed}");
        }
    }
    assert!(
        !home.path().join("ran").exists(),
        "the command ran all the same"
    );
}

#[test]
fn a_daemon_that_is_named_and_absent_is_told_at_the_first_connection() {
    let home = TempDir::new().unwrap();
    let script = r#"printf x | socat -t1 - "UNIX-CONNECT:${DOCKER_HOST#unix://}"; exit 7"#;
    let ran = run(
        &home,
        &[
            "run",
            "--upstream",
            "unix:///nonexistent/d.sock",
            "--",
            "sh",
            "-c",
            script,
        ],
    );
    assert_eq!(ran.code(), 7, "{ran}");
    assert!(
        ran.stderr
            .contains("cannot connect to the daemon at unix:///nonexistent/d.sock")
            && ran
                .stderr
                .contains("there is no such socket: start the daemon, or name another"),
        "{ran}"
    );
}

#[test]
fn a_socket_in_use_is_not_taken() {
    let home = TempDir::new().unwrap();
    let path = home.path().join("taken.sock");
    let _owner = UnixListener::bind(&path).unwrap();
    let listen = format!("unix://{}", path.display());
    let failed = run(
        &home,
        &[
            "proxy",
            "--listen",
            &listen,
            "--upstream",
            "unix:///nonexistent/d.sock",
        ],
    );
    assert_eq!(failed.code(), 1, "{failed}");
    assert_said_well(&failed);
    assert!(failed.stderr.contains(&listen), "{failed}");

    let owner = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = format!("tcp://{}", owner.local_addr().unwrap());
    let failed = run(
        &home,
        &[
            "proxy",
            "--listen",
            &listen,
            "--upstream",
            "unix:///nonexistent/d.sock",
        ],
    );
    assert_eq!(failed.code(), 1, "{failed}");
    assert_said_well(&failed);
    assert!(failed.stderr.contains(&listen), "{failed}");
    // It is still its owner's.
    assert!(std::os::unix::net::UnixStream::connect(&path).is_ok());
}

#[test]
fn usage_is_told_and_nothing_is_run() {
    let home = TempDir::new().unwrap();
    for arguments in [
        &["run", "touch", "ran"][..],
        &["run"][..],
        &["show"][..],
        &["proxy", "--listen", "ftp://127.0.0.1"][..],
        &["show", "--stall-after", "5", CAPTURE][..],
        &["nonsense"][..],
    ] {
        let failed = run(&home, arguments);
        assert_eq!(failed.code(), 2, "{arguments:?}: {failed}");
        assert!(!failed.stderr.is_empty(), "{arguments:?}");
    }
    assert!(!home.path().join("ran").exists());
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let home = TempDir::new().unwrap();
    let failed = run(&home, &["show", "nothing.pcapng"]);
    assert_eq!(failed.code(), 1, "{failed}");
    assert_said_well(&failed);
    assert!(failed.stderr.contains("nothing.pcapng"), "{failed}");
    assert_eq!(failed.stdout, "");
}

#[test]
fn a_file_that_is_no_capture_is_named() {
    let home = TempDir::new().unwrap();
    let file = home.path().join("notes.txt");
    for content in [
        &b"FROM scratch\nCOPY . /\n"[..],
        b"",
        b"\0\0\0\0",
        b"\xd4\xc3\xb2\xa1",
    ] {
        fs::write(&file, content).unwrap();
        let failed = run(&home, &["show", "notes.txt"]);
        assert_eq!(failed.code(), 1, "{content:?}: {failed}");
        assert_said_well(&failed);
    }
    let failed = run(&home, &["show", "."]);
    assert_eq!(failed.code(), 1, "{failed}");
    assert_said_well(&failed);
}

#[test]
fn of_a_broken_capture_the_readable_part_is_shown_and_then_the_error() {
    let home = TempDir::new().unwrap();
    let whole = fs::read(CAPTURE).unwrap();
    let file = home.path().join("broken.pcap");

    // A record whose length cannot be: what was before it is shown.
    let at = record_after(&whole, whole.len() * 3 / 4);
    let mut damaged = whole[..at].to_vec();
    damaged.extend([0xff; 64]);
    fs::write(&file, &damaged).unwrap();
    let failed = run(&home, &["show", "broken.pcap"]);
    assert_eq!(failed.code(), 1, "{failed}");
    assert_said_well(&failed);
    assert!(
        failed.stdout.contains("FileSync.DiffCopy dockerfile"),
        "{failed}"
    );

    // As a machine that crashed leaves it: cut in the middle of a record.
    fs::write(&file, &whole[..at + 20]).unwrap();
    let cut = run(&home, &["show", "broken.pcap"]);
    assert!(cut.code() <= 1, "{cut}");
    assert!(cut.stdout.contains("FileSync.DiffCopy dockerfile"), "{cut}");
    assert!(cut.stderr.contains("broken.pcap"), "{cut}");
    assert_said_well(&cut);
}

/// Where the first record of a little-endian pcap file begins that is behind `offset`.
fn record_after(file: &[u8], offset: usize) -> usize {
    let mut at = 24;
    while at < offset {
        let length = file[at + 8..at + 12].try_into().unwrap();
        at += 16 + u32::from_le_bytes(length) as usize;
    }
    at
}

#[test]
fn a_reader_that_has_enough_is_no_error() {
    let home = TempDir::new().unwrap();
    for arguments in [&["--log"][..], &["--format", "json"], &[]] {
        let mut show = Command::new(buildtap());
        show.arg("show")
            .args(arguments)
            .arg(CAPTURE)
            .current_dir(home.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut show = show.spawn().unwrap();
        let mut line = String::new();
        let mut stdout = BufReader::with_capacity(16, show.stdout.take().unwrap());
        stdout.read_line(&mut line).unwrap();
        assert!(!line.is_empty());
        drop(stdout);
        let ended = show.wait_with_output().unwrap();
        let said = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(0), "{arguments:?} {said}");
        // Whether all of it was written before the reader left is a matter of chance.
        assert!(said.lines().count() <= 1 && !said.contains("ipe"), "{said}");
    }

    // A reader that is gone before the first line.
    let script = r#"("$0" show "$1" 2>err; echo $? >code) | true; cat code err"#;
    let mut piped = Command::new("sh");
    piped.args(["-c", script]).arg(buildtap()).arg(CAPTURE);
    let piped = Process::run(piped.current_dir(home.path())).success();
    assert!(piped.stdout.starts_with("0\n"), "{piped}");
    assert!(!piped.stdout.contains("ipe"), "{piped}");
}

#[test]
fn what_is_shown_is_written_for_its_owner_alone_or_the_place_is_named() {
    let home = TempDir::new().unwrap();
    let shown = run(&home, &["show", CAPTURE, "--output", "shown.txt"]).success();
    assert_eq!(shown.stdout, "");
    let file = home.path().join("shown.txt");
    assert!(
        fs::read_to_string(&file)
            .unwrap()
            .contains("nothing abnormal")
    );
    assert_eq!(permissions(&file), 0o600);

    let failed = run(&home, &["show", CAPTURE, "--output", "no/such/place.txt"]);
    assert_eq!(failed.code(), 1, "{failed}");
    assert_said_well(&failed);
    assert!(failed.stderr.contains("no/such/place.txt"), "{failed}");

    let failed = run(&home, &["show", CAPTURE, "--output", "/dev/full"]);
    assert_eq!(failed.code(), 1, "{failed}");
    assert_said_well(&failed);
}
