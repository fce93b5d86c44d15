//! A capture as spans: to a file, or to a collector.

use std::io::{self, BufWriter, Write};
use std::path::Path;

use buildtap_decoder::{Decoder, Options};
use buildtap_fixtures::capture::write::create;

use super::otlp_json::OtlpJson;
use super::perfetto::Perfetto;
use super::{ExportError, is_same};
use crate::otlp::sink::{Sent, Sink};
use crate::otlp::span::Span;
use crate::otlp::spans::{self, Spans, for_spans};
use crate::show::{ShowError, show};
use crate::watch::Show;

/// Takes spans and writes them down, or sends them.
pub trait SpanWriter: Send + 'static {
    /// What is left at the end.
    type Out;
    /// Takes some.
    fn write(&mut self, spans: Vec<Span>) -> io::Result<()>;
    /// There are no more.
    fn finish(self) -> io::Result<Self::Out>;
}

impl SpanWriter for Sink {
    type Out = Sent;

    fn write(&mut self, spans: Vec<Span>) -> io::Result<()> {
        match self.push(spans) {
            true => Ok(()),
            false => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    fn finish(self) -> io::Result<Sent> {
        Ok(self.finish())
    }
}

/// In which form a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileForm {
    /// OTLP JSON, one request per line.
    OtlpJson,
    /// Chrome trace events.
    Perfetto,
}

/// Spans of a capture, on their way to a writer.
struct Fold<W> {
    spans: Spans,
    made: Vec<Span>,
    count: u64,
    writer: W,
}

impl<W: SpanWriter> Show for Fold<W> {
    fn render(&mut self, decoder: &mut Decoder) {
        while let Some(update) = decoder.take_update() {
            let (trace, now) = (decoder.trace(), decoder.now());
            self.spans.update(trace, &update, now, &mut self.made);
        }
    }

    fn write(&mut self) -> io::Result<()> {
        if self.made.is_empty() {
            return Ok(());
        }
        self.count += self.made.len() as u64;
        self.writer.write(std::mem::take(&mut self.made))
    }
}

/// What the decoder is asked for, so that there is all that spans are made of.
pub fn decoding(show_secrets: bool) -> Options {
    for_spans(Options {
        show_secrets,
        ..Options::default()
    })
}

/// What was exported before the capture turned out to be broken, if it did.
struct Folded<T> {
    count: u64,
    out: io::Result<T>,
    broken: Option<ShowError>,
}

/// Reads a capture and hands its spans to `writer`.
fn fold<W: SpanWriter>(from: &Path, options: spans::Options, writer: W) -> Folded<W::Out> {
    let mut decoder = Decoder::new(decoding(options.show_secrets));
    let mut fold = Fold {
        spans: Spans::new(options),
        made: Vec::new(),
        count: 0,
        writer,
    };
    let mut broken = show(from, false, &mut decoder, &mut fold, &|| false).err();
    if !matches!(broken, Some(ShowError::Output(_))) {
        let (trace, now) = (decoder.trace(), decoder.now());
        fold.spans.finish(trace, now, &mut fold.made);
        if let Err(error) = fold.write() {
            broken = Some(error.into());
        }
    }
    Folded {
        count: fold.count,
        out: fold.writer.finish(),
        broken,
    }
}

/// Writes the spans of the capture `from` into the file `to`; gives how many they are. What could
/// be read is written even if the capture turns out to be broken: the error comes after.
pub fn to_file(
    from: &Path,
    to: &Path,
    form: FileForm,
    options: spans::Options,
) -> Result<u64, ExportError> {
    if is_same(from, to) {
        return Err(ExportError::Same(to.to_owned()));
    }
    if from.as_os_str() != "-" {
        // What is no capture is told before anything is overwritten.
        let options = buildtap_fixtures::capture::Options::default();
        buildtap_fixtures::capture::open(from, options)?.next()?;
    }
    let out = BufWriter::with_capacity(1 << 18, create(to)?);
    let folded = match form {
        FileForm::OtlpJson => fold(from, options, OtlpJson::new(out)),
        FileForm::Perfetto => fold(from, options, Perfetto::new(out)),
    };
    let failed = |error| ExportError::Write {
        path: to.to_owned(),
        error,
    };
    let mut out = folded.out.map_err(failed)?;
    out.flush().map_err(failed)?;
    let out = out.into_inner().map_err(io::Error::from).map_err(failed)?;
    out.finish().map_err(failed)?;
    match folded.broken {
        None => Ok(folded.count),
        Some(ShowError::Capture(error)) => Err(error.into()),
        Some(ShowError::Output(error)) => Err(failed(error)),
    }
}

/// Sends the spans of the capture `from` by `sink`, and says what became of them.
pub fn to_collector(from: &Path, sink: Sink, options: spans::Options) -> Result<Sent, ExportError> {
    let folded = fold(from, options, sink);
    let sent = folded.out.map_err(|_| ExportError::Unsent)?;
    match folded.broken {
        Some(ShowError::Capture(error)) => Err(error.into()),
        // That it takes nothing is said by what was sent.
        None | Some(ShowError::Output(_)) => Ok(sent),
    }
}
