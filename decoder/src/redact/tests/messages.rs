//! gRPC messages: with a schema, without one, and such as do not fit theirs.

use buildtap_proto::fsutil::types as fsutil;
use buildtap_proto::moby::buildkit::secrets::v1 as build_secrets;
use buildtap_proto::pb;

use super::*;
use crate::describe::Describer;

const SOLVE: &str = "/moby.buildkit.v1.Control/Solve";
const DIFF_COPY: &str = "/moby.filesync.v1.FileSync/DiffCopy";

/// A message, redacted; shown as before, and twice is once.
pub(crate) fn message_of(path: &str, request: bool, body: &[u8], cut: bool) -> Vec<u8> {
    let schemas = Schemas::builtin();
    let out = redacted(body, |unit, out| {
        message(&Rules::default(), &schemas, path, request, unit, cut, out);
    });
    let describer = Describer::new(schemas, false);
    assert_eq!(
        describer.json(path, request, &out, cut),
        describer.json(path, request, body, cut)
    );
    out
}

fn attrs<const N: usize>(pairs: [(&str, &str); N]) -> std::collections::HashMap<String, String> {
    pairs
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into_iter()
        .collect()
}

#[test]
fn a_solve() {
    let op = |op| {
        pb::Op {
            op: Some(op),
            ..Default::default()
        }
        .encode_to_vec()
        .into()
    };
    let source = pb::op::Op::Source(pb::SourceOp {
        identifier: "git://0Secret0@github.com/x".to_owned(),
        attrs: attrs([
            ("git.authheader", "x"),
            ("http.header.authorization", "0Secret0"),
        ]),
    });
    let exec = pb::op::Op::Exec(pb::ExecOp {
        meta: Some(pb::Meta {
            args: ["curl", "-H", "Authorization:", "Bearer", "0Secret0"]
                .map(str::to_owned)
                .to_vec(),
            env: vec!["NPM_TOKEN=0Secret0".to_owned(), "A=b".to_owned()],
            ..Default::default()
        }),
        ..Default::default()
    });
    let solve = control::SolveRequest {
        r#ref: "k1x9".to_owned(),
        frontend_attrs: attrs([("build-arg:TOKEN", "0Secret0"), ("target", "release")]),
        definition: Some(pb::Definition {
            def: vec![op(source), op(exec)],
            ..Default::default()
        }),
        ..Default::default()
    };
    let out = message_of(SOLVE, true, &solve.encode_to_vec(), false);
    assert!(!survives(&out, "0Secret0"));
    let masked = control::SolveRequest::decode(out.as_slice()).unwrap();
    assert_eq!(masked.r#ref, "k1x9");
    assert_eq!(masked.frontend_attrs["build-arg:TOKEN"], "********");
    assert_eq!(masked.frontend_attrs["target"], "release");
    let definition = masked.definition.unwrap();
    let exec = pb::Op::decode(definition.def[1].clone()).unwrap();
    let Some(pb::op::Op::Exec(exec)) = exec.op else {
        panic!()
    };
    let meta = exec.meta.unwrap();
    assert_eq!(
        meta.args,
        ["curl", "-H", "Authorization:", "******", "********"]
    );
    assert_eq!(meta.env, ["NPM_TOKEN=********", "A=b"]);
}

#[test]
fn secrets_and_contents() {
    let path = "/moby.buildkit.secrets.v1.Secrets/GetSecret";
    let answer = build_secrets::GetSecretResponse {
        data: b"0Secret0".as_slice().into(),
    };
    let out = message_of(path, false, &answer.encode_to_vec(), false);
    assert_eq!(out, b"\x0a\x08********");
    // Nothing of one that does not parse, or that no schema knows.
    assert_eq!(message_of(path, false, b"0Secret0", false), [0; 8]);
    assert_eq!(
        message_of(
            "/moby.buildkit.secrets.v1.Secrets/New",
            false,
            b"\x0a\x01a",
            false
        ),
        [0; 3]
    );
    // Unknown fields.
    let out = message_of(
        path,
        false,
        b"\x0a\x01a\x12\x02bc\x1a\x04\x08\x07\x12\x00\x20\x96\x01",
        false,
    );
    assert_eq!(
        out,
        b"\x0a\x01*\x12\x02**\x1a\x04\x08\x00\x12\x00\x20\x96\x01"
    );

    let packet = |kind, data: &str| {
        fsutil::Packet {
            r#type: kind,
            data: data.as_bytes().to_vec().into(),
            ..Default::default()
        }
        .encode_to_vec()
    };
    let data = packet(2, "TOKEN=0Secret0");
    assert_eq!(message_of(DIFF_COPY, true, &data, false), data);
    let error = message_of(DIFF_COPY, true, &packet(4, "TOKEN=0Secret0"), false);
    assert!(error.ends_with(b"TOKEN=********"));
    let drop = Rules {
        drop_file_contents: true,
        ..Rules::default()
    };
    let dropped = redacted(&data, |unit, out| {
        message(
            &drop,
            &Schemas::builtin(),
            DIFF_COPY,
            true,
            unit,
            false,
            out,
        );
    });
    assert!(dropped.ends_with(&[0; 14]) && dropped.len() == data.len());
    assert!(is_contents(&Rules::default(), DIFF_COPY, &data));
    assert!(!is_contents(&drop, DIFF_COPY, &data));
    assert!(!is_contents(&Rules::default(), DIFF_COPY, &packet(4, "x")));
    assert!(!is_contents(&Rules::default(), SOLVE, &data));
}

#[test]
fn without_a_schema() {
    let path = "/acme.v1.Rocket/Launch";
    let entry = b"\x0a\x14\x0a\x09NPM_TOKEN\x12\x07hunter2";
    let out = message_of(path, true, entry, false);
    assert_eq!(out, b"\x0a\x14\x0a\x09NPM_TOKEN\x12\x07*******");
    let out = message_of(
        path,
        true,
        b"\x12\x09TOKEN=abc\x1a\x06--auth\x1a\x01x",
        false,
    );
    assert_eq!(out, b"\x12\x09TOKEN=***\x1a\x06--auth\x1a\x01*");
}

#[test]
fn a_message_that_is_cut() {
    let solve = control::SolveRequest {
        r#ref: "k1x9".to_owned(),
        frontend_attrs: attrs([("build-arg:TOKEN", "0Secret0")]),
        frontend: "see https://u:0Secret0@h".to_owned(),
        ..Default::default()
    };
    let body = solve.encode_to_vec();
    for end in 0..body.len() {
        let out = message_of(SOLVE, true, &body[..end], true);
        assert!(
            !survives(&out, "0Sec"),
            "{end}: {}",
            String::from_utf8_lossy(&out)
        );
    }
}

#[test]
fn which_calls_concern() {
    let rules = Rules::default();
    for (path, concern) in [
        (SOLVE, true),
        (DIFF_COPY, true),
        ("/acme.v1.Rocket/Launch", true),
        ("/grpc.health.v1.Health/Check", false),
        ("/moby.buildkit.v1.Control/Session", false),
        ("/moby.upload.v1.Upload/Pull", false),
    ] {
        assert_eq!(concerns(&rules, path), concern, "{path}");
    }
    let drop = Rules {
        drop_file_contents: true,
        ..rules
    };
    assert!(concerns(&drop, "/moby.upload.v1.Upload/Pull"));
    assert!(!concerns(&drop, "/moby.buildkit.v1.Control/Session"));
}

proptest! {
    #[test]
    fn any_bytes(method in any::<prop::sample::Index>(), request: bool, cut: bool,
        body in prop::collection::vec(any::<u8>(), 0..120)) {
        let paths = [SOLVE, DIFF_COPY, "/acme.v1.Rocket/Launch", "/moby.filesync.v1.Auth/Credentials",
            "/moby.buildkit.v1.Control/Status", "/moby.buildkit.v1.frontend.LLBBridge/Return"];
        message_of(paths[method.index(paths.len())], request, &body, cut);
    }
}
