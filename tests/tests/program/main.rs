//! The program without any daemon: what is relayed, what goes wrong, and the demo.

mod demo;
mod errors;
mod show;
mod transparency;
