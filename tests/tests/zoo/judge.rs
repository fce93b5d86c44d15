//! What must be said of an animal and of its twin, and when.

use std::time::{Duration, SystemTime};

use buildtap_decoder::event::Side;
use buildtap_decoder::findings;
use buildtap_tests::process::Finished;
use buildtap_tests::trace::Trace;
use serde_json::Value;

use crate::keeper::STALL_AFTER;
use crate::table::{Entry, Kind};

/// What was said of one.
#[derive(Debug)]
pub(crate) struct Seen {
    /// How buildtap ended.
    pub(crate) finished: Finished,
    /// All that it wrote.
    pub(crate) trace: Trace,
    /// What `buildtap diagnose` says of its recording.
    pub(crate) diagnosis: Value,
    /// What is on the first screen, at 80×24, while it misbehaves or at its end.
    pub(crate) screen: String,
}

/// How much later than `--stall-after` a wait may be reported.
const PROMPT: Duration = Duration::from_secs(1);

/// Says what is not as it should be.
pub(crate) fn judge(entry: &Entry, kind: Kind, seen: &Seen) -> Result<(), String> {
    let found: Vec<&Value> = seen.trace.of_kind("finding").collect();
    let told = || format!("{}\n{}", lines(&found), seen.finished);
    let judged = match kind {
        Kind::Twin if !found.is_empty() => Err("the twin has findings".to_owned()),
        Kind::Twin if seen.finished.code() != 0 => Err("the twin did not end well".to_owned()),
        Kind::Twin => is_calm(&seen.screen),
        Kind::Animal => match first(entry, &found, &seen.diagnosis) {
            None => Err("nothing is found".to_owned()),
            Some(first) => is_said(entry, first)
                .and_then(|()| is_the_cause(entry, &seen.diagnosis))
                .and_then(|()| is_said_in_time(entry, first, &seen.trace))
                .and_then(|()| is_seen(entry, first, &seen.screen)),
        },
    };
    judged.map_err(|why| format!("{why}: {}", told()))
}

/// The finding is at the top of the first screen, with who must act; what is only worth knowing is in the tree.
fn is_seen(entry: &Entry, first: &Value, screen: &str) -> Result<(), String> {
    // The table of what was said has these columns.
    let is_heading = |line: &&str| line.starts_with("what ") && line.contains(" state ");
    let is_top = |line: &&str| first["severity"] == "info" || !is_heading(line);
    let top: Vec<&str> = screen.lines().take_while(is_top).collect();
    let is_at_top = |wanted: &str| top.iter().any(|line| line.contains(wanted));
    let title = findings::find(entry.code).map_or("", |entry| entry.title);
    let wanted = match entry.waits_for {
        Some(side) => format!("the {side} must "),
        // As much of it as there is room for.
        None => title.chars().take(40).collect(),
    };
    match [entry.code, &wanted].into_iter().find(|it| !is_at_top(it)) {
        None => Ok(()),
        Some(missing) => Err(format!("{missing:?} is not on the first screen:\n{screen}")),
    }
}

/// Nothing that is wrong is on the first screen of a twin.
fn is_calm(screen: &str) -> Result<(), String> {
    let is_wrong =
        |line: &&str| line.contains('✗') || line.contains('◔') || line.contains(" wrong ");
    match screen.lines().find(is_wrong) {
        None if screen.contains("✓ nothing abnormal") => Ok(()),
        _ => Err(format!(
            "something seems wrong on the first screen:\n{screen}"
        )),
    }
}

/// The first finding. Which connection of somebody who is gone ends first is a matter of chance: what only follows from
/// the finding, as the diagnosis has it, may be noticed before it.
fn first<'a>(entry: &Entry, found: &[&'a Value], diagnosis: &Value) -> Option<&'a Value> {
    let cause = &diagnosis["findings"][0];
    let effects = cause["effects"].as_array();
    let effects = effects.filter(|_| cause["code"] == entry.code);
    let follows = |finding: &Value| {
        let mut effects = effects.into_iter().flatten();
        effects.any(|effect| effect["code"] == finding["code"])
    };
    found.iter().copied().find(|finding| !follows(finding))
}

fn lines(found: &[&Value]) -> String {
    let line = |found: &&Value| {
        let text = |name: &str| found[name].as_str().unwrap_or("nobody").to_owned();
        let (code, side) = (text("code"), text("waiting_on"));
        format!("\n- {code}, waits for {side}: {}", text("summary"))
    };
    found.iter().map(line).collect()
}

/// The code, who is waited for, and the sentence.
fn is_said(entry: &Entry, first: &Value) -> Result<(), String> {
    if first["code"] != entry.code {
        return Err("another finding is the first".to_owned());
    }
    let waits_for = entry.waits_for.map(Side::as_str);
    if first["waiting_on"].as_str() != waits_for {
        return Err(format!("{waits_for:?} should be waited for"));
    }
    let summary = first["summary"].as_str().unwrap_or_default();
    let names = match entry.waits_for {
        // In a scene with an engine and a builder, or a tunnel to one, these are the daemons.
        Some(Side::Daemon) => &["daemon", "engine", "far end of the tunnel"][..],
        Some(Side::Client) => &["client"],
        None => &[""],
    };
    if !names.iter().any(|name| summary.contains(name)) {
        return Err("the sentence does not name who must act".to_owned());
    }
    match entry.says.iter().find(|it| !summary.contains(**it)) {
        Some(wanted) => Err(format!("{wanted:?} is not said")),
        None => Ok(()),
    }
}

/// The recording tells the same, and what the end brought with it stands below or behind.
fn is_the_cause(entry: &Entry, diagnosis: &Value) -> Result<(), String> {
    if diagnosis["findings"][0]["code"] == entry.code {
        return Ok(());
    }
    let causes = diagnosis["findings"].as_array();
    let causes: Vec<&Value> = causes.into_iter().flatten().collect();
    Err(format!(
        "the diagnosis begins with {}\n and not as",
        lines(&causes)
    ))
}

/// A wait is said within a second of `--stall-after`, and anything else at the event that makes it certain.
fn is_said_in_time(entry: &Entry, first: &Value, trace: &Trace) -> Result<(), String> {
    let at = first["at"].as_str().unwrap();
    let is_stall = findings::find(entry.code).is_some_and(|entry| entry.stall);
    let is_certain = first["certain"] == first["at"];
    if let Some(patience) = entry.patience().filter(|_| is_stall || !is_certain) {
        let silence = silence(trace, first).ok_or("there was no event before it")?;
        let late = silence.saturating_sub(patience);
        let early = patience.saturating_sub(silence);
        return if late > PROMPT || (is_stall && early > Duration::ZERO) {
            Err(format!(
                "it was said after a silence of {silence:?}, not after {patience:?}"
            ))
        } else {
            Ok(())
        };
    }
    if entry.code == "message-too-large" {
        // Said at the prefix of the message, the rest of which is still to come.
        return Ok(());
    }
    let mut events = trace
        .all()
        .iter()
        .filter(|object| object["kind"] != "finding");
    match events.any(|object| has_time(object, at)) {
        true => Ok(()),
        false => Err(format!(
            "nothing was said at {at}, when it is said to have become certain"
        )),
    }
}

impl Entry {
    /// How long something must not happen before this is said; `None` if it is certain at once.
    fn patience(&self) -> Option<Duration> {
        match self.code {
            // Whoever is given up ends build and session in any order.
            "session-closed-early" => Some(Duration::from_secs(1)),
            // Health checks come every 5 s.
            "control-connection-silent" => Some(Duration::from_secs(30)),
            // As long as BuildKit looks for a session, and more than a server takes for its SETTINGS.
            "handshake-timeout" | "tunnel-not-ready" | "exec-stream-not-demultiplexed" => {
                Some(Duration::from_secs(5))
            }
            // Twice as long as the Go client waits.
            "status-never-ends" => Some(Duration::from_secs(10)),
            // What has arrived is still to be written down.
            "call-not-ended" => Some(3 * STALL_AFTER),
            // The limit is known, and the call that reaches it is seen.
            "stream-limit-reached" => None,
            code => {
                let is_stall = findings::find(code).is_some_and(|entry| entry.stall);
                is_stall.then_some(STALL_AFTER)
            }
        }
    }
}

/// Whether a time is anywhere in a value.
fn has_time(value: &Value, at: &str) -> bool {
    match value {
        Value::String(text) => text == at,
        Value::Array(values) => values.iter().any(|value| has_time(value, at)),
        Value::Object(fields) => fields.values().any(|value| has_time(value, at)),
        _ => false,
    }
}

/// How long before a finding something was last said on its call, session or connection.
fn silence(trace: &Trace, finding: &Value) -> Option<Duration> {
    let subject = &finding["subject"];
    let of_kind = |kind: &str| {
        let mut rows = trace.of_kind(kind);
        rows.find(|row| row["id"] == subject["id"])
    };
    let at = |text: &Value| humantime::parse_rfc3339(text.as_str()?).ok();
    let found = at(&finding["at"])?;
    if subject["kind"] == "exchange" {
        return found
            .duration_since(at(&of_kind("exchange")?["answered"])?)
            .ok();
    }
    let call = match subject["kind"].as_str()? {
        "transfer" => of_kind("transfer")?["call"].clone(),
        "call" => subject["id"].clone(),
        _ => Value::Null,
    };
    let is_of_it = |object: &&Value| match object["kind"].as_str() {
        Some("message") => call.is_null() || object["call"] == call,
        Some("call") => object["id"] == call,
        _ => false,
    };
    let events = trace.all().iter().filter(is_of_it);
    let times = events.flat_map(|object| [at(&object["at"]), at(&object["start"])]);
    let before = times.flatten().filter(|at: &SystemTime| *at < found);
    found.duration_since(before.max()?).ok()
}
