//! What was decoded, for people (`summary`, `log`) and for programs ([`json`]).
//!
//! A view is a function of the trace and its updates: live and recorded sessions look the same.
//! What stands on the wire goes to a terminal only through
//! [`printable`](buildtap_decoder::describe::printable).

pub mod diagnosis;
pub mod json;
mod keep;
mod log;
pub mod page;
mod paint;
pub mod standing;
mod summary;
mod words;

use std::io;
use std::time::{Duration, Instant};

use buildtap_decoder::Decoder;
use buildtap_decoder::describe::Describer;
use buildtap_decoder::event::Time;
use buildtap_decoder::trace::{Call, Content, Message, Trace, Update};

use crate::cli::{Format, ViewArgs};
use crate::error::Error;
use crate::output::Output;
use crate::schemas::schemas;
use crate::watch::Show;
pub use keep::Keep;
use log::Log;
use paint::Paint;
pub(crate) use words::is_probe;

/// How long the decoder may be locked for rendering: the relay stands still meanwhile.
pub(crate) const HOLD: Duration = Duration::from_millis(2);

/// Shows a decoder's updates in the form that was asked for, and at the end what is left.
#[derive(Debug)]
pub struct View {
    output: Output,
    describer: Describer,
    form: Form,
    /// What is rendered and not written.
    text: String,
    failed: bool,
}

#[derive(Debug)]
enum Form {
    /// For people: the log if that is wanted, else only what is wrong; and the summary.
    Text {
        log: Log,
        tells: Tells,
        keep: Option<Keep>,
    },
    /// For programs.
    Json(Box<json::Writer>),
}

/// What is told as it happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tells {
    /// Everything.
    All,
    /// What is wrong.
    Findings,
    /// Nothing: all has happened.
    Nothing,
}

impl View {
    /// A view as the arguments say.
    ///
    /// If it is `live`, findings are told when they are made, and not again at the end.
    pub fn new(args: &ViewArgs, output: Output, live: bool) -> Result<Self, Error> {
        let describer = Describer::new(schemas(&args.schemas)?, args.show_secrets);
        let paint = Paint {
            colour: output.colour,
        };
        let form = match args.format {
            Format::Text => Form::Text {
                log: Log::new(paint, output.width),
                tells: match (args.log, live) {
                    (true, _) => Tells::All,
                    (false, true) => Tells::Findings,
                    (false, false) => Tells::Nothing,
                },
                keep: None,
            },
            Format::Json => Form::Json(Box::new(json::Writer::new(args.show_secrets))),
        };
        Ok(View {
            output,
            describer,
            form,
            text: String::new(),
            failed: false,
        })
    }

    /// Shows all that is said of what is kept, and nothing else.
    pub fn keep_only(&mut self, only: Keep) {
        match &mut self.form {
            Form::Text { tells, keep, .. } => {
                *tells = Tells::All;
                *keep = Some(only);
            }
            Form::Json(writer) => writer.keep_only(only),
        }
    }

    /// Takes note that decoding failed, so that what is said at the end does not pass for the whole.
    pub fn decoding_failed(&mut self) {
        self.failed = true;
    }

    /// Writes what there is to say at the end: the summary, or the objects that are still open.
    pub fn finish(&mut self, decoder: &mut Decoder) -> io::Result<()> {
        let dropped = decoder.take_dropped();
        if dropped > 0 {
            eprintln!(
                "buildtap: {dropped} messages were left out, because the output was read too slowly; \
                 write to a file (--output) instead"
            );
        }
        match &mut self.form {
            // A summary would be of everything.
            Form::Text { keep: Some(_), .. } => {}
            Form::Text { log, tells, .. } => {
                if *tells == Tells::All {
                    self.text.push('\n');
                }
                let paint = Paint {
                    colour: self.output.colour,
                };
                self.text.push_str(&summary::summary(
                    decoder.trace(),
                    decoder.now(),
                    self.failed,
                    log.told(),
                    paint,
                    self.output.width,
                ));
            }
            Form::Json(writer) => {
                let now = decoder.now();
                writer.remaining(decoder.trace(), now, &mut self.text);
            }
        }
        self.write()
    }
}

/// What a message says, where it is a protobuf message.
fn describe(describer: &Describer, call: &Call, message: &Message) -> Option<serde_json::Value> {
    match &message.content {
        Content::Protobuf { body, cut } => {
            Some(describer.json(&call.path(), message.from == call.caller, body, *cut))
        }
        Content::Packet { .. } | Content::Bytes { .. } => None,
    }
}

impl View {
    /// Takes the updates that wait, for as long as the decoder may be held, and renders them if
    /// they are `shown`. `each` is told of every one with the time it is.
    pub(crate) fn take(
        &mut self,
        decoder: &mut Decoder,
        shown: bool,
        each: &mut dyn FnMut(&Trace, Time, &Update),
    ) {
        let begun = Instant::now();
        self.at(decoder.now());
        while begun.elapsed() < HOLD {
            let Some(update) = decoder.take_update() else {
                break;
            };
            if shown {
                self.update(decoder.trace(), &update);
            }
            each(decoder.trace(), decoder.now(), &update);
        }
    }

    /// It is `now`: to be told before the updates of that moment.
    fn at(&mut self, now: Time) {
        match &mut self.form {
            Form::Text {
                keep: Some(keep), ..
            } => keep.at(now),
            Form::Text { keep: None, .. } => {}
            Form::Json(writer) => writer.at(now),
        }
    }

    /// Renders what one update says.
    fn update(&mut self, trace: &Trace, update: &Update) {
        let View {
            describer,
            form,
            text,
            ..
        } = self;
        match form {
            Form::Text {
                keep: Some(keep), ..
            } if !keep.update(trace, update) => {}
            Form::Text { log, tells, .. } => match (tells, update) {
                (Tells::All, update) => log.update(trace, update, describer, text),
                (Tells::Findings, Update::Finding(id)) => log.finding(trace, *id, text),
                _ => {}
            },
            Form::Json(writer) => {
                writer.update(
                    trace,
                    update,
                    &|call, message| describe(describer, call, message),
                    text,
                );
            }
        }
    }
}

impl Show for View {
    fn render(&mut self, decoder: &mut Decoder) {
        self.take(decoder, true, &mut |_, _, _| {});
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
