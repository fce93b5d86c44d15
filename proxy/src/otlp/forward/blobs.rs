//! Blobs that hold the traces of builds, put together from the pieces in which they are read.
//!
//! A client reads such a blob as its JSON decoder asks for more: in calls of 512 bytes, then 1 KiB,
//! then of about 2 KiB each (seen with buildx 0.29). It may give up a call once it has what it
//! wanted, or read it all in one.

use std::collections::BTreeMap;

/// Blobs that are known and have not been read to their end: the first one goes.
const KNOWN: usize = 1_024;
/// Bytes of one that are kept, and of all together.
const BLOB: usize = 16 << 20;
const BYTES: usize = 32 << 20;
/// Calls that read at a time.
const CALLS: usize = 64;

/// The blobs that are known, by digest.
#[derive(Debug, Default)]
pub(super) struct Blobs {
    known: BTreeMap<String, Blob>,
    /// Which blob a call reads, and from where on, by the number of the call.
    calls: BTreeMap<u64, (String, usize)>,
    /// Bytes that are kept.
    bytes: usize,
}

#[derive(Debug, Default)]
struct Blob {
    size: usize,
    /// Its beginning, as far as it was read.
    head: Vec<u8>,
}

impl Blobs {
    /// There is such a blob.
    pub(super) fn named(&mut self, digest: String, size: i64) {
        let size = usize::try_from(size).unwrap_or(0);
        if size == 0 || size > BLOB || self.known.contains_key(&digest) {
            return;
        }
        let head = Vec::new();
        self.known.insert(digest, Blob { size, head });
        if self.known.len() > KNOWN
            && let Some((_, lost)) = self.known.pop_first()
        {
            self.bytes = self.bytes.saturating_sub(lost.head.len());
        }
    }

    /// A call asks for a blob, from there on.
    pub(super) fn asked(&mut self, call: u64, digest: String, offset: i64) {
        if let Ok(offset) = usize::try_from(offset)
            && self.known.contains_key(&digest)
            && self.calls.len() < CALLS
        {
            self.calls.insert(call, (digest, offset));
        }
    }

    /// A call was answered with this much more; gives the blob when it is complete by that.
    pub(super) fn read(&mut self, call: u64, data: &[u8]) -> Option<Vec<u8>> {
        let (digest, offset) = self.calls.get_mut(&call)?;
        let blob = self.known.get_mut(digest)?;
        let before = blob.head.len();
        // What is known already is passed over; what comes after a gap is of no use.
        let known = before.checked_sub(*offset);
        *offset = offset.saturating_add(data.len());
        let new = data.get(known?..).unwrap_or_default();
        let room = blob.size.saturating_sub(before);
        let new = new.get(..room).unwrap_or(new);
        if self.bytes.saturating_add(new.len()) > BYTES {
            self.forget_all();
            return None;
        }
        blob.head.extend_from_slice(new);
        self.bytes = self.bytes.saturating_add(new.len());
        if blob.head.len() < blob.size {
            return None;
        }
        let digest = digest.clone();
        let blob = self.known.remove(&digest)?;
        self.bytes = self.bytes.saturating_sub(blob.head.len());
        Some(blob.head)
    }

    /// A call reads nothing more.
    pub(super) fn call_ended(&mut self, call: u64) {
        self.calls.remove(&call);
    }

    /// Too many are read by halves.
    fn forget_all(&mut self) {
        self.known.clear();
        self.bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a blob of 10 bytes by calls with these offsets and lengths, one after the other.
    fn read(pieces: &[(i64, usize)]) -> Option<Vec<u8>> {
        let all: Vec<u8> = (0..10).collect();
        let mut blobs = Blobs::default();
        blobs.named("sha256:1".into(), 10);
        let mut read = None;
        for (number, (offset, length)) in pieces.iter().enumerate() {
            let call = number as u64;
            blobs.asked(call, "sha256:1".into(), *offset);
            let from = *offset as usize;
            for byte in &all[from..from + length] {
                read = read.or(blobs.read(call, &[*byte]));
            }
            blobs.call_ended(call);
        }
        read
    }

    #[test]
    fn a_blob_is_read_in_pieces() {
        let all: Vec<u8> = (0..10).collect();
        assert_eq!(read(&[(0, 10)]), Some(all.clone()));
        assert_eq!(read(&[(0, 3), (3, 4), (7, 3)]), Some(all.clone()));
        // Read twice, and beyond what is known already.
        assert_eq!(read(&[(0, 3), (0, 3), (1, 9)]), Some(all.clone()));
        // What comes after a gap does not count, until the gap is read.
        assert_eq!(read(&[(0, 3), (5, 5)]), None);
        assert_eq!(read(&[(0, 3), (5, 5), (3, 7)]), Some(all));
        assert_eq!(read(&[(0, 9)]), None);
    }
}
