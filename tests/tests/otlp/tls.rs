//! Collectors behind TLS, with certificates of an authority that only this test knows.

use std::path::Path;
use std::process::Command;

use buildtap_tests::lab::script;
use buildtap_tests::process::{Finished, Process};
use buildtap_tests::program;
use buildtap_tests::receiver::Receiver;
use tempfile::TempDir;

/// Makes an authority `ca.pem`, and certificates of it for `localhost` and for a client.
const CERTIFICATES: &str = "
set -e
new() { openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \"$@\" 2>/dev/null; }
new -x509 -keyout ca.key -out ca.pem -days 2 -subj /CN=authority
printf 'basicConstraints=CA:FALSE\\nsubjectAltName=DNS:localhost\\n' >extensions
for name in localhost client; do
    new -keyout $name.key -out $name.csr -subj /CN=$name
    openssl x509 -req -in $name.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out $name.pem -days 2 \
        -extfile extensions 2>/dev/null
done
";

/// TLS in front of a plain address; gives its own.
fn front(home: &Path, plain: &str, alpn: &str, authority: &[&str]) -> (Process, String) {
    let port = plain.rsplit_once(':').unwrap().1;
    let mut command = Command::new(script("tls-front.py"));
    command
        .args(["localhost.pem", "localhost.key", port, alpn])
        .args(authority)
        .current_dir(home);
    let mut process = Process::start(&mut command);
    let port = process.wait_for_stdout("a port", |said| {
        said.ends_with('\n').then(|| said.trim().to_owned())
    });
    (process, format!("https://localhost:{port}"))
}

fn export(home: &Path, to: &str, arguments: &[&str]) -> Finished {
    let captures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/captures");
    let capture = captures.join("local-export.pcap").display().to_string();
    let mut all = vec!["export", &capture, "--otlp", to, "--otlp-timeout", "2s"];
    all.extend(arguments);
    Process::run(&mut program::command(home, &all))
}

#[test]
fn certificates_are_verified_both_ways() {
    let Some(receiver) = Receiver::start() else {
        return;
    };
    let home = TempDir::new().unwrap();
    let home = home.path();
    let mut openssl = Command::new("sh");
    Process::run(openssl.args(["-c", CERTIFICATES]).current_dir(home)).success();
    let ours = ["--otlp-certificate", "ca.pem"];
    let with_client = [
        "--otlp-certificate",
        "ca.pem",
        "--otlp-client-certificate",
        "client.pem",
        "--otlp-client-key",
        "client.key",
    ];
    for (protocol, plain, alpn) in [
        ("grpc", &receiver.grpc, "h2"),
        ("http/protobuf", &receiver.http, "http/1.1"),
    ] {
        let protocol = ["--otlp-protocol", protocol];
        let (_front, to) = front(home, plain, alpn, &[]);
        let sent = export(home, &to, &[&protocol[..], &ours].concat()).success();
        assert!(sent.stderr.contains("sent 31 spans"), "{sent}");
        // The system does not know that authority.
        let refused = export(home, &to, &protocol);
        assert_eq!(refused.code(), 1, "{refused}");
        assert!(refused.stderr.contains("certificate"), "{refused}");

        let (_front, to) = front(home, plain, alpn, &["ca.pem"]);
        let refused = export(home, &to, &[&protocol[..], &ours].concat());
        assert_eq!(refused.code(), 1, "{refused}");
        let sent = export(home, &to, &[&protocol[..], &with_client].concat()).success();
        assert!(sent.stderr.contains("sent 31 spans"), "{sent}");
    }
    let none = export(
        home,
        "https://localhost:1",
        &["--otlp-certificate", "ca.key"],
    );
    assert!(
        none.stderr.contains("ca.key holds no usable certificate"),
        "{none}"
    );
}
