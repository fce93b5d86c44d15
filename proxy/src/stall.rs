//! `--fail-on-stall`: whether anything can still move.
//!
//! A build is given up when a finding says whose turn it is, that side still has not acted, and
//! for so long nothing has been said for that build: no message on a call of its session or of
//! its control connection, no byte of its progress. Health checks do not count, since they go on
//! in a hang; neither does the call that carries the session. Without such a finding nothing is
//! given up, however silent it is: a step may take its time.

use std::collections::BTreeMap;
use std::time::Duration;

use buildtap_decoder::event::Time;
use buildtap_decoder::findings;
use buildtap_decoder::trace::{BuildState, Call, Finding, Id, Subject, Trace};

use crate::diagnose::Scope;

/// How often it is looked at.
pub const POLL: Duration = Duration::from_millis(250);

/// Findings that are looked at: the relay stands still meanwhile.
const LOOKED_AT: usize = 16;

/// Looks now and then whether anything can still move.
#[derive(Debug)]
pub struct Patience {
    limit: Duration,
    /// The bytes of the exchange of each open build, and when they last became more.
    bodies: BTreeMap<u64, (u64, Time)>,
}

impl Patience {
    /// That of somebody who waits for so long.
    pub fn new(limit: Duration) -> Self {
        Patience {
            limit,
            bodies: BTreeMap::new(),
        }
    }

    /// What nothing can move for, and for how long nothing has. To be asked every [`POLL`].
    pub fn exhausted(&mut self, trace: &Trace, now: Time) -> Option<(Id<Finding>, Duration)> {
        self.look_at_bodies(trace, now);
        let standing = trace
            .findings
            .iter()
            .filter(|finding| findings::stands(trace, finding, now))
            .take(LOOKED_AT);
        standing
            .map(|finding| (finding.id, now.since(self.last_word(trace, finding))))
            .find(|(_, silence)| *silence >= self.limit)
    }

    fn look_at_bodies(&mut self, trace: &Trace, now: Time) {
        self.bodies.retain(|id, _| {
            let mut builds = trace.builds.iter();
            builds.any(|build| build.id.number() == *id && build.state == BuildState::Open)
        });
        for build in trace.builds.iter() {
            let exchange = build.exchange.and_then(|id| trace.exchanges.get(id));
            let Some(exchange) = exchange.filter(|_| build.state == BuildState::Open) else {
                continue;
            };
            let bytes = exchange
                .request_bytes
                .saturating_add(exchange.response_bytes);
            let seen = self.bodies.entry(build.id.number());
            let (known, at) = seen.or_insert((bytes, exchange.start));
            if *known != bytes {
                (*known, *at) = (bytes, now);
            }
        }
    }

    /// When something was last said that has to do with a finding.
    fn last_word(&self, trace: &Trace, finding: &Finding) -> Time {
        let scope = Scope::of(trace, finding.subject);
        let calls = trace.calls.iter();
        let of_calls = calls
            .filter(|call| scope.connections.contains(&call.connection.number()))
            .filter(|call| counts(call) || finding.subject == Subject::Call(call.id))
            .flat_map(|call| {
                let sent = [call.request.last, call.response.last, call.end];
                sent.into_iter().flatten().chain([call.start])
            });
        let bodies = scope.builds.iter().filter_map(|id| self.bodies.get(id));
        let of_bodies = bodies.map(|(_, at)| *at);
        of_calls.chain(of_bodies).max().unwrap_or(finding.at)
    }
}

/// Whether what is said on a call brings a build forward.
fn counts(call: &Call) -> bool {
    let is_health = call.service.ends_with(".Health");
    let is_carrier = call.service.ends_with(".Control") && call.method == "Session";
    !is_health && !is_carrier
}
