//! The examples of RFC 7541, Appendix C (C.1, integers, is next to the code that reads them).

mod hpack_support;

use buildtap_decoder::wire::hpack::Decoder;
use hpack_support::{decode, pairs};

/// Hexadecimal with spaces.
fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .chars()
        .filter_map(|c| c.to_digit(16))
        .map(|digit| digit as u8)
        .collect();
    digits
        .chunks(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect()
}

/// Decodes `block` and compares the fields and, newest first, the dynamic table after it.
#[track_caller]
fn check(
    decoder: &mut Decoder,
    block: &str,
    fields: &[(&str, &str)],
    table: &[(&str, &str)],
    size: usize,
) {
    assert_eq!(decode(decoder, &hex(block)).unwrap(), pairs(fields));
    assert_eq!(decoder.table_size(), size);
    assert_eq!(decoder.table_len(), table.len());
    let indices: Vec<u8> = (0..table.len())
        .map(|nth| 0x80 | (62 + nth as u8))
        .collect();
    assert_eq!(decode(decoder, &indices).unwrap(), pairs(table));
    assert!(decoder.take_warnings().is_empty());
}

#[test]
fn c_2_header_field_representations() {
    check(
        &mut Decoder::new(4096),
        "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572",
        &[("custom-key", "custom-header")],
        &[("custom-key", "custom-header")],
        55,
    );
    check(
        &mut Decoder::new(4096),
        "040c 2f73 616d 706c 652f 7061 7468",
        &[(":path", "/sample/path")],
        &[],
        0,
    );
    check(
        &mut Decoder::new(4096),
        "1008 7061 7373 776f 7264 0673 6563 7265 74",
        &[("password", "secret")],
        &[],
        0,
    );
    check(&mut Decoder::new(4096), "82", &[(":method", "GET")], &[], 0);
}

/// C.3 and C.4 are the same requests, without and with Huffman coding.
fn requests(blocks: [&str; 3]) {
    let decoder = &mut Decoder::new(4096);
    check(
        decoder,
        blocks[0],
        &[
            (":method", "GET"),
            (":scheme", "http"),
            (":path", "/"),
            (":authority", "www.example.com"),
        ],
        &[(":authority", "www.example.com")],
        57,
    );
    check(
        decoder,
        blocks[1],
        &[
            (":method", "GET"),
            (":scheme", "http"),
            (":path", "/"),
            (":authority", "www.example.com"),
            ("cache-control", "no-cache"),
        ],
        &[
            ("cache-control", "no-cache"),
            (":authority", "www.example.com"),
        ],
        110,
    );
    check(
        decoder,
        blocks[2],
        &[
            (":method", "GET"),
            (":scheme", "https"),
            (":path", "/index.html"),
            (":authority", "www.example.com"),
            ("custom-key", "custom-value"),
        ],
        &[
            ("custom-key", "custom-value"),
            ("cache-control", "no-cache"),
            (":authority", "www.example.com"),
        ],
        164,
    );
}

#[test]
fn c_3_requests_without_huffman() {
    requests([
        "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        "8286 84be 5808 6e6f 2d63 6163 6865",
        "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
    ]);
}

#[test]
fn c_4_requests_with_huffman() {
    requests([
        "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
        "8286 84be 5886 a8eb 1064 9cbf",
        "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
    ]);
}

/// C.5 and C.6 are the same responses, without and with Huffman coding, for a table of 256
/// octets.
fn responses(blocks: [&str; 3]) {
    const FIRST: &str = "Mon, 21 Oct 2013 20:13:21 GMT";
    const SECOND: &str = "Mon, 21 Oct 2013 20:13:22 GMT";
    const COOKIE: &str = "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1";
    let location = ("location", "https://www.example.com");
    let private = ("cache-control", "private");
    let decoder = &mut Decoder::new(256);
    check(
        decoder,
        blocks[0],
        &[(":status", "302"), private, ("date", FIRST), location],
        &[location, ("date", FIRST), private, (":status", "302")],
        222,
    );
    check(
        decoder,
        blocks[1],
        &[(":status", "307"), private, ("date", FIRST), location],
        &[(":status", "307"), location, ("date", FIRST), private],
        222,
    );
    check(
        decoder,
        blocks[2],
        &[
            (":status", "200"),
            private,
            ("date", SECOND),
            location,
            ("content-encoding", "gzip"),
            ("set-cookie", COOKIE),
        ],
        &[
            ("set-cookie", COOKIE),
            ("content-encoding", "gzip"),
            ("date", SECOND),
        ],
        215,
    );
}

#[test]
fn c_5_responses_without_huffman() {
    responses([
        "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133
         2032 303a 3133 3a32 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70
         6c65 2e63 6f6d",
        "4803 3330 37c1 c0bf",
        "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d
         54c0 5a04 677a 6970 7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049
         5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33 3630 303b 2076 6572 7369 6f6e
         3d31",
    ]);
}

#[test]
fn c_6_responses_with_huffman() {
    responses([
        "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6
         2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
        "4883 640e ffc1 c0bf",
        "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab
         77ad 94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f
         9587 3160 65c0 03ed 4ee5 b106 3d50 07",
    ]);
}
