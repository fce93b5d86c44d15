//! Builds of random contexts, Dockerfiles and outputs, with docker 20.10 and with buildx and docker 26.1: nothing is wrong
//! with any of them, and nothing is to be found. `BUILDTAP_BUILDS=200` makes so many of them, `BUILDTAP_SEED=7` begins with that seed.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use buildtap_tests::lab::{Flavour, daemon};
use buildtap_tests::process::Process;
use buildtap_tests::trace::Trace;
use fastrand::Rng;
use tempfile::TempDir;

/// Parts of names, of which some sort otherwise than their bytes do once there is a `/`.
const NAMES: &[&str] = &[
    "a", "b", "a-b", "a.b", "a b", "A", "z", "0", "_", "-", "+x", "ä", "日本", "b.log", "c.tmp",
    "sub", "main.rs", "Makefile", ".hidden", "%41", "a~", "LONG",
];
/// Lengths of files around those of a DATA packet, of a window, and none.
const SIZES: &[usize] = &[
    0, 0, 1, 5, 100, 4096, 32_767, 32_768, 32_769, 65_535, 65_536, 70_000, 200_000, 1_100_000,
];

/// What a build is made of.
struct Plan {
    rng: Rng,
    home: TempDir,
    /// Files and directories of the context that a COPY can name.
    entries: Vec<String>,
}

fn number(name: &str, otherwise: u64) -> u64 {
    let given = std::env::var(name);
    given.map_or(otherwise, |text| text.parse().expect("a number"))
}

#[test]
fn builds_with_docker_that_are_in_order_are_found_to_be_so() {
    build(Flavour::Bookworm);
}

#[test]
fn builds_with_buildx_that_are_in_order_are_found_to_be_so() {
    build(Flavour::Trixie);
}

fn build(flavour: Flavour) {
    let Some(daemon) = daemon(flavour) else {
        return;
    };
    let first = number("BUILDTAP_SEED", 1);
    let builds = number("BUILDTAP_BUILDS", 10);
    let begun = Instant::now();
    for seed in first..first + builds {
        let mut plan = Plan::new(seed);
        let (command, upload) = plan.command();
        println!("seed {seed}: docker {}", command.join(" "));
        let json = plan.path("trace.jsonl");
        let view = [
            "run",
            "--format",
            "json",
            "--output",
            json.to_str().unwrap(),
            "--",
            "docker",
        ];
        let mut buildtap = daemon.buildtap(plan.home.path(), &view);
        buildtap.args(&command);
        if let Some(upload) = upload {
            // The context on standard input.
            let mut shell = Command::new("sh");
            shell
                .args(["-c", r#"file=$1; shift; exec "$@" <"$file""#, "sh"])
                .arg(upload)
                .arg(buildtap.get_program())
                .args(buildtap.get_args())
                .env_clear()
                .current_dir(plan.home.path());
            for (name, value) in buildtap.get_envs() {
                shell.env(name, value.unwrap());
            }
            buildtap = shell;
        }
        let finished = Process::run(&mut buildtap);
        let dockerfile = fs::read_to_string(plan.path("context/Dockerfile")).unwrap();
        assert!(
            finished.status.success(),
            "seed {seed}: the build failed\n{dockerfile}\n{finished}"
        );
        let trace = Trace::read(&json);
        let findings: Vec<_> = trace.of_kind("finding").collect();
        assert!(
            findings.is_empty(),
            "seed {seed}: {findings:#?}\n{dockerfile}\n{finished}"
        );
        let builds: Vec<_> = trace.of_kind("build").collect();
        assert!(!builds.is_empty(), "seed {seed}: no build was seen");
        assert!(
            builds.iter().all(|build| build["state"] == "complete"),
            "seed {seed}: {builds:#?}"
        );
    }
    println!(
        "{builds} builds in {:.0} s, no finding",
        begun.elapsed().as_secs_f64()
    );
}

impl Plan {
    fn new(seed: u64) -> Self {
        let home = TempDir::new().unwrap();
        fs::create_dir(home.path().join("context")).unwrap();
        let mut plan = Plan {
            rng: Rng::with_seed(seed),
            home,
            entries: Vec::new(),
        };
        plan.fill(String::new(), 0);
        plan.ignore();
        plan.dockerfile();
        plan
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn choose<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.rng.usize(..of.len())]
    }

    fn one_in(&mut self, n: u32) -> bool {
        self.rng.u32(..n) == 0
    }

    fn name(&mut self) -> String {
        let name = self.choose(NAMES);
        if name == "LONG" {
            "long".repeat(40)
        } else {
            name.to_owned()
        }
    }

    /// Fills a directory of the context.
    fn fill(&mut self, directory: String, depth: usize) {
        let most = self.choose(&[0, 1, 3, 8, 25]);
        for _ in 0..self.rng.usize(..=most) {
            let path = format!("{directory}{}", self.name());
            let full = self.path("context").join(&path);
            if full.symlink_metadata().is_ok() {
                continue;
            }
            match self.rng.u32(..10) {
                0..=1 if depth < 4 => {
                    fs::create_dir(&full).unwrap();
                    self.entries.push(path.clone());
                    self.fill(format!("{path}/"), depth + 1);
                }
                2 => {
                    let target = self.choose(&["a", "../b", "/etc/hostname", "nowhere"]);
                    symlink(target, &full).unwrap();
                }
                3 if !self.entries.is_empty() => {
                    let of = self.rng.usize(..self.entries.len());
                    let first = self.path("context").join(&self.entries[of]);
                    if first.is_file() {
                        fs::hard_link(first, &full).unwrap();
                    }
                }
                _ => self.file(&path, &full),
            }
        }
    }

    fn file(&mut self, path: &str, full: &Path) {
        let size = self.choose(SIZES);
        let byte = self.rng.u8(..);
        fs::write(full, vec![byte; size]).unwrap();
        let mode = self.choose(&[0o644, 0o600, 0o755, 0o444, 0o4755]);
        fs::set_permissions(full, fs::Permissions::from_mode(mode)).unwrap();
        self.entries.push(path.to_owned());
    }

    fn ignore(&mut self) {
        if self.one_in(2) {
            return;
        }
        let patterns = ["*.log\n", "**/*.tmp\n", "LONG*\n", "**/.hidden\n!b.log\n"];
        let text = self.choose(&patterns);
        fs::write(self.path("context/.dockerignore"), text).unwrap();
    }

    fn dockerfile(&mut self) {
        let mut text = String::new();
        if self.one_in(3) {
            text.push_str("FROM scratch AS first\nCOPY . /all/\n");
        }
        let runs = self.one_in(2);
        let staged = !text.is_empty();
        let base = if runs { "base:latest" } else { "scratch" };
        text.push_str(&format!("FROM {base}\n"));
        for n in 0..self.rng.usize(1..6) {
            let step = match self.rng.u32(..8) {
                0 => format!("WORKDIR /w{n}"),
                1 => format!("ENV v{n}=\"a b\""),
                2 if staged => format!("COPY --from=first /all /from{n}"),
                3 if runs => format!("RUN echo {n}; mkdir -p /made/{n}; echo x >/made/{n}/x"),
                4 if runs => format!("RUN for i in 1 2 3; do echo line $i; sleep 0.{n}; done"),
                5 if runs => "RUN --mount=type=secret,id=token wc -c /run/secrets/token".to_owned(),
                6 => format!("ADD . /added{n}/"),
                _ => format!("COPY . /copied{n}/"),
            };
            text.push_str(&step);
            text.push('\n');
        }
        // There is always something to export.
        text.push_str("WORKDIR /last\n");
        fs::write(self.path("context/Dockerfile"), text).unwrap();
    }

    /// The arguments of docker, and the file for its standard input if it needs one.
    fn command(&mut self) -> (Vec<String>, Option<PathBuf>) {
        let mut command: Vec<String> = ["build", "--network=none"].map(str::to_owned).into();
        fs::write(self.path("token"), "not-a-real-token").unwrap();
        let token = self.path("token").display().to_string();
        command.push(format!("--secret=id=token,src={token}"));
        let out = self.path("out").display().to_string();
        match self.rng.u32(..6) {
            0 => command.push(format!("--output=type=tar,dest={out}")),
            1 => command.push("--quiet".into()),
            2 => command.push("--tag=generated:latest".into()),
            _ => command.push(format!("--output=type=local,dest={out}")),
        }
        if self.one_in(4) {
            command.push("--no-cache".into());
        }
        if self.one_in(4) {
            command.push("--build-arg=A=b".into());
        }
        let context = self.path("context");
        if !self.one_in(5) {
            command.push(context.display().to_string());
            return (command, None);
        }
        let archive = self.path("context.tar");
        let mut tar = Command::new("tar");
        tar.arg("-C")
            .arg(&context)
            .arg("-cf")
            .arg(&archive)
            .arg(".");
        assert!(tar.stdin(Stdio::null()).status().unwrap().success());
        command.push("-".into());
        (command, Some(archive))
    }
}
