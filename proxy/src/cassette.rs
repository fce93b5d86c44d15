//! `buildtap cassette`: a capture as JSON that people edit; and what it shares with `diff`.

use std::path::Path;

use buildtap_decoder::describe::printable;
use buildtap_fixtures::cassette;
use buildtap_fixtures::recording::{Options, Recording};
use buildtap_proto::schema::Schemas;

use crate::cli::{CassetteArgs, ReadingArgs};
use crate::error::Error;
use crate::schemas::schemas;

/// Writes a cassette, and says on standard error what is in it and what is missing.
pub fn write(args: &CassetteArgs) -> Result<(), Error> {
    let schemas = schemas(&args.reading.schemas)?;
    let recording = open(&args.capture, &args.reading, &schemas)?;
    cassette::write(&recording, &args.output, &schemas)?;
    let count = |count: usize, what: &str| {
        let plural = if count == 1 { "" } else { "s" };
        format!("{count} {what}{plural}")
    };
    eprintln!(
        "buildtap: {}: {}, {}, {}",
        args.output.display(),
        count(recording.sessions.len(), "session"),
        count(recording.exchanges.len(), "HTTP request"),
        count(recording.calls.len(), "call"),
    );
    Ok(())
}

/// Reads a capture or a cassette, and says on standard error what is missing in it.
pub(crate) fn open(path: &Path, args: &ReadingArgs, schemas: &Schemas) -> Result<Recording, Error> {
    let options = Options {
        show_secrets: args.show_secrets,
        schemas: schemas.clone(),
        ..Options::default()
    };
    let recording = Recording::open(path, &options).map_err(|error| Error::Recording {
        path: path.display().to_string(),
        error,
    })?;
    for sentence in &recording.incomplete {
        eprintln!("buildtap: {}: {}", path.display(), printable(sentence));
    }
    Ok(recording)
}
