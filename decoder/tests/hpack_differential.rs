//! The decoder beside loona-hpack: other encoder, other decoder, same fields.

mod hpack_support;

use buildtap_decoder::wire::hpack::{Decoder, huffman};
use hpack_support::{Choice, Encoder, Pair, build_session, decode};
use proptest::collection::vec;
use proptest::prelude::*;

/// Fields that meet again, so that tables matter, among others of any octets.
fn field() -> impl Strategy<Value = Pair> {
    let name = prop_oneof![
        3 => proptest::sample::select(vec![
            ":path", ":status", ":authority", "content-type", "user-agent", "te", "x-a", "x-b",
            "grpc-status", "grpc-message", "dir-name", "followpaths",
        ])
        .prop_map(|name| name.as_bytes().to_vec()),
        1 => vec(any::<u8>(), 0..20),
    ];
    let value = prop_oneof![
        3 => "[a-z0-9/. -]{0,40}".prop_map(String::into_bytes),
        2 => proptest::sample::select(vec!["", "200", "0", "trailers", "application/grpc"])
            .prop_map(|value| value.as_bytes().to_vec()),
        1 => vec(any::<u8>(), 0..200),
    ];
    (name, value)
}

/// A block: what the table's size is set to before it, and its fields with how to write them.
type Block = (Vec<usize>, Vec<(Pair, u8)>);

fn blocks() -> impl Strategy<Value = Vec<Block>> {
    let sizes = prop_oneof![
        4 => Just(vec![]),
        1 => vec(prop_oneof![Just(0), 0..300_usize, 0..4097_usize], 1..3),
    ];
    vec((sizes, vec((field(), any::<u8>()), 1..12)), 1..20)
}

proptest! {
    // Fewer than usual: loona builds its Huffman table anew for every string.
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn reads_what_loona_writes(lists in vec(vec(field(), 0..20), 1..20)) {
        let mut encoder = loona_hpack::Encoder::new();
        let mut decoder = Decoder::new(4096);
        for list in lists {
            let block = encoder.encode(list.iter().map(|(name, value)| (&name[..], &value[..])));
            prop_assert_eq!(decode(&mut decoder, &block).unwrap(), list);
        }
    }

    #[test]
    fn reads_every_representation_as_loona_does(blocks in blocks()) {
        let mut encoder = Encoder::new(4096);
        let mut loona = loona_hpack::Decoder::new();
        let mut decoder = Decoder::new(4096);
        for (sizes, fields) in blocks {
            let mut block = Vec::new();
            for size in sizes {
                encoder.size_update(&mut block, size);
            }
            for (field, seed) in &fields {
                encoder.field(&mut block, field, Choice::from_seed(*seed));
            }
            let ours = decode(&mut decoder, &block).unwrap();
            let theirs = loona.decode(&block).unwrap();
            let sent: Vec<Pair> = fields.into_iter().map(|(field, _)| field).collect();
            prop_assert_eq!(&ours, &sent);
            prop_assert_eq!(&ours, &theirs);
            prop_assert_eq!(decoder.table_len(), encoder.table_len());
            prop_assert_eq!(decoder.table_size(), encoder.table_size());
        }
        prop_assert!(decoder.take_warnings().is_empty());
    }

    /// Where both give an answer it is the same one; where loona accepts, we do.
    #[test]
    fn agrees_with_loona_about_garbage(
        blocks in vec(vec(prop_oneof![
            any::<u8>(),
            // Static and the first dynamic indices, literals with small indices, lengths.
            0x80..0xc4_u8,
            0x40..0x48_u8,
            0..8_u8,
        ], 0..60), 1..4),
    ) {
        let mut loona = loona_hpack::Decoder::new();
        let mut decoder = Decoder::new(4096);
        for block in blocks {
            let theirs = loona.decode(&block);
            let ours = decode(&mut decoder, &block);
            match (theirs, ours) {
                (Ok(theirs), Ok(ours)) => prop_assert_eq!(theirs, ours),
                (Ok(theirs), Err(error)) => {
                    // loona takes any integer that fits into 64 bits, and any table size.
                    let known = matches!(
                        error,
                        buildtap_decoder::wire::hpack::Error::IntegerOverflow { .. }
                    );
                    prop_assert!(known, "loona reads {theirs:?}, we say: {error}");
                    break;
                }
                // Its errors leave its table undefined, like ours.
                (Err(_), _) => break,
            }
        }
    }

    #[test]
    fn huffman_agrees_with_loona(text in vec(any::<u8>(), 0..300)) {
        let mut encoded = Vec::new();
        huffman::encode(&text, &mut encoded);
        prop_assert_eq!(encoded.len(), huffman::encoded_len(&text));
        let mut decoded = b"before".to_vec();
        huffman::decode(&encoded, &mut decoded).unwrap();
        prop_assert_eq!(decoded.strip_prefix(b"before"), Some(&text[..]));
        let theirs = loona_hpack::huffman::HuffmanDecoder::new().decode(&encoded);
        prop_assert_eq!(theirs.unwrap(), text);
    }

    #[test]
    fn huffman_agrees_with_loona_about_garbage(octets in vec(any::<u8>(), 0..40)) {
        let mut ours = Vec::new();
        let result = huffman::decode(&octets, &mut ours);
        let theirs = loona_hpack::huffman::HuffmanDecoder::new().decode(&octets);
        match result {
            Ok(()) => prop_assert_eq!(theirs.ok(), Some(ours)),
            Err(_) => {
                prop_assert!(theirs.is_err(), "loona reads {:?}", theirs);
                prop_assert!(ours.is_empty());
            }
        }
    }
}

/// Every symbol, alone and between others: the whole of Appendix B against another table.
#[test]
fn every_symbol_agrees_with_loona() {
    for symbol in 0..=255_u8 {
        for text in [&[symbol][..], &[b'a', symbol, symbol, b'X']] {
            let mut encoded = Vec::new();
            huffman::encode(text, &mut encoded);
            let theirs = loona_hpack::huffman::HuffmanDecoder::new().decode(&encoded);
            assert_eq!(theirs.unwrap(), text);
            let mut ours = Vec::new();
            huffman::decode(&encoded, &mut ours).unwrap();
            assert_eq!(ours, text);
        }
    }
}

#[test]
fn a_build_session_survives_every_way_to_write_it() {
    for seed in 0..64 {
        let mut encoder = Encoder::new(4096);
        let mut loona = loona_hpack::Decoder::new();
        let mut decoder = Decoder::new(4096);
        for list in build_session() {
            let mut block = Vec::new();
            for field in &list {
                encoder.field(&mut block, field, Choice::from_seed(seed));
            }
            assert_eq!(decode(&mut decoder, &block).unwrap(), list);
            assert_eq!(loona.decode(&block).unwrap(), list);
        }
    }
}
