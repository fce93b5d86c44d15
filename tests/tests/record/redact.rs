//! Secrets in the bytes of a recording: masked as it is written, or later.

use std::fs;
use std::path::Path;

use buildtap_fixtures::peers::scenario::{self, Scene};
use buildtap_fixtures::peers::script::Mode;
use buildtap_tests::process::Process;
use buildtap_tests::program;

use crate::needles::{contains, needles};
use crate::scene::{Stage, show};
use crate::wireshark;

/// What a build must not leave behind: a secret that is mounted, and a token that goes with the
/// calls of both sides.
const SECRET: &str = "planted-secret-5d1e8a90c3f7";
const TOKEN: &str = "planted-token-77c20b94e1aa";

fn scene(mode: Mode) -> Scene {
    let mut scene = scenario::demo_build().by(mode);
    let secret = SECRET.to_owned().into();
    scene.client.secrets.insert("token".to_owned(), secret);
    let authorization = ("authorization".to_owned(), format!("Bearer {TOKEN}"));
    scene.client.metadata.push(authorization.clone());
    scene.daemon.metadata.push(authorization);
    scene
}

/// In which forms a secret is in a file.
fn forms(file: &Path, secret: &str) -> Vec<&'static str> {
    let bytes = fs::read(file).unwrap();
    let needles = needles(secret).into_iter();
    let found = needles.filter(|needle| contains(&bytes, &needle.bytes));
    found.map(|needle| needle.form).collect()
}

#[test]
fn a_recording_holds_no_secrets_unless_it_is_told_to() {
    for mode in [Mode::Engine, Mode::Grpc, Mode::Nested] {
        let stage = Stage::set(scene(mode), "build.pcapng", &[]);
        stage.play();
        let (home, _) = stage.finish();
        let file = home.path().join("build.pcapng");
        assert_eq!(forms(&file, SECRET), [""; 0], "{mode:?}");
        assert_eq!(forms(&file, TOKEN), [""; 0], "{mode:?}");
        let shown = show(&home, &["build.pcapng"]);
        assert!(!shown.stderr.contains("not masked"), "{shown}");

        let stage = Stage::set(scene(mode), "open.pcapng", &["--show-secrets"]);
        stage.play();
        let (home, _) = stage.finish();
        let file = home.path().join("open.pcapng");
        assert_eq!(forms(&file, SECRET), ["plain"], "{mode:?}");
        assert_eq!(forms(&file, TOKEN), ["Huffman"], "{mode:?}");
        let shown = show(&home, &["open.pcapng"]);
        assert!(
            shown.stderr.contains("secrets are not masked in it"),
            "{shown}"
        );

        let redact = ["redact", "open.pcapng", "build.pcapng"];
        let redacted = Process::run(&mut program::command(home.path(), &redact)).success();
        assert!(redacted.stderr.contains(": masked "), "{redacted}");
        let file = home.path().join("build.pcapng");
        assert_eq!(forms(&file, SECRET), [""; 0], "{mode:?}");
        assert_eq!(forms(&file, TOKEN), [""; 0], "{mode:?}");
        let shown = show(&home, &["build.pcapng"]);
        assert!(!shown.stderr.contains("not masked"), "{shown}");
        // Checksums that were right are right.
        if buildtap_tests::wireshark::is_there() {
            wireshark::assert_right(&home, &[]);
        }
    }
}
