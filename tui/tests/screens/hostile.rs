//! Nothing that comes off a wire disturbs the terminal, and no size of it disturbs the screen.

use buildtap_decoder::describe::disturbs;
use buildtap_decoder::event::{Closed, Endpoints, Side, TapEvent, TapId, Time};
use buildtap_tui::view::Tab;
use ratatui::buffer::Buffer;

use super::Screen;

/// What a terminal would do something about.
const EVIL: &str =
    "\u{1b}]0;owned\u{7}\u{1b}[2J\u{9b}31m\u{202e}gnp.exe\r\n\u{200b}日本語👩\u{200d}🔬\t\u{feff}";

fn is_harmless(buf: &Buffer) -> bool {
    buf.content
        .iter()
        .all(|cell| !cell.symbol().contains(disturbs))
}

/// A session of requests in which everything that can be a text is evil.
fn evil() -> Screen {
    Screen::told(|decoder| {
        let tap = TapId(1);
        let mut at = Time(1_700_000_000_000_000_000);
        let mut tell = |event: TapEvent<'_>| {
            at = at.after(std::time::Duration::from_millis(1));
            decoder.event(at, tap, event);
        };
        tell(TapEvent::Open(Endpoints {
            client: EVIL.into(),
            daemon: EVIL.into(),
            client_process: Some(EVIL.into()),
        }));
        let request = format!(
            "GET /{}?x={EVIL} HTTP/1.1\r\nHost: docker\r\nX-Evil: \u{1b}[31m\u{202e}\r\n\r\n",
            "\u{1b}[2J\u{202e}"
        );
        tell(TapEvent::Chunk {
            from: Side::Client,
            bytes: request.as_bytes(),
        });
        let body = format!("{{\"message\":{}}}", serde_json::json!(EVIL));
        let answer = format!(
            "HTTP/1.1 500 \u{1b}[2J\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        tell(TapEvent::Chunk {
            from: Side::Daemon,
            bytes: answer.as_bytes(),
        });
        tell(TapEvent::Chunk {
            from: Side::Client,
            bytes: b"\x00\xff\x1b[2J nonsense",
        });
        tell(TapEvent::Close {
            how: Closed::Finished,
        });
    })
}

#[test]
fn no_text_disturbs_the_terminal() {
    let mut screen = evil();
    for tab in Tab::ALL {
        screen.app.open(tab);
        for key in ["", "l", "jj", "\n", "G", "/", "\u{1b}", "?"] {
            screen.press(key);
            assert!(
                is_harmless(&screen.buffer(120, 50)),
                "{tab:?} after {key:?}"
            );
        }
        screen.press("?");
    }
}

#[test]
fn no_size_is_too_small() {
    for name in [
        "local-export.pcap",
        "graph-local-export.pcap",
        "failing-dockerfile.pcap",
    ] {
        let mut screen = Screen::of(name);
        for tab in Tab::ALL {
            screen.app.open(tab);
            for width in [0, 1, 2, 3, 7, 20, 79, 300] {
                for height in [0, 1, 2, 3, 4, 5, 9, 17, 45] {
                    screen.press("jkG");
                    screen.buffer(width, height);
                }
            }
            for key in ["?", "?", "f", "se", "\u{1b}"] {
                screen.press(key);
                screen.buffer(5, 3);
                screen.buffer(80, 24);
            }
        }
    }
}

#[test]
fn no_size_is_too_small_for_what_is_further_down() {
    let mut hang = Screen::hanging("local-export.pcap", std::time::Duration::from_secs(12));
    let mut frames = Screen::of("nested-local-export.pcap");
    frames.app.open(Tab::Connections);
    frames.draw(80, 24);
    frames.press("j\n");
    let mut page = Screen::of("local-export.pcap");
    page.app.open(Tab::Connections);
    page.draw(80, 24);
    page.press("jj\n");
    for screen in [&mut hang, &mut frames, &mut page] {
        for width in [0, 1, 2, 3, 7, 20, 79, 180, 300] {
            for height in [0, 1, 2, 3, 4, 5, 9, 17, 45] {
                screen.press("jkGg");
                screen.buffer(width, height);
            }
        }
    }
}
