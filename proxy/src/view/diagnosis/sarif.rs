//! A diagnosis as SARIF 2.1.0 (OASIS), which code scanning services take. The place of a result
//! is the capture; what follows from another finding says so in its properties.

use std::collections::BTreeSet;

use buildtap_decoder::trace::{Confidence, Severity};
use serde_json::{Value, json};

use super::{About, explain};
use crate::diagnose::Item;

pub(super) fn log(about: About<'_>) -> Value {
    let mut seen = BTreeSet::new();
    let rules: Vec<Value> = about
        .diagnosis
        .items()
        .filter(|item| seen.insert(item.entry.code))
        .map(|item| {
            let entry = item.entry;
            json!({
                "id": entry.code,
                "shortDescription": { "text": entry.title },
                "fullDescription": { "text": entry.what },
                "help": { "text": format!("{} ({})", entry.why, explain(entry.code)) },
                "defaultConfiguration": { "level": level(entry.severity) },
            })
        })
        .collect();
    let mut results = Vec::new();
    for cause in &about.diagnosis.causes {
        results.push(result(about, &cause.item, None));
        let code = cause.item.finding.code;
        let effects = cause.effects.iter();
        results.extend(effects.map(|effect| result(about, effect, Some(code))));
    }
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "buildtap",
                "version": env!("CARGO_PKG_VERSION"),
                "informationUri": env!("CARGO_PKG_REPOSITORY"),
                "rules": rules,
            } },
            "results": results,
        }],
    })
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Info => "note",
    }
}

fn result(about: About<'_>, item: &Item, cause: Option<&str>) -> Value {
    let finding = &item.finding;
    let summary = about.free(&finding.summary);
    let evidence: Vec<_> = finding
        .evidence
        .iter()
        .map(|text| about.free(text))
        .collect();
    json!({
        "ruleId": finding.code,
        "level": level(finding.severity),
        "message": { "text": format!("{summary} {}", finding.advice) },
        "locations": [{ "physicalLocation": { "artifactLocation": { "uri": uri(about.file) } } }],
        "rank": match finding.confidence() {
            Confidence::Certain => 100.0,
            Confidence::Likely => 50.0,
        },
        "properties": {
            "confidence": finding.confidence().as_str(),
            "place": about.place(item),
            "evidence": evidence,
            "stopped": item.stopped,
            "waitingOn": finding.waiting_on.map(|side| side.as_str()),
            "followsFrom": cause,
        },
    })
}

/// A file's name as a relative reference (RFC 3986).
fn uri(file: &str) -> String {
    let kept = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    let mut uri = String::new();
    for byte in file.bytes() {
        match kept(byte) {
            true => uri.push(char::from(byte)),
            false => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    uri
}
