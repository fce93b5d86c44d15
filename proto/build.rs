//! Compiles `schemas/` without protoc: protox gives a descriptor set, prost-build turns it into Rust.

use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

use protox::prost::Message as _;

fn main() -> Result<(), Box<dyn Error>> {
    let schemas = PathBuf::from("schemas");
    println!("cargo::rerun-if-changed=schemas");

    let mut files = Vec::new();
    proto_files(&schemas, &mut files)?;
    files.sort();

    let mut set = protox::Compiler::new([&schemas])?
        .include_imports(true)
        .include_source_info(true)
        .open_files(&files)?
        .file_descriptor_set();

    // Comments become Rust documentation; the set that is embedded does without them.
    prost_build::Config::new()
        .bytes(["."])
        .skip_protoc_run()
        .compile_fds(set.clone())?;
    for file in &mut set.file {
        file.source_code_info = None;
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    fs::write(out.join("descriptor_set.bin"), set.encode_to_vec())?;
    fs::write(out.join("sources.rs"), sources(&schemas, &files)?)?;
    Ok(())
}

/// A list of names, as one file imports another, and texts.
fn sources(schemas: &Path, files: &[PathBuf]) -> Result<String, Box<dyn Error>> {
    let mut list = String::from("&[\n");
    for file in files {
        let name = file.strip_prefix(schemas)?;
        let text = file.canonicalize()?;
        writeln!(list, "    ({name:?}, include_str!({text:?})),")?;
    }
    list.push_str("]\n");
    Ok(list)
}

fn proto_files(dir: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            proto_files(&path, files)?;
        } else if path.extension().is_some_and(|ext| ext == "proto") {
            files.push(path);
        }
    }
    Ok(())
}
