//! Every byte leaves the other side as it came, whatever the decoder makes of it or whether it lives.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread;

use buildtap_tests::DEADLINE;
use buildtap_tests::program::Proxy;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

/// What each side sends, in bytes.
const VOLUME: usize = 2 << 20;

/// A connected socket of either kind.
#[derive(Debug)]
enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl Stream {
    fn connect(address: &str) -> Self {
        let stream = match address.split_once("://").unwrap() {
            ("unix", path) => Stream::Unix(UnixStream::connect(path).unwrap()),
            (_, host) => Stream::Tcp(TcpStream::connect(host).unwrap()),
        };
        stream.with_deadline()
    }

    fn with_deadline(self) -> Self {
        let limit = Some(DEADLINE);
        match &self {
            Stream::Unix(stream) => {
                stream.set_read_timeout(limit).unwrap();
                stream.set_write_timeout(limit).unwrap();
            }
            Stream::Tcp(stream) => {
                stream.set_read_timeout(limit).unwrap();
                stream.set_write_timeout(limit).unwrap();
            }
        }
        self
    }

    fn half_close(&self) {
        match self {
            Stream::Unix(stream) => stream.shutdown(Shutdown::Write).unwrap(),
            Stream::Tcp(stream) => stream.shutdown(Shutdown::Write).unwrap(),
        }
    }

    fn clone(&self) -> Self {
        match self {
            Stream::Unix(stream) => Stream::Unix(stream.try_clone().unwrap()),
            Stream::Tcp(stream) => Stream::Tcp(stream.try_clone().unwrap()),
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Unix(stream) => stream.read(buffer),
            Stream::Tcp(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Unix(stream) => stream.write(bytes),
            Stream::Tcp(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A listening socket of either kind: the daemon of a test.
enum Listener {
    Unix(UnixListener, String),
    Tcp(TcpListener),
}

impl Listener {
    fn unix(home: &TempDir) -> Self {
        let path = home.path().join("daemon.sock");
        let address = format!("unix://{}", path.display());
        Listener::Unix(UnixListener::bind(path).unwrap(), address)
    }

    fn tcp() -> Self {
        Listener::Tcp(TcpListener::bind("127.0.0.1:0").unwrap())
    }

    fn address(&self) -> String {
        match self {
            Listener::Unix(_, address) => address.clone(),
            Listener::Tcp(listener) => format!("tcp://{}", listener.local_addr().unwrap()),
        }
    }

    fn accept(&self) -> Stream {
        match self {
            Listener::Unix(listener, _) => Stream::Unix(listener.accept().unwrap().0),
            Listener::Tcp(listener) => Stream::Tcp(listener.accept().unwrap().0),
        }
        .with_deadline()
    }
}

/// Numbers that look random (SplitMix64).
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(length + 8);
        while bytes.len() < length {
            bytes.extend_from_slice(&self.next().to_le_bytes());
        }
        bytes.truncate(length);
        bytes
    }
}

type Hash = [u8; 32];

/// Sends `opening` and then noise in pieces of all sizes, ends its direction, and gives the hash of what was sent.
fn send(mut to: Stream, opening: &[u8], seed: u64) -> Hash {
    let mut noise = Noise(seed);
    let mut hash = Sha256::new();
    to.write_all(opening).unwrap();
    hash.update(opening);
    let mut left = VOLUME;
    while left > 0 {
        // From single bytes to more than any buffer.
        let size = 1_usize << (noise.next() % 19);
        let piece = noise.bytes(size.min(left));
        to.write_all(&piece).unwrap();
        hash.update(&piece);
        left -= piece.len();
    }
    to.half_close();
    hash.finalize().into()
}

/// Reads to the end and gives the hash of it.
fn receive(mut from: Stream) -> Hash {
    let mut hash = Sha256::new();
    let mut piece = vec![0; 50_000];
    loop {
        match from.read(&mut piece).unwrap() {
            0 => return hash.finalize().into(),
            n => hash.update(&piece[..n]),
        }
    }
}

/// What connections begin with: something for each of the decoder's ways.
const OPENINGS: [(&[u8], &[u8]); 4] = [
    (b"", b""),
    (
        b"POST /session HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
        b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ),
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0", b"\0\0\0\x04\0\0\0\0\0"),
    (
        b"POST /v1.41/build?version=2 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nfffffffff\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n",
    ),
];

/// Both directions at once, and that both ends saw the other's half-close.
fn exchange(proxy: &Proxy, listener: &Listener, opening: (&[u8], &[u8]), seed: u64) {
    let client = Stream::connect(&proxy.address);
    let daemon = listener.accept();
    thread::scope(|scope| {
        let (c, d) = (client.clone(), daemon.clone());
        let sent = scope.spawn(move || send(c, opening.0, seed));
        let answered = scope.spawn(move || send(d, opening.1, !seed));
        let (c, d) = (client.clone(), daemon.clone());
        let got = scope.spawn(move || receive(d));
        let got_back = scope.spawn(move || receive(c));
        assert_eq!(sent.join().unwrap(), got.join().unwrap(), "to the daemon");
        assert_eq!(
            answered.join().unwrap(),
            got_back.join().unwrap(),
            "to the client"
        );
    });
}

/// After the client's half-close the daemon can still answer, and the other way round.
fn half_closes(proxy: &Proxy, listener: &Listener) {
    for client_first in [true, false] {
        let client = Stream::connect(&proxy.address);
        let daemon = listener.accept();
        let (mut first, mut second) = match client_first {
            true => (client, daemon),
            false => (daemon, client),
        };
        first.write_all(b"that is all").unwrap();
        first.half_close();
        let mut got = Vec::new();
        second.read_to_end(&mut got).unwrap();
        assert_eq!(got, b"that is all");
        // Only now, and over a connection whose other direction has ended.
        for _ in 0..3 {
            second.write_all(b"understood").unwrap();
            let mut answer = [0; 10];
            first.read_exact(&mut answer).unwrap();
            assert_eq!(&answer, b"understood");
        }
        second.half_close();
        assert_eq!(first.read(&mut [0; 1]).unwrap(), 0);
    }
}

fn listen(home: &TempDir) -> String {
    format!("unix://{}", home.path().join("tap.sock").display())
}

#[test]
fn bytes_pass_unchanged_both_ways() {
    for tcp in [false, true] {
        let home = TempDir::new().unwrap();
        let (listener, at) = match tcp {
            false => (Listener::unix(&home), listen(&home)),
            true => (Listener::tcp(), "tcp://127.0.0.1:0".to_owned()),
        };
        let proxy = Proxy::start(home.path(), &at, &listener.address(), &[]);
        for (seed, opening) in OPENINGS.into_iter().enumerate() {
            exchange(&proxy, &listener, opening, seed as u64);
        }
        half_closes(&proxy, &listener);
        let ended = proxy.process.interrupt();
        assert_eq!(ended.code(), 0, "{ended}");
        assert!(!ended.stderr.contains("panicked"), "{ended}");
        assert!(!home.path().join("tap.sock").exists());
    }
}

#[test]
fn a_decoder_that_fails_harms_no_byte() {
    for at in [1, 2, 3, 10, 30] {
        let home = TempDir::new().unwrap();
        let listener = Listener::unix(&home);
        let hook = [("BUILDTAP_TEST_FAIL_DECODER_AT", &*at.to_string())];
        let mut proxy =
            Proxy::start_with(home.path(), &listen(&home), &listener.address(), &[], &hook);
        exchange(&proxy, &listener, OPENINGS[1], at);
        proxy
            .process
            .wait_until_said("buildtap failed while decoding");
        // It goes on, and says so once.
        exchange(&proxy, &listener, OPENINGS[2], at);
        half_closes(&proxy, &listener);
        let ended = proxy.process.interrupt();
        assert_eq!(ended.code(), 0, "{ended}");
        let told = ended
            .stderr
            .matches("buildtap: buildtap failed while decoding")
            .count();
        assert_eq!(told, 1, "{ended}");
        assert!(ended.stderr.contains("report this as a bug"), "{ended}");
    }
}

#[test]
fn a_file_that_cannot_be_written_harms_no_byte() {
    let home = TempDir::new().unwrap();
    let listener = Listener::unix(&home);
    let arguments = ["--log", "--format", "json", "--output", "/dev/full"];
    let proxy = Proxy::start(home.path(), &listen(&home), &listener.address(), &arguments);
    for (seed, opening) in OPENINGS.into_iter().enumerate() {
        exchange(&proxy, &listener, opening, seed as u64);
    }
    proxy.process.interrupt();
}
