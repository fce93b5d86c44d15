//! `buildtap cassette` and `buildtap diff`: what they print, and how they exit.

use std::os::unix::fs::PermissionsExt as _;

use buildtap_tests::process::{Finished, Process};
use buildtap_tests::program::command;
use serde_json::Value;
use tempfile::TempDir;

const CAPTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/captures");

fn run(home: &TempDir, arguments: &[&str]) -> Finished {
    Process::run(command(home.path(), arguments).current_dir(home.path()))
}

#[test]
fn a_cassette_means_what_its_capture_means() {
    let home = TempDir::new().unwrap();
    let capture = format!("{CAPTURES}/local-export.pcap");
    let written = run(&home, &["cassette", &capture, "-o", "build.json"]).success();
    let said = "buildtap: build.json: 1 session, 3 HTTP requests, 4 calls\n";
    assert_eq!(written.stderr, said);
    for made in ["build.json", "build.json.files"] {
        let mode = home
            .path()
            .join(made)
            .metadata()
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o077, 0, "{made}");
    }
    let same = run(&home, &["diff", &capture, "build.json"]);
    assert_eq!(same.code(), 0, "{same}");
    assert!(same.stdout.contains("✓ no difference"), "{same}");
}

#[test]
fn an_edited_cassette_differs() {
    let home = TempDir::new().unwrap();
    let capture = format!("{CAPTURES}/local-export.pcap");
    run(&home, &["cassette", &capture, "-o", "build.json"]).success();
    let path = home.path().join("build.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let edited = text.replace("        \"/grpc.health.v1.Health/Check\",\n", "");
    assert_ne!(edited, text);
    std::fs::write(&path, edited).unwrap();
    let differs = run(&home, &["diff", &capture, "build.json"]);
    assert_eq!(differs.code(), 1, "{differs}");
    assert!(
        differs
            .stdout
            .contains("first, in session:\n  BAD does not offer /grpc.health.v1.Health/Check\n"),
        "{differs}"
    );
    let json = run(&home, &["diff", "--format", "json", &capture, "build.json"]);
    assert_eq!(json.code(), 1, "{json}");
    let lines: Vec<Value> = json
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0]["kind"], "difference");
    assert_eq!(lines[1]["kind"], "comparison");
    assert_eq!(lines[1]["equal"], false);
}

#[test]
fn trouble_is_not_a_difference() {
    let home = TempDir::new().unwrap();
    let capture = format!("{CAPTURES}/local-export.pcap");
    std::fs::write(
        home.path().join("broken.json"),
        "{\"format\": \"buildtap cassette 1\",\n ]",
    )
    .unwrap();
    for bad in ["nowhere.json", "broken.json", "/dev/null"] {
        let failed = run(&home, &["diff", &capture, bad]);
        assert_eq!(failed.code(), 2, "{failed}");
        assert!(failed.stderr.starts_with("buildtap: "), "{failed}");
        assert_eq!(failed.stdout, "", "{failed}");
    }
    let failed = run(&home, &["diff", &capture, "broken.json"]);
    assert!(failed.stderr.contains("line 2"), "{failed}");
}

/// The canary that is in these captures (fixtures/captures/README.md).
#[test]
fn secrets_stay_out_of_cassettes() {
    let home = TempDir::new().unwrap();
    for name in ["secret", "buildx-secret"] {
        let capture = format!("{CAPTURES}/{name}.pcap");
        let file = |shown: &[&str]| {
            let mut arguments = vec!["cassette", &capture, "-o", "build.json"];
            arguments.extend(shown);
            run(&home, &arguments).success();
            std::fs::read_to_string(home.path().join("build.json")).unwrap()
        };
        let canary = "canary-secret-8d1f3c5e7a9b";
        // In base64, from any place in a group of three bytes.
        let encoded = [
            "nNlY3JldC04ZDFmM2M1",
            "zZWNyZXQtOGQxZjNjNWU3",
            "c2VjcmV0LThkMWYzYzVlN2",
        ];
        let masked = file(&[]);
        assert!(!masked.contains(canary), "{name}");
        assert!(!encoded.iter().any(|part| masked.contains(part)), "{name}");
        assert!(file(&["--show-secrets"]).contains(canary), "{name}");
    }
}
