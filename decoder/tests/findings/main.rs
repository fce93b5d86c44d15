//! Every rule of the doctor: once where it has to speak, and once beside it where it must not.

#[path = "../common/mod.rs"]
mod common;

mod calls;
mod connections;
mod sessions;
mod setup;
mod transfers;

const HEALTH: &str = "/grpc.health.v1.Health/Check";
