//! What the first screen says of an animal while it misbehaves, with no key pressed, and of a twin at its end.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use buildtap_decoder::describe::Describer;
use buildtap_decoder::{Decoder, Options};
use buildtap_fixtures::capture;
use buildtap_proto::schema::Schemas;
use buildtap_tui::app::App;
use buildtap_tui::model::{Feed, Progress, Shared, Source};
use buildtap_tui::palette::Palette;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::keeper::STALL_AFTER;

/// How often silence is looked at.
const TICK: Duration = Duration::from_millis(100);

/// The first screen of a recording, at 80×24: as it was when `code` was found, or at the end.
pub(crate) fn first_screen(recording: &Path, code: Option<&str>) -> String {
    let shared = Shared::new(Source::Live("a recording".into()));
    let mut feed = Feed::new(Arc::clone(&shared));
    let mut decoder = Decoder::new(Options {
        updates: true,
        messages: true,
        stall_after: Some(STALL_AFTER),
        ..Options::default()
    });
    let mut capture = capture::open(recording, capture::Options::default()).unwrap();
    let is_found = |decoder: &Decoder| {
        let mut findings = decoder.trace().findings.iter();
        code.is_some_and(|code| findings.any(|finding| finding.code == code))
    };
    while let Some(event) = capture.next().unwrap() {
        // As live: what does not happen is looked at meanwhile, and last when the silence ends.
        while !decoder.trace().connections.is_empty()
            && decoder.now() < event.time
            && !is_found(&decoder)
        {
            decoder.tick(decoder.now().after(TICK).min(event.time));
        }
        if is_found(&decoder) {
            break;
        }
        decoder.event(event.time, event.tap, event.event);
        feed.take(&mut decoder, &mut |_, _, _| {});
        feed.put();
        if is_found(&decoder) {
            break;
        }
    }
    feed.catch_up(&mut decoder);
    shared.set_progress(Progress::Over(None));
    let describer = Describer::new(Schemas::default(), false);
    let mut app = App::new(describer, Palette::new(false));
    let area = Rect::new(0, 0, 80, 24);
    let mut buf = Buffer::empty(area);
    let store = shared.lock();
    app.draw(&store, store.now, area, &mut buf);
    let lines = buf.content.chunks(usize::from(area.width));
    let text = |line: &[ratatui::buffer::Cell]| {
        let line: String = line.iter().map(|cell| cell.symbol()).collect();
        line.trim_end().to_owned() + "\n"
    };
    lines.map(text).collect()
}
