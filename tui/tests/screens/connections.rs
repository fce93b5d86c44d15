//! Connections, those inside others, and their frames.

use super::*;

#[test]
fn frames_of_a_connection() {
    let mut screen = Screen::of("local-export.pcap");
    screen.app.open(Tab::Connections);
    screen.draw(80, 24);
    // The session's.
    screen.press("jjj\n");
    both_sizes("frames", &mut screen);
    screen.press("/window_update\n");
    let text = screen.draw(80, 24);
    assert!(text.contains("may send"), "{text}");
    screen.press("/headers\n\n");
    assert_eq!(screen.app.tab(), Tab::Messages);
    // What was searched for goes first, then back to the frames, and to the connections.
    screen.press("\u{1b}\u{1b}\u{1b}");
    let text = screen.draw(80, 24);
    assert!(text.contains("connection, request"), "{text}");
}

#[test]
fn what_is_known_of_a_request() {
    let mut screen = Screen::of("local-export.pcap");
    screen.app.open(Tab::Connections);
    screen.draw(80, 24);
    screen.press("jj\n");
    let text = screen.draw(80, 24);
    assert!(text.contains("POST /v1.41/build"), "{text}");
    assert!(text.contains("?networkmode=none"), "{text}");
    assert!(text.contains("more lines: ↓"), "{text}");
    screen.press("G");
    let text = screen.draw(80, 24);
    assert!(text.contains("200 OK"), "{text}");
    screen.press("\u{1b}");
    let text = screen.draw(80, 24);
    assert!(text.contains("connection, request"), "{text}");
}

#[test]
fn a_connection_inside_a_call_stands_below_the_one_that_carries_it() {
    let mut screen = Screen::of("nested-local-export.pcap");
    screen.app.open(Tab::Connections);
    both_sizes("connections-inside", &mut screen);
}
