//! One fsutil `Packet`, read from a message that comes in arbitrary chunks.
//!
//! `Packet`: 1 `type`, 2 `stat`, 3 `ID`, 4 `data`; zero values are not on the wire, so that the
//! final STAT is a message of no bytes at all. File contents are counted, never kept.

use crate::wire::protobuf::{self, Malformed, Piece, Value, Walker};

/// Bytes of an ERR packet's text that are kept.
const TEXT_LIMIT: usize = 4 << 10;
/// Bytes of a `Stat` that are kept: a path of `PATH_MAX` and a good many xattrs.
const STAT_LIMIT: usize = 64 << 10;

/// What a packet is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PacketType {
    /// Announces an entry; without a stat, the end of the listing.
    #[default]
    Stat,
    /// Asks for the contents of an entry.
    Req,
    /// A piece of the contents; empty, their end.
    Data,
    /// From the receiver: nothing more is needed. From the sender: the answer to that.
    Fin,
    /// What went wrong, as text.
    Err,
    /// A value that fsutil does not know.
    Other(u64),
}

impl From<u64> for PacketType {
    fn from(value: u64) -> Self {
        match value {
            0 => PacketType::Stat,
            1 => PacketType::Req,
            2 => PacketType::Data,
            3 => PacketType::Fin,
            4 => PacketType::Err,
            other => PacketType::Other(other),
        }
    }
}

/// `fsutil.types.Stat`, as far as it matters here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stat {
    /// Relative, slash-separated.
    pub path: String,
    /// Go's `os.FileMode`, which is not POSIX `st_mode`.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Bytes of contents.
    pub size: i64,
    /// Nanoseconds since the Unix epoch.
    pub mod_time: i64,
    /// The target of a symbolic link, or the first name of a hard link.
    pub linkname: String,
    /// How many extended attributes there are.
    pub xattrs: u32,
}

/// A packet without its file contents.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Packet {
    /// What it is for.
    pub kind: PacketType,
    /// The entry that a STAT announces.
    pub stat: Option<Stat>,
    /// The entry's number on this stream.
    pub id: u32,
    /// Bytes of `data`.
    pub data: u64,
    /// The text of an ERR packet.
    pub text: Option<String>,
}

impl Packet {
    /// Whether it is the STAT that ends the listing.
    pub fn is_final_stat(&self) -> bool {
        self.kind == PacketType::Stat && self.stat.is_none()
    }
}

/// Reads one packet after the other; feed chunks, then [`finish`](Self::finish) at the end of
/// each message.
#[derive(Debug, Default)]
pub(crate) struct PacketReader {
    walker: Walker,
    packet: Packet,
    /// The stat or text that is being collected; its buffer is used again.
    collected: Vec<u8>,
    malformed: Option<Malformed>,
}

impl PacketReader {
    /// Takes a chunk of the message. `data` hears every piece of the packet's `data`, with what
    /// the packet is for and the entry's number.
    pub(crate) fn feed(&mut self, chunk: &[u8], mut data: impl FnMut(PacketType, u32, &[u8])) {
        if self.malformed.is_some() {
            return;
        }
        let PacketReader {
            walker,
            packet,
            collected,
            ..
        } = self;
        let fed = walker.feed(chunk, &mut |piece| match piece {
            Piece::Varint { number: 1, value } => packet.kind = value.into(),
            Piece::Varint { number: 3, value } => packet.id = value as u32,
            Piece::LenStart { number: 2, .. } => collected.clear(),
            Piece::LenBytes {
                number: 2,
                bytes,
                last,
            } => {
                collect(collected, bytes, STAT_LIMIT);
                if last {
                    packet.stat = Some(read_stat(collected));
                }
            }
            Piece::LenStart { number: 4, len } => {
                packet.data = packet.data.saturating_add(len);
                collected.clear();
            }
            Piece::LenBytes {
                number: 4,
                bytes,
                last,
            } => {
                data(packet.kind, packet.id, bytes);
                if packet.kind != PacketType::Err {
                    return;
                }
                collect(collected, bytes, TEXT_LIMIT);
                if last {
                    packet.text = Some(String::from_utf8_lossy(collected).into_owned());
                }
            }
            _ => {}
        });
        self.malformed = fed.err();
    }

    /// Ends the message: gives the packet, and makes ready for the next one.
    pub(crate) fn finish(&mut self) -> Result<Packet, Malformed> {
        let ended = std::mem::take(&mut self.walker).finish();
        let packet = std::mem::take(&mut self.packet);
        match self.malformed.take() {
            Some(malformed) => Err(malformed),
            None => ended.map(|()| packet),
        }
    }
}

fn collect(into: &mut Vec<u8>, bytes: &[u8], limit: usize) {
    let room = limit.saturating_sub(into.len());
    into.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
}

/// Reads a `Stat`; what is malformed in it stays at its default.
fn read_stat(bytes: &[u8]) -> Stat {
    let mut stat = Stat::default();
    for field in protobuf::fields(bytes) {
        let Ok(field) = field else { break };
        match (field.number, field.value) {
            (1, Value::Len(path)) => stat.path = String::from_utf8_lossy(path).into_owned(),
            (2, Value::Varint(mode)) => stat.mode = mode as u32,
            (3, Value::Varint(uid)) => stat.uid = uid as u32,
            (4, Value::Varint(gid)) => stat.gid = gid as u32,
            (5, Value::Varint(size)) => stat.size = size as i64,
            (6, Value::Varint(time)) => stat.mod_time = time as i64,
            (7, Value::Len(name)) => stat.linkname = String::from_utf8_lossy(name).into_owned(),
            (10, Value::Len(_)) => stat.xattrs = stat.xattrs.saturating_add(1),
            _ => {}
        }
    }
    stat
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(message: &[u8]) -> Packet {
        let mut reader = PacketReader::default();
        reader.feed(message, |_, _, _| {});
        reader.finish().unwrap()
    }

    /// The exact shapes that Go sends (fsutil `types/wire.proto`, zero values left out).
    #[test]
    fn shapes() {
        let kind = |kind, id| Packet {
            kind,
            id,
            ..Packet::default()
        };
        assert!(read(b"").is_final_stat());
        assert_eq!(read(b"\x08\x01"), kind(PacketType::Req, 0));
        assert_eq!(read(b"\x08\x01\x18\x07"), kind(PacketType::Req, 7));
        assert_eq!(
            read(b"\x08\x02\x22\x03abc"),
            Packet {
                data: 3,
                ..kind(PacketType::Data, 0)
            }
        );
        assert_eq!(
            read(b"\x08\x02\x18\x05\x22\x03abc"),
            Packet {
                data: 3,
                ..kind(PacketType::Data, 5)
            }
        );
        assert_eq!(read(b"\x08\x02\x18\x05"), kind(PacketType::Data, 5));
        assert_eq!(read(b"\x08\x03"), kind(PacketType::Fin, 0));
        let err = read(b"\x08\x04\x22\x02no");
        assert_eq!(
            (err.kind, err.text.as_deref()),
            (PacketType::Err, Some("no"))
        );
        let stat = read(b"\x12\x08\x0a\x01a\x10\xa4\x03\x28\x05").stat.unwrap();
        assert_eq!((stat.path.as_str(), stat.mode, stat.size), ("a", 0o644, 5));
    }

    #[test]
    fn a_malformed_packet_does_not_spoil_the_next_one() {
        let mut reader = PacketReader::default();
        reader.feed(b"\x08\x02\x22\x7fabc", |_, _, _| {});
        assert!(reader.finish().is_err());
        reader.feed(b"\x08\x03", |_, _, _| {});
        assert_eq!(reader.finish().unwrap().kind, PacketType::Fin);
    }
}
