//! Throughput and latency of the relay.
fn main() {}
