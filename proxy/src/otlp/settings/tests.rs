//! What counts where, without a process's own environment.

use super::*;

fn with(args: &OtlpArgs, variables: &[(&str, &str)]) -> Result<Option<Settings>, String> {
    let environment = |name: &str| {
        let mut variables = variables.iter();
        let (_, value) = variables.find(|(known, _)| *known == name)?;
        Some((*value).to_owned())
    };
    Settings::with(args, &environment).map_err(|error| error.to_string())
}

fn to(endpoint: &str) -> OtlpArgs {
    OtlpArgs {
        otlp: Some(endpoint.to_owned()),
        ..OtlpArgs::default()
    }
}

#[test]
fn nothing_is_sent_unless_somebody_says_where() {
    assert!(with(&OtlpArgs::default(), &[]).unwrap().is_none());
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4317");
    assert!(with(&OtlpArgs::default(), &[endpoint]).unwrap().is_some());
    for unwanted in [
        ("OTEL_SDK_DISABLED", "true"),
        ("OTEL_TRACES_EXPORTER", "none"),
    ] {
        let found = with(&OtlpArgs::default(), &[endpoint, unwanted]);
        assert!(found.unwrap().is_none());
        // Who says it on the command line wants it.
        assert!(with(&to("http://c:4317"), &[unwanted]).unwrap().is_some());
    }
}

#[test]
fn the_port_tells_the_protocol_and_the_protocol_the_path() {
    let settings = with(&to("http://c:4317"), &[]).unwrap().unwrap();
    assert_eq!(settings.traces.protocol, OtlpProtocol::Grpc);
    assert_eq!(settings.traces.endpoint, "http://c:4317/");
    let settings = with(&to("http://c:4318/base/"), &[]).unwrap().unwrap();
    assert_eq!(settings.traces.protocol, OtlpProtocol::HttpProtobuf);
    assert_eq!(settings.traces.endpoint, "http://c:4318/base/v1/traces");
    assert_eq!(
        settings.metrics.unwrap().endpoint,
        "http://c:4318/base/v1/metrics"
    );
    let json = ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json");
    let settings = with(&to("https://c"), &[json]).unwrap().unwrap();
    assert_eq!(settings.traces.protocol, OtlpProtocol::HttpJson);
    assert_eq!(settings.traces.endpoint, "https://c/v1/traces");
}

#[test]
fn an_address_for_spans_alone_is_taken_as_it_is() {
    let only = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://c:4318/in");
    let settings = with(&OtlpArgs::default(), &[only]).unwrap().unwrap();
    assert_eq!(settings.traces.endpoint, "http://c:4318/in");
    assert!(settings.metrics.is_none());
}

#[test]
fn without_a_scheme_it_is_tls_unless_it_is_here() {
    let to = |given: &str| with(&to(given), &[]).unwrap().unwrap().traces.endpoint;
    assert_eq!(to("localhost:4317"), "http://localhost:4317/");
    assert_eq!(to("collector:4317"), "https://collector:4317/");
}

#[test]
fn what_is_wrong_is_said() {
    let error = with(&to("unix:///run/c.sock"), &[]).unwrap_err();
    assert!(error.contains("http://host:4317"), "{error}");
    let protocol = [("OTEL_EXPORTER_OTLP_PROTOCOL", "thrift")];
    let error = with(&to("http://c:4317"), &protocol).unwrap_err();
    assert!(error.contains("http/protobuf"), "{error}");
    let certificate = OtlpArgs {
        otlp_certificate: Some("/nonexistent/ca.pem".into()),
        ..to("https://c:4317")
    };
    let error = with(&certificate, &[]).unwrap_err();
    assert!(error.contains("/nonexistent/ca.pem"), "{error}");
    assert!("no-value".parse::<Header>().is_err());
}

/// Name and value of each header.
fn headers(target: &Target) -> Vec<(String, String)> {
    let text = |it: &Header| {
        let value = it.value.to_str().unwrap().to_owned();
        (it.name.to_string(), value)
    };
    let mut all: Vec<_> = target.headers.iter().map(text).collect();
    all.sort();
    all
}

#[test]
fn a_flag_comes_before_the_variable_of_a_signal_and_that_before_the_general_one() {
    let general = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://general:4318"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "key=general,more=a%2Cb"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "1000"),
    ];
    let of_traces = [
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://traces:4317"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "key=traces"),
        ("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "none"),
        ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "2000"),
    ];
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let seconds = Duration::from_secs;

    let settings = with(&OtlpArgs::default(), &general).unwrap().unwrap();
    for (target, endpoint) in [
        (&settings.traces, "http://general:4318/v1/traces"),
        (
            settings.metrics.as_ref().unwrap(),
            "http://general:4318/v1/metrics",
        ),
    ] {
        assert_eq!(target.endpoint, endpoint);
        assert_eq!(target.protocol, OtlpProtocol::HttpJson);
        let both = [pair("key", "general"), pair("more", "a,b")];
        assert_eq!(headers(target), both);
        assert_eq!(target.compression, OtlpCompression::Gzip);
        assert_eq!(target.timeout, seconds(1));
    }

    let all = [&general[..], &of_traces].concat();
    let settings = with(&OtlpArgs::default(), &all).unwrap().unwrap();
    let traces = &settings.traces;
    assert_eq!(traces.endpoint, "http://traces:4317/");
    assert_eq!(traces.protocol, OtlpProtocol::Grpc);
    assert_eq!(headers(traces), [pair("key", "traces")]);
    assert_eq!(traces.compression, OtlpCompression::None);
    assert_eq!(traces.timeout, seconds(2));
    let metrics = settings.metrics.as_ref().unwrap();
    assert_eq!(metrics.endpoint, "http://general:4318/v1/metrics");
    assert_eq!(metrics.compression, OtlpCompression::Gzip);

    let args = OtlpArgs {
        otlp_protocol: Some(OtlpProtocol::HttpProtobuf),
        otlp_header: vec!["Key=flag".parse().unwrap()],
        otlp_compression: Some(OtlpCompression::None),
        otlp_timeout: Some(seconds(3)),
        ..to("http://flag:4317")
    };
    let settings = with(&args, &all).unwrap().unwrap();
    for (target, endpoint, more) in [
        (&settings.traces, "http://flag:4317/v1/traces", None),
        (
            settings.metrics.as_ref().unwrap(),
            "http://flag:4317/v1/metrics",
            Some(pair("more", "a,b")),
        ),
    ] {
        assert_eq!(target.endpoint, endpoint);
        assert_eq!(target.protocol, OtlpProtocol::HttpProtobuf);
        let wanted: Vec<_> = [pair("key", "flag")].into_iter().chain(more).collect();
        assert_eq!(headers(target), wanted);
        assert_eq!(target.compression, OtlpCompression::None);
        assert_eq!(target.timeout, seconds(3));
    }
}

#[test]
fn a_variable_that_says_nonsense_is_named_but_no_secret_is() {
    for (name, value) in [
        ("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "zip"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s"),
        ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "thrift"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "hunter2"),
    ] {
        let error = with(&to("http://c:4317"), &[(name, value)]).unwrap_err();
        assert!(error.contains(name), "{error}");
        assert_eq!(error.contains(value), value != "hunter2", "{error}");
    }
}
