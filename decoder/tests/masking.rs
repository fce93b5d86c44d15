//! Secrets in the tapped bytes: wherever they stand, and however the bytes were cut.

mod common;

use std::sync::Arc;

use buildtap_decoder::event::{Closed, Endpoints, Side, TapEvent, TapId, Time};
use buildtap_decoder::masking::{Masker, Redaction};
use buildtap_decoder::redact::{Regex, Rules};
use buildtap_decoder::{Decoder, Options};
use buildtap_proto::fsutil::types::packet::PacketType;
use buildtap_proto::moby::buildkit::secrets::v1::{GetSecretRequest, GetSecretResponse};
use buildtap_proto::moby::buildkit::v1::BytesMessage;
use buildtap_proto::schema::Schemas;
use common::*;
use proptest::prelude::*;
use prost::Message;

const CANARY: &str = "c4nary-Secret-0f1e2d3c";

fn options(rules: Rules) -> Options {
    Options {
        redact: Some(Arc::new(Redaction {
            rules,
            schemas: Schemas::builtin(),
        })),
        ..Options::default()
    }
}

/// What a masker made of it: what each side said.
#[derive(Debug, Default, PartialEq, Eq)]
struct Masked {
    said: [Vec<u8>; 2],
    half_closed: usize,
    closed: bool,
}

impl Masked {
    fn take(&mut self, event: TapEvent<'_>) {
        match event {
            TapEvent::Chunk { from, bytes } => {
                assert!(!bytes.is_empty());
                self.said[from.index()].extend(bytes);
            }
            TapEvent::HalfClose { .. } => self.half_closed += 1,
            TapEvent::Close { .. } => self.closed = true,
            _ => {}
        }
    }
}

/// Masks what is said in pieces of these sizes.
fn mask(talk: &Talk, sizes: &[usize], close: bool) -> Masked {
    mask_by(Rules::default(), talk, sizes, close)
}

/// The same by other rules.
fn mask_by(rules: Rules, talk: &Talk, sizes: &[usize], close: bool) -> Masked {
    let mut decoder = Decoder::new(options(rules));
    let mut masker = Masker::default();
    let mut masked = Masked::default();
    let mut sizes = sizes.iter().cycle();
    let mut at = Time(1_000);
    let mut tell = |event: TapEvent<'_>, masked: &mut Masked| {
        at.0 += 1_000;
        let tap = TapId(1);
        decoder.event(at, tap, event.clone());
        masker.event(&mut decoder, at, tap, &event, |_, _, event| {
            masked.take(event)
        });
    };
    tell(TapEvent::Open(Endpoints::default()), &mut masked);
    for (from, bytes) in &talk.0 {
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(rest.len().min(*sizes.next().unwrap()));
            let bytes = piece;
            tell(TapEvent::Chunk { from: *from, bytes }, &mut masked);
            rest = after;
        }
    }
    if close {
        for from in Side::BOTH {
            tell(TapEvent::HalfClose { from }, &mut masked);
        }
        let how = Closed::Finished;
        tell(TapEvent::Close { how }, &mut masked);
        assert_eq!((masked.half_closed, masked.closed), (2, true));
    }
    masker.finish(&mut decoder, |_, _, event| masked.take(event));
    masked
}

fn said(talk: &Talk) -> [Vec<u8>; 2] {
    Side::BOTH.map(|side| {
        let words = talk.0.iter().filter(|(from, _)| *from == side);
        words.flat_map(|(_, bytes)| bytes.clone()).collect()
    })
}

fn contains(all: &[u8], part: &str) -> bool {
    all.windows(part.len())
        .any(|window| window == part.as_bytes())
}

/// Requests of the Engine API with secrets in target, headers and bodies, then a session.
fn engine() -> Talk {
    let mut talk = Talk::default();
    let body = format!(r#"{{"username":"bob","password":"{CANARY}"}}"#);
    talk.say(
        Client,
        format!(
            "POST /v1.41/auth HTTP/1.1\r\nHost: docker\r\nContent-Type: application/json\r\n\
             Authorization: Bearer {CANARY}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ),
    );
    let body = format!(r#"{{"Status":"ok","IdentityToken":"{CANARY}"}}"#);
    talk.say(
        Daemon,
        format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n\
             {:x}\r\n{}\r\n{:x}\r\n{}\r\n0\r\n\r\n",
            20,
            &body[..20],
            body.len() - 20,
            &body[20..]
        ),
    );
    talk.say(
        Client,
        format!("GET /images/json?token={CANARY}&x=1 HTTP/1.1\r\nHost: docker\r\nCookie: a={CANARY}\r\n\r\n"),
    );
    talk.say(Daemon, "HTTP/1.1 204 No Content\r\n\r\n");
    upgrade(
        &mut talk,
        "s1",
        &["/moby.buildkit.secrets.v1.Secrets/GetSecret"],
    );
    session_calls(&mut talk);
    talk
}

fn session_calls(talk: &mut Talk) {
    let authorization = format!("Bearer {CANARY}");
    talk.call(
        Daemon,
        1,
        "/moby.buildkit.secrets.v1.Secrets/GetSecret",
        &[("authorization", &authorization)],
    );
    let asked = GetSecretRequest {
        id: "npm".into(),
        ..GetSecretRequest::default()
    };
    talk.message(Daemon, 1, &asked.encode_to_vec())
        .end(Daemon, 1);
    talk.accept(Client, 1);
    let secret = GetSecretResponse {
        data: format!("{CANARY}\n").repeat(1500).into(),
    };
    talk.message(Client, 1, &secret.encode_to_vec());
    talk.status(Client, 1, 0, "");
    talk.call(Daemon, 3, "/moby.sshforward.v1.SSH/ForwardAgent", &[]);
    let agent = BytesMessage {
        data: CANARY.into(),
    };
    talk.accept(Client, 3);
    talk.message(Daemon, 3, &agent.encode_to_vec());
    talk.message(Client, 3, &agent.encode_to_vec());
    talk.status(Client, 3, 0, "");
}

/// The same session inside a `Control.Session`.
fn nested() -> Talk {
    let mut inner = Talk::default();
    inner.http2(Daemon);
    session_calls(&mut inner);
    let mut talk = Talk::default();
    talk.http2(Client);
    talk.call(
        Client,
        1,
        "/moby.buildkit.v1.Control/Session",
        &[("x-docker-expose-session-uuid", "s1")],
    );
    talk.accept(Daemon, 1);
    for (from, bytes) in inner.0 {
        for part in bytes.chunks(7_000) {
            let slice = BytesMessage {
                data: part.to_vec().into(),
            };
            talk.message(from, 1, &slice.encode_to_vec());
        }
    }
    talk
}

#[test]
fn no_secret_is_left_and_everything_else_is() {
    for talk in [engine(), nested()] {
        let plain = said(&talk);
        assert!(plain.iter().all(|said| contains(said, CANARY)));
        let masked = mask(&talk, &[usize::MAX], true);
        for (plain, masked) in plain.iter().zip(&masked.said) {
            assert_eq!(plain.len(), masked.len());
            assert!(!contains(masked, CANARY));
            assert!(!contains(masked, &CANARY[4..]));
            let stars = masked.iter().filter(|byte| **byte == b'*').count();
            let differ = plain.iter().zip(masked).filter(|(a, b)| a != b).count();
            assert!(differ <= stars, "nothing but secrets is changed");
        }
        let call = "/moby.buildkit.secrets.v1.Secrets/GetSecret";
        assert!(contains(&masked.said[Daemon.index()], call));
    }
}

#[test]
fn what_is_masked_reads_as_before() {
    for talk in [engine(), nested()] {
        let masked = mask(&talk, &[usize::MAX], true);
        let mut rest = masked.said;
        let talked = Talk(
            talk.0
                .iter()
                .map(|(from, bytes)| {
                    let said = &mut rest[from.index()];
                    (*from, said.drain(..bytes.len()).collect())
                })
                .collect(),
        );
        let told = |talk: &Talk| {
            let decoder = talk.decode(Options::default());
            let trace = decoder.trace();
            format!(
                "{:#?} {:#?} {:#?}",
                trace.calls, trace.exchanges, trace.findings
            )
        };
        assert_eq!(told(&talk), told(&talked));
    }
}

/// A message of which only a part was sent may hold a secret: nobody can tell.
#[test]
fn a_part_of_a_message_is_masked_too() {
    for close in [true, false] {
        let mut talk = engine();
        let last = talk
            .0
            .iter()
            .rposition(|(_, bytes)| contains(bytes, CANARY));
        let secret = talk.0.len() - 12;
        assert!(last.unwrap() > secret);
        for cut in (secret..talk.0.len()).rev() {
            let half = talk.0[cut].1.len() / 2;
            talk.0.truncate(cut + 1);
            talk.0[cut].1.truncate(half);
            let masked = mask(&talk, &[100], close);
            for (plain, masked) in said(&talk).iter().zip(&masked.said) {
                assert_eq!(plain.len(), masked.len());
                assert!(!contains(masked, &CANARY[..8]), "{cut}");
            }
        }
    }
}

#[test]
fn of_an_unknown_protocol_only_the_beginning_is_kept() {
    let mut talk = Talk::default();
    talk.say(
        Client,
        format!("HELO whoever\r\n{}{CANARY}\r\n", ".".repeat(99)),
    );
    talk.say(Daemon, format!("250 {CANARY}"));
    talk.say(Client, CANARY);
    let masked = mask(&talk, &[usize::MAX], true);
    assert!(contains(&masked.said[0], "HELO whoever"));
    assert!(masked.said.iter().all(|said| !contains(said, &CANARY[..8])));
    assert_eq!(
        masked.said.each_ref().map(Vec::len),
        said(&talk).map(|said| said.len())
    );
}

/// Somebody who stops in the middle of a message holds up nothing, and no memory.
#[test]
fn what_waits_for_the_rest_of_a_message_is_bounded() {
    let mut talk = Talk::default();
    talk.http2(Client);
    talk.call(Client, 1, "/moby.buildkit.v1.Control/Solve", &[]);
    talk.frame(Client, 0, 0, 1, &grpc(&[0; 100])[..50]);
    let archive = "/moby.filesync.v1.FileSend/DiffCopy";
    talk.call(Client, 3, archive, &[]).accept(Daemon, 3);
    let before: usize = said(&talk)[0].len();
    let mut decoder = Decoder::new(options(Rules::default()));
    let mut masker = Masker::default();
    let mut out = 0;
    let mut tell = |event: TapEvent<'_>| {
        decoder.event(Time(1_000), TapId(1), event.clone());
        masker.event(
            &mut decoder,
            Time(1_000),
            TapId(1),
            &event,
            |_, _, event| {
                if let TapEvent::Chunk {
                    bytes,
                    from: Client,
                } = event
                {
                    out += bytes.len();
                }
            },
        );
    };
    tell(TapEvent::Open(Endpoints::default()));
    for (from, bytes) in &talk.0 {
        tell(TapEvent::Chunk { from: *from, bytes });
    }
    let packet = {
        let mut talk = Talk::default();
        talk.packet(Client, 3, &data(0, vec![7; 30 << 10]));
        said(&talk)[0].clone()
    };
    for _ in 0..2_000 {
        tell(TapEvent::Chunk {
            from: Client,
            bytes: &packet,
        });
    }
    let all = before + 2_000 * packet.len();
    assert!(all - out < 34 << 20, "{} of {all} are held back", all - out);
}

/// Rules that know the canary, which is nothing that looks like a secret where it stands.
fn canary() -> Rules {
    Rules {
        patterns: vec![Regex::new("c4nary-Secret-[0-9a-f]+").unwrap()],
        ..Rules::default()
    }
}

/// A message in two frames, cut after `first` bytes.
fn in_two_frames(talk: &mut Talk, from: Side, stream_id: u32, message: &[u8], first: usize) {
    let message = grpc(message);
    let (first, second) = message.split_at(first);
    talk.frame(from, 0, 0, stream_id, first);
    talk.frame(from, 0, 0, stream_id, second);
}

/// An export of two files, an archive and one that fails; the canary stands on every seam there is.
fn seams() -> Talk {
    let mut talk = Talk::default();
    talk.http2(Daemon);
    let send = "/moby.filesync.v1.FileSend/DiffCopy";
    talk.call(Daemon, 1, send, &[]).accept(Client, 1);
    let named = stat(&format!("{CANARY}.txt"), 0o644, 100).encode_to_vec();
    in_two_frames(&mut talk, Daemon, 1, &named, 20);
    for packet in [stat("other", 0o644, 100), plain(PacketType::PacketStat, 0)] {
        talk.packet(Daemon, 1, &packet);
    }
    for id in 0..2 {
        talk.packet(Client, 1, &plain(PacketType::PacketReq, id));
    }
    // The files come in turns, and each packet ends within the canary.
    let (head, tail) = CANARY.split_at(9);
    for part in [head, tail] {
        for id in 0..2 {
            talk.packet(Daemon, 1, &data(id, part.as_bytes().to_vec()));
        }
    }
    let whole = data(0, format!("or {CANARY}").into_bytes()).encode_to_vec();
    in_two_frames(&mut talk, Daemon, 1, &whole, 25);
    for id in 0..2 {
        talk.packet(Daemon, 1, &plain(PacketType::PacketData, id));
    }
    talk.packet(Client, 1, &plain(PacketType::PacketFin, 0));
    talk.packet(Daemon, 1, &plain(PacketType::PacketFin, 0));

    talk.call(Daemon, 3, send, &[]).accept(Client, 3);
    for part in [head, tail] {
        let data = part.as_bytes().to_vec().into();
        talk.message(Daemon, 3, &BytesMessage { data }.encode_to_vec());
    }

    talk.call(Daemon, 5, send, &[]).accept(Client, 5);
    let failed = buildtap_proto::fsutil::types::Packet {
        r#type: PacketType::PacketErr as i32,
        data: format!("cannot log in to https://joe:{CANARY}@host/")
            .into_bytes()
            .into(),
        ..Default::default()
    };
    let failed = failed.encode_to_vec();
    talk.packet(Daemon, 5, &stat("file", 0o644, 100));
    in_two_frames(&mut talk, Daemon, 5, &failed, 45);
    talk
}

#[test]
fn what_is_cut_in_two_is_found() {
    let talk = seams();
    let plain = said(&talk);
    let masked = mask_by(canary(), &talk, &[usize::MAX], true);
    for (plain, masked) in plain.iter().zip(&masked.said) {
        assert_eq!(plain.len(), masked.len());
    }
    let (head, tail) = CANARY.split_at(9);
    for part in [head, tail] {
        assert!(contains(&plain[1], part));
        assert!(!contains(&masked.said[1], part), "{part}");
    }
    assert!(contains(&masked.said[1], ".txt") && contains(&masked.said[1], "or "));
    // Without the pattern only what stands in a URL.
    let masked = mask(&talk, &[usize::MAX], true);
    assert!(contains(&masked.said[1], tail));
    assert!(!contains(&masked.said[1], "joe:c4"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn any_cut_of_what_is_cut_in_two_is_masked_the_same(
        sizes in prop::collection::vec(prop_oneof![1..20usize, 1..900usize], 1..30),
        close in any::<bool>(),
    ) {
        let talk = seams();
        let whole = mask_by(canary(), &talk, &[usize::MAX], true);
        prop_assert_eq!(&mask_by(canary(), &talk, &sizes, close).said, &whole.said);
    }

    #[test]
    fn any_cut_is_masked_the_same(
        sizes in prop::collection::vec(prop_oneof![1..20usize, 1..9_000usize], 1..30),
    ) {
        for talk in [engine(), nested()] {
            let whole = mask(&talk, &[usize::MAX], true);
            prop_assert_eq!(&mask(&talk, &sizes, true), &whole);
        }
    }
}
