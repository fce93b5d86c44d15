//! Header fields per second, beside loona-hpack.
//!
//! `items` are fields. `literal` is every field spelled out in every block; `indexed` is a
//! build session as an encoder with a dynamic table sends it.

#[path = "../tests/hpack_support/mod.rs"]
mod hpack_support;

use buildtap_decoder::wire::hpack::{Decoder, huffman};
use divan::{Bencher, black_box, counter::BytesCount, counter::ItemsCount};
use hpack_support::{Choice, Encoder, build_session};

fn main() {
    divan::main();
}

/// The blocks of a session, and how many fields they have.
fn blocks(choice: Choice) -> (Vec<Vec<u8>>, usize) {
    let mut encoder = Encoder::new(4096);
    let lists = build_session();
    let fields = lists.iter().map(Vec::len).sum();
    let blocks = lists.iter().map(|list| {
        let mut block = Vec::new();
        for field in list {
            encoder.field(&mut block, field, choice);
        }
        block
    });
    (blocks.collect(), fields)
}

/// Nothing from a table, nothing into it.
fn literal(huffman: bool) -> Choice {
    Choice {
        index: false,
        name_index: false,
        literal: 1,
        huffman_name: huffman,
        huffman_value: huffman,
    }
}

fn ours(bencher: Bencher, choice: Choice) {
    let (blocks, fields) = blocks(choice);
    bencher
        .counter(ItemsCount::new(fields))
        .with_inputs(|| Decoder::new(4096))
        .bench_refs(|decoder| {
            for block in &blocks {
                let result = decoder.decode(black_box(block), |field| {
                    black_box(field);
                });
                assert!(result.is_ok());
            }
        });
}

fn loona(bencher: Bencher, choice: Choice) {
    let (blocks, fields) = blocks(choice);
    bencher
        .counter(ItemsCount::new(fields))
        .with_inputs(loona_hpack::Decoder::new)
        .bench_refs(|decoder| {
            for block in &blocks {
                let result = decoder.decode_with_cb(black_box(block), |name, value| {
                    black_box((name, value));
                });
                assert!(result.is_ok());
            }
        });
}

#[divan::bench]
fn literal_huffman(bencher: Bencher) {
    ours(bencher, literal(true));
}

#[divan::bench]
fn literal_huffman_loona(bencher: Bencher) {
    loona(bencher, literal(true));
}

#[divan::bench]
fn literal_plain(bencher: Bencher) {
    ours(bencher, literal(false));
}

#[divan::bench]
fn literal_plain_loona(bencher: Bencher) {
    loona(bencher, literal(false));
}

#[divan::bench]
fn indexed_huffman(bencher: Bencher) {
    ours(bencher, Choice::usual(true));
}

#[divan::bench]
fn indexed_huffman_loona(bencher: Bencher) {
    loona(bencher, Choice::usual(true));
}

#[divan::bench]
fn indexed_plain(bencher: Bencher) {
    ours(bencher, Choice::usual(false));
}

#[divan::bench]
fn indexed_plain_loona(bencher: Bencher) {
    loona(bencher, Choice::usual(false));
}

/// One long string: octets of text per second.
#[divan::bench]
fn huffman_text(bencher: Bencher) {
    let text = b"failed to solve: process \"/bin/sh -c make\" did not complete. ".repeat(64);
    let mut encoded = Vec::new();
    huffman::encode(&text, &mut encoded);
    let mut decoded = Vec::new();
    bencher
        .counter(BytesCount::new(text.len()))
        .bench_local(|| {
            decoded.clear();
            huffman::decode(black_box(&encoded), &mut decoded)
        });
}
