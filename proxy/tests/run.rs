//! The program itself: `buildtap run` and `buildtap proxy` with real commands, real signals and
//! a stand-in for the daemon.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// A directory in which everything happens, with a daemon that answers each connection with
/// what it was sent, in capitals.
struct Bed {
    directory: TempDir,
}

impl Bed {
    fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let listener = UnixListener::bind(directory.path().join("daemon.sock")).unwrap();
        // Ends with the process.
        thread::spawn(move || {
            for mut client in listener.incoming().map_while(Result::ok) {
                thread::spawn(move || {
                    let mut request = String::new();
                    client.read_to_string(&mut request).unwrap();
                    // A client may be gone by now.
                    let _ = client.write_all(request.to_uppercase().as_bytes());
                });
            }
        });
        fs::create_dir(directory.path().join("tmp")).unwrap();
        Self { directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn daemon(&self) -> String {
        format!("unix://{}", self.path("daemon.sock").display())
    }

    /// `buildtap` with these arguments, in an environment with nothing but the daemon.
    fn buildtap(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_buildtap"));
        command
            .args(arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.directory.path())
            .env("XDG_RUNTIME_DIR", self.path("tmp"))
            .env("DOCKER_HOST", self.daemon())
            .stdin(Stdio::null());
        command
    }

    /// `buildtap run -- sh -c script`.
    fn run(&self, script: &str) -> Output {
        self.buildtap(&["run", "--", "sh", "-c", script])
            .output()
            .unwrap()
    }

    /// Nothing of ours is left.
    fn assert_clean(&self) {
        let left: Vec<_> = fs::read_dir(self.path("tmp")).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("an exit code")
}

fn signal(child: &Child, signal: Signal) {
    let pid = Pid::from_raw(child.id().try_into().unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

/// Reads lines until one contains `wanted`.
fn wait_for_line(from: &mut impl BufRead, wanted: &str) -> String {
    let mut line = String::new();
    while from.read_line(&mut line).unwrap() > 0 {
        if line.contains(wanted) {
            return line;
        }
        line.clear();
    }
    panic!("{wanted:?} was not said");
}

#[test]
fn the_exit_status_is_the_commands() {
    let bed = Bed::new();
    for status in [0, 1, 3, 125, 255] {
        assert_eq!(code(&bed.run(&format!("exit {status}"))), status);
    }
    assert_eq!(code(&bed.run("kill -TERM $$")), 143);
    assert_eq!(code(&bed.run("kill -KILL $$")), 137);
    bed.assert_clean();
}

#[test]
fn output_and_input_are_the_commands() {
    let bed = Bed::new();
    let mut child = bed
        .buildtap(&["run", "--", "tr", "a-z", "A-Z"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"words").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(stdout(&output), "WORDS");
    let said = stderr(&output);
    assert!(said.starts_with("buildtap: no client connected"), "{said}");
}

/// The relay's threads have another one.
#[test]
fn the_niceness_is_the_commands() {
    let bed = Bed::new();
    let output = bed.buildtap(&["run", "--", "nice"]).output().unwrap();
    let alone = Command::new("nice").output().unwrap();
    assert_eq!(stdout(&output), stdout(&alone));
}

#[test]
fn a_command_that_does_not_exist_is_127() {
    let bed = Bed::new();
    let output = bed
        .buildtap(&["run", "--", "no-such-command"])
        .output()
        .unwrap();
    assert_eq!(code(&output), 127);
    assert_eq!(
        stderr(&output),
        "buildtap: there is no command \"no-such-command\": check the spelling and PATH. Everything behind `--` is the command to run.\n"
    );
    bed.assert_clean();
}

#[test]
fn a_command_that_cannot_be_executed_is_126() {
    let bed = Bed::new();
    let file = bed.path("file");
    fs::write(&file, "#!/bin/sh\n").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let output = bed
        .buildtap(&["run", "--", file.to_str().unwrap()])
        .output()
        .unwrap();
    assert_eq!(code(&output), 126);
    assert!(stderr(&output).contains("cannot be executed"), "{output:?}");
}

#[test]
fn no_daemon_is_125_and_wrong_usage_is_2() {
    let bed = Bed::new();
    let output = bed
        .buildtap(&["run", "--", "true"])
        .env("DOCKER_HOST", "ssh://elsewhere")
        .output()
        .unwrap();
    assert_eq!(code(&output), 125);
    assert!(
        stderr(&output).contains("run buildtap on that machine"),
        "{output:?}"
    );
    assert_eq!(code(&bed.buildtap(&["run"]).output().unwrap()), 2);
    assert_eq!(code(&bed.buildtap(&[]).output().unwrap()), 2);
}

#[test]
fn the_command_is_led_to_the_tap() {
    let bed = Bed::new();
    let output = bed
        .buildtap(&["run", "--", "env"])
        .env("DOCKER_CONTEXT", "other")
        .env("DOCKER_TLS_VERIFY", "1")
        .env("MINE", "kept")
        .output()
        .unwrap();
    let seen = stdout(&output);
    let host = seen
        .lines()
        .find_map(|line| line.strip_prefix("DOCKER_HOST=unix://"))
        .unwrap();
    assert!(Path::new(host).starts_with(bed.path("tmp")), "{host}");
    assert!(host.ends_with("/docker.sock"), "{host}");
    assert!(seen.contains("\nMINE=kept\n") || seen.starts_with("MINE=kept\n"));
    for gone in ["DOCKER_CONTEXT", "DOCKER_TLS_VERIFY", "BUILDKIT_HOST"] {
        assert!(!seen.contains(gone), "{seen}");
    }
    bed.assert_clean();
}

#[test]
fn an_upstream_for_buildkit_sets_only_its_variable() {
    let bed = Bed::new();
    let output = bed
        .buildtap(&["run", "--upstream", "tcp://127.0.0.1:1234", "--", "env"])
        .output()
        .unwrap();
    let seen = stdout(&output);
    assert!(seen.contains("BUILDKIT_HOST=unix://"), "{seen}");
    assert!(seen.contains(&format!("DOCKER_HOST={}", bed.daemon())));
}

/// A shell command that sends its argument to the tap and prints the answer.
const TALK: &str =
    r#"talk() { printf %s "$1" | socat -t 5 - "UNIX-CONNECT:${DOCKER_HOST#unix://}"; }"#;

fn has_socat() -> bool {
    let found = Command::new("socat").arg("-V").output().is_ok();
    if !found {
        eprintln!("skipped: needs socat");
    }
    found
}

#[test]
fn what_the_command_says_goes_through_the_tap() {
    if !has_socat() {
        return;
    }
    let bed = Bed::new();
    let output = bed.run(&format!("{TALK}; talk hello; talk bye"));
    assert_eq!(stdout(&output), "HELLOBYE");
    let told = stderr(&output);
    assert!(told.contains("opaque  5 B → 5 B"), "{told}");
    assert!(told.contains("opaque  3 B → 3 B"), "{told}");
}

/// A command that ends, and a client that stays: the test itself.
fn outlived(bed: &Bed) -> (Child, UnixStream) {
    let mut child = bed
        .buildtap(&["run", "--", "sh", "-c", "echo $DOCKER_HOST; read line"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let host = wait_for_line(&mut lines, "unix://");
    let stays = UnixStream::connect(host.trim().strip_prefix("unix://").unwrap()).unwrap();
    drop(child.stdin.take());
    (child, stays)
}

#[test]
fn connections_that_outlive_the_command_are_ended() {
    let bed = Bed::new();
    let (mut child, mut stays) = outlived(&bed);
    // Half of the grace is for us: what is said after the command's end still arrives.
    stays.write_all(b"still here").unwrap();
    stays.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    stays.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "STILL HERE");
    assert_eq!(child.wait().unwrap().code(), Some(1), "read saw the end");

    let (mut child, mut stays) = outlived(&bed);
    assert_eq!(stays.read(&mut [0; 1]).unwrap(), 0);
    assert_eq!(child.wait().unwrap().code(), Some(1));
    bed.assert_clean();
}

/// A command that says what it was sent, and then ends with 7.
fn trapping(bed: &Bed) -> (Child, BufReader<std::process::ChildStdout>) {
    let script = "trap 'echo TERM; exit 7' TERM; trap 'echo HUP; exit 7' HUP; \
         trap 'echo INT; exit 7' INT; echo ready; while :; do sleep 0.05; done";
    // In a session of its own: no terminal, so that SIGINT can only come from us.
    let mut child = Command::new("setsid")
        .arg("--wait")
        .arg(env!("CARGO_BIN_EXE_buildtap"))
        .args(["run", "--", "sh", "-c", script])
        .env("DOCKER_HOST", bed.daemon())
        .env("XDG_RUNTIME_DIR", bed.path("tmp"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    wait_for_line(&mut lines, "ready");
    (child, lines)
}

#[test]
fn signals_to_buildtap_alone_are_passed_on() {
    for (sent, name) in [
        (Signal::TERM, "TERM"),
        (Signal::HUP, "HUP"),
        (Signal::INT, "INT"),
    ] {
        let bed = Bed::new();
        let (mut child, mut lines) = trapping(&bed);
        // setsid forks only if it leads a process group, which a child of ours does not: it
        // has become buildtap.
        signal(&child, sent);
        wait_for_line(&mut lines, name);
        assert_eq!(child.wait().unwrap().code(), Some(7), "{name}");
        bed.assert_clean();
    }
}

/// `buildtap run -- sh SCRIPT` in a terminal of its own, which script(1) makes: what is written
/// to its standard input is what a person types. `None` if there is no script(1).
fn in_terminal(bed: &Bed, script: &str) -> Option<Child> {
    fs::write(bed.path("script.sh"), script).unwrap();
    // `exec`, as a shell that stays would take the interrupts for its own.
    let line = format!(
        "exec {} run -- sh {}",
        env!("CARGO_BIN_EXE_buildtap"),
        bed.path("script.sh").display()
    );
    let started = Command::new("script")
        .args(["--quiet", "--flush", "--return", "--command", &line])
        .arg("/dev/null")
        .env("DOCKER_HOST", bed.daemon())
        .env("XDG_RUNTIME_DIR", bed.path("tmp"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    if started.is_err() {
        eprintln!("skipped: needs script(1) of util-linux");
    }
    started.ok()
}

#[test]
fn an_interrupt_key_reaches_the_command_once() {
    let bed = Bed::new();
    let script = "n=0; trap 'n=$((n+1)); echo INT' INT; echo ready; \
         while ! read -r line; do :; done; echo seen $n; exit 7";
    let Some(mut child) = in_terminal(&bed, script) else {
        return;
    };
    let mut keys = child.stdin.take().unwrap();
    let mut screen = BufReader::new(child.stdout.take().unwrap());
    wait_for_line(&mut screen, "ready");
    // More than one, since two signals at a time may become one.
    for _ in 0..5 {
        keys.write_all(b"\x03").unwrap();
        wait_for_line(&mut screen, "INT");
    }
    keys.write_all(b"done\n").unwrap();
    assert_eq!(wait_for_line(&mut screen, "seen").trim(), "seen 5");
    assert_eq!(child.wait().unwrap().code(), Some(7));
    bed.assert_clean();
}

#[test]
fn the_interrupt_that_ends_the_command_does_not_end_its_connections() {
    let bed = Bed::new();
    let Some(mut child) = in_terminal(&bed, "echo at $$ $DOCKER_HOST; exec sleep 100") else {
        return;
    };
    let mut keys = child.stdin.take().unwrap();
    let mut screen = BufReader::new(child.stdout.take().unwrap());
    let line = wait_for_line(&mut screen, "at ");
    let [_, pid, host] = line.split_whitespace().collect::<Vec<_>>()[..] else {
        panic!("{line:?}");
    };
    let mut stays = UnixStream::connect(host.strip_prefix("unix://").unwrap()).unwrap();
    keys.write_all(b"\x03").unwrap();
    let process = Path::new("/proc").join(pid);
    let deadline = Instant::now() + Duration::from_secs(10);
    while process.exists() {
        assert!(Instant::now() < deadline, "still runs: {line}");
        thread::yield_now();
    }
    stays.write_all(b"last words").unwrap();
    stays.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    stays.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "LAST WORDS");
    assert_eq!(child.wait().unwrap().code(), Some(130));
    bed.assert_clean();
}

#[test]
fn an_ignored_hang_up_stays_ignored() {
    let bed = Bed::new();
    let mut child = bed
        .buildtap(&[])
        .args(["run", "--", "sh", "-c", "echo ready; read line; exit 5"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn_ignoring_hang_up();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    wait_for_line(&mut lines, "ready");
    signal(&child, Signal::HUP);
    child.stdin.take().unwrap().write_all(b"go\n").unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(5));
}

/// Starts a command as nohup(1) does.
trait SpawnIgnoringHangUp {
    fn spawn_ignoring_hang_up(&mut self) -> Child;
}

impl SpawnIgnoringHangUp for Command {
    fn spawn_ignoring_hang_up(&mut self) -> Child {
        let mut shell = Command::new("sh");
        shell
            .args(["-c", "trap '' HUP; exec \"$@\"", "sh"])
            .arg(self.get_program())
            .args(self.get_args())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        for (name, value) in self.get_envs() {
            if let Some(value) = value {
                shell.env(name, value);
            }
        }
        shell.spawn().unwrap()
    }
}

#[test]
fn a_proxy_says_where_it_listens_and_cleans_up() {
    for stop in [Signal::INT, Signal::TERM] {
        let bed = Bed::new();
        let mut child = bed
            .buildtap(&["proxy"])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap());
        let line = wait_for_line(&mut lines, "export DOCKER_HOST=");
        let (_, path) = line.trim().split_once("unix://").unwrap();
        let mut client = UnixStream::connect(path).unwrap();
        client.write_all(b"hello").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "HELLO");
        signal(&child, stop);
        wait_for_line(&mut lines, "opaque  5 B → 5 B");
        assert_eq!(child.wait().unwrap().code(), Some(0));
        bed.assert_clean();
    }
}

#[test]
fn a_proxy_listens_where_it_is_told() {
    let bed = Bed::new();
    let path = bed.path("tap.sock");
    let address = format!("unix://{}", path.display());
    let mut child = bed
        .buildtap(&["proxy", "--listen", &address])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap());
    wait_for_line(&mut lines, &format!("export DOCKER_HOST={address}"));

    let output = bed
        .buildtap(&["proxy", "--listen", &address])
        .output()
        .unwrap();
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains("is in use"), "{output:?}");

    signal(&child, Signal::INT);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(!path.exists());
}
