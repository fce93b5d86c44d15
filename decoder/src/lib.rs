//! From the bytes of a container build session to a trace of what was said.
//!
//! This crate is sans-IO: no sockets, no files, no clock, no tasks. It is told what a tap saw
//! ([`event::TapEvent`]) and keeps a trace of it, which every view is a function of.

#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::panic
)]
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::panic
    )
)]

pub mod event;
pub mod protocol;
pub mod wire;
