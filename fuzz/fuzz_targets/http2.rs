//! HTTP/2 frames of both sides, after a good beginning.
#![no_main]

use buildtap_decoder::event::Side;
use buildtap_fuzz::{Conversation, frame};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let mut conversation = Conversation::new();
    conversation.say(Side::Client, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    let mut rest = data;
    // A frame's kind, flags, stream and side take three bytes here, so that most inputs are
    // frames; what is in them is the fuzzer's.
    while let Some((&[kind, flags, which], after)) = rest.split_first_chunk::<3>() {
        let (payload, after) = after.split_at(usize::from(which >> 2).min(after.len()));
        let from = if which & 1 == 0 { Side::Client } else { Side::Daemon };
        let stream_id = u32::from(which & 2 != 0) * (1 + 2 * u32::from(flags >> 6));
        conversation.say(from, &frame(kind % 11, flags, stream_id, payload));
        rest = after;
    }
    conversation.end();
});
