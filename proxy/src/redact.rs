//! `buildtap redact`: a capture copied, with its secrets masked.

use std::fs::{self, File};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use buildtap_decoder::masking::Redaction;
use buildtap_fixtures::capture::CaptureError;
use buildtap_fixtures::capture::rewrite::{CopyError, Plan, Report, survey};
use buildtap_fixtures::capture::write::{CreateError, create};

/// Why there is no copy. There is no file then, or what it held before is still there.
#[derive(Debug, thiserror::Error)]
pub enum RedactError {
    /// The capture cannot be read at all.
    #[error(transparent)]
    Capture(#[from] CaptureError),
    /// It would be overwritten while it is read.
    #[error(
        "{} and {} are the same file, and it is needed until the copy is complete; \
         name another file for the copy",
        input.display(),
        output.display()
    )]
    Same {
        /// The capture.
        input: PathBuf,
        /// The copy.
        output: PathBuf,
    },
    /// Standard input or a pipe cannot be read twice, and there is no place to keep it.
    #[error("cannot keep what comes in a temporary file ({0}); set TMPDIR to a place with room")]
    Spool(#[source] io::Error),
    /// The file for the copy cannot be made.
    #[error(transparent)]
    Create(#[from] CreateError),
    /// The copy cannot be completed.
    #[error(transparent)]
    Copy(#[from] CopyError),
}

/// A copy that was made.
#[derive(Debug)]
pub struct Redacted {
    /// What was masked in it.
    pub report: Report,
    /// What was known of the capture, and why it could not be read to its end, if so.
    pub plan: Plan,
}

/// Copies the capture `input` (`-` is standard input) to `output` and masks what is secret. The
/// copy is for its owner alone, compressed if its name ends in `.zst` or `.gz`, and removed
/// again if it cannot be completed.
pub fn redact(input: &Path, output: &Path, redaction: Redaction) -> Result<Redacted, RedactError> {
    let mut file = open(input)?;
    if is_same(&file, output) {
        return Err(RedactError::Same {
            input: input.to_owned(),
            output: output.to_owned(),
        });
    }
    let mut again = || -> Result<File, CaptureError> {
        let rewound = file.seek(SeekFrom::Start(0)).and_then(|_| file.try_clone());
        rewound.map_err(|cause| CaptureError::Read { offset: 0, cause })
    };
    let plan = survey(again()?, Arc::new(redaction))?;
    let file = again()?;
    let created = create(output)?;
    let copied = (|| {
        let mut out = BufWriter::with_capacity(1 << 18, created);
        let report = plan.copy(file, &mut out)?;
        out.flush().map_err(CopyError::Write)?;
        let whole = out.into_inner().map_err(io::IntoInnerError::into_error);
        let ended = whole.and_then(|out| out.finish());
        ended.map_err(CopyError::Write)?;
        Ok(report)
    })();
    match copied {
        Ok(report) => Ok(Redacted { report, plan }),
        Err(error) => {
            // Half a copy is worth nothing; if it cannot be removed, it holds no secrets.
            let _ = fs::remove_file(output);
            Err(RedactError::Copy(error))
        }
    }
}

/// A file that can be read twice.
fn open(input: &Path) -> Result<File, RedactError> {
    let failed = |cause| CaptureError::Open {
        path: input.to_owned(),
        cause,
    };
    if input.as_os_str() == "-" {
        return spool(&mut io::stdin().lock());
    }
    let mut file = File::open(input).map_err(failed)?;
    let kind = file.metadata().map_err(failed)?.file_type();
    if kind.is_dir() {
        return Err(failed(io::ErrorKind::IsADirectory.into()).into());
    }
    match kind.is_file() {
        true => Ok(file),
        false => spool(&mut file),
    }
}

/// Keeps what comes in a file without a name, which is gone when it is closed.
fn spool(input: &mut impl io::Read) -> Result<File, RedactError> {
    let mut file = tempfile::tempfile().map_err(RedactError::Spool)?;
    io::copy(input, &mut file).map_err(RedactError::Spool)?;
    Ok(file)
}

fn is_same(input: &File, output: &Path) -> bool {
    let (Ok(input), Ok(output)) = (input.metadata(), fs::metadata(output)) else {
        return false;
    };
    (input.dev(), input.ino()) == (output.dev(), output.ino())
}
