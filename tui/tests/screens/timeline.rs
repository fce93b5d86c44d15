//! What took how long.

use super::*;

fn timeline(name: &str) -> Screen {
    let mut screen = Screen::of(name);
    screen.app.open(Tab::Timeline);
    screen.draw(80, 24);
    screen
}

#[test]
fn a_build_with_a_client_graph() {
    both_sizes("timeline-graph", &mut timeline("graph-local-export.pcap"));
}

#[test]
fn a_build_that_failed() {
    let mut screen = timeline("buildx-failing.pcap");
    screen.press("/no-such\n");
    both_sizes("timeline-failing", &mut screen);
}

#[test]
fn closer_and_back() {
    let mut screen = timeline("nested-local-export.pcap");
    let all = screen.draw(80, 24);
    assert!(all.contains(" all of it"), "{all}");
    screen.press("/FileSend\n");
    screen.press(" ");
    both_sizes("timeline-closer", &mut screen);
    let near = screen.draw(80, 24);
    assert!(
        near.contains(" of ") && !near.contains(" all of it"),
        "{near}"
    );
    screen.press("h");
    assert_ne!(screen.draw(80, 24), near);
    screen.press("l");
    assert_eq!(screen.draw(80, 24), near);
    screen.press("+");
    assert_ne!(screen.draw(80, 24), near);
    screen.press("------------------");
    let out = screen.draw(80, 24);
    assert!(out.contains(" all of it"), "{out}");
    // What is under the cursor is a transfer.
    screen.press("\n");
    assert_eq!(screen.app.tab(), Tab::Transfer);
}

#[test]
fn only_what_a_filter_lets_through() {
    let mut screen = timeline("local-export.pcap");
    screen.press("fservice == FileSync\n");
    let few = screen.draw(80, 24);
    assert!(
        few.contains("FileSync") && !few.contains("FileSend"),
        "{few}"
    );
    assert!(!few.contains("  ◆ [2/2] COPY"), "{few}");
}

#[test]
fn nothing_is_too_small() {
    for (width, height) in [(1, 1), (8, 4), (20, 9), (40, 200), (300, 6)] {
        let mut screen = timeline("context-cold.pcap");
        for key in "j+l hG-- +++++++++++++++hhhh-------------------- gk".chars() {
            screen.press(&key.to_string());
            screen.draw(width, height);
        }
    }
}
