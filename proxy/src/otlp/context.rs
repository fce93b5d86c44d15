//! Trace contexts that the peers send along (W3C Trace Context, `traceparent` and `tracestate`).
//!
//! They stand in gRPC metadata and in HTTP headers, under the same names. A header that breaks the
//! rules is passed over, as the recommendation says (§3.2.2); nothing is ever written to the wire.

use std::str::FromStr;

use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};

/// Longest `tracestate` that is read (§3.3.1.5 asks for 512 to be passed on).
const STATE_LIMIT: usize = 4096;

/// The context in these headers, if there is one and it is valid.
pub(crate) fn of_headers(headers: &[(String, String)]) -> Option<SpanContext> {
    let mut parents = values(headers, "traceparent");
    let parent = parents.next()?;
    if parents.next().is_some() {
        return None;
    }
    let state: Vec<&str> = values(headers, "tracestate").collect();
    parse(parent, &state.join(","))
}

fn values<'a>(headers: &'a [(String, String)], name: &'a str) -> impl Iterator<Item = &'a str> {
    let named = move |header: &&(String, String)| header.0.eq_ignore_ascii_case(name);
    headers
        .iter()
        .filter(named)
        .map(|(_, value)| value.trim_matches([' ', '\t']))
}

/// `00-<trace id>-<parent id>-<flags>`; a later version may have more behind (§3.2.4).
fn parse(parent: &str, state: &str) -> Option<SpanContext> {
    let mut parts = parent.split('-');
    let version = hex::<2>(parts.next()?)?;
    let trace_id = TraceId::from_hex(hex::<32>(parts.next()?)?).ok()?;
    let span_id = SpanId::from_hex(hex::<16>(parts.next()?)?).ok()?;
    let flags = u8::from_str_radix(hex::<2>(parts.next()?)?, 16).ok()?;
    if version == "ff" || version == "00" && parts.next().is_some() {
        return None;
    }
    let sampled = TraceFlags::default().with_sampled(flags & 1 == 1);
    let state = Some(state)
        .filter(|state| !state.is_empty() && state.len() <= STATE_LIMIT)
        .and_then(|state| TraceState::from_str(state).ok())
        .unwrap_or_default();
    let context = SpanContext::new(trace_id, span_id, sampled, true, state);
    context.is_valid().then_some(context)
}

/// A text of exactly so many lower-case hexadecimal digits.
fn hex<const N: usize>(text: &str) -> Option<&str> {
    let digits = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    (text.len() == N && text.bytes().all(digits)).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const SPAN: &str = "00f067aa0ba902b7";

    fn of(fields: &[(&str, &str)]) -> Option<SpanContext> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        of_headers(&fields.iter().map(owned).collect::<Vec<_>>())
    }

    #[test]
    fn a_context_is_read() {
        let parent = format!("00-{TRACE}-{SPAN}-01");
        let context = of(&[
            ("host", "docker"),
            ("Traceparent", &parent),
            ("tracestate", "a=1"),
            ("tracestate", "b=2"),
        ])
        .unwrap();
        assert_eq!(context.trace_id().to_string(), TRACE);
        assert_eq!(context.span_id().to_string(), SPAN);
        assert!(context.is_sampled() && context.is_remote());
        assert_eq!(context.trace_state().header(), "a=1,b=2");
        let later = format!("01-{TRACE}-{SPAN}-00-more");
        assert!(!of(&[("traceparent", &later)]).unwrap().is_sampled());
    }

    #[test]
    fn what_breaks_the_rules_is_none() {
        for bad in [
            String::new(),
            format!("00-{TRACE}-{SPAN}"),
            format!("00-{TRACE}-{SPAN}-01-x"),
            format!("ff-{TRACE}-{SPAN}-01"),
            format!("00-{}-{SPAN}-01", TRACE.to_uppercase()),
            format!("00-{}-{SPAN}-01", "0".repeat(32)),
            format!("00-{TRACE}-{}-01", "0".repeat(16)),
            format!("00-{TRACE}-{SPAN}-1"),
        ] {
            assert_eq!(of(&[("traceparent", &bad)]), None, "{bad}");
        }
        let twice = format!("00-{TRACE}-{SPAN}-01");
        assert_eq!(
            of(&[("traceparent", &twice), ("traceparent", &twice)]),
            None
        );
        assert_eq!(of(&[]), None);
    }
}
