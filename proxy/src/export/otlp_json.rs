//! Spans in a file as the collector's file exporter writes them: OTLP JSON, one
//! `ExportTraceServiceRequest` per line. Collectors and Jaeger's upload read it.

use std::io::{self, Write};

use serde::Serialize;

use super::spans::SpanWriter;
use crate::otlp::request::of_spans;
use crate::otlp::span::Span;
use crate::view::json::values::SafeFormatter;

/// Spans of one line.
const BATCH: usize = 512;

/// Writes spans.
#[derive(Debug)]
pub struct OtlpJson<W> {
    out: W,
    batch: Vec<Span>,
    line: Vec<u8>,
}

impl<W: Write> OtlpJson<W> {
    /// Writes to `out`.
    pub fn new(out: W) -> Self {
        OtlpJson {
            out,
            batch: Vec::new(),
            line: Vec::new(),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let request = of_spans(std::mem::take(&mut self.batch));
        self.line.clear();
        let mut serializer = serde_json::Serializer::with_formatter(&mut self.line, SafeFormatter);
        request.serialize(&mut serializer)?;
        self.line.push(b'\n');
        self.out.write_all(&self.line)
    }
}

impl<W: Write + Send + 'static> SpanWriter for OtlpJson<W> {
    type Out = W;

    fn write(&mut self, spans: Vec<Span>) -> io::Result<()> {
        for span in spans {
            self.batch.push(span);
            if self.batch.len() >= BATCH {
                self.flush()?;
            }
        }
        Ok(())
    }

    fn finish(mut self) -> io::Result<W> {
        self.flush()?;
        Ok(self.out)
    }
}
