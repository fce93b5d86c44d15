//! What the messages of a build session mean, one file for each thing that is spoken: the Engine
//! API, the headers and metadata of sessions, build graphs, errors. They are functions of what
//! they are given; how bytes become messages is `wire`, and what follows from the messages of a
//! whole connection is the trace.

pub mod engine;
pub mod grpc_status;
pub mod llb;
pub mod mask;
pub mod metadata;
pub mod progress;
pub mod session;
