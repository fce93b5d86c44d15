use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use prost::Message as _;
use prost::encoding::{self, WireType as Prost};

use super::*;

/// What a field of a generated message is.
#[derive(Clone, Debug)]
enum Item {
    Varint(u64),
    Fixed64(u64),
    Fixed32(u32),
    Len(Vec<u8>),
    Group(Vec<(u32, Item)>),
}

/// Written by prost, not by anything here.
fn write(items: &[(u32, Item)], message: &mut Vec<u8>) {
    for (number, item) in items {
        let number = *number;
        match item {
            Item::Varint(value) => encoding::uint64::encode(number, value, message),
            Item::Fixed64(value) => encoding::fixed64::encode(number, value, message),
            Item::Fixed32(value) => encoding::fixed32::encode(number, value, message),
            Item::Len(octets) => encoding::bytes::encode(number, octets, message),
            Item::Group(items) => {
                encoding::encode_key(number, Prost::StartGroup, message);
                write(items, message);
                encoding::encode_key(number, Prost::EndGroup, message);
            }
        }
    }
}

fn encoded(items: &[(u32, Item)]) -> Vec<u8> {
    let mut message = Vec::new();
    write(items, &mut message);
    message
}

fn number() -> impl Strategy<Value = u32> {
    prop_oneof![4 => 1..20_u32, 1 => 1..=MAX_FIELD_NUMBER]
}

fn items() -> impl Strategy<Value = Vec<(u32, Item)>> {
    let leaf = prop_oneof![
        prop_oneof![0..300_u64, any::<u64>()].prop_map(Item::Varint),
        any::<u64>().prop_map(Item::Fixed64),
        any::<u32>().prop_map(Item::Fixed32),
        vec(any::<u8>(), 0..300).prop_map(Item::Len),
    ];
    let item = leaf.prop_recursive(3, 20, 4, |inner| {
        vec((number(), inner), 0..4).prop_map(Item::Group)
    });
    vec((number(), item), 0..12)
}

/// Octets that are more often than not the beginning of a message.
fn garbage() -> impl Strategy<Value = Vec<u8>> {
    vec(prop_oneof![3 => 0..40_u8, 1 => any::<u8>()], 0..60)
}

/// A piece, owned, with the contents of a field in one.
#[derive(Clone, Debug, PartialEq)]
enum Whole {
    Varint(u32, u64),
    Fixed64(u32, u64),
    Fixed32(u32, u32),
    Len(u32, Vec<u8>),
}

/// What the scanner of whole messages finds, groups left out.
fn scan(message: &[u8]) -> (Vec<Whole>, Result<(), Malformed>) {
    let mut wholes = Vec::new();
    for field in fields(message) {
        match field {
            Ok(Field { number, value, .. }) => match value {
                Value::Varint(value) => wholes.push(Whole::Varint(number, value)),
                Value::Fixed64(value) => wholes.push(Whole::Fixed64(number, value)),
                Value::Fixed32(value) => wholes.push(Whole::Fixed32(number, value)),
                Value::Len(octets) => wholes.push(Whole::Len(number, octets.to_vec())),
                Value::Group(_) => {}
            },
            Err(malformed) => return (wholes, Err(malformed)),
        }
    }
    (wholes, Ok(()))
}

/// What the walker finds when the message is split at `splits`; complete fields only.
fn walk(message: &[u8], splits: &[Index]) -> (Vec<Whole>, Result<(), Malformed>) {
    let mut ends: Vec<usize> = splits
        .iter()
        .map(|split| split.index(message.len() + 1))
        .collect();
    ends.push(message.len());
    ends.sort_unstable();

    let mut wholes = Vec::new();
    let mut open: Option<(u32, u64, Vec<u8>)> = None;
    let mut each = |piece: Piece<'_>| {
        assert!(open.is_none() || matches!(piece, Piece::LenBytes { .. }));
        match piece {
            Piece::Varint { number, value } => wholes.push(Whole::Varint(number, value)),
            Piece::Fixed64 { number, value } => wholes.push(Whole::Fixed64(number, value)),
            Piece::Fixed32 { number, value } => wholes.push(Whole::Fixed32(number, value)),
            Piece::LenStart { number, len } => open = Some((number, len, Vec::new())),
            Piece::LenBytes {
                number,
                bytes,
                last,
            } => {
                let (started, len, octets) = open.as_mut().expect("bytes without a start");
                assert_eq!(number, *started);
                assert!(!bytes.is_empty() || (last && *len == 0));
                octets.extend_from_slice(bytes);
                assert_eq!(last, octets.len() as u64 == *len);
                if last {
                    let (number, _, octets) = open.take().expect("it is there");
                    wholes.push(Whole::Len(number, octets));
                }
            }
        }
    };
    let mut walker = Walker::new();
    let mut start = 0;
    for end in ends {
        let fed = walker.feed(&message[start..end], &mut each);
        if let Err(malformed) = fed {
            assert_eq!(walker.finish(), Err(malformed));
            assert_eq!(walker.feed(&[8, 1], &mut each), Err(malformed));
            return (wholes, Err(malformed));
        }
        start = end;
        assert_eq!(walker.at(), end as u64);
    }
    (wholes, walker.finish())
}

fn same(items: &[(u32, Item)], fields: &[Field<'_>]) {
    assert_eq!(items.len(), fields.len());
    for ((number, item), field) in items.iter().zip(fields) {
        assert_eq!(*number, field.number);
        match (item, field.value) {
            (Item::Varint(sent), Value::Varint(seen)) => assert_eq!(*sent, seen),
            (Item::Fixed64(sent), Value::Fixed64(seen)) => assert_eq!(*sent, seen),
            (Item::Fixed32(sent), Value::Fixed32(seen)) => assert_eq!(*sent, seen),
            (Item::Len(sent), Value::Len(seen)) => assert_eq!(sent, seen),
            (Item::Group(items), Value::Group(group)) => same(items, &all(group)),
            (item, value) => panic!("{item:?} was sent, {value:?} seen"),
        }
    }
}

fn all(message: &[u8]) -> Vec<Field<'_>> {
    fields(message).collect::<Result<_, _>>().unwrap()
}

proptest! {
    #[test]
    fn finds_what_prost_wrote(items in items()) {
        let message = encoded(&items);
        let fields = all(&message);
        same(&items, &fields);
        // The fields stand side by side.
        let mut end = 0;
        for field in fields {
            prop_assert_eq!(field.at.start, end);
            end = field.at.end;
        }
        prop_assert_eq!(end, message.len());
    }

    #[test]
    fn accepts_what_prost_accepts(message in garbage()) {
        let theirs = <()>::decode(&message[..]);
        let (_, ours) = scan(&message);
        prop_assert_eq!(theirs.is_ok(), ours.is_ok(), "{:?} {:?}", theirs, ours);
    }

    #[test]
    fn any_split_gives_the_same_pieces(
        items in items(),
        splits in vec(any::<Index>(), 0..20),
        cut in prop::option::of(any::<Index>()),
    ) {
        let mut message = encoded(&items);
        if let Some(cut) = cut {
            message.truncate(cut.index(message.len() + 1));
        }
        prop_assert_eq!(walk(&message, &splits), scan(&message));
    }

    #[test]
    fn any_split_of_garbage_gives_the_same_error(
        message in garbage(),
        splits in vec(any::<Index>(), 0..20),
    ) {
        prop_assert_eq!(walk(&message, &splits), scan(&message));
    }

    #[test]
    fn octet_by_octet_gives_the_same_pieces(items in items()) {
        let message = encoded(&items);
        let mut seen = 0;
        let mut walker = Walker::new();
        for octet in &message {
            walker.feed(std::slice::from_ref(octet), &mut |piece| {
                seen += usize::from(!matches!(piece, Piece::LenStart { .. } | Piece::LenBytes { last: false, .. }));
            }).unwrap();
        }
        walker.finish().unwrap();
        let not_groups = items.iter().filter(|(_, item)| !matches!(item, Item::Group(_)));
        prop_assert_eq!(seen, not_groups.count());
    }

    #[test]
    fn raw_stays_within_its_limits(
        message in garbage(),
        depth in 0..4_usize,
        fields in 0..10_usize,
        bytes in 0..10_usize,
    ) {
        fn check(message: &RawMessage<'_>, depth: usize, bytes: usize) -> usize {
            let mut fields = 0;
            for field in &message.fields {
                fields += 1;
                match &field.value {
                    RawValue::Text { text, .. } => assert!(text.len() <= bytes),
                    RawValue::Bytes { bytes: shown, .. } => assert!(shown.len() <= bytes),
                    RawValue::Message(inner) | RawValue::Group(inner) => {
                        fields += check(inner, depth - 1, bytes);
                    }
                    _ => {}
                }
            }
            assert!(depth > 0 || message.fields.is_empty());
            fields
        }
        let raw = render_raw(&message, &RawLimits { depth, fields, bytes });
        prop_assert!(check(&raw, depth, bytes) <= fields);
        prop_assert!(!raw.to_string().contains(char::is_control));
    }
}

#[track_caller]
fn malformed(message: &[u8], at: u64, why: Why) {
    assert_eq!(scan(message).1, Err(Malformed { at, why }));
    assert_eq!(walk(message, &[]).1, Err(Malformed { at, why }));
}

#[test]
fn malformed_messages_say_why() {
    malformed(&[0x08, 0x01, 0x10], 2, Why::Truncated);
    malformed(&[0x08, 0x01, 0x12, 0x02, 0xff], 2, Why::Truncated);
    malformed(&[0x0d, 1, 2, 3], 0, Why::Truncated);
    // A length that fits into no address space.
    let mut endless = vec![0x0a];
    encoding::encode_varint(u64::MAX, &mut endless);
    malformed(&endless, 0, Why::Truncated);
    malformed(&[0x00, 0x01], 0, Why::Number);
    malformed(&[0x80, 0x80, 0x80, 0x80, 0x10, 0x01], 0, Why::Number);
    malformed(&[0x0e], 0, Why::WireType(6));
    malformed(&[0x0f], 0, Why::WireType(7));
    let mut overlong = vec![0x08];
    overlong.extend_from_slice(&[0xff; 9]);
    malformed(&[&overlong[..], &[0x02]].concat(), 0, Why::Varint);
    assert_eq!(
        scan(&[&overlong[..], &[0x01]].concat()).0,
        [Whole::Varint(1, u64::MAX)]
    );
    // Groups: an end without a beginning, the wrong end, no end.
    malformed(&[0x0c], 0, Why::EndGroup);
    malformed(&[0x08, 0x01, 0x0b, 0x14], 3, Why::EndGroup);
    malformed(&[0x0b, 0x08, 0x01], 3, Why::Truncated);
    assert_eq!(
        fields(&[0x0c]).next().unwrap().unwrap_err().to_string(),
        "the field at offset 0 ends a group that is not open"
    );
}

#[test]
fn groups_nest_to_a_limit() {
    let nested = |depth| [vec![0x0b; depth], vec![0x0c; depth]].concat();
    assert_eq!(scan(&nested(MAX_GROUP_DEPTH)), (vec![], Ok(())));
    assert_eq!(walk(&nested(MAX_GROUP_DEPTH), &[]), (vec![], Ok(())));
    let limit = MAX_GROUP_DEPTH as u64;
    malformed(&nested(MAX_GROUP_DEPTH + 1), limit, Why::TooDeep);
    malformed(&nested(100_000), limit, Why::TooDeep);
}

#[test]
fn an_empty_message_has_no_fields() {
    assert_eq!(all(&[]), []);
    assert_eq!(Walker::new().finish(), Ok(()));
    assert_eq!(render_raw(&[], &RawLimits::default()).to_string(), "");
}

#[test]
fn raw_reads_as_a_line() {
    let inner = encoded(&[
        (1, Item::Len(b"Dockerfile".to_vec())),
        (2, Item::Varint(33188)),
    ]);
    let message = encoded(&[
        (1, Item::Len(b"say \"\xc3\xbc\" \xe2\x80\xae".to_vec())),
        (2, Item::Len(inner)),
        (3, Item::Varint(17)),
        (4, Item::Len(vec![0, 0xff])),
        (5, Item::Len(b"two\nlines\x1b[0m".to_vec())),
        (6, Item::Fixed32(42)),
        (7, Item::Fixed64(42)),
        (8, Item::Group(vec![(1, Item::Varint(1))])),
        (9, Item::Len(vec![])),
    ]);
    assert_eq!(
        render_raw(&message, &RawLimits::default()).to_string(),
        "1: \"say \\\"ü\\\" \\u{202e}\"  2: {1: \"Dockerfile\"  2: 33188}  3: 17  4: <00ff>  \
         5: \"two\\nlines\\u{1b}[0m\"  6: 0x0000002a  7: 0x000000000000002a  \
         8: group {1: 1}  9: \"\""
    );
}

#[test]
fn raw_says_what_is_left_out() {
    let message = encoded(&[
        (1, Item::Len("ü".repeat(10).into_bytes())),
        (2, Item::Len(vec![0; 20])),
        (3, Item::Len(vec![0x0a, 0x02, 0x08, 0x01])),
        (4, Item::Varint(1)),
    ]);
    let limits = RawLimits {
        depth: 2,
        fields: 5,
        bytes: 3,
    };
    let raw = |octets| render_raw(octets, &limits).to_string();
    assert_eq!(
        raw(&message),
        "1: \"ü…\" (20 bytes)  2: <000000…> (20 bytes)  3: {1: {…}}  4: 1"
    );
    assert_eq!(
        raw(&message[..message.len() - 1]),
        "1: \"ü…\" (20 bytes)  2: <000000…> (20 bytes)  3: {1: {…}}  \
         (the message ends within the field at offset 50)"
    );
    assert_eq!(raw(&[0x08, 1].repeat(9)), "1: 1  1: 1  1: 1  1: 1  1: 1  …");
}

/// However large a field is, it passes in as many pieces as there are chunks.
#[test]
fn large_fields_pass_through() {
    let chunk = vec![7; 1 << 20];
    let mut head = vec![0x12];
    encoding::encode_varint(64 << 20, &mut head);
    let mut walker = Walker::new();
    let mut pieces = 0;
    let mut octets = 0;
    let mut each = |piece: Piece<'_>| {
        pieces += 1;
        if let Piece::LenBytes { bytes, .. } = piece {
            octets += bytes.len();
        }
    };
    walker.feed(&head, &mut each).unwrap();
    for _ in 0..64 {
        walker.feed(&chunk, &mut each).unwrap();
    }
    assert_eq!((pieces, octets), (65, 64 << 20));
    walker.finish().unwrap();
}
