//! Masking in place: any bytes as any unit. The length stays, and twice is once.
#![no_main]

use std::sync::LazyLock;

use buildtap_decoder::describe::Describer;
use buildtap_decoder::redact::{self, Patch, Regex, Rules};
use buildtap_decoder::wire::hpack::huffman;
use buildtap_proto::schema::Schemas;

static METHODS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let services = buildtap_proto::pool().services();
    let methods = services.flat_map(|service| service.methods().collect::<Vec<_>>());
    let mut paths: Vec<String> =
        methods.map(|method| format!("/{}/{}", method.parent_service().full_name(), method.name())).collect();
    paths.push("/unknown.Service/Method".into());
    paths
});

static RULES: LazyLock<[Rules; 2]> = LazyLock::new(|| {
    let patterns = vec![Regex::new("(?-u)hunter.|\"a\".*").unwrap()];
    [Rules::default(), Rules { patterns, drop_file_contents: true }]
});

fn twice(unit: &[u8], redact: impl Fn(&[u8], &mut Vec<Patch>)) -> Vec<u8> {
    let mut patches = Vec::new();
    redact(unit, &mut patches);
    let mut out = unit.to_vec();
    redact::apply(&mut out, &patches);
    assert_eq!(out.len(), unit.len());
    let mut again = Vec::new();
    redact(&out, &mut again);
    assert_eq!(again, [], "{:?} became {:?}", String::from_utf8_lossy(unit), String::from_utf8_lossy(&out));
    out
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((&[kind, method, flags], unit)) = data.split_first_chunk::<3>() else { return };
    let rules = &RULES[usize::from(flags & 4 != 0)];
    match kind % 6 {
        0 => _ = twice(unit, |unit, out| redact::text(rules, unit, out)),
        1 => _ = twice(unit, |unit, out| redact::head(rules, unit, out)),
        2 => {
            let out = twice(unit, |unit, out| redact::json(rules, unit, out));
            if serde_json::from_slice::<serde_json::Value>(unit).is_ok_and(|json| json.is_object()) {
                serde_json::from_slice::<serde_json::Value>(&out).unwrap();
            }
        }
        3 => {
            let name: &[u8] = match method % 5 {
                0 => b":path",
                1 => b"grpc-message",
                2 => b"grpc-status-details-bin",
                3 => b"cookie",
                _ => b"x-a",
            };
            let coded = flags & 1 != 0;
            let mut value = Vec::new();
            match coded {
                true if huffman::decode(unit, &mut value).is_err() => return,
                true => {}
                false => value.extend_from_slice(unit),
            }
            let Some(out) = redact::header_value(rules, name, &value, unit, coded) else { return };
            assert_eq!(out.len(), unit.len());
            let mut masked = Vec::new();
            match coded {
                true => huffman::decode(&out, &mut masked).unwrap(),
                false => masked.extend_from_slice(&out),
            }
            assert_eq!(masked.len(), value.len());
            assert_eq!(redact::header_value(rules, name, &masked, &out, coded), None);
        }
        4 => {
            let of_text = |unit: &[u8], out: &mut Vec<Patch>| redact::text(rules, unit, out);
            let Some(out) = redact::compressed(unit, 1 << 20, of_text) else { return };
            assert_eq!(out.len(), unit.len());
            assert_eq!(redact::compressed(&out, 1 << 20, of_text), None);
        }
        _ => {
            let path = &METHODS[usize::from(method) % METHODS.len()];
            let (request, cut) = (flags & 1 != 0, flags & 2 != 0);
            let schemas = Schemas::builtin();
            let out = twice(unit, |unit, out| redact::message(rules, &schemas, path, request, unit, cut, out));
            if flags & 4 == 0 {
                let describer = Describer::new(schemas, false);
                assert_eq!(describer.json(path, request, &out, cut), describer.json(path, request, unit, cut));
            }
        }
    }
});
