//! The program without any daemon: what is relayed, what goes wrong, and the demo.

mod cassette;
mod demo;
mod errors;
mod round_trip;
mod screen;
mod show;
mod transparency;
