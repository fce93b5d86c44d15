//! The windows that a bystander counts, held against what h2 lets its user send.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use buildtap_decoder::Limits;
use buildtap_decoder::event::Side;
use buildtap_decoder::wire::http2::{Connection, Handler, Headers, Violation};
use bytes::Bytes;
use h2::SendStream;
use http::{Request, Response};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf};

/// Counts what passes; nothing here may break a rule.
#[derive(Default)]
struct Heard {
    data: [u64; 2],
    violations: Vec<Violation>,
}

impl Handler for Heard {
    fn headers(&mut self, _: Side, _: u32, _: Headers, _: bool) {}
    fn data(&mut self, from: Side, _: u32, bytes: &[u8]) {
        self.data[from.index()] += bytes.len() as u64;
    }
    fn data_end(&mut self, _: Side, _: u32, _: bool, _: i64) {}
    fn rst_stream(&mut self, _: Side, _: u32, _: u32) {}
    fn violation(&mut self, _: Side, violation: Violation) {
        self.violations.push(violation);
    }
}

type Tap = Arc<Mutex<(Connection, Heard)>>;

/// Passes on what `from` sends, and tells the tap before.
async fn relay(
    tap: Tap,
    from: Side,
    mut read: ReadHalf<DuplexStream>,
    mut write: WriteHalf<DuplexStream>,
) {
    let mut buffer = vec![0; 5000];
    while let Ok(read @ 1..) = read.read(&mut buffer).await {
        {
            let (connection, heard) = &mut *tap.lock().unwrap();
            connection.feed(from, &buffer[..read], heard);
        }
        if write.write_all(&buffer[..read]).await.is_err() {
            break;
        }
    }
}

/// What the peers do on one stream: how much the client sends, in pieces, and how much of it
/// the server takes note of.
#[derive(Clone, Debug)]
struct Case {
    stream_window: u32,
    connection_window: u32,
    /// The INITIAL_WINDOW_SIZE that the server sets later.
    changed_window: Option<u32>,
    sent: Vec<usize>,
    /// Of 100 bytes that arrive so many are released at once.
    released: usize,
}

/// What may be sent on this stream, as h2 sees it.
async fn capacity(stream: &mut SendStream<Bytes>) -> usize {
    stream.reserve_capacity(1 << 30);
    // Capacity that is there is assigned at once, if not told in the first event.
    let _ = tokio::time::timeout(
        Duration::from_millis(1),
        std::future::poll_fn(|cx| stream.poll_capacity(cx)),
    )
    .await;
    stream.capacity()
}

async fn play(case: Case) -> Result<(), TestCaseError> {
    let (client_io, near) = tokio::io::duplex(8 << 10);
    let (far, server_io) = tokio::io::duplex(8 << 10);
    let connection = Connection::new(Side::Client, &Limits::default());
    let tap: Tap = Arc::new(Mutex::new((connection, Heard::default())));
    let (near_read, near_write) = tokio::io::split(near);
    let (far_read, far_write) = tokio::io::split(far);
    tokio::spawn(relay(tap.clone(), Side::Client, near_read, far_write));
    tokio::spawn(relay(tap.clone(), Side::Daemon, far_read, near_write));

    let (change, mut changed) = tokio::sync::mpsc::channel::<u32>(1);
    let (opened, stream) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        let mut server = h2::server::Builder::new()
            .initial_window_size(case.stream_window)
            .initial_connection_window_size(case.connection_window)
            .handshake::<_, Bytes>(server_io)
            .await
            .unwrap();
        let (request, mut respond) = server.accept().await.unwrap().unwrap();
        respond
            .send_response(Response::new(()), false)
            .map(|mut answer| {
                answer
                    .send_data(Bytes::from_static(b"hello"), false)
                    .unwrap();
                opened.send((request.into_body(), answer)).ok().unwrap();
            })
            .unwrap();
        loop {
            tokio::select! {
                Some(window) = changed.recv() => server.set_initial_window_size(window).unwrap(),
                next = server.accept() => if next.is_none() { break },
            }
        }
    });
    let (client, mut driver) = h2::client::Builder::new()
        .max_send_buffer_size(1 << 30)
        .handshake::<_, Bytes>(client_io)
        .await
        .unwrap();
    let mut pings = driver.ping_pong().unwrap();
    tokio::spawn(async move { driver.await.unwrap() });
    let mut client = client.ready().await.unwrap();
    let (response, mut send) = client.send_request(Request::new(()), false).unwrap();
    let mut body = response.await.unwrap().into_body();
    prop_assert_eq!(body.data().await.unwrap().unwrap(), "hello");
    let (mut received, _answer) = stream.await.unwrap();

    // Whatever the server said before it answers a ping has reached the client by then.
    let mut sent = 0;
    let mut arrived = 0;
    for piece in &case.sent {
        pings.ping(h2::Ping::opaque()).await.unwrap();
        let piece = (*piece).min(capacity(&mut send).await);
        send.send_data(vec![b'x'; piece].into(), false).unwrap();
        sent += piece;
        while arrived < sent {
            let data = received.data().await.unwrap().unwrap();
            arrived += data.len();
            let released = data.len() * case.released / 100;
            received.flow_control().release_capacity(released).unwrap();
        }
    }
    if let Some(window) = case.changed_window {
        change.send(window).await.unwrap();
        pings.ping(h2::Ping::opaque()).await.unwrap();
    }
    pings.ping(h2::Ping::opaque()).await.unwrap();
    let may_send = capacity(&mut send).await;
    let (connection, heard) = &*tap.lock().unwrap();
    prop_assert_eq!(&heard.violations, &[]);
    prop_assert_eq!(heard.data, [sent as u64, 5]);
    let stream_window = connection.stream_window(Side::Client, 1);
    let window = connection.window(Side::Client).min(stream_window).max(0);
    prop_assert_eq!(may_send as i64, window, "stream {}", stream_window);
    // Of the daemon's five bytes the client has given back nothing yet.
    prop_assert_eq!(connection.stream_window(Side::Daemon, 1), 65_535 - 5);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn windows_are_those_of_h2(
        stream_window in prop_oneof![0..3_000u32, 10_000..200_000u32],
        connection_window in 65_535..300_000u32,
        changed_window in prop::option::of(0..150_000u32),
        sent in prop::collection::vec(0..60_000usize, 0..6),
        released in prop_oneof![Just(0usize), Just(100), 0..=100usize],
    ) {
        let case = Case { stream_window, connection_window, changed_window, sent, released };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime
            .block_on(async { tokio::time::timeout(Duration::from_secs(30), play(case)).await })
            .expect("the peers wait for each other")?;
    }
}
