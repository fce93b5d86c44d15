//! Disks that take no recording, or no more of it: the command does not notice.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixListener;
use std::thread;

use buildtap_tests::process::{Finished, Process};
use buildtap_tests::program::{command, in_name_space};
use tempfile::TempDir;

use crate::scene::show;

/// What the command sends, in bytes: more than the small disk holds.
const VOLUME: usize = 4_000_000;

/// A daemon that says how many bytes it was sent.
fn counting_daemon(home: &TempDir) -> String {
    let path = home.path().join("daemon.sock");
    let listener = UnixListener::bind(&path).unwrap();
    thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            let mut bytes = Vec::new();
            connection.read_to_end(&mut bytes).unwrap();
            writeln!(connection, "{} bytes", bytes.len()).unwrap();
        }
    });
    format!("unix://{}", path.display())
}

const SCRIPT: &str =
    r#"head -c 4000000 /dev/zero | socat -t10 - "UNIX-CONNECT:${DOCKER_HOST#unix://}"; exit 7"#;

#[test]
fn a_full_disk_ends_the_recording_and_nothing_else() {
    let home = TempDir::new().unwrap();
    let upstream = counting_daemon(&home);
    let disk = home.path().join("disk");
    fs::create_dir(&disk).unwrap();
    let arguments = [
        "run",
        "--upstream",
        &upstream,
        "--record",
        "disk/full.pcapng",
        "--",
    ];
    let mut buildtap = command(home.path(), &arguments);
    buildtap.args(["sh", "-c", SCRIPT]);
    // A disk of its own in a name space of its own; what is on it comes out by standard output.
    let small = r#"mount -t tmpfs -o size=1m none disk && "$@"; code=$?; cp disk/full.pcapng .; exit $code"#;
    let ran = Process::run(&mut in_name_space(&buildtap, home.path(), small));
    if ran.stderr.contains("unshare failed") {
        println!("skipped: no name space can be made here: {ran}");
        return;
    }
    assert_eq!(ran.code(), 7, "{ran}");
    assert_eq!(ran.stdout, format!("{VOLUME} bytes\n"), "{ran}");
    let said = "the recording in disk/full.pcapng ends here (No space left on device";
    assert_eq!(ran.stderr.matches(said).count(), 1, "{ran}");
    assert!(!ran.stderr.contains("buildtap: recorded"), "{ran}");
    // What fitted is readable.
    let shown = show(&home, &["--format", "json", "full.pcapng"]);
    assert!(shown.stdout.contains(r#""kind":"connection""#), "{shown}");
}

fn refused(home: &TempDir, file: &str) -> Finished {
    let upstream = counting_daemon(home);
    let arguments = [
        "run",
        "--upstream",
        &upstream,
        "--record",
        file,
        "--",
        "touch",
        "ran",
    ];
    let finished = Process::run(&mut command(home.path(), &arguments));
    assert_eq!(finished.code(), 125, "{finished}");
    assert!(!home.path().join("ran").exists(), "{finished}");
    let start = format!("buildtap: cannot write the recording to {file}");
    assert!(finished.stderr.starts_with(&start), "{finished}");
    finished
}

#[test]
fn a_place_that_takes_no_file_is_told_before_the_command_runs() {
    for (file, why) in [
        ("/dev/full", "a device"),
        ("/", "a directory"),
        ("/nonexistent/x.pcapng", "No such file or directory"),
    ] {
        let home = TempDir::new().unwrap();
        let finished = refused(&home, file);
        assert!(finished.stderr.contains(why), "{finished}");
    }
}

#[test]
fn an_older_recording_is_overwritten() {
    let home = TempDir::new().unwrap();
    let upstream = counting_daemon(&home);
    fs::write(home.path().join("build.pcapng"), vec![b'x'; 100_000]).unwrap();
    let arguments = [
        "run",
        "--upstream",
        &upstream,
        "--record",
        "build.pcapng",
        "--",
    ];
    let mut run = command(home.path(), &arguments);
    Process::run(run.args(["sh", "-c", "true --password=hunter2"])).success();
    let bytes = fs::read(home.path().join("build.pcapng")).unwrap();
    assert!(bytes.len() < 1000, "{}", bytes.len());
    assert!(!bytes.windows(7).any(|part| part == b"hunter2"));
    let shown = show(&home, &["build.pcapng"]);
    assert!(
        shown.stderr.contains("recorded while running: sh -c …"),
        "{shown}"
    );
}
