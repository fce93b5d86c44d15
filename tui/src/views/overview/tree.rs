//! Which lines the tree has: what goes on and what went wrong is seen, what ended well is folded
//! away.

use std::collections::{HashMap, HashSet};

use buildtap_decoder::filter::Thing;
use buildtap_decoder::trace::{
    Build, BuildState, Call, CallState, Exchange, Finding, Id, Session, Subject, Trace, Vertex,
};

use crate::view::Context;
use crate::words;

/// What a line is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Build(Id<Build>),
    Steps(Id<Build>),
    Step(Id<Build>, usize),
    Session(Id<Session>),
    /// Calls of a session that ended well.
    Finished(Id<Session>),
    Call(Id<Call>),
    /// Calls that are in no session.
    OtherCalls,
    Requests,
    Exchange(Id<Exchange>),
    Finding(Id<Finding>),
}

/// What can be folded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Key {
    Build(Id<Build>),
    Steps(Id<Build>),
    Session(Id<Session>),
    Finished(Id<Session>),
    OtherCalls,
    Requests,
}

/// A line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) what: What,
    pub(super) depth: u8,
    /// What it folds, and whether that is unfolded.
    pub(super) fold: Option<(Key, bool)>,
}

/// What the user folded and unfolded.
#[derive(Clone, Debug, Default)]
pub(super) struct Tree {
    /// What is otherwise than it would be by itself.
    toggled: HashSet<Key>,
}

/// Calls that ended well and are not folded away when nothing else goes on in their session.
const FEW: usize = 12;

impl Tree {
    pub(super) fn toggle(&mut self, key: Key) {
        if !self.toggled.remove(&key) {
            self.toggled.insert(key);
        }
    }

    fn is_open(&self, key: Key, by_itself: bool) -> bool {
        by_itself != self.toggled.contains(&key)
    }

    /// The lines of a trace.
    pub(super) fn lines(&self, cx: &Context<'_>) -> Vec<Line> {
        let trace = cx.store.trace();
        let mut maker = Maker {
            cx,
            tree: self,
            trace,
            lines: Vec::new(),
            of_session: HashMap::new(),
            findings: HashMap::new(),
        };
        for call in trace.calls.iter() {
            if let Some(session) = call.session.filter(|_| cx.shows(Thing::Call(call))) {
                maker.of_session.entry(session).or_default().push(call);
            }
        }
        let findings = trace.findings.iter();
        for finding in findings.filter(|it| cx.shows(Thing::Finding(it))) {
            let subject = match finding.subject {
                Subject::Transfer(id) => match trace.transfers.get(id) {
                    Some(transfer) => Subject::Call(transfer.call),
                    None => finding.subject,
                },
                subject => subject,
            };
            maker.findings.entry(subject).or_default().push(finding.id);
        }
        maker.all();
        maker.lines
    }
}

/// The calls of a session that ended well.
pub(super) fn finished(trace: &Trace, session: Id<Session>) -> impl Iterator<Item = &Call> {
    let calls = trace.calls.iter();
    calls.filter(move |call| call.session == Some(session) && is_fine(trace, call))
}

/// The calls that are in no session: those of the client to the daemon.
pub(super) fn other_calls(trace: &Trace) -> impl Iterator<Item = &Call> {
    trace.calls.iter().filter(|call| call.session.is_none())
}

/// Whether nothing about a call needs to be seen any more.
fn is_fine(trace: &Trace, call: &Call) -> bool {
    call.state != CallState::Open && !words::is_blamed(trace, call)
}

struct Maker<'a> {
    cx: &'a Context<'a>,
    tree: &'a Tree,
    trace: &'a Trace,
    lines: Vec<Line>,
    of_session: HashMap<Id<Session>, Vec<&'a Call>>,
    findings: HashMap<Subject, Vec<Id<Finding>>>,
}

impl Maker<'_> {
    fn push(&mut self, depth: u8, what: What) {
        self.lines.push(Line {
            what,
            depth,
            fold: None,
        });
    }

    /// Pushes what can be folded; gives whether it is unfolded.
    fn fold(&mut self, depth: u8, what: What, key: Key, by_itself: bool) -> bool {
        let open = self.tree.is_open(key, by_itself);
        self.lines.push(Line {
            what,
            depth,
            fold: Some((key, open)),
        });
        open
    }

    fn findings(&mut self, depth: u8, subject: Subject) {
        for id in self.findings.remove(&subject).unwrap_or_default() {
            self.push(depth, What::Finding(id));
        }
    }

    fn all(&mut self) {
        let trace = self.trace;
        let newest = trace.builds.iter().next_back().map(|build| build.id);
        let mut shown = HashSet::new();
        for build in trace.builds.iter() {
            let sessions: Vec<&Session> = build
                .session
                .as_deref()
                .map(|named| {
                    let of_build = |session: &&Session| session.is_named(named);
                    trace.sessions.iter().filter(of_build).collect()
                })
                .unwrap_or_default();
            for session in &sessions {
                shown.insert(session.id);
            }
            let within = sessions.iter().any(|session| self.is_seen(session))
                || build
                    .vertices
                    .iter()
                    .any(|step| self.cx.shows(Thing::Vertex(build, step)));
            if !within && !self.cx.shows(Thing::Build(build)) {
                continue;
            }
            let goes_on = self.cx.filter.is_some()
                || build.state == BuildState::Open
                || Some(build.id) == newest;
            let what = What::Build(build.id);
            let open = self.fold(0, what, Key::Build(build.id), goes_on);
            self.findings(1, Subject::Build(build.id));
            if let Some(exchange) = build.exchange {
                self.findings(1, Subject::Exchange(exchange));
            }
            match open {
                true => {
                    self.steps(build);
                    for session in sessions
                        .into_iter()
                        .filter(|it| self.is_seen(it))
                        .collect::<Vec<_>>()
                    {
                        self.session(1, session, goes_on);
                    }
                }
                // Findings stay.
                false => sessions
                    .iter()
                    .for_each(|session| self.findings_of(session)),
            }
        }
        let rest = trace
            .sessions
            .iter()
            .filter(|session| !shown.contains(&session.id));
        for session in rest.collect::<Vec<_>>() {
            if !self.is_seen(session) {
                continue;
            }
            let by_itself = self.cx.filter.is_some() || session.closed.is_none();
            self.session(0, session, by_itself);
        }
        self.other_calls();
        self.requests();
        // What is about something that is not shown, or is shown no more.
        let mut rest: Vec<Id<Finding>> = self.findings.drain().flat_map(|(_, ids)| ids).collect();
        rest.sort_unstable();
        for id in rest {
            self.push(0, What::Finding(id));
        }
    }

    /// Whether the filter leaves anything of a session.
    fn is_seen(&self, session: &Session) -> bool {
        self.of_session.contains_key(&session.id) || self.cx.shows(Thing::Session(session))
    }

    fn findings_of(&mut self, session: &Session) {
        self.findings(1, Subject::Session(session.id));
        for call in self
            .of_session
            .get(&session.id)
            .cloned()
            .unwrap_or_default()
        {
            self.findings(1, Subject::Call(call.id));
        }
    }

    fn steps(&mut self, build: &Build) {
        if build.vertices.is_empty() {
            return;
        }
        let cx = self.cx;
        let shown = |step: &Vertex| cx.shows(Thing::Vertex(build, step));
        if !build.vertices.iter().any(shown) {
            return;
        }
        // What a filter was asked for is seen at once.
        let by_itself = cx.filter.is_some();
        let open = self.fold(1, What::Steps(build.id), Key::Steps(build.id), by_itself);
        for (at, step) in build.vertices.iter().enumerate() {
            let runs = step.started.is_some() && step.completed.is_none();
            let stays = step.error.is_some() || (runs && build.state == BuildState::Open);
            if (open || stays) && shown(step) {
                self.push(2, What::Step(build.id, at));
            }
        }
    }

    fn session(&mut self, depth: u8, session: &Session, by_itself: bool) {
        let open = self.fold(
            depth,
            What::Session(session.id),
            Key::Session(session.id),
            by_itself,
        );
        self.findings(depth + 1, Subject::Session(session.id));
        self.findings(depth + 1, Subject::Connection(session.connection));
        let calls = self
            .of_session
            .get(&session.id)
            .cloned()
            .unwrap_or_default();
        let (fine, other): (Vec<&Call>, Vec<&Call>) = calls
            .into_iter()
            .partition(|call| is_fine(self.trace, call));
        if !open {
            for call in other {
                self.findings(depth + 1, Subject::Call(call.id));
            }
            return;
        }
        if !fine.is_empty() {
            let few = fine.len() <= FEW && other.is_empty();
            let what = What::Finished(session.id);
            if few {
                for call in fine {
                    self.push(depth + 1, What::Call(call.id));
                }
            } else if self.fold(depth + 1, what, Key::Finished(session.id), false) {
                for call in fine {
                    self.push(depth + 2, What::Call(call.id));
                }
            }
        }
        for call in other {
            self.push(depth + 1, What::Call(call.id));
            self.findings(depth + 2, Subject::Call(call.id));
        }
    }

    fn other_calls(&mut self) {
        let cx = self.cx;
        let calls = other_calls(self.trace).filter(|call| cx.shows(Thing::Call(call)));
        let calls: Vec<&Call> = calls.collect();
        if calls.is_empty() {
            return;
        }
        let open = self.fold(0, What::OtherCalls, Key::OtherCalls, false);
        for call in calls {
            if open || !is_fine(self.trace, call) {
                self.push(1, What::Call(call.id));
            }
            self.findings(2, Subject::Call(call.id));
        }
    }

    fn requests(&mut self) {
        let cx = self.cx;
        let exchanges = self.trace.exchanges.iter();
        let exchanges = exchanges.filter(|it| cx.shows(Thing::Exchange(it)));
        let exchanges: Vec<&Exchange> = exchanges.collect();
        if exchanges.is_empty() {
            return;
        }
        let open = self.fold(0, What::Requests, Key::Requests, false);
        for exchange in exchanges {
            let waits = exchange.answered.is_none();
            if open || waits {
                self.push(1, What::Exchange(exchange.id));
            }
            self.findings(2, Subject::Exchange(exchange.id));
        }
    }
}
