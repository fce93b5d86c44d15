//! The schemas that messages are read with: ours, and those that the user brings.

use buildtap_proto::schema::Schemas;

use crate::cli::SchemaArgs;
use crate::error::Error;

/// The built-in schemas and those of the user.
pub fn schemas(args: &SchemaArgs) -> Result<Schemas, Error> {
    let mut schemas = Schemas::builtin();
    for path in &args.proto {
        let failed = |error| Error::Schemas {
            path: path.display().to_string(),
            error,
        };
        schemas
            .add_proto_files(std::slice::from_ref(path), &[])
            .map_err(failed)?;
    }
    for path in &args.descriptor_set {
        let named = path.display().to_string();
        let bytes = std::fs::read(path).map_err(|error| Error::Read {
            path: named.clone(),
            error,
        })?;
        schemas
            .add_descriptor_set(&bytes)
            .map_err(|error| Error::Schemas { path: named, error })?;
    }
    Ok(schemas)
}
