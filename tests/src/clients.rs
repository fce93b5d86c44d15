//! Build clients that are programs of their own, in `tests/clients`, because they bring many crates. Each is built once
//! for each test process, and only if a test asks for it.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::program::cargo_build;

/// A client that builds with bollard: see `tests/clients/bollard/src/main.rs` for its arguments. It goes to the daemon
/// that `DOCKER_HOST` names.
pub fn bollard() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| build("bollard"))
}

fn build(name: &str) -> PathBuf {
    let clients = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients");
    let manifest = clients.join(name).join("Cargo.toml");
    let target = target_directory().join("clients");
    let target = target.to_str().expect("a path in UTF-8");
    cargo_build(&manifest, &["--locked", "--target-dir", target])
}

/// Where cargo put the tests: what is built beside them is kept, and removed, with them.
fn target_directory() -> PathBuf {
    let tests = std::env::current_exe().expect("a test is a program");
    let profile = tests.ancestors().nth(2);
    profile
        .expect("cargo puts tests into target/PROFILE/deps")
        .to_owned()
}
