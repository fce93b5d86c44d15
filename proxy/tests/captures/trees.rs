//! Every message of every capture as a tree.

use buildtap_decoder::Options;
use buildtap_decoder::describe::tree::{Node, NodeKind};
use buildtap_decoder::describe::{Describer, disturbs};
use buildtap_decoder::event::{TapEvent, TapId, Time};
use buildtap_decoder::trace::{Content, Update};
use buildtap_proto::schema::Schemas;

use super::{CAPTURES, as_event, events};

/// Calls `each` with the path of the call, whether it is a request, and the message.
fn messages(name: &str, mut each: impl FnMut(&str, bool, &[u8], bool)) {
    let mut decoder = buildtap_decoder::Decoder::new(Options {
        updates: true,
        messages: true,
        ..Options::default()
    });
    for (at, tap, told) in events(name) {
        let (at, tap, event): (Time, TapId, TapEvent<'_>) = (at, tap, as_event(&told));
        decoder.event(at, tap, event);
        while let Some(update) = decoder.take_update() {
            if let Update::Message(message) = update
                && let Content::Protobuf { body, cut } = &message.content
            {
                let call = decoder.trace().calls.get(message.call).unwrap();
                each(&call.path(), message.from == call.caller, body, *cut);
            }
        }
    }
}

fn check(node: &Node, inside: &std::ops::Range<usize>) {
    let within = inside.start <= node.range.start && node.range.end <= inside.end;
    assert!(within, "{node:?}");
    assert!(!node.value.contains(disturbs) && !node.name.contains(disturbs));
    let mut before = node.range.start;
    for child in &node.children {
        assert!(before <= child.range.start, "{child:?}");
        if child.kind != NodeKind::Json {
            before = child.range.end;
        }
        check(child, &node.range);
    }
}

/// What real peers send fits its schema: nothing is left over, and every byte is in a node.
#[test]
fn every_message_is_a_tree_of_known_fields() {
    let describer = Describer::new(Schemas::builtin(), false);
    let mut seen = 0;
    for (name, _) in CAPTURES {
        messages(name, |path, request, body, cut| {
            seen += 1;
            let tree = describer.tree(path, request, body, cut);
            check(&tree.root, &(0..body.len()));
            let text = tree.to_string();
            assert!(!text.contains("canary-secret"), "{name} {path}: {text}");
            if cut {
                return;
            }
            assert!(
                !text.contains("not what the schema says") && !text.contains("not protobuf"),
                "{name} {path}: {text}"
            );
            let mut at = 0;
            for field in &tree.root.children {
                assert_eq!(field.range.start, at, "{name} {path}: {text}");
                at = field.range.end;
            }
            if tree.root.kind == NodeKind::Message {
                assert_eq!(at, body.len(), "{name} {path}: {text}");
            }
        });
    }
    assert!(seen > 500, "{seen}");
}

/// What a client without a frontend asks for, and what comes of it.
#[test]
fn trees_of_a_build() {
    let describer = Describer::new(Schemas::builtin(), false);
    let mut shown = Vec::new();
    for (name, wanted) in [
        ("graph-local-export", "/moby.buildkit.v1.Control/Solve"),
        ("graph-local-export", "/moby.buildkit.v1.Control/Status"),
        ("secret", "/moby.buildkit.secrets.v1.Secrets/GetSecret"),
    ] {
        let mut left = 3;
        messages(name, |path, request, body, cut| {
            if path == wanted && left > 0 {
                left -= 1;
                shown.push(describer.tree(path, request, body, cut).to_string());
            }
        });
    }
    insta::assert_snapshot!(shown.join("\n"));
}
