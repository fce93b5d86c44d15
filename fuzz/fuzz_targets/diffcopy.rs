//! Packets of a DiffCopy stream, framed as gRPC messages: what is in them is the fuzzer's.
#![no_main]

use buildtap_decoder::event::Side;
use buildtap_fuzz::{Conversation, call, frame};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((service, mut rest)) = data.split_first() else { return };
    let mut conversation = Conversation::new();
    let path = match service % 2 {
        0 => "/moby.filesync.v1.FileSync/DiffCopy",
        _ => "/moby.filesync.v1.FileSend/DiffCopy",
    };
    call(&mut conversation, Side::Daemon, path);
    while let Some((&[which], after)) = rest.split_first_chunk::<1>() {
        let (body, after) = after.split_at(usize::from(which >> 1).min(after.len()));
        let from = if which & 1 == 0 { Side::Client } else { Side::Daemon };
        let mut message = vec![0, 0, 0, 0, body.len() as u8];
        message.extend(body);
        conversation.say(from, &frame(0, 0, 1, &message));
        rest = after;
    }
    conversation.end();
});
