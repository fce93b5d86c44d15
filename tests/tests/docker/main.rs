//! The program between real clients and real daemons.

mod buildx;
mod capture;
mod cassette;
mod cli;
mod memory;
mod misbehaving;
mod replay;
