//! Which process is at the other end of an accepted Unix socket.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use tokio::net::UnixStream;

/// Bytes of a command line that are looked at.
const READ: u64 = 4096;

/// Sub-commands that are shown: `docker compose build` has two.
pub(crate) const WORDS: usize = 3;

/// The process that connected, as `docker buildx build … (pid 4711)`: the program, its
/// sub-commands and `…` for everything else, as arguments may hold secrets
/// (`--build-arg TOKEN=…`) and what buildtap shows is pasted into public reports.
///
/// `None` where the system does not tell (a process of another pid namespace, other systems).
pub(crate) fn of(stream: &UnixStream) -> Option<String> {
    // Zero is what the kernel says of a process outside of our pid namespace.
    let pid = stream.peer_cred().ok()?.pid().filter(|pid| *pid > 0)?;
    let mut command_line = Vec::new();
    File::open(format!("/proc/{pid}/cmdline"))
        .and_then(|file| file.take(READ).read_to_end(&mut command_line))
        .ok()?;
    Some(match summary(&command_line) {
        Some(words) => format!("{words} (pid {pid})"),
        None => format!("pid {pid}"),
    })
}

/// The showable part of a command line, whose arguments end with NUL (proc_pid_cmdline(5)).
fn summary(command_line: &[u8]) -> Option<String> {
    let mut arguments = command_line
        .strip_suffix(b"\0")
        .unwrap_or(command_line)
        .split(|byte| *byte == 0);
    let program = String::from_utf8_lossy(arguments.next()?);
    let program = Path::new(program.as_ref()).file_name()?.to_string_lossy();
    let mut shown: String = program.chars().filter(|c| !c.is_control()).collect();
    let mut arguments = arguments.peekable();
    for _ in 0..WORDS {
        match arguments.next_if(|word| is_sub_command(word)) {
            Some(word) => {
                shown.push(' ');
                shown.push_str(&String::from_utf8_lossy(word));
            }
            None => break,
        }
    }
    if arguments.next().is_some() {
        shown.push_str(" …");
    }
    (!shown.is_empty()).then_some(shown)
}

/// Short, and of lower-case letters and hyphens only: `build`, `dial-stdio`.
pub(crate) fn is_sub_command(word: &[u8]) -> bool {
    (1..=16).contains(&word.len())
        && word[0] != b'-'
        && word.iter().all(|b| b.is_ascii_lowercase() || *b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_the_program_and_its_sub_commands_only() {
        let shown = |line: &str| summary(line.replace(' ', "\0").as_bytes());
        assert_eq!(
            shown("/usr/bin/docker compose build --build-arg TOKEN=abc .").as_deref(),
            Some("docker compose build …")
        );
        assert_eq!(
            shown("docker login -p hunter2").as_deref(),
            Some("docker login …")
        );
        assert_eq!(shown("buildctl ").as_deref(), Some("buildctl"));
        assert_eq!(shown("/opt/x/build.py").as_deref(), Some("build.py"));
        assert_eq!(shown("evil\x1b[2J").as_deref(), Some("evil[2J"));
        assert_eq!(shown(""), None);
    }
}
