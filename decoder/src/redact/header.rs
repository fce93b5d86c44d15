//! Values of header fields.

use super::layer::Escapes;
use super::{FILL, Redactor};
use crate::protocol::mask::is_secret_header;
use crate::wire::hpack::huffman;

impl Redactor<'_> {
    /// The value of a header field in plain.
    pub(super) fn header(&self, name: &[u8], value: &mut [u8]) {
        let name = String::from_utf8_lossy(name).to_ascii_lowercase();
        if is_secret_header(&name) {
            value.fill(FILL);
            return;
        }
        match name.as_str() {
            ":path" => self.target(value),
            "grpc-message" => self.wrapped(Escapes::Percent, value),
            "grpc-status-details-bin" => {
                self.in_base64(value, |this, status| this.status(status));
            }
            // Binary metadata is in base64 (gRPC `doc/PROTOCOL-HTTP2.md`).
            name if name.ends_with("-bin") => {
                self.in_base64(value, |this, bytes| this.bytes(bytes));
            }
            _ => self.text(value),
        }
    }

    pub(super) fn header_value(
        &self,
        name: &[u8],
        value: &[u8],
        raw: &[u8],
        coded: bool,
    ) -> Option<Vec<u8>> {
        let mut masked = value.to_vec();
        self.header(name, &mut masked);
        if masked == value {
            return None;
        }
        let replacement = match coded {
            false if masked.len() == raw.len() => masked,
            false => vec![FILL; raw.len()],
            true => self
                .partly(name, &masked, raw)
                .unwrap_or_else(|| wholly(raw)),
        };
        // What was masked before stays: only its lengths decided what it became. One that was
        // masked as a whole may look like a secret again.
        (replacement != raw && !(coded && wholly(raw) == raw)).then_some(replacement)
    }

    /// Huffman code of `masked` that is as long as `raw`, with other symbols in the place of
    /// what is masked; None if there is none that is read in the same way.
    fn partly(&self, name: &[u8], masked: &[u8], raw: &[u8]) -> Option<Vec<u8>> {
        let text = fitting(masked, raw.len())?;
        let mut encoded = Vec::with_capacity(raw.len());
        huffman::encode(&text, &mut encoded);
        let mut again = text;
        self.header(name, &mut again);
        (again == masked && encoded.len() == raw.len()).then_some(encoded)
    }
}

/// An encoded string of which nothing is left but how long it is, encoded and decoded.
fn wholly(raw: &[u8]) -> Vec<u8> {
    let mut octets = raw.to_vec();
    if huffman::mask(&mut octets).is_err() {
        octets.fill(FILL);
    }
    octets
}

/// `masked` with other symbols for each [`FILL`], such that it is `octets` long once encoded.
fn fitting(masked: &[u8], octets: usize) -> Option<Vec<u8>> {
    // One for every length of code. Those that are common look like credentials, and are no
    // punctuation that would part a secret in two.
    const FILLERS: &[u8] = b"0ABX!+#$^<\\\x80\x99\x81\x01\x09\xc7\xc0\xcb\x02\x0a";
    // Eight codes of one length fill as many octets.
    let bits = |byte: u8| huffman::encoded_len(&[byte; 8]);
    let filled = |byte: &&u8| **byte == FILL;
    let mut places = masked.iter().filter(filled).count();
    let kept = masked.iter().filter(|byte| !filled(byte));
    let kept = kept.map(|&byte| bits(byte)).fold(0, usize::saturating_add);
    let mut left = octets.saturating_mul(8).checked_sub(kept)?;
    let mut out = masked.to_vec();
    for byte in out.iter_mut().filter(|byte| **byte == FILL) {
        // The longest that leaves as much for each of the others.
        let share = left.checked_div(places)?;
        let fitting = FILLERS.iter().take_while(|&&filler| bits(filler) <= share);
        *byte = *fitting.last()?;
        left = left.checked_sub(bits(*byte))?;
        places = places.saturating_sub(1);
    }
    // Padding is less than an octet.
    (left < 8).then_some(out)
}
