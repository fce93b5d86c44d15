//! Packets of DiffCopy, by their schema and as the decoder read them.

use buildtap_proto::fsutil::types as fsutil;

use super::*;
use crate::protocol::diffcopy::{PacketType, Stat};

#[test]
fn packets_by_their_schema() {
    use fsutil::packet::PacketType as Wire;
    let packet = |kind: Wire, data: &[u8]| fsutil::Packet {
        r#type: kind.into(),
        id: 3,
        data: data.to_vec().into(),
        ..Default::default()
    };
    let stat = fsutil::Packet {
        stat: Some(fsutil::Stat {
            path: "src/main.c".to_owned(),
            mode: 0o644,
            size: 1234,
            ..Default::default()
        }),
        ..Default::default()
    };
    assert_eq!(line(DIFF_COPY, true, &stat), "STAT src/main.c 0644 1.2 KiB");
    let data = packet(Wire::PacketData, b"NPM=hunter2");
    assert_eq!(line(DIFF_COPY, true, &data), "DATA 3 11 bytes");
    assert_eq!(
        json(DIFF_COPY, true, &data),
        json!({ "type": "PACKET_DATA", "ID": 3, "data": { "bytes": 11 } })
    );
    let err = packet(Wire::PacketErr, b"cannot open \x1b[2J");
    assert_eq!(line(DIFF_COPY, false, &err), "ERR cannot open \\u{1b}[2J");
    assert_eq!(
        line(DIFF_COPY, true, &fsutil::Packet::default()),
        "end of listing"
    );
    // An exported tree, and an exported archive, on one path.
    let send = "/moby.filesync.v1.FileSend/DiffCopy";
    assert_eq!(line(send, true, &stat), "STAT src/main.c 0644 1.2 KiB");
    let bytes = filesync::BytesMessage {
        data: vec![b'x'; 2048].into(),
    };
    assert_eq!(line(send, true, &bytes), "2 KiB");
}

#[test]
fn packets_as_they_were_read() {
    let of = |kind| Packet {
        kind,
        id: 3,
        ..Packet::default()
    };
    let stat = |mode, linkname: &str| Packet {
        stat: Some(Stat {
            path: "a\u{202e}b".to_owned(),
            mode,
            linkname: linkname.to_owned(),
            size: 32 << 10,
            ..Stat::default()
        }),
        ..of(PacketType::Stat)
    };
    for (packet, text) in [
        (stat(0o644, ""), "STAT 3 a\\u{202e}b 0644 32 KiB"),
        (
            stat(1 << 31 | 1 << 20 | 0o777, ""),
            "STAT 3 a\\u{202e}b/ 1777",
        ),
        (stat(1 << 27 | 0o777, "t"), "STAT 3 a\\u{202e}b -> t"),
        (stat(0o600, "t"), "STAT 3 a\\u{202e}b 0600 hard link to t"),
        (stat(1 << 25, ""), "STAT 3 a\\u{202e}b 0000 device or pipe"),
        (of(PacketType::Stat), "end of listing"),
        (of(PacketType::Req), "REQ 3"),
        (of(PacketType::Data), "end of file 3"),
        (of(PacketType::Fin), "FIN"),
        (of(PacketType::Err), "ERR without a text"),
        (
            of(PacketType::Other(9)),
            "packet of unknown type 9, 0 bytes",
        ),
    ] {
        assert_eq!(Describer::packet(&packet), text);
    }
    let data = Packet {
        data: 32 << 10,
        ..of(PacketType::Data)
    };
    assert_eq!(Describer::packet(&data), "DATA 3 32 KiB");
    let err = Packet {
        text: Some("https://u:hunter2@h/ gone\n".to_owned()),
        ..of(PacketType::Err)
    };
    assert_eq!(Describer::packet(&err), "ERR https://***@h/ gone\\n");
}
