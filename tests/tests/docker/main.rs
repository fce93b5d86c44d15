//! The program between real clients and real daemons.

mod bed;
mod bollard;
mod buildx;
mod capture;
mod cassette;
mod cli;
mod generated;
mod graph;
mod memory;
mod misbehaving;
mod replay;
mod screen;
mod stalled;
mod upgrade;
