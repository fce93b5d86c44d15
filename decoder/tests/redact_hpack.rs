//! Header blocks in which values are redacted in place: another decoder reads them as this one
//! does, the tables keep their sizes, and no secret is left.

mod hpack_support;

use buildtap_decoder::redact::{Rules, header_value};
use buildtap_decoder::wire::hpack::{Decoder, Literal};
use hpack_support::{Choice, Encoder, Pair, build_session, decode, pairs};
use proptest::collection::vec;
use proptest::prelude::*;

const SECRET: &str = "0Secret0";

/// Header lists of a build, with secrets among them, again and again: tables matter.
fn lists(secret: &str) -> Vec<Vec<Pair>> {
    let mut lists = build_session();
    let path = format!("/v1.47/build?t=app&buildargs=%7B%22TOKEN%22%3A%22{secret}%22%7D&q=1");
    let bearer = format!("Bearer {secret}");
    let message = format!("fetch https://bob:{secret}@h/x: 401%0Apassword: {secret}");
    let note = format!("see https://h/?access_token={secret}&x=y");
    let secrets = pairs(&[
        (":path", &path),
        ("authorization", &bearer),
        ("x-registry-auth", secret),
        ("grpc-message", &message),
        ("x-note", &note),
        ("te", "trailers"),
    ]);
    for at in [1, 4, 9] {
        lists.insert(at, secrets.clone());
    }
    lists
}

/// The block with its values redacted.
fn redact(decoder: &mut Decoder, block: &[u8]) -> Vec<u8> {
    let mut out = block.to_vec();
    decoder
        .decode(block, |field| {
            let Some(Literal { range, huffman }) = field.value_literal else {
                return;
            };
            let raw = &block[range.clone()];
            let rules = Rules::default();
            if let Some(masked) = header_value(&rules, field.name, field.value, raw, huffman) {
                out[range].copy_from_slice(&masked);
            }
        })
        .unwrap();
    out
}

fn check(secret: &str, blocks: impl Iterator<Item = (Vec<Pair>, Vec<u8>)>) {
    let mut decoders = [Decoder::new(4096), Decoder::new(4096), Decoder::new(4096)];
    let mut loona = loona_hpack::Decoder::new();
    let mut masked = 0;
    for (list, block) in blocks {
        let [first, second, third] = &mut decoders;
        let out = redact(first, &block);
        let fields = decode(second, &out).unwrap();
        assert_eq!(loona.decode(&out).unwrap(), fields);
        assert_eq!(fields.len(), list.len());
        for ((name, value), (sent_name, sent)) in fields.iter().zip(&list) {
            assert_eq!(name, sent_name);
            assert_eq!(value.len(), sent.len());
            let value = String::from_utf8_lossy(value);
            assert!(!value.contains(secret), "{value}");
            masked += usize::from(value.as_bytes() != sent);
        }
        assert_eq!(first.table_size(), second.table_size());
        assert_eq!(first.table_len(), second.table_len());
        // Once is enough.
        assert_eq!(redact(third, &out), out);
    }
    assert!(masked >= 15, "{masked}");
}

#[test]
fn what_usual_encoders_write() {
    for huffman in [false, true] {
        let mut encoder = Encoder::new(4096);
        check(
            SECRET,
            lists(SECRET).into_iter().map(|list| {
                let mut block = Vec::new();
                for field in &list {
                    encoder.field(&mut block, field, Choice::usual(huffman));
                }
                (list, block)
            }),
        );
    }
    let mut encoder = loona_hpack::Encoder::new();
    check(
        SECRET,
        lists(SECRET).into_iter().map(|list| {
            let fields = list.iter().map(|(name, value)| (&name[..], &value[..]));
            let block = encoder.encode(fields);
            (list, block)
        }),
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn whatever_encoders_choose(secret in "[a-zA-Z0-9_]{8,40}", seeds in vec(any::<u8>(), 1..40)) {
        let mut encoder = Encoder::new(4096);
        let mut seeds = seeds.into_iter().cycle();
        check(&secret, lists(&secret).into_iter().map(|list| {
            let mut block = Vec::new();
            for field in &list {
                encoder.field(&mut block, field, Choice::from_seed(seeds.next().unwrap()));
            }
            (list, block)
        }));
    }
}
