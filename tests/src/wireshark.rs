//! tshark, Debian's: whether it is there.

use std::path::Path;

/// Where it is.
pub const TSHARK: &str = "/usr/bin/tshark";

/// Whether there is one; on a build machine there must be.
pub fn is_there() -> bool {
    let is_there = Path::new(TSHARK).exists();
    assert!(
        is_there || std::env::var_os("CI").is_none(),
        "there is no tshark: run tests/lab/install.sh as root"
    );
    if !is_there {
        eprintln!("skipped, because there is no {TSHARK}: run tests/lab/install.sh as root");
    }
    is_there
}
