//! The objects, one type for each `kind`, fields in the order in which they are written.
//!
//! `docs/json.md` says what each field means; `tests/json.rs` holds both together. A field that
//! does not apply is null; only in `message`, of which there are many, it is left out.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Serialize;

use super::values::{At, Fields};

#[derive(Serialize)]
#[serde(tag = "kind", rename = "connection")]
pub(super) struct Connection<'a> {
    pub(super) id: u64,
    pub(super) tap: u64,
    pub(super) parent: Option<u64>,
    pub(super) parent_call: Option<u64>,
    pub(super) depth: u8,
    pub(super) protocol: &'static str,
    pub(super) upgraded_by: Option<u64>,
    pub(super) caller: Option<&'static str>,
    pub(super) state: &'static str,
    pub(super) closed_how: Option<&'static str>,
    pub(super) reset_by: Option<&'static str>,
    pub(super) opened: At,
    pub(super) closed: Option<At>,
    pub(super) duration_ns: Option<u64>,
    pub(super) client_process: Option<Cow<'a, str>>,
    pub(super) client: ConnectionSide<'a>,
    pub(super) daemon: ConnectionSide<'a>,
}

#[derive(Serialize)]
pub(super) struct ConnectionSide<'a> {
    pub(super) address: &'a str,
    pub(super) bytes: u64,
    pub(super) last_bytes: Option<At>,
    pub(super) half_closed: Option<At>,
    pub(super) not_reading_since: Option<At>,
    pub(super) undecodable: Option<Undecodable<'a>>,
    pub(super) frames: Option<u64>,
    pub(super) settings: Option<BTreeMap<&'static str, u32>>,
    pub(super) window: Option<i64>,
    pub(super) goaway: Option<GoAway<'a>>,
}

#[derive(Serialize)]
pub(super) struct Undecodable<'a> {
    pub(super) at: At,
    pub(super) offset: u64,
    pub(super) why: &'a str,
}

#[derive(Serialize)]
pub(super) struct GoAway<'a> {
    pub(super) at: At,
    pub(super) last_stream_id: u32,
    pub(super) code: &'static str,
    pub(super) debug: Cow<'a, str>,
}

#[derive(Serialize)]
#[serde(tag = "kind", rename = "session")]
pub(super) struct Session<'a> {
    pub(super) id: &'a str,
    pub(super) number: u64,
    pub(super) path: &'static str,
    pub(super) connection: u64,
    pub(super) name: Option<&'a str>,
    pub(super) shared_key: Option<&'a str>,
    pub(super) methods: &'a [String],
    pub(super) state: &'static str,
    pub(super) opened: At,
    pub(super) accepted: Option<At>,
    pub(super) closed: Option<At>,
    pub(super) duration_ns: Option<u64>,
    pub(super) closed_by: Option<&'static str>,
    pub(super) refused: Option<Cow<'a, str>>,
    pub(super) turn: Option<Turn<'a>>,
}

#[derive(Serialize)]
#[serde(tag = "kind", rename = "call")]
pub(super) struct Call<'a> {
    pub(super) id: u64,
    pub(super) session: Option<&'a str>,
    pub(super) connection: u64,
    pub(super) stream_id: u32,
    pub(super) service: &'a str,
    pub(super) method: &'a str,
    pub(super) caller: &'static str,
    pub(super) subject: Option<&'a str>,
    pub(super) state: &'static str,
    pub(super) status: Option<String>,
    pub(super) status_message: Option<&'a str>,
    pub(super) status_details: Option<&'a [String]>,
    pub(super) reset: Option<Reset>,
    pub(super) turn: Option<Turn<'a>>,
    pub(super) request_messages: u64,
    pub(super) response_messages: u64,
    pub(super) request_bytes: u64,
    pub(super) response_bytes: u64,
    pub(super) start: At,
    pub(super) request_first: Option<At>,
    pub(super) request_last: Option<At>,
    pub(super) request_ended: Option<At>,
    pub(super) answered: Option<At>,
    pub(super) response_first: Option<At>,
    pub(super) response_last: Option<At>,
    pub(super) response_ended: Option<At>,
    pub(super) end: Option<At>,
    pub(super) duration_ns: Option<u64>,
    pub(super) client_window: i64,
    pub(super) daemon_window: i64,
    pub(super) transfer: Option<u64>,
    pub(super) build: Option<u64>,
    pub(super) vertex: Option<&'a str>,
    pub(super) metadata: Fields<'a>,
    pub(super) response_metadata: Fields<'a>,
    pub(super) trailers: Fields<'a>,
}

#[derive(Serialize)]
pub(super) struct Reset {
    pub(super) at: At,
    pub(super) by: Option<&'static str>,
    pub(super) code: Option<&'static str>,
}

#[derive(Serialize)]
#[serde(tag = "kind", rename = "message")]
pub(super) struct Message<'a> {
    pub(super) call: u64,
    pub(super) service: Option<&'a str>,
    pub(super) method: Option<&'a str>,
    pub(super) from: &'static str,
    pub(super) number: u64,
    pub(super) length: u64,
    pub(super) at: At,
    #[serde(flatten)]
    pub(super) content: Content<'a>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Content<'a> {
    Protobuf {
        body: Option<serde_json::Value>,
        cut: bool,
    },
    Packet {
        packet: Packet<'a>,
    },
    Bytes {
        payload: u64,
    },
}

#[derive(Serialize)]
pub(super) struct Packet<'a> {
    #[serde(rename = "type")]
    pub(super) kind: Cow<'static, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) path: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) entry: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) mode: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) uid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) gid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) size: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) mod_time: Option<At>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) linkname: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) xattrs: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) data: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) text: Option<Cow<'a, str>>,
}

#[derive(Serialize)]
#[serde(tag = "kind", rename = "exchange")]
pub(super) struct Exchange<'a> {
    pub(super) id: u64,
    pub(super) connection: u64,
    pub(super) method: &'a str,
    pub(super) target: &'a str,
    pub(super) state: &'static str,
    pub(super) status: Option<u16>,
    pub(super) reason: Option<&'a str>,
    pub(super) error: Option<Cow<'a, str>>,
    pub(super) turn: Option<Turn<'a>>,
    pub(super) upgrade: Option<&'a str>,
    pub(super) request_bytes: u64,
    pub(super) response_bytes: u64,
    pub(super) start: At,
    pub(super) request_end: Option<At>,
    pub(super) answered: Option<At>,
    pub(super) end: Option<At>,
    pub(super) duration_ns: Option<u64>,
    pub(super) build: Option<u64>,
    pub(super) request_headers: Fields<'a>,
    pub(super) response_headers: Fields<'a>,
}

#[derive(Serialize)]
#[serde(tag = "kind", rename = "transfer")]
pub(super) struct Transfer<'a> {
    pub(super) id: u64,
    pub(super) call: u64,
    pub(super) session: Option<&'a str>,
    pub(super) build: Option<u64>,
    pub(super) service: &'a str,
    pub(super) name: &'a str,
    pub(super) exporter: Option<&'a str>,
    pub(super) direction: &'static str,
    pub(super) flavour: &'static str,
    pub(super) evidence: &'a [String],
    pub(super) entries: u64,
    pub(super) files: u64,
    pub(super) hard_links: u64,
    pub(super) announced_bytes: u64,
    pub(super) requested: u64,
    pub(super) completed: u64,
    pub(super) bytes: u64,
    pub(super) client_packets: u64,
    pub(super) daemon_packets: u64,
    pub(super) last_path: Option<&'a str>,
    pub(super) state: &'static str,
    pub(super) error: Option<Cow<'a, str>>,
    pub(super) turn: Option<Turn<'a>>,
    pub(super) start: At,
    pub(super) final_stat: Option<At>,
    pub(super) receiver_fin: Option<At>,
    pub(super) sender_fin: Option<At>,
    pub(super) end: Option<At>,
    pub(super) duration_ns: Option<u64>,
}

#[derive(Serialize)]
pub(super) struct Turn<'a> {
    pub(super) side: &'static str,
    pub(super) act: &'static str,
    pub(super) action: Cow<'a, str>,
    pub(super) state: &'static str,
    pub(super) since: At,
    pub(super) because: Option<Cow<'a, str>>,
}

#[derive(Serialize)]
#[serde(tag = "kind", rename = "file")]
pub(super) struct File<'a> {
    pub(super) transfer: u64,
    pub(super) call: Option<u64>,
    pub(super) session: Option<&'a str>,
    pub(super) id: u32,
    pub(super) path: Option<&'a str>,
    pub(super) size: Option<u64>,
    pub(super) bytes: u64,
    pub(super) state: &'static str,
    pub(super) requested: At,
    pub(super) completed: Option<At>,
    pub(super) duration_ns: Option<u64>,
}

#[derive(Serialize)]
#[serde(tag = "kind", rename = "build")]
pub(super) struct Build<'a> {
    pub(super) id: u64,
    #[serde(rename = "ref")]
    pub(super) reference: Option<&'a str>,
    pub(super) build_id: Option<&'a str>,
    pub(super) session: Option<&'a str>,
    pub(super) call: Option<u64>,
    pub(super) exchange: Option<u64>,
    pub(super) frontend: Option<&'a str>,
    pub(super) frontend_attrs: BTreeMap<&'a str, &'a str>,
    pub(super) exporters: Vec<Exporter<'a>>,
    pub(super) state: &'static str,
    pub(super) error: Option<Cow<'a, str>>,
    pub(super) turn: Option<Turn<'a>>,
    pub(super) exporter_response: BTreeMap<&'a str, Cow<'a, str>>,
    pub(super) vertices: u64,
    pub(super) vertices_dropped: u64,
    pub(super) log_bytes: u64,
    pub(super) warnings: Vec<Cow<'a, str>>,
    pub(super) start: At,
    pub(super) end: Option<At>,
    pub(super) duration_ns: Option<u64>,
    pub(super) llb: &'a [String],
}

#[derive(Serialize)]
pub(super) struct Exporter<'a> {
    pub(super) id: usize,
    #[serde(rename = "type")]
    pub(super) kind: &'a str,
    pub(super) attrs: BTreeMap<&'a str, &'a str>,
}

#[derive(Serialize)]
#[serde(tag = "kind", rename = "vertex")]
pub(super) struct Vertex<'a> {
    pub(super) build: u64,
    pub(super) digest: &'a str,
    pub(super) name: Cow<'a, str>,
    pub(super) inputs: &'a [String],
    pub(super) cached: bool,
    pub(super) state: &'static str,
    pub(super) started: Option<At>,
    pub(super) completed: Option<At>,
    pub(super) duration_ns: Option<u64>,
    pub(super) error: Option<Cow<'a, str>>,
    pub(super) progress: Vec<Progress<'a>>,
    pub(super) log_bytes: u64,
}

#[derive(Serialize)]
pub(super) struct Progress<'a> {
    pub(super) id: Cow<'a, str>,
    pub(super) current: i64,
    pub(super) total: i64,
    pub(super) completed: Option<At>,
}

#[derive(Serialize)]
#[serde(tag = "kind", rename = "finding")]
pub(super) struct Finding<'a> {
    pub(super) id: u64,
    pub(super) code: &'static str,
    pub(super) severity: &'static str,
    pub(super) confidence: &'static str,
    pub(super) waiting_on: Option<&'static str>,
    pub(super) summary: Cow<'a, str>,
    pub(super) advice: &'a str,
    pub(super) evidence: Vec<Cow<'a, str>>,
    pub(super) at: At,
    pub(super) certain: Option<At>,
    pub(super) subject: Subject<'a>,
}

#[derive(Serialize)]
pub(super) struct Subject<'a> {
    pub(super) kind: &'static str,
    pub(super) id: SubjectId<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum SubjectId<'a> {
    Number(u64),
    Session(Option<&'a str>),
}

#[derive(Serialize)]
#[serde(tag = "kind", rename = "text")]
pub(super) struct Text<'a> {
    pub(super) connection: u64,
    pub(super) at: At,
    pub(super) source: &'static str,
    pub(super) text: Cow<'a, str>,
}
