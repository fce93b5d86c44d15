//! What was decoded, for people ([`summary`], [`log`]) and for programs (JSON lines).
//!
//! A view is a function of the trace and its updates: live and recorded sessions look the same.
//! What stands on the wire goes to a terminal only through
//! [`printable`](buildtap_decoder::describe::printable).

mod log;
mod paint;
mod summary;

use std::io;

use buildtap_decoder::Decoder;
use buildtap_decoder::describe::Describer;
use buildtap_decoder::trace::Update;
use buildtap_proto::schema::Schemas;

use crate::cli::{Format, ViewArgs};
use crate::error::Error;
use crate::output::Output;
use crate::watch::Show;
use log::Log;
use paint::Paint;

/// Updates that are rendered while the decoder is locked.
const BATCH: usize = 128;

/// Shows a decoder's updates in the form that was asked for, and at the end what is left.
#[derive(Debug)]
pub struct View {
    output: Output,
    describer: Describer,
    form: Form,
    /// What is rendered and not written.
    text: String,
}

#[derive(Debug)]
enum Form {
    /// For people: the log if that is wanted, else only what is wrong; and the summary.
    Text { log: Log, all: bool },
}

impl View {
    /// A view as the arguments say.
    pub fn new(args: &ViewArgs, output: Output) -> Result<Self, Error> {
        let describer = Describer::new(schemas(args)?, args.show_secrets);
        let paint = Paint {
            colour: output.colour,
        };
        let form = match args.format {
            Format::Text | Format::Json => Form::Text {
                log: Log::new(paint, output.width),
                all: args.log,
            },
        };
        Ok(View {
            output,
            describer,
            form,
            text: String::new(),
        })
    }

    /// Writes what there is to say at the end: the summary, or the objects that are still open.
    pub fn finish(&mut self, decoder: &mut Decoder) -> io::Result<()> {
        match &mut self.form {
            Form::Text { all, .. } => {
                let dropped = decoder.take_dropped();
                if dropped > 0 {
                    self.text.push_str(&format!(
                        "buildtap: {dropped} lines were left out: the output was too slow\n"
                    ));
                }
                if *all {
                    self.text.push('\n');
                }
                let paint = Paint {
                    colour: self.output.colour,
                };
                self.text.push_str(&summary::summary(
                    decoder.trace(),
                    decoder.now(),
                    paint,
                    self.output.width,
                ));
            }
        }
        self.write()
    }
}

impl Show for View {
    fn render(&mut self, decoder: &mut Decoder) {
        for _ in 0..BATCH {
            let Some(update) = decoder.take_update() else {
                break;
            };
            let trace = decoder.trace();
            match &mut self.form {
                Form::Text { log, all: true } => {
                    log.update(trace, &update, &self.describer, &mut self.text)
                }
                Form::Text { log, all: false } => {
                    if let Update::Finding(id) = update {
                        log.finding(trace, id, &mut self.text);
                    }
                }
            }
        }
    }

    fn write(&mut self) -> io::Result<()> {
        if self.text.is_empty() {
            return Ok(());
        }
        let written = self.output.write(&self.text);
        self.text.clear();
        written
    }
}

/// The built-in schemas and those of the user.
fn schemas(args: &ViewArgs) -> Result<Schemas, Error> {
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
