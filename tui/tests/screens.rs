//! Each view, drawn from committed captures, at the smallest size and at a large one.

use std::path::{Path, PathBuf};
use std::time::Duration;

use buildtap_decoder::describe::Describer;
use buildtap_decoder::{Decoder, Options};
use buildtap_fixtures::capture;
use buildtap_proto::schema::Schemas;
use buildtap_tui::app::App;
use buildtap_tui::model::{Feed, Progress, Shared, Source};
use buildtap_tui::palette::Palette;
use buildtap_tui::view::Tab;
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use std::sync::Arc;

fn captures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/captures")
}

/// A screen on a capture.
struct Screen {
    shared: Arc<Shared>,
    app: App,
}

impl Screen {
    /// On a whole capture.
    fn of(name: &str) -> Self {
        Self::read(name, |_| true, None)
    }

    /// On a capture as it was when the client of a local export was asked for files for the first
    /// time, and had done nothing for so long.
    fn hanging(name: &str, later: Duration) -> Self {
        let is_before = |decoder: &Decoder| {
            let mut transfers = decoder.trace().transfers.iter();
            !transfers.any(|row| row.service == "FileSend" && row.machine.final_stat().is_some())
        };
        Self::read(name, is_before, Some(later))
    }

    fn read(name: &str, goes_on: impl Fn(&Decoder) -> bool, later: Option<Duration>) -> Self {
        Self::fed(name, |decoder, feed| {
            let options = capture::Options::default();
            let mut capture = capture::open(captures().join(name), options).unwrap();
            let mut is_over = false;
            while goes_on(decoder) {
                match capture.next().unwrap() {
                    Some(event) => decoder.event(event.time, event.tap, event.event),
                    None if is_over => break,
                    None => {
                        capture.finish().unwrap();
                        is_over = true;
                    }
                }
                feed.take(decoder, &mut |_, _, _| {});
                feed.put();
            }
            match later {
                None => decoder.finish(),
                // Silence is looked at twice a second.
                Some(later) => {
                    let until = decoder.now().after(later);
                    while decoder.now() < until {
                        decoder.tick(decoder.now().after(Duration::from_millis(500)));
                    }
                }
            }
        })
    }

    /// On what a decoder was told.
    fn told(tell: impl FnOnce(&mut Decoder)) -> Self {
        Self::fed("told", |decoder, _| tell(decoder))
    }

    fn fed(name: &str, tell: impl FnOnce(&mut Decoder, &mut Feed)) -> Self {
        let shared = Shared::new(Source::File(name.into()));
        let mut feed = Feed::new(Arc::clone(&shared));
        let options = Options {
            updates: true,
            messages: true,
            frames: true,
            ..Options::default()
        };
        let mut decoder = Decoder::new(options);
        tell(&mut decoder, &mut feed);
        feed.catch_up(&mut decoder);
        shared.set_progress(Progress::Over(None));
        let describer = Describer::new(Schemas::default(), false);
        let app = App::new(describer, Palette::new(true));
        Screen { shared, app }
    }

    fn draw(&mut self, width: u16, height: u16) -> String {
        text(&self.buffer(width, height))
    }

    fn buffer(&mut self, width: u16, height: u16) -> Buffer {
        let area = Rect::new(0, 0, width, height);
        let mut buf = Buffer::empty(area);
        let store = self.shared.lock();
        self.app.draw(&store, store.now, area, &mut buf);
        buf
    }

    fn press(&mut self, keys: &str) {
        for c in keys.chars() {
            let code = match c {
                '\n' => KeyCode::Enter,
                '\u{1b}' => KeyCode::Esc,
                c => KeyCode::Char(c),
            };
            let store = self.shared.lock();
            self.app
                .key(KeyEvent::new(code, KeyModifiers::NONE), &store, store.now);
        }
    }
}

/// What is seen, without the spaces at the ends of lines.
fn text(buf: &Buffer) -> String {
    let mut out = String::new();
    for y in 0..buf.area.height {
        let mut line = String::new();
        let mut skip = 0;
        for x in 0..buf.area.width {
            if skip > 0 {
                skip -= 1;
                continue;
            }
            let symbol = buf[(x, y)].symbol();
            skip = unicode_width::UnicodeWidthStr::width(symbol).saturating_sub(1);
            line.push_str(symbol);
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

fn both_sizes(name: &str, screen: &mut Screen) {
    for (width, height) in [(80, 24), (200, 60)] {
        // Once to learn how high things are, as the first frame does.
        screen.draw(width, height);
        let text = screen.draw(width, height);
        insta::assert_snapshot!(format!("{name}-{width}x{height}"), text);
    }
}

#[test]
fn each_view_of_a_local_export() {
    for tab in Tab::ALL {
        let mut screen = Screen::of("local-export.pcap");
        screen.app.open(tab);
        both_sizes(
            &format!("local-export-{}", tab.title().to_lowercase()),
            &mut screen,
        );
    }
}

#[test]
fn a_hang() {
    let mut screen = Screen::hanging("local-export.pcap", Duration::from_secs(12));
    both_sizes("hang-overview", &mut screen);
    screen.press("\n");
    both_sizes("hang-transfer", &mut screen);
    screen.press("e");
    both_sizes("hang-findings", &mut screen);
}

#[test]
fn keys() {
    let mut screen = Screen::of("local-export.pcap");
    screen.press("?");
    both_sizes("help", &mut screen);
}

#[path = "screens/connections.rs"]
mod connections;
#[path = "screens/docs.rs"]
mod docs;
#[path = "screens/hostile.rs"]
mod hostile;
#[path = "screens/messages.rs"]
mod messages;
#[path = "screens/standing.rs"]
mod standing;
#[path = "screens/timeline.rs"]
mod timeline;
