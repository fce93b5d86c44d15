//! What is said of each important kind of message. Secrets are in `canaries`, malformed input in
//! `hostile`, the ways of a schema in `schemas`.

use buildtap_proto::containerd::services::content::v1 as content;
use buildtap_proto::google::rpc;
use buildtap_proto::grpc::health::v1 as health;
use buildtap_proto::moby::buildkit::secrets::v1 as build_secrets;
use buildtap_proto::moby::buildkit::v1 as control;
use buildtap_proto::moby::buildkit::v1::{frontend, types};
use buildtap_proto::moby::filesync::v1 as filesync;
use buildtap_proto::moby::sshforward::v1 as ssh;
use buildtap_proto::pb;
use buildtap_proto::schema::Schemas;
use prost::Message;
use prost_types::Timestamp;
use serde_json::{Value as Json, json};

use super::*;

mod canaries;
mod hostile;
mod packets;
mod schemas;

fn describer() -> Describer {
    Describer::new(Schemas::builtin(), false)
}

fn line(path: &str, request: bool, message: &impl Message) -> String {
    describer().line(path, request, &message.encode_to_vec(), false)
}

fn json(path: &str, request: bool, message: &impl Message) -> Json {
    describer().json(path, request, &message.encode_to_vec(), false)
}

fn strings<const N: usize>(pairs: [(&str, &str); N]) -> std::collections::HashMap<String, String> {
    let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    pairs.into_iter().map(owned).collect()
}

fn definition() -> pb::Definition {
    let source = pb::Op {
        op: Some(pb::op::Op::Source(pb::SourceOp {
            identifier: "docker-image://docker.io/library/alpine:3".to_owned(),
            ..Default::default()
        })),
        ..Default::default()
    };
    pb::Definition {
        def: vec![source.encode_to_vec().into()],
        ..Default::default()
    }
}

const SOLVE: &str = "/moby.buildkit.v1.Control/Solve";
const STATUS: &str = "/moby.buildkit.v1.Control/Status";
const DIFF_COPY: &str = "/moby.filesync.v1.FileSync/DiffCopy";

#[test]
fn solve() {
    let exporter = |kind: &str| control::Exporter {
        r#type: kind.to_owned(),
        attrs: strings([("name", "app:latest"), ("token", "hunter2")]),
    };
    let solve = control::SolveRequest {
        r#ref: "k1x9".to_owned(),
        session: "s7".to_owned(),
        frontend: "dockerfile.v0".to_owned(),
        frontend_attrs: strings([
            ("filename", "Dockerfile"),
            ("target", "release"),
            ("build-arg:NPM_TOKEN", "hunter2"),
            ("build-arg:VERSION", "1.2"),
        ]),
        exporters: vec![exporter("local"), exporter("tar")],
        definition: Some(definition()),
        ..Default::default()
    };
    assert_eq!(
        line(SOLVE, true, &solve),
        "ref=k1x9 session=s7 frontend=dockerfile.v0 exporters=local,tar llb=1 op \
         filename=Dockerfile target=release opts=build-arg:NPM_TOKEN,build-arg:VERSION"
    );
    let attrs = json!({ "name": "app:latest", "token": "*** (7 bytes)" });
    assert_eq!(
        json(SOLVE, true, &solve),
        json!({
            "Ref": "k1x9",
            "Definition": ["1  source  docker-image://docker.io/library/alpine:3"],
            "Session": "s7",
            "Frontend": "dockerfile.v0",
            "FrontendAttrs": {
                "build-arg:NPM_TOKEN": "*** (7 bytes)",
                "build-arg:VERSION": "1.2",
                "filename": "Dockerfile",
                "target": "release",
            },
            "Exporters": [
                { "Type": "local", "Attrs": attrs },
                { "Type": "tar", "Attrs": attrs },
            ],
        })
    );
}

#[test]
fn solved() {
    let digest = format!("sha256:{}", "ab".repeat(32));
    let descriptor = base64::Engine::encode(
        &base64::prelude::BASE64_STANDARD,
        r#"{"size":7,"annotations":{"token":"hunter2"}}"#,
    );
    let solved = control::SolveResponse {
        exporter_response: strings([
            ("containerimage.digest", &digest),
            ("containerimage.descriptor", &descriptor),
        ]),
    };
    assert_eq!(
        line(SOLVE, false, &solved),
        "containerimage.digest=sha256:abababababab… \
         keys=containerimage.descriptor,containerimage.digest"
    );
    assert_eq!(
        json(SOLVE, false, &solved)["ExporterResponse"]["containerimage.descriptor"],
        json!({ "size": 7, "annotations": { "token": "***" } })
    );
}

#[test]
fn status() {
    let asked = control::StatusRequest {
        r#ref: "k1x9".to_owned(),
    };
    assert_eq!(line(STATUS, true, &asked), "Ref=k1x9");

    let at = |seconds| Some(Timestamp { seconds, nanos: 5 });
    let vertex = |name: &str| control::Vertex {
        name: name.to_owned(),
        started: at(1_700_000_000),
        ..Default::default()
    };
    let status = control::StatusResponse {
        vertexes: vec![
            control::Vertex {
                completed: at(1_700_000_001),
                ..vertex("[1/2] FROM alpine")
            },
            vertex("[2/2] RUN make"),
        ],
        statuses: vec![control::VertexStatus::default(); 3],
        logs: vec![control::VertexLog {
            msg: b"cc -o x\n"[..].into(),
            ..Default::default()
        }],
        ..Default::default()
    };
    assert_eq!(
        line(STATUS, false, &status),
        "2 vertexes, 3 statuses, 1 log: [1/2] FROM alpine done, [2/2] RUN make started"
    );
    let json = json(STATUS, false, &status);
    assert_eq!(
        json["vertexes"][1]["started"],
        "2023-11-14T22:13:20.000000005Z"
    );
    assert_eq!(json["logs"][0]["msg"], "cc -o x\n");

    let logs = control::StatusResponse {
        logs: status.logs,
        ..Default::default()
    };
    assert_eq!(line(STATUS, false, &logs), "1 log: cc -o x");
    let pull = control::StatusResponse {
        statuses: vec![control::VertexStatus {
            id: "sha256:1".to_owned(),
            name: "downloading".to_owned(),
            current: 1024,
            total: 4096,
            ..Default::default()
        }],
        ..Default::default()
    };
    assert_eq!(
        line(STATUS, false, &pull),
        "1 status: downloading 1 KiB/4 KiB"
    );
}

#[test]
fn a_timestamp_beyond_rfc_3339_is_shown_as_its_fields() {
    for seconds in [i64::MIN, -62_135_596_801, 253_402_300_800, i64::MAX] {
        let status = control::StatusResponse {
            vertexes: vec![control::Vertex {
                started: Some(Timestamp { seconds, nanos: -1 }),
                ..Default::default()
            }],
            ..Default::default()
        };
        assert_eq!(
            json(STATUS, false, &status)["vertexes"][0]["started"],
            json!({ "seconds": seconds, "nanos": -1 })
        );
    }
}

#[test]
fn the_gateway() {
    let bridge = |method: &str| format!("/moby.buildkit.v1.frontend.LLBBridge/{method}");
    let solve = frontend::SolveRequest {
        frontend: "gateway.v0".to_owned(),
        frontend_opt: strings([
            ("source", "docker/dockerfile:1"),
            ("build-arg:pw", "hunter2"),
        ]),
        evaluate: true,
        ..Default::default()
    };
    assert_eq!(
        line(&bridge("Solve"), true, &solve),
        "frontend=gateway.v0 evaluate=true source=docker/dockerfile:1 opts=build-arg:pw"
    );
    let resolve = frontend::ResolveImageConfigRequest {
        r#ref: "docker.io/library/alpine:3".to_owned(),
        platform: Some(pb::Platform {
            os: "linux".to_owned(),
            architecture: "arm64".to_owned(),
            ..Default::default()
        }),
        resolve_mode: "pull".to_owned(),
        ..Default::default()
    };
    assert_eq!(
        line(&bridge("ResolveImageConfig"), true, &resolve),
        "ref=docker.io/library/alpine:3 mode=pull platform=linux/arm64"
    );
    let resolved = frontend::ResolveImageConfigResponse {
        config: br#"{"config":{"Env":["PATH=/bin","API_KEY=hunter2"]}}"#[..].into(),
        ..Default::default()
    };
    assert_eq!(
        json(&bridge("ResolveImageConfig"), false, &resolved),
        json!({ "Config": { "config": { "Env": ["PATH=/bin", "API_KEY=***"] } } })
    );
    let meta = frontend::ResolveSourceMetaRequest {
        source: Some(pb::SourceOp {
            identifier: "git://bob:hunter2@example.com/x.git".to_owned(),
            ..Default::default()
        }),
        ..Default::default()
    };
    assert_eq!(
        line(&bridge("ResolveSourceMeta"), true, &meta),
        "identifier=git://***@example.com/x.git"
    );
    let read = frontend::ReadFileRequest {
        r#ref: "r1".to_owned(),
        file_path: "Dockerfile".to_owned(),
        ..Default::default()
    };
    assert_eq!(
        line(&bridge("ReadFile"), true, &read),
        "path=Dockerfile ref=r1"
    );
    assert_eq!(
        line(&bridge("Ping"), true, &frontend::PingRequest {}),
        "(empty)"
    );
    let failed = frontend::ReturnRequest {
        error: Some(rpc::Status {
            code: 5,
            message: "no such stage".to_owned(),
            details: vec![prost_types::Any {
                type_url: "github.com/moby/buildkit/errdefs.Subrequest+json".to_owned(),
                value: br#"{"name":"frontend.outline"}"#.to_vec(),
            }],
        }),
        ..Default::default()
    };
    assert_eq!(
        line(&bridge("Return"), true, &failed),
        "NOT_FOUND no such stage"
    );
    assert_eq!(
        json(&bridge("Return"), true, &failed)["error"],
        json!({
            "code": 5,
            "name": "NOT_FOUND",
            "message": "no such stage",
            "details": ["subrequest frontend.outline is not supported"],
        })
    );
}

#[test]
fn credentials() {
    let auth = |method: &str| format!("/moby.filesync.v1.Auth/{method}");
    let asked = filesync::CredentialsRequest {
        host: "ghcr.io".to_owned(),
    };
    assert_eq!(line(&auth("Credentials"), true, &asked), "host=ghcr.io");
    let given = filesync::CredentialsResponse {
        username: "bob".to_owned(),
        secret: "hunter2".to_owned(),
    };
    assert_eq!(
        line(&auth("Credentials"), false, &given),
        "username=bob secret=*** (7 bytes)"
    );
    let open = Describer::new(Schemas::builtin(), true);
    assert_eq!(
        open.line(&auth("Credentials"), false, &given.encode_to_vec(), false),
        "username=bob secret=hunter2"
    );
    let token = filesync::FetchTokenRequest {
        host: "ghcr.io".to_owned(),
        scopes: vec!["repository:a:pull".to_owned(), "x".to_owned()],
        ..Default::default()
    };
    assert_eq!(
        line(&auth("FetchToken"), true, &token),
        "host=ghcr.io scopes=repository:a:pull,x"
    );
    let fetched = filesync::FetchTokenResponse {
        token: "hunter2".to_owned(),
        expires_in: 300,
        ..Default::default()
    };
    assert_eq!(
        line(&auth("FetchToken"), false, &fetched),
        "token=*** (7 bytes) expires_in=300"
    );
    let authority = filesync::GetTokenAuthorityRequest {
        host: "ghcr.io".to_owned(),
        salt: b"salt"[..].into(),
    };
    assert_eq!(
        line(&auth("GetTokenAuthority"), true, &authority),
        "host=ghcr.io salt=\"*** (4 bytes)\"".replace('"', "")
    );
}

#[test]
fn secrets_and_agents() {
    let path = "/moby.buildkit.secrets.v1.Secrets/GetSecret";
    let asked = build_secrets::GetSecretRequest {
        id: "npm".to_owned(),
        ..Default::default()
    };
    assert_eq!(line(path, true, &asked), "id=npm");
    let given = build_secrets::GetSecretResponse {
        data: b"hunter2"[..].into(),
    };
    assert_eq!(line(path, false, &given), "7 bytes, masked");
    assert_eq!(
        json(path, false, &given),
        json!({ "data": "*** (7 bytes)" })
    );
    // A client may announce the method in another case.
    let lower = path.to_ascii_lowercase();
    assert_eq!(line(&lower, false, &given), "7 bytes, masked");

    let check = ssh::CheckAgentRequest {
        id: "default".to_owned(),
    };
    let agent = "/moby.sshforward.v1.SSH";
    assert_eq!(
        line(&format!("{agent}/CheckAgent"), true, &check),
        "id=default"
    );
    let data = ssh::BytesMessage {
        data: b"\0\0\0\x01\x0b"[..].into(),
    };
    assert_eq!(
        line(&format!("{agent}/ForwardAgent"), true, &data),
        "5 bytes, masked"
    );
}

#[test]
fn health_content_and_workers() {
    let check = "/grpc.health.v1.Health/Check";
    let serving = |status: i32| health::HealthCheckResponse { status };
    assert_eq!(line(check, false, &serving(1)), "SERVING");
    assert_eq!(line(check, false, &serving(0)), "UNKNOWN");
    assert_eq!(line(check, false, &serving(77)), "77");
    assert_eq!(
        line(check, true, &health::HealthCheckRequest::default()),
        "(empty)"
    );

    let read = content::ReadContentRequest {
        digest: "sha256:12".to_owned(),
        offset: 5,
        size: 10,
    };
    let store = "/containerd.services.content.v1.Content";
    assert_eq!(
        line(&format!("{store}/Read"), true, &read),
        "digest=sha256:12 offset=5 size=10"
    );
    let blob = content::ReadContentResponse {
        offset: 5,
        data: vec![0xff; 1 << 15].into(),
    };
    assert_eq!(
        line(&format!("{store}/Read"), false, &blob),
        "offset=5 data of 32 KiB"
    );
    assert_eq!(
        json(&format!("{store}/Read"), false, &blob)["data"],
        json!({ "base64": format!("{}…", "/".repeat(64)), "bytes": 32768 })
    );
    let write = content::WriteContentRequest {
        action: content::WriteAction::Commit.into(),
        r#ref: "up".to_owned(),
        ..Default::default()
    };
    assert_eq!(
        line(&format!("{store}/Write"), true, &write),
        "action=COMMIT ref=up"
    );

    let workers = control::ListWorkersResponse {
        record: vec![types::WorkerRecord {
            id: "w1".to_owned(),
            buildkit_version: Some(types::BuildkitVersion {
                version: "v0.32.0".to_owned(),
                ..Default::default()
            }),
            ..Default::default()
        }],
    };
    assert_eq!(
        line("/moby.buildkit.v1.Control/ListWorkers", false, &workers),
        "1 worker: w1 (v0.32.0)"
    );
    let info = control::InfoResponse {
        buildkit_version: workers.record[0].buildkit_version.clone(),
    };
    assert_eq!(
        line("/moby.buildkit.v1.Control/Info", false, &info),
        "version=v0.32.0"
    );
}

#[test]
fn sizes() {
    for (bytes, text) in [
        (0, "0 bytes"),
        (1, "1 byte"),
        (1023, "1023 bytes"),
        (1024, "1 KiB"),
        (1234, "1.2 KiB"),
        (102_500, "100 KiB"),
        (1 << 20, "1 MiB"),
        (u64::MAX, "15.9 EiB"),
    ] {
        assert_eq!(size(bytes), text);
    }
}
