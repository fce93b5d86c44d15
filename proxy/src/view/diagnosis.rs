//! A diagnosis: as text for people, and in the formats that programs take.
//!
//! All of them say the same. Text that a peer wrote is masked as it is in JSON lines.

mod junit;
mod objects;
mod sarif;

use std::borrow::Cow;

use buildtap_decoder::event::Side;
use buildtap_decoder::protocol::mask::mask_text;
use buildtap_decoder::trace::{Confidence, Finding};

use super::paint::{Paint, Style, bytes, count, offset};
use super::words;
use crate::diagnose::{Diagnosis, Item, Place};
use crate::output::Output;

/// What a diagnosis is of, and whether secrets in it stay readable.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    /// The diagnosis.
    pub diagnosis: &'a Diagnosis,
    /// The capture's name.
    pub file: &'a str,
    /// Whether texts are shown as they were written.
    pub show_secrets: bool,
}

impl<'a> About<'a> {
    fn free(self, text: &'a str) -> Cow<'a, str> {
        match self.show_secrets {
            true => Cow::Borrowed(text),
            false => mask_text(text),
        }
    }

    /// For people, as `output` can show it.
    pub fn text(self, output: &Output) -> String {
        let mut text = Text {
            about: self,
            paint: Paint {
                colour: output.colour,
            },
            width: output.width,
            out: String::new(),
        };
        text.all();
        text.out
    }

    /// One JSON object, on one line.
    pub fn json(self) -> String {
        objects::line(&objects::diagnosis(self))
    }

    /// SARIF 2.1.0, for code scanning.
    pub fn sarif(self) -> String {
        objects::line(&sarif::log(self))
    }

    /// JUnit's XML: what stopped something is a test that failed.
    pub fn junit(self) -> String {
        junit::report(self)
    }

    /// Where an item was found and what had been said there, in words.
    fn place(self, item: &Item) -> String {
        let Place {
            connection,
            call,
            sent,
        } = &item.place;
        let mut text = format!("at {} s", offset(item.finding.at, self.diagnosis.origin));
        if let Some((id, name)) = call {
            text.push_str(&format!(", call {id} {name}"));
        }
        if let Some(id) = connection {
            text.push_str(&format!(", connection {id}"));
        }
        if call.is_some() {
            let side = |side: Side| {
                let sent = sent.get(side);
                let messages = count(sent.messages, "message");
                format!("the {side} had sent {messages} ({})", bytes(sent.bytes))
            };
            let (client, daemon) = (side(Side::Client), side(Side::Daemon));
            text.push_str(&format!("; {client}, {daemon}"));
        }
        text
    }
}

/// `buildtap explain CODE`.
fn explain(code: &str) -> String {
    format!("buildtap explain {code}")
}

/// What is added to a finding that is not certain.
fn likely(finding: &Finding) -> &'static str {
    match finding.confidence() {
        Confidence::Certain => "",
        Confidence::Likely => "  likely",
    }
}

struct Text<'a> {
    about: About<'a>,
    paint: Paint,
    width: Option<usize>,
    out: String,
}

impl Text<'_> {
    fn line(&mut self, parts: &[(Style, &str)]) {
        for (style, text) in parts {
            self.paint.push(&mut self.out, *style, text);
        }
        self.out.push('\n');
    }

    fn say(&mut self, margin: usize, mark: &str, text: &str) {
        words::say(&mut self.out, margin, mark, text, self.width);
    }

    fn all(&mut self) {
        let diagnosis = self.about.diagnosis;
        if diagnosis.causes.is_empty() {
            self.line(&[(Style::Green, "✓ nothing abnormal")]);
            return;
        }
        for (index, cause) in diagnosis.causes.iter().enumerate() {
            if index > 0 {
                self.out.push('\n');
            }
            self.item(&cause.item);
            if !cause.effects.is_empty() {
                self.line(&[(Style::Dim, "    what follows from it")]);
            }
            for effect in &cause.effects {
                let at = offset(effect.finding.at, diagnosis.origin);
                let code = effect.finding.code;
                let text = self.about.free(&effect.finding.summary);
                let likely = likely(&effect.finding);
                self.say(6, "· ", &format!("{code}, at {at} s{likely}: {text}"));
            }
        }
        self.out.push('\n');
        let verdict = match diagnosis.stopped() {
            true => (Style::Red, "✗ something failed or cannot go on"),
            false => (Style::Green, "✓ nothing of this stopped anything"),
        };
        self.line(&[verdict]);
    }

    fn item(&mut self, item: &Item) {
        let finding = &item.finding;
        let (style, mark) = words::severity(finding.severity);
        let waiting = finding.waiting_on;
        let waiting = waiting.map_or(String::new(), |side| match item.passed {
            true => format!("  waited for the {side}, which acted in the end"),
            false => format!("  waits for the {side}"),
        });
        self.line(&[
            (style, mark),
            (Style::Bold, &format!("  {}", finding.code)),
            (Style::Dim, &waiting),
            (Style::Dim, likely(finding)),
        ]);
        self.say(4, "", &self.about.free(&finding.summary));
        self.say(4, "· ", &self.about.place(item));
        for evidence in &finding.evidence {
            self.say(4, "· ", &self.about.free(evidence));
        }
        self.say(4, "→ ", &finding.advice);
        self.say(4, "? ", &explain(finding.code));
    }
}
