//! Two accounts of the same session, compared.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::trace::Trace;

/// Insists that what was seen live is also what `file` shows.
#[track_caller]
pub fn assert_same(live: &Trace, shown: &Trace, file: &str) {
    let (live, shown) = (normalised(live), normalised(shown));
    let only = |these: &[String], those: &[String]| -> String {
        let only = these.iter().filter(|line| !those.contains(line));
        only.map(|line| format!("{line}\n")).collect()
    };
    assert!(
        live == shown,
        "only live:\n{}\nonly in {file}:\n{}",
        only(&live, &shown),
        only(&shown, &live)
    );
    assert!(live.len() > 20, "that is too little to mean anything");
}

/// Everything that was said, without what depends on who looks: times, addresses, numbers, and how bytes were cut
/// into events. Sorted, because two connections may be seen in either order.
pub fn normalised(trace: &Trace) -> Vec<String> {
    let connections = stable_numbers(trace);
    let mut lines: Vec<String> = trace
        .all()
        .iter()
        .map(|object| {
            let mut object = object.clone();
            normalise(&mut object, &connections);
            object.to_string()
        })
        .collect();
    lines.sort();
    lines
}

/// What a connection was opened for, by its number.
fn stable_numbers(trace: &Trace) -> BTreeMap<u64, String> {
    let mut names: BTreeMap<u64, String> = BTreeMap::new();
    for exchange in trace.of_kind("exchange") {
        let connection = exchange["connection"].as_u64().unwrap();
        let target = exchange["target"].as_str().unwrap();
        names.entry(connection).or_default().push_str(target);
    }
    names
}

fn normalise(value: &mut Value, connections: &BTreeMap<u64, String>) {
    match value {
        Value::Object(fields) => {
            for gone in ["id", "number", "tap", "exchange", "upgraded_by", "address"] {
                // The id of a file or of an exporter is part of the protocol, that of a session too.
                let kept = matches!(
                    fields.get("kind").and_then(Value::as_str),
                    Some("file" | "session") | None
                );
                if !(gone == "id" && kept) {
                    fields.shift_remove(gone);
                }
            }
            fields.shift_remove("client_process");
            // The line of a call is written when the call is over; whether a client has told the sender by then that it
            // need not go on (RFC 9113 §8.1) is a matter of microseconds.
            let told = fields.get("reset").and_then(|reset| reset["code"].as_str());
            if told == Some("NO_ERROR") {
                fields.insert("reset".into(), Value::Null);
            }
            fields.retain(|name, value| !name.ends_with("_ns") && !is_time(value));
            if let Some(connection) = fields.get_mut("connection")
                && let Some(name) = connection.as_u64().and_then(|id| connections.get(&id))
            {
                *connection = name.clone().into();
            }
            for value in fields.values_mut() {
                normalise(value, connections);
            }
        }
        Value::Array(values) => {
            for value in values {
                normalise(value, connections);
            }
        }
        _ => {}
    }
}

/// RFC 3339 with nine digits behind the second.
fn is_time(value: &Value) -> bool {
    value
        .as_str()
        .is_some_and(|text| text.len() == 30 && text.ends_with('Z') && text.as_bytes()[10] == b'T')
}
