//! How a session was cut into chunks means nothing, and a chunk that is missing is missed.

use buildtap_decoder::trace::{BuildState, Finding, Subject, TransferState};
use buildtap_decoder::{Decoder, Options};
use proptest::prelude::*;

use crate::{Event, Told, decode, events};

/// One by each way that a session can be reached.
const CAPTURES: [&str; 3] = [
    "local-export",
    "nested-tar-export",
    "exec-tunnel-local-export",
];

/// Everything in the trace but when things were seen, which a split may change.
pub(crate) fn told(decoder: &Decoder) -> Vec<String> {
    let trace = decoder.trace();
    let all = format!(
        "{:#?}\n{:#?}\n{:#?}\n{:#?}\n{:#?}\n{:#?}\n{:#?}\n{:#?}",
        trace.connections,
        trace.sessions,
        trace.calls,
        trace.exchanges,
        trace.transfers,
        trace.builds,
        trace.findings,
        trace.versions
    );
    let mut lines: Vec<String> = Vec::new();
    let mut is_time = false;
    for line in all.lines() {
        if !is_time {
            lines.push(line.to_owned());
        }
        is_time = line.ends_with("Time(");
    }
    lines
}

/// Joins what a side said without another word in between, on any connection.
fn joined(events: &[Event]) -> Vec<Event> {
    let mut joined: Vec<Event> = Vec::new();
    for event in events {
        if let (Some((_, last_tap, Told::Chunk(last, whole))), (_, tap, Told::Chunk(from, bytes))) =
            (joined.last_mut(), event)
            && last_tap == tap
            && last == from
        {
            whole.extend_from_slice(bytes);
        } else {
            joined.push(event.clone());
        }
    }
    joined
}

/// Cuts every chunk into pieces of these sizes, over and over.
fn cut(events: &[Event], sizes: &[usize]) -> Vec<Event> {
    let mut sizes = sizes.iter().cycle();
    let mut cut = Vec::new();
    for (at, tap, told) in events {
        let Told::Chunk(from, bytes) = told else {
            cut.push((*at, *tap, told.clone()));
            continue;
        };
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(rest.len().min(*sizes.next().unwrap()));
            cut.push((*at, *tap, Told::Chunk(*from, piece.to_vec())));
            rest = after;
        }
    }
    cut
}

fn check(name: &str, sizes: &[usize]) -> Result<(), TestCaseError> {
    let events = events(name);
    let options = || Options {
        updates: true,
        messages: true,
        ..Options::default()
    };
    let whole = told(&decode(&events, options()));
    let cut = told(&decode(&cut(&joined(&events), sizes), options()));
    let differ = whole.iter().zip(&cut).find(|(whole, cut)| whole != cut);
    prop_assert_eq!(differ, None, "{}", name);
    prop_assert_eq!(whole.len(), cut.len(), "{}", name);
    Ok(())
}

#[test]
fn one_byte_at_a_time() {
    for name in CAPTURES {
        check(name, &[1]).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn any_cut_decodes_the_same(
        which in 0..CAPTURES.len(),
        sizes in prop::collection::vec(prop_oneof![1..20usize, 1..20_000usize], 1..30),
    ) {
        check(CAPTURES[which], &sizes)?;
    }
}

/// Every chunk of a session is left out once.
#[test]
fn a_missing_chunk_is_missed() {
    for name in CAPTURES {
        let events = events(name);
        for n in 0..events.len() {
            let Told::Chunk(from, bytes) = &events[n].2 else {
                continue;
            };
            let (from, length) = (*from, bytes.len() as u64);
            let mut lossy = events.clone();
            lossy[n].2 = Told::Gap(from, Some(length));
            let decoder = decode(&lossy, Options::default());
            let trace = decoder.trace();
            let tap = events[n].1;
            let connection = trace
                .connections
                .iter()
                .find(|connection| connection.tap == tap)
                .unwrap();
            let undecodable = connection.undecodable.get(from).as_ref().unwrap();
            assert!(
                undecodable
                    .why
                    .contains(&format!("{length} bytes are missing")),
                "{name}, event {n}: {undecodable:?}"
            );
            let lost: u64 = lossy
                .iter()
                .filter(|event| event.1 == tap)
                .filter_map(|event| match &event.2 {
                    Told::Chunk(side, bytes) if *side == from => Some(bytes.len() as u64),
                    _ => None,
                })
                .sum();
            assert_eq!(
                *connection.bytes.get(from),
                lost,
                "what is there is counted"
            );
            let subject = Subject::Connection(connection.id);
            let named = |finding: &Finding| finding.subject == subject;
            assert!(trace.findings.iter().any(named), "{name}, event {n}");
            // Nobody is blamed for what may have been said in the missing chunk.
            for finding in trace.findings.iter() {
                assert_eq!(
                    finding.code, "not-decoded",
                    "{name}, event {n}: {finding:#?}"
                );
            }
            let failed = trace
                .transfers
                .iter()
                .any(|transfer| transfer.state == TransferState::Failed)
                || trace
                    .builds
                    .iter()
                    .any(|build| matches!(build.state, BuildState::Failed | BuildState::Cancelled))
                || trace
                    .sessions
                    .iter()
                    .any(|session| session.refused.is_some());
            assert!(!failed, "{name}, event {n}: {trace:#?}");
        }
    }
}
