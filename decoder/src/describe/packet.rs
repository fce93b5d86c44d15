//! One packet of DiffCopy in one line.

use serde_json::Value as Json;

use super::line::size;
use super::printable::printable;
use crate::protocol::diffcopy::{EntryKind, Packet, PacketType, Stat};
use crate::protocol::mask::mask_text;

/// What a packet says: `REQ 3`, `DATA 3 32 KiB`, `end of listing`.
///
/// A STAT packet has no number on the wire; `STAT 3 …` is told if `packet.id` was filled in.
pub(super) fn packet(packet: &Packet) -> String {
    let id = packet.id;
    match packet.kind {
        PacketType::Stat => match &packet.stat {
            None => "end of listing".to_owned(),
            Some(stat) if id == 0 => format!("STAT {}", entry(stat)),
            Some(stat) => format!("STAT {id} {}", entry(stat)),
        },
        PacketType::Req => format!("REQ {id}"),
        PacketType::Data if packet.data == 0 => format!("end of file {id}"),
        PacketType::Data => format!("DATA {id} {}", size(packet.data)),
        PacketType::Fin => "FIN".to_owned(),
        PacketType::Err => match packet.text.as_deref() {
            None | Some("") => "ERR without a text".to_owned(),
            Some(text) => format!("ERR {}", printable(&mask_text(text))),
        },
        PacketType::Other(kind) => format!("packet of unknown type {kind}, {}", size(packet.data)),
    }
}

/// An entry: `src/main.c 0644 1.2 KiB`, `src/ 0755`, `a -> b`.
fn entry(stat: &Stat) -> String {
    let path = printable(&stat.path);
    let target = printable(&stat.linkname);
    // Go keeps setuid, setgid and sticky elsewhere (io/fs `FileMode`).
    let bit = |go: u32, posix: u32| if stat.mode & go != 0 { posix } else { 0 };
    let mode =
        stat.mode & 0o777 | bit(1 << 23, 0o4000) | bit(1 << 22, 0o2000) | bit(1 << 20, 0o1000);
    match EntryKind::of(stat) {
        EntryKind::File => {
            let size = size(u64::try_from(stat.size).unwrap_or_default());
            format!("{path} {mode:04o} {size}")
        }
        EntryKind::HardLink => format!("{path} {mode:04o} hard link to {target}"),
        EntryKind::Directory => format!("{path}/ {mode:04o}"),
        EntryKind::SymLink => format!("{path} -> {target}"),
        EntryKind::Special => format!("{path} {mode:04o} device or pipe"),
    }
}

/// A packet from what [`values`](super::values) made of one; what is missing is as in a packet
/// without it.
pub(super) fn from_json(json: &Json) -> Packet {
    let number = |json: &Json, name| json.get(name).and_then(Json::as_u64).unwrap_or_default();
    let narrow = |json: &Json, name| u32::try_from(number(json, name)).unwrap_or_default();
    let string = |json: &Json, name| {
        let string = json.get(name).and_then(Json::as_str);
        string.unwrap_or_default().to_owned()
    };
    let stat = json.get("stat").filter(|stat| stat.is_object());
    let data = json.get("data");
    Packet {
        kind: match json.get("type").and_then(Json::as_str) {
            Some("PACKET_STAT") => PacketType::Stat,
            Some("PACKET_REQ") => PacketType::Req,
            Some("PACKET_DATA") => PacketType::Data,
            Some("PACKET_FIN") => PacketType::Fin,
            Some("PACKET_ERR") => PacketType::Err,
            _ => PacketType::Other(number(json, "type")),
        },
        stat: stat.map(|stat| Stat {
            path: string(stat, "path"),
            mode: narrow(stat, "mode"),
            size: i64::try_from(number(stat, "size")).unwrap_or_default(),
            linkname: string(stat, "linkname"),
            ..Stat::default()
        }),
        id: narrow(json, "ID"),
        data: data.map_or(0, |data| match data {
            Json::String(text) => text.len() as u64,
            other => number(other, "bytes"),
        }),
        text: data.and_then(Json::as_str).map(str::to_owned),
    }
}
