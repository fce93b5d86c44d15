//! What is on the screen, for somewhere else: a call as JSON, or as a command line for grpcurl,
//! and all that is shown as JSON lines.
//!
//! Secrets are masked as they are on the screen.

use std::fmt::Write as _;

use buildtap_decoder::event::Time;
use buildtap_decoder::trace::Call;
use serde_json::{Value, json};

use crate::model::{Kind, Message};
use crate::view::Context;
use crate::words;

/// Messages of one call that are written.
const MESSAGES: usize = 100_000;

/// A call as JSON, without its messages.
pub fn call(cx: &Context<'_>, call: &Call) -> Value {
    let trace = cx.store.trace();
    let sent = |side| {
        let flow = call.sent_by(side);
        json!({ "messages": flow.messages, "bytes": flow.bytes })
    };
    json!({
        "kind": "call",
        "call": call.id.number(),
        "path": call.path(),
        "caller": call.caller.as_str(),
        "subject": call.subject,
        "start": at(cx, call.start),
        "end": call.end.map(|end| at(cx, end)),
        "state": call.state.as_str(),
        "ended": words::ending(trace, call),
        "metadata": headers(&call.metadata),
        "caller_sent": sent(call.caller),
        "callee_sent": sent(call.caller.peer()),
    })
}

/// A message as JSON.
pub fn message(cx: &Context<'_>, call: &Call, message: &Message<'_>) -> Value {
    let says = match (message.kind, message.body) {
        (Kind::Slice, _) | (_, None) => Value::Null,
        (_, Some(body)) => {
            let request = message.from == call.caller;
            cx.describer.json(&call.path(), request, body, message.cut)
        }
    };
    json!({
        "kind": "message",
        "call": message.call,
        "at": at(cx, message.at),
        "from": message.from.as_str(),
        "number": message.number,
        "bytes": message.length,
        "path": message.path,
        "says": says,
    })
}

/// Calls and their messages, an object on each line.
pub fn lines<'a>(cx: &Context<'_>, calls: impl Iterator<Item = &'a Call>) -> String {
    let mut out = String::new();
    for row in calls {
        let _ = writeln!(out, "{}", call(cx, row));
        for place in 0..cx.store.messages.count(row.id).min(MESSAGES) {
            if let Some(said) = cx.store.messages.of_call(row.id, place) {
                let _ = writeln!(out, "{}", message(cx, row, &said));
            }
        }
    }
    out
}

/// What makes the same call again: its headers, and its first request.
pub fn grpcurl(cx: &Context<'_>, call: &Call) -> String {
    let mut out = "grpcurl -plaintext".to_owned();
    for (name, value) in &call.metadata {
        // What grpcurl says itself.
        let own = ["content-type", "te", "user-agent", "grpc-accept-encoding"];
        if !own.contains(&name.as_str()) {
            let _ = write!(out, " -H {}", quoted(&format!("{name}: {value}")));
        }
    }
    let count = cx.store.messages.count(call.id);
    let mut said = (0..count).filter_map(|place| cx.store.messages.of_call(call.id, place));
    if let Some(request) = said.find(|message| message.from == call.caller) {
        let says = message(cx, call, &request);
        if let Some(says) = says.get("says").filter(|says| says.is_object()) {
            let _ = write!(out, " -d {}", quoted(&says.to_string()));
        }
    }
    let _ = write!(out, " ADDRESS {}/{}", call.service, call.method);
    out
}

/// A text for a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

fn at(cx: &Context<'_>, at: Time) -> f64 {
    at.since(cx.store.origin()).as_secs_f64()
}

fn headers(headers: &[(String, String)]) -> Value {
    headers
        .iter()
        .map(|(name, value)| json!([name, value]))
        .collect()
}
