//! Real daemons and what is built with them, by the scripts in `tests/lab`.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Write;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use rustix::process::Pid;
use tempfile::TempDir;

use crate::process::{self, Process};
use crate::program;

/// Where daemons and clients come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavour {
    /// Debian 12: docker 20.10, whose CLI has a BuildKit client of its own.
    Bookworm,
    /// Debian 13: docker 26.1 with buildx.
    Trixie,
}

impl Flavour {
    fn name(self) -> &'static str {
        match self {
            Flavour::Bookworm => "bookworm",
            Flavour::Trixie => "trixie",
        }
    }
}

/// A dockerd that belongs to this test process, with the image `base:latest`.
#[derive(Debug)]
pub struct Daemon {
    directory: PathBuf,
    /// Its address on TCP: `tcp://127.0.0.1:PORT`.
    pub address: String,
    environment: BTreeMap<OsString, OsString>,
}

/// The daemon of a flavour, which is started when it is first asked for, and ends after this process. `None` when the
/// tests that need one are to be skipped; panics when it cannot be started.
pub fn daemon(flavour: Flavour) -> Option<&'static Daemon> {
    static BOOKWORM: OnceLock<Daemon> = OnceLock::new();
    static TRIXIE: OnceLock<Daemon> = OnceLock::new();
    if skipped() {
        return None;
    }
    let daemon = match flavour {
        Flavour::Bookworm => &BOOKWORM,
        Flavour::Trixie => &TRIXIE,
    };
    Some(daemon.get_or_init(|| Daemon::start(flavour)))
}

/// Whether tests with docker are passed over: because they are to be, or because there is none and
/// this is no build machine, which has to have one.
fn skipped() -> bool {
    let asked = std::env::var_os("BUILDTAP_SKIP_DOCKER").is_some_and(|value| value == "1");
    let absent = !Path::new("/usr/sbin/dockerd").exists() && std::env::var_os("CI").is_none();
    if asked {
        eprintln!("skipped, because BUILDTAP_SKIP_DOCKER=1: this test needs docker");
    } else if absent {
        eprintln!("skipped, because there is no /usr/sbin/dockerd: {INSTALL}");
    }
    asked || absent
}

/// A script of the lab.
pub fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("lab").join(name)
}

/// What to do when something is missing.
const INSTALL: &str =
    "run tests/lab/install.sh --peers trixie as root, or set BUILDTAP_SKIP_DOCKER=1 to do without";

impl Daemon {
    /// A daemon that no other test talks to; otherwise like [`daemon`].
    pub fn start_another(flavour: Flavour) -> Option<Self> {
        Daemon::start_with(flavour, &[])
    }

    /// The same, with more in its environment.
    pub fn start_with(flavour: Flavour, environment: &[(&str, &str)]) -> Option<Self> {
        (!skipped()).then(|| Daemon::start_in(flavour, environment))
    }

    fn start(flavour: Flavour) -> Self {
        Daemon::start_in(flavour, &[])
    }

    fn start_in(flavour: Flavour, variables: &[(&str, &str)]) -> Self {
        for (program, path) in [
            ("dockerd", "/usr/sbin/dockerd"),
            ("docker", "/usr/bin/docker"),
            ("socat", "/usr/bin/socat"),
        ] {
            assert!(
                Path::new(path).exists(),
                "there is no {program} in {path}, which this test needs: {INSTALL}"
            );
        }
        // Removed by the reaper: it outlives this process.
        let directory = TempDir::with_prefix("tap-e2e-")
            .expect("a directory")
            .keep();
        start_reaper(&directory);
        let started = Process::run(
            Command::new(script("daemon.sh"))
                .arg("start")
                .arg(&directory)
                .args(["--flavour", flavour.name(), "--port", "auto"])
                .envs(variables.iter().copied()),
        );
        assert!(
            started.status.success(),
            "no {} dockerd could be started: if something is missing, {INSTALL}\n{started}",
            flavour.name()
        );
        Daemon {
            address: started.stdout.trim().to_owned(),
            environment: environment(&directory),
            directory,
        }
    }

    /// Its Unix socket.
    pub fn socket(&self) -> PathBuf {
        self.directory.join("docker.sock")
    }

    /// The process id of dockerd.
    pub fn id(&self) -> Pid {
        let id = std::fs::read_to_string(self.directory.join("dockerd.pid"));
        let id = id.expect("it was started").trim().parse();
        Pid::from_raw(id.expect("a number")).expect("a process id")
    }

    /// Leads a command to it: its address, and the clients of its flavour.
    pub fn lead(&self, command: &mut Command) {
        command.envs(&self.environment);
    }

    /// `docker` with these arguments, straight to it.
    pub fn docker(&self, arguments: &[&str]) -> Command {
        let path = self.environment.get::<std::ffi::OsStr>("PATH".as_ref());
        let mut command = process::command("docker");
        // The program is looked up in the new PATH by env(1).
        command.env_clear().env("PATH", path.expect("it has one"));
        self.lead(&mut command);
        command.args(arguments);
        command
    }

    /// `buildtap` with these arguments in an environment that leads to it.
    pub fn buildtap(&self, home: &Path, arguments: &[&str]) -> Command {
        let mut command = program::command(home, arguments);
        self.lead(&mut command);
        command
    }
}

/// `docker` of a flavour with nothing that leads to a daemon: DOCKER_HOST is for the caller to set. What it keeps for
/// itself goes to `home`. `None` when tests with docker are to be skipped.
pub fn clients(flavour: Flavour, home: &Path) -> Option<Command> {
    if skipped() {
        return None;
    }
    // daemon.sh says what it would set for a daemon of this kind.
    let directory = home.join(format!("clients-{}", flavour.name()));
    let file = |name: &str, text: &str| {
        std::fs::create_dir_all(&directory).expect("a directory");
        std::fs::write(directory.join(name), text).expect("a file");
    };
    file("flavour", flavour.name());
    file("address", "unix:///nonexistent/docker.sock");
    let mut environment = environment(&directory);
    environment.remove(std::ffi::OsStr::new("DOCKER_HOST"));
    let path = environment.get(std::ffi::OsStr::new("PATH")).cloned();
    let mut command = process::command("docker");
    command
        .env_clear()
        .env("PATH", path.expect("it has one"))
        .env("HOME", home)
        .envs(&environment);
    Some(command)
}

/// Ends the daemon once this process is gone, however it goes: the only end of a pipe closes then.
fn start_reaper(directory: &Path) {
    let reaper = Command::new("sh")
        .args([
            "-c",
            r#"cat >/dev/null; "$1" stop "$2"; rm -rf "$2""#,
            "reaper",
        ])
        .arg(script("daemon.sh"))
        .arg(directory)
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let pipe = reaper.expect("there is a shell").stdin.expect("piped");
    // For the life of this process.
    static PIPES: std::sync::Mutex<Vec<Box<dyn Write + Send>>> = std::sync::Mutex::new(Vec::new());
    PIPES
        .lock()
        .expect("nobody panics here")
        .push(Box::new(pipe));
}

/// What `daemon.sh env` sets.
fn environment(directory: &Path) -> BTreeMap<OsString, OsString> {
    let printed = Command::new("bash")
        .args(["-c", r#"eval "$("$1" env "$2")" && env -0"#, "env"])
        .arg(script("daemon.sh"))
        .arg(directory)
        .output()
        .expect("there is a bash");
    assert!(printed.status.success(), "daemon.sh env: {printed:?}");
    let wanted = ["DOCKER_HOST", "DOCKER_CONFIG", "DOCKER_BUILDKIT", "PATH"];
    printed
        .stdout
        .split(|byte| *byte == 0)
        .filter_map(|entry| {
            let at = entry.iter().position(|byte| *byte == b'=')?;
            let name = String::from_utf8(entry[..at].to_vec()).ok()?;
            wanted
                .contains(&name.as_str())
                .then(|| (name.into(), OsString::from_vec(entry[at + 1..].to_vec())))
        })
        .collect()
}

/// A directory with the build contexts of the lab, and room for what a test makes.
#[derive(Debug)]
pub struct Workshop {
    directory: TempDir,
}

impl Default for Workshop {
    fn default() -> Self {
        Workshop::new()
    }
}

impl Workshop {
    /// Makes the contexts.
    pub fn new() -> Self {
        let directory = TempDir::with_prefix("tap-").expect("a directory");
        let contexts = directory.path().join("contexts");
        Process::run(
            Command::new(script("contexts.sh"))
                .arg("make")
                .arg(contexts),
        )
        .success();
        Workshop { directory }
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// A path in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// A path in it as text.
    pub fn text(&self, name: &str) -> String {
        let path = self.file(name).into_os_string();
        path.into_string().expect("temporary paths are UTF-8")
    }

    /// One of the contexts.
    pub fn context(&self, name: &str) -> String {
        self.text(&format!("contexts/{name}"))
    }
}
