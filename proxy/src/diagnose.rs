//! What is wrong with a session, put in order: the cause first, what follows from it below it.
//!
//! The findings are the decoder's. Here is decided in which order they are told, which of them
//! only follow from another, and whether any of them stopped something. How that looks is in
//! [`view::diagnosis`](crate::view::diagnosis).

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::Duration;

use buildtap_decoder::Decoder;
use buildtap_decoder::event::{Side, Time};
use buildtap_decoder::findings::{self, Entry};
use buildtap_decoder::trace::{
    Build, Call, CallState, Connection, Finding, Id, PerSide, Session, Severity, Subject, Trace,
    TransferState, Update,
};

use crate::watch::Show;

/// The exit code of `buildtap diagnose` when something was stopped: an error, or a wait that did
/// not end.
pub const STOPPED: u8 = 3;

/// What is wrong, in the order in which it should be read.
#[derive(Clone, Debug)]
pub struct Diagnosis {
    /// When the first client connected.
    pub origin: Time,
    /// The causes, each with what follows from it.
    pub causes: Vec<Cause>,
}

/// A finding that no other explains.
#[derive(Clone, Debug)]
pub struct Cause {
    /// The finding itself.
    pub item: Item,
    /// What follows from it, in the same order.
    pub effects: Vec<Item>,
}

/// A finding, and how things stood when it was made.
#[derive(Clone, Debug)]
pub struct Item {
    /// The finding.
    pub finding: Finding,
    /// What the catalogue says of its kind.
    pub entry: &'static Entry,
    /// Where it was, and what had been said there.
    pub place: Place,
    /// Whether something failed for it, or waits for ever.
    pub stopped: bool,
    /// Whether it was a wait that has come to its end.
    pub passed: bool,
}

/// Where something was found.
#[derive(Clone, Debug, Default)]
pub struct Place {
    /// The number of the connection.
    pub connection: Option<u64>,
    /// The number of the call and its short name.
    pub call: Option<(u64, String)>,
    /// What each side had sent on the call by then.
    pub sent: PerSide<Sent>,
}

/// What a side had sent on a call.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sent {
    /// Messages: the number of the last one, counted from 1.
    pub messages: u64,
    /// Bytes of messages.
    pub bytes: u64,
}

impl Diagnosis {
    /// What can be said of a trace now.
    pub fn new(trace: &Trace) -> Self {
        Diagnosis::with(trace, |finding| Place::of(trace, finding.subject))
    }

    fn with(trace: &Trace, place: impl Fn(&Finding) -> Place) -> Self {
        let mut items: Vec<(Item, Scope)> = trace
            .findings
            .iter()
            .filter_map(|finding| {
                let entry = findings::find(finding.code)?;
                let item = Item {
                    entry,
                    place: place(finding),
                    stopped: stopped(trace, finding, entry),
                    passed: passed(trace, finding),
                    finding: finding.clone(),
                };
                Some((item, Scope::of(trace, finding.subject)))
            })
            .collect();
        // What is only worth knowing comes last; sorting is stable.
        items.sort_by_key(|(item, _)| {
            let is_info = item.finding.severity == Severity::Info;
            (is_info, item.entry.layer, item.finding.at)
        });
        // Every effect goes to what causes its cause, in the end: the table has no cycles.
        let above: Vec<Option<usize>> = items
            .iter()
            .map(|effect| items.iter().position(|cause| explains(cause, effect)))
            .collect();
        let root = |mut at: usize| {
            while let Some(next) = above[at] {
                at = next;
            }
            at
        };
        let roots: Vec<usize> = (0..items.len()).map(root).collect();
        let mut causes = BTreeMap::<usize, Cause>::new();
        let mut effects = Vec::new();
        for (at, (item, _)) in items.into_iter().enumerate() {
            match roots[at] == at {
                true => {
                    let effects = Vec::new();
                    causes.insert(at, Cause { item, effects });
                }
                false => effects.push((roots[at], item)),
            }
        }
        for (root, item) in effects {
            if let Some(cause) = causes.get_mut(&root) {
                cause.effects.push(item);
            }
        }
        Diagnosis {
            origin: trace
                .connections
                .iter()
                .next()
                .map(|first| first.opened)
                .unwrap_or_default(),
            causes: causes.into_values().collect(),
        }
    }

    /// All findings, in order.
    pub fn items(&self) -> impl Iterator<Item = &Item> {
        self.causes
            .iter()
            .flat_map(|cause| std::iter::once(&cause.item).chain(&cause.effects))
    }

    /// Whether something failed or waits for ever.
    pub fn stopped(&self) -> bool {
        self.items().any(|item| item.stopped)
    }
}

/// Takes note of how things stood at every finding, while a capture is read.
#[derive(Debug, Default)]
pub struct Notes {
    places: BTreeMap<u64, Place>,
}

impl Notes {
    /// What can be said when all was read.
    pub fn diagnosis(&self, trace: &Trace) -> Diagnosis {
        Diagnosis::with(trace, |finding| {
            let noted = self.places.get(&finding.id.number()).cloned();
            noted.unwrap_or_else(|| Place::of(trace, finding.subject))
        })
    }
}

impl Show for Notes {
    fn render(&mut self, decoder: &mut Decoder) {
        while let Some(update) = decoder.take_update() {
            let Update::Finding(id) = update else {
                continue;
            };
            let trace = decoder.trace();
            if let Some(finding) = trace.findings.get(id) {
                let place = Place::of(trace, finding.subject);
                self.places.insert(id.number(), place);
            }
        }
    }

    fn write(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether something failed for it, or waits for ever. A wait that ended by itself only took time.
fn stopped(trace: &Trace, finding: &Finding, entry: &Entry) -> bool {
    match (finding.severity, finding.subject) {
        (Severity::Info, _) => false,
        (Severity::Error, _) => !entry.stall || !ended_well(trace, finding.subject),
        (Severity::Warning, subject) => entry.stall && !ended_well(trace, subject),
    }
}

/// Whether it was a wait that has come to its end: who was waited for has acted after all.
fn passed(trace: &Trace, finding: &Finding) -> bool {
    let is_stall = findings::find(finding.code).is_some_and(|entry| entry.stall);
    is_stall && ended_well(trace, finding.subject)
}

/// Whether a call or transfer came to its end all the same.
fn ended_well(trace: &Trace, subject: Subject) -> bool {
    match subject {
        Subject::Transfer(id) => trace
            .transfers
            .get(id)
            .is_some_and(|transfer| transfer.state == TransferState::Complete),
        Subject::Call(id) => trace.calls.get(id).is_some_and(|call| {
            let ok = call.status.as_ref().is_some_and(|status| status.code == 0);
            call.state == CallState::Complete && ok
        }),
        _ => false,
    }
}

impl Place {
    fn of(trace: &Trace, subject: Subject) -> Self {
        let call = call_of(trace, subject);
        let connection = match subject {
            Subject::Connection(id) => Some(id),
            Subject::Session(id) => trace.sessions.get(id).map(|session| session.connection),
            Subject::Exchange(id) => trace.exchanges.get(id).map(|row| row.connection),
            Subject::Build(id) => trace.builds.get(id).and_then(|build| trace.asked_on(build)),
            Subject::Call(_) | Subject::Transfer(_) => call.map(|call| call.connection),
        };
        let sent = |side| {
            let flow = call.map(|call| call.sent_by(side));
            flow.map_or(Sent::default(), |flow| Sent {
                messages: flow.messages,
                bytes: flow.bytes,
            })
        };
        Place {
            connection: connection.map(Id::number),
            call: call.map(|call| (call.id.number(), call.short_name())),
            sent: PerSide([sent(Side::Client), sent(Side::Daemon)]),
        }
    }
}

fn call_of(trace: &Trace, subject: Subject) -> Option<&Call> {
    match subject {
        Subject::Call(id) => trace.calls.get(id),
        Subject::Transfer(id) => trace.calls.get(trace.transfers.get(id)?.call),
        _ => None,
    }
}

/// What a finding has to do with.
#[derive(Debug, Default)]
pub(crate) struct Scope {
    call: Option<Id<Call>>,
    /// Those on which it happens, and those that carry them.
    pub(crate) connections: BTreeSet<u64>,
    sessions: BTreeSet<u64>,
    pub(crate) builds: BTreeSet<u64>,
}

impl Scope {
    /// The scope of a subject: its call, its session with the builds that name it, and all the
    /// connections of these.
    pub(crate) fn of(trace: &Trace, subject: Subject) -> Self {
        let mut scope = Scope::default();
        let mut session = None;
        match subject {
            Subject::Connection(id) => scope.carried_by(trace, id),
            Subject::Session(id) => session = trace.sessions.get(id),
            Subject::Exchange(id) => {
                if let Some(exchange) = trace.exchanges.get(id) {
                    scope.carried_by(trace, exchange.connection);
                    scope.builds.extend(exchange.build.map(Id::number));
                }
            }
            Subject::Build(id) => {
                scope.builds.insert(id.number());
            }
            Subject::Call(_) | Subject::Transfer(_) => {
                if let Some(call) = call_of(trace, subject) {
                    scope.call = Some(call.id);
                    scope.carried_by(trace, call.connection);
                    scope.builds.extend(call.build.map(Id::number));
                    session = call.session.and_then(|id| trace.sessions.get(id));
                }
            }
        }
        if let Some(session) = session {
            scope.with_session(trace, session);
            // Without a build of its own, it is of those that may use the session.
            if scope.builds.is_empty() {
                let builds = trace.builds.iter().filter(|build| uses(build, session));
                scope.builds.extend(builds.map(|build| build.id.number()));
            }
        }
        for build in trace.builds.iter() {
            if !scope.builds.contains(&build.id.number()) {
                continue;
            }
            if let Some(id) = trace.asked_on(build) {
                scope.carried_by(trace, id);
            }
            let sessions = trace.sessions.iter().rev();
            let used = sessions.into_iter().find(|session| uses(build, session));
            if let Some(session) = used {
                scope.with_session(trace, session);
            }
        }
        scope
    }

    fn with_session(&mut self, trace: &Trace, session: &Session) {
        self.sessions.insert(session.id.number());
        self.carried_by(trace, session.connection);
    }

    fn carried_by(&mut self, trace: &Trace, id: Id<Connection>) {
        let mut next = Some(id);
        while let Some(id) = next {
            self.connections.insert(id.number());
            let connection = trace.connections.get(id);
            next = connection
                .and_then(|connection| connection.parent)
                .map(|(outer, _)| outer);
        }
    }
}

fn uses(build: &Build, session: &Session) -> bool {
    let named = build.session.as_deref();
    named.is_some_and(|named| session.is_named(named))
}

/// How near a cause must be to its effect.
#[derive(Clone, Copy, Debug)]
enum Near {
    /// The same call.
    Call,
    /// The same session.
    Session,
    /// The same build.
    Build,
}

/// Somebody waits for somebody.
const WAITS: &[&str] = &[
    "flow-control-stall",
    "packets-read-as-bytes",
    "request-missing",
    "file-end-missing",
    "final-stat-missing",
    "fin-missing",
    "fin-unanswered",
    "half-close-missing",
    "call-not-ended",
    "image-load-stalled",
    "auth-callback-stuck",
    "ssh-agent-stuck",
    "callback-unanswered",
];
/// A transfer that breaks the rules.
const BREACHES: &[&str] = &[
    "bytes-read-as-packets",
    "malformed-packet",
    "stat-order-violation",
    "stat-order-violation-path",
    "stat-order-violation-link",
    "stat-order-violation-request",
    "stat-order-violation-data",
    "stat-order-violation-side",
    "stat-order-violation-fin",
];
/// What ends a session.
const HEALTH: &[&str] = &[
    "health-service-missing",
    "health-check-failed",
    "health-check-starved",
];
/// A callback that a build cannot do without.
const CALLS: &[&str] = &[
    "local-dir-not-offered",
    "exporter-id-unknown",
    "content-store-missing",
    "method-unimplemented",
    "policy-loop",
    "message-too-large",
    "transfer-error-packet",
    "transfer-incomplete",
];
/// What is the matter with a session or a connection as a whole.
const WHOLE: &[&str] = &[
    "no-session",
    "session-id-mismatch",
    "session-too-late",
    "session-on-other-daemon",
    "duplicate-session-id",
    "session-refused",
    "session-closed-early",
    "method-not-offered",
    "upload-rendezvous-missed",
    "gateway-build-id-missing",
    "goaway",
];
/// What a connection does not survive.
const GONE: &[&str] = &[
    "daemon-died",
    "control-connection-silent",
    "tunnel-not-ready",
    "exec-stream-not-demultiplexed",
    "tls-alpn-mismatch",
];

/// What these only follow from.
struct Follows {
    effects: &'static [&'static str],
    near: Near,
    causes: &'static [&'static [&'static str]],
}

/// What follows from what.
const FOLLOWS: &[Follows] = &[
    Follows {
        effects: &[
            "request-missing",
            "file-end-missing",
            "final-stat-missing",
            "fin-missing",
            "fin-unanswered",
        ],
        near: Near::Call,
        causes: &[&["flow-control-stall", "packets-read-as-bytes"], BREACHES],
    },
    Follows {
        effects: &["not-decoded"],
        near: Near::Session,
        causes: &[&["tls-alpn-mismatch"]],
    },
    Follows {
        effects: &["health-check-starved"],
        near: Near::Session,
        causes: &[&["flow-control-stall"]],
    },
    Follows {
        effects: &["health-check-failed"],
        near: Near::Session,
        causes: &[&["health-service-missing"]],
    },
    Follows {
        effects: &["transfer-error-packet", "transfer-incomplete"],
        near: Near::Call,
        causes: &[WAITS, BREACHES],
    },
    Follows {
        effects: &["call-failed"],
        near: Near::Call,
        causes: &[
            WAITS,
            BREACHES,
            &["message-too-large", "transfer-error-packet"],
        ],
    },
    Follows {
        effects: &["session-closed-early"],
        near: Near::Session,
        causes: &[WAITS, BREACHES, HEALTH, GONE, &["goaway"]],
    },
    Follows {
        // Whoever waits in vain gives up.
        effects: &["cancelled-by-peer"],
        near: Near::Build,
        causes: &[WAITS, GONE],
    },
    Follows {
        effects: &["build-failed", "build-error-in-stream"],
        near: Near::Build,
        causes: &[WAITS, BREACHES, HEALTH, CALLS, WHOLE, GONE],
    },
];

/// What is found within so much time has happened at once: that a daemon died is found when the
/// last of its connections has ended.
const AT_ONCE: Duration = Duration::from_secs(1);

/// Whether `effect` only follows from `cause`.
fn explains((cause, from): &(Item, Scope), (effect, to): &(Item, Scope)) -> bool {
    let row = FOLLOWS.iter().find(|row| {
        let mut causes = row.causes.iter();
        row.effects.contains(&effect.finding.code)
            && causes.any(|causes| causes.contains(&cause.finding.code))
    });
    let meets = |a: &BTreeSet<u64>, b: &BTreeSet<u64>| !a.is_disjoint(b);
    let same_connection = meets(&from.connections, &to.connections);
    let is_near = match row.map(|row| row.near) {
        None => false,
        Some(Near::Call) => from.call.is_some() && from.call == to.call,
        Some(Near::Session) => meets(&from.sessions, &to.sessions) || same_connection,
        Some(Near::Build) if from.builds.is_empty() => same_connection,
        Some(Near::Build) => meets(&from.builds, &to.builds),
    };
    // What came to a good end explains nothing that came after.
    let is_serious = cause.stopped || cause.finding.severity == Severity::Error;
    is_near && is_serious && cause.finding.at <= effect.finding.at.after(AT_ONCE)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the codes of the table are, and that nothing in it is its own cause.
    #[test]
    fn the_table_is_of_codes_and_has_no_cycle() {
        let mut below = BTreeMap::<&str, BTreeSet<&str>>::new();
        for row in FOLLOWS {
            for effect in row.effects {
                let causes = row.causes.iter().flat_map(|causes| causes.iter().copied());
                below.entry(effect).or_default().extend(causes);
            }
        }
        for (effect, causes) in &below {
            for code in causes.iter().chain([effect]) {
                assert!(findings::find(code).is_some(), "{code}");
            }
        }
        // Those without causes of their own are taken away until nothing is left.
        while !below.is_empty() {
            let before = below.len();
            let effects: BTreeSet<&str> = below.keys().copied().collect();
            below.retain(|_, causes| !causes.is_disjoint(&effects));
            assert!(below.len() < before, "a cycle: {below:?}");
        }
    }

    #[test]
    fn a_connection_without_findings_is_healthy() {
        let decoder = Decoder::new(buildtap_decoder::Options::default());
        let diagnosis = Diagnosis::new(decoder.trace());
        assert!(diagnosis.causes.is_empty() && !diagnosis.stopped());
    }
}
