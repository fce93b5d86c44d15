//! Every rule of the doctor: once where it has to speak, and once beside it where it must not.

#[path = "../common/mod.rs"]
mod common;

mod archives;
mod calls;
mod connections;
mod control;
mod loss;
mod sessions;
mod setup;
mod transfers;
mod tunnels;

const HEALTH: &str = "/grpc.health.v1.Health/Check";
