//! What a secret looks like in captured bytes.

use buildtap_decoder::wire::hpack::huffman;

/// Bytes that must not be found.
pub(crate) struct Needle {
    pub(crate) form: &'static str,
    pub(crate) bytes: Vec<u8>,
}

/// A secret in every form that it may stand in: plain, in base64 at any offset, and Huffman-coded
/// at any bit. What depends on its neighbours is left out.
pub(crate) fn needles(secret: &str) -> Vec<Needle> {
    let needle = |form, bytes| Needle { form, bytes };
    let mut needles = vec![needle("plain", secret.as_bytes().to_vec())];
    for before in 0..3 {
        let padded = [vec![b'a'; before], secret.as_bytes().to_vec()].concat();
        let whole = padded.len() / 3 * 4;
        let text = base64(&padded);
        let inner = &text[(before * 8).div_ceil(6)..whole];
        needles.push(needle("base64", inner.as_bytes().to_vec()));
    }
    let mut coded = Vec::new();
    huffman::encode(secret.as_bytes(), &mut coded);
    for shift in 0..8_u32 {
        let pairs = coded.windows(2).take(coded.len() - 2);
        let shifted = pairs.map(|pair| {
            let both = u16::from_be_bytes([pair[0], pair[1]]);
            (both >> shift) as u8
        });
        needles.push(needle("Huffman", shifted.collect()));
    }
    needles
}

pub(crate) fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// RFC 4648 section 4, written here so that it is not checked with itself.
pub(crate) fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let mut three = [0; 4];
        three[1..1 + group.len()].copy_from_slice(group);
        let bits = u32::from_be_bytes(three);
        for n in 0..4 {
            text.push(match n <= group.len() {
                true => ALPHABET[(bits >> (18 - 6 * n) & 63) as usize].into(),
                false => '=',
            });
        }
    }
    text
}
