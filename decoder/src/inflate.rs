//! Compressed messages and bodies.

use std::io::Read;

/// The content of a gzip stream; `None` when it is broken or longer than `limit` bytes.
pub(crate) fn gzip(compressed: &[u8], limit: usize) -> Option<Vec<u8>> {
    let mut inflated = Vec::new();
    let more_than_limit = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    flate2::read::GzDecoder::new(compressed)
        .take(more_than_limit)
        .read_to_end(&mut inflated)
        .ok()?;
    (inflated.len() <= limit).then_some(inflated)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_bomb_is_not_inflated() {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(&vec![0; 1 << 20]).unwrap();
        let bomb = encoder.finish().unwrap();
        assert_eq!(gzip(&bomb, 1 << 20).unwrap().len(), 1 << 20);
        assert_eq!(gzip(&bomb, (1 << 20) - 1), None);
        assert_eq!(gzip(b"no gzip", 100), None);
    }
}
