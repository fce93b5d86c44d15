//! Whole conversations, decoded.

mod common;

use buildtap_decoder::event::Time;
use buildtap_decoder::trace::{CallState, Flavour, SessionPath, TransferState};
use buildtap_decoder::{Decoder, Options};
use common::*;
use proptest::prelude::*;

#[test]
fn a_local_export_is_complete_without_trailers() {
    let decoder = local_export(3, 100_000).decode(Options::default());
    let trace = decoder.trace();
    let session = trace.sessions.iter().next().unwrap();
    assert_eq!(
        (session.uuid.as_str(), session.path),
        ("s1", SessionPath::EngineSession)
    );
    assert!(session.accepted.is_some() && session.closed.is_some());
    let call = trace.calls.iter().next().unwrap();
    assert_eq!(
        (call.caller, call.state, call.session),
        (Daemon, CallState::Reset, Some(session.id))
    );
    let transfer = trace.transfers.iter().next().unwrap();
    assert_eq!(
        (transfer.flavour, transfer.state),
        (Flavour::Packet, TransferState::Complete)
    );
    let machine = &transfer.machine;
    assert_eq!(
        (
            machine.entries().count(),
            machine.files(),
            machine.requested(),
            machine.completed()
        ),
        (4, 3, 3, 3)
    );
    assert_eq!(transfer.bytes, 300_000);
    assert!(
        transfer.evidence[0].contains("begins with field 2"),
        "{:?}",
        transfer.evidence
    );
    assert!(trace.findings.is_empty(), "{:?}", trace.findings);
}

#[test]
fn a_client_that_reads_packets_as_bytes_is_named() {
    let mut talk = local_export(2, 10);
    // Everything up to the end of the listing; then nothing.
    let end = talk
        .0
        .iter()
        .position(|(_, bytes)| bytes.ends_with(&grpc(b"")))
        .unwrap();
    talk.0.truncate(end + 1);
    let mut scene = common::scene::Scene::new();
    scene.on(1, |all| *all = talk).wait(3);
    let findings = scene.findings();
    assert_eq!(
        findings.first().map(|finding| finding.code),
        Some("packets-read-as-bytes"),
        "{findings:?}"
    );
    assert_eq!(findings[0].waiting_on, Some(Client));
    assert!(
        findings[0].summary.contains("owes REQ for 2 files"),
        "{}",
        findings[0].summary
    );
}

#[test]
fn nested_session() {
    let mut talk = Talk::default();
    talk.http2(Client);
    let offer = [
        ("x-docker-expose-session-uuid", "inner"),
        ("x-docker-expose-session-grpc-method", FILE_SEND),
    ];
    talk.call(Client, 1, "/moby.buildkit.v1.Control/Session", &offer)
        .accept(Daemon, 1);
    let inner = local_export(1, 50_000);
    for (from, bytes) in inner.0.iter().skip(2) {
        for slice in bytes.chunks(1000) {
            let body = buildtap_proto::moby::buildkit::v1::BytesMessage {
                data: slice.to_vec().into(),
            };
            talk.message(*from, 1, &prost::Message::encode_to_vec(&body));
        }
    }
    talk.end(Client, 1).status(Daemon, 1, 0, "");
    let decoder = talk.decode(Options::default());
    let trace = decoder.trace();
    let session = trace.sessions.iter().next().unwrap();
    assert_eq!(
        (session.uuid.as_str(), session.path),
        ("inner", SessionPath::ControlSession)
    );
    let nested = trace.connections.get(session.connection).unwrap();
    assert_eq!((nested.depth, nested.parent.is_some()), (1, true));
    let transfer = trace.transfers.iter().next().unwrap();
    assert_eq!(
        (transfer.state, transfer.bytes),
        (TransferState::Complete, 50_000)
    );
    assert!(trace.findings.is_empty(), "{:?}", trace.findings);
}

/// Everything in the trace but when things were seen, which a split may change.
fn told(decoder: &Decoder) -> String {
    let trace = decoder.trace();
    let all = format!(
        "{:#?}\n{:#?}\n{:#?}\n{:#?}\n{:#?}\n{:#?}\n{:#?}",
        trace.connections,
        trace.sessions,
        trace.calls,
        trace.exchanges,
        trace.transfers,
        trace.builds,
        trace.findings
    );
    let mut lines: Vec<&str> = all.lines().collect();
    // `Time(\n 123,\n)` in the pretty form.
    lines.retain(|line| {
        !line
            .trim()
            .trim_end_matches(',')
            .chars()
            .all(|c| c.is_ascii_digit())
    });
    lines.join("\n")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn any_split_decodes_the_same(cuts in prop::collection::vec(1usize..5000, 1..40)) {
        let talk = local_export(2, 40_000);
        let whole = told(&talk.decode(Options::default()));
        let mut split = Talk::default();
        let mut cuts = cuts.iter().cycle();
        for (from, bytes) in &talk.0 {
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let (now, later) = rest.split_at(rest.len().min(*cuts.next().unwrap()));
                split.say(*from, now);
                rest = later;
            }
        }
        prop_assert_eq!(told(&split.decode(Options::default())), whole);
    }

    #[test]
    fn damage_never_panics(damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20)) {
        let mut talk = local_export(2, 3000);
        for (at, byte) in damage {
            let which = at.index(talk.0.len());
            let bytes = &mut talk.0[which].1;
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let mut decoder = talk.decode(Options { updates: true, messages: true, ..Options::default() });
        decoder.tick(Time(u64::MAX / 2));
    }
}

#[test]
fn calls_say_what_they_are_about() {
    let mut talk = Talk::default();
    upgrade(&mut talk, "s1", &[FILE_SYNC]);
    let secret = "/moby.buildkit.secrets.v1.Secrets/GetSecret";
    let token = "/moby.filesync.v1.Auth/FetchToken";
    talk.call(
        Daemon,
        1,
        FILE_SYNC,
        &[("dir-name", "caf%C3%A9"), ("dir-name-encoded", "1")],
    )
    .call(Daemon, 3, FILE_SEND, &[])
    .call(Daemon, 5, secret, &[])
    .message(Daemon, 5, b"\x0a\x03npm")
    .call(Daemon, 7, token, &[])
    .message(Daemon, 7, b"\x0a\x01c\x12\x07ghcr.io")
    .call(Daemon, 9, secret, &[])
    .message(Daemon, 9, b"\x0a\x02\xff\xff");
    let decoder = talk.decode(Options::default());
    let subjects: Vec<_> = decoder
        .trace()
        .calls
        .iter()
        .map(|call| call.subject.as_deref())
        .collect();
    let expected = ["café", "exporter 0", "npm", "ghcr.io"].map(Some);
    assert_eq!(subjects, [&expected[..], &[None]].concat());
}
