//! Messages of a call: which method is the first byte.
#![no_main]

use buildtap_decoder::event::Side;
use buildtap_fuzz::{Conversation, call, frame};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    const METHODS: [&str; 8] = [
        "/moby.buildkit.v1.Control/Solve",
        "/moby.buildkit.v1.Control/Status",
        "/moby.buildkit.v1.Control/Session",
        "/moby.buildkit.v1.frontend.LLBBridge/Solve",
        "/moby.buildkit.v1.Control/ListWorkers",
        "/moby.sshforward.v1.SSH/ForwardAgent",
        "/moby.upload.v1.Upload/Pull",
        "/a.b/C",
    ];
    let Some((method, mut rest)) = data.split_first() else { return };
    let mut conversation = Conversation::new();
    call(&mut conversation, Side::Client, METHODS[usize::from(*method) % METHODS.len()]);
    while let Some((&[which], after)) = rest.split_first_chunk::<1>() {
        let (payload, after) = after.split_at(usize::from(which >> 1).min(after.len()));
        let from = if which & 1 == 0 { Side::Client } else { Side::Daemon };
        conversation.say(from, &frame(0, 0, 1, payload));
        rest = after;
    }
    conversation.end();
});
