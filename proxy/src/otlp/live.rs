//! Spans while a session runs: what is shown and the spans are made of the same updates, by the
//! thread that shows.

use std::io;
use std::time::{Duration, Instant};

use buildtap_decoder::Decoder;

use super::metrics::Metrics;
use super::sink::{Sent, Sink};
use super::span::Span;
use super::spans::Spans;
use crate::view::HOLD;
use crate::watch::Show;

/// Makes spans, and sends them.
#[derive(Debug)]
pub struct Live {
    spans: Spans,
    metrics: Metrics,
    sink: Sink,
    /// What is made and not handed on.
    made: Vec<Span>,
    /// When what is open was last looked at.
    looked: Instant,
}

/// How often it is.
const LOOK: Duration = Duration::from_millis(500);

impl Live {
    /// Makes spans and gives them to `sink`, which sends `metrics`, too.
    pub fn new(spans: Spans, metrics: Metrics, sink: Sink) -> Self {
        Live {
            spans,
            metrics,
            sink,
            made: Vec::new(),
            looked: Instant::now(),
        }
    }

    fn look(&mut self, decoder: &Decoder) {
        if self.looked.elapsed() >= LOOK {
            self.looked = Instant::now();
            self.metrics.look(decoder.trace());
            self.spans
                .open(decoder.trace(), decoder.now(), &mut self.made);
        }
    }

    /// Sends what is left, as it stands, and says what became of it all.
    pub fn finish(mut self, decoder: &Decoder) -> Ending {
        self.metrics.look(decoder.trace());
        self.spans
            .finish(decoder.trace(), decoder.now(), &mut self.made);
        self.sink.offer(std::mem::take(&mut self.made));
        Ending {
            sink: self.sink,
            _metrics: self.metrics,
        }
    }
}

/// Spans that are handed on, and may still be under way.
#[derive(Debug)]
pub struct Ending {
    sink: Sink,
    /// They are collected a last time.
    _metrics: Metrics,
}

impl Ending {
    /// Waits for the collector, but not for long.
    pub fn wait(self) -> Sent {
        self.sink.finish()
    }
}

/// Shows, and makes spans of the same updates beside it.
#[derive(Debug)]
pub struct Beside<S> {
    /// What shows.
    pub show: S,
    /// What makes spans, if that is wanted.
    pub live: Option<Live>,
    /// Updates at the head of the queue that spans were made of.
    seen: usize,
    /// Nobody takes what is shown.
    broken: bool,
}

impl<S: Show> Beside<S> {
    /// Shows by `show`, and makes spans by `live`.
    pub fn new(show: S, live: Option<Live>) -> Self {
        Beside {
            show,
            live,
            seen: 0,
            broken: false,
        }
    }
}

impl<S: Show> Show for Beside<S> {
    fn render(&mut self, decoder: &mut Decoder) {
        if let Some(live) = &mut self.live {
            let begun = Instant::now();
            let (trace, now) = (decoder.trace(), decoder.now());
            for update in decoder.queued_updates().skip(self.seen) {
                live.metrics.update(trace, update);
                live.spans.update(trace, update, now, &mut live.made);
                self.seen += 1;
                if begun.elapsed() >= HOLD {
                    break;
                }
            }
            if self.seen < decoder.pending_updates() {
                // Whoever shows takes updates away: it has to wait until all are seen.
                return;
            }
            live.look(decoder);
        }
        match self.broken {
            true => while decoder.take_update().is_some() {},
            false => self.show.render(decoder),
        }
        self.seen = decoder.pending_updates();
    }

    fn write(&mut self) -> io::Result<()> {
        if let Some(live) = &mut self.live {
            live.sink.offer(std::mem::take(&mut live.made));
        }
        if self.broken {
            return Ok(());
        }
        let written = self.show.write();
        self.broken = written.is_err();
        match self.live {
            // The spans go on.
            Some(_) => Ok(()),
            None => written,
        }
    }
}
