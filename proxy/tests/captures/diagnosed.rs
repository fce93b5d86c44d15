//! `buildtap diagnose` of each capture, through the program itself.

use std::process::{Command, Output};

use serde_json::Value;

use super::{CAPTURES, path};

fn diagnose(name: &str, options: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_buildtap"))
        .arg("diagnose")
        .args(options)
        .arg(path(name))
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A healthy session is 0, and so is one that was given up; a failed one is 3.
#[test]
fn exit_codes() {
    for (name, expected) in CAPTURES {
        let output = diagnose(name, &[]);
        let told = text(&output.stdout);
        match expected {
            [] => {
                assert_eq!(output.status.code(), Some(0), "{name}: {told}");
                assert_eq!(told, "✓ nothing abnormal\n", "{name}");
            }
            // Somebody gave up, which is no fault.
            ["cancelled-by-peer"] => assert_eq!(output.status.code(), Some(0), "{name}: {told}"),
            [code, ..] => {
                assert_eq!(output.status.code(), Some(3), "{name}: {told}");
                assert!(told.contains(&format!("buildtap explain {code}")), "{told}");
            }
        }
    }
    let missing = diagnose("no-such-capture", &[]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(missing.stdout.is_empty());
}

#[test]
fn as_text() {
    let output = diagnose("buildx-failing", &[]);
    insta::assert_snapshot!(text(&output.stdout));
}

#[test]
fn as_sarif() {
    let sarif = |name| -> Value {
        let output = diagnose(name, &["--format", "sarif"]);
        serde_json::from_str(&text(&output.stdout)).unwrap()
    };
    let failing = sarif("buildx-failing");
    let run = &failing["runs"][0];
    assert_eq!(failing["version"], "2.1.0");
    assert_eq!(run["tool"]["driver"]["rules"][0]["id"], "build-failed");
    assert_eq!(run["results"][0]["ruleId"], "build-failed");
    assert_eq!(run["results"][0]["level"], "error");
    assert_eq!(
        sarif("local-export")["runs"][0]["results"],
        Value::Array(vec![])
    );
}

#[test]
fn as_junit() {
    let healthy = text(&diagnose("local-export", &["--format", "junit"]).stdout);
    assert!(healthy.contains("tests=\"1\" failures=\"0\""), "{healthy}");
    let file = tempfile::NamedTempFile::new().unwrap();
    let to = file.path().to_str().unwrap();
    let output = diagnose("buildx-failing", &["--format", "junit", "--output", to]);
    assert!(output.stdout.is_empty());
    let failing = std::fs::read_to_string(file.path()).unwrap();
    assert!(failing.contains("tests=\"1\" failures=\"1\""), "{failing}");
    assert!(failing.contains("name=\"build-failed: The build failed\"><failure type=\"error\""));
}
