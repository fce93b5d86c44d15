//! Spans while a session runs: the view and the spans are made of the same updates, by the thread
//! that shows.

use std::io;
use std::time::{Duration, Instant};

use buildtap_decoder::Decoder;
use buildtap_decoder::event::Time;
use buildtap_decoder::trace::{Trace, Update};

use super::metrics::Metrics;
use super::sink::{Sent, Sink};
use super::span::Span;
use super::spans::Spans;
use crate::view::View;
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

    /// Takes what happened.
    pub(crate) fn update(&mut self, trace: &Trace, now: Time, update: &Update) {
        self.metrics.update(trace, update);
        self.spans.update(trace, update, now, &mut self.made);
    }

    /// Looks at what is open, now and then. To be called when updates were taken: as long as some
    /// wait, what is open is not known.
    pub(crate) fn look(&mut self, decoder: &Decoder) {
        if self.looked.elapsed() >= LOOK && decoder.pending_updates() == 0 {
            self.looked = Instant::now();
            self.metrics.look(decoder.trace());
            self.spans
                .open(decoder.trace(), decoder.now(), &mut self.made);
        }
    }

    /// Hands on what was made.
    pub(crate) fn offer(&mut self) {
        self.sink.offer(std::mem::take(&mut self.made));
    }

    /// Sends what is left, as it stands, and says what became of it all.
    pub fn finish(mut self, decoder: &Decoder) -> Ending {
        self.metrics.look(decoder.trace());
        self.spans
            .finish(decoder.trace(), decoder.now(), &mut self.made);
        self.offer();
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

/// A view, and spans beside it.
#[derive(Debug)]
pub struct Shown {
    /// What is shown.
    pub view: View,
    /// What is sent.
    pub live: Option<Live>,
    /// Nobody takes what the view writes.
    broken: bool,
}

impl Shown {
    /// Shows by `view`, and sends by `live`, if that is wanted.
    pub fn new(view: View, live: Option<Live>) -> Self {
        Shown {
            view,
            live,
            broken: false,
        }
    }
}

impl Show for Shown {
    fn render(&mut self, decoder: &mut Decoder) {
        let live = &mut self.live;
        self.view
            .take(decoder, !self.broken, &mut |trace, now, update| {
                if let Some(live) = live {
                    live.update(trace, now, update);
                }
            });
        if let Some(live) = &mut self.live {
            live.look(decoder);
        }
    }

    fn write(&mut self) -> io::Result<()> {
        if let Some(live) = &mut self.live {
            live.offer();
        }
        let written = match self.broken {
            true => Ok(()),
            false => self.view.write(),
        };
        self.broken |= written.is_err();
        match self.live {
            // The spans go on.
            Some(_) => Ok(()),
            None => written,
        }
    }
}
