//! What the things that [`crate::wire`] cuts out mean, in the words of the Engine API and of
//! BuildKit. Nothing here knows where the bytes come from or keeps a trace of them.

pub mod diffcopy;
pub mod engine;
pub mod grpc_status;
pub mod llb;
pub mod mask;
pub mod metadata;
pub mod progress;
pub mod session;
