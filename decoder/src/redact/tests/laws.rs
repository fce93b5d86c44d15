//! Any unit: the length stays, twice is once, it is shown as before, and no secret is left.

use super::*;

const SECRET: &str = "0Secret0";

/// Text in which a secret may be known by what stands around it.
fn around() -> impl Strategy<Value = String> {
    "([a-zA-Zé=:@/?&\"{},# \\n\\\\'*%-]|://|token|Bearer |--|\\[\"|\"\\]){0,16}"
}

/// A secret that the rules know, in plain surroundings.
fn secret() -> impl Strategy<Value = &'static str> {
    proptest::sample::select(vec![
        "TOKEN=0Secret0",
        "https://u:0Secret0@h/",
        "--password 0Secret0",
        "Authorization: Bearer 0Secret0",
        "API_KEY='a 0Secret0'",
        "https://h/?a=b&token=0Secret0",
        "Basic 0Secret0==",
        "Cookie:x 0Secret0",
    ])
}

/// JSON with secrets in it, and things that look like them.
fn any_json() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        around().prop_map(Value::from),
        (around(), secret(), "[ a-z]{0,4}").prop_map(|(a, b, c)| format!("{a} {b} {c}").into()),
        Just(json!("--password")),
        any::<i32>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        Just(Value::Null),
        (around(), secret()).prop_map(|(a, b)| BASE64_STANDARD.encode(format!("{a} {b}")).into()),
    ];
    let name = prop_oneof![
        proptest::sample::select(vec![
            "token", "Cmd", "args", "id", "aux", "a", "auth", "é\"\\"
        ])
        .prop_map(str::to_owned),
        "[a-z\"]{0,3}",
    ];
    text.prop_recursive(4, 24, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((name.clone(), inner.clone()), 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
            inner.prop_map(|json| Value::from(json.to_string())),
        ]
    })
}

fn in_plain(unit: &[u8], of: fn(&Rules, &[u8], &mut Vec<Patch>)) -> Vec<u8> {
    redacted(unit, |unit, out| of(&Rules::default(), unit, out))
}

proptest! {
    #[test]
    fn texts(before in around(), secret in secret(), after in "[a-z =:'\"*]{0,9}") {
        let unit = format!("{before} {secret} {after}");
        let out = String::from_utf8(in_plain(unit.as_bytes(), text)).unwrap();
        prop_assert!(!survives(out.as_bytes(), SECRET), "{}", out);
        prop_assert_eq!(mask_text(&out), mask_text(&unit));
    }

    #[test]
    fn any_text(unit in "\\PC{0,60}", more in around()) {
        let unit = unit + &more;
        let out = String::from_utf8(in_plain(unit.as_bytes(), text)).unwrap();
        prop_assert_eq!(mask_text(&out), mask_text(&unit));
        let redacted_url = url_text(&unit);
        prop_assert_eq!(mask_url(&redacted_url), mask_url(&unit));
        for name in [":path", "grpc-message", "x-token", "location", "a-bin"] {
            let out = header_text(name, &unit).into_owned();
            prop_assert_eq!(out.len(), unit.len());
            prop_assert_eq!(mask_header(name, &out), mask_header(name, &unit));
        }
    }

    #[test]
    fn any_bytes(unit in prop::collection::vec(any::<u8>(), 0..200)) {
        in_plain(&unit, text);
        in_plain(&unit, json);
        in_plain(&unit, head);
    }

    #[test]
    fn targets(secret in "[a-zA-Z0-9%]{8,20}", name in "([a-z]{1,5}_)?(token|key)", more in around()) {
        let args = json!({ (name.clone()): secret.clone(), "v": "1" }).to_string();
        let args: String = form_urlencoded::byte_serialize(args.as_bytes()).collect();
        for query in [format!("{name}={secret}"), format!("buildargs={args}")] {
            let unit = format!("/v1.47/build?t=a&{query}&x={}", more.replace(['?', '#'], ""));
            let out = header_text(":path", &unit);
            let encoded: String = form_urlencoded::byte_serialize(secret.as_bytes()).collect();
            prop_assert!(!out.contains(&secret) && !out.contains(&encoded), "{}", out);
            prop_assert_eq!(mask_url(&out), mask_url(&unit));
        }
    }

    #[test]
    fn bodies(value in any_json(), spaces in "[ \\r\\n]{0,2}") {
        let unit = format!("{spaces}{value}{spaces}");
        let out = String::from_utf8(in_plain(unit.as_bytes(), json)).unwrap();
        let parsed: Value = serde_json::from_str(&out).unwrap();
        prop_assert!(!survives(out.as_bytes(), SECRET), "{}", out);
        prop_assert_eq!(parsed.is_object(), value.is_object());
        // As a text a mere string has quotes.
        if value.is_object() || value.is_array() {
            prop_assert_eq!(mask_text(&out), mask_text(&unit));
        }
    }

    #[test]
    fn huffman_coded_values(before in around(), secret in secret(), name in "(:path|grpc-message|x-a|cookie)") {
        let value = format!("{before} {secret}");
        let mut raw = Vec::new();
        crate::wire::hpack::huffman::encode(value.as_bytes(), &mut raw);
        let rules = Rules::default();
        if let Some(out) = header_value(&rules, name.as_bytes(), value.as_bytes(), &raw, true) {
            let mut plain = Vec::new();
            crate::wire::hpack::huffman::decode(&out, &mut plain).unwrap();
            prop_assert_eq!(plain.len(), value.len());
            prop_assert_eq!(out.len(), raw.len());
            prop_assert!(name == ":path" || !survives(&plain, SECRET));
            prop_assert_eq!(header_value(&rules, name.as_bytes(), &plain, &out, true), None);
        } else {
            prop_assert_eq!(name, ":path");
        }
    }
}
