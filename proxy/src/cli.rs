//! Arguments and help.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use buildtap_decoder::filter::Filter;
use buildtap_decoder::redact::Regex;
use buildtap_fixtures::replay::{Matching, Timing};
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::address::Address;
use crate::otlp::settings::OtlpArgs;

/// The command line of `buildtap`.
#[derive(Debug, Parser)]
#[command(name = "buildtap", version, about = ABOUT, long_about = LONG_ABOUT, after_help = AFTER_HELP)]
#[command(
    disable_help_subcommand = true,
    propagate_version = true,
    max_term_width = 100
)]
pub struct Cli {
    /// What to do; on a terminal, watch whoever connects if it is not given.
    #[command(subcommand)]
    pub command: Option<Command>,
}

const ABOUT: &str = "Shows what a container build client and its daemon say to each other";

const LONG_ABOUT: &str = "\
Shows what a container build client (docker, buildx, buildctl, bollard, ...) and its daemon
(dockerd, buildkitd) say to each other: which session, which call, which file, whose turn it
is, and what is wrong. Every byte is passed on unchanged.";

const AFTER_HELP: &str = "\
Examples:
  buildtap run -- docker build .           watch one build
  buildtap run --log -- cargo test         see what a test suite says to the daemon
  buildtap proxy                           a socket to point any client at
  buildtap                                 the same, on a screen
  buildtap run --tui -- docker build .     watch one build on a screen
  buildtap view capture.pcapng             look at what was recorded, on a screen
  buildtap show capture.pcapng             the same as text
  buildtap redact build.pcapng safe.pcapng   the same without its secrets, to pass it on
  buildtap diff good.pcapng bad.pcapng     what one client does and the other does not

`buildtap COMMAND --help` tells more.";

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a command whose connections to the daemon are watched
    #[command(long_about = RUN_ABOUT, after_long_help = RUN_HELP)]
    Run(RunArgs),
    /// Watch whoever connects to a socket
    #[command(long_about = PROXY_ABOUT, after_long_help = PROXY_HELP)]
    Proxy(ProxyArgs),
    /// Show a capture file, of buildtap or of tcpdump
    #[command(after_long_help = SHOW_HELP)]
    Show(ShowArgs),
    /// Look at a capture file on a screen, also while it is written
    #[command(after_long_help = VIEW_HELP)]
    View(ScreenArgs),
    /// Say what is wrong in a capture file, the cause first
    #[command(after_long_help = DIAGNOSE_HELP)]
    Diagnose(DiagnoseArgs),
    /// Tell what a finding means, and what to change
    #[command(after_long_help = EXPLAIN_HELP)]
    Explain(ExplainArgs),
    /// Copy a capture file without the secrets in it
    #[command(long_about = REDACT_ABOUT, after_long_help = REDACT_HELP)]
    Redact(RedactArgs),
    /// Write a capture in a form that other programs read better
    #[command(long_about = EXPORT_ABOUT, after_long_help = EXPORT_HELP)]
    Export(ExportArgs),
    /// Write a recorded session as JSON, to be edited, kept and played again
    #[command(after_long_help = CASSETTE_HELP)]
    Cassette(CassetteArgs),
    /// Say how two recorded sessions differ
    #[command(long_about = DIFF_ABOUT, after_long_help = DIFF_HELP)]
    Diff(DiffArgs),
    /// Play a recorded session: as the daemon for a client, or as the client for a daemon
    #[command(long_about = REPLAY_ABOUT, after_long_help = REPLAY_HELP)]
    Replay(ReplayArgs),
    /// Show a build session without needing a daemon
    #[command(after_long_help = DEMO_HELP)]
    Demo(DemoArgs),
}

const RUN_ABOUT: &str = "\
Runs a command whose connections to the daemon are watched.

The command runs in this terminal as it would without buildtap. DOCKER_HOST and BUILDKIT_HOST
are set for it, to private sockets that lead to the daemons it would have talked to; a daemon
that is not there is not offered. When it has ended, buildtap says what happened and exits as
the command did.";

const RUN_HELP: &str = "\
Examples:
  buildtap run -- docker build .
  buildtap run --log -- docker compose build
  buildtap run --upstream unix:///run/buildkit/buildkitd.sock -- buildctl build ...
  buildtap run --format json --output session.jsonl -- cargo test
  buildtap run --record build.pcapng -- docker build .
  buildtap run --fail-on-stall 30s -- docker build .
  buildtap run --otlp http://localhost:4317 -- docker build .

SIGUSR1 makes buildtap say where things stand: what is open, whose turn it is, and since when.

What is not watched: a client that is told another address itself (docker --host, --context,
buildctl --addr), and a buildx builder that was created for another address (docker buildx ls).

Exit status: the command's; 128 + N if signal N ended it; 127 if there is no such command, 126
if it cannot be executed; 125 if buildtap itself failed; 124 if --fail-on-stall ended it; 2 for
wrong usage.";

const PROXY_ABOUT: &str = "\
Watches whoever connects to a socket, until interrupted.

Without --listen, private sockets are made for the daemons that are found, and the variables
that lead clients to them are printed.";

const PROXY_HELP: &str = "\
Examples:
  buildtap proxy
  buildtap proxy --listen unix:///tmp/tap.sock --upstream unix:///var/run/docker.sock
  buildtap proxy --listen tcp://127.0.0.1:2375 --log
  buildtap proxy --record session.pcapng.zst
  DOCKER_HOST=unix:///tmp/tap.sock docker build .

A container engine's socket is as good as root on its machine. Sockets are therefore created
for you alone (mode 0600), and TCP addresses other than the loopback need --allow-remote.";

const SHOW_HELP: &str = "\
Examples:
  buildtap show session.pcapng
  buildtap show session.pcapng.zst
  buildtap show --follow --log session.pcapng
  buildtap show --filter 'service == FileSend && bytes > 1MiB' session.pcapng
  buildtap show --format json session.pcapng | jq .";

const VIEW_HELP: &str = "\
Examples:
  buildtap view session.pcapng
  buildtap view --follow session.pcapng    while another buildtap, or tcpdump, writes it

Keys: ? shows them all. docs/screen.md has them, too.";

const DIAGNOSE_HELP: &str = "\
Examples:
  buildtap diagnose session.pcapng
  buildtap diagnose --format sarif --output buildtap.sarif session.pcapng
  buildtap diagnose --format junit --output buildtap.xml session.pcapng

Exit status: 0 if nothing was stopped: nothing is abnormal, or there are only warnings about what
went on all the same; 3 if something failed (a finding that is an error), or waited and never got
what it waited for; 1 if the capture cannot be read; 2 for wrong usage.";

const EXPLAIN_HELP: &str = "\
Examples:
  buildtap explain                          all findings
  buildtap explain packets-read-as-bytes

Exit status: 2 if there is no such finding.";

const REDACT_ABOUT: &str = "\
Copies a capture file, of buildtap or of tcpdump, and masks the secrets in it.

The copy has the same packets, with the same lengths and times: it decodes as the original does.
Secrets become asterisks, in whatever they are wrapped. What cannot be decoded may be secret, too,
and becomes zeros: other protocols, TLS, packets that are not TCP, connections whose beginning
is not in the capture.";

const REDACT_HELP: &str = "\
Examples:
  buildtap redact session.pcapng safe.pcapng
  buildtap redact tcpdump.pcap safe.pcap.gz
  buildtap redact --mask 'corp-[a-z0-9]+' --drop-file-contents session.pcapng safe.pcapng
  tcpdump -i lo -w - port 2375 | buildtap redact - safe.pcap

The file is created for you alone (mode 0600) and compressed if its name ends in .zst or .gz.
What no rule knows for a secret stays: look at the copy before you pass it on.";
const EXPORT_ABOUT: &str = "\
Writes a capture in a form that other programs read better. The name's ending says which:

  .pcapng, .pcapng.zst  for Wireshark and tshark: the connections as they were, and every one that
                        is inside another (in an exec tunnel, in a Control.Session call) once more
                        as a TCP conversation of its own; with a folder of settings beside it
  .json                 OpenTelemetry spans: OTLP JSON, one request per line
  .perfetto.json        the same as Chrome trace events, for ui.perfetto.dev and chrome://tracing

With --otlp, or OTEL_EXPORTER_OTLP_ENDPOINT, and without --to, the spans go to a collector.";

const EXPORT_HELP: &str = "\
Examples:
  buildtap export session.pcapng --to nested.pcapng
  WIRESHARK_CONFIG_DIR=nested.wireshark wireshark nested.pcapng
  WIRESHARK_CONFIG_DIR=nested.wireshark tshark -r nested.pcapng -Y grpc
  buildtap export session.pcapng --to trace.perfetto.json
  buildtap export session.pcapng --otlp http://localhost:4317";

const CASSETTE_HELP: &str = "\
Examples:
  buildtap cassette build.pcapng -o build.json
  buildtap cassette build.pcapng -o build.json && $EDITOR build.json

Large contents are put beside it, into build.json.files. Passwords, tokens and secrets are
masked; contents of files are not. docs/cassettes.md describes the format.";

const DIFF_ABOUT: &str = "\
Says how two recorded sessions differ, by what they mean.

Calls are aligned by what they are about, files by their paths. Times, ports, ids that were made
up for one build and the order of contents are no differences.";

const DIFF_HELP: &str = "\
Examples:
  buildtap diff docker.pcapng mine.pcapng      what the docker CLI does that my client does not
  buildtap diff before.json after.json         two cassettes, or one of each kind

Exit status: 0 if they mean the same, 1 if they differ, 2 if they could not be compared.";

const REPLAY_ABOUT: &str = "\
Plays one side of a recorded session: a capture, or a cassette made of one.

As the daemon, it answers as the recorded one did, calls the client's session, asks for the
client's own files and sends the recorded output. As the client, it asks what the recorded one
asked, and compares what the daemon does. Neither needs docker. What is done waits for what was
done before it in the recording, not for the clock.

What differs from the recording is written to standard error when the session is over.";

const REPLAY_HELP: &str = "\
Examples:
  buildtap replay export.pcapng --as daemon --once
  buildtap replay export.pcapng --as daemon --listen unix:///tmp/fake.sock
  DOCKER_HOST=unix:///tmp/fake.sock docker build --output out .
  buildtap replay export.pcapng --as client --connect unix:///var/run/docker.sock

Standard output has one line, as soon as clients can connect: the address of the socket.

Exit status: 0 if everything matched the recording; 1 if something differed, or buildtap itself
failed; 2 for wrong usage.";

const DEMO_HELP: &str = "\
Examples:
  buildtap demo             a build that works
  buildtap demo hang        a build that hangs, and how buildtap finds out why";

/// Arguments of `buildtap run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// The daemon to talk to, instead of the one that the command would find by itself
    #[arg(long, value_name = "ADDRESS")]
    pub upstream: Option<Address>,
    /// End the command when nothing could move any more for so long, and say why
    ///
    /// That is the case when buildtap has found who must act, that side does not, and nothing is
    /// said for that build (health checks apart). A step that takes its time is no such case.
    /// The command gets SIGTERM and, 5 s later, SIGKILL; the exit status is then 124.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub fail_on_stall: Option<Duration>,
    /// The recording.
    #[command(flatten)]
    pub recording: RecordingArgs,
    /// Show it on a screen, with keys and panes, instead of as lines
    #[arg(long, conflicts_with_all = ["log", "format", "output"])]
    pub tui: bool,
    /// Where spans go.
    #[command(flatten)]
    pub otlp: OtlpArgs,
    /// What is shown.
    #[command(flatten)]
    pub view: ViewArgs,
    /// The command and its arguments, behind `--`
    #[arg(required = true, last = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

/// Arguments of `buildtap proxy`.
#[derive(Debug, Args)]
pub struct ProxyArgs {
    /// Where to listen: unix:///path or tcp://host:port; a private socket if not given
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<Address>,
    /// The daemon to talk to, instead of the one that docker would find by itself
    #[arg(long, value_name = "ADDRESS")]
    pub upstream: Option<Address>,
    /// Let --listen be reachable from other machines; whoever reaches it controls the daemon
    #[arg(long)]
    pub allow_remote: bool,
    /// The recording.
    #[command(flatten)]
    pub recording: RecordingArgs,
    /// Show it on a screen, with keys and panes, instead of as lines
    #[arg(long, conflicts_with_all = ["log", "format", "output"])]
    pub tui: bool,
    /// Where spans go.
    #[command(flatten)]
    pub otlp: OtlpArgs,
    /// What is shown.
    #[command(flatten)]
    pub view: ViewArgs,
}

/// What is recorded: the same for `run` and `proxy`.
#[derive(Clone, Debug, Default, Args)]
pub struct RecordingArgs {
    /// Record all that is said to a capture file (pcapng; compressed if its name ends in .zst or .gz)
    ///
    /// Wireshark, tshark and `buildtap show` read it, also while it is written. The file is
    /// created for you alone (mode 0600); what it held before is overwritten.
    ///
    /// Secrets are masked in it, every length kept, unless --show-secrets is given.
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,
    /// What else is masked.
    #[command(flatten)]
    pub redaction: RedactionArgs,
}

/// What is masked in the bytes of a capture, beyond what is known to be secret.
#[derive(Clone, Debug, Default, Args)]
pub struct RedactionArgs {
    /// Mask what matches, too, wherever it stands (can be given more than once)
    #[arg(long, value_name = "REGEX")]
    pub mask: Vec<Regex>,
    /// Overwrite the contents of files and archives with zeros
    #[arg(long)]
    pub drop_file_contents: bool,
}

/// Arguments of `buildtap show`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// The capture file; - is standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Go on when the end of the file is reached, as it is being written
    #[arg(long, short)]
    pub follow: bool,
    /// Show everything that is said of what this is true of, and nothing else
    ///
    /// As in `service == FileSend && bytes > 1MiB`, `state == open` or `path ~ "node_modules"`.
    /// docs/filter.md lists the fields, and says what is kept.
    #[arg(long, value_name = "EXPR", value_parser = filter)]
    pub filter: Option<Filter>,
    /// What is shown.
    #[command(flatten)]
    pub view: ViewArgs,
}

/// Arguments of `buildtap view`.
#[derive(Debug, Args)]
pub struct ScreenArgs {
    /// The capture file; - is standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Go on when the end of the file is reached, as it is being written
    #[arg(long, short)]
    pub follow: bool,
    /// Do not mask passwords, tokens and secrets
    #[arg(long)]
    pub show_secrets: bool,
    /// Report a wait that lasts longer than this
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration)]
    pub stall_after: Duration,
    /// What messages are read with.
    #[command(flatten)]
    pub schemas: SchemaArgs,
}

/// Arguments of `buildtap diagnose`.
#[derive(Debug, Args)]
pub struct DiagnoseArgs {
    /// The capture file; - is standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// For people, one JSON object, or a report that CI systems take
    #[arg(long, value_enum, default_value_t = DiagnosisFormat::Text)]
    pub format: DiagnosisFormat,
    /// Write there instead of to the terminal (created for you alone, mode 0600)
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Do not mask passwords, tokens and secrets
    #[arg(long)]
    pub show_secrets: bool,
    /// Report a wait that lasts longer than this
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration)]
    pub stall_after: Duration,
}

/// The form of a diagnosis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DiagnosisFormat {
    /// Lines for people
    Text,
    /// One JSON object
    Json,
    /// SARIF 2.1.0, for code scanning
    Sarif,
    /// JUnit's XML, for test reports
    Junit,
}

/// Arguments of `buildtap explain`.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// The finding, as `packets-read-as-bytes`; all of them if not given
    #[arg(value_name = "CODE")]
    pub code: Option<String>,
    /// For people, or one JSON object per line
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

/// Arguments of `buildtap redact`.
#[derive(Debug, Args)]
pub struct RedactArgs {
    /// The capture file; - is standard input
    #[arg(value_name = "IN")]
    pub input: PathBuf,
    /// The copy; what the file held before is overwritten
    #[arg(value_name = "OUT")]
    pub output: PathBuf,
    /// What else is masked.
    #[command(flatten)]
    pub redaction: RedactionArgs,
    /// What messages are read with.
    #[command(flatten)]
    pub schemas: SchemaArgs,
}

/// Arguments of `buildtap export`.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// The capture file; - is standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Where to write (mode 0600); what the file held before is overwritten
    #[arg(long, value_name = "OUT", conflicts_with = "otlp")]
    pub to: Option<PathBuf>,
    /// Where spans go.
    #[command(flatten)]
    pub otlp: OtlpArgs,
    /// The folder for Wireshark's settings; beside OUT if not given
    #[arg(long, value_name = "DIR")]
    pub profile: Option<PathBuf>,
    /// Do not mask passwords, tokens and secrets
    #[arg(long)]
    pub show_secrets: bool,
    /// What else is masked.
    #[command(flatten)]
    pub redaction: RedactionArgs,
    /// What messages are read with.
    #[command(flatten)]
    pub schemas: SchemaArgs,
}

/// Arguments of `buildtap cassette`.
#[derive(Debug, Args)]
pub struct CassetteArgs {
    /// The capture file, or another cassette
    #[arg(value_name = "CAPTURE")]
    pub capture: PathBuf,
    /// Write there (created for you alone, mode 0600)
    #[arg(long, short, value_name = "FILE.json")]
    pub output: PathBuf,
    /// How it is read.
    #[command(flatten)]
    pub reading: ReadingArgs,
}

/// Arguments of `buildtap diff`.
#[derive(Debug, Args)]
pub struct DiffArgs {
    /// The capture or cassette of the session that is as it should be
    #[arg(value_name = "GOOD")]
    pub good: PathBuf,
    /// The capture or cassette to compare with it
    #[arg(value_name = "BAD")]
    pub bad: PathBuf,
    /// Show both on a screen, side by side
    #[arg(long, conflicts_with = "format")]
    pub tui: bool,
    /// For people, or one JSON object per line
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    /// How they are read.
    #[command(flatten)]
    pub reading: ReadingArgs,
}

/// How recordings are read.
#[derive(Clone, Debug, Args)]
pub struct ReadingArgs {
    /// Do not mask passwords, tokens and secrets
    #[arg(long)]
    pub show_secrets: bool,
    /// With which schemas.
    #[command(flatten)]
    pub schemas: SchemaArgs,
}

/// Arguments of `buildtap replay`.
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// The capture or cassette
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Which side to play
    #[arg(long = "as", value_enum, value_name = "SIDE")]
    pub side: PlayedSide,
    /// Where the daemon listens: unix:///path or tcp://host:port; a private socket if not given
    #[arg(long, value_name = "ADDRESS", conflicts_with = "connect")]
    pub listen: Option<Address>,
    /// Let --listen be reachable from other machines
    #[arg(long, requires = "listen")]
    pub allow_remote: bool,
    /// The daemon that the client talks to: unix:///path or tcp://host:port
    #[arg(long, value_name = "ADDRESS", required_if_eq("side", "client"))]
    pub connect: Option<Address>,
    /// What has to be as it was: `strict` for all but ids, `fields` for what says what is built,
    /// `method` for methods and paths alone
    #[arg(long = "match", value_name = "HOW", default_value = "fields")]
    pub matching: Matching,
    /// How fast: `fast`, `recorded`, or xN for N times faster than recorded
    #[arg(long, value_name = "HOW", default_value = "fast")]
    pub timing: Timing,
    /// How long nothing may happen before what is waited for is reported as missing
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration)]
    pub patience: Duration,
    /// As the daemon, end after one session
    #[arg(long)]
    pub once: bool,
    /// What messages are read with.
    #[command(flatten)]
    pub schemas: SchemaArgs,
}

/// The sides of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PlayedSide {
    /// Answer a client
    Daemon,
    /// Ask a daemon
    Client,
}

/// Arguments of `buildtap demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Which session
    #[arg(value_enum, default_value_t = Scenario::Build)]
    pub scenario: Scenario,
    /// Show it on a screen, with keys and panes, instead of as lines
    #[arg(long, conflicts_with_all = ["log", "format", "output"])]
    pub tui: bool,
    /// What is shown.
    #[command(flatten)]
    pub view: ViewArgs,
}

/// The sessions that `buildtap demo` knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// A build that works
    Build,
    /// A build that hangs
    Hang,
}

/// What is shown and where: the same for all commands.
#[derive(Clone, Debug, Args)]
pub struct ViewArgs {
    /// Show everything that is said as it is said, not only what is wrong and a summary
    #[arg(long)]
    pub log: bool,
    /// For people, or one JSON object per line
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    /// Write there instead of to the terminal (created for you alone, mode 0600)
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Do not mask passwords, tokens and secrets
    #[arg(long)]
    pub show_secrets: bool,
    /// Report a wait that lasts longer than this
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration)]
    pub stall_after: Duration,
    /// What messages are read with.
    #[command(flatten)]
    pub schemas: SchemaArgs,
}

/// Schemas that the user brings.
#[derive(Clone, Debug, Default, Args)]
pub struct SchemaArgs {
    /// A .proto file, or a directory of them, with services that buildtap does not know; repeatable
    #[arg(long, value_name = "FILE")]
    pub proto: Vec<PathBuf>,
    /// The same compiled, from protoc --descriptor_set_out or buf build; repeatable
    #[arg(long, value_name = "FILE")]
    pub descriptor_set: Vec<PathBuf>,
}

/// The form of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Lines for people
    Text,
    /// One JSON object per line
    Json,
}

/// A filter, or where it is wrong.
fn filter(text: &str) -> Result<Filter, String> {
    Filter::parse(text).map_err(|error| {
        let marked = error.marked(text).replace('\n', "\n    ");
        format!("{error}\n\n    {marked}")
    })
}

/// `10s`, `500ms`, `2min`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(duration) if !duration.is_zero() => Ok(duration),
        _ => Err("write a number and a unit, as in 500ms, 10s or 2min".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn definitions_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn everything_behind_the_dashes_is_the_command() {
        let cli = Cli::try_parse_from(["buildtap", "run", "--log", "--", "docker", "--log", "-x"]);
        let Ok(Cli {
            command: Some(Command::Run(run)),
        }) = cli
        else {
            panic!("{cli:?}");
        };
        assert!(run.view.log);
        assert_eq!(run.command, ["docker", "--log", "-x"]);
        assert_eq!(run.view.stall_after, Duration::from_secs(5));
    }

    #[test]
    fn run_needs_a_command() {
        assert!(Cli::try_parse_from(["buildtap", "run"]).is_err());
        assert!(Cli::try_parse_from(["buildtap", "run", "--"]).is_err());
    }

    #[test]
    fn errors_in_values_are_sentences() {
        let error = |arguments: &[&str]| Cli::try_parse_from(arguments).unwrap_err().to_string();
        let ssh = error(&["buildtap", "proxy", "--upstream", "ssh://h"]);
        assert!(ssh.contains("run buildtap on that machine"), "{ssh}");
        let stall = error(&["buildtap", "proxy", "--stall-after", "soon"]);
        assert!(stall.contains("write a number and a unit"), "{stall}");
    }
}
