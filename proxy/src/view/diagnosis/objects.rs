//! A diagnosis as a JSON object: `docs/diagnose.md` describes its fields.

use std::borrow::Cow;

use buildtap_decoder::event::Side;
use serde::Serialize;
use serde_json::Serializer;

use super::{About, explain};
use crate::diagnose::{Item, Sent};
use crate::view::json::values::{At, SafeFormatter};

/// One line without a character that a terminal might obey.
pub(super) fn line(object: &impl Serialize) -> String {
    let mut line = Vec::new();
    let mut serializer = Serializer::with_formatter(&mut line, SafeFormatter);
    // Nothing here can fail to become JSON, and memory takes all that is written.
    let _ = object.serialize(&mut serializer);
    line.push(b'\n');
    String::from_utf8_lossy(&line).into_owned()
}

#[derive(Serialize)]
#[serde(tag = "kind", rename = "diagnosis")]
pub(super) struct Diagnosis<'a> {
    file: &'a str,
    healthy: bool,
    stopped: bool,
    findings: Vec<Found<'a>>,
}

#[derive(Serialize)]
struct Found<'a> {
    id: u64,
    code: &'static str,
    title: &'static str,
    severity: &'static str,
    confidence: &'static str,
    layer: &'static str,
    stopped: bool,
    passed: bool,
    waiting_on: Option<&'static str>,
    summary: Cow<'a, str>,
    advice: &'a str,
    evidence: Vec<Cow<'a, str>>,
    at: At,
    certain: Option<At>,
    offset_s: f64,
    connection: Option<u64>,
    call: Option<u64>,
    method: Option<&'a str>,
    client: Said,
    daemon: Said,
    explain: String,
    effects: Vec<Found<'a>>,
}

#[derive(Serialize)]
struct Said {
    messages: u64,
    bytes: u64,
}

impl From<&Sent> for Said {
    fn from(sent: &Sent) -> Self {
        Said {
            messages: sent.messages,
            bytes: sent.bytes,
        }
    }
}

pub(super) fn diagnosis(about: About<'_>) -> Diagnosis<'_> {
    let causes = &about.diagnosis.causes;
    Diagnosis {
        file: about.file,
        healthy: causes.is_empty(),
        stopped: about.diagnosis.stopped(),
        findings: causes
            .iter()
            .map(|cause| found(about, &cause.item, &cause.effects))
            .collect(),
    }
}

fn found<'a>(about: About<'a>, item: &'a Item, effects: &'a [Item]) -> Found<'a> {
    let row = &item.finding;
    let call = item.place.call.as_ref();
    Found {
        id: row.id.number(),
        code: row.code,
        title: item.entry.title,
        severity: row.severity.as_str(),
        confidence: row.confidence().as_str(),
        layer: item.entry.layer.as_str(),
        stopped: item.stopped,
        passed: item.passed,
        waiting_on: row.waiting_on.map(Side::as_str),
        summary: about.free(&row.summary),
        advice: &row.advice,
        evidence: row.evidence.iter().map(|text| about.free(text)).collect(),
        at: row.at.into(),
        certain: row.certain.map(At::from),
        offset_s: row.at.since(about.diagnosis.origin).as_secs_f64(),
        connection: item.place.connection,
        call: call.map(|(id, _)| *id),
        method: call.map(|(_, name)| name.as_str()),
        client: item.place.sent.get(Side::Client).into(),
        daemon: item.place.sent.get(Side::Daemon).into(),
        explain: explain(row.code),
        effects: effects.iter().map(|item| found(about, item, &[])).collect(),
    }
}
