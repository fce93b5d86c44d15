//! The program under test, built once for each test process.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value;

use crate::process::{self, Process};

/// Where `buildtap` is: `BUILDTAP_BIN`, or else built now, in the profile of the tests.
pub fn buildtap() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| match std::env::var_os("BUILDTAP_BIN") {
        Some(path) => path.into(),
        None => build(),
    })
}

fn build() -> PathBuf {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml");
    let mut arguments = vec!["--package", "buildtap", "--bin", "buildtap"];
    if !cfg!(debug_assertions) {
        arguments.push("--release");
    }
    cargo_build(manifest.as_ref(), &arguments)
}

/// Has cargo build one program, and gives where that is.
pub(crate) fn cargo_build(manifest: &Path, arguments: &[&str]) -> PathBuf {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| env!("CARGO").into());
    let mut command = Command::new(cargo);
    command
        .args(["build", "--quiet"])
        .arg("--message-format=json-render-diagnostics")
        .arg("--manifest-path")
        .arg(manifest)
        .args(arguments)
        .stderr(Stdio::inherit());
    let built = command.output().expect("cargo runs");
    assert!(
        built.status.success(),
        "{} does not build",
        manifest.display()
    );
    let messages = String::from_utf8(built.stdout).expect("cargo writes UTF-8");
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .find_map(|message| Some(message.get("executable")?.as_str()?.into()))
        .expect("cargo says where it put the program")
}

/// `buildtap` with these arguments, in an environment with nothing in it but `PATH`, and `home` for all that it or its
/// command might write.
pub fn command(home: &Path, arguments: &[&str]) -> Command {
    let mut command = process::command(buildtap());
    command
        .args(arguments)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", home)
        .env("XDG_RUNTIME_DIR", home)
        .env("TMPDIR", home)
        .current_dir(home);
    command
}

/// `buildtap` in a name space of its own, in which `script`, of sh, mounts something first and then runs it as `"$@"`.
pub fn in_name_space(buildtap: &Command, home: &Path, script: &str) -> Command {
    let mut command = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        command.arg("--map-root-user");
    }
    command
        .args(["--mount", "sh", "-c", script, "sh"])
        .arg(buildtap.get_program())
        .args(buildtap.get_args())
        .env_clear()
        .current_dir(home);
    for (name, value) in buildtap.get_envs() {
        command.env(name, value.unwrap());
    }
    command
}

/// `buildtap proxy` while it runs.
#[derive(Debug)]
pub struct Proxy {
    /// The program.
    pub process: Process,
    /// Where clients connect to: `unix:///path` or `tcp://host:port`.
    pub address: String,
}

impl Proxy {
    /// Starts it, between `listen` and `upstream`, and waits until it listens.
    pub fn start(home: &Path, listen: &str, upstream: &str, arguments: &[&str]) -> Self {
        Proxy::start_with(home, listen, upstream, arguments, &[])
    }

    /// The same with more in its environment.
    pub fn start_with(
        home: &Path,
        listen: &str,
        upstream: &str,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Self {
        let mut command = command(home, &["proxy", "--listen", listen, "--upstream", upstream]);
        command.args(arguments).envs(environment.iter().copied());
        let mut process = Process::start(&mut command);
        let address = process.wait_for_stderr("buildtap to listen", |said| {
            let line = said.lines().find(|line| line.contains(" leads to "))?;
            let address = line.strip_prefix("buildtap: ")?.split(' ').next()?;
            Some(address.to_owned())
        });
        Proxy { process, address }
    }
}
