//! `docs/zoo.md`: the table for people. A test holds that it is what is played, and that nothing is missing.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use buildtap_decoder::findings;

use crate::judge::is_detected;
use crate::table::entries;

/// Findings that no animal can show, and why.
const WITHOUT_ANIMAL: &[(&str, &str)] = &[];

/// What was played against a real dockerd: the finding, what is done, and the test in `tests/tests/docker`.
const REAL: &[(&str, &str, &str)] = &[];

const PREFACE: &str = "\
# The zoo

For every kind of finding there is somebody who misbehaves so, and a twin who differs from it by that fault alone. Both are
the command of a real `buildtap run`, or a client of `buildtap proxy`, with a scripted peer at the other end. Of the animal
the finding is said first, live, with the right side and in time: a wait within a second of `--stall-after`, anything else
at the event that makes it certain; and `buildtap diagnose` names it as the first cause in the recording. Of the twin
nothing is said, and buildtap exits with 0.

This document is made from the table in `tests/tests/zoo`, which is what is played:
`BUILDTAP_WRITE_DOCS=1 cargo test -p buildtap-tests --test zoo document` writes it anew.
`BUILDTAP_ANIMAL=goaway cargo test -p buildtap-tests --test zoo` plays one kind.

| finding | the animal | its twin | waits for |
|---|---|---|---|
";

fn document() -> String {
    let mut out = PREFACE.to_owned();
    for finding in findings::entries() {
        let code = finding.code;
        let link = format!("[`{code}`](findings.md#{code})");
        for entry in entries().filter(|entry| entry.code == code) {
            let (animal, twin) = (entry.animal, entry.twin);
            let side = match entry.waits_for {
                _ if !is_detected(code) => "no rule finds it yet",
                Some(side) => side.as_str(),
                None => "–",
            };
            writeln!(out, "| {link} | {animal} | {twin} | {side} |").unwrap();
        }
        for (_, why) in WITHOUT_ANIMAL.iter().filter(|(of, _)| *of == code) {
            writeln!(out, "| {link} | none: {why} | – | – |").unwrap();
        }
    }
    out.push_str(REAL_PREFACE);
    for (code, what, test) in REAL {
        writeln!(
            out,
            "| [`{code}`](findings.md#{code}) | {what} | `{test}` |"
        )
        .unwrap();
    }
    out
}

const REAL_PREFACE: &str = "
## Against a real dockerd

| finding | what is done | test in `tests/tests/docker` |
|---|---|---|
";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

#[test]
fn the_document_is_what_is_played() {
    let path = root().join("docs/zoo.md");
    let made = document();
    if std::env::var_os("BUILDTAP_WRITE_DOCS").is_some() {
        std::fs::write(&path, &made).unwrap();
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        there == made,
        "docs/zoo.md is old: BUILDTAP_WRITE_DOCS=1 cargo test -p buildtap-tests --test zoo document"
    );
}

#[test]
fn every_finding_has_an_animal() {
    let catalogue: BTreeSet<&str> = findings::entries().map(|entry| entry.code).collect();
    let excused = WITHOUT_ANIMAL.iter().map(|(code, _)| *code);
    let played: BTreeSet<&str> = entries().map(|entry| entry.code).chain(excused).collect();
    let missing: Vec<_> = catalogue.difference(&played).collect();
    let unknown: Vec<_> = played.difference(&catalogue).collect();
    assert!(missing.is_empty(), "no animal shows {missing:?}");
    assert!(unknown.is_empty(), "the catalogue has no {unknown:?}");
}

#[test]
fn real_daemons_play_what_is_said() {
    let tests = root().join("tests/tests/docker");
    let mut source = String::new();
    for file in std::fs::read_dir(tests).unwrap() {
        source.push_str(&std::fs::read_to_string(file.unwrap().path()).unwrap());
    }
    for (code, _, test) in REAL {
        assert!(findings::find(code).is_some(), "{code}");
        assert!(source.contains(&format!("fn {test}()")), "{test}");
    }
}
