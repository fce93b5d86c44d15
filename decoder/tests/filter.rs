//! `docs/filter.md` is what the table of fields says.

use std::path::PathBuf;

use buildtap_decoder::filter::document;

/// After a change of the table, `BUILDTAP_WRITE_DOCS=1 cargo test -p buildtap-decoder --test filter`
/// writes the document anew.
#[test]
fn the_document_is_the_table() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/filter.md");
    let made = document();
    if std::env::var_os("BUILDTAP_WRITE_DOCS").is_some() {
        std::fs::write(&path, &made).unwrap();
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        there == made,
        "docs/filter.md is old: BUILDTAP_WRITE_DOCS=1 cargo test -p buildtap-decoder --test filter"
    );
}
