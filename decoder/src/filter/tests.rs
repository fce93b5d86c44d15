//! What expressions mean, what is said of wrong ones, and what is proposed.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// A row that has the values that it was given.
#[derive(Debug, Default)]
struct Given(BTreeMap<Field, Vec<Value<'static>>>);

impl Given {
    fn text(mut self, field: Field, text: &'static str) -> Self {
        self.0.entry(field).or_default().push(Value::Text(text));
        self
    }

    fn number(mut self, field: Field, number: u64) -> Self {
        self.0.entry(field).or_default().push(Value::Number(number));
        self
    }
}

impl Row for Given {
    fn any(&self, field: Field, test: &mut dyn FnMut(Value<'_>) -> bool) -> bool {
        self.0
            .get(&field)
            .is_some_and(|values| values.iter().any(|value| test(*value)))
    }
}

/// An export that goes on.
fn export() -> Given {
    Given::default()
        .text(Field::Kind, "call")
        .text(Field::Service, "FileSend")
        .text(Field::Service, "moby.filesync.v1.FileSend")
        .text(Field::State, "open")
        .text(Field::WaitingOn, "client")
        .text(Field::Path, "src/node_modules/left-pad/index.js")
        .text(Field::Severity, "warning")
        .text(Field::Status, "404")
        .number(Field::Bytes, 2 << 20)
        .number(Field::Age, 6_000_000_000)
}

fn matches(expression: &str) -> bool {
    let filter = Filter::parse(expression).unwrap_or_else(|error| {
        panic!("{error}\n{}", error.marked(expression));
    });
    filter.matches(&export())
}

#[test]
fn what_is_true_of_an_export() {
    for expression in [
        "",
        "   ",
        "service == FileSend && bytes > 1MiB",
        "service == filesend",
        "service == moby.filesync.v1.FileSend",
        "state == open",
        "state==open",
        "path ~ \"node_modules\"",
        "path ~ '\\.js$'",
        "waiting_on == client",
        "age > 5s",
        "bytes >= 2MiB && bytes <= 2MiB && bytes == 2097152",
        "kind in (connection, call)",
        "kind in (call)",
        "state != complete",
        "service != FileSync",
        "path !~ vendor",
        "severity >= warning",
        "severity > info",
        "has(path)",
        "!has(error)",
        "!(state == complete)",
        "!!(state == open)",
        "LEFT-PAD",
        "'left-pad/index' open || filesend",
        "state == complete || state == open && bytes > 1",
        "state == open service == FileSend",
        "\"FileSend\"",
        "status == 404 && status >= 400 && status < 500 && status != OK",
    ] {
        assert!(matches(expression), "{expression}");
    }
}

#[test]
fn what_is_not() {
    for expression in [
        "service == FileSync",
        "bytes < 2MiB",
        "bytes != 2MiB",
        "severity > warning",
        "severity == error",
        "state != open",
        "path == index.js",
        // Nothing is said of what it does not have, not even by its negation.
        "error == x",
        "error != x",
        "error !~ x",
        "messages < 5",
        "has(error)",
        // All of several values must differ.
        "service != FileSend",
        "service != moby.filesync.v1.FileSend",
        "nothing-of-that-kind",
        "(state == complete || state == open) && bytes < 1",
        // Words are not looked for in fields that do not say what a thing is about.
        "warning",
    ] {
        assert!(!matches(expression), "{expression}");
    }
}

/// What is said of a wrong expression, with the place marked.
fn said(expression: &str) -> String {
    let error = Filter::parse(expression).expect_err(expression);
    format!("{}\n{error}\n", error.marked(expression))
}

#[test]
fn what_is_said_of_wrong_expressions() {
    let wrong = [
        "servce == FileSend",
        "state == opne",
        "state == sleeping",
        "state = open",
        "bytes > 1XB",
        "bytes ~ 5",
        "age > 5",
        "waiting_on ~ cl",
        "service > a",
        "status == OKAY",
        "status == 404 && code == 5",
        "cached == yes",
        "severity > worse",
        "path ~ \"(\"",
        "path ~ \"open",
        "state ==",
        "state == open &&",
        "&& state == open",
        "state == open || ",
        "(state == open",
        "state == open)",
        "()",
        "state in (open, )",
        "state in (open complete)",
        "state == open and bytes > 5",
        "not open",
        "!",
        "== open",
        "\"state\" == open",
        "a, b",
        "has(5)",
        "has()",
        "日本 == open && x = 5",
        "status == GONE",
        "status > OK",
    ];
    let all: Vec<String> = wrong.into_iter().map(said).collect();
    insta::assert_snapshot!(all.join("\n"));
}

#[test]
fn what_is_too_much() {
    let deep = "(".repeat(MAX_DEPTH + 1) + "a" + &")".repeat(MAX_DEPTH + 1);
    assert!(Filter::parse(&deep).unwrap_err().message.contains("within"));
    let fits = "(".repeat(MAX_DEPTH - 1) + "a" + &")".repeat(MAX_DEPTH - 1);
    Filter::parse(&fits).unwrap();
    let long = "a ".repeat(MAX_LEN);
    assert!(Filter::parse(&long).unwrap_err().message.contains("longer"));
    let huge = "path ~ 'a{1000}{1000}'";
    assert!(Filter::parse(huge).unwrap_err().message.contains("regular"));
}

/// What is proposed where `|` stands, the first few.
fn proposed(marked: &str) -> Vec<String> {
    let cursor = marked.find('|').unwrap();
    let input = marked.replacen('|', "", 1);
    let candidates = complete(&input, cursor);
    candidates
        .into_iter()
        .take(4)
        .map(|candidate| {
            let mut whole = input.clone();
            whole.replace_range(candidate.replaces, &candidate.text);
            whole
        })
        .collect()
}

#[test]
fn what_is_proposed() {
    assert_eq!(proposed("wai|"), ["waiting_on", "waiting"]);
    assert_eq!(
        proposed("waiting_on |")[..2],
        ["waiting_on ==", "waiting_on !="]
    );
    assert_eq!(
        proposed("waiting_on == |"),
        ["waiting_on == client", "waiting_on == daemon"]
    );
    assert_eq!(proposed("waiting_on == D|"), ["waiting_on == daemon"]);
    assert_eq!(proposed("state in (op|"), ["state in (open"]);
    assert_eq!(
        proposed("state in (open, comp|"),
        ["state in (open, complete"]
    );
    assert_eq!(
        proposed("state in (open |"),
        ["state in (open ,", "state in (open )"]
    );
    assert_eq!(proposed("status == NOT|"), ["status == NOT_FOUND"]);
    assert_eq!(
        proposed("state == open |"),
        ["state == open &&", "state == open ||"]
    );
    assert_eq!(proposed("!(ser|vice"), ["!(servicevice"]);
    assert_eq!(proposed("has(wai|"), ["has(waiting_on", "has(waiting"]);
    assert_eq!(proposed("finding == no-s|"), ["finding == no-session"]);
    assert_eq!(
        proposed("cached == |"),
        ["cached == true", "cached == false"]
    );
    assert_eq!(proposed("|").len(), 4);
    // What is in quotes, or a number, is somebody's own.
    for own in [
        "path ~ \"ser|",
        "bytes > 1|",
        "path ~ |",
        "state = |",
        "nothing == |",
    ] {
        assert_eq!(proposed(own), [""; 0], "{own}");
    }
}

#[test]
fn what_is_known_can_be_written() {
    for field in Field::ALL {
        assert_eq!(Field::find(field.name()), Some(*field));
        for word in field.words() {
            let expression = format!("{} == {word}", field.name());
            Filter::parse(&expression).unwrap();
        }
    }
}

/// Pieces of expressions, and what is not one.
fn piece() -> impl Strategy<Value = String> {
    let known = [
        "state", "==", "!=", "open", "&&", "||", "!", "(", ")", ",", "in", "bytes", ">", "1MiB",
        "path", "~", "!~", "\"", "'", "has", "5s", "日本", "\\", "=", "&", "\u{202e}",
    ];
    prop_oneof![
        proptest::sample::select(known.to_vec()).prop_map(str::to_owned),
        any::<String>(),
    ]
}

proptest! {
    /// Nothing that somebody types is too much for it, and errors point into it.
    #[test]
    fn any_text_is_read_or_refused(pieces in proptest::collection::vec(piece(), 0..12), spaced: bool) {
        let text = pieces.join(if spaced { " " } else { "" });
        match Filter::parse(&text) {
            Ok(filter) => {
                filter.matches(&export());
            }
            Err(error) => {
                prop_assert!(text.get(error.at.clone()).is_some(), "{error:?}");
                prop_assert!(!error.marked(&text).is_empty());
            }
        }
        for cursor in 0..=text.len() + 1 {
            for candidate in complete(&text, cursor) {
                prop_assert!(candidate.replaces.end == cursor);
                prop_assert!(text.get(candidate.replaces).is_some());
            }
        }
    }

    /// Parentheses around and two negations before an expression change nothing.
    #[test]
    fn the_same_in_other_words(pieces in proptest::collection::vec(piece(), 0..12)) {
        let text = pieces.join(" ");
        if let Ok(filter) = Filter::parse(&text) && !text.trim().is_empty() {
            let meant = filter.matches(&export());
            for other in [format!("({text})"), format!("!!({text})")] {
                prop_assert_eq!(Filter::parse(&other).unwrap().matches(&export()), meant);
            }
        }
    }
}
