//! A diagnosis as JUnit's XML, which CI systems show: each cause is a test; it failed if it
//! stopped something. A healthy session is one test that passed.

use buildtap_decoder::describe::printable;
use buildtap_decoder::trace::Confidence;

use super::{About, explain};
use crate::diagnose::Cause;

pub(super) fn report(about: About<'_>) -> String {
    let causes = &about.diagnosis.causes;
    let failures = causes.iter().filter(|cause| failed(cause)).count();
    let tests = causes.len().max(1);
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    out.push_str(&format!(
        "<testsuites>\n<testsuite name=\"buildtap\" tests=\"{tests}\" failures=\"{failures}\">\n"
    ));
    let file = escaped(about.file);
    if causes.is_empty() {
        out.push_str(&format!(
            "<testcase classname=\"{file}\" name=\"nothing abnormal\"/>\n"
        ));
    }
    for cause in causes {
        test(about, cause, &file, &mut out);
    }
    out.push_str("</testsuite>\n</testsuites>\n");
    out
}

fn failed(cause: &Cause) -> bool {
    cause.item.stopped || cause.effects.iter().any(|effect| effect.stopped)
}

fn test(about: About<'_>, cause: &Cause, file: &str, out: &mut String) {
    let item = &cause.item;
    let (code, title) = (item.finding.code, escaped(item.entry.title));
    let summary = about.free(&item.finding.summary);
    let mut text = vec![summary.to_string(), about.place(item)];
    if let Confidence::Likely = item.finding.confidence() {
        text.push("likely, not certain".to_owned());
    }
    let evidence = item.finding.evidence.iter();
    text.extend(evidence.map(|text| about.free(text).into_owned()));
    text.extend([item.finding.advice.clone(), explain(code)]);
    text.extend(cause.effects.iter().map(|effect| {
        let summary = about.free(&effect.finding.summary);
        format!("what follows from it: {}: {summary}", effect.finding.code)
    }));
    let text = escaped(&text.join("\n"));
    out.push_str(&format!(
        "<testcase classname=\"{file}\" name=\"{code}: {title}\">"
    ));
    match failed(cause) {
        true => {
            let (kind, message) = (item.finding.severity.as_str(), escaped(&summary));
            out.push_str(&format!(
                "<failure type=\"{kind}\" message=\"{message}\">{text}</failure>"
            ));
        }
        false => out.push_str(&format!("<system-out>{text}</system-out>")),
    }
    out.push_str("</testcase>\n");
}

/// As it may stand in text and in attributes of XML; line ends stay, other controls do not.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for (index, line) in text.split('\n').enumerate() {
        if index > 0 {
            out.push('\n');
        }
        for character in printable(line).chars() {
            match character {
                '&' => out.push_str("&amp;"),
                '<' => out.push_str("&lt;"),
                '>' => out.push_str("&gt;"),
                '"' => out.push_str("&quot;"),
                // XML 1.0 has no place for these.
                '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
                other => out.push(other),
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn markup_is_escaped() {
        assert_eq!(
            super::escaped("a<b>&\"c\"\nd"),
            "a&lt;b&gt;&amp;&quot;c&quot;\nd"
        );
        assert!(!super::escaped("\x1b[31m").contains('\x1b'));
    }
}
