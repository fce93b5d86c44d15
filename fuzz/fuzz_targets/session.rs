//! A whole connection, both sides, from its first byte.
#![no_main]

use buildtap_fuzz::Conversation;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let mut conversation = Conversation::new();
    conversation.play(data);
    conversation.end();
});
