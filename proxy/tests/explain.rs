//! `buildtap explain`, and the document that is made from the same catalogue.

use std::path::PathBuf;
use std::process::{Command, Output};

use buildtap::view::page;
use buildtap_decoder::findings;
use serde_json::Value;

fn explain(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_buildtap"))
        .arg("explain")
        .args(arguments)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// `docs/findings.md` is the catalogue. After a change of that,
/// `BUILDTAP_WRITE_DOCS=1 cargo test -p buildtap --test explain` writes it anew.
#[test]
fn the_document_is_the_catalogue() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/findings.md");
    let made = page::document();
    if std::env::var_os("BUILDTAP_WRITE_DOCS").is_some() {
        std::fs::write(&path, &made).unwrap();
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        there == made,
        "docs/findings.md is old: BUILDTAP_WRITE_DOCS=1 cargo test -p buildtap --test explain"
    );
}

#[test]
fn without_a_code_all_are_listed() {
    let output = explain(&[]);
    assert_eq!(output.status.code(), Some(0));
    let listed = text(&output.stdout);
    for entry in findings::entries() {
        let mut lines = listed.lines();
        let line = lines.find(|line| line.split_whitespace().next() == Some(entry.code));
        let line = line.unwrap_or_else(|| panic!("{}: {listed}", entry.code));
        assert!(line.ends_with(entry.title), "{line}");
        assert!(line.contains(entry.severity.as_str()), "{line}");
    }
}

#[test]
fn a_page() {
    let output = explain(&["packets-read-as-bytes"]);
    assert_eq!(output.status.code(), Some(0));
    insta::assert_snapshot!(text(&output.stdout));
}

#[test]
fn json_has_all_of_it() {
    let lines = text(&explain(&["--format", "json"]).stdout);
    let objects: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(objects.len(), findings::entries().count());
    let one = text(&explain(&["goaway", "--format", "json"]).stdout);
    let one: Value = serde_json::from_str(&one).unwrap();
    assert_eq!(one["code"], "goaway");
    assert_eq!(
        one["links"][0],
        "https://github.com/docker/buildx/issues/2789"
    );
    assert!(objects.contains(&one));
}

#[test]
fn an_unknown_code_is_wrong_usage() {
    let output = explain(&["sesion-closed-early"]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(
        text(&output.stderr),
        "buildtap: there is no finding called \"sesion-closed-early\"; did you mean session-closed-early? \
         `buildtap explain` lists all.\n"
    );
    assert!(output.stdout.is_empty());
}
