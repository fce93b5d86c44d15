//! The screen: what build clients and daemons say to each other, in a terminal.
//!
//! | module | what lives there |
//! |---|---|
//! | [`model`] | what is shown: a store that follows a decoder, and who feeds it |
//! | [`view`] | what a view is, and what it may look at |
//! | [`app`] | the views together, keys, mouse |
//! | [`keys`] | which key does what |
//! | [`palette`], [`text`], [`widgets`], [`words`] | what views are drawn with |
//! | [`export`] | what is shown, as JSON |
//! | [`screen`] | the terminal, and the one loop |
//!
//! Views are functions of the store and of where the user stands: they read no clock, no file and
//! no socket, and draw into a buffer. What the bytes mean is decided in `buildtap-decoder`; who
//! reads a file or watches a relay is in the program.
//!
//! What came off a wire reaches a cell only through [`text::Pen`].

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing
    )
)]

pub mod app;
mod details;
pub mod document;
pub mod export;
mod frame;
mod help;
pub mod keys;
pub mod model;
pub mod palette;
pub mod prompt;
pub mod screen;
pub mod text;
pub mod view;
mod views;
pub mod widgets;
pub mod words;
