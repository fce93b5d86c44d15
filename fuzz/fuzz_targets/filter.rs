//! The filter language: any text as an expression, and as the beginning of one.
#![no_main]

use buildtap_decoder::filter::{Field, Filter, Row, Value, complete};

/// Has a text in every field.
struct Texts<'a>(&'a str);

impl Row for Texts<'_> {
    fn any(&self, _: Field, test: &mut dyn FnMut(Value<'_>) -> bool) -> bool {
        test(Value::Text(self.0)) || test(Value::Number(self.0.len() as u64)) || test(Value::Flag(true))
    }
}

libfuzzer_sys::fuzz_target!(|text: &str| {
    match Filter::parse(text) {
        Ok(filter) => {
            filter.matches(&Texts(text));
        }
        Err(error) => {
            assert!(text.get(error.at.clone()).is_some(), "{error:?}");
            let _ = error.marked(text);
        }
    }
    for candidate in complete(text, text.len()) {
        assert!(text.get(candidate.replaces).is_some());
    }
});
