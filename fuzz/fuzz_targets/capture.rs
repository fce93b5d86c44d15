//! Capture files: pcap and pcapng, link layers, TCP, and everything behind them.
#![no_main]

use std::io::Cursor;

use buildtap_decoder::{Decoder, Options};
use buildtap_fixtures::capture::Capture;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let mut capture = Capture::new(Cursor::new(data.to_vec()), Default::default());
    let mut decoder = Decoder::new(Options::default());
    for finish in [true, false] {
        while let Ok(Some(event)) = capture.next() {
            decoder.event(event.time, event.tap, event.event);
        }
        if finish {
            let _ = capture.finish();
        }
    }
    decoder.finish();
    let _ = capture.notes().to_string();
});
