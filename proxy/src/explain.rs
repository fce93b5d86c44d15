//! `buildtap explain`: what a finding means, without a session at hand.

use buildtap_decoder::findings::{self, Entry};

use crate::cli::Format;
use crate::output::Output;
use crate::view::page;

/// There is no finding of that name.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no finding called {code:?}{}", meant(.nearest))]
pub struct Unknown {
    /// What was asked for.
    pub code: String,
    /// What may have been meant, the most likely first.
    pub nearest: Vec<&'static str>,
}

fn meant(nearest: &[&str]) -> String {
    match nearest {
        [] => "; `buildtap explain` lists all".to_owned(),
        [one] => format!("; did you mean {one}? `buildtap explain` lists all"),
        [others @ .., last] => format!(
            "; did you mean {} or {last}? `buildtap explain` lists all",
            others.join(", ")
        ),
    }
}

/// What `buildtap explain` prints to `output`: of one kind of finding, or of all.
pub fn explain(code: Option<&str>, format: Format, output: &Output) -> Result<String, Unknown> {
    let entry = code.map(find).transpose()?;
    Ok(match (entry, format) {
        (Some(entry), Format::Text) => page::page(entry, output),
        (Some(entry), Format::Json) => page::json(std::iter::once(entry)),
        (None, Format::Text) => page::list(output),
        (None, Format::Json) => page::json(findings::entries()),
    })
}

fn find(code: &str) -> Result<&'static Entry, Unknown> {
    let code = code.trim().to_ascii_lowercase().replace(['_', ' '], "-");
    findings::find(&code).ok_or_else(|| Unknown {
        nearest: nearest(&code),
        code,
    })
}

/// At most this many are proposed.
const PROPOSED: usize = 3;
/// How much alike names must be to be proposed, from 0 to 1.
const ALIKE: f64 = 0.75;

fn nearest(code: &str) -> Vec<&'static str> {
    let mut alike: Vec<(f64, &'static str)> = findings::entries()
        .map(|entry| {
            let part = code.len() > 2 && entry.code.contains(code);
            let alike = strsim::normalized_damerau_levenshtein(code, entry.code);
            (if part { 1.0 } else { alike }, entry.code)
        })
        .filter(|(alike, _)| *alike >= ALIKE)
        .collect();
    alike.sort_by(|a, b| b.0.total_cmp(&a.0));
    alike
        .into_iter()
        .map(|(_, code)| code)
        .take(PROPOSED)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proposed(code: &str) -> String {
        find(code).unwrap_err().to_string()
    }

    #[test]
    fn a_code_is_found_however_it_is_written() {
        for code in ["no-session", "NO_SESSION", " no session "] {
            assert_eq!(find(code).unwrap().code, "no-session");
        }
    }

    #[test]
    fn what_may_have_been_meant_is_said() {
        assert_eq!(
            proposed("packet-read-as-byte"),
            "there is no finding called \"packet-read-as-byte\"; did you mean packets-read-as-bytes? \
             `buildtap explain` lists all"
        );
        let many = proposed("fin");
        assert!(many.contains("fin-missing or fin-unanswered?"), "{many}");
        assert_eq!(
            proposed("zzz"),
            "there is no finding called \"zzz\"; `buildtap explain` lists all"
        );
    }
}
