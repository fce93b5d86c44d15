//! `.proto` sources to file descriptors, with protox.
//!
//! Every file is compiled by itself. One run over all of them would refuse a tree that holds a definition twice, as a
//! checkout with a vendor directory does; here the later step decides, as for any other addition.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf, absolute};

use prost_types::FileDescriptorProto;
use protox::file::{
    ChainFileResolver, File, FileResolver, GoogleFileResolver, IncludeFileResolver,
};

use super::SchemaError;

/// How many `.proto` files are read below one directory.
const MAX_FILES: usize = 10_000;

pub(super) fn compile(
    paths: &[PathBuf],
    includes: &[PathBuf],
) -> Result<Vec<FileDescriptorProto>, SchemaError> {
    // Absolute, so that a file is known to lie in an include path whichever way the two were written.
    let mut includes = includes
        .iter()
        .map(|p| full(p))
        .collect::<Result<Vec<_>, _>>()?;
    let mut sources = Vec::new();
    let mut alone = Vec::new();
    for path in paths {
        let path = full(path)?;
        if fs::metadata(&path)
            .map_err(|err| read(&path, err))?
            .is_dir()
        {
            sources.extend(proto_files(&path)?);
            includes.push(path);
        } else {
            alone.push(path);
        }
    }
    for path in alone {
        if !includes.iter().any(|include| path.starts_with(include)) {
            includes.extend(path.parent().map(Path::to_owned));
        }
        sources.push(path);
    }

    let mut files = Vec::new();
    let mut seen = HashSet::new();
    for source in sources {
        let mut compiler = protox::Compiler::with_file_resolver(Resolver::new(&includes));
        compiler
            .include_imports(true)
            .open_file(&source)
            .map_err(|err| {
                // The Debug form of these errors is the usual `file:line:column: message`; Display has the message only.
                SchemaError::Compile {
                    cause: format!("{err:?}"),
                }
            })?;
        let set = compiler.file_descriptor_set();
        files.extend(
            set.file
                .into_iter()
                .filter(|f| seen.insert(f.name().to_owned())),
        );
    }
    Ok(files)
}

fn full(path: &Path) -> Result<PathBuf, SchemaError> {
    absolute(path).map_err(|err| read(path, err))
}

fn read(path: &Path, cause: std::io::Error) -> SchemaError {
    SchemaError::Read {
        path: path.to_owned(),
        cause,
    }
}

/// The `.proto` files below `root`, sorted.
///
/// A `vendor` directory is passed by: `go mod vendor` copies files without what they import.
fn proto_files(root: &Path) -> Result<Vec<PathBuf>, SchemaError> {
    let mut found = Vec::new();
    let mut dirs = vec![root.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).map_err(|err| read(&dir, err))? {
            let entry = entry.map_err(|err| read(&dir, err))?;
            let path = entry.path();
            if entry.file_type().map_err(|err| read(&path, err))?.is_dir() {
                if entry.file_name() != "vendor" {
                    dirs.push(path);
                }
            } else if path.extension().is_some_and(|ext| ext == "proto") && path.is_file() {
                found.push(path);
            }
        }
        if found.len() > MAX_FILES {
            return Err(SchemaError::TooManyFiles {
                path: root.to_owned(),
                limit: MAX_FILES,
            });
        }
    }
    if found.is_empty() {
        return Err(SchemaError::NoProtoFiles {
            path: root.to_owned(),
        });
    }
    found.sort_unstable();
    Ok(found)
}

/// Include paths, then include paths without the front of the name, then the built-in schemas.
struct Resolver {
    files: ChainFileResolver,
}

impl Resolver {
    fn new(includes: &[PathBuf]) -> Self {
        let mut files = ChainFileResolver::new();
        for include in includes {
            files.add(IncludeFileResolver::new(include.clone()));
        }
        files.add(GoogleFileResolver::new());
        Self { files }
    }

    /// The name under which a file is there that was imported as `name`.
    fn shorter(&self, name: &str) -> Option<String> {
        let mut rest = name;
        while let Some((_, tail)) = rest.split_once('/') {
            // A bare file name would match anything.
            if !tail.contains('/') {
                break;
            }
            if self.files.open_file(tail).is_ok() {
                return Some(tail.to_owned());
            }
            rest = tail;
        }
        None
    }
}

impl FileResolver for Resolver {
    fn resolve_path(&self, path: &Path) -> Option<String> {
        self.files.resolve_path(path)
    }

    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        let not_found = match self.files.open_file(name) {
            Err(err) if err.is_file_not_found() => err,
            result => return result,
        };
        if let Some(builtin) = crate::pool().get_file_by_name(name) {
            return Ok(File::from_file_descriptor_proto(
                builtin.file_descriptor_proto().clone(),
            ));
        }
        match self
            .shorter(name)
            .or_else(|| upstream(name).map(str::to_owned))
        {
            Some(other) => Ok(File::from_file_descriptor_proto(forward(name, other))),
            None => Err(not_found),
        }
    }
}

/// A file called `name` whose contents are those of `other`.
fn forward(name: &str, other: String) -> FileDescriptorProto {
    FileDescriptorProto {
        name: Some(name.to_owned()),
        dependency: vec![other],
        public_dependency: vec![0],
        syntax: Some("proto3".to_owned()),
        ..FileDescriptorProto::default()
    }
}

/// The built-in file for the name that the project of its origin imports it by.
fn upstream(name: &str) -> Option<&'static str> {
    UPSTREAM
        .iter()
        .find(|(import, _)| *import == name)
        .map(|(_, ours)| *ours)
}

const UPSTREAM: &[(&str, &str)] = &[
    (
        "github.com/containerd/containerd/api/services/content/v1/content.proto",
        "containerd/services/content/v1.proto",
    ),
    (
        "github.com/containerd/containerd/api/types/descriptor.proto",
        "containerd/types.proto",
    ),
    (
        "github.com/moby/buildkit/api/services/control/control.proto",
        "moby/buildkit/v1.proto",
    ),
    (
        "github.com/moby/buildkit/api/types/worker.proto",
        "moby/buildkit/v1/types.proto",
    ),
    (
        "github.com/moby/buildkit/cache/contenthash/checksum.proto",
        "contenthash.proto",
    ),
    (
        "github.com/moby/buildkit/frontend/gateway/pb/gateway.proto",
        "moby/buildkit/v1/frontend.proto",
    ),
    (
        "github.com/moby/buildkit/session/auth/auth.proto",
        "moby/filesync/v1.proto",
    ),
    (
        "github.com/moby/buildkit/session/exporter/exporter.proto",
        "moby/exporter/v1.proto",
    ),
    (
        "github.com/moby/buildkit/session/filesync/filesync.proto",
        "moby/filesync/v1.proto",
    ),
    (
        "github.com/moby/buildkit/session/secrets/secrets.proto",
        "moby/buildkit/secrets/v1.proto",
    ),
    (
        "github.com/moby/buildkit/session/sshforward/ssh.proto",
        "moby/sshforward/v1.proto",
    ),
    (
        "github.com/moby/buildkit/session/upload/upload.proto",
        "moby/upload/v1.proto",
    ),
    (
        "github.com/moby/buildkit/solver/errdefs/errdefs.proto",
        "errdefs.proto",
    ),
    ("github.com/moby/buildkit/solver/pb/ops.proto", "pb.proto"),
    (
        "github.com/moby/buildkit/sourcepolicy/pb/policy.proto",
        "moby/buildkit/v1/sourcepolicy.proto",
    ),
    (
        "github.com/moby/buildkit/sourcepolicy/policysession/policysession.proto",
        "moby/buildkit/v1/sourcepolicy/policysession.proto",
    ),
    (
        "github.com/moby/buildkit/util/apicaps/pb/caps.proto",
        "moby/buildkit/v1/apicaps.proto",
    ),
    (
        "github.com/moby/buildkit/util/stack/stack.proto",
        "stack.proto",
    ),
    (
        "github.com/tonistiigi/fsutil/types/stat.proto",
        "fsutil/types.proto",
    ),
    (
        "github.com/tonistiigi/fsutil/types/wire.proto",
        "fsutil/types.proto",
    ),
    ("google/rpc/status.proto", "google/rpc.proto"),
    ("grpc/health/v1/health.proto", "grpc/health/v1.proto"),
    (
        "grpc/reflection/v1/reflection.proto",
        "grpc/reflection/v1.proto",
    ),
    (
        "grpc/reflection/v1alpha/reflection.proto",
        "grpc/reflection/v1alpha.proto",
    ),
    (
        "opentelemetry/proto/collector/trace/v1/trace_service.proto",
        "opentelemetry/proto/collector/trace/v1.proto",
    ),
    (
        "opentelemetry/proto/common/v1/common.proto",
        "opentelemetry/proto/common/v1.proto",
    ),
    (
        "opentelemetry/proto/resource/v1/resource.proto",
        "opentelemetry/proto/resource/v1.proto",
    ),
    (
        "opentelemetry/proto/trace/v1/trace.proto",
        "opentelemetry/proto/trace/v1.proto",
    ),
];

#[cfg(test)]
mod tests {
    use super::UPSTREAM;

    #[test]
    fn every_upstream_name_leads_to_a_builtin_file() {
        for (import, ours) in UPSTREAM {
            assert!(
                crate::pool().get_file_by_name(ours).is_some(),
                "{import} -> {ours}"
            );
        }
    }
}
