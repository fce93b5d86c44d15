//! What trees look like, and that they are trees whatever they are made of.

use std::collections::HashMap;

use buildtap_proto::google::rpc;
use buildtap_proto::moby::buildkit::secrets::v1 as build_secrets;
use buildtap_proto::moby::buildkit::v1 as control;
use buildtap_proto::pb;
use proptest::prelude::*;
use prost::Message;

use super::*;

const SOLVE: &str = "/moby.buildkit.v1.Control/Solve";
const STATUS: &str = "/moby.buildkit.v1.Control/Status";
const UNKNOWN: &str = "/acme.v1.Rocket/Launch";

fn describer() -> Describer {
    Describer::new(Schemas::builtin(), false)
}

fn tree(path: &str, request: bool, message: &impl Message) -> Tree {
    let tree = describer().tree(path, request, &message.encode_to_vec(), false);
    check(&tree);
    tree
}

/// What must be true of every tree.
fn check(tree: &Tree) {
    fn check_node(node: &Node, whole: usize) {
        let (range, content) = (&node.range, &node.content);
        assert!(range.start <= range.end && range.end <= whole, "{node:?}");
        assert!(
            range.start <= content.start
                && content.start <= content.end
                && content.end <= range.end,
            "{node:?}"
        );
        for text in [&node.name, &node.value] {
            assert!(!text.contains(crate::describe::disturbs), "{text:?}");
            assert!(text.chars().count() <= MAX_VALUE + 100, "{text:?}");
        }
        let mut before = range.start;
        for child in &node.children {
            assert!(child.range.start >= before, "{child:?} in {node:?}");
            assert!(child.range.end <= range.end, "{child:?} in {node:?}");
            before = match child.kind {
                // Those have no bytes of their own.
                NodeKind::Json => child.range.start,
                _ => child.range.end,
            };
            check_node(child, whole);
        }
    }
    check_node(&tree.root, tree.bytes.len());
    // A few more: lists, what is left out.
    assert!(tree.root.count() <= MAX_NODES * 2, "{}", tree.root.count());
}

/// The node on a way of names.
fn at<'t>(tree: &'t Tree, way: &[&str]) -> &'t Node {
    way.iter().fold(&tree.root, |node, name| {
        let found = node.children.iter().find(|child| child.name == *name);
        found.unwrap_or_else(|| panic!("no {name} in {node:#?}"))
    })
}

fn strings<const N: usize>(pairs: [(&str, &str); N]) -> HashMap<String, String> {
    let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    pairs.into_iter().map(owned).collect()
}

fn operation(op: pb::op::Op, inputs: Vec<pb::Input>) -> pb::Op {
    pb::Op {
        op: Some(op),
        inputs,
        ..Default::default()
    }
}

/// `FROM alpine`, `RUN make`, and the result.
fn definition() -> pb::Definition {
    let input = |of: &[u8]| pb::Input {
        digest: format!("sha256:{}", hex(of)),
        index: 0,
    };
    let source = operation(
        pb::op::Op::Source(pb::SourceOp {
            identifier: "docker-image://docker.io/library/alpine:3".to_owned(),
            ..Default::default()
        }),
        Vec::new(),
    )
    .encode_to_vec();
    let make = operation(
        pb::op::Op::Exec(pb::ExecOp {
            meta: Some(pb::Meta {
                args: ["sh", "-c", "make all"].map(str::to_owned).to_vec(),
                env: vec!["NPM_TOKEN=hunter2".to_owned()],
                ..Default::default()
            }),
            ..Default::default()
        }),
        vec![input(&source)],
    )
    .encode_to_vec();
    let result = pb::Op {
        inputs: vec![input(&make)],
        ..Default::default()
    };
    pb::Definition {
        def: vec![source.into(), make.into(), result.encode_to_vec().into()],
        ..Default::default()
    }
}

fn hex(of: &[u8]) -> String {
    use sha2::Digest as _;
    sha2::Sha256::digest(of)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[test]
fn a_solve() {
    let solve = control::SolveRequest {
        r#ref: "k1x9".to_owned(),
        frontend_attrs: strings([("build-arg:NPM_TOKEN", "hunter2")]),
        exporters: vec![control::Exporter {
            r#type: "local".to_owned(),
            attrs: strings([("dest", "out")]),
        }],
        definition: Some(definition()),
        ..Default::default()
    };
    let tree = tree(SOLVE, true, &solve);
    insta::assert_snapshot!(tree);
    // The bytes beside a value are those of the value.
    let of = |way: &[&str]| {
        let node = at(&tree, way);
        let bytes = &tree.bytes[node.content.clone()];
        String::from_utf8_lossy(bytes).into_owned()
    };
    assert_eq!(of(&["Ref"]), "k1x9");
    assert_eq!(of(&["Exporters", "[0]", "Type"]), "local");
    assert_eq!(
        of(&["Definition", "def", "1", "source", "identifier"]),
        "docker-image://docker.io/library/alpine:3"
    );
    let secret = at(&tree, &["FrontendAttrs", "build-arg:NPM_TOKEN"]);
    assert_eq!(secret.kind, NodeKind::Secret);
    assert!(of(&["FrontendAttrs"]).contains("*******"));
    // The tag is before it.
    assert_eq!(at(&tree, &["Ref"]).range, 0..6);
}

#[test]
fn progress() {
    let digest = format!("sha256:{}", "0a".repeat(32));
    let time = prost_types::Timestamp {
        seconds: 1_700_000_000,
        nanos: 5_000_000,
    };
    let status = control::StatusResponse {
        vertexes: vec![
            control::Vertex {
                digest: digest.clone(),
                name: "[2/3] RUN make".to_owned(),
                started: Some(time),
                cached: true,
                ..Default::default()
            },
            control::Vertex {
                name: "exporting".to_owned(),
                ..Default::default()
            },
        ],
        logs: vec![control::VertexLog {
            vertex: digest,
            timestamp: Some(time),
            stream: 1,
            msg: b"cc -o a a.c\ncc -o b b.c\n\x1b[31mdone\x1b[0m\n"
                .to_vec()
                .into(),
        }],
        ..Default::default()
    };
    let tree = tree(STATUS, false, &status);
    insta::assert_snapshot!(tree);
    let line = at(&tree, &["logs", "[0]", "msg", "2"]);
    assert_eq!(&tree.bytes[line.range.clone()], b"cc -o b b.c\n");
}

#[test]
fn what_is_inside_texts_and_bytes() {
    let image = br#"{"architecture":"amd64","config":{"Env":["A=b","NPM_TOKEN=hunter2"]}}"#;
    let response = control::frontend::ResolveImageConfigResponse {
        config: image.to_vec().into(),
        ..Default::default()
    };
    let path = "/moby.buildkit.v1.frontend.LLBBridge/ResolveImageConfig";
    let config = tree(path, false, &response);
    insta::assert_snapshot!(config);

    let status = rpc::Status {
        code: 5,
        message: "no such image".to_owned(),
        details: vec![prost_types::Any {
            type_url: "type.googleapis.com/moby.buildkit.v1.SolveRequest".to_owned(),
            value: control::SolveRequest {
                r#ref: "k1x9".to_owned(),
                ..Default::default()
            }
            .encode_to_vec(),
        }],
    };
    let returned = control::frontend::ReturnRequest {
        error: Some(status),
        ..Default::default()
    };
    let path = "/moby.buildkit.v1.frontend.LLBBridge/Return";
    insta::assert_snapshot!(tree(path, true, &returned));
}

#[test]
fn secrets_are_masked() {
    let answer = build_secrets::GetSecretResponse {
        data: b"hunter2".to_vec().into(),
    };
    let path = "/moby.buildkit.secrets.v1.Secrets/GetSecret";
    let masked = tree(path, false, &answer);
    insta::assert_snapshot!(masked);
    assert!(!masked.bytes.windows(7).any(|part| part == b"hunter2"));
    let open = Describer::new(Schemas::builtin(), true);
    let open = open.tree(path, false, &answer.encode_to_vec(), false);
    assert!(open.to_string().contains("hunter2"));
}

#[test]
fn without_a_schema() {
    let inner = b"\x0a\x05hello\x10\x96\x01";
    let mut body = b"\x08\x05\x12\x0a".to_vec();
    body.extend_from_slice(inner);
    body.extend_from_slice(b"\x1a\x03\x00\xff\x01\x25\x01\x00\x00\x00");
    let tree = describer().tree(UNKNOWN, true, &body, false);
    check(&tree);
    insta::assert_snapshot!(tree);
}

#[test]
fn what_breaks_off() {
    let solve = control::SolveRequest {
        r#ref: "k1x9".to_owned(),
        definition: Some(definition()),
        ..Default::default()
    };
    let body = solve.encode_to_vec();
    let cut = describer().tree(SOLVE, true, &body[..40], true);
    check(&cut);
    insta::assert_snapshot!(cut);
    let garbage = describer().tree(SOLVE, true, b"\x0a\x04k1x9\xff\xff\xff", false);
    check(&garbage);
    insta::assert_snapshot!(garbage);
}

#[test]
fn what_is_too_much() {
    // Messages within each other, as deep as they fit.
    let mut deep = Vec::new();
    while deep.len() < 4_000 {
        let mut outer = vec![0x0a];
        prost::encoding::encode_varint(deep.len() as u64, &mut outer);
        outer.extend_from_slice(&deep);
        deep = outer;
    }
    check(&describer().tree(UNKNOWN, true, &deep, false));
    let many = b"\x08\x01".repeat(MAX_NODES * 2);
    let tree = describer().tree(UNKNOWN, true, &many, false);
    check(&tree);
    let last = tree.root.children.last().unwrap();
    assert_eq!(last.value, "… more than is shown");
    assert_eq!(last.range.end, many.len());
    let json = format!("\x0a\u{7f}{}", "[".repeat(5_000));
    check(&describer().tree(UNKNOWN, true, json.as_bytes(), false));
}

/// Bytes that are fields, more often than not.
fn fieldlike() -> impl Strategy<Value = Vec<u8>> {
    let field = prop_oneof![
        (1u32..20, any::<u64>()).prop_map(|(number, value)| {
            let mut out = Vec::new();
            prost::encoding::encode_varint(u64::from(number) << 3, &mut out);
            prost::encoding::encode_varint(value, &mut out);
            out
        }),
        (1u32..20, proptest::collection::vec(any::<u8>(), 0..20)).prop_map(|(number, bytes)| {
            let mut out = Vec::new();
            prost::encoding::encode_varint(u64::from(number) << 3 | 2, &mut out);
            prost::encoding::encode_varint(bytes.len() as u64, &mut out);
            out.extend(bytes);
            out
        }),
        (1u32..4).prop_map(|number| vec![
            (number << 3 | 3) as u8,
            0x08,
            0x01,
            (number << 3 | 4) as u8
        ]),
        proptest::collection::vec(any::<u8>(), 0..6),
    ];
    proptest::collection::vec(field, 0..12).prop_map(|fields| fields.concat())
}

fn paths() -> impl Strategy<Value = &'static str> {
    proptest::sample::select(vec![
        SOLVE,
        STATUS,
        UNKNOWN,
        "/moby.buildkit.v1.frontend.LLBBridge/Return",
        "/moby.filesync.v1.FileSync/DiffCopy",
        "/moby.filesync.v1.Auth/FetchToken",
        "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    ])
}

proptest! {
    #[test]
    fn anything_is_a_tree(body in fieldlike(), path in paths(), request: bool, cut: bool) {
        let tree = describer().tree(path, request, &body, cut);
        prop_assert_eq!(tree.bytes.len(), body.len());
        check(&tree);
    }

    /// Wherever a message is cut, what is there is told in the same places.
    #[test]
    fn a_beginning_is_a_tree(end in 0usize..2_000) {
        let solve = control::SolveRequest {
            r#ref: "k1x9".to_owned(),
            frontend_attrs: strings([("filename", "Dockerfile"), ("target", "release")]),
            definition: Some(definition()),
            ..Default::default()
        };
        let body = solve.encode_to_vec();
        let end = end.min(body.len());
        let tree = describer().tree(SOLVE, true, &body[..end], true);
        check(&tree);
        if end > 6 {
            prop_assert_eq!(&at(&tree, &["Ref"]).value, "\"k1x9\"");
        }
    }
}
