//! What was decoded, held against `truth.json`, which `tests/lab/truth.py` made from the same
//! files without any of our code.

use std::collections::{BTreeMap, HashMap};

use buildtap_decoder::event::Side;
use buildtap_decoder::protocol::diffcopy::{Packet, PacketType};
use buildtap_decoder::trace::{
    Call, CallState, Connection, Content, Exchange, Flavour, Id, Message, Trace, Update,
};
use buildtap_decoder::wire::http2::error_code_name;
use buildtap_decoder::{Decoder, Options};
use serde_json::{Map, Value, json};

use crate::{CAPTURES, decode, events, folder};

/// The messages of each call.
type Messages = HashMap<Id<Call>, Vec<Message>>;

#[test]
fn what_is_decoded_is_true() {
    let truth = std::fs::read_to_string(folder().join("truth.json")).unwrap();
    let truth: Map<String, Value> = serde_json::from_str(&truth).unwrap();
    assert_eq!(truth.len(), CAPTURES.len());
    for (name, _) in CAPTURES {
        let mut decoder = decode(
            &events(name),
            Options {
                updates: true,
                messages: true,
                show_secrets: true,
                ..Options::default()
            },
        );
        let messages = messages(&mut decoder);
        let trace = decoder.trace();
        let tapped = trace
            .connections
            .iter()
            .filter(|connection| connection.depth == 0);
        let told: Vec<Value> = tapped
            .map(|each| connection(trace, &messages, each))
            .collect();
        let truth = truth[*name].as_array().unwrap();
        assert_eq!(told.len(), truth.len(), "connections of {name}");
        for (n, (told, truth)) in told.iter().zip(truth).enumerate() {
            let mut truth = truth.clone();
            adjust(told, &mut truth);
            let (told, truth) = (pretty(told), pretty(&truth));
            let differ = told
                .lines()
                .zip(truth.lines())
                .find(|(told, truth)| told != truth);
            assert_eq!(told, truth, "connection {n} of {name}, first in {differ:?}");
        }
    }
}

fn pretty(value: &Value) -> String {
    let mut value = value.clone();
    value.sort_all_objects();
    serde_json::to_string_pretty(&value).unwrap()
}

fn messages(decoder: &mut Decoder) -> Messages {
    let mut messages = Messages::new();
    assert_eq!(decoder.take_dropped(), 0, "every message is told");
    while let Some(update) = decoder.take_update() {
        if let Update::Message(message) = update {
            messages.entry(message.call).or_default().push(*message);
        }
    }
    messages
}

/// Takes out of the truth what the trace does not hold: the lines of a build's progress, and the
/// resets, which [`resets_are_true`] compares.
fn adjust(told: &Value, truth: &mut Value) {
    let truth = truth.as_object_mut().unwrap();
    for exchange in truth["exchanges"].as_array_mut().unwrap() {
        exchange.as_object_mut().unwrap().remove("progress");
    }
    // A connection that became a session, or another stream, without a call.
    if truth.get("calls").is_some_and(|calls| calls == &json!([])) {
        truth.remove("calls");
    }
    adjust_calls(told.get("calls"), truth.get_mut("calls"));
}

fn adjust_calls(told: Option<&Value>, truth: Option<&mut Value>) {
    let (Some(told), Some(truth)) = (told, truth) else {
        return;
    };
    let calls = truth.as_array_mut().unwrap();
    for (told, truth) in told.as_array().unwrap().iter().zip(calls) {
        let truth = truth.as_object_mut().unwrap();
        truth.remove("reset");
        truth.insert("given up".into(), told["given up"].clone());
        if told["given up"] == true {
            truth.remove("grpc_status");
            let ended = truth["ended"].as_array_mut().unwrap();
            ended.retain(|side| side != "server");
        }
        adjust_calls(told.get("tunnel"), truth.get_mut("tunnel"));
    }
}

fn connection(trace: &Trace, messages: &Messages, connection: &Connection) -> Value {
    let exchanges: Vec<Value> = trace
        .exchanges
        .iter()
        .filter(|exchange| exchange.connection == connection.id)
        .map(|each| exchange(trace, each))
        .collect();
    let mut told = Map::new();
    told.insert("exchanges".into(), exchanges.into());
    let calls = calls(trace, messages, connection.id);
    if !calls.is_empty() {
        told.insert("calls".into(), calls.into());
    }
    told.into()
}

fn exchange(trace: &Trace, exchange: &Exchange) -> Value {
    let path = exchange.target.split('?').next().unwrap();
    let mut told = Map::new();
    told.insert(
        "request".into(),
        format!("{} {path}", exchange.method).into(),
    );
    if let Some((status, _)) = &exchange.status {
        told.insert("status".into(), (*status).into());
    }
    let session = trace
        .sessions
        .iter()
        .find(|session| session.connection == exchange.connection);
    if let Some(session) = session {
        told.insert("advertised".into(), sorted(session.methods.clone()).into());
    }
    if path.ends_with("/build") {
        let errors: Vec<&String> = exchange.error.iter().collect();
        told.insert("errors".into(), json!(errors));
    }
    told.into()
}

fn calls(trace: &Trace, messages: &Messages, connection: Id<Connection>) -> Vec<Value> {
    let mut calls: Vec<&Call> = trace
        .calls
        .iter()
        .filter(|call| call.connection == connection)
        .collect();
    calls.sort_by_key(|call| call.stream_id);
    calls
        .into_iter()
        .map(|each| call(trace, messages, each))
        .collect()
}

fn call(trace: &Trace, messages: &Messages, call: &Call) -> Value {
    let none = Vec::new();
    let messages_of = |side: Side| {
        let of_call = messages.get(&call.id).unwrap_or(&none);
        of_call.iter().filter(move |message| message.from == side)
    };
    let (caller, callee) = (call.caller, call.caller.peer());
    let mut told = Map::new();
    told.insert("stream".into(), call.stream_id.into());
    told.insert("path".into(), call.path().into());
    told.insert(
        "messages".into(),
        json!([call.request.messages, call.response.messages]),
    );
    for (side, flow) in [(caller, &call.request), (callee, &call.response)] {
        // Two ways to the same number.
        let bytes: u64 = messages_of(side).map(|message| message.length).sum();
        assert_eq!(
            (flow.messages, flow.bytes),
            (messages_of(side).count() as u64, bytes)
        );
    }
    // What the callee said of a stream that the caller had reset, before it heard of it, is not
    // part of the call any more.
    let given_up = call.state == CallState::Reset
        && call.reset.as_ref().is_some_and(|reset| {
            reset.by == Some(caller) && reset.code.is_some_and(|code| code != 0)
        });
    told.insert("given up".into(), given_up.into());
    if !given_up {
        let status = call.status.as_ref().map(|status| status.code);
        told.insert("grpc_status".into(), json!(status));
    }
    if let Some(status) = call
        .status
        .as_ref()
        .filter(|status| !status.message.is_empty())
    {
        told.insert("grpc_message".into(), status.message.clone().into());
    }
    let wanted = [
        "dir-name",
        "include-patterns",
        "exclude-patterns",
        "followpaths",
        "buildkit-attachable-exporter-id",
    ];
    let mut metadata: Map<String, Value> = Map::new();
    for (name, value) in &call.metadata {
        if wanted.contains(&name.as_str()) {
            let values = metadata.entry(name.clone()).or_insert_with(|| json!([]));
            values.as_array_mut().unwrap().push(value.clone().into());
        }
    }
    if !metadata.is_empty() {
        told.insert("metadata".into(), metadata.into());
    }
    let ended = [("client", &call.request), ("server", &call.response)];
    let ended: Vec<&str> = ended
        .iter()
        .filter(|(name, flow)| flow.ended.is_some() && !(given_up && *name == "server"))
        .map(|(name, _)| *name)
        .collect();
    told.insert("ended".into(), json!(ended));
    let payload = |side: Side| -> u64 {
        messages_of(side)
            .map(|message| match &message.content {
                Content::Bytes { payload, .. } => *payload,
                other => panic!("{other:?} in a stream of bytes"),
            })
            .sum()
    };
    if let Some(transfer) = call.transfer.and_then(|id| trace.transfers.get(id)) {
        if transfer.flavour == Flavour::Bytes {
            assert_eq!(transfer.bytes, payload(transfer.sender()));
            told.insert("shape".into(), "BytesMessage".into());
            told.insert("bytes".into(), transfer.bytes.into());
        } else {
            told.insert("shape".into(), "Packet".into());
            for (name, side) in [("caller", caller), ("callee", callee)] {
                let packets: Vec<&Packet> = messages_of(side)
                    .map(|message| match &message.content {
                        Content::Packet { packet, .. } => packet,
                        other => panic!("{other:?} in a stream of packets"),
                    })
                    .collect();
                assert_eq!(transfer.machine.packets(side), packets.len() as u64);
                told.insert(name.into(), summed(&packets));
            }
        }
    } else if call.path() == "/moby.sshforward.v1.SSH/ForwardAgent" {
        told.insert("bytes".into(), json!([payload(caller), payload(callee)]));
    }
    let nested = trace
        .connections
        .iter()
        .find(|nested| nested.parent.is_some_and(|(_, by)| by == call.id));
    if let Some(nested) = nested {
        let session = trace
            .sessions
            .iter()
            .find(|session| session.connection == nested.id)
            .expect("a session inside Control.Session");
        told.insert("advertised".into(), sorted(session.methods.clone()).into());
        told.insert("tunnel".into(), calls(trace, messages, nested.id).into());
    }
    told.into()
}

fn summed(packets: &[&Packet]) -> Value {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    let mut paths = Vec::new();
    let mut size = 0;
    for packet in packets {
        let kind = match packet.kind {
            PacketType::Stat if packet.is_final_stat() => "final STAT",
            PacketType::Stat => {
                paths.push(packet.stat.as_ref().unwrap().path.clone());
                "STAT"
            }
            PacketType::Req => "REQ",
            PacketType::Data if packet.data == 0 => "end of file",
            PacketType::Data => "DATA",
            PacketType::Fin => "FIN",
            PacketType::Err => "ERR",
            PacketType::Other(_) => "other",
        };
        *counts.entry(kind).or_default() += 1;
        size += packet.data;
    }
    let mut told = json!(counts);
    if !paths.is_empty() {
        told["paths"] = json!(paths);
    }
    if size > 0 {
        told["bytes"] = json!(size);
    }
    told
}

fn sorted(mut methods: Vec<String>) -> Vec<String> {
    methods.sort();
    methods
}

/// Who reset which stream with which code: the trace keeps the first reset of a call, truth.py
/// the last of each side.
#[test]
fn resets_are_true() {
    let truth = std::fs::read_to_string(folder().join("truth.json")).unwrap();
    let truth: Map<String, Value> = serde_json::from_str(&truth).unwrap();
    for (name, _) in CAPTURES {
        let decoder = decode(&events(name), Options::default());
        let trace = decoder.trace();
        let mut resets: HashMap<Id<Connection>, HashMap<u64, Vec<String>>> = HashMap::new();
        let tapped = trace
            .connections
            .iter()
            .filter(|connection| connection.depth == 0);
        for (connection, truth) in tapped.zip(truth[*name].as_array().unwrap()) {
            for call in truth
                .get("calls")
                .into_iter()
                .flat_map(|c| c.as_array().unwrap())
            {
                let of = |call: &Value| {
                    let resets = call["reset"].as_array().unwrap().iter();
                    let resets = resets.map(|reset| reset.as_str().unwrap().to_owned());
                    (call["stream"].as_u64().unwrap(), resets.collect::<Vec<_>>())
                };
                let (stream, told) = of(call);
                resets
                    .entry(connection.id)
                    .or_default()
                    .insert(stream, told);
                let nested = trace.connections.iter().find(|nested| {
                    nested.parent.is_some_and(|(on, by)| {
                        on == connection.id
                            && trace.calls.get(by).unwrap().stream_id == stream as u32
                    })
                });
                let tunnel = call
                    .get("tunnel")
                    .into_iter()
                    .flat_map(|c| c.as_array().unwrap());
                for call in tunnel {
                    let (stream, told) = of(call);
                    resets
                        .entry(nested.unwrap().id)
                        .or_default()
                        .insert(stream, told);
                }
            }
        }
        for call in trace.calls.iter() {
            let truth = &resets[&call.connection][&u64::from(call.stream_id)];
            let told = call.reset.as_ref().filter(|reset| reset.code.is_some());
            match told {
                None => assert!(truth.is_empty(), "{name}: {truth:?} of {call:#?}"),
                Some(reset) => {
                    let who = if reset.by == Some(call.caller) {
                        "client"
                    } else {
                        "server"
                    };
                    let told = format!("{who} {}", error_code_name(reset.code.unwrap()));
                    assert!(truth.contains(&told), "{name}: {told} is not in {truth:?}");
                }
            }
        }
    }
}
