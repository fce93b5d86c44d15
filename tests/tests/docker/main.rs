//! The program between real clients and real daemons.

mod buildx;
mod capture;
mod cli;
mod memory;
mod misbehaving;
