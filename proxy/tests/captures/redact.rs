//! `buildtap redact` of every capture: without the secrets, and otherwise the same.

use std::fs;
use std::path::Path;

use buildtap::redact::{Redacted, redact};
use buildtap_decoder::Options;
use buildtap_decoder::masking::Redaction;
use buildtap_decoder::redact::Rules;
use buildtap_fixtures::capture;
use buildtap_proto::schema::Schemas;

use crate::needles::{contains, needles};
use crate::splits::told;
use crate::{CAPTURES, decode, events_of, path};

/// What was planted (see `fixtures/captures/README.md`), and in which captures. The name of a kind
/// of key is in the answer of the SSH agent alone.
const PLANTED: [(&str, &[&str]); 3] = [
    ("canary-secret-8d1f3c5e7a9b", &["secret", "buildx-secret"]),
    ("not-a-real-token", &["graph-local-export"]),
    ("ssh-ed25519", &["ssh-forward"]),
];

fn copy(from: &Path, to: &Path) -> Redacted {
    let redaction = Redaction {
        rules: Rules::default(),
        schemas: Schemas::builtin(),
    };
    redact(from, to, redaction).unwrap()
}

#[test]
fn every_capture_loses_its_secrets_and_nothing_else() {
    let home = tempfile::tempdir().unwrap();
    for (name, _) in CAPTURES {
        let (one, two) = (home.path().join("one.pcap"), home.path().join("two.pcap"));
        let Redacted { report, .. } = copy(&path(name), &one);
        let original = fs::read(path(name)).unwrap();
        let masked = fs::read(&one).unwrap();
        assert_eq!(original.len(), masked.len(), "{name}");
        let differ = original.iter().zip(&masked).filter(|(a, b)| a != b).count() as u64;
        // All else is decoded, and the checksums are left to the network card.
        assert_eq!((report.blank_bytes, report.blank_packets), (0, 0), "{name}");
        assert!(differ <= report.bytes, "{name}: {differ}, {report}");
        for (planted, captures) in PLANTED {
            let forms = |bytes: &[u8]| -> Vec<&str> {
                let needles = needles(planted).into_iter();
                let found = needles.filter(|needle| contains(bytes, &needle.bytes));
                found.map(|needle| needle.form).collect()
            };
            let expected: &[&str] = match captures.contains(name) {
                true => &["plain"],
                false => &[],
            };
            assert_eq!(forms(&original), expected, "{name} {planted}");
            assert_eq!(forms(&masked), [""; 0], "{name} {planted}");
        }
        let again = copy(&one, &two).report;
        assert!(again.is_empty(), "{name}: {again}");
        assert!(fs::read(&two).unwrap() == masked, "{name}");
        let all = Options {
            messages: true,
            ..Options::default()
        };
        let decoded = |file: &Path| {
            let capture = capture::open(file, capture::Options::default()).unwrap();
            told(&decode(&events_of(capture), all.clone()))
        };
        let (before, after) = (decoded(&path(name)), decoded(&one));
        let differ = before.iter().zip(&after).find(|(a, b)| a != b);
        assert_eq!(differ, None, "{name}");
        assert_eq!(before.len(), after.len(), "{name}");
    }
}
