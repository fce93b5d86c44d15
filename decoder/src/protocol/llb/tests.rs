use super::digests::digest;
use super::*;

fn source(identifier: &str) -> pb::Op {
    pb::Op {
        op: Some(pb::op::Op::Source(pb::SourceOp {
            identifier: identifier.into(),
            ..Default::default()
        })),
        ..Default::default()
    }
}

fn exec(args: &[&str], mounts: Vec<pb::Mount>) -> pb::Op {
    pb::Op {
        op: Some(pb::op::Op::Exec(pb::ExecOp {
            meta: Some(pb::Meta {
                args: args.iter().map(|&arg| arg.to_owned()).collect(),
                ..Default::default()
            }),
            mounts,
            ..Default::default()
        })),
        ..Default::default()
    }
}

/// The second input is what is copied from.
fn file(actions: Vec<Action>) -> pb::Op {
    pb::Op {
        op: Some(pb::op::Op::File(pb::FileOp {
            actions: actions
                .into_iter()
                .map(|action| pb::FileAction {
                    secondary_input: 1,
                    action: Some(action),
                    ..Default::default()
                })
                .collect(),
        })),
        ..Default::default()
    }
}

/// Adds an operation with inputs by their index, and gives its index.
fn add(definition: &mut pb::Definition, mut op: pb::Op, inputs: &[usize]) -> usize {
    op.inputs = inputs
        .iter()
        .map(|&at| pb::Input {
            digest: digest(&definition.def[at]),
            index: 0,
        })
        .collect();
    definition.def.push(op.encode_to_vec().into());
    definition.def.len() - 1
}

fn definition() -> pb::Definition {
    let mut all = pb::Definition::default();
    let mut image = source("docker-image://docker.io/library/alpine:3.20@sha256:00");
    image.platform = Some(pb::Platform {
        os: "linux".into(),
        architecture: "arm64".into(),
        variant: "v8".into(),
        ..Default::default()
    });
    let image = add(&mut all, image, &[]);
    let mut local = source("local://context");
    if let Some(pb::op::Op::Source(source)) = &mut local.op {
        source.attrs = [
            ("local.followpaths".into(), r#"["src"]"#.into()),
            ("local.example-token".into(), "abc".into()),
        ]
        .into();
    }
    let local = add(&mut all, local, &[]);
    let git = add(
        &mut all,
        source("git://ghp_0123@github.com/x/y.git#main"),
        &[],
    );
    let copy = file(vec![
        Action::Copy(pb::FileActionCopy {
            src: "/src".into(),
            dest: "/app/".into(),
            ..Default::default()
        }),
        Action::Mkfile(pb::FileActionMkFile {
            path: "/app/x".into(),
            data: "12345".into(),
            ..Default::default()
        }),
        Action::Rm(pb::FileActionRm {
            path: "/tmp/y".into(),
            ..Default::default()
        }),
    ]);
    let copy = add(&mut all, copy, &[image, local]);
    let mount = |kind: pb::MountType, dest: &str| pb::Mount {
        dest: dest.into(),
        mount_type: kind.into(),
        ..Default::default()
    };
    let secret = pb::Mount {
        secret_opt: Some(pb::SecretOpt {
            id: "npm".into(),
            ..Default::default()
        }),
        ..mount(pb::MountType::Secret, "/run/secrets/npm")
    };
    let run = exec(
        &["/bin/sh", "-c", "NPM_TOKEN=abc npm ci\n --x"],
        vec![
            mount(pb::MountType::Bind, "/"),
            pb::Mount {
                input: 1,
                readonly: true,
                ..mount(pb::MountType::Bind, "/git")
            },
            secret,
            mount(pb::MountType::Ssh, ""),
            mount(pb::MountType::Cache, "/root/.npm"),
        ],
    );
    let run = add(&mut all, run, &[copy, git]);
    let key = digest(&all.def[run]);
    all.metadata.insert(
        digest(&all.def[image]),
        pb::OpMetadata {
            description: [("llb.customname".into(), "[1/3] FROM alpine".into())].into(),
            ..Default::default()
        },
    );
    all.source = Some(pb::Source {
        infos: vec![pb::SourceInfo {
            filename: "Dockerfile".into(),
            ..Default::default()
        }],
        locations: [(
            key,
            pb::Locations {
                locations: vec![pb::Location {
                    source_index: 0,
                    ranges: vec![pb::Range {
                        start: Some(pb::Position {
                            line: 7,
                            character: 0,
                        }),
                        end: None,
                    }],
                }],
            },
        )]
        .into(),
    });
    add(&mut all, pb::Op::default(), &[run]);
    all
}

#[test]
fn a_graph_for_people() {
    let graph = Graph::from_definition(&definition());
    insta::assert_snapshot!(graph.to_string(), @r#"
    1        source  [1/3] FROM alpine  linux/arm64/v8
    2        source  local://context  (local.example-token=***, local.followpaths=["src"])
    3        source  git://***@github.com/x/y.git#main
    4 ← 1,2  file    copy /src of 2 → /app/; mkfile /app/x (5 bytes); rm /tmp/y
    5 ← 4,3  exec    NPM_TOKEN=*** npm ci --x  (read-only mount of 3 at /git, secret npm at /run/secrets/npm, ssh default, cache at /root/.npm)  Dockerfile:7
    6 ← 5    result
    "#);
}

#[test]
fn layers_name_what_they_are_made_of() {
    let mut all = pb::Definition::default();
    let base = add(&mut all, source("docker-image://base"), &[]);
    let mut privileged = exec(&["make"], vec![]);
    if let Some(pb::op::Op::Exec(exec)) = &mut privileged.op {
        exec.set_network(pb::NetMode::Host);
        exec.set_security(pb::SecurityMode::Insecure);
        exec.mounts = vec![pb::Mount {
            selector: "/sub".into(),
            dest: "/x".into(),
            ..Default::default()
        }];
    }
    let made = add(&mut all, privileged, &[base]);
    let change = |lower, upper| pb::Op {
        op: Some(pb::op::Op::Diff(pb::DiffOp {
            lower: Some(pb::LowerDiffInput { input: lower }),
            upper: Some(pb::UpperDiffInput { input: upper }),
        })),
        ..Default::default()
    };
    let layer = add(&mut all, change(0, 1), &[base, made]);
    let whole = add(&mut all, change(-1, 0), &[made]);
    let merged = pb::Op {
        op: Some(pb::op::Op::Merge(pb::MergeOp {
            inputs: (0..3).map(|input| pb::MergeInput { input }).collect(),
        })),
        ..Default::default()
    };
    let merged = add(&mut all, merged, &[base, layer, whole]);
    add(&mut all, pb::Op::default(), &[merged]);
    let mut graph = Graph::from_definition(&all);
    insta::assert_snapshot!(graph.to_string(), @"
    1          source  docker-image://base
    2 ← 1      exec    make  (the network of the host, privileged, mount of /sub of 1 at /x)
    3 ← 1,2    diff    from 1 to 2
    4 ← 2      diff    from nothing to 2
    5 ← 1,3,4  merge   1, then 3, 4 on top
    6 ← 5      result
    ");
    graph.ops[5].inputs[0].output = 1;
    assert!(graph.to_string().contains("6 ← 5[1]"));

    // Out of its graph, as in an error, an operation has no numbers to give.
    assert_eq!(describe(&change(0, 1)), "diff");
    assert_eq!(describe(&change(-1, -1)), "from nothing to nothing");
}

#[test]
fn the_digest_is_that_of_the_encoding() {
    // The end of a graph with no input at all: an empty message.
    let empty = pb::Definition {
        def: vec![Default::default()],
        ..Default::default()
    };
    let graph = Graph::from_definition(&empty);
    assert_eq!(
        graph.ops[0].digest,
        "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    );
    assert_eq!(graph.ops[0].kind, Kind::Result);
}

#[test]
fn inputs_come_before_their_users_whatever_the_order() {
    let mut reversed = definition();
    reversed.def.reverse();
    let graph = Graph::from_definition(&reversed);
    let order = graph.topological();
    assert_eq!(order.len(), graph.ops.len());
    let place = |op: usize| order.iter().position(|&at| at == op).unwrap();
    for (at, op) in graph.ops.iter().enumerate() {
        for input in &op.inputs {
            assert!(place(input.op.unwrap()) < place(at));
        }
    }
}

#[test]
fn hostile_definitions() {
    let mut all = pb::Definition::default();
    all.def.push(vec![0x0a, 0xff].into());
    let dangling = pb::Op {
        inputs: vec![pb::Input {
            digest: "sha256:nowhere".into(),
            index: -1,
        }],
        ..exec(
            &["echo", "it's \u{1b}[31m", &"x".repeat(3 * MAX_READ)],
            vec![],
        )
    };
    all.def.push(dangling.encode_to_vec().into());
    let many = vec![
        pb::Mount {
            dest: "/x".into(),
            ..Default::default()
        };
        MAX_PARTS + 2
    ];
    all.def.push(exec(&["a"], many).encode_to_vec().into());
    all.def.resize(MAX_OPS + 3, all.def[0].clone());
    let graph = Graph::from_definition(&all);
    assert_eq!((graph.ops.len(), graph.left_out), (MAX_OPS, 3));
    assert_eq!(graph.ops[0].kind, Kind::Unknown);
    assert_eq!(
        graph.ops[1].inputs,
        [Input {
            op: None,
            output: -1
        }]
    );
    assert!(graph.ops[1].text.starts_with(r"echo 'it'\''s [31m' xxx"));
    assert_eq!(graph.ops[1].text.chars().count(), MAX_TEXT + 1);
    assert_eq!(graph.ops[2].details.last().unwrap(), "and 2 more");
    assert!(graph.to_string().ends_with("and 3 more operations\n"));

    let looped = |inputs: &[usize]| Op {
        digest: String::new(),
        kind: Kind::Merge,
        text: String::new(),
        details: vec![],
        name: None,
        platform: None,
        location: None,
        inputs: inputs
            .iter()
            .map(|&op| Input {
                op: Some(op),
                output: 0,
            })
            .collect(),
    };
    let graph = Graph {
        ops: vec![looped(&[1]), looped(&[0]), looped(&[])],
        left_out: 0,
    };
    assert_eq!(graph.topological(), [2, 0, 1]);
}
