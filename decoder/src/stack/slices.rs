//! Messages that are slices of something else: an archive, a socket, a connection.

use crate::wire::protobuf::{self, Walker};

/// Reads `BytesMessage`s: field 1, bytes.
#[derive(Debug, Default)]
pub(super) struct Slices {
    walker: Walker,
    payload: u64,
}

impl Slices {
    /// Takes bytes of a message and passes on those of its payload.
    pub(super) fn feed(&mut self, body: &[u8], mut each: impl FnMut(&[u8])) {
        let payload = &mut self.payload;
        // What is malformed in a message ends it; the next one begins anew.
        let _ = self.walker.feed(body, &mut |piece| {
            if let protobuf::Piece::LenBytes {
                number: 1, bytes, ..
            } = piece
                && !bytes.is_empty()
            {
                *payload = payload.saturating_add(bytes.len() as u64);
                each(bytes);
            }
        });
    }

    /// Ends the message; gives how many bytes it carried.
    pub(super) fn finish(&mut self) -> u64 {
        self.walker = Walker::new();
        std::mem::take(&mut self.payload)
    }
}
