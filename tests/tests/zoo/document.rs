//! `docs/zoo.md`: the table for people. A test holds that it is what is played, and that nothing is missing.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use buildtap_decoder::findings;

use crate::table::entries;

/// What was played against a real dockerd: the finding, what is done, and the test in `tests/tests/docker`.
const REAL: &[(&str, &str, &str)] = &[
    (
        "packets-read-as-bytes",
        "a client that takes the Packets of its `local` export for BytesMessages, by three ways",
        "a_tree_that_is_read_as_bytes_is_said_within_seconds",
    ),
    (
        "packets-read-as-bytes",
        "the same as its author would run it: `buildtap run --fail-on-stall 2s -- ./my-client`",
        "the_author_of_a_client_that_hangs_is_told_why",
    ),
    (
        "packets-read-as-bytes",
        "a client that asks for no file",
        "a_client_that_asks_for_nothing_is_named",
    ),
    (
        "file-end-missing",
        "a client that does not answer REQ",
        "a_client_that_does_not_answer_a_request_is_named",
    ),
    (
        "flow-control-stall",
        "a client that stops to read",
        "a_client_that_stops_to_read_is_named",
    ),
    (
        "method-not-offered",
        "a client that does not offer FileSend",
        "a_client_that_does_not_offer_what_its_output_needs_is_named",
    ),
    (
        "session-id-mismatch",
        "a client that names another session than its own",
        "a_client_that_names_another_session_is_told",
    ),
    (
        "duplicate-session-id",
        "two clients with one session id",
        "two_sessions_with_one_id_are_said",
    ),
    (
        "health-service-missing",
        "a client without the health service",
        "a_client_without_health_service_is_named_before_it_costs_the_session",
    ),
    (
        "session-closed-early",
        "docker 20.10, killed in the midst of an export",
        "a_client_that_is_killed_in_mid_export_is_said_to_be_gone",
    ),
    (
        "file-end-missing",
        "dockerd, stopped (SIGSTOP) in the midst of an export",
        "a_daemon_that_is_stopped_in_mid_export_is_named",
    ),
    (
        "call-not-ended",
        "docker 20.10, whose output goes into a pipe that nobody reads",
        "a_disk_that_stands_still_is_said_to_be_the_clients",
    ),
    (
        "upgrade-refused",
        "something in between takes the upgrade off requests",
        "an_upgrade_that_is_swallowed_on_the_way_is_told",
    ),
    (
        "fin-missing",
        "bollard 0.21, which says no FIN for an export without files, ended by `--fail-on-stall`",
        "bollard_is_ended_with_its_diagnosis",
    ),
];

const PREFACE: &str = "\
# The zoo

For every kind of finding there is somebody who misbehaves so, and a twin who differs from it by that fault alone. Both are
the command of a real `buildtap run`, or a client of `buildtap proxy`, with a scripted peer at the other end. Of the animal
the finding is said first (but for what only follows from it), live, with the right side and in time: a wait within a second of `--stall-after`, anything else
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
                Some(side) => side.as_str(),
                None => "–",
            };
            writeln!(out, "| {link} | {animal} | {twin} | {side} |").unwrap();
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

200 builds of random contexts, Dockerfiles and outputs with docker 20.10, and 200 with buildx and docker 26.1, have no
finding (`BUILDTAP_BUILDS=200 cargo test -p buildtap-tests --test docker generated`; a test run makes ten of each). What has one:

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
    let played: BTreeSet<&str> = entries().map(|entry| entry.code).collect();
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
