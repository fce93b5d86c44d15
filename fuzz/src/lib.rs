//! What the targets share: a way to turn a fuzzer's bytes into the two sides of a conversation.

use buildtap_decoder::event::{Closed, Endpoints, Side, TapEvent, TapId, Time};
use buildtap_decoder::{Decoder, Options};

/// A decoder that keeps everything a view could want, and the connection it is told about.
pub struct Conversation {
    decoder: Decoder,
    at: Time,
}

const TAP: TapId = TapId(1);

impl Conversation {
    /// A connection that was just opened.
    pub fn new() -> Self {
        let options = Options { updates: true, messages: true, ..Options::default() };
        let mut conversation = Conversation { decoder: Decoder::new(options), at: Time(1) };
        conversation.event(TapEvent::Open(Endpoints::default()));
        conversation
    }

    fn event(&mut self, event: TapEvent<'_>) {
        self.at.0 = self.at.0.saturating_add(1_000_000);
        self.decoder.event(self.at, TAP, event);
        while self.decoder.take_update().is_some() {}
    }

    /// One side sends bytes.
    pub fn say(&mut self, from: Side, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.event(TapEvent::Chunk { from, bytes });
        }
    }

    /// One side sends what the fuzzer says: two bytes of length and side, then so many bytes,
    /// again and again.
    pub fn play(&mut self, mut data: &[u8]) {
        while let Some((&[low, high], rest)) = data.split_first_chunk::<2>() {
            let from = if high & 0x80 == 0 { Side::Client } else { Side::Daemon };
            let length = usize::from(u16::from_le_bytes([low, high & 0x3f])).min(rest.len());
            let (bytes, rest) = rest.split_at(length);
            match (high & 0x40 != 0, length) {
                (true, 0) => self.event(TapEvent::HalfClose { from }),
                (true, 1) => self.event(TapEvent::Gap { from, bytes: Some(7) }),
                _ => self.say(from, bytes),
            }
            data = rest;
        }
    }

    /// The connection ends, and time goes by.
    pub fn end(mut self) {
        self.decoder.tick(Time(self.at.0.saturating_add(60_000_000_000)));
        self.event(TapEvent::Close { how: Closed::Finished });
        self.decoder.finish();
    }
}

impl Default for Conversation {
    fn default() -> Self {
        Self::new()
    }
}

/// A frame of HTTP/2.
pub fn frame(kind: u8, flags: u8, stream_id: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream_id.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A call of the HTTP/2 client `from` on stream 1, with its response headers.
pub fn call(conversation: &mut Conversation, from: Side, path: &str) {
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    conversation.say(from, preface);
    conversation.say(from, &frame(4, 0, 0, &[]));
    conversation.say(from.peer(), &frame(4, 0, 0, &[]));
    let mut block = vec![0x83];
    for (name, value) in [(":path", path), ("content-type", "application/grpc")] {
        block.push(0);
        for text in [name, value] {
            block.push(text.len() as u8);
            block.extend(text.as_bytes());
        }
    }
    conversation.say(from, &frame(1, 4, 1, &block));
    conversation.say(from.peer(), &frame(1, 4, 1, &[0x88]));
}
