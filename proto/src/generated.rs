//! The generated types: one module for each protobuf package, nested as the package names are.
//!
//! `prost-build` refers from one package to another by `super::` paths, so the nesting is part of the contract. Bytes
//! fields are [`bytes::Bytes`](prost::bytes::Bytes) and point into the buffer that was decoded.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    reason = "generated: the meaning of a field is the matter of the .proto file"
)]

/// What containerd speaks.
pub mod containerd {
    /// Services of containerd.
    pub mod services {
        /// The content store.
        pub mod content {
            /// The content store of containerd. On a session the daemon reads and writes blobs of the client; on the control connection a client reads blobs of the build history.
            pub mod v1 {
                include!(concat!(
                    env!("OUT_DIR"),
                    "/containerd.services.content.v1.rs"
                ));
            }
        }
    }

    /// The descriptor of a blob, as containerd writes it.
    pub mod types {
        include!(concat!(env!("OUT_DIR"), "/containerd.types.rs"));
    }
}

/// Records of the content hash that BuildKit keeps with a cache entry. Not seen on a connection.
pub mod contenthash {
    include!(concat!(env!("OUT_DIR"), "/contenthash.rs"));
}

/// Details of build errors. On the wire they travel as JSON inside google.protobuf.Any, see google/rpc.proto.
pub mod errdefs {
    include!(concat!(env!("OUT_DIR"), "/errdefs.rs"));
}

/// The library that moves file trees.
pub mod fsutil {
    /// The file-tree protocol of DiffCopy: packets and file metadata.
    pub mod types {
        include!(concat!(env!("OUT_DIR"), "/fsutil.types.rs"));
    }
}

/// What is not in [`prost_types`] of the `google` packages.
pub mod google {
    /// The status of a call, as the trailer grpc-status-details-bin carries it.
    pub mod rpc {
        include!(concat!(env!("OUT_DIR"), "/google.rpc.rs"));
    }
}

/// Services that gRPC itself defines.
pub mod grpc {
    /// Health checks.
    pub mod health {
        /// The health service of gRPC. The daemon calls it on every session: two failures in a row end the session.
        pub mod v1 {
            include!(concat!(env!("OUT_DIR"), "/grpc.health.v1.rs"));
        }
    }

    /// Reflection.
    pub mod reflection {
        /// The reflection service of gRPC, which buildkitd registers.
        pub mod v1 {
            include!(concat!(env!("OUT_DIR"), "/grpc.reflection.v1.rs"));
        }

        /// The reflection service of gRPC, in its older name: the messages are those of v1.
        pub mod v1alpha {
            include!(concat!(env!("OUT_DIR"), "/grpc.reflection.v1alpha.rs"));
        }
    }
}

/// What BuildKit speaks, in the packages that start with `moby`.
pub mod moby {
    /// BuildKit proper.
    pub mod buildkit {
        /// Build secrets.
        pub mod secrets {
            /// The session service that hands build secrets to the daemon.
            pub mod v1 {
                include!(concat!(env!("OUT_DIR"), "/moby.buildkit.secrets.v1.rs"));
            }
        }

        /// The control API of BuildKit: what a build client asks of the daemon.
        pub mod v1 {
            include!(concat!(env!("OUT_DIR"), "/moby.buildkit.v1.rs"));

            /// Capabilities that the gateway announces in its answer to Ping.
            pub mod apicaps {
                include!(concat!(env!("OUT_DIR"), "/moby.buildkit.v1.apicaps.rs"));
            }

            /// The gateway (LLBBridge): what a frontend asks of the solver. buildx speaks it on the control connection.
            pub mod frontend {
                include!(concat!(env!("OUT_DIR"), "/moby.buildkit.v1.frontend.rs"));
            }

            /// Source policies: rules that allow, deny or convert the sources of a build.
            pub mod sourcepolicy {
                include!(concat!(
                    env!("OUT_DIR"),
                    "/moby.buildkit.v1.sourcepolicy.rs"
                ));

                /// The session service through which the daemon asks a client for policy decisions.
                pub mod policysession {
                    include!(concat!(
                        env!("OUT_DIR"),
                        "/moby.buildkit.v1.sourcepolicy.policysession.rs"
                    ));
                }
            }

            /// Workers and versions, as the control API and the gateway report them.
            pub mod types {
                include!(concat!(env!("OUT_DIR"), "/moby.buildkit.v1.types.rs"));
            }
        }
    }

    /// Exporters chosen by the client.
    pub mod exporter {
        /// The session service through which a client chooses exporters late.
        pub mod v1 {
            include!(concat!(env!("OUT_DIR"), "/moby.exporter.v1.rs"));
        }
    }

    /// File trees and credentials.
    pub mod filesync {
        /// The session services for file trees, outputs and registry credentials.
        pub mod v1 {
            include!(concat!(env!("OUT_DIR"), "/moby.filesync.v1.rs"));
        }
    }

    /// SSH agent forwarding.
    pub mod sshforward {
        /// The session service that forwards an SSH agent.
        pub mod v1 {
            include!(concat!(env!("OUT_DIR"), "/moby.sshforward.v1.rs"));
        }
    }

    /// Uploads.
    pub mod upload {
        /// The session service through which the daemon pulls a build context given as one stream.
        pub mod v1 {
            include!(concat!(env!("OUT_DIR"), "/moby.upload.v1.rs"));
        }
    }
}

/// OTLP, as far as traces go.
pub mod opentelemetry {
    /// The OTLP packages.
    pub mod proto {
        /// Services of an OTLP collector.
        pub mod collector {
            /// The trace collector.
            pub mod trace {
                /// The service through which a build client hands its own spans to the daemon, on the control connection.
                pub mod v1 {
                    include!(concat!(
                        env!("OUT_DIR"),
                        "/opentelemetry.proto.collector.trace.v1.rs"
                    ));
                }
            }
        }

        /// Shared by all signals.
        pub mod common {
            /// Attributes and scopes of OTLP.
            pub mod v1 {
                include!(concat!(
                    env!("OUT_DIR"),
                    "/opentelemetry.proto.common.v1.rs"
                ));
            }
        }

        /// Resources.
        pub mod resource {
            /// The resource of OTLP: who produced the telemetry.
            pub mod v1 {
                include!(concat!(
                    env!("OUT_DIR"),
                    "/opentelemetry.proto.resource.v1.rs"
                ));
            }
        }

        /// Traces.
        pub mod trace {
            /// The spans of OTLP.
            pub mod v1 {
                include!(concat!(env!("OUT_DIR"), "/opentelemetry.proto.trace.v1.rs"));
            }
        }
    }
}

/// LLB: the operations of a build graph, and the definition that carries them in serialised form.
pub mod pb {
    include!(concat!(env!("OUT_DIR"), "/pb.rs"));
}

/// Stack traces that BuildKit attaches to errors, as JSON inside google.protobuf.Any.
pub mod stack {
    include!(concat!(env!("OUT_DIR"), "/stack.rs"));
}
