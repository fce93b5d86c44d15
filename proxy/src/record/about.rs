//! What a recording says about itself, without anything secret.

use std::ffi::OsString;
use std::path::Path;

use buildtap_fixtures::capture::write::About;

use crate::client_process::{WORDS, is_sub_command};

/// What is said of a recording on this machine, of `command` if it is that of `run`.
pub fn about(command: Option<&[OsString]>, shows_secrets: bool) -> About {
    let system = rustix::system::uname();
    let (name, release) = (system.sysname(), system.release());
    About {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        os: Some(format!(
            "{} {}",
            name.to_string_lossy(),
            release.to_string_lossy()
        )),
        command: command.map(|command| command_line(command, shows_secrets)),
        shows_secrets,
        ..About::here()
    }
}

/// A command line on one line: its program, sub-commands and the names of its options, with `…`
/// for every value, as any of those may be secret; all of it with `shows_secrets`.
pub fn command_line(command: &[OsString], shows_secrets: bool) -> String {
    let words: Vec<_> = command.iter().map(|word| word.to_string_lossy()).collect();
    if shows_secrets {
        return words.join(" ");
    }
    let mut shown: Vec<String> = Vec::new();
    let mut is_leading = true;
    for (n, word) in words.iter().enumerate() {
        let word: String = match n {
            0 => match Path::new(word.as_ref()).file_name() {
                Some(name) => name.to_string_lossy().into_owned(),
                None => word.to_string(),
            },
            _ if is_leading && n <= WORDS && is_sub_command(word.as_bytes()) => word.to_string(),
            _ => {
                is_leading = false;
                without_value(word)
            }
        };
        let is_again = word == "…" && shown.last() == Some(&word);
        if !is_again {
            shown.push(word);
        }
    }
    shown.join(" ")
}

/// `--name=…` and `-x` of options, `…` of anything else; `.` and `-` are no secrets.
fn without_value(word: &str) -> String {
    let is_name =
        |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
    if matches!(word, "." | "-" | "--") {
        return word.to_owned();
    }
    if let Some(long) = word.strip_prefix("--") {
        return match long.split_once('=') {
            Some((name, _)) if is_name(name) => format!("--{name}=…"),
            None if is_name(long) => word.to_owned(),
            _ => "…".to_owned(),
        };
    }
    let mut chars = word.chars();
    match (chars.next(), chars.next()) {
        (Some('-'), Some(short)) if short.is_ascii_alphabetic() => match chars.next() {
            None => format!("-{short}"),
            Some(_) => format!("-{short}…"),
        },
        _ => "…".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(command: &str, shows_secrets: bool) -> String {
        let words: Vec<OsString> = command.split(' ').map(OsString::from).collect();
        command_line(&words, shows_secrets)
    }

    #[test]
    fn values_are_not_shown() {
        let build =
            "/usr/bin/docker buildx build --build-arg TOKEN=abc --output=type=local -t x:1 .";
        assert_eq!(
            line(build, false),
            "docker buildx build --build-arg … --output=… -t … ."
        );
        assert_eq!(line(build, true), build);
        assert_eq!(
            line("docker login -phunter2 host a b", false),
            "docker login -p… …"
        );
        assert_eq!(line("docker login --hunter2_X", false), "docker login …");
        assert_eq!(line("sh -c curl", false), "sh -c …");
        assert_eq!(
            line("cargo test -- --nocapture", false),
            "cargo test -- --nocapture"
        );
    }
}
