//! What becomes of units of every kind, and what holds for all of them.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use buildtap_proto::google::rpc;
use buildtap_proto::moby::buildkit::v1 as control;
use buildtap_proto::schema::Schemas;
use proptest::prelude::*;
use prost::Message as _;
use serde_json::{Value, json};

use super::*;
use crate::protocol::grpc_status::{decode_details, decode_message};
use crate::protocol::mask::{mask_header, mask_text, mask_url};
use crate::protocol::progress::{Progress, Splitter};

mod laws;
pub(crate) mod messages;

/// A unit with the patches of one call applied.
pub(crate) fn redacted(unit: &[u8], patches: impl Fn(&[u8], &mut Vec<Patch>)) -> Vec<u8> {
    let mut found = Vec::new();
    patches(unit, &mut found);
    assert!(found.iter().all(|patch| !patch.bytes.is_empty()));
    let mut out = unit.to_vec();
    apply(&mut out, &found);
    assert_eq!(out.len(), unit.len());
    let mut again = Vec::new();
    patches(&out, &mut again);
    let shown = String::from_utf8_lossy(&out);
    assert_eq!(again, [], "redacted twice: {shown}");
    out
}

/// The same for text, with rules.
fn as_text(unit: &str, rules: &Rules, of: fn(&Rules, &[u8], &mut Vec<Patch>)) -> String {
    String::from_utf8(redacted(unit.as_bytes(), |unit, out| of(rules, unit, out))).unwrap()
}

/// Whether something of `secret` is there in plain, percent-encoded or in base64.
pub(crate) fn survives(bytes: &[u8], secret: &str) -> bool {
    let contains = |needle: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
    let percent: String = secret.bytes().map(|byte| format!("%{byte:02X}")).collect();
    contains(secret.as_bytes())
        || contains(percent.as_bytes())
        || (0..3).any(|before| {
            // Without the digits that its neighbours have a part in.
            let padded = [&vec![0; before][..], secret.as_bytes()].concat();
            let encoded = BASE64_STANDARD.encode(&padded);
            let start = (before * 8).div_ceil(6);
            contains(&encoded.as_bytes()[start..padded.len() * 8 / 6])
        })
}

#[test]
fn survival_is_seen() {
    for before in ["", "a", "ab", "abc"] {
        let encoded = BASE64_STANDARD.encode(format!("{before}0Secret0 and more"));
        assert!(survives(encoded.as_bytes(), "0Secret0"));
    }
    assert!(!survives(b"0Secret", "0Secret0"));
}

#[test]
fn texts() {
    for (unit, masked) in [
        ("", ""),
        ("RUN apk add --no-cache git", "RUN apk add --no-cache git"),
        ("TOKEN=abc make", "TOKEN=*** make"),
        ("Bearer a1B2c3 x", "Bearer ****** x"),
        (
            "curl -H 'Authorization: a b' c",
            "curl -H 'Authorization: ***' c",
        ),
        (
            "https://u:p@h/?token=t%20&x=y",
            "https://*:*@h/?token=****&x=y",
        ),
        ("ssh://root:pw@host/x", "ssh://****:**@host/x"),
        (
            "x=https://e.com/?u=https%3A%2F%2Ft%40h",
            "x=https://e.com/?u=https%3A%2F%2F*%40h",
        ),
        ("é TOKEN=éé x", "é TOKEN=**** x"),
        (r#"{"pw": "a\nb", "n": 1}"#, r#"{"pw": "****", "n": 1}"#),
    ] {
        assert_eq!(as_text(unit, &Rules::default(), text), masked);
    }
    let odd = redacted(b"TOKEN=\xffabc \xfe", |unit, out| {
        text(&Rules::default(), unit, out)
    });
    assert_eq!(odd, b"TOKEN=**** \xfe");
}

#[test]
fn heads() {
    let request = concat!(
        "POST /v1.47/build?buildargs=%7B%22NPM_TOKEN%22%3A%22a%20b%22%7D&t=app&remote=https://t@h HTTP/1.1\r\n",
        "Host: docker\r\n",
        "X-Registry-Config:  e30=\r\n",
        "cookie: a=b;\r\n\tc=d\r\n",
        "X-Note: see https://u:p@h/\r\n",
        "no colon TOKEN=x\r\n",
        "\r\n",
    );
    let masked = concat!(
        "POST /v1.47/build?buildargs=%7B%22NPM_TOKEN%22%3A%22*%2A*%22%7D&t=app&remote=https://*@h HTTP/1.1\r\n",
        "Host: docker\r\n",
        "X-Registry-Config:  ****\r\n",
        "cookie: ****\r\n\t***\r\n",
        "X-Note: see https://*:*@h/\r\n",
        "no colon TOKEN=*\r\n",
        "\r\n",
    );
    assert_eq!(as_text(request, &Rules::default(), head), masked);
    let response = "HTTP/1.1 500 bad TOKEN=x\r\nSet-Cookie: a\r\nServer: Docker/28\r\n\r\n";
    let masked = "HTTP/1.1 500 bad TOKEN=*\r\nSet-Cookie: *\r\nServer: Docker/28\r\n\r\n";
    assert_eq!(as_text(response, &Rules::default(), head), masked);
    for odd in [
        "",
        "\r\n",
        "GET",
        "GET /",
        "GET /?token=x",
        ": x",
        "HTTP/1.1",
        "HTTP/1.1 2",
    ] {
        as_text(odd, &Rules::default(), head);
    }
}

#[test]
fn bodies_of_json() {
    for (unit, masked) in [
        (
            r#"{"username":"bob","password":"p\"\u00e9","n":[1,{"token":12}]}"#,
            r#"{"username":"bob","password":"*********","n":[1,{"token":11}]}"#,
        ),
        (
            r#"{"Cmd":["sh","--token","a b","x"],"Env":["A=b","NPM_TOKEN=abc"],"Tty":false}"#,
            r#"{"Cmd":["sh","--token","***","x"],"Env":["A=b","NPM_TOKEN=***"],"Tty":false}"#,
        ),
        (
            r#"{"Cmd":["curl","-H","Authorization:","it's","x"]}"#,
            r#"{"Cmd":["curl","-H","Authorization:","****","*"]}"#,
        ),
        (
            "{\"stream\":\"Step 1 : ENV TOKEN=abc\\n\"}\r\n",
            "{\"stream\":\"Step 1 : ENV TOKEN=***\\n\"}\r\n",
        ),
        (
            "{\"message\":\"x: {\\\"auth\\\":\\\"abc\\\"}\"}",
            "{\"message\":\"x: {\\\"auth\\\":\\\"***\\\"}\"}",
        ),
        ("{\"a\":1}{\"pw\":\"b\"}\n", "{\"a\":1}{\"pw\":\"*\"}\n"),
        ("[-1.25e3, true, null]", "[-1.25e3, true, null]"),
        (r#"{"key":-1.25e3}"#, r#"{"key":0.11111}"#),
        ("not JSON, TOKEN=abc", "not JSON, TOKEN=***"),
        (r#"{"a":1} password: x"#, r#"{"a":1} password: *"#),
    ] {
        let out = as_text(unit, &Rules::default(), json);
        assert_eq!(out, masked);
        let valid = |text: &str| serde_json::from_str::<Value>(text).is_ok();
        assert_eq!(valid(unit), valid(&out));
    }
}

#[test]
fn what_is_in_base64() {
    let inner = r#"{"Env":["NPM_TOKEN=0Secret0"]}"#;
    let op = control::StatusResponse {
        vertexes: vec![control::Vertex {
            name: "RUN TOKEN=0Secret0 make".to_owned(),
            ..Default::default()
        }],
        ..Default::default()
    };
    let aux = BASE64_STANDARD.encode(op.encode_to_vec());
    for unit in [
        json!({ "moby.buildkit.buildinfo.v0": BASE64_STANDARD.encode(inner) }),
        json!({ "data": BASE64_STANDARD.encode("FROM x\nENV A=b TOKEN=0Secret0\n") }),
        json!({ "id": "moby.buildkit.trace", "aux": aux.clone() }),
        json!({ "aux": aux.clone(), "id": "moby.buildkit.trace" }),
        json!({ "def": [aux.clone()] }),
    ] {
        let unit = unit.to_string();
        assert!(survives(unit.as_bytes(), "0Secret0"));
        let out = as_text(&unit, &Rules::default(), json);
        assert!(!survives(out.as_bytes(), "0Secret0"), "{out}");
        serde_json::from_str::<Value>(&out).unwrap();
    }
    let line = json!({ "id": "moby.buildkit.trace", "aux": aux }).to_string();
    let out = as_text(&line, &Rules::default(), json);
    let mut told = Vec::new();
    let mut splitter = Splitter::new();
    splitter.feed(out.as_bytes(), &mut |progress| told.push(progress));
    splitter.end(&mut |progress| told.push(progress));
    let [Progress::Trace(trace)] = told.as_slice() else {
        panic!("{told:?}");
    };
    let status = control::StatusResponse::decode(trace.clone()).unwrap();
    assert_eq!(status.vertexes[0].name, "RUN TOKEN=******** make");
}

#[test]
fn patterns_reach_everywhere() {
    let rules = |pattern: &str| Rules {
        patterns: vec![Regex::new(pattern).unwrap()],
        ..Rules::default()
    };
    let name = rules("(?i)hunter[0-9]");
    assert_eq!(as_text("a hunter2 b", &name, text), "a ******* b");
    assert_eq!(
        as_text("GET /hunter2?x=hunter%32 HTTP/1.1\r\n", &name, head),
        "GET /*******?x=******%2A HTTP/1.1\r\n"
    );
    assert_eq!(
        as_text("GET / HTTP/1.1\r\nA: Hunter2!\r\n\r\n", &name, head),
        "GET / HTTP/1.1\r\nA: *******!\r\n\r\n"
    );
    assert_eq!(
        as_text(r#"{"a":"xhunter2"}"#, &name, json),
        r#"{"a":"x*******"}"#
    );
    // Beyond one value: what stands between stays.
    let member = rules(r#""a": *"[^"]*""#);
    assert_eq!(
        as_text(r#"{"a": "x", "b": "y"}"#, &member, json),
        r#"{"a": "*", "b": "y"}"#
    );
    let field = rules("X-Mine: .*");
    assert_eq!(
        as_text("GET / HTTP/1.1\r\nX-Mine: a b\r\n\r\n", &field, head),
        "GET / HTTP/1.1\r\nX-Mine: ***\r\n\r\n"
    );
    // Not the half of a character.
    let byte = rules(r"(?-u)\xc3");
    assert_eq!(as_text("aéb", &byte, text), "a**b");
    assert_eq!(as_text("anything", &rules(".*|"), text), "********");
}

#[test]
fn values_of_header_fields() {
    let mask = |name: &str, value: &str, huffman: bool| {
        let mut raw = Vec::new();
        match huffman {
            true => crate::wire::hpack::huffman::encode(value.as_bytes(), &mut raw),
            false => raw.extend_from_slice(value.as_bytes()),
        }
        let rules = Rules::default();
        let out = header_value(&rules, name.as_bytes(), value.as_bytes(), &raw, huffman)?;
        assert_eq!(out.len(), raw.len());
        let mut plain = Vec::new();
        match huffman {
            true => crate::wire::hpack::huffman::decode(&out, &mut plain).unwrap(),
            false => plain.extend_from_slice(&out),
        }
        assert_eq!(plain.len(), value.len());
        let again = header_value(&rules, name.as_bytes(), &plain, &out, huffman);
        assert_eq!(again, None, "{name}: {value}");
        Some(String::from_utf8(plain).unwrap())
    };
    for huffman in [false, true] {
        assert_eq!(mask("user-agent", "buildkit/v0.24", huffman), None);
        assert_eq!(mask("authorization", "", huffman), None);
        assert_eq!(mask("dir-name", "context", huffman), None);
        let whole = mask("authorization", "Bearer 0Secret0", huffman).unwrap();
        assert!(!whole.contains("Secret"));
        let path = mask(":path", "/build?t=a&token=0Secret0&q=1", huffman).unwrap();
        assert!(
            path.starts_with("/build?t=a&token=") && path.ends_with("&q=1"),
            "{path}"
        );
        assert_eq!(mask_url(&path), "/build?t=a&token=***&q=1");
        let message = "pull https://bob:0Secret0@h/ failed%3A%20password: 0Secret0%0Aat x";
        let masked = mask("grpc-message", message, huffman).unwrap();
        assert_eq!(
            mask_text(&decode_message(masked.as_bytes())),
            mask_text(&decode_message(message.as_bytes()))
        );
        assert!(!masked.contains("Secret"));
    }
    assert_eq!(mask("cookie", "a=b", false).as_deref(), Some("***"));
}

#[test]
fn details_of_a_status() {
    let any = |name: &str, json: Value| prost_types::Any {
        type_url: format!("github.com/moby/buildkit/{name}+json"),
        value: json.to_string().into_bytes(),
    };
    let status = rpc::Status {
        code: 2,
        message: "failed: TOKEN=0Secret0".to_owned(),
        details: vec![
            any(
                "errdefs.Solve",
                json!({ "op": { "exec": { "meta": {
                "args": ["/bin/sh", "-c", "curl -u x --password 0Secret0"], "env": ["API_KEY=0Secret0"] } } } }),
            ),
            any(
                "errdefs.Source",
                json!({ "info": { "filename": "Dockerfile",
                "data": BASE64_STANDARD.encode("FROM a\nENV TOKEN=0Secret0\n") } }),
            ),
        ],
    };
    let value = BASE64_STANDARD.encode(status.encode_to_vec());
    let value = value.trim_end_matches('=');
    assert!(survives(
        &BASE64_STANDARD
            .decode(BASE64_STANDARD.encode(status.encode_to_vec()))
            .unwrap(),
        "0Secret0"
    ));
    let name = b"grpc-status-details-bin";
    let rules = Rules::default();
    let out = header_value(&rules, name, value.as_bytes(), value.as_bytes(), false).unwrap();
    assert_eq!(header_value(&rules, name, &out, &out, false), None);
    let masked = decode_details(&out).unwrap();
    assert!(!survives(&masked.encode_to_vec(), "0Secret0"));
    assert_eq!(masked.message, "failed: TOKEN=********");
    let shown = |status: &rpc::Status| {
        let details = crate::protocol::grpc_status::details(status).into_iter();
        details
            .map(|detail| mask_text(&detail.to_string()).into_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(shown(&masked), shown(&status));
}

#[test]
fn compressed_units() {
    use std::io::Write as _;
    let gzip = |plain: &[u8], level| {
        let mut encoder =
            flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(level));
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    };
    let of_text = |unit: &[u8], out: &mut Vec<Patch>| text(&Rules::default(), unit, out);
    for level in 0..10 {
        for secret in [
            "0Secret0",
            &"Ab3$".repeat(5),
            &"x7Kq9_pL2mVn4".repeat(70),
            "1",
        ] {
            let plain = format!("{}TOKEN={secret} done", "RUN make ".repeat(20));
            let packed = gzip(plain.as_bytes(), level);
            let out = compressed(&packed, 1 << 20, of_text).unwrap();
            assert_eq!(out.len(), packed.len());
            let unpacked = crate::inflate::gzip(&out, 1 << 20).unwrap();
            assert_eq!(
                unpacked,
                plain.replace(secret, &"*".repeat(secret.len())).as_bytes()
            );
            assert_eq!(compressed(&out, 1 << 20, of_text), None);
        }
    }
    assert_eq!(compressed(&gzip(b"nothing", 6), 1 << 20, of_text), None);
    // Not gzip, or too long, or longer once masked: nothing of it.
    assert_eq!(compressed(b"TOKEN=x", 1 << 20, of_text), Some(vec![0; 7]));
    assert_eq!(compressed(&[0; 7], 1 << 20, of_text), None);
    let long = gzip(&[b'a'; 100], 6);
    assert_eq!(compressed(&long, 10, of_text), Some(vec![0; long.len()]));
}
