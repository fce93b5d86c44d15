//! Where things stand at a moment, in a few lines: what is open, and whose turn it is on it.

use buildtap_decoder::event::Time;
use buildtap_decoder::trace::{BuildState, Id, Session, Subject, Trace};

use super::paint::offset;
use super::words;
use crate::output::Output;

/// Sessions and builds that are told of.
const MOST: usize = 16;

/// A line for each build that is open and each session that is open without one.
pub fn standing(trace: &Trace, now: Time, output: &Output) -> String {
    let origin = words::origin(trace).unwrap_or(now);
    let mut out = format!("buildtap: at {} s\n", offset(now, origin));
    let builds: Vec<_> = trace
        .builds
        .iter()
        .filter(|build| build.state == BuildState::Open)
        .collect();
    let used: Vec<Id<Session>> = builds
        .iter()
        .filter_map(|build| Some(trace.session_named(build.session.as_deref()?)?.id))
        .collect();
    let sessions = trace
        .sessions
        .iter()
        .filter(|session| session.closed.is_none() && !used.contains(&session.id));
    let builds = builds.iter().map(|build| {
        let name = format!("build {}", build.id);
        (Subject::Build(build.id), name)
    });
    let sessions = sessions.map(|session| {
        let name = format!("session {}", session.uuid);
        (Subject::Session(session.id), name)
    });
    let open: Vec<_> = builds.chain(sessions).take(MOST).collect();
    for (subject, name) in &open {
        let turn = words::turn(trace, *subject, now);
        let line = turn.unwrap_or_else(|| format!("{name} is open: nobody owes anything"));
        words::say(&mut out, 4, "", &line, output.width);
    }
    if open.is_empty() {
        words::say(
            &mut out,
            4,
            "",
            "no build and no session is open",
            output.width,
        );
    }
    out
}
