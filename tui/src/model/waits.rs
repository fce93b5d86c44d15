//! Who is waited for: what the first screen says first.

use std::time::Duration;

use buildtap_decoder::event::{Side, Time};
use buildtap_decoder::findings;
use buildtap_decoder::obligation::{Act, Layer, Obligation, State, chain};
use buildtap_decoder::trace::{Finding, Id, Subject, Trace};

/// Something that somebody must do before anything can go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    /// Who must act.
    pub side: Side,
    /// What they must do, as it follows "must".
    pub action: String,
    /// Since when.
    pub since: Time,
    /// What it is about.
    pub subject: Subject,
    /// Where it comes from.
    layer: Option<Layer>,
    /// What cannot go on before: the nearest first.
    pub blocks: Vec<Subject>,
    /// The whole chain, from the outermost that waits down to this, in a sentence.
    pub sentence: String,
    /// The finding that says so, once it has lasted.
    pub finding: Option<Id<Finding>>,
}

/// How long something may wait without being worth a line.
const MOMENT: Duration = Duration::from_millis(300);

/// Chains that are followed.
const CHAINS: usize = 256;

impl Wait {
    /// For how long, at `now`.
    pub fn age(&self, now: Time) -> Duration {
        now.since(self.since)
    }

    /// Whether it is about this call, or about the transfer that it carries.
    pub fn is_about(&self, trace: &Trace, subject: Subject) -> bool {
        same(trace, self.subject, subject)
            || self
                .blocks
                .iter()
                .any(|blocked| same(trace, *blocked, subject))
    }
}

/// Everything that somebody is waited for at `now`, the cause and not what follows from it: what
/// a finding says stands still first, then what waits longest.
pub fn waits(trace: &Trace, now: Time) -> Vec<Wait> {
    let mut waits: Vec<Wait> = Vec::new();
    let waiting = trace
        .obligations(now)
        .into_iter()
        .filter(|it| it.side.is_some() && (it.state == State::Waiting || is_slow(it, trace, now)));
    for obligation in waiting.take(CHAINS) {
        let Some(chain) = chain(trace, obligation.subject, now) else {
            add(&mut waits, &obligation, &obligation, String::new());
            continue;
        };
        let innermost = chain.innermost();
        let is_cause = |it: &&Obligation| it.state == State::Waiting || is_slow(it, trace, now);
        if let Some(innermost) = innermost.filter(is_cause) {
            add(
                &mut waits,
                innermost,
                &obligation,
                chain.sentence().to_owned(),
            );
        }
    }
    for wait in &mut waits {
        // Told from the build on, where it is one that waits.
        let builds = wait
            .blocks
            .iter()
            .filter(|it| matches!(it, Subject::Build(_)));
        let chains = builds.filter_map(|build| chain(trace, *build, now));
        let same = |it: &&Obligation| it.subject == wait.subject;
        let told = chains
            .filter(|chain| chain.innermost().filter(same).is_some())
            .map(|chain| chain.sentence().to_owned())
            .next();
        if let Some(sentence) = told {
            wait.sentence = sentence;
        }
    }
    for finding in trace.findings.iter() {
        if !findings::stands(trace, finding, now) {
            continue;
        }
        let about = waits
            .iter_mut()
            .find(|wait| wait.is_about(trace, finding.subject));
        if let Some(wait) = about {
            wait.finding = wait.finding.or(Some(finding.id));
        } else if let Some(carrier) = carrier(trace, finding.subject) {
            // The socket of what it is about.
            let carries =
                |wait: &&mut Wait| wait.subject == carrier && Some(wait.side) == finding.waiting_on;
            if let Some(wait) = waits.iter_mut().find(carries) {
                wait.finding = wait.finding.or(Some(finding.id));
            }
        }
    }
    waits.retain(|wait| wait.finding.is_some() || wait.age(now) >= MOMENT);
    waits.sort_by_key(|wait| (wait.finding.is_none(), wait.since));
    waits
}

/// Adds the cause of a chain, or what it blocks if it is known.
fn add(waits: &mut Vec<Wait>, cause: &Obligation, outermost: &Obligation, sentence: String) {
    let Some(side) = cause.side else {
        return;
    };
    let known = waits
        .iter_mut()
        .find(|wait| wait.subject == cause.subject && wait.layer == Some(cause.layer));
    let wait = match known {
        Some(wait) => wait,
        None => {
            waits.push(Wait {
                side,
                action: cause.action.clone(),
                since: cause.since,
                subject: cause.subject,
                layer: Some(cause.layer),
                blocks: cause.blocks.clone(),
                sentence: String::new(),
                finding: None,
            });
            let Some(wait) = waits.last_mut() else { return };
            wait
        }
    };
    if sentence.len() > wait.sentence.len() {
        wait.sentence = sentence;
    }
    let outer = outermost.subject;
    if outer != cause.subject && !wait.blocks.contains(&outer) {
        wait.blocks.push(outer);
    }
}

/// Whether a daemon may be at work on a request, but has not said a word for long. A build is
/// allowed to take its time.
fn is_slow(obligation: &Obligation, trace: &Trace, now: Time) -> bool {
    const LONG: Duration = Duration::from_secs(5);
    let Subject::Exchange(id) = obligation.subject else {
        return false;
    };
    let row = trace.exchanges.get(id);
    let is_plain = row.is_some_and(|row| row.build.is_none() && row.answered.is_none());
    is_plain && obligation.act == Act::Answer && now.since(obligation.since) >= LONG
}

/// The connection that carries a request.
fn carrier(trace: &Trace, subject: Subject) -> Option<Subject> {
    match subject {
        Subject::Exchange(id) => {
            let exchange = trace.exchanges.get(id)?;
            Some(Subject::Connection(exchange.connection))
        }
        _ => None,
    }
}

fn same(trace: &Trace, one: Subject, other: Subject) -> bool {
    let call = |subject| match subject {
        Subject::Call(id) => Some(id),
        Subject::Transfer(id) => trace.transfers.get(id).map(|transfer| transfer.call),
        _ => None,
    };
    one == other || (call(one).is_some() && call(one) == call(other))
}
