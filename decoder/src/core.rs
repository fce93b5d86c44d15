//! What every layer of every connection shares: the trace, the queue of updates, the limits,
//! and the time of the event that is being handled.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::event::{Side, TapId, Time};
use crate::limits::Limits;
use crate::masking::{Mark, Redaction};
use crate::origin::{Chunks, Origins};
use crate::redact::{Patch, Rules};
use crate::trace::{
    Awaited, Call, Confidence, Connection, Content, Finding, Id, Said, Session, Subject, Trace,
    Update, Wait,
};

/// What the user of a decoder wants beyond the trace itself.
#[derive(Clone, Debug)]
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
    /// Whether [`Update::Said`] is queued for the messages in which programs send their own spans,
    /// or read those that were recorded: `TraceService/Export`, and on a control connection
    /// `ListenBuildHistory` and `Content/Read`. Those are whole, up to the limits.
    pub spans: bool,
    /// Whether [`Update::Printed`] is queued for what steps print.
    pub printed: bool,
    /// Whether [`Update::Frame`] is queued for every HTTP/2 frame.
    pub frames: bool,
    /// From which length on a wait that is over is queued as [`Update::Waited`]; `None`: none is.
    pub waits: Option<std::time::Duration>,
    /// Whether header values and attributes that are secret stay readable in the trace.
    pub show_secrets: bool,
    /// Whether it is found out where secrets stand in the tapped bytes, and by which rules: see
    /// [`Masker`](crate::masking::Masker).
    pub redact: Option<Arc<Redaction>>,
    /// Whether anything is looked for that is wrong. `true` unless it is said otherwise.
    pub findings: bool,
    /// After how long without a word something that somebody owes is said to be stalled;
    /// `None` is the default of five seconds.
    pub stall_after: Option<Duration>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            limits: Limits::default(),
            updates: false,
            messages: false,
            said: false,
            spans: false,
            printed: false,
            frames: false,
            waits: None,
            show_secrets: false,
            redact: None,
            findings: true,
            stall_after: None,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) trace: Trace,
    pub(crate) options: Options,
    /// The time of the event that is being handled.
    pub(crate) now: Time,
    /// The tap whose event it is.
    pub(crate) tap: TapId,
    /// The bytes that are being handled.
    pub(crate) chunks: Chunks,
    /// What is to be masked, until it is taken.
    marks: Vec<Mark>,
    queue: VecDeque<Update>,
    /// Bytes of previews in the queue.
    queued_bytes: usize,
    dropped: u64,
    /// What was found of whom, so that it is not found again.
    found: HashMap<(&'static str, Subject), Found>,
    /// The same, oldest first.
    found_order: VecDeque<(&'static str, Subject)>,
    /// Bytes that the entries of open transfers take.
    pub(crate) entry_bytes: usize,
    /// Bytes of messages that are being put together.
    pub(crate) message_bytes: usize,
    /// Rounds in which a policy of a session did not decide about a source; the newest last.
    pub(crate) policies: VecDeque<(Id<Session>, String, u32)>,
    /// Execs that were created, and whether they are tunnels to buildkitd; the newest last.
    pub(crate) execs: VecDeque<(String, bool)>,
}

impl Core {
    pub(crate) fn new(options: Options) -> Self {
        Core {
            trace: Trace::new(&options.limits),
            options,
            now: Time::default(),
            tap: TapId(0),
            chunks: Chunks::default(),
            marks: Vec::new(),
            queue: VecDeque::new(),
            queued_bytes: 0,
            dropped: 0,
            found: HashMap::new(),
            found_order: VecDeque::new(),
            entry_bytes: 0,
            message_bytes: 0,
            policies: VecDeque::new(),
            execs: VecDeque::new(),
        }
    }

    /// After how long a wait is worth a word.
    pub(crate) fn stall(&self) -> Duration {
        const STALL: Duration = Duration::from_secs(5);
        self.options.stall_after.unwrap_or(STALL)
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

    /// Whether secrets are to be found in the bytes.
    pub(crate) fn redacts(&self) -> bool {
        self.options.redact.is_some()
    }

    /// Where bytes stand in the tapped stream, if that matters and they are of the chunk in hand.
    pub(crate) fn locate(&self, bytes: &[u8]) -> Option<u64> {
        if !self.redacts() {
            return None;
        }
        self.chunks.locate(bytes).map(|(_, at)| at)
    }

    /// Masks what `find` finds in a unit of `from` that was put together.
    pub(crate) fn redact(
        &mut self,
        from: Side,
        unit: &[u8],
        origins: &Origins,
        find: impl FnOnce(&Redaction, &[u8], &mut Vec<Patch>),
    ) {
        let Some(redaction) = self.options.redact.clone() else {
            return;
        };
        let mut patches = Vec::new();
        find(&redaction, unit, &mut patches);
        for patch in patches {
            let end = patch.at.saturating_add(patch.bytes.len());
            for (part, at) in origins.runs(patch.at..end) {
                let start = part.start.saturating_sub(patch.at);
                let bytes = patch.bytes.get(start..start.saturating_add(part.len()));
                self.marks.push(Mark {
                    tap: self.tap,
                    from,
                    at,
                    bytes: bytes.unwrap_or_default().to_vec(),
                });
            }
        }
    }

    /// Masks what `find` finds in bytes of the chunk in hand.
    pub(crate) fn redact_here(
        &mut self,
        bytes: &[u8],
        find: impl FnOnce(&Rules, &[u8], &mut Vec<Patch>),
    ) {
        if !self.redacts() {
            return;
        }
        if let Some((from, at)) = self.chunks.locate(bytes) {
            let origins = Origins::of(bytes.len(), Some(at));
            self.redact(from, bytes, &origins, |redaction, bytes, out| {
                find(&redaction.rules, bytes, out);
            });
        }
    }

    /// Overwrites bytes of the chunk in hand: nobody can tell what is in them.
    pub(crate) fn blank(&mut self, bytes: &[u8]) {
        self.redact_here(bytes, |_, bytes, out| out.extend(filled(bytes, 0)));
    }

    /// The same of bytes of `from` that were put together.
    pub(crate) fn blank_joined(&mut self, from: Side, bytes: &[u8], origins: &Origins) {
        self.redact(from, bytes, origins, |_, bytes, out| {
            out.extend(filled(bytes, 0))
        });
    }

    /// What is to be masked, as far as it is known by now.
    pub(crate) fn take_marks(&mut self) -> Vec<Mark> {
        std::mem::take(&mut self.marks)
    }

    /// Somebody was waited for since `since`, until now: queues it, if it was long and that is
    /// wanted.
    pub(crate) fn waited(
        &mut self,
        connection: Id<Connection>,
        call: Option<Id<Call>>,
        since: Time,
        side: Side,
        awaited: Awaited,
    ) {
        let until = self.now;
        let is_long = |limit| until.since(since) >= limit;
        if self.options.waits.is_some_and(is_long) {
            self.update(Update::Waited(Box::new(Wait {
                connection,
                call,
                since,
                until,
                side,
                awaited,
            })));
        }
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

    /// How sure something is that was found of a subject, if it was.
    pub(crate) fn found(&self, code: &'static str, subject: Subject) -> Option<Confidence> {
        let found = self.found.get(&(code, subject))?;
        Some(found.confidence)
    }

    /// Adds a finding, unless the same thing was found of the same subject before, and is no
    /// surer now. That is remembered for longer than the finding is kept: what goes on is looked
    /// at every second, and would come back at once. `make` is told the finding's number and when
    /// it was found first.
    pub(crate) fn find(
        &mut self,
        code: &'static str,
        subject: Subject,
        confidence: Confidence,
        weight: usize,
        make: impl FnOnce(Id<Finding>, Time) -> Finding,
    ) {
        const REMEMBERED: usize = 16;
        if let Some(found) = self.found.get_mut(&(code, subject)) {
            if found.confidence >= confidence {
                return;
            }
            found.confidence = confidence;
            let id = found.id;
            if let Some(row) = self.trace.findings.get_mut(id) {
                *row = make(id, row.at);
                self.update(Update::Finding(id));
            }
            return;
        }
        let now = self.now;
        let id = self.trace.findings.add(weight, |id| make(id, now));
        self.found.insert((code, subject), Found { id, confidence });
        self.found_order.push_back((code, subject));
        if self.found_order.len() > self.limits().findings.saturating_mul(REMEMBERED)
            && let Some(oldest) = self.found_order.pop_front()
        {
            self.found.remove(&oldest);
        }
        self.update(Update::Finding(id));
    }
}

/// What is remembered of a finding.
#[derive(Clone, Copy, Debug)]
struct Found {
    id: Id<Finding>,
    confidence: Confidence,
}

/// A patch that fills all of `bytes`.
pub(crate) fn filled(bytes: &[u8], with: u8) -> Option<Patch> {
    (!bytes.is_empty()).then(|| Patch {
        at: 0,
        bytes: vec![with; bytes.len()],
    })
}

fn preview_bytes(update: &Update) -> usize {
    match update {
        Update::Message(message) => match &message.content {
            Content::Protobuf { body, .. } => body.len(),
            Content::Packet { path, body, .. } => {
                let path = path.as_ref().map_or(0, |path| path.len());
                path.saturating_add(body.len())
            }
            Content::Bytes { body, .. } => body.len(),
        },
        Update::Text(text) => text.text.len(),
        Update::Printed(_, printed) => printed.text.len(),
        Update::Said(said) => said.weight(),
        _ => 0,
    }
}
