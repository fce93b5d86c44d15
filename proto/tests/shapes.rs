//! The bytes of packets, by the generated types and by reflection.

use std::collections::HashMap;

use buildtap_proto::fsutil::types::packet::PacketType;
use buildtap_proto::fsutil::types::{Packet, Stat};
use buildtap_proto::{errdefs, moby, pb, pool};
use prost::Message;
use prost::bytes::Bytes;
use prost_reflect::{DynamicMessage, Value};

fn packet(r#type: PacketType, id: u32, data: &'static [u8]) -> Packet {
    Packet {
        r#type: r#type.into(),
        stat: None,
        id,
        data: Bytes::from_static(data),
    }
}

/// What fsutil sends, byte for byte: zeros are not encoded.
#[test]
fn packets_have_the_bytes_that_fsutil_sends() {
    use PacketType::{PacketData, PacketErr, PacketFin, PacketReq, PacketStat};
    let stat = Stat {
        path: "a".to_owned(),
        mode: 0o644,
        ..Stat::default()
    };
    let shapes: [(&str, Packet, &[u8]); 11] = [
        (
            "entry",
            Packet {
                stat: Some(stat),
                ..packet(PacketStat, 0, b"")
            },
            &[0x12, 6, 0x0a, 1, b'a', 0x10, 0xa4, 0x03],
        ),
        ("end of listing", packet(PacketStat, 0, b""), &[]),
        ("request for 0", packet(PacketReq, 0, b""), &[0x08, 1]),
        (
            "request for 300",
            packet(PacketReq, 300, b""),
            &[0x08, 1, 0x18, 0xac, 0x02],
        ),
        (
            "data of 0",
            packet(PacketData, 0, b"xy"),
            &[0x08, 2, 0x22, 2, b'x', b'y'],
        ),
        (
            "data of 7",
            packet(PacketData, 7, b"xy"),
            &[0x08, 2, 0x18, 7, 0x22, 2, b'x', b'y'],
        ),
        ("end of file 0", packet(PacketData, 0, b""), &[0x08, 2]),
        (
            "end of file 7",
            packet(PacketData, 7, b""),
            &[0x08, 2, 0x18, 7],
        ),
        ("fin", packet(PacketFin, 0, b""), &[0x08, 3]),
        (
            "error",
            packet(PacketErr, 0, b"no"),
            &[0x08, 4, 0x22, 2, b'n', b'o'],
        ),
        (
            "empty stat",
            Packet {
                stat: Some(Stat::default()),
                ..packet(PacketStat, 0, b"")
            },
            &[0x12, 0],
        ),
    ];
    for (what, packet, bytes) in shapes {
        assert_eq!(packet.encode_to_vec(), bytes, "{what}");
        assert_eq!(Packet::decode(bytes).unwrap(), packet, "{what}");
    }
}

#[test]
fn data_of_a_packet_points_into_the_buffer() {
    let wire = Bytes::from_static(&[0x08, 2, 0x22, 2, b'x', b'y']);
    let packet = Packet::decode(wire.clone()).unwrap();
    assert_eq!(packet.data.as_ptr(), wire[4..].as_ptr());
}

#[test]
fn maps_keep_keys_and_values() {
    let xattrs = HashMap::from([("user.k".to_owned(), Bytes::from_static(b"v"))]);
    let stat = Stat {
        xattrs,
        ..Stat::default()
    };
    let wire = stat.encode_to_vec();
    assert_eq!(
        wire,
        [
            0x52, 11, 0x0a, 6, b'u', b's', b'e', b'r', b'.', b'k', 0x12, 1, b'v'
        ]
    );
    assert_eq!(Stat::decode(&wire[..]).unwrap(), stat);
}

#[test]
fn oneofs_are_told_apart() {
    let copy = pb::FileActionCopy {
        src: "/a".to_owned(),
        ..Default::default()
    };
    let action = pb::FileAction {
        action: Some(pb::file_action::Action::Copy(copy)),
        ..Default::default()
    };
    let op = pb::Op {
        op: Some(pb::op::Op::File(pb::FileOp {
            actions: vec![action],
        })),
        ..Default::default()
    };
    let solve = errdefs::Solve {
        op: Some(op),
        subject: Some(errdefs::solve::Subject::Cache(errdefs::ContentCache {
            index: 3,
        })),
        ..Default::default()
    };
    let desc = pool().get_message_by_name("errdefs.Solve").unwrap();
    let dynamic = DynamicMessage::decode(desc, &solve.encode_to_vec()[..]).unwrap();
    assert!(dynamic.has_field_by_name("cache") && !dynamic.has_field_by_name("file"));
    assert_eq!(dynamic.transcode_to::<errdefs::Solve>().unwrap(), solve);
}

#[test]
fn an_exit_with_an_error_carries_a_status() {
    use moby::buildkit::v1::frontend::{ExecMessage, ExitMessage, exec_message::Input};
    let error = buildtap_proto::google::rpc::Status {
        code: 2,
        message: "exit code: 1".to_owned(),
        details: vec![prost_types::Any::default()],
    };
    let message = ExecMessage {
        process_id: "p".to_owned(),
        input: Some(Input::Exit(ExitMessage {
            code: 1,
            error: Some(error),
        })),
    };
    assert_eq!(
        ExecMessage::decode(&message.encode_to_vec()[..]).unwrap(),
        message
    );
}

/// A newer peer may send fields that we have no schema for.
#[test]
fn unknown_fields_are_kept_by_reflection() {
    let desc = pool().get_message_by_name("fsutil.types.Packet").unwrap();
    let wire: &[u8] = &[0x08, 3, 0x9a, 0x06, 2, b'h', b'i', 0xa0, 0x06, 5];
    let packet = DynamicMessage::decode(desc, wire).unwrap();
    assert_eq!(
        *packet.get_field_by_name("type").unwrap(),
        Value::EnumNumber(3)
    );
    let unknown: Vec<u32> = packet.unknown_fields().map(|f| f.number()).collect();
    assert_eq!(unknown, [99, 100]);
    assert_eq!(packet.encode_to_vec(), wire);
}

#[test]
fn the_embedded_set_has_no_comments_and_all_imports() {
    let set = prost_types::FileDescriptorSet::decode(buildtap_proto::DESCRIPTOR_SET).unwrap();
    for file in &set.file {
        assert_eq!(file.source_code_info, None, "{}", file.name());
        for import in &file.dependency {
            assert!(set.file.iter().any(|f| f.name() == import), "{import}");
        }
    }
}
