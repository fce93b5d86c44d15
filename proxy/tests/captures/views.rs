//! What is shown of each capture. The snapshots are in `snapshots/`, to be read by whoever
//! changes how something looks: `INSTA_UPDATE=always cargo test -p buildtap --test captures`
//! writes them anew, and `git diff` shows the difference.

use buildtap::cli::{Cli, Command};
use buildtap::output::Output;
use buildtap::show::{at_end, show};
use buildtap::view::{Keep, View};
use buildtap_decoder::describe::disturbs;
use buildtap_decoder::{Decoder, Options};
use clap::Parser;
use serde_json::Value;

use super::{CAPTURES, path};

/// The secret that is in two of the captures.
const CANARY: &str = "canary-secret";

/// What `buildtap show` says of a capture on a terminal that is so wide, or in a file.
fn shown(name: &str, options: &[&str], terminal: Option<usize>) -> String {
    let file = path(name);
    let arguments = ["buildtap", "show"].iter().chain(options);
    let arguments = arguments.map(std::ffi::OsString::from);
    let cli = Cli::try_parse_from(arguments.chain([file.clone().into()])).unwrap();
    let Some(Command::Show(args)) = cli.command else {
        panic!("{:?}", cli.command)
    };
    let written = tempfile::NamedTempFile::new().unwrap();
    let mut output = Output::file(written.path()).unwrap();
    output.colour = terminal.is_some();
    output.width = terminal;
    let mut view = View::new(&args.view, output, false).unwrap();
    let options = Options {
        updates: true,
        messages: true,
        ..Options::default()
    };
    if let Some(filter) = args.filter {
        view.keep_only(Keep::new(filter, at_end(&file, options.clone())));
    }
    let mut decoder = Decoder::new(options);
    show(&file, false, &mut decoder, &mut view, &|| false).unwrap();
    view.finish(&mut decoder).unwrap();
    std::fs::read_to_string(written.path()).unwrap()
}

#[test]
fn summaries() {
    for (name, _) in CAPTURES {
        insta::assert_snapshot!(format!("summary-{name}"), shown(name, &[], None));
    }
}

#[test]
fn logs() {
    for name in [
        "local-export",
        "buildx-tar-export",
        "buildx-failing",
        "graph-local-export",
        "nested-local-export",
        "secret",
        "ssh-forward",
    ] {
        let log = shown(name, &["--log"], None);
        // The summary that follows has a snapshot of its own.
        let (log, _) = log.split_once("\nclient  ").unwrap();
        insta::assert_snapshot!(format!("log-{name}"), log);
    }
}

/// The JSON lines but for messages, of which there are many, in a readable form.
#[test]
fn json_lines() {
    for name in [
        "local-export",
        "buildx-failing",
        "graph-local-export",
        "secret",
    ] {
        let lines = shown(name, &["--format", "json"], None);
        let lines = lines.lines().map(|line| {
            serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{error}: {line}"))
        });
        let objects: Vec<Value> = lines.filter(|object| object["kind"] != "message").collect();
        insta::assert_json_snapshot!(format!("json-{name}"), objects);
    }
}

/// Without the colours, which are all that a terminal gets besides text.
fn without_colours(text: &str) -> String {
    let mut parts = text.split("\x1b[");
    let mut plain = parts.next().unwrap().to_owned();
    for part in parts {
        let (code, rest) = part.split_once('m').unwrap();
        assert!(code.bytes().all(|byte| byte.is_ascii_digit()), "{code:?}");
        plain.push_str(rest);
    }
    plain
}

#[test]
fn colours_change_nothing_and_nothing_disturbs_a_terminal() {
    for (name, _) in CAPTURES {
        // As wide as what is not a terminal is taken to be.
        let painted = shown(name, &["--log"], Some(10_000));
        let plain = without_colours(&painted);
        assert!(painted.len() > plain.len(), "{name}");
        for line in plain.lines() {
            assert!(!line.contains(disturbs), "{name}: {line:?}");
            assert_eq!(line, line.trim_end(), "{name}");
        }
        let summary = |text: &str| text.split_once("\nclient  ").unwrap().1.to_owned();
        let unpainted = shown(name, &["--log"], None);
        assert_eq!(summary(&plain), summary(&unpainted), "{name}");
    }
}

#[test]
fn no_secret_is_shown() {
    for options in [&[][..], &["--log"], &["--format", "json"]] {
        for (name, _) in CAPTURES {
            let text = shown(name, options, None);
            assert!(!text.contains(CANARY), "{name} {options:?}");
        }
    }
    // It is there to be found.
    let told = shown("secret", &["--format", "json", "--show-secrets"], None);
    assert!(told.contains(CANARY), "{told}");
}

/// What is true of everything takes nothing away.
#[test]
fn a_filter_of_everything_keeps_everything() {
    for (name, _) in CAPTURES {
        let log = shown(name, &["--log"], None);
        let (log, _) = log.split_once("\nclient  ").unwrap();
        assert_eq!(shown(name, &["--filter", ""], None), log, "{name}");
        let json = ["--format", "json", "--filter", "has(kind)"];
        assert_eq!(shown(name, &json, None), shown(name, &json[..2], None));
    }
}

/// Two filters of which one is true of all that has no owner keep every object between them, and
/// none twice.
#[test]
fn what_one_filter_leaves_out_the_other_keeps() {
    for (name, _) in CAPTURES {
        let kept = |filter| {
            let json = shown(name, &["--format", "json", "--filter", filter], None);
            json.lines().map(str::to_owned).collect::<Vec<_>>()
        };
        let mut both = kept("has(service)");
        both.extend(kept("!has(service)"));
        both.sort();
        let mut all = kept("");
        all.sort();
        assert_eq!(both, all, "{name}");
    }
}

#[test]
fn what_filters_keep() {
    let filters = [
        ("local-export", "service == FileSend && bytes > 1KiB"),
        ("local-export", "path ~ \"sub/\" || kind == session"),
        (
            "local-export",
            "kind == message && from == client && filesync",
        ),
        ("nested-local-export", "direction == to-client"),
        ("buildx-failing", "status != OK"),
        (
            "buildx-failing",
            "severity >= error && kind in (finding, vertex)",
        ),
        ("cancelled-build", "status in (CANCELLED, RESET)"),
        ("secret", "service == Secrets"),
        ("local-export", "state == open"),
    ];
    let kept = filters.map(|(name, filter)| {
        let log = shown(name, &["--filter", filter], None);
        format!("$ buildtap show --filter '{filter}' {name}.pcap\n{log}")
    });
    insta::assert_snapshot!("filtered", kept.join("\n"));
}
