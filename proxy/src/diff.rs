//! `buildtap diff`: how two recorded sessions differ, for people and for programs.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use buildtap_decoder::describe::printable;
use buildtap_fixtures::compare::{Comparison, Difference, compare};
use serde_json::json;

use crate::cassette::open;
use crate::cli::{DiffArgs, Format};
use crate::error::Error;
use crate::output::Output;
use crate::schemas::schemas;

/// Compares, and prints the differences; gives whether there are none.
pub fn diff(args: &DiffArgs) -> Result<bool, Error> {
    let schemas = schemas(&args.reading.schemas)?;
    let good = open(&args.good, &args.reading, &schemas)?;
    let bad = open(&args.bad, &args.reading, &schemas)?;
    let comparison = compare(&good, &bad, &schemas).map_err(Error::Contents)?;
    let mut output = Output::stdout();
    let text = match args.format {
        Format::Text => text(&comparison, &args.good, &args.bad, output.width),
        Format::Json => lines(&comparison),
    };
    // Who reads it may have seen enough.
    let _ = output.write(&text);
    Ok(comparison.is_equal())
}

/// The differences for people.
fn text(comparison: &Comparison, good: &Path, bad: &Path, width: Option<usize>) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "GOOD  {}", printable(&good.display().to_string()));
    let _ = writeln!(out, "BAD   {}\n", printable(&bad.display().to_string()));
    let common = match comparison.common {
        1 => "1 call or request that both have".to_owned(),
        count => format!("{count} calls and requests that both have"),
    };
    let Some(first) = comparison.first() else {
        let _ = writeln!(out, "✓ no difference in {common}");
        return out;
    };
    let _ = writeln!(out, "first, in {}:", printable(&first.place));
    sentence(&mut out, first, width);
    let count = match comparison.differences.len() {
        1 => "1 difference".to_owned(),
        count => format!("all {count} differences"),
    };
    let _ = writeln!(out, "\n{count} ({common}):");
    let mut place = None;
    for difference in &comparison.differences {
        if place != Some(&difference.place) {
            place = Some(&difference.place);
            let _ = writeln!(out, "\n{}", printable(&difference.place));
        }
        sentence(&mut out, difference, width);
    }
    out
}

/// A difference, indented and wrapped as the terminal is wide.
fn sentence(out: &mut String, difference: &Difference, width: Option<usize>) {
    let what = printable(&difference.what);
    match width {
        Some(width) => {
            let options = textwrap::Options::new(width.max(20))
                .initial_indent("  ")
                .subsequent_indent("    ");
            for line in textwrap::wrap(&what, options) {
                let _ = writeln!(out, "{line}");
            }
        }
        None => {
            let _ = writeln!(out, "  {what}");
        }
    }
}

/// The differences for programs: an object each, and one that counts them.
fn lines(comparison: &Comparison) -> String {
    let nanos =
        |at: Option<Duration>| at.map(|at| u64::try_from(at.as_nanos()).unwrap_or(u64::MAX));
    let mut out = String::new();
    for difference in &comparison.differences {
        let object = json!({
            "kind": "difference",
            "place": difference.place,
            "what": difference.what,
            "good_ns": nanos(difference.good_at),
            "bad_ns": nanos(difference.bad_at),
        });
        let _ = writeln!(out, "{object}");
    }
    let object = json!({
        "kind": "comparison",
        "equal": comparison.is_equal(),
        "differences": comparison.differences.len(),
        "common": comparison.common,
        "first": comparison.first().map(|first| json!({"place": first.place, "what": first.what})),
    });
    let _ = writeln!(out, "{object}");
    out
}
