//! A client that is its own frontend: it sends a graph of operations in place of a Dockerfile, and buildtap shows that.

use std::collections::BTreeSet;

use buildtap_fixtures::peers::client::{Ending, Outcome};
use buildtap_fixtures::peers::scenario;
use buildtap_fixtures::peers::script::{ClientScript, Mode};
use buildtap_tests::lab::Flavour;
use buildtap_tests::unwrapped;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::bed::Bed;

/// The graph of `scenario::graph_build`, as it is to be shown.
const GRAPH: [&str; 7] = [
    "1        source  docker-image://docker.io/library/base:latest",
    "2        source  local://context  (local.followpaths=[\"hello.txt\",\"sub/numbers.txt\"])",
    "3 ← 1,2  exec    wc -c /context/sub/numbers.txt /run/secrets/token >/counted  (no network, read-only mount of 2 at \
     /context, secret token at /run/secrets/token)",
    "4 ← 2,3  file    mkdir /in; copy /hello.txt of 2 → /in/; copy /counted of 3 → /",
    "5        file    [sign] say who made it",
    "6 ← 4,5  file    copy / of 4 → /; copy / of 5 → /",
    "7 ← 6    result",
];

fn script(mode: Mode) -> ClientScript {
    ClientScript {
        mode,
        ..scenario::graph_build()
    }
}

/// The daemon did what the graph says.
#[track_caller]
fn assert_built(outcome: &Outcome) {
    assert_eq!(outcome.ending, Ending::Completed, "{outcome:#?}");
    let [export] = outcome.report.exports.as_slice() else {
        panic!("{outcome:#?}");
    };
    let exported = export.listing().unwrap();
    for path in ["in/hello.txt", "made", "counted"] {
        assert!(exported.get(path).is_some(), "{path} {exported:#?}");
    }
    assert!(exported.get("bin/busybox").is_none(), "that is of the base");
}

#[test]
fn a_graph_is_shown_in_the_summary_and_in_the_log() {
    let Some(bed) = Bed::new(Flavour::Trixie, &["--log"]) else {
        return;
    };
    assert_built(&bed.client(script(Mode::Grpc)).join().unwrap());
    let ended = bed.finish();
    let (log, summary) = ended.stderr.split_once("\nclient  ").unwrap();
    for line in GRAPH {
        assert!(
            summary.contains(&format!("\n    {line}\n")),
            "{line}\n{ended}"
        );
    }
    let operations = log.lines().filter(|line| line.contains("  operation  "));
    assert_eq!(operations.count(), GRAPH.len(), "{ended}");
    let said = unwrapped(summary);
    for wanted in [
        "frontend the client itself",
        "operations that the client sent",
        "daemon → FileSync.DiffCopy context",
        "for the step local://context",
        "daemon → Secrets.GetSecret token",
        "daemon → FileSend.DiffCopy exporter 0",
        "nothing abnormal",
    ] {
        assert!(said.contains(wanted), "{wanted}\n{ended}");
    }
    assert!(!ended.stderr.contains("not-a-real-token"), "{ended}");
}

#[test]
fn a_graph_is_told_in_json_and_its_operations_are_the_steps() {
    let view = ["--format", "json", "--output", "trace.jsonl"];
    // Another daemon than the other test's: two builds of one graph at a time share their steps, and their calls.
    let Some(bed) = Bed::new(Flavour::Bookworm, &view) else {
        return;
    };
    let script = script(Mode::GrpcNested);
    let definition = script.definition.clone().unwrap();
    assert_built(&bed.client(script).join().unwrap());
    let trace = bed.finish_with_trace();
    let build = trace.only("build");
    assert_eq!(build["llb"], Value::from(GRAPH.to_vec()), "{build:#}");
    assert_eq!(build["frontend"], Value::Null, "{build:#}");
    let solve = trace
        .of_kind("message")
        .find(|message| message["method"] == "Solve" && message["from"] == "client");
    assert_eq!(solve.unwrap()["body"]["Definition"], build["llb"]);

    // All but the end of the graph are steps, under the digests that the client gave them.
    let (_, operations) = definition.def.split_last().unwrap();
    let digest = |op| format!("sha256:{:x}", Sha256::digest(op));
    let operations: BTreeSet<String> = operations.iter().map(digest).collect();
    let steps: BTreeSet<String> = trace
        .of_kind("vertex")
        .filter(|vertex| !vertex["name"].as_str().unwrap().starts_with("exporting"))
        .map(|vertex| vertex["digest"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(operations, steps);
    assert_eq!(
        trace.session_calls(),
        [
            "FileSync.DiffCopy",
            "Secrets.GetSecret",
            "FileSend.DiffCopy"
        ]
    );
    assert_eq!(trace.findings(), [""; 0]);
}
