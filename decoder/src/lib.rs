//! From the bytes of a container build session to a trace of what was said.
//!
//! This crate is sans-IO: no sockets, no files, no clock, no tasks. It is told what a tap saw
//! ([`event::TapEvent`]) and keeps a trace of it ([`trace::Trace`]), which every view is a
//! function of.
//!
//! The way of the data, top-down: [`Decoder`] → `stack` (the layers of one connection) → [`wire`]
//! (bytes cut into requests, frames, messages) and [`protocol`] (what they mean) → [`trace`]
//! (what was said) → [`obligation`] (whose turn it is) → `doctor` (what is wrong). [`describe`] puts single messages into words,
//! [`redact`] masks secrets in bytes that are to be written down.
//!
//! Anything that comes off a wire may be malformed, endless or hostile: nothing here panics on
//! it, and nothing grows with it beyond [`Limits`].

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::panic
    )
)]

mod core;
mod decoder;
pub mod describe;
mod doctor;
pub mod event;
pub mod filter;
mod inflate;
mod limits;
pub mod masking;
pub mod obligation;
mod origin;
pub mod protocol;
pub mod redact;
mod stack;
mod text;
pub mod trace;
pub mod wire;

pub use crate::core::Options;
pub use crate::decoder::Decoder;
pub use crate::doctor::catalogue as findings;
pub use crate::limits::Limits;
