//! The `buildtap` program.

fn main() {}
