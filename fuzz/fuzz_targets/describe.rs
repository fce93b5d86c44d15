//! What a message says: any bytes as any message of any method.
#![no_main]

use std::sync::LazyLock;

use buildtap_decoder::describe::Describer;
use buildtap_decoder::describe::tree::Node;
use buildtap_proto::schema::Schemas;

static METHODS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let services = buildtap_proto::pool().services();
    let methods = services.flat_map(|service| service.methods().collect::<Vec<_>>());
    let mut paths: Vec<String> =
        methods.map(|method| format!("/{}/{}", method.parent_service().full_name(), method.name())).collect();
    paths.push("/unknown.Service/Method".into());
    paths
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((&[method, flags], body)) = data.split_first_chunk::<2>() else { return };
    let Some(path) = METHODS.get(usize::from(method) % METHODS.len()) else { return };
    let describer = Describer::new(Schemas::builtin(), flags & 4 != 0);
    let (request, cut) = (flags & 1 != 0, flags & 2 != 0);
    let _ = describer.json(path, request, body, cut).to_string();
    let line = describer.line(path, request, body, cut);
    assert!(!line.chars().any(char::is_control), "{line:?}");
    let tree = describer.tree(path, request, body, cut);
    inside(&tree.root, 0..tree.bytes.len());
});

/// Every part is where its parent is.
fn inside(node: &Node, parent: std::ops::Range<usize>) {
    assert!(parent.start <= node.range.start && node.range.end <= parent.end, "{node:?}");
    for child in &node.children {
        inside(child, node.range.clone());
    }
}
