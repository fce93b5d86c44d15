//! What every layer of every connection shares: the trace, the queue of updates, the limits,
//! and the time of the event that is being handled.

use std::collections::{HashSet, VecDeque};

use crate::event::Time;
use crate::limits::Limits;
use crate::trace::{Content, Finding, Id, Said, Subject, Trace, Update};

/// What the user of a decoder wants beyond the trace itself.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// How much is kept.
    pub limits: Limits,
    /// Whether [`Update`]s are queued at all.
    pub updates: bool,
    /// Whether [`Update::Message`] is queued for every message, with its bytes.
    pub messages: bool,
    /// Whether [`Update::Said`] is queued for everything that is said, with all its bytes. Take
    /// the updates after every event then: beyond the limits they are dropped and counted.
    pub said: bool,
    /// Whether header values and attributes that are secret stay readable in the trace.
    pub show_secrets: bool,
    /// After how long without a word something that somebody owes is said to be stalled;
    /// `None` is the default of five seconds.
    pub stall_after: Option<std::time::Duration>,
}

#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) trace: Trace,
    pub(crate) options: Options,
    /// The time of the event that is being handled.
    pub(crate) now: Time,
    queue: VecDeque<Update>,
    /// Bytes of previews in the queue.
    queued_bytes: usize,
    dropped: u64,
    /// What was found of whom, so that it is not found again.
    found: HashSet<(&'static str, Subject)>,
    /// The same, oldest first.
    found_order: VecDeque<(&'static str, Subject)>,
    /// Bytes that the entries of open transfers take.
    pub(crate) entry_bytes: usize,
    /// Bytes of messages that are being put together.
    pub(crate) message_bytes: usize,
    /// Execs that were created, and whether they are tunnels to buildkitd; the newest last.
    pub(crate) execs: VecDeque<(String, bool)>,
}

impl Core {
    pub(crate) fn new(options: Options) -> Self {
        Core {
            trace: Trace::new(&options.limits),
            options,
            now: Time::default(),
            queue: VecDeque::new(),
            queued_bytes: 0,
            dropped: 0,
            found: HashSet::new(),
            found_order: VecDeque::new(),
            entry_bytes: 0,
            message_bytes: 0,
            execs: VecDeque::new(),
        }
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.options.limits
    }

    /// Queues an update. When the reader is too far behind it is dropped and counted, unless it
    /// is a finding, of which there are few; the trace itself has everything.
    pub(crate) fn update(&mut self, update: Update) {
        if !self.options.updates {
            return;
        }
        let bytes = preview_bytes(&update);
        let full = self.queue.len() >= self.limits().pending_updates
            || self.queued_bytes.saturating_add(bytes) > self.limits().pending_previews;
        if full && !matches!(update, Update::Finding(_)) {
            self.dropped = self.dropped.saturating_add(1);
            return;
        }
        self.queued_bytes = self.queued_bytes.saturating_add(bytes);
        self.queue.push_back(update);
    }

    /// Queues what was said, if that is wanted.
    pub(crate) fn say(&mut self, said: impl FnOnce() -> Said) {
        if self.options.said {
            self.update(Update::Said(Box::new(said())));
        }
    }

    pub(crate) fn take_update(&mut self) -> Option<Update> {
        let update = self.queue.pop_front()?;
        self.queued_bytes = self.queued_bytes.saturating_sub(preview_bytes(&update));
        Some(update)
    }

    /// How many updates wait to be taken.
    pub(crate) fn pending(&self) -> usize {
        self.queue.len()
    }

    /// How many updates were not queued; counted from the last time this was asked.
    pub(crate) fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }

    /// Adds a finding, unless the same thing was found of the same subject before. That is
    /// remembered for longer than the finding is kept: what goes on is looked at every second,
    /// and would come back at once.
    pub(crate) fn find(
        &mut self,
        code: &'static str,
        subject: Subject,
        weight: usize,
        make: impl FnOnce(Id<Finding>) -> Finding,
    ) {
        const REMEMBERED: usize = 16;
        if !self.found.insert((code, subject)) {
            return;
        }
        self.found_order.push_back((code, subject));
        if self.found_order.len() > self.limits().findings.saturating_mul(REMEMBERED)
            && let Some(oldest) = self.found_order.pop_front()
        {
            self.found.remove(&oldest);
        }
        let id = self.trace.findings.add(weight, make);
        self.update(Update::Finding(id));
    }
}

fn preview_bytes(update: &Update) -> usize {
    match update {
        Update::Message(message) => match &message.content {
            Content::Protobuf { body, .. } => body.len(),
            Content::Packet { path, .. } => path.as_ref().map_or(0, |path| path.len()),
            Content::Bytes { .. } => 0,
        },
        Update::Text(text) => text.text.len(),
        Update::Said(said) => said.weight(),
        _ => 0,
    }
}
