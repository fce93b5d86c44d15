//! Values as they stand in JSON: times, durations, header fields, and strings that no terminal
//! obeys.

use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, UNIX_EPOCH};

use buildtap_decoder::describe::disturbs;
use buildtap_decoder::event::Time;
use serde::{Serialize, Serializer};
use serde_json::ser::Formatter;

/// A moment: RFC 3339 in UTC, with nine digits of a second's fraction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::view) struct At(Time);

impl From<Time> for At {
    fn from(time: Time) -> Self {
        At(time)
    }
}

impl Serialize for At {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // 2^64 nanoseconds end in the year 2554: always within what the format can say.
        let at = UNIX_EPOCH + Duration::from_nanos(self.0.0);
        serializer.collect_str(&humantime::format_rfc3339_nanos(at))
    }
}

/// Nanoseconds from one moment to another, when there is another.
pub(super) fn nanoseconds(from: Time, to: Option<Time>) -> Option<u64> {
    let passed = to?.since(from);
    Some(u64::try_from(passed.as_nanos()).unwrap_or(u64::MAX))
}

/// Header fields: an object of lists, because a name may come more than once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields<'a>(pub(super) &'a [(String, String)]);

impl Serialize for Fields<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = BTreeMap::<&str, Vec<&str>>::new();
        for (name, value) in self.0 {
            fields.entry(name).or_default().push(value);
        }
        fields.serialize(serializer)
    }
}

/// One line of JSON without a character that a terminal might obey or that turns text around.
///
/// serde_json escapes what JSON demands: below U+0020. C1 controls (U+009B is as good as `ESC [`)
/// and the bidirectional and line separators may stand in JSON as they are, but a line is often
/// read where they act.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SafeFormatter;

impl Formatter for SafeFormatter {
    fn write_string_fragment<W>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()>
    where
        W: ?Sized + io::Write,
    {
        let mut rest = fragment;
        while let Some(at) = rest.find(disturbs) {
            let (plain, from) = rest.split_at(at);
            writer.write_all(plain.as_bytes())?;
            let mut characters = from.chars();
            if let Some(character) = characters.next() {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    write!(writer, "\\u{unit:04x}")?;
                }
            }
            rest = characters.as_str();
        }
        writer.write_all(rest.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(value: impl Serialize) -> String {
        let mut bytes = Vec::new();
        let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, SafeFormatter);
        value.serialize(&mut serializer).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn times_have_nanoseconds() {
        for (nanoseconds, text) in [
            (0, "1970-01-01T00:00:00.000000000Z"),
            (1_700_000_000_000_000_001, "2023-11-14T22:13:20.000000001Z"),
            (u64::MAX, "2554-07-21T23:34:33.709551615Z"),
        ] {
            assert_eq!(json(At(Time(nanoseconds))), format!("\"{text}\""));
        }
    }

    #[test]
    fn fields_that_come_twice() {
        let fields = [("b", "1"), ("a", "2"), ("b", "3")].map(|(n, v)| (n.into(), v.into()));
        assert_eq!(json(Fields(&fields)), r#"{"a":["2"],"b":["1","3"]}"#);
    }

    #[test]
    fn nothing_in_a_line_acts() {
        let hostile = "a\n\u{1b}[2J\u{7f}\u{9b}31m\u{202e}\u{2066}\u{2028}é\"\\𝄞";
        let line = json(hostile);
        assert_eq!(
            line,
            r#""a\n\u001b[2J\u007f\u009b31m\u202e\u2066\u2028é\"\\𝄞""#
        );
        assert_eq!(serde_json::from_str::<String>(&line).unwrap(), hostile);
    }
}
