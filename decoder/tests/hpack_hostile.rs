//! Blocks that no encoder should send: what is tolerated, what is refused and how, and that
//! nothing costs more than it may.

mod hpack_support;

use buildtap_decoder::wire::hpack::{
    Decoder, Error, Literal, MAX_FIELD_BYTES, MAX_TABLE_BYTES, Warnings, huffman,
};
use hpack_support::{Choice, Encoder, build_session, decode, integer, pairs, string};
use proptest::collection::vec;
use proptest::prelude::*;

#[track_caller]
fn refused(block: &[u8], error: Error) {
    let mut decoder = Decoder::new(4096);
    assert_eq!(decode(&mut decoder, block), Err(error));
    assert!(decoder.is_poisoned());
    assert_eq!(decode(&mut decoder, &[0x82]), Err(Error::Poisoned));
}

#[test]
fn an_index_beyond_the_table_is_refused() {
    let invalid = |at, index, last| Error::InvalidIndex { at, index, last };
    refused(&[0x80], invalid(0, 0, 61));
    refused(&[0x82, 0xbe], invalid(1, 62, 61));
    // As a name, after one entry was added.
    refused(b"\x40\x01a\x01b\x7f\x00\x01v", invalid(5, 63, 62));
}

#[test]
fn a_block_that_ends_too_early_is_refused() {
    let whole = b"\x82\x40\x03abc\x03xyz";
    let whats = [
        "a field name",
        "a field name",
        "a field name",
        "a field name",
        "a field value",
        "a field value",
        "a field value",
        "a field value",
    ];
    for (what, end) in whats.into_iter().zip(2..whole.len()) {
        refused(&whole[..end], Error::Truncated { at: end, what });
    }
    refused(
        &[0xff, 0x80],
        Error::Truncated {
            at: 2,
            what: "a table index",
        },
    );
}

#[test]
fn an_integer_of_more_than_32_bits_is_refused() {
    let overflow = |at, what| Error::IntegerOverflow { at, what };
    // 2^32 after a prefix of 5 bits, and the octets before it.
    refused(
        &[0x3f, 0xe1, 0xff, 0xff, 0xff, 0x0f],
        overflow(0, "a table size"),
    );
    refused(&[0xff; 12], overflow(0, "a table index"));
    // No end, though it adds nothing.
    let endless = [0x00, 0x7f, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00];
    refused(&endless, overflow(1, "a field name"));

    let mut decoder = Decoder::new(4096);
    let greatest = [0x3f, 0xe0, 0xff, 0xff, 0xff, 0x0f];
    assert_eq!(decode(&mut decoder, &greatest), Ok(vec![]));
    assert_eq!(decoder.table_max_size(), u32::MAX as usize);
}

#[test]
fn bad_huffman_code_is_refused() {
    let bad = |source| Error::Huffman {
        at: 4,
        what: "a field value",
        source,
    };
    let field = |octets: &[u8]| {
        let mut block = b"\x00\x01a".to_vec();
        integer(&mut block, 0x80, 7, octets.len());
        block.extend_from_slice(octets);
        block
    };
    // EOS itself; among other text.
    refused(&field(&[0xff, 0xff, 0xff, 0xff]), bad(huffman::Error::Eos));
    let long = [0x1c, 0x64, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
    refused(&field(&long), bad(huffman::Error::Eos));
    // Padding with zeros; an octet of padding; a code cut off.
    refused(&field(&[0x18]), bad(huffman::Error::Padding));
    refused(&field(&[0x1f, 0xff]), bad(huffman::Error::Padding));
    refused(&field(&[0xff]), bad(huffman::Error::Padding));
    refused(&field(&[0xff, 0xff, 0xfe]), bad(huffman::Error::Padding));
    // `a` and the right padding.
    assert_eq!(
        decode(&mut Decoder::new(4096), &field(&[0x1f])),
        Ok(pairs(&[("a", "a")]))
    );
}

#[test]
fn errors_are_sentences() {
    let mut decoder = Decoder::new(4096);
    let error = decoder.decode(&[0x82, 0xbe], |_| ()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the header block refers at offset 1 to table entry 62, but the last one is 61: the tap \
         may have missed earlier header blocks of this connection"
    );
    let error = Decoder::new(4096)
        .decode(b"\x00\x01a\x81\x18", |_| ())
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "a field value at offset 4 of the header block is not valid Huffman code: its last bits \
         are neither a symbol nor padding"
    );
}

#[test]
fn fields_before_an_error_are_handed_out() {
    let mut fields = Vec::new();
    let mut decoder = Decoder::new(4096);
    let result = decoder.decode(&[0x82, 0x84, 0x80], |field| {
        fields.push(field.name.to_vec())
    });
    assert!(result.is_err());
    assert_eq!(fields, [b":method".to_vec(), b":path".to_vec()]);
}

#[test]
fn a_field_says_where_it_stands() {
    let mut block = vec![0x82];
    block.extend_from_slice(b"\x10\x08password\x06secret");
    let value = block.len() + 2;
    block.push(0x0f);
    block.push(0x08); // authorization: 23 = 15 + 8
    string(&mut block, b"Bearer abc", true);
    let mut fields = Vec::new();
    Decoder::new(4096)
        .decode(&block, |field| {
            fields.push((field.never_indexed, field.name_literal, field.value_literal));
        })
        .unwrap();
    let literal = |range, huffman| Some(Literal { range, huffman });
    assert_eq!(
        fields,
        [
            (false, None, None),
            (true, literal(3..11, false), literal(12..18, false)),
            (false, None, literal(value + 1..block.len(), true)),
        ]
    );
}

#[test]
fn what_a_bystander_can_overlook_is_noted() {
    let mut decoder = Decoder::new(4096);
    // 4097, then a field, then 100 in mid-block.
    let block = [0x3f, 0xe2, 0x1f, 0x82, 0x3f, 0x45];
    assert_eq!(
        decode(&mut decoder, &block),
        Ok(pairs(&[(":method", "GET")]))
    );
    assert_eq!(decoder.table_max_size(), 100);
    let warnings = decoder.take_warnings();
    assert_eq!(
        warnings,
        Warnings {
            size_update_above_limit: 1,
            size_update_in_mid_block: 1,
            size_update_missing: 0,
        }
    );
    assert_eq!(
        warnings.to_string(),
        "sets the size of the dynamic table above SETTINGS_HEADER_TABLE_SIZE, sets the size of \
         the dynamic table in the middle of a header block"
    );
    assert!(decoder.take_warnings().is_empty());
}

#[test]
fn a_missing_size_update_is_noted_once() {
    let missing = |decoder: &mut Decoder| decoder.take_warnings().size_update_missing;
    let mut decoder = Decoder::new(4096);
    decoder.set_max_table_size(64);
    decoder.set_max_table_size(4096);
    // 4096 alone is not enough: the table was to be cut down to 64 in between.
    decode(&mut decoder, &[0x3f, 0xe1, 0x1f, 0x82]).unwrap();
    decode(&mut decoder, &[0x82]).unwrap();
    assert_eq!(missing(&mut decoder), 1);

    decoder.set_max_table_size(64);
    decoder.set_max_table_size(4096);
    decode(&mut decoder, &[0x3f, 0x21, 0x3f, 0xe1, 0x1f, 0x82]).unwrap();
    assert!(decoder.take_warnings().is_empty());

    // More room asks nothing of the encoder.
    decoder.set_max_table_size(65536);
    decode(&mut decoder, &[0x82]).unwrap();
    assert!(decoder.take_warnings().is_empty());
}

/// Without the update the encoder goes on using its table, and so does the decoder.
#[test]
fn the_table_follows_the_encoder_not_the_settings() {
    let mut decoder = Decoder::new(4096);
    decode(&mut decoder, b"\x40\x01a\x01b").unwrap();
    decoder.set_max_table_size(0);
    assert_eq!(decode(&mut decoder, &[0xbe]), Ok(pairs(&[("a", "b")])));
    assert_eq!(decode(&mut decoder, &[0x20]), Ok(vec![]));
    assert_eq!((decoder.table_len(), decoder.table_size()), (0, 0));
}

#[test]
fn an_entry_larger_than_the_table_empties_it() {
    let mut decoder = Decoder::new(64);
    decode(&mut decoder, b"\x40\x01a\x01b").unwrap();
    let field = pairs(&[("name", &"v".repeat(29))]);
    let mut block = Vec::new();
    Encoder::new(64).field(&mut block, &field[0], Choice::usual(false));
    assert_eq!(decode(&mut decoder, &block), Ok(field));
    assert_eq!(decoder.table_len(), 0);
}

/// An entry whose name is that of the entry which it drives out (RFC 7541, section 4.4).
#[test]
fn a_name_outlives_its_entry() {
    let mut decoder = Decoder::new(45);
    decode(&mut decoder, b"\x40\x04name\x05first").unwrap();
    let list = pairs(&[("name", "second!!")]);
    assert_eq!(decode(&mut decoder, b"\x7e\x08second!!"), Ok(list.clone()));
    assert_eq!(decode(&mut decoder, &[0xbe]), Ok(list));
    assert_eq!(decoder.table_len(), 1);
}

#[test]
fn one_octet_for_a_large_field_is_not_repeated_for_ever() {
    let mut block = Vec::new();
    let mut decoder = Decoder::new(1 << 20);
    let field = (b"a".to_vec(), vec![b'x'; 1_000_000]);
    Encoder::new(1 << 20).field(&mut block, &field, Choice::usual(false));
    let once = block.len();
    block.resize(once + 1000, 0xbe);
    let mut total = 0;
    let result = decoder.decode(&block, |field| {
        total += field.name.len() + field.value.len()
    });
    assert_eq!(result, Err(Error::TooLarge { at: once + 15 }));
    assert!((MAX_FIELD_BYTES / 2..MAX_FIELD_BYTES).contains(&total));
}

#[test]
fn empty_fields_count_too() {
    let block = vec![0x90; 1 << 20]; // accept-encoding: gzip, deflate
    let mut fields = 0_usize;
    let result = Decoder::new(4096).decode(&block, |_| fields += 1);
    let size = "accept-encodinggzip, deflate".len() + 32;
    assert_eq!(fields, MAX_FIELD_BYTES / size);
    assert_eq!(result, Err(Error::TooLarge { at: fields }));
}

/// A table of 4 GiB may be agreed on; what does not fit into a megabyte is not kept.
#[test]
fn no_table_grows_beyond_the_cap() {
    let mut decoder = Decoder::new(usize::MAX);
    let mut encoder = Encoder::new(usize::MAX);
    let mut at = 0;
    let error = loop {
        let mut block = Vec::new();
        let field = (format!("{at}").into_bytes(), vec![b'x'; 50_000]);
        encoder.field(&mut block, &field, Choice::usual(true));
        if let Err(error) = decode(&mut decoder, &block) {
            break error;
        }
        assert!(decoder.table_size() <= MAX_TABLE_BYTES);
        at += 1;
    };
    assert_eq!(at, MAX_TABLE_BYTES / 50_034);
    assert_eq!(error, Error::Unsupported { at: 0 });
}

#[test]
fn a_callback_that_panics_leaves_a_poisoned_decoder() {
    let mut decoder = Decoder::new(4096);
    let decode = std::panic::AssertUnwindSafe(|| decoder.decode(&[0x82], |_| panic!("no")));
    assert!(std::panic::catch_unwind(decode).is_err());
    assert!(decoder.is_poisoned());
}

/// Masks the values of all fields that are `secret`, as a redactor would, and checks that
/// everything else decodes as before.
fn mask(blocks: &[Vec<u8>], secret: impl Fn(&[u8]) -> bool) {
    let mut before = Decoder::new(4096);
    let mut after = Decoder::new(4096);
    for block in blocks {
        let mut literals = Vec::new();
        let mut fields = Vec::new();
        before
            .decode(block, |field| {
                fields.push((field.name.to_vec(), field.value.to_vec()));
                if secret(field.name) {
                    literals.extend(field.value_literal);
                }
            })
            .unwrap();
        let mut masked = block.clone();
        for literal in literals {
            literal.mask(&mut masked);
        }
        assert_eq!(masked.len(), block.len());
        let shown = decode(&mut after, &masked).unwrap();
        assert_eq!(shown.len(), fields.len());
        for (shown, field) in shown.iter().zip(&fields) {
            assert_eq!(shown.0, field.0);
            assert_eq!(shown.1.len(), field.1.len());
            assert!(secret(&field.0) || shown.1 == field.1);
        }
        assert_eq!(before.table_size(), after.table_size());
        assert_eq!(before.table_len(), after.table_len());
    }
}

#[test]
fn a_masked_session_still_decodes() {
    let mut encoder = Encoder::new(4096);
    let mut blocks = Vec::new();
    for list in build_session() {
        let mut block = Vec::new();
        for field in &list {
            encoder.field(&mut block, field, Choice::usual(true));
        }
        blocks.push(block);
    }
    mask(&blocks, |name| name == b"authorization");
    mask(&blocks, |name| {
        name.starts_with(b"x-") || name.starts_with(b"grpc-")
    });
    mask(&blocks, |_| true);
}

#[test]
fn nothing_of_a_masked_string_is_left() {
    // Two strings with the same lengths, encoded and decoded, look the same once masked.
    let masked = |text: &[u8]| {
        let mut octets = Vec::new();
        huffman::encode(text, &mut octets);
        huffman::mask(&mut octets).unwrap();
        octets
    };
    assert_eq!(masked(b"aB:0"), masked(b"Qtu-"));
    assert_eq!(masked(b"Bearer 0123456789"), masked(b"9876543210 reraeB"));
}

proptest! {
    #[test]
    fn a_mask_keeps_both_lengths(text in vec(any::<u8>(), 0..300)) {
        let mut octets = Vec::new();
        huffman::encode(&text, &mut octets);
        let before = octets.len();
        huffman::mask(&mut octets).unwrap();
        prop_assert_eq!(octets.len(), before);
        let mut decoded = Vec::new();
        huffman::decode(&octets, &mut decoded).unwrap();
        prop_assert_eq!(decoded.len(), text.len());
    }

    #[test]
    fn garbage_never_panics(
        max in prop_oneof![Just(0), Just(4096), any::<usize>()],
        blocks in vec((any::<usize>(), vec(any::<u8>(), 0..200)), 1..10),
    ) {
        let mut decoder = Decoder::new(max);
        for (size, block) in blocks {
            let result = decode(&mut decoder, &block);
            prop_assert_eq!(result.is_err(), decoder.is_poisoned());
            prop_assert!(decoder.table_size() <= MAX_TABLE_BYTES);
            decoder.set_max_table_size(size);
        }
    }

    /// A real session with some octets changed: deeper than garbage gets.
    #[test]
    fn damage_never_panics(seed in any::<u8>(), damage in vec((any::<usize>(), any::<u8>()), 1..8)) {
        let mut encoder = Encoder::new(4096);
        let mut blocks: Vec<Vec<u8>> = Vec::new();
        for list in build_session().iter().take(6) {
            let mut block = Vec::new();
            for field in list {
                encoder.field(&mut block, field, Choice::from_seed(seed));
            }
            blocks.push(block);
        }
        for (at, octet) in damage {
            let block = &mut blocks[at % 6];
            let at = at / 6 % block.len();
            block[at] = octet;
        }
        let mut decoder = Decoder::new(4096);
        for block in &blocks {
            decoder.decode(block, |field| {
                for literal in field.value_literal.iter().chain(&field.name_literal) {
                    assert!(literal.range.end <= block.len());
                }
            }).ok();
        }
    }
}
