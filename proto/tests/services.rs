//! Every path that a build session is known to use leads to a method of the right shape.

use buildtap_proto::schema::Schemas;

/// Which side sends more than one message.
#[derive(Debug, PartialEq, Clone, Copy)]
enum Kind {
    Unary,
    ServerStream,
    Bidi,
}
use Kind::{Bidi, ServerStream, Unary};

/// Package and service, and for each method its kind, request and response. A type without a dot is in that package.
type Service = (
    &'static str,
    &'static str,
    &'static [(&'static str, Kind, &'static str, &'static str)],
);

const SERVICES: &[Service] = &[
    (
        "moby.buildkit.v1",
        "Control",
        &[
            ("DiskUsage", Unary, "DiskUsageRequest", "DiskUsageResponse"),
            ("Prune", ServerStream, "PruneRequest", "UsageRecord"),
            ("Solve", Unary, "SolveRequest", "SolveResponse"),
            ("Status", ServerStream, "StatusRequest", "StatusResponse"),
            ("Session", Bidi, "BytesMessage", "BytesMessage"),
            (
                "ListWorkers",
                Unary,
                "ListWorkersRequest",
                "ListWorkersResponse",
            ),
            ("Info", Unary, "InfoRequest", "InfoResponse"),
            (
                "ListenBuildHistory",
                ServerStream,
                "BuildHistoryRequest",
                "BuildHistoryEvent",
            ),
            (
                "UpdateBuildHistory",
                Unary,
                "UpdateBuildHistoryRequest",
                "UpdateBuildHistoryResponse",
            ),
        ],
    ),
    (
        "moby.buildkit.v1.frontend",
        "LLBBridge",
        &[
            (
                "ResolveImageConfig",
                Unary,
                "ResolveImageConfigRequest",
                "ResolveImageConfigResponse",
            ),
            (
                "ResolveSourceMeta",
                Unary,
                "ResolveSourceMetaRequest",
                "ResolveSourceMetaResponse",
            ),
            ("Solve", Unary, "SolveRequest", "SolveResponse"),
            ("ReadFile", Unary, "ReadFileRequest", "ReadFileResponse"),
            ("ReadDir", Unary, "ReadDirRequest", "ReadDirResponse"),
            ("StatFile", Unary, "StatFileRequest", "StatFileResponse"),
            ("Evaluate", Unary, "EvaluateRequest", "EvaluateResponse"),
            ("Ping", Unary, "PingRequest", "PongResponse"),
            ("Return", Unary, "ReturnRequest", "ReturnResponse"),
            ("Inputs", Unary, "InputsRequest", "InputsResponse"),
            (
                "NewContainer",
                Unary,
                "NewContainerRequest",
                "NewContainerResponse",
            ),
            (
                "ReleaseContainer",
                Unary,
                "ReleaseContainerRequest",
                "ReleaseContainerResponse",
            ),
            ("ExecProcess", Bidi, "ExecMessage", "ExecMessage"),
            (
                "ReadFileContainer",
                Unary,
                "ReadFileRequest",
                "ReadFileResponse",
            ),
            (
                "ReadDirContainer",
                Unary,
                "ReadDirRequest",
                "ReadDirResponse",
            ),
            (
                "StatFileContainer",
                Unary,
                "StatFileRequest",
                "StatFileResponse",
            ),
            ("Warn", Unary, "WarnRequest", "WarnResponse"),
        ],
    ),
    (
        "moby.buildkit.v1.sourcepolicy.policysession",
        "PolicyVerifier",
        &[(
            "CheckPolicy",
            Unary,
            "CheckPolicyRequest",
            "CheckPolicyResponse",
        )],
    ),
    (
        "moby.filesync.v1",
        "FileSync",
        &[
            (
                "DiffCopy",
                Bidi,
                "fsutil.types.Packet",
                "fsutil.types.Packet",
            ),
            (
                "TarStream",
                Bidi,
                "fsutil.types.Packet",
                "fsutil.types.Packet",
            ),
        ],
    ),
    (
        "moby.filesync.v1",
        "FileSend",
        &[("DiffCopy", Bidi, "BytesMessage", "BytesMessage")],
    ),
    (
        "moby.filesync.v1",
        "Auth",
        &[
            (
                "Credentials",
                Unary,
                "CredentialsRequest",
                "CredentialsResponse",
            ),
            (
                "FetchToken",
                Unary,
                "FetchTokenRequest",
                "FetchTokenResponse",
            ),
            (
                "GetTokenAuthority",
                Unary,
                "GetTokenAuthorityRequest",
                "GetTokenAuthorityResponse",
            ),
            (
                "VerifyTokenAuthority",
                Unary,
                "VerifyTokenAuthorityRequest",
                "VerifyTokenAuthorityResponse",
            ),
        ],
    ),
    (
        "moby.buildkit.secrets.v1",
        "Secrets",
        &[("GetSecret", Unary, "GetSecretRequest", "GetSecretResponse")],
    ),
    (
        "moby.sshforward.v1",
        "SSH",
        &[
            (
                "CheckAgent",
                Unary,
                "CheckAgentRequest",
                "CheckAgentResponse",
            ),
            ("ForwardAgent", Bidi, "BytesMessage", "BytesMessage"),
        ],
    ),
    (
        "moby.upload.v1",
        "Upload",
        &[("Pull", Bidi, "BytesMessage", "BytesMessage")],
    ),
    (
        "moby.exporter.v1",
        "Exporter",
        &[
            (
                "FindExporters",
                Unary,
                "FindExportersRequest",
                "FindExportersResponse",
            ),
            (
                "FinalizeExport",
                Unary,
                "FinalizeExportRequest",
                "FinalizeExportResponse",
            ),
        ],
    ),
    (
        "containerd.services.content.v1",
        "Content",
        &[
            ("Info", Unary, "InfoRequest", "InfoResponse"),
            ("Update", Unary, "UpdateRequest", "UpdateResponse"),
            (
                "List",
                ServerStream,
                "ListContentRequest",
                "ListContentResponse",
            ),
            (
                "Delete",
                Unary,
                "DeleteContentRequest",
                "google.protobuf.Empty",
            ),
            (
                "Read",
                ServerStream,
                "ReadContentRequest",
                "ReadContentResponse",
            ),
            ("Status", Unary, "StatusRequest", "StatusResponse"),
            (
                "ListStatuses",
                Unary,
                "ListStatusesRequest",
                "ListStatusesResponse",
            ),
            ("Write", Bidi, "WriteContentRequest", "WriteContentResponse"),
            ("Abort", Unary, "AbortRequest", "google.protobuf.Empty"),
        ],
    ),
    (
        "grpc.health.v1",
        "Health",
        &[
            ("Check", Unary, "HealthCheckRequest", "HealthCheckResponse"),
            ("List", Unary, "HealthListRequest", "HealthListResponse"),
            (
                "Watch",
                ServerStream,
                "HealthCheckRequest",
                "HealthCheckResponse",
            ),
        ],
    ),
    (
        "grpc.reflection.v1",
        "ServerReflection",
        &[(
            "ServerReflectionInfo",
            Bidi,
            "ServerReflectionRequest",
            "ServerReflectionResponse",
        )],
    ),
    (
        "grpc.reflection.v1alpha",
        "ServerReflection",
        &[(
            "ServerReflectionInfo",
            Bidi,
            "ServerReflectionRequest",
            "ServerReflectionResponse",
        )],
    ),
    (
        "opentelemetry.proto.collector.trace.v1",
        "TraceService",
        &[(
            "Export",
            Unary,
            "ExportTraceServiceRequest",
            "ExportTraceServiceResponse",
        )],
    ),
];

#[test]
fn every_path_leads_to_its_method() {
    let schemas = Schemas::builtin();
    for (package, service, methods) in SERVICES {
        for (name, kind, request, response) in *methods {
            let path = format!("/{package}.{service}/{name}");
            let method = schemas
                .method(&path)
                .unwrap_or_else(|| panic!("no method for {path}"));
            let found = match (method.is_client_streaming(), method.is_server_streaming()) {
                (false, false) => Unary,
                (false, true) => ServerStream,
                (true, true) => Bidi,
                (true, false) => panic!("{path} streams from the client only"),
            };
            let full = |name: &str| match name.contains('.') {
                true => name.to_owned(),
                false => format!("{package}.{name}"),
            };
            assert_eq!(found, *kind, "{path}");
            assert_eq!(method.input().full_name(), full(request), "{path}");
            assert_eq!(method.output().full_name(), full(response), "{path}");
        }
    }
}

#[test]
fn there_is_no_method_beyond_the_table() {
    let listed: usize = SERVICES.iter().map(|(_, _, methods)| methods.len()).sum();
    let found: usize = buildtap_proto::pool()
        .services()
        .map(|s| s.methods().len())
        .sum();
    assert_eq!(found, listed);
}

#[test]
fn only_announced_names_are_compared_in_any_case() {
    let schemas = Schemas::builtin();
    let odd = "/moby.filesync.v1.filesend/diffcopy";
    assert!(schemas.method(odd).is_none());
    let method = schemas.method_ignore_case(odd).unwrap();
    assert_eq!(method.full_name(), "moby.filesync.v1.FileSend.DiffCopy");

    for nonsense in [
        "",
        "/",
        "//",
        "/a",
        "moby.filesync.v1.FileSend/DiffCopy",
        "/pb.Op/",
        "/a/b/c",
    ] {
        assert!(schemas.method(nonsense).is_none(), "{nonsense:?}");
        assert!(
            schemas.method_ignore_case(nonsense).is_none(),
            "{nonsense:?}"
        );
    }
}
