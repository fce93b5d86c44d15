//! Compressed units: inflated, masked, and compressed to the same length.

use std::io::Write as _;

use flate2::Compression;
use flate2::GzBuilder;
use flate2::write::GzEncoder;

use super::{Patch, apply};
use crate::inflate;

/// An empty block that is stored and not the last (RFC 1951 §3.2.4). The first bit of a stream
/// stands at the beginning of a byte, and so does what follows this.
const EMPTY_BLOCK: [u8; 5] = [0, 0, 0, 0xff, 0xff];

/// The fixed part of a header, and what stands at the end (RFC 1952 §2.3).
const HEADER: usize = 10;

pub(super) fn redacted(
    compressed: &[u8],
    limit: usize,
    patches: impl FnOnce(&[u8], &mut Vec<Patch>),
) -> Option<Vec<u8>> {
    let zeros = || vec![0; compressed.len()];
    let Some(mut plain) = inflate::gzip(compressed, limit) else {
        // Zeros stay what they are.
        return compressed.iter().any(|&byte| byte != 0).then(zeros);
    };
    let mut found = Vec::new();
    patches(&plain, &mut found);
    if found.is_empty() {
        return None;
    }
    apply(&mut plain, &found);
    Some(compress(&plain, compressed.len()).unwrap_or_else(zeros))
}

/// A gzip stream of exactly `length` bytes; None if the content does not fit.
fn compress(plain: &[u8], length: usize) -> Option<Vec<u8>> {
    let shortest = deflated(plain, GzBuilder::new())?;
    let missing = length.checked_sub(shortest.len())?;
    // Blocks fill up by five; a file name, which ends with a zero, the rest.
    let blocks = missing.checked_div(EMPTY_BLOCK.len())?;
    let rest = missing.checked_rem(EMPTY_BLOCK.len())?;
    let (builder, header) = match rest.checked_sub(1) {
        None => (GzBuilder::new(), HEADER),
        Some(name) => {
            let header = HEADER.saturating_add(rest);
            (GzBuilder::new().filename(vec![b'*'; name]), header)
        }
    };
    let stream = deflated(plain, builder)?;
    let (header, rest) = stream.split_at_checked(header)?;
    let mut out = header.to_vec();
    for _ in 0..blocks {
        out.extend_from_slice(&EMPTY_BLOCK);
    }
    out.extend_from_slice(rest);
    (out.len() == length).then_some(out)
}

fn deflated(plain: &[u8], builder: GzBuilder) -> Option<Vec<u8>> {
    let mut encoder: GzEncoder<Vec<u8>> = builder.write(Vec::new(), Compression::best());
    encoder.write_all(plain).ok()?;
    encoder.finish().ok()
}
