//! Schemas at run time: the built-in ones, and those that a user adds.
//!
//! What lives here: look-up of methods and messages, and the ways in for descriptor sets and `.proto` files. How a user's
//! definitions are laid over ours is in `merge`, how sources are found and compiled in `compile`.

use std::path::PathBuf;

use prost::Message as _;
use prost_reflect::{DescriptorError, DescriptorPool, MessageDescriptor, MethodDescriptor};
use prost_types::{FileDescriptorProto, FileDescriptorSet};

#[cfg(feature = "compile")]
mod compile;
mod merge;

/// The built-in descriptors plus what a user has added.
///
/// # When a user's definition is one of ours too
///
/// The unit is a message, enum or service at the top of a file, known by its full name. If the user's definition equals
/// ours, nothing changes. If it differs, the user's takes its place everywhere, also inside our own messages: after a user
/// has added another `fsutil.types.Stat`, the `stat` of our `fsutil.types.Packet` has that type. The names of the replaced
/// ones are in [`Schemas::replaced`]. Among the additions of a user the latest wins. Names of files play no part in this: two
/// files of one name with different contents are both kept.
///
/// The messages of a changed `Schemas` belong to a pool of its own, and do not compare equal to those of
/// [`pool`](crate::pool).
///
/// A method that fails leaves the schemas as they were.
#[derive(Debug, Clone)]
pub struct Schemas {
    pool: DescriptorPool,
    /// The files behind `pool` with their imports as written; `None` while they are just the built-in ones.
    files: Option<Vec<FileDescriptorProto>>,
    replaced: Vec<String>,
}

impl Default for Schemas {
    fn default() -> Self {
        Self::builtin()
    }
}

impl Schemas {
    /// The built-in schemas. Cheap: they share [`pool`](crate::pool).
    pub fn builtin() -> Self {
        Self {
            pool: crate::pool().clone(),
            files: None,
            replaced: Vec::new(),
        }
    }

    /// The descriptors of everything, for look-ups beyond those below.
    pub fn pool(&self) -> &DescriptorPool {
        &self.pool
    }

    /// Full names of the built-in types that an addition has replaced by something different, sorted.
    pub fn replaced(&self) -> &[String] {
        &self.replaced
    }

    /// Adds an encoded `google.protobuf.FileDescriptorSet`.
    ///
    /// That is what `protoc --include_imports --descriptor_set_out=FILE` and `buf build -o FILE` write. Imports that the
    /// set does not hold are looked for among the files that are there already, by name.
    ///
    /// # Errors
    ///
    /// When the bytes are no descriptor set or an empty one, when an import is missing, when a file uses protobuf editions,
    /// or when the definitions contradict each other or ours.
    pub fn add_descriptor_set(&mut self, bytes: &[u8]) -> Result<(), SchemaError> {
        let set =
            FileDescriptorSet::decode(bytes).map_err(|err| SchemaError::NotADescriptorSet {
                cause: err.to_string(),
            })?;
        if set.file.is_empty() {
            return Err(SchemaError::NotADescriptorSet {
                cause: "it holds no file".to_owned(),
            });
        }
        self.add(set.file)
    }

    /// Compiles `.proto` files and adds them.
    ///
    /// A directory among `files` stands for every `.proto` file below it, and is an include path itself; directories called
    /// `vendor` and symbolic links to directories are passed by. `includes` are searched first, then those directories, then,
    /// for a file that lies in none of them, the directory it is in.
    ///
    /// An import that none of these has is looked for without its leading path components, so that a checkout of BuildKit
    /// finds `github.com/moby/buildkit/solver/pb/ops.proto` in its own `solver/pb`. After that the built-in schemas answer,
    /// to their own names and to the names that BuildKit, containerd, googleapis, gRPC and OTLP import them by.
    ///
    /// # Errors
    ///
    /// When a path cannot be read, a directory has no `.proto` file below it or more than 10 000, a source does not compile,
    /// or the result contradicts itself or our schemas.
    #[cfg(feature = "compile")]
    pub fn add_proto_files(
        &mut self,
        files: &[PathBuf],
        includes: &[PathBuf],
    ) -> Result<(), SchemaError> {
        let files = compile::compile(files, includes)?;
        self.add(files)
    }

    /// The method with the HTTP/2 `:path` `/package.Service/Method`.
    pub fn method(&self, path: &str) -> Option<MethodDescriptor> {
        let (service, method) = split(path)?;
        let service = self.pool.get_service_by_name(service)?;
        service.methods().find(|m| m.name() == method)
    }

    /// The method with this path whatever the case of its letters, an exact match first.
    ///
    /// Paths in calls are case-sensitive. This one is for the names that a client *announces* for its session: BuildKit
    /// compares those in lower case (`session/grpc.go`), and clients take the liberty. A search through all the services:
    /// keep the result.
    pub fn method_ignore_case(&self, path: &str) -> Option<MethodDescriptor> {
        self.method(path).or_else(|| {
            let (service, method) = split(path)?;
            self.pool
                .services()
                .filter(|s| s.full_name().eq_ignore_ascii_case(service))
                .find_map(|s| s.methods().find(|m| m.name().eq_ignore_ascii_case(method)))
        })
    }

    /// The message with this full name, such as `fsutil.types.Packet`.
    pub fn message(&self, full_name: &str) -> Option<MessageDescriptor> {
        self.pool.get_message_by_name(full_name)
    }

    fn add(&mut self, added: Vec<FileDescriptorProto>) -> Result<(), SchemaError> {
        let mut files = match &self.files {
            Some(files) => files.clone(),
            None => self.pool.file_descriptor_protos().cloned().collect(),
        };
        let mut replaced = self.replaced.clone();
        replaced.extend(merge::merge(&mut files, added)?);
        replaced.sort_unstable();
        replaced.dedup();

        let mut pool = DescriptorPool::new();
        pool.add_file_descriptor_protos(merge::link(&files)?)?;
        *self = Self {
            pool,
            files: Some(files),
            replaced,
        };
        Ok(())
    }
}

/// Splits `/package.Service/Method`.
fn split(path: &str) -> Option<(&str, &str)> {
    path.strip_prefix('/')?.split_once('/')
}

/// Why schemas could not be added. The texts do not name the file that the user gave: whoever opened it knows it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SchemaError {
    /// The bytes are not a `google.protobuf.FileDescriptorSet`, or one without files.
    #[error(
        "this is not a protobuf descriptor set: {cause}; make one with \
         `protoc --include_imports --descriptor_set_out=FILE` or `buf build -o FILE`"
    )]
    NotADescriptorSet {
        /// What the parser says.
        cause: String,
    },

    /// A file of the set imports one that is neither in the set nor built in.
    #[error(
        "{file} imports {import}, which is not in the descriptor set; \
         make the set with imports included (`protoc --include_imports`)"
    )]
    MissingImport {
        /// The file that has the import.
        file: String,
        /// The name it imports.
        import: String,
    },

    /// A file is neither proto2 nor proto3.
    #[error("{file} is written in {syntax:?}, and only proto2 and proto3 are understood")]
    Syntax {
        /// The file.
        file: String,
        /// What it says about its syntax, such as `editions`.
        syntax: String,
    },

    /// The definitions contradict each other, or those that were there before.
    #[error(
        "the definitions do not fit together: {cause} (in {file}); correct them, or leave that file out"
    )]
    Inconsistent {
        /// The file with the definition that was refused, as far as it is known.
        file: String,
        /// What is wrong with it.
        cause: String,
    },

    /// A path could not be read.
    #[error("cannot read {}: {cause}", path.display())]
    Read {
        /// The path.
        path: PathBuf,
        /// The error of the operating system.
        #[source]
        cause: std::io::Error,
    },

    /// A directory without `.proto` files.
    #[error("there is no .proto file below {}; name the directory that holds them", path.display())]
    NoProtoFiles {
        /// The directory.
        path: PathBuf,
    },

    /// A directory with more `.proto` files than anybody means.
    #[error("there are more than {limit} .proto files below {}; name a smaller directory", path.display())]
    TooManyFiles {
        /// The directory.
        path: PathBuf,
        /// How many are read at most.
        limit: usize,
    },

    /// A `.proto` file does not compile.
    #[error(
        "{cause}; if an import is missing, name the directory that its path starts from as an include path"
    )]
    Compile {
        /// File, line, column and what is wrong there.
        cause: String,
    },
}

impl From<DescriptorError> for SchemaError {
    fn from(err: DescriptorError) -> Self {
        Self::Inconsistent {
            file: err.file().unwrap_or("an unnamed file").to_owned(),
            cause: err.to_string(),
        }
    }
}
