//! `buildtap redact`, by the program itself: what is masked in sessions with planted secrets, and
//! what it says when something is in the way.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use buildtap::demo;
use buildtap::tap::Tap;
use buildtap_decoder::event::{Closed, Endpoints, Side, TapEvent, TapId, Time};
use buildtap_decoder::wire::hpack::huffman;
use buildtap_fixtures::capture;
use buildtap_fixtures::capture::write::{About, Writer};
use buildtap_fixtures::peers::scenario;
use buildtap_fixtures::peers::script::Mode;
use tempfile::TempDir;

#[path = "common/needles.rs"]
mod needles;
use needles::{base64, contains, needles};

fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_buildtap"));
    command.args(arguments).stdin(Stdio::null());
    command
}

fn redact(arguments: &[&str]) -> (Output, String) {
    let output = program(&[&["redact"], arguments].concat())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr.clone()).unwrap();
    (output, said)
}

fn json(path: &Path) -> Vec<u8> {
    let shown = program(&["show", "--format", "json", path.to_str().unwrap()]);
    let shown = { shown }.output().unwrap();
    assert!(shown.status.success(), "{shown:?}");
    shown.stdout
}

/// Writes what a tap is told to a capture, as it is.
struct Tape {
    writer: Mutex<Writer<Vec<u8>>>,
    /// Wraps each connection in an exec tunnel.
    is_tunnel: bool,
}

impl Tape {
    fn new(is_tunnel: bool) -> Self {
        let about = About {
            shows_secrets: true,
            ..About::here()
        };
        Tape {
            writer: Mutex::new(Writer::new(Vec::new(), &about).unwrap()),
            is_tunnel,
        }
    }

    fn bytes(&self) -> Vec<u8> {
        self.writer.lock().unwrap().get_ref().clone()
    }
}

const EXEC: &str = "POST /v1.45/exec/0123abcd/start HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\n\
                    Upgrade: tcp\r\nContent-Type: application/json\r\nContent-Length: 28\r\n\r\n\
                    {\"Detach\":false,\"Tty\":false}";
const EXEC_BEGINS: &str = "HTTP/1.1 101 UPGRADED\r\n\
                           Content-Type: application/vnd.docker.multiplexed-stream\r\n\
                           Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n";

impl Tap for Tape {
    fn event(&self, id: TapId, at: Time, event: TapEvent<'_>) {
        let mut writer = self.writer.lock().unwrap();
        let mut write = |event: &TapEvent<'_>| writer.event(at, id, event).unwrap();
        match &event {
            TapEvent::Open(_) if self.is_tunnel => {
                write(&event);
                write(&chunk(Side::Client, EXEC.as_bytes()));
                write(&chunk(Side::Daemon, EXEC_BEGINS.as_bytes()));
            }
            TapEvent::Chunk { from, bytes } if self.is_tunnel && *from == Side::Daemon => {
                let len = u32::try_from(bytes.len()).unwrap().to_be_bytes();
                let frame = [&[1, 0, 0, 0], &len[..], bytes].concat();
                write(&chunk(Side::Daemon, &frame));
            }
            _ => write(&event),
        }
    }
}

fn chunk(from: Side, bytes: &[u8]) -> TapEvent<'_> {
    TapEvent::Chunk { from, bytes }
}

/// A build with a secret, by one of the ways that there are, and with a token in the metadata
/// of the calls.
fn build(mode: Mode, is_tunnel: bool) -> Vec<u8> {
    let mut scene = scenario::demo_build().by(mode);
    let secret = SECRETS[0].to_owned().into();
    scene.client.secrets.insert("token".to_owned(), secret);
    let authorization = ("authorization".to_owned(), format!("Bearer {}", SECRETS[1]));
    scene.client.metadata.push(authorization.clone());
    scene.daemon.metadata.push(authorization);
    scene.daemon.pace = Duration::from_millis(5);
    let tape = Arc::new(Tape::new(is_tunnel));
    let directory = TempDir::new().unwrap();
    let tap: Arc<dyn Tap> = Arc::<Tape>::clone(&tape);
    let playing = demo::play(scene, tap, directory.path().to_owned());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let within = async { tokio::time::timeout(Duration::from_secs(60), playing).await };
    let ending = runtime.block_on(within).expect("deadline").unwrap();
    assert_eq!(ending, "the build is done");
    tape.bytes()
}

/// What must not be found: a secret, a token in metadata, and what is said over HTTP/1.
const SECRETS: [&str; 5] = [
    "planted-secret-5d1e8a90c3f7",
    "planted-token-77c20b94e1aa",
    "planted-password-c04f19e6",
    "planted-identity-9be31d72",
    "planted-auth-4410ffe2d8b1",
];

/// `POST /auth`, a pull with `X-Registry-Auth`, and HTTP/2 calls with tokens in plain strings.
fn engine() -> Vec<u8> {
    let credentials = format!(
        "{{\"username\":\"me\",\"password\":\"{}\",\"identitytoken\":\"{}\"}}",
        SECRETS[2], SECRETS[3]
    );
    let auth = format!(
        "POST /v1.45/auth HTTP/1.1\r\nHost: docker\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{credentials}",
        credentials.len()
    );
    let ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
    let pull = format!(
        "POST /v1.45/images/create?fromImage=x HTTP/1.1\r\nHost: docker\r\n\
         X-Registry-Auth: {}\r\nAuthorization: Bearer {}\r\nContent-Length: 0\r\n\r\n",
        base64(credentials.as_bytes()),
        SECRETS[4]
    );
    let tape = Tape::new(false);
    let (id, at) = (TapId(1), Time(1));
    tape.event(id, at, TapEvent::Open(Endpoints::default()));
    for (from, text) in [
        (Side::Client, auth.as_str()),
        (Side::Daemon, ok),
        (Side::Client, &pull),
        (Side::Daemon, ok),
    ] {
        // Cut anywhere.
        for part in text.as_bytes().chunks(67) {
            tape.event(id, at, chunk(from, part));
        }
    }
    let how = Closed::Finished;
    tape.event(id, at, TapEvent::Close { how });

    // The same header field in an HTTP/2 request, once Huffman-coded and once not.
    let id = TapId(2);
    tape.event(id, at, TapEvent::Open(Endpoints::default()));
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
    for (stream, is_coded) in [(1_u8, false), (3, true)] {
        let value = format!("Bearer {}", SECRETS[4]);
        let mut raw = value.clone().into_bytes();
        if is_coded {
            raw.clear();
            huffman::encode(value.as_bytes(), &mut raw);
        }
        // POST, http, a literal path, authorization (static table 23), never indexed.
        let path = b"/moby.buildkit.v1.Control/Info";
        let mut block = vec![0x83, 0x86, 0x44, path.len() as u8];
        block.extend(path);
        block.extend([0x1f, 23 - 15, raw.len() as u8 | u8::from(is_coded) << 7]);
        block.extend(raw);
        bytes.extend([0, 0, block.len() as u8, 1, 5, 0, 0, 0, stream]);
        bytes.extend(block);
    }
    tape.event(id, at, chunk(Side::Client, &bytes));
    let how = Closed::Finished;
    tape.event(id, at, TapEvent::Close { how });
    tape.bytes()
}

/// In which forms each of the secrets is there: in the file or in its streams put together.
fn forms(path: &Path) -> Vec<(&'static str, &'static str)> {
    let mut places = streams(path);
    places.push(fs::read(path).unwrap());
    let mut found = Vec::new();
    for secret in SECRETS {
        for needle in needles(secret) {
            let is_there = places.iter().any(|place| contains(place, &needle.bytes));
            if is_there && !found.contains(&(secret, needle.form)) {
                found.push((secret, needle.form));
            }
        }
    }
    found
}

/// What each side of each connection said.
fn streams(path: &Path) -> Vec<Vec<u8>> {
    let mut capture = capture::open(path, capture::Options::default()).unwrap();
    let mut streams: BTreeMap<(TapId, usize), Vec<u8>> = BTreeMap::new();
    while let Some(event) = capture.next().unwrap() {
        if let TapEvent::Chunk { from, bytes } = event.event {
            let stream = streams.entry((event.tap, from.index())).or_default();
            stream.extend(bytes);
        }
    }
    streams.into_values().collect()
}

#[test]
fn planted_secrets_are_masked_in_every_form() {
    let (secret, token) = (SECRETS[0], SECRETS[1]);
    let on_a_build = vec![(secret, "plain"), (token, "Huffman")];
    let at_the_engine = vec![
        (SECRETS[2], "plain"),
        (SECRETS[2], "base64"),
        (SECRETS[3], "plain"),
        (SECRETS[3], "base64"),
        (SECRETS[4], "plain"),
        (SECRETS[4], "Huffman"),
    ];
    let captures = [
        ("engine", build(Mode::Engine, false), on_a_build.clone()),
        ("grpc", build(Mode::Grpc, false), on_a_build.clone()),
        ("nested", build(Mode::Nested, false), on_a_build.clone()),
        (
            "upgraded",
            build(Mode::GrpcNested, false),
            on_a_build.clone(),
        ),
        ("tunnel", build(Mode::Nested, true), on_a_build),
        ("http", engine(), at_the_engine),
    ];
    let home = TempDir::new().unwrap();
    for (name, bytes, expected) in captures {
        let path = home.path().join(name).with_extension("pcapng");
        let out = home.path().join(name).with_extension("safe.pcapng");
        fs::write(&path, &bytes).unwrap();
        assert_eq!(forms(&path), expected, "{name}");
        let (output, said) = redact(&[path.to_str().unwrap(), out.to_str().unwrap()]);
        assert!(output.status.success(), "{name}: {said}");
        assert!(said.contains(": masked "), "{name}: {said}");
        let copy = fs::read(&out).unwrap();
        assert_eq!(forms(&out), [], "{name}: {said}");
        assert_eq!(copy.len(), bytes.len(), "{name}");
        assert!(json(&path) == json(&out), "{name}");
        let shown = program(&["show", out.to_str().unwrap()]).output().unwrap();
        let shown = String::from_utf8(shown.stderr).unwrap();
        assert!(!shown.contains("secrets are not masked"), "{shown}");
    }
}

/// One of the recorded sessions, with a secret in it.
fn recorded() -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fixtures/captures");
    folder.join("secret.pcap")
}

#[test]
fn packed_copies_and_captures_from_a_pipe() {
    let home = TempDir::new().unwrap();
    let path = |name: &str| home.path().join(name).display().to_string();
    let recorded = recorded();
    let recorded = recorded.to_str().unwrap();
    for (input, output) in [
        (recorded, "plain.pcap"),
        (recorded, "packed.pcap.gz"),
        (recorded, "packed.pcap.zst"),
        ("packed.pcap.gz", "again.pcap"),
        ("packed.pcap.zst", "again.pcap.gz"),
    ] {
        let (done, said) = redact(&[home.path().join(input).to_str().unwrap(), &path(output)]);
        assert!(done.status.success(), "{said}");
        assert!(
            said.starts_with(&format!("buildtap: {}: ", path(output))),
            "{said}"
        );
        assert!(said.trim_end().ends_with('.'), "{said}");
        let mode = fs::metadata(path(output)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(
            json(Path::new(recorded)) == json(path(output).as_ref()),
            "{output}"
        );
    }
    let plain = fs::read(path("plain.pcap")).unwrap();
    assert!(fs::read(path("again.pcap")).unwrap() == plain);

    let mut command = program(&["redact", "-", &path("piped.pcap")]);
    command.stdin(File::open(recorded).unwrap());
    assert!(command.status().unwrap().success());
    assert!(fs::read(path("piped.pcap")).unwrap() == plain);
    let mut command = program(&["redact", "-", &path("piped2.pcap")]);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let bytes = fs::read(recorded).unwrap();
    child.stdin.take().unwrap().write_all(&bytes).unwrap();
    assert!(child.wait().unwrap().success());
    assert!(fs::read(path("piped2.pcap")).unwrap() == plain);
}

#[test]
fn what_is_in_the_way_is_said() {
    let home = TempDir::new().unwrap();
    let path = |name: &str| home.path().join(name).display().to_string();
    let capture = fs::read(recorded()).unwrap();
    fs::write(path("a.pcap"), &capture).unwrap();
    symlink(path("a.pcap"), path("link.pcap")).unwrap();
    fs::hard_link(path("a.pcap"), path("hard.pcap")).unwrap();
    for same in ["a.pcap", "link.pcap", "hard.pcap"] {
        let (done, said) = redact(&[&path("a.pcap"), &path(same)]);
        assert_eq!(done.status.code(), Some(1));
        assert!(said.contains("are the same file"), "{said}");
        assert!(said.contains("name another file"), "{said}");
    }
    assert!(fs::read(path("a.pcap")).unwrap() == capture);

    fs::write(path("text"), "hello").unwrap();
    fs::write(path("precious"), "what was there").unwrap();
    let (done, said) = redact(&[&path("text"), &path("precious")]);
    assert_eq!(done.status.code(), Some(1));
    assert!(said.contains("not a capture file"), "{said}");
    assert_eq!(fs::read(path("precious")).unwrap(), b"what was there");

    let (done, said) = redact(&[&path("nothing"), &path("out")]);
    assert_eq!(done.status.code(), Some(1));
    assert!(said.contains("check the name"), "{said}");
    let (_, said) = redact(&[&path(""), &path("out")]);
    assert!(said.contains("cannot open"), "{said}");
    let (_, said) = redact(&[&path("a.pcap"), &path("")]);
    assert!(
        said.contains("that is a directory and not a file"),
        "{said}"
    );
    assert!(!Path::new(&path("out")).exists());

    // A cut tail is left out; behind damage nothing can be read.
    fs::write(path("cut.pcap"), &capture[..capture.len() - 3]).unwrap();
    let (done, said) = redact(&[&path("cut.pcap"), &path("out")]);
    assert!(done.status.success(), "{said}");
    assert!(
        said.contains("the capture ends within a packet or block"),
        "{said}"
    );
    let whole = fs::read(path("out")).unwrap();
    assert!(whole.len() < capture.len() - 3);
    let mut damaged = capture;
    let len = damaged.len();
    // The captured length of the last packet, which is 16 bytes of header and what `cut` lost.
    let last = whole.len();
    damaged[last + 8..last + 12].fill(0xff);
    fs::write(path("damaged.pcap"), &damaged[..len]).unwrap();
    let (done, said) = redact(&[&path("damaged.pcap"), &path("out2")]);
    assert_eq!(done.status.code(), Some(1));
    assert!(
        said.contains("ends where the capture cannot be read further"),
        "{said}"
    );
    assert!(fs::read(path("out2")).unwrap() == whole);
}

#[test]
fn patterns_and_contents() {
    let home = TempDir::new().unwrap();
    let out = home.path().join("out.pcap").display().to_string();
    let recorded = recorded();
    let (done, said) = redact(&[
        "--mask",
        "FROM [a-z]+",
        "--drop-file-contents",
        recorded.to_str().unwrap(),
        &out,
    ]);
    assert!(done.status.success(), "{said}");
    assert!(said.contains("became zeros"), "{said}");
    let original = fs::read(&recorded).unwrap();
    let copy = fs::read(&out).unwrap();
    // The Dockerfile that goes up.
    assert!(contains(&original, b"--mount=type=secret,id="));
    assert!(!contains(&copy, b"RUN --mount=type=secret,id="), "{said}");
    let (done, said) = redact(&["--mask", "(", recorded.to_str().unwrap(), &out]);
    assert_eq!(done.status.code(), Some(2));
    assert!(said.contains("--mask"), "{said}");
}
