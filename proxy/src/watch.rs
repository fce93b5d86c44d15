//! The tap that decodes, and the thread that shows what was decoded.
//!
//! The relay's tasks decode inline, under one lock: that is quick (file contents are skipped,
//! not read), keeps the order of events between connections, and bounds memory without a queue
//! of bytes. Showing is slow, and therefore elsewhere: a thread takes the updates, renders them
//! under the lock and writes them out without it. A terminal that does not read delays that
//! thread only; messages that pile up meanwhile are dropped and counted.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};

use buildtap_decoder::event::{TapEvent, TapId, Time};
use buildtap_decoder::masking::Masker;
use buildtap_decoder::{Decoder, Options};

use crate::record::Recorder;
use crate::tap::Tap;

/// How often what is not happening is looked at.
const TICK: Duration = Duration::from_millis(250);

/// How long the end waits for somebody to take what is shown.
const PATIENCE: Duration = Duration::from_secs(30);

/// Shows a decoder's updates: called with the decoder locked, to render, and then without, to
/// write.
pub trait Show: Send + 'static {
    /// Renders some of the updates that wait into `self`: the relay stands still meanwhile.
    fn render(&mut self, decoder: &mut Decoder);
    /// Nothing comes for now, from a file that is followed.
    fn idle(&mut self, _: &mut Decoder) {}
    /// Writes out what was rendered. An error ends the showing, not the session.
    fn write(&mut self) -> std::io::Result<()>;
}

/// The decoding tap.
#[derive(Debug)]
pub struct DecodingTap {
    state: Mutex<State>,
    changed: Condvar,
    recorder: Option<Arc<Recorder>>,
    /// Makes the decoder panic at this event: how tests show that the relay does not care.
    fail_at: Option<u64>,
}

#[derive(Debug)]
struct State {
    decoder: Decoder,
    /// Masks what is recorded, if that is wanted.
    masker: Option<Masker>,
    events: u64,
    stop: bool,
    /// The decoder panicked outside of the relay: it is not to be called again.
    dead: bool,
}

impl DecodingTap {
    /// A tap whose decoder has seen nothing.
    pub fn new(options: Options) -> Self {
        let state = State {
            masker: options.redact.is_some().then(Masker::default),
            decoder: Decoder::new(options),
            events: 0,
            stop: false,
            dead: false,
        };
        let fail_at = std::env::var("BUILDTAP_TEST_FAIL_DECODER_AT")
            .ok()
            .and_then(|at| at.parse().ok());
        DecodingTap {
            state: Mutex::new(state),
            changed: Condvar::new(),
            recorder: None,
            fail_at,
        }
    }

    /// Records what it is told, too: with secrets masked, if the decoder finds out where they
    /// are.
    pub fn recording(self, recorder: Option<Arc<Recorder>>) -> Self {
        DecodingTap { recorder, ..self }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A decoder that panicked is told nothing more, and what it knew is still worth showing.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the decoder panicked, and was told nothing more from then on.
    pub fn failed(&self) -> bool {
        self.state.is_poisoned()
    }

    /// Looks at the decoder.
    pub fn with<R>(&self, look: impl FnOnce(&mut Decoder) -> R) -> R {
        look(&mut self.lock().decoder)
    }
}

impl Tap for DecodingTap {
    fn event(&self, id: TapId, at: Time, event: TapEvent<'_>) {
        let mut state = self.lock();
        if state.dead {
            return;
        }
        state.events += 1;
        assert!(
            Some(state.events) != self.fail_at,
            "the decoder was asked to fail here"
        );
        let waited = state.decoder.pending_updates();
        match &self.recorder {
            None => state.decoder.event(at, id, event),
            Some(recorder) => {
                // Under the same lock: the order in the file is that in which it was decoded.
                let State {
                    decoder, masker, ..
                } = &mut *state;
                decoder.event(at, id, event.clone());
                match masker {
                    None => recorder.event(at, id, &event),
                    Some(masker) => masker.event(decoder, at, id, &event, |at, id, event| {
                        recorder.event(at, id, &event);
                    }),
                }
            }
        }
        if waited == 0 && state.decoder.pending_updates() > 0 {
            drop(state);
            self.changed.notify_one();
        }
    }
}

/// The thread that shows.
#[derive(Debug)]
pub struct Showing<S> {
    tap: Arc<DecodingTap>,
    shown: mpsc::Receiver<S>,
}

impl<S: Show> Showing<S> {
    /// Begins to show what `tap` decodes.
    pub fn start(tap: Arc<DecodingTap>, show: S) -> std::io::Result<Self> {
        let watched = Arc::clone(&tap);
        let (sender, shown) = mpsc::channel();
        std::thread::Builder::new()
            .name("show".into())
            .spawn(move || {
                // Nobody waits for it any more if this fails.
                let _ = sender.send(run(&watched, show));
            })?;
        Ok(Showing { tap, shown })
    }

    /// Shows what is left, and gives back what showed it; `None` if that panicked, or if nobody
    /// takes what it writes.
    pub fn finish(self) -> Option<S> {
        {
            let mut state = self.tap.lock();
            state.stop = true;
        }
        self.tap.changed.notify_one();
        self.shown.recv_timeout(PATIENCE).ok()
    }
}

fn run<S: Show>(tap: &DecodingTap, mut show: S) -> S {
    let mut ticked = Instant::now();
    let mut broken = false;
    let mut finished = false;
    loop {
        let mut state = tap.lock();
        if state.decoder.pending_updates() == 0 && !state.stop {
            state = match tap.changed.wait_timeout(state, TICK) {
                Ok((state, _)) => state,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
        let stop = state.stop;
        let State {
            decoder,
            masker,
            dead,
            ..
        } = &mut *state;
        // A panic of the decoder ends the decoding, here as on the relay's side; what is known by
        // then is still shown.
        let looked = catch_unwind(AssertUnwindSafe(|| {
            if stop && !finished && !*dead {
                decoder.tick(Time::now());
                if let (Some(recorder), Some(masker)) = (&tap.recorder, masker) {
                    masker.finish(decoder, |at, id, event| recorder.event(at, id, &event));
                }
                decoder.finish();
            } else if !*dead && ticked.elapsed() >= TICK {
                decoder.tick(Time::now());
            }
            if broken {
                while decoder.take_update().is_some() {}
            } else {
                show.render(decoder);
            }
        }));
        *dead |= looked.is_err();
        if ticked.elapsed() >= TICK {
            ticked = Instant::now();
        }
        finished |= stop;
        let done = stop && (decoder.pending_updates() == 0 || *dead);
        drop(state);
        if !broken {
            broken = show.write().is_err();
        }
        if done {
            return show;
        }
    }
}
