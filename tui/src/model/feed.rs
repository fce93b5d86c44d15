//! From a decoder into the store.

use std::sync::Arc;
use std::time::{Duration, Instant};

use buildtap_decoder::Decoder;
use buildtap_decoder::event::Time;
use buildtap_decoder::trace::{Id, Session, Trace, Update};

use super::{Activity, Progress, Shared, Store};

/// How often rows are copied.
const FOLLOW: Duration = Duration::from_millis(50);
/// Updates that are taken at a time: as many as wait at most.
const BATCH: usize = 65_536;

/// Takes what is new of a decoder and puts it into a store.
///
/// The two steps are apart because what is decoded live is locked in the first: the relay stands
/// still meanwhile. It takes no longer than moving what was queued, and twenty times a second
/// copying the rows that changed.
#[derive(Debug)]
pub struct Feed {
    shared: Arc<Shared>,
    /// Each message with the session that it belongs to.
    updates: Vec<(Update, Option<Id<Session>>)>,
    dropped: u64,
    followed: Option<Instant>,
}

impl Feed {
    /// A feed of this store.
    pub fn new(shared: Arc<Shared>) -> Self {
        Feed {
            shared,
            updates: Vec::new(),
            dropped: 0,
            followed: None,
        }
    }

    /// Takes what is new, with the decoder in hand. `each` is told of every update with the time it is.
    pub fn take(&mut self, decoder: &mut Decoder, each: &mut dyn FnMut(&Trace, Time, &Update)) {
        while self.updates.len() < BATCH
            && let Some(update) = decoder.take_update()
        {
            each(decoder.trace(), decoder.now(), &update);
            let session = match &update {
                Update::Message(message) => {
                    let call = decoder.trace().calls.get(message.call);
                    call.and_then(|call| call.session)
                }
                _ => None,
            };
            self.updates.push((update, session));
        }
        self.dropped += decoder.take_dropped();
        if self.followed.is_none_or(|at| at.elapsed() >= FOLLOW)
            // While the screen is drawn: the next time.
            && let Some(mut store) = self.shared.try_lock()
            && !store.is_paused()
        {
            follow(&mut store, decoder);
            self.followed = Some(Instant::now());
        }
    }

    /// Puts what was taken into the store.
    pub fn put(&mut self) {
        if self.updates.is_empty() && self.dropped == 0 {
            return;
        }
        let mut store = self.shared.lock();
        for (update, session) in self.updates.drain(..) {
            store.update(update, session);
        }
        store.dropped += std::mem::take(&mut self.dropped);
        drop(store);
        self.shared.changed();
    }

    /// Takes and puts all there is.
    pub fn catch_up(&mut self, decoder: &mut Decoder) {
        loop {
            self.take(decoder, &mut |_, _, _| {});
            let more = !self.updates.is_empty();
            self.put();
            if !more {
                break;
            }
        }
        follow(&mut self.shared.lock(), decoder);
        self.shared.changed();
    }
}

fn follow(store: &mut Store, decoder: &Decoder) {
    // The clock of a session that is over stands still, too.
    if !matches!(store.progress, Progress::Over(_)) {
        store.now = decoder.now();
    }
    store.follower.follow(decoder.trace(), decoder.now());
}

impl Store {
    fn update(&mut self, update: Update, session: Option<Id<Session>>) {
        match update {
            Update::Message(message) => {
                self.messages.add(&message);
                let (at, bytes) = (message.at, message.length);
                let of_call = self.activities.calls.entry(message.call.number());
                of_call.or_insert_with(|| Activity::new(at)).add(at, bytes);
                if let Some(session) = session {
                    let of_session = self.activities.sessions.entry(session.number());
                    let activity = of_session.or_insert_with(|| Activity::new(at));
                    activity.add(at, bytes);
                }
            }
            Update::Frame(frame) => self.frames.add(&frame),
            Update::File(transfer, file) => self.add_file(transfer, *file),
            Update::Text(text) => self.add_text(*text),
            _ => {}
        }
    }
}
