//! Bytes that nobody sane sends.

use proptest::prelude::*;

use super::*;

fn paths() -> Vec<String> {
    let services = buildtap_proto::pool().services();
    let mut paths: Vec<String> = services
        .flat_map(|service| {
            let name = service.full_name().to_owned();
            let methods = service.methods();
            methods
                .map(|method| format!("/{name}/{}", method.name()))
                .collect::<Vec<_>>()
        })
        .collect();
    paths.push("/acme.v1.Rocket/Launch".to_owned());
    paths.push("no path".to_owned());
    paths
}

fn check(path: &str, body: &[u8]) {
    for show in [false, true] {
        let describer = Describer::new(Schemas::builtin(), show);
        for (request, cut) in [(true, false), (false, false), (true, true), (false, true)] {
            let line = describer.line(path, request, body, cut);
            assert!(line.chars().count() <= MAX_LINE, "{path}: {line}");
            assert!(!line.contains(disturbs), "{path}: {line:?}");
            let json = describer.json(path, request, body, cut).to_string();
            assert!(
                json.len() <= 1024 + 100 * body.len(),
                "{path}: {} bytes of JSON for {}",
                json.len(),
                body.len()
            );
        }
    }
}

/// Bytes that are messages more often than random ones are.
fn message() -> impl Strategy<Value = Vec<u8>> {
    let text = "[a-zA-Z:/=@\u{1b}\u{202e}\u{9b}\n ü]{0,12}".prop_map(String::into_bytes);
    let leaf = prop_oneof![text, prop::collection::vec(any::<u8>(), 0..12)];
    leaf.prop_recursive(4, 48, 6, |inner| {
        let varint = (1_u32..20, any::<u32>()).prop_map(|(number, value)| {
            let mut field = Vec::new();
            prost::encoding::uint32::encode(number, &value, &mut field);
            field
        });
        let len = (1_u32..20, inner).prop_map(|(number, inner)| {
            let mut field = Vec::new();
            prost::encoding::bytes::encode(number, &inner, &mut field);
            field
        });
        prop::collection::vec(prop_oneof![1 => varint, 3 => len], 1..6)
            .prop_map(|fields| fields.concat())
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn random_messages(body in message()) {
        for path in paths() {
            check(&path, &body);
        }
    }

    #[test]
    fn random_bytes(body in prop::collection::vec(any::<u8>(), 0..200)) {
        for path in paths() {
            check(&path, &body);
        }
    }

    #[test]
    fn a_cut_message_is_always_described(body in message(), at in any::<prop::sample::Index>()) {
        let end = at.index(body.len() + 1);
        for path in paths() {
            check(&path, &body[..end]);
        }
    }
}

#[test]
fn deep_and_wide() {
    // Groups and messages within each other, far deeper than anybody looks.
    let mut deep = Vec::new();
    for _ in 0..2_000 {
        let mut outer = Vec::new();
        prost::encoding::bytes::encode(3, &deep, &mut outer);
        deep = outer;
    }
    let wide = b"\x0a\x00".repeat(20_000);
    for path in [
        STATUS,
        SOLVE,
        "/moby.buildkit.v1.Control/ListWorkers",
        "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
        "/acme.v1.Rocket/Launch",
    ] {
        check(path, &deep);
        check(path, &wide);
        check(path, &[0x0b; 1_000]);
    }
    let json = describer().json(STATUS, false, &wide, false).to_string();
    assert!(json.ends_with("…\"]}"), "{}", &json[json.len() - 40..]);
}

#[test]
fn json_in_a_string_may_not_be_deep() {
    let deep = "[".repeat(100_000);
    let message = frontend::ReadFileResponse {
        data: format!("{{\"a\":{deep}").into_bytes().into(),
    };
    let read = "/moby.buildkit.v1.frontend.LLBBridge/ReadFile";
    assert!(json(read, false, &message)["Data"].is_string());
}
