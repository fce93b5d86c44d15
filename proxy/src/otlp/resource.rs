//! What is said of buildtap itself: the resource that its spans and metrics come from.

use opentelemetry::{Key, KeyValue, Value};

use super::settings::{Environment, process};

/// What is the same wherever a capture is exported.
///
/// Backends take spans of the same host for spans by the same clock, and those of no host for spans
/// by clocks of their own, which Jaeger then finds to disagree.
pub fn of_capture() -> Vec<KeyValue> {
    let mut said = vec![KeyValue::new("host.id", "capture")];
    said.extend(own(&process));
    said
}

/// The same, and which process on which machine it is.
pub fn of_process() -> Vec<KeyValue> {
    let mut said = vec![
        KeyValue::new("process.pid", i64::from(std::process::id())),
        KeyValue::new("os.type", std::env::consts::OS),
    ];
    let host = rustix::system::uname();
    if let Ok(host) = host.nodename().to_str() {
        said.push(KeyValue::new("host.name", host.to_owned()));
    }
    // What the user says of it comes last, and counts.
    said.extend(own(&process));
    said
}

fn own(environment: Environment<'_>) -> Vec<KeyValue> {
    let mut said = vec![
        KeyValue::new("service.name", "buildtap"),
        KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
    ];
    let given = environment("OTEL_RESOURCE_ATTRIBUTES").unwrap_or_default();
    said.extend(given.split(',').filter_map(attribute));
    let name = environment("OTEL_SERVICE_NAME").filter(|name| !name.is_empty());
    said.extend(name.map(|name| KeyValue::new("service.name", name)));
    said
}

/// `key=value`, percent-encoded, as in `OTEL_RESOURCE_ATTRIBUTES`.
fn attribute(text: &str) -> Option<KeyValue> {
    let (key, value) = text.split_once('=')?;
    let value = percent_encoding::percent_decode_str(value.trim()).decode_utf8_lossy();
    let key = Some(key.trim()).filter(|key| !key.is_empty())?;
    Some(KeyValue::new(
        Key::from(key.to_owned()),
        Value::from(value.into_owned()),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::otlp::span::Origin;

    #[test]
    fn what_the_user_says_counts() {
        let environment = |name: &str| match name {
            "OTEL_RESOURCE_ATTRIBUTES" => Some("team=a%2Cb, service.name=x,broken".to_owned()),
            "OTEL_SERVICE_NAME" => Some("tap".to_owned()),
            _ => None,
        };
        let origin = Origin::new(own(&environment), None);
        let said: Vec<String> = origin
            .attributes()
            .iter()
            .map(|it| format!("{}={}", it.key, it.value))
            .collect();
        assert_eq!(
            said,
            [
                "service.name=tap".to_owned(),
                format!("service.version={}", env!("CARGO_PKG_VERSION")),
                "team=a,b".to_owned()
            ]
        );
    }
}
