//! HTTP/1.1 and what the Engine API makes of it: the first request is a door to something.
#![no_main]

use buildtap_decoder::event::Side;
use buildtap_fuzz::Conversation;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((door, data)) = data.split_first() else { return };
    let mut conversation = Conversation::new();
    let request = match door % 4 {
        0 => "POST /build?version=2&session=a&outputs=[] HTTP/1.1\r\nHost:\r\n\r\n",
        1 => "POST /exec/a/start HTTP/1.1\r\nUpgrade: tcp\r\nContent-Length: 2\r\n\r\n{}",
        2 => "POST /session HTTP/1.1\r\nUpgrade: h2c\r\nX-Docker-Expose-Session-Uuid: a\r\n\r\n",
        _ => "GET /",
    };
    conversation.say(Side::Client, request.as_bytes());
    conversation.play(data);
    conversation.end();
});
