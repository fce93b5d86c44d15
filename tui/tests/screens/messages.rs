//! The messages of a call.

use buildtap_tui::app::Effect;
use buildtap_tui::keys::Action;

use super::*;

/// The messages of the call on this line of the calls of a capture.
fn messages(name: &str, line: usize) -> Screen {
    let mut screen = Screen::of(name);
    screen.app.open(Tab::Calls);
    screen.draw(80, 24);
    screen.press(&"j".repeat(line));
    screen.press("m");
    screen.draw(80, 24);
    screen
}

/// The line of the first call of this method.
fn line_of(name: &str, method: &str) -> usize {
    let screen = Screen::of(name);
    let store = screen.shared.lock();
    let mut calls = store.trace().calls.iter();
    calls.position(|call| call.short_name() == method).unwrap()
}

fn copied(screen: &mut Screen) -> String {
    let effects = screen.app.effects();
    let copied = effects.into_iter().find_map(|effect| match effect {
        Effect::Copy(text) => Some(text),
        _ => None,
    });
    copied.expect("something was copied")
}

#[test]
fn a_graph_and_the_bytes_that_say_so() {
    let name = "graph-local-export.pcap";
    let line = line_of(name, "Control.Solve");
    let mut screen = messages(name, line);
    // Into the tree, to the first operation, and unfold it.
    screen.press("\n");
    screen.draw(80, 24);
    screen.press("jjjj");
    screen.press("l");
    both_sizes("messages-graph", &mut screen);

    screen.press("Y");
    let hex = copied(&mut screen);
    assert!(hex.starts_with("0a"), "{hex}");
    screen.press("y");
    let json = copied(&mut screen);
    assert!(json.contains("docker-image://"), "{json}");
    screen.press("c");
    let line = copied(&mut screen);
    assert!(
        line.starts_with("grpcurl -plaintext -d '{")
            && line.ends_with(" moby.buildkit.v1.Control/Solve"),
        "{line}"
    );
}

#[test]
fn bytes_lead_to_what_they_say() {
    let name = "graph-local-export.pcap";
    let mut screen = messages(name, line_of(name, "Control.Solve"));
    screen.press("ww");
    screen.draw(80, 24);
    screen.press("jjl");
    let text = screen.draw(80, 24);
    assert!(text.contains("bytes "), "{text}");
    both_sizes("messages-bytes", &mut screen);
    // And back, one pane at a time.
    screen
        .app
        .act(Action::Back, &screen.shared.lock(), Default::default());
    assert_eq!(screen.app.tab(), Tab::Messages);
    screen
        .app
        .act(Action::Back, &screen.shared.lock(), Default::default());
    assert_eq!(screen.app.tab(), Tab::Calls);
}

#[test]
fn secrets_are_not_in_the_bytes() {
    let name = "secret.pcap";
    let mut screen = messages(name, line_of(name, "Secrets.GetSecret"));
    screen.press("j\n");
    for (width, height) in [(80, 24), (200, 60)] {
        let text = screen.draw(width, height);
        assert!(
            text.contains("masked") && !text.contains("canary"),
            "{text}"
        );
    }
    both_sizes("messages-secret", &mut screen);
    screen.press("Y");
    let hex = copied(&mut screen);
    // `canary`
    assert!(!hex.contains("63616e617279"), "{hex}");
}

#[test]
fn found_in_the_tree_however_deep() {
    let name = "graph-local-export.pcap";
    let mut screen = messages(name, line_of(name, "Control.Solve"));
    screen.press("\n/followpaths\nnn");
    let text = screen.draw(80, 24);
    assert!(text.contains("local.followpaths  [\"hello.txt\""), "{text}");
}

#[test]
fn only_what_a_filter_lets_through() {
    let name = "local-export.pcap";
    let mut screen = messages(name, line_of(name, "FileSend.DiffCopy"));
    let all = screen.draw(80, 24);
    assert!(
        all.contains("22 messages") && all.contains("hello.txt"),
        "{all}"
    );
    screen.press("fpath ~ numbers && from == daemon\n");
    let few = screen.draw(80, 24);
    assert!(
        few.contains(" of 22 messages") && !few.contains("STAT hello"),
        "{few}"
    );
    assert!(few.contains("sub/numbers.txt"), "{few}");
    // What is true of the call is true of its messages.
    screen.press("f");
    for _ in 0..40 {
        screen.app.key(
            KeyEvent::new(KeyCode::Backspace, KeyModifiers::NONE),
            &screen.shared.lock(),
            Default::default(),
        );
    }
    screen.press("service == FileSend\n");
    let all = screen.draw(80, 24);
    assert!(
        all.contains("STAT hello") || all.contains("22 messages"),
        "{all}"
    );
}

/// Every key in every place, at sizes that leave no room.
#[test]
fn nothing_is_too_small() {
    let name = "local-export.pcap";
    let mut screen = messages(name, line_of(name, "FileSend.DiffCopy"));
    for (width, height) in [(80, 24), (200, 60), (20, 5), (1, 1), (160, 8), (79, 12)] {
        for key in "jkG\nwlhl jkGgwjjkwGl hhyYcw/x\nn".chars() {
            screen.press(&key.to_string());
            screen.app.effects();
            screen.draw(width, height);
        }
        for column in (0..width).step_by(7) {
            for row in 0..height {
                let kind =
                    crossterm::event::MouseEventKind::Down(crossterm::event::MouseButton::Left);
                let click = crossterm::event::MouseEvent {
                    kind,
                    column,
                    row,
                    modifiers: KeyModifiers::NONE,
                };
                let store = screen.shared.lock();
                screen.app.mouse(click, &store, store.now);
            }
        }
    }
}
