//! Where the user stands, while what is shown changes.

use buildtap_decoder::event::{Endpoints, Side, TapEvent, TapId, Time};

use super::*;

#[test]
fn a_bookmark_stays_with_what_it_was_set_on() {
    let mut screen = Screen::of("local-export.pcap");
    screen.app.open(Tab::Calls);
    screen.draw(80, 24);
    screen.press("j");
    let line = |screen: &mut Screen| {
        let area = Rect::new(0, 0, 80, 24);
        let mut buf = Buffer::empty(area);
        let store = screen.shared.lock();
        screen.app.draw(&store, store.now, area, &mut buf);
        let cursor = Palette::new(true).cursor();
        let at = (3..23).find(|y| buf[(40, *y)].modifier.contains(cursor.add_modifier));
        text(&buf)
            .lines()
            .nth(at.unwrap().into())
            .unwrap()
            .to_owned()
    };
    let marked = line(&mut screen);
    screen.press("b");
    // The other way around.
    screen.press("rg");
    assert_ne!(line(&mut screen), marked);
    screen.press("'");
    assert_eq!(line(&mut screen), marked);
    // The same key removes it there.
    screen.press("b");
    let text = screen.draw(80, 24);
    assert!(text.contains("the bookmark is gone"), "{text}");
}

#[test]
fn what_is_held_still_does_not_grow() {
    let shared = Shared::new(Source::Live("test".into()));
    let mut feed = Feed::new(Arc::clone(&shared));
    let mut decoder = Decoder::new(Options {
        updates: true,
        messages: true,
        frames: true,
        ..Options::default()
    });
    let app = App::new(
        Describer::new(Schemas::default(), false),
        Palette::new(true),
    );
    let mut screen = Screen { shared, app };
    let frame = |kind: u8, flags: u8, stream: u32, payload: &[u8]| {
        let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
        bytes.extend([kind, flags]);
        bytes.extend(stream.to_be_bytes());
        bytes.extend(payload);
        bytes
    };
    let mut said = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    said.extend(frame(4, 0, 0, &[]));
    let mut headers = vec![0x83, 0x86];
    for (name, value) in [
        (":path", "/moby.filesync.v1.Auth/Credentials"),
        ("content-type", "application/grpc"),
    ] {
        headers.push(0);
        for text in [name, value] {
            headers.push(text.len() as u8);
            headers.extend(text.as_bytes());
        }
    }
    said.extend(frame(1, 4, 1, &headers));
    decoder.event(Time(1), TapId(1), TapEvent::Open(Endpoints::default()));
    let mut say = |screen: &Screen, at: u64, bytes: &[u8]| {
        let chunk = TapEvent::Chunk {
            from: Side::Daemon,
            bytes,
        };
        decoder.event(Time(at), TapId(1), chunk);
        feed.take(&mut decoder, &mut |_, _, _| {});
        feed.put();
        if !screen.shared.lock().is_paused() {
            feed.catch_up(&mut decoder);
        }
    };
    let message = frame(0, 0, 1, &[0, 0, 0, 0, 3, 0x0a, 1, b'a']);
    say(&screen, 2, &said);
    say(&screen, 3, &message);
    screen.app.open(Tab::Messages);
    let text = screen.draw(80, 24);
    assert!(text.contains("1 message"), "{text}");
    screen.shared.pause(true);
    for at in 4..10 {
        say(&screen, at, &message);
    }
    assert_eq!(screen.draw(80, 24), text);
    screen.shared.pause(false);
    say(&screen, 10, &message);
    let text = screen.draw(80, 24);
    assert!(text.contains("8 messages"), "{text}");
}

#[test]
fn a_filter_reaches_the_steps_of_a_build() {
    let mut screen = Screen::of("local-export.pcap");
    screen.draw(80, 24);
    screen.press("fname ~ \"exporting\"\n");
    let text = screen.draw(80, 24);
    assert!(text.contains("exporting to client"), "{text}");
    assert!(!text.contains("FileSync"), "{text}");
    assert!(!text.contains("session 1"), "{text}");
    screen.press("fname == nothing\n");
    let text = screen.draw(80, 24);
    assert!(!text.contains("build 1"), "{text}");
}
