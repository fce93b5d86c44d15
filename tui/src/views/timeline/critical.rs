//! Which steps of a build decided how long it took.

use std::collections::BTreeSet;

use buildtap_decoder::event::Time;
use buildtap_decoder::trace::{Build, Vertex};

/// The steps of the critical path, by their places in the build, the first first: of the one that
/// ended last, the input that ended last, and so on. Where a step has no input that ran, it is
/// what ended last before it began: frontends do some of their work without saying what for.
pub(super) fn path(build: &Build) -> Vec<usize> {
    let ended = |vertex: &Vertex| Some((vertex.completed?, vertex.started?));
    let steps = || build.vertices.iter().enumerate();
    let last = |among: &dyn Fn(usize, &Vertex) -> bool| {
        steps()
            .filter(|(at, vertex)| among(*at, vertex))
            .filter_map(|(at, vertex)| Some((ended(vertex)?, at)))
            .max()
            .map(|(_, at)| at)
    };
    let mut path = Vec::new();
    let mut seen = BTreeSet::new();
    let running = steps()
        .filter(|(_, vertex)| vertex.completed.is_none())
        .filter_map(|(at, vertex)| Some((vertex.started?, at)));
    // What has not ended holds all up.
    let mut next = running
        .min()
        .map(|(_, at)| at)
        .or_else(|| last(&|_, _| true));
    while let Some(at) = next {
        let Some(vertex) = build.vertices.get(at).filter(|_| seen.insert(at)) else {
            break;
        };
        path.push(at);
        let Some(started) = vertex.started else {
            break;
        };
        let input = last(&|other, it| {
            !seen.contains(&other) && vertex.inputs.contains(&it.digest) && !it.cached
        });
        let before = || {
            last(&|other, it: &Vertex| {
                !seen.contains(&other) && !it.cached && it.completed <= Some(started)
            })
        };
        next = input.or_else(before);
    }
    path.reverse();
    path
}

/// By how much the daemon's clock seems to be behind that of whoever recorded: what it reports
/// cannot have been before it was asked for, nor after it answered.
pub(super) fn behind(build: &Build, now: Time) -> i64 {
    const SLACK: i64 = 2_000_000_000;
    let nanos = |time: Time| i64::try_from(time.0).unwrap_or(i64::MAX);
    let first = build.vertices.iter().filter_map(|it| it.started).min();
    let last = build.vertices.iter().filter_map(|it| it.completed).max();
    let (Some(first), Some(last)) = (first, last.or(first)) else {
        return 0;
    };
    let start = nanos(build.start);
    let end = nanos(build.end.unwrap_or(now));
    let early = start.saturating_sub(nanos(first));
    let late = nanos(last).saturating_sub(end);
    match early > SLACK || late > SLACK {
        true => early,
        false => 0,
    }
}
