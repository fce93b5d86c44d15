//! `.proto` files compiled at run time.
#![cfg(feature = "compile")]

use std::fs;
use std::path::{Path, PathBuf};

use buildtap_proto::schema::{SchemaError, Schemas};
use tempfile::TempDir;

/// A directory with these files.
fn tree(files: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, format!("syntax = \"proto3\";\n{text}\n")).unwrap();
    }
    dir
}

fn add(paths: &[PathBuf], includes: &[PathBuf]) -> Result<Schemas, SchemaError> {
    let mut schemas = Schemas::builtin();
    schemas.add_proto_files(paths, includes)?;
    Ok(schemas)
}

fn add_dir(dir: &Path) -> Result<Schemas, SchemaError> {
    add(&[dir.to_owned()], &[])
}

const ASK: &str = "package q; import \"lib/word.proto\";
    service Q { rpc Ask(stream lib.Word) returns (lib.Word); }";
const WORD: &str = "package lib; message Word { string text = 1; }";

#[test]
fn a_directory_stands_for_all_below_it() {
    let dir = tree(&[
        ("a/ask.proto", ASK),
        ("lib/word.proto", WORD),
        ("lib/notes.txt", "?"),
    ]);
    let method = add_dir(dir.path()).unwrap().method("/q.Q/Ask").unwrap();
    assert!(method.is_client_streaming() && !method.is_server_streaming());
    assert_eq!(method.input().full_name(), "lib.Word");
}

#[test]
fn a_file_needs_no_include_path_unless_it_imports() {
    let dir = tree(&[("a/ask.proto", ASK), ("lib/word.proto", WORD)]);
    let (ask, word) = (
        dir.path().join("a/ask.proto"),
        dir.path().join("lib/word.proto"),
    );
    assert!(add(&[word], &[]).unwrap().message("lib.Word").is_some());
    let text = add(std::slice::from_ref(&ask), &[])
        .unwrap_err()
        .to_string();
    assert_eq!(
        text,
        "ask.proto:2:12: import 'lib/word.proto' not found; if an import is missing, name the directory that its \
         path starts from as an include path"
    );
    assert!(
        add(&[ask], &[dir.path().to_owned()])
            .unwrap()
            .method("/q.Q/Ask")
            .is_some()
    );
}

/// As in a checkout of BuildKit, whose files import each other by the path of the Go module.
#[test]
fn imports_by_module_path_are_found_in_the_tree_and_then_among_ours() {
    let dir = tree(&[
        (
            "solver/pb/ops.proto",
            "package pb; message Op { string new_kind = 1; } message Fresh {}",
        ),
        (
            "mine.proto",
            "package mine;
             import \"github.com/moby/buildkit/solver/pb/ops.proto\";
             import \"github.com/tonistiigi/fsutil/types/stat.proto\";
             import \"google/protobuf/timestamp.proto\";
             import \"fsutil/types.proto\";
             message M { pb.Fresh f = 1; fsutil.types.Stat s = 2; google.protobuf.Timestamp t = 3; }",
        ),
        ("vendor/broken.proto", "import \"not/there.proto\";"),
    ]);
    let schemas = add_dir(dir.path()).unwrap();
    let stat = schemas.message("mine.M").unwrap().get_field(2).unwrap();
    assert_eq!(stat.kind().as_message().unwrap().fields().len(), 10);
    assert_eq!(schemas.replaced(), ["pb.Op"]);
    assert!(
        schemas
            .message("pb.Op")
            .unwrap()
            .get_field_by_name("new_kind")
            .is_some()
    );
    assert!(
        schemas.message("pb.Definition").is_some(),
        "what the tree does not define stays ours"
    );
}

#[test]
fn what_is_wrong_is_said() {
    let dir = tree(&[
        ("bad/b.proto", "message {"),
        ("empty/x.txt", ""),
        ("c/c.proto", "message C { D d = 1; }"),
    ]);
    let at = |name: &str| add_dir(&dir.path().join(name)).unwrap_err().to_string();
    assert!(
        at("bad").starts_with("b.proto:2:9: expected an identifier"),
        "{}",
        at("bad")
    );
    assert!(
        at("c").starts_with("c.proto:2:13: name 'D' is not defined"),
        "{}",
        at("c")
    );
    assert!(
        at("empty").starts_with("there is no .proto file below "),
        "{}",
        at("empty")
    );
    assert!(at("gone").starts_with("cannot read "), "{}", at("gone"));
}
