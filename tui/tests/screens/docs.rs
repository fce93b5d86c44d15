//! The page about the screen, and the pictures in it: made from the real table of keys and from
//! what is really drawn.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use buildtap_tui::document::document;
use buildtap_tui::view::Tab;
use ratatui::buffer::{Buffer, Cell};
use ratatui::style::{Color, Modifier};

use super::Screen;

/// Compares a file in `docs` with what it should be, or writes it if that is asked for.
fn holds(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../docs")
        .join(name);
    if std::env::var_os("BUILDTAP_WRITE_DOCS").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    assert!(
        std::fs::read_to_string(&path).unwrap_or_default() == text,
        "docs/{name} is old: BUILDTAP_WRITE_DOCS=1 cargo test -p buildtap-tui --test screens"
    );
}

#[test]
fn the_page_has_all_keys() {
    holds("screen.md", &document());
}

#[test]
fn the_pictures_are_of_the_real_screen() {
    let mut hang = Screen::hanging("local-export.pcap", Duration::from_secs(12));
    holds("overview.svg", &svg(&hang.buffer(110, 30)));
    hang.press("\n");
    holds("transfer.svg", &svg(&hang.buffer(110, 30)));
    let mut build = Screen::of("run-build.pcap");
    build.app.open(Tab::Timeline);
    build.buffer(110, 30);
    holds("timeline.svg", &svg(&build.buffer(110, 30)));
}

const WIDTH: f32 = 8.4;
const HEIGHT: u16 = 18;
const MARGIN: u16 = 14;
const FOREGROUND: &str = "#d8dee9";
const BACKGROUND: &str = "#1b1f27";

/// The colours of a terminal with a dark background.
fn colour(colour: Color, default: &'static str) -> &'static str {
    match colour {
        Color::Red => "#f07178",
        Color::Green => "#a3d977",
        Color::Yellow => "#ffcb6b",
        Color::Blue => "#82aaff",
        Color::Magenta => "#d6a2f5",
        Color::Cyan => "#7fdbe6",
        _ => default,
    }
}

/// A buffer as a picture: one text for each run of cells that look the same.
fn svg(buf: &Buffer) -> String {
    let (columns, lines) = (buf.area.width, buf.area.height);
    let width = (f32::from(columns) * WIDTH).ceil() as u16 + 2 * MARGIN;
    let height = lines * HEIGHT + 2 * MARGIN;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
         font-family=\"ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace\" font-size=\"14\">\n\
         <rect width=\"{width}\" height=\"{height}\" rx=\"8\" fill=\"{BACKGROUND}\"/>\n"
    );
    for y in 0..lines {
        let mut x = 0;
        while x < columns {
            let cell = &buf[(x, y)];
            let same = |other: &Cell| {
                (other.fg, other.bg, other.modifier) == (cell.fg, cell.bg, cell.modifier)
            };
            let end = (x..columns)
                .find(|x| !same(&buf[(*x, y)]))
                .unwrap_or(columns);
            let text: String = (x..end).map(|x| buf[(x, y)].symbol()).collect();
            run(&mut out, cell, &text, x, y, end - x);
            x = end;
        }
    }
    out.push_str("</svg>\n");
    out
}

fn run(out: &mut String, cell: &Cell, text: &str, x: u16, y: u16, columns: u16) {
    let left = f32::from(x) * WIDTH + f32::from(MARGIN);
    let top = y * HEIGHT + MARGIN;
    let width = f32::from(columns) * WIDTH;
    let reversed = cell.modifier.contains(Modifier::REVERSED);
    let mut fill = colour(cell.fg, FOREGROUND);
    if reversed {
        let _ = writeln!(
            out,
            "<rect x=\"{left:.1}\" y=\"{top}\" width=\"{width:.1}\" height=\"{HEIGHT}\" fill=\"{fill}\"/>"
        );
        fill = BACKGROUND;
    }
    if text.trim().is_empty() {
        return;
    }
    let text = text
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    let weight = match cell.modifier.contains(Modifier::BOLD) {
        true => " font-weight=\"bold\"",
        false => "",
    };
    let opacity = match cell.modifier.contains(Modifier::DIM) {
        true => " opacity=\"0.6\"",
        false => "",
    };
    let baseline = top + HEIGHT - 5;
    let _ = writeln!(
        out,
        "<text x=\"{left:.1}\" y=\"{baseline}\" textLength=\"{width:.1}\" lengthAdjust=\"spacingAndGlyphs\" \
         xml:space=\"preserve\" fill=\"{fill}\"{weight}{opacity}>{text}</text>"
    );
}
