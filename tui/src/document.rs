//! `docs/screen.md`, as far as it is made from the table of keys.

use std::fmt::Write as _;

use crate::keys::{KEYS, Scope};

/// The page about the screen.
pub fn document() -> String {
    let mut out = String::from(BEGINNING);
    let mut scopes: Vec<(Scope, String)> = vec![
        (Scope::Moving, "Moving".to_owned()),
        (Scope::Looking, "Looking".to_owned()),
        (Scope::General, "Everywhere".to_owned()),
    ];
    for binding in KEYS {
        if let Scope::View(title) = binding.scope
            && !scopes.iter().any(|(scope, _)| *scope == binding.scope)
        {
            scopes.push((binding.scope, format!("In {title}")));
        }
    }
    for (scope, title) in scopes {
        let _ = write!(out, "\n### {title}\n\n| keys | what they do |\n|---|---|\n");
        for binding in KEYS.iter().filter(|binding| binding.scope == scope) {
            let keys: Vec<String> = binding.keys.iter().map(|key| format!("`{key}`")).collect();
            let _ = writeln!(out, "| {} | {} |", keys.join(" "), binding.help);
        }
    }
    out.push_str(END);
    out
}

const BEGINNING: &str = "\
<!-- Made from tui/src/keys.rs and tui/src/document.rs:
`BUILDTAP_WRITE_DOCS=1 cargo test -p buildtap-tui --test screens` writes it anew. -->

# The screen

```sh
buildtap                                 # watch whoever connects to a socket
buildtap run --tui -- docker build .     # watch one command; it has a terminal of its own in a pane
buildtap proxy --tui --listen unix:///tmp/tap.sock
buildtap view session.pcapng             # walk through what was recorded
buildtap view --follow session.pcapng    # the same while it is being written
buildtap diff --tui good.pcapng bad.pcapng
buildtap demo hang --tui                 # no Docker needed
```

What waits is at the top of the first screen: who must do what, since when, and what that holds up; and what went wrong.
`Enter` opens the transfer or the call, `m` its messages with their bytes, `e` what the finding means.

![The first screen, with a client that hangs on a local export](overview.svg)

| view | what is on it |
|---|---|
| Overview | who is waited for; builds, their steps, sessions and calls as a tree. What ended well is folded away; what goes on, what failed and findings stay. |
| Calls | every call: caller, method and what it is about, how long it took, what each side sent, how it ended. |
| Messages | the messages of one call, both directions on one axis of time; each as a tree of fields and as bytes. |
| Transfer | the state machine of a transfer with its state lit, who must move, its files, and the windows of HTTP/2 flow control of its stream and connection, and of those that carry them. |
| Timeline | steps, calls and transfers on one axis of time, the critical path marked. |
| Findings | what is wrong, what it rests on, and what to change. |
| Connections | connections and those inside others, HTTP requests with their heads, upgrades, HTTP/2 settings; `Enter` leads to the frames of a connection. |
| Output | with `run --tui` the terminal of the command; else what was said for people on the way. |
| Diff | with `diff --tui` two captures side by side. |

![A transfer that waits](transfer.svg)

![What took how long](timeline.svg)

A filter (`f`) is an expression as in [filter.md](filter.md); `Tab` completes it, and what is wrong in it is marked. `S`
saves what is shown: the call that is looked at, or all that the filter leaves, as JSON lines (`NAME.jsonl`) or as a
capture of its connections (`NAME.pcapng`, `.pcapng.zst`, `.pcapng.gz`), with secrets masked; of a live session that takes
`--record`. Copying uses OSC 52, which most terminals and tmux (`set -g set-clipboard on`) pass on.

Colours are those of your terminal; `NO_COLOR` is obeyed, and no meaning is in a colour alone. It works from 80 × 24 on.

## Keys

`?` shows them on the screen.
";

const END: &str = "
With the mouse: a click on a tab opens it, a click on a line goes there, a second one opens it, the wheel scrolls.

## What it costs

`cargo bench -p buildtap-tui` prints it. On a machine with two cores: of a capture of a million messages (44 MiB) the first
screen is there after 55 ms and all of it after 3.4 s, in 128 MiB of memory; a picture takes less than 1 ms then. Live at
50 000 messages a second it draws 20 pictures a second, and the decoder is held for at most 0.2 ms at a time; a key is
answered after 0.7 ms, the slowest of 140 after 6.5 ms (`cargo bench -p buildtap --bench screen`, through the real relay and
a pseudo-terminal). The relay carries 2.7 GiB/s with a screen as without one, less 2 % (`--bench relay -- \"decoding tap\"`).

Messages are kept in a bounded table: of the oldest, beyond 160 MiB, the bytes go first. Of a file `Enter` reads them again.
Of frames the newest 500 000 are kept.
";
