//! What is said without a schema, with one that does not fit, with one of a user, and of the
//! beginning of a message.

use buildtap_proto::fsutil::types as fsutil;

use super::*;

#[test]
fn what_no_schema_knows_is_kept() {
    let mut body = control::StatusRequest {
        r#ref: "k1x9".to_owned(),
    }
    .encode_to_vec();
    body.extend_from_slice(b"\x7a\x05hello\x80\x01\x07");
    assert_eq!(
        describer().json(STATUS, true, &body, false),
        json!({ "Ref": "k1x9", "_unknown": "15: \"hello\"  16: 7" })
    );
    assert_eq!(
        describer().line(STATUS, true, &body, false),
        "Ref=k1x9 unknown fields 15: \"hello\" 16: 7"
    );
    let path = "/acme.v1.Rocket/Launch";
    assert_eq!(
        describer().json(
            path,
            true,
            b"\x0a\x02ab\x0a\x01c\x12\x02\x08\x05\x1d\x01\0\0\0",
            false
        ),
        json!({ "1": ["ab", "c"], "2": { "1": 5 }, "3": 1 })
    );
    assert_eq!(
        describer().line(path, true, b"\x0a\x02ab\x12\x02\x08\x05", false),
        "1: \"ab\" 2: {1: 5}"
    );
    // A map's entry is guessed, and masked by its name.
    let entry = b"\x0a\x14\x0a\x09NPM_TOKEN\x12\x07hunter2";
    assert_eq!(
        describer().json(path, true, entry, false),
        json!({ "1": { "1": "NPM_TOKEN", "2": "*** (7 bytes)" } })
    );
    assert_eq!(
        describer().line(path, true, entry, false),
        "1: {1: \"NPM_TOKEN\" 2: *** (7 bytes)}"
    );
}

#[test]
fn what_does_not_fit_its_schema() {
    // Field 1 is a string, not a number.
    let json = describer().json(STATUS, true, b"\x08\x05", false);
    assert_eq!(json["1"], 5);
    let error = json["_error"].as_str().unwrap();
    assert!(
        error.starts_with("does not parse as moby.buildkit.v1.StatusRequest: "),
        "{error}"
    );
    let path = "/moby.buildkit.secrets.v1.Secrets/GetSecret";
    for body in [&b"\x08\x05"[..], b"\x0a\x09hunter2", b"hunter2"] {
        let masked = format!("({} bytes, masked)", body.len());
        assert_eq!(describer().json(path, false, body, false), masked);
        assert_eq!(describer().line(path, false, body, false), masked);
    }
    // Nor is anything shown of a method that is not known, of such a service.
    let path = "/moby.buildkit.secrets.v1.Secrets/GetAll";
    assert_eq!(
        describer().line(path, false, b"\x0a\x07hunter2", false),
        "(9 bytes, masked)"
    );
}

#[test]
fn the_beginning_of_a_message() {
    let status = control::StatusResponse {
        vertexes: vec![
            control::Vertex {
                digest: "sha256:1".to_owned(),
                name: "[1/2] FROM alpine".to_owned(),
                ..Default::default()
            };
            2
        ],
        ..Default::default()
    };
    let body = status.encode_to_vec();
    let cut = &body[..body.len() - 3];
    assert_eq!(
        describer().json(STATUS, false, cut, true),
        json!({
            "vertexes": [
                { "digest": "sha256:1", "name": "[1/2] FROM alpine" },
                { "digest": "sha256:1" },
            ],
            "_cut": "ends within vertexes.name (17 bytes)",
        })
    );
    assert_eq!(
        describer().line(STATUS, false, cut, true),
        "2 vertexes: [1/2] FROM alpine, sha256:1 (cut)"
    );

    let data = fsutil::Packet {
        r#type: 2,
        id: 3,
        data: vec![b'x'; 32 << 10].into(),
        ..Default::default()
    }
    .encode_to_vec();
    assert_eq!(
        describer().line(DIFF_COPY, true, &data[..100], true),
        "DATA 3 32 KiB (cut)"
    );
    // Of a long message the beginning is read.
    let read = "/moby.buildkit.v1.frontend.LLBBridge/ReadFile";
    let file = frontend::ReadFileResponse {
        data: vec![b'x'; MAX_BODY].into(),
    };
    assert_eq!(
        json(read, false, &file),
        json!({ "Data": { "bytes": MAX_BODY }, "_cut": format!("ends within Data ({MAX_BODY} bytes)") })
    );
}

#[test]
fn long_and_binary_values() {
    let read = "/moby.buildkit.v1.frontend.LLBBridge/ReadFile";
    let data = |data: Vec<u8>| frontend::ReadFileResponse { data: data.into() };
    let shown = |bytes: Vec<u8>| json(read, false, &data(bytes))["Data"].clone();
    assert_eq!(shown(b"FROM alpine\n".to_vec()), "FROM alpine\n");
    assert_eq!(
        shown("ü".repeat(4096).into_bytes()),
        format!("{}… (8192 bytes)", "ü".repeat(2048))
    );
    assert_eq!(shown(vec![0, 1]), json!({ "base64": "AAE=", "bytes": 2 }));
    let long = line(read, false, &data(b"x\n\t\x1b[0m y".repeat(99)));
    assert!(long.chars().count() <= MAX_LINE, "{long}");
    assert!(long.starts_with("Data=\"x \\u{1b}[0m y"), "{long}");
}

#[test]
fn a_schema_that_a_user_brings() {
    use prost_types::field_descriptor_proto::{Label, Type};
    use prost_types::{
        DescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet,
        MethodDescriptorProto, ServiceDescriptorProto,
    };
    let field = |name: &str, number| FieldDescriptorProto {
        name: Some(name.to_owned()),
        number: Some(number),
        label: Some(Label::Optional.into()),
        r#type: Some(Type::String.into()),
        ..Default::default()
    };
    let file = FileDescriptorProto {
        name: Some("acme.proto".to_owned()),
        package: Some("acme.v1".to_owned()),
        syntax: Some("proto3".to_owned()),
        message_type: vec![DescriptorProto {
            name: Some("Order".to_owned()),
            field: vec![field("destination", 1), field("launch_password", 2)],
            ..Default::default()
        }],
        service: vec![ServiceDescriptorProto {
            name: Some("Rocket".to_owned()),
            method: vec![MethodDescriptorProto {
                name: Some("Launch".to_owned()),
                input_type: Some(".acme.v1.Order".to_owned()),
                output_type: Some(".acme.v1.Order".to_owned()),
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    };
    let set = FileDescriptorSet { file: vec![file] };
    let mut schemas = Schemas::builtin();
    schemas.add_descriptor_set(&set.encode_to_vec()).unwrap();
    let describer = Describer::new(schemas, false);
    let body = b"\x0a\x04moon\x12\x07hunter2";
    assert_eq!(
        describer.json("/acme.v1.Rocket/Launch", true, body, false),
        json!({ "destination": "moon", "launch_password": "*** (7 bytes)" })
    );
    assert_eq!(
        describer.line("/acme.v1.Rocket/Launch", true, body, false),
        "destination=moon launch_password=*** (7 bytes)"
    );
}
