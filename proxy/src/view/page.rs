//! The pages of `buildtap explain`: the catalogue of findings on a terminal, as JSON, and as the
//! document `docs/findings.md`.

use buildtap_decoder::findings::{self, Entry, Layer};
use buildtap_decoder::trace::Severity;
use serde::Serialize;

use super::paint::{Paint, Style, Table, wrapped};
use super::words;
use crate::output::Output;

/// Says what is changed where nothing is.
const NOTHING: &str = "Nothing.";

/// All kinds of findings in a table.
pub fn list(output: &Output) -> String {
    let paint = Paint {
        colour: output.colour,
    };
    let mut table = Table::default();
    let cell = |text: &str| (Style::Dim, text.to_owned());
    table.row([cell("code"), cell("at its worst"), cell("what it is")]);
    for entry in findings::entries() {
        let (style, _) = words::severity(entry.severity);
        let title = (Style::Plain, entry.title.to_owned());
        let severity = (Style::Plain, entry.severity.as_str().to_owned());
        table.row([(style, entry.code.to_owned()), severity, title]);
    }
    let mut out = String::new();
    table.push(&mut out, paint, 0, output.width);
    out.push_str("\nbuildtap explain CODE tells more of one.\n");
    out
}

/// All there is to say of one kind.
pub fn page(entry: &Entry, output: &Output) -> String {
    let paint = Paint {
        colour: output.colour,
    };
    let mut out = String::new();
    let (style, mark) = words::severity(entry.severity);
    paint.push(&mut out, style, mark);
    paint.push(&mut out, Style::Bold, &format!("  {}", entry.code));
    out.push('\n');
    let mut say = |text: &str| {
        let text = format!("    {text}");
        out.push_str(&wrapped(&text, 4, output.width));
        out.push('\n');
    };
    say(&format!("{}.", entry.title));
    for (heading, text) in sections(entry) {
        out.push('\n');
        paint.push(&mut out, Style::Bold, heading);
        out.push('\n');
        out.push_str(&wrapped(&format!("    {text}"), 4, output.width));
        out.push('\n');
    }
    if !entry.links.is_empty() {
        out.push('\n');
        paint.push(&mut out, Style::Bold, "Where it was met");
        out.push('\n');
    }
    for link in entry.links {
        out.push_str(&format!("    {link}\n"));
    }
    out
}

fn sections(entry: &Entry) -> impl Iterator<Item = (&'static str, &'static str)> {
    [
        ("What happens", Some(entry.what)),
        ("On the wire", Some(entry.wire)),
        ("Why", Some(entry.why)),
        (
            "What to change in the client",
            Some(entry.client_fix.unwrap_or(NOTHING)),
        ),
        (
            "What to change in the daemon, or on the way to it",
            Some(entry.daemon_fix.unwrap_or(NOTHING)),
        ),
        ("What is healthy", entry.healthy),
    ]
    .into_iter()
    .filter_map(|(heading, text)| Some((heading, text?)))
}

#[derive(Serialize)]
struct Object {
    code: &'static str,
    title: &'static str,
    severity: &'static str,
    layer: &'static str,
    stall: bool,
    what: &'static str,
    wire: &'static str,
    why: &'static str,
    client_fix: Option<&'static str>,
    daemon_fix: Option<&'static str>,
    healthy: Option<&'static str>,
    links: Vec<String>,
}

/// One JSON object for each, on a line of its own.
pub fn json(entries: impl Iterator<Item = &'static Entry>) -> String {
    entries
        .map(|entry| {
            let object = Object {
                code: entry.code,
                title: entry.title,
                severity: entry.severity.as_str(),
                layer: entry.layer.as_str(),
                stall: entry.stall,
                what: entry.what,
                wire: entry.wire,
                why: entry.why,
                client_fix: entry.client_fix,
                daemon_fix: entry.daemon_fix,
                healthy: entry.healthy,
                links: entry.links.iter().map(ToString::to_string).collect(),
            };
            serde_json::to_string(&object).unwrap_or_default() + "\n"
        })
        .collect()
}

/// How `docs/findings.md` begins.
const PREFACE: &str = "\
# Findings

What buildtap can find wrong with a build session. `buildtap
explain` prints the same. This document is made from the catalogue in `decoder/src/doctor/catalogue`:
`BUILDTAP_WRITE_DOCS=1 cargo test -p buildtap --test explain` writes it anew.

";

/// All of it in Markdown.
pub fn document() -> String {
    let mut out = PREFACE.to_owned();
    out.push_str("| code | at its worst | where | what it is |\n|---|---|---|---|\n");
    for entry in findings::entries() {
        let code = entry.code;
        let severity = entry.severity.as_str();
        let layer = layer(entry.layer);
        let title = entry.title;
        out.push_str(&format!(
            "| [`{code}`](#{code}) | {severity} | {layer} | {title} |\n"
        ));
    }
    for entry in findings::entries() {
        out.push_str(&format!("\n## {}\n\n", entry.code));
        let worst = match entry.severity {
            Severity::Error => "an error",
            Severity::Warning => "a warning",
            Severity::Info => "worth knowing",
        };
        out.push_str(&format!("{}; {worst}.\n", entry.title));
        for (heading, text) in sections(entry) {
            let text = format!("- **{heading}.** {text}");
            out.push('\n');
            out.push_str(&filled(&text));
        }
        if !entry.links.is_empty() {
            let links = entry
                .links
                .iter()
                .map(|link| format!("[{} #{}]({link})", link.repository, link.number));
            let links: Vec<String> = links.collect();
            out.push_str(&format!("\n- **Where it was met.** {}", links.join(", ")));
        }
        out.push('\n');
    }
    out
}

fn layer(layer: Layer) -> &'static str {
    match layer {
        Layer::Packets => "transfer",
        Layer::Call => "call",
        Layer::Session => "session",
        Layer::Build => "build",
        Layer::Connection => "connection",
    }
}

/// An item of a list, in lines of 120 columns.
fn filled(text: &str) -> String {
    textwrap::fill(
        text,
        textwrap::Options::new(120)
            .subsequent_indent("  ")
            .break_words(false)
            .word_splitter(textwrap::WordSplitter::NoHyphenation),
    )
}
