//! Secrets that are put into every place of every message, and must not come out.

use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, Value};

use super::*;
use crate::redact::tests::messages::message_of;
use crate::redact::tests::survives;

/// Contains nothing by which it could be taken for a secret.
const CANARY: &str = "Zq7canary4xW";
/// What may be shown, so that the tests see that messages are shown at all.
const PLAIN: &str = "plainvalue";

/// A message with every field filled, `depth` levels deep; `text` gives the strings, and what is
/// in the bytes.
fn filled(
    message: &MessageDescriptor,
    depth: usize,
    text: &dyn Fn(&FieldDescriptor) -> String,
) -> DynamicMessage {
    let single = |field: &FieldDescriptor, kind: &Kind| match kind {
        Kind::String => Some(Value::String(text(field))),
        Kind::Bytes => Some(Value::Bytes(text(field).into())),
        Kind::Message(inner) if depth > 0 => Some(Value::Message(filled(inner, depth - 1, text))),
        Kind::Message(_) => None,
        other => Some(Value::default_value(other)),
    };
    let mut out = DynamicMessage::new(message.clone());
    for field in message.fields() {
        let value = if field.is_map() {
            let Kind::Message(entry) = field.kind() else {
                continue;
            };
            let value = single(&field, &entry.map_entry_value_field().kind());
            let key = match entry.map_entry_key_field().kind() {
                Kind::String => MapKey::String("build-arg:NPM_TOKEN".to_owned()),
                other => MapKey::default_value(&other),
            };
            value.map(|value| Value::Map([(key, value)].into_iter().collect()))
        } else if field.is_list() {
            single(&field, &field.kind()).map(|value| Value::List(vec![value]))
        } else {
            single(&field, &field.kind())
        };
        if let Some(value) = value {
            out.set_field(&field, value);
        }
    }
    out
}

/// Every method of the pool, with the message of its caller and that of its callee.
fn all() -> Vec<(String, bool, MessageDescriptor)> {
    let methods = buildtap_proto::pool().services().flat_map(|service| {
        let service = service.clone();
        service.methods().collect::<Vec<_>>()
    });
    methods
        .flat_map(|method| {
            let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
            [
                (path.clone(), true, method.input()),
                (path, false, method.output()),
            ]
        })
        .collect()
}

/// In how many places a message is cut.
const CUTS: usize = 19;

/// A redacted message has no secret either, but in contents of files, and is shown as before.
fn redacted(path: &str, request: bool, body: &[u8]) {
    let out = message_of(path, request, body, false);
    let text = String::from_utf8_lossy(&out);
    let message = descriptor(&Schemas::builtin(), path, request, body);
    let contents = message.is_some_and(|message| {
        let rule = |field: FieldDescriptor| secrets::rule(message.full_name(), field.number());
        message
            .fields()
            .any(|field| rule(field) == Some(secrets::Rule::Contents))
    });
    assert!(
        contents || !survives(&out, CANARY),
        "redacted {path} {request}: {text}"
    );
    message_of(path, request, &body[..body.len() / 2], true);
}

/// A message as a tree, and the bytes that are shown beside it.
fn tree(describer: &Describer, path: &str, request: bool, body: &[u8], cut: bool) -> String {
    let tree = describer.tree(path, request, body, cut);
    assert_eq!(tree.bytes.len(), body.len());
    format!("{tree}\n{}", String::from_utf8_lossy(&tree.bytes))
}

/// All that is said of a message: whole, cut anywhere, and cut in ways that do not parse.
fn said(describer: &Describer, path: &str, request: bool, body: &[u8], cuts: usize) -> Vec<String> {
    let mut said = vec![
        describer.json(path, request, body, false).to_string(),
        describer.line(path, request, body, false),
        tree(describer, path, request, body, false),
        tree(describer, path, request, body, true),
    ];
    let step = body.len().div_ceil(cuts).max(1);
    for end in (0..body.len()).step_by(step) {
        said.push(
            describer
                .json(path, request, &body[..end], true)
                .to_string(),
        );
        said.push(describer.line(path, request, &body[..end], true));
        // Of trees, which take longer, a few.
        if (end / step).is_multiple_of(6) {
            said.push(tree(describer, path, request, &body[..end], true));
            said.push(tree(describer, path, request, &body[..end], false));
        }
    }
    said
}

#[test]
fn fields_that_are_secret() {
    let mut secret_fields = 0;
    for (path, request, message) in all() {
        for field in message.fields() {
            if secrets::rule(message.full_name(), field.number()) != Some(secrets::Rule::Secret) {
                continue;
            }
            secret_fields += 1;
            let number = field.number();
            let full = filled(&message, 0, &|field| match field.number() == number {
                true => CANARY.to_owned(),
                false => PLAIN.to_owned(),
            });
            let body = full.encode_to_vec();
            redacted(&path, request, &body);
            for text in said(&describer(), &path, request, &body, CUTS) {
                assert!(!text.contains("canary"), "{path}: {text}");
            }
            // Nor when it does not parse, or comes with a field that the schema does not know.
            for end in 0..body.len() {
                let text = describer()
                    .json(&path, request, &body[..end], false)
                    .to_string();
                assert!(!text.contains("canary"), "{path}: {text}");
            }
            let mut more = body.clone();
            more.extend_from_slice(b"\xaa\x06\x0c");
            more.extend_from_slice(CANARY.as_bytes());
            let text = describer().json(&path, request, &more, false).to_string();
            assert!(!text.contains("canary"), "{path}: {text}");

            let open = Describer::new(Schemas::builtin(), true);
            let text = open.json(&path, request, &body, false).to_string();
            assert!(text.contains(CANARY), "{path}: {text}");
        }
    }
    assert_eq!(
        secret_fields, 9,
        "both ways of the agent's bytes, and seven fields"
    );
}

/// Every form in which a secret is known by what stands around it, in every string and in all
/// bytes of every message of every method.
#[test]
fn secrets_in_any_text() {
    let forms = [
        format!("https://bob:{CANARY}@example.com/x?a=b"),
        format!("https://example.com/x?access_token={CANARY}"),
        format!("RUN NPM_TOKEN={CANARY} make"),
        format!("curl -H 'Authorization: Bearer {CANARY}' x"),
        format!("login --password {CANARY}"),
        format!(r#"{{"auths":{{"ghcr.io":{{"auth":"{CANARY}"}}}}}}"#),
        format!(r#"[{{"Env":["NPM_TOKEN={CANARY}"]}}]"#),
        format!(r#"{{"Cmd":["login","--password","{CANARY}"]}}"#),
    ];
    let encoded = |form: &String| {
        let json = json!({ "mediaType": "x", "inside": form }).to_string();
        let base64 = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, json);
        json!({ "moby.buildkit.buildinfo.v0": base64 }).to_string()
    };
    let forms: Vec<String> = forms.iter().map(encoded).chain(forms.clone()).collect();
    for (path, request, message) in all() {
        // A field has another form each time, and its neighbour the next one.
        for round in 0..4 {
            let next = std::cell::Cell::new(round * 5);
            let form = |_: &FieldDescriptor| {
                next.set(next.get() + 1);
                forms[next.get() % forms.len()].clone()
            };
            let body = filled(&message, 4, &form).encode_to_vec();
            redacted(&path, request, &body);
            let raw = message_of("/acme.v1.Rocket/Launch", request, &body, false);
            assert!(!survives(&raw, CANARY), "raw {path}");
            for text in said(&describer(), &path, request, &body, 2) {
                assert!(!text.contains("canary"), "{path} {request}: {text}");
            }
            // The same without the schema.
            for text in said(&describer(), "/acme.v1.Rocket/Launch", request, &body, 1) {
                assert!(!text.contains("canary"), "raw {path} {request}: {text}");
            }
        }
    }
}

#[test]
fn values_with_the_name_of_a_secret() {
    // In the maps of `filled` all keys are that of a secret.
    let in_map = |field: &FieldDescriptor| match field.is_map() {
        true => CANARY.to_owned(),
        false => PLAIN.to_owned(),
    };
    let mut shown = 0;
    for (path, request, message) in all() {
        let body = filled(&message, 4, &in_map).encode_to_vec();
        redacted(&path, request, &body);
        for text in said(&describer(), &path, request, &body, CUTS) {
            assert!(!text.contains("canary"), "{path} {request}: {text}");
            shown += usize::from(text.contains(PLAIN));
        }
        let open = Describer::new(Schemas::builtin(), true);
        let text = open.json(&path, request, &body, false).to_string();
        shown += usize::from(text.contains(CANARY));
    }
    assert!(shown > 100, "{shown}");
}

#[test]
fn attributes_of_spans_and_arguments() {
    let path = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
    use buildtap_proto::opentelemetry::proto::{
        collector::trace::v1::ExportTraceServiceRequest,
        common::v1::{AnyValue, KeyValue, any_value},
        trace::v1::{ResourceSpans, ScopeSpans, Span},
    };
    let attribute = |key: &str, value: &str| KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue {
            value: Some(any_value::Value::StringValue(value.to_owned())),
        }),
        ..Default::default()
    };
    let export = ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            scope_spans: vec![ScopeSpans {
                spans: vec![Span {
                    name: "build".to_owned(),
                    trace_id: vec![0xab; 16].into(),
                    attributes: vec![attribute("npm.token", CANARY), attribute("a", PLAIN)],
                    ..Default::default()
                }],
                ..Default::default()
            }],
            ..Default::default()
        }],
    };
    assert_eq!(line(path, true, &export), "1 span: build");
    let json = json(path, true, &export);
    let span = &json["resource_spans"][0]["scope_spans"][0]["spans"][0];
    assert_eq!(span["trace_id"], "ab".repeat(16));
    assert_eq!(span["attributes"][0]["key"], "npm.token");
    assert_eq!(span["attributes"][0]["value"], "*** (14 bytes)");
    assert_eq!(span["attributes"][1]["value"]["string_value"], PLAIN);

    let path = "/moby.buildkit.v1.frontend.LLBBridge/ExecProcess";
    let init = frontend::InitMessage {
        meta: Some(pb::Meta {
            args: ["login", "--password", CANARY, "host"]
                .map(str::to_owned)
                .to_vec(),
            ..Default::default()
        }),
        ..Default::default()
    };
    let exec = frontend::ExecMessage {
        process_id: "p".to_owned(),
        input: Some(frontend::exec_message::Input::Init(init)),
    };
    assert_eq!(
        super::json(path, true, &exec)["Init"]["Meta"]["args"],
        json!(["login", "--password", "*** (12 bytes)", "host"])
    );
}

/// A session inside the connection carries all the secrets of its calls.
#[test]
fn tunnels_and_file_contents() {
    for path in [
        "/moby.buildkit.v1.Control/Session",
        "/moby.filesync.v1.FileSend/DiffCopy",
        "/moby.upload.v1.Upload/Pull",
    ] {
        let message = control::BytesMessage {
            data: CANARY.as_bytes().into(),
        };
        assert_eq!(
            json(path, true, &message),
            json!({ "data": { "bytes": 12 } })
        );
        assert_eq!(line(path, true, &message), "12 bytes");
    }
}
