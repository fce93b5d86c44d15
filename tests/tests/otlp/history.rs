//! What a daemon keeps in the history of its builds: client's and daemon's spans, which pass by when a client reads it.

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::time::{Duration, Instant};

use buildtap_proto::containerd::services::content::v1::{ReadContentRequest, ReadContentResponse};
use buildtap_proto::moby::buildkit::v1::{
    BuildHistoryEvent, BuildHistoryRecord, BuildHistoryRequest,
};
use buildtap_tests::lab::{Daemon, Flavour, Workshop};
use buildtap_tests::process::Process;
use buildtap_tests::program::Proxy;
use buildtap_tests::receiver::{Receiver, Span};
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use h2::client::SendRequest;
use prost::Message;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A client of the BuildKit inside dockerd, by `POST /grpc`.
struct Client(SendRequest<Bytes>);

impl Client {
    async fn connect(address: &str) -> Self {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream
            .write_all(
                b"POST /grpc HTTP/1.1\r\nHost: lab\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 0\r\n\r\n",
            )
            .await
            .unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        assert!(
            head.starts_with(b"HTTP/1.1 101"),
            "{}",
            String::from_utf8_lossy(&head)
        );
        let (client, connection) = h2::client::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        Client(client)
    }

    /// All answers to one request.
    async fn call<T: Message + Default>(&mut self, method: &str, request: &impl Message) -> Vec<T> {
        let mut framed = BytesMut::new();
        framed.put_u8(0);
        framed.put_u32(request.encoded_len() as u32);
        request.encode(&mut framed).unwrap();
        let head = http::Request::post(format!("http://lab/{method}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(())
            .unwrap();
        let mut client = self.0.clone();
        poll_fn(|cx| client.poll_ready(cx)).await.unwrap();
        let (response, mut stream) = client.send_request(head, false).unwrap();
        stream.send_data(framed.freeze(), true).unwrap();
        let mut body = response.await.unwrap().into_body();
        let mut received = BytesMut::new();
        while let Some(data) = body.data().await {
            let data = data.unwrap();
            let _ = body.flow_control().release_capacity(data.len());
            received.put(data);
        }
        let trailers = body.trailers().await.unwrap().unwrap_or_default();
        assert_eq!(trailers["grpc-status"], "0", "{trailers:?}");
        let mut answers = Vec::new();
        while received.len() >= 5 {
            let length = received[1..5].try_into().map(u32::from_be_bytes).unwrap() as usize;
            received.advance(5);
            answers.push(T::decode(received.split_to(length)).unwrap());
        }
        answers
    }

    /// The record of the build, once its trace is in it: BuildKit adds that some seconds after the end.
    async fn record(&mut self) -> BuildHistoryRecord {
        let deadline = Instant::now() + Duration::from_secs(60);
        let request = BuildHistoryRequest {
            early_exit: true,
            ..Default::default()
        };
        loop {
            let events: Vec<BuildHistoryEvent> = self
                .call("moby.buildkit.v1.Control/ListenBuildHistory", &request)
                .await;
            let mut records = events.into_iter().filter_map(|event| event.record);
            if let Some(record) = records.find(|record| record.trace.is_some()) {
                return record;
            }
            assert!(Instant::now() < deadline, "no build has a trace");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Reads a blob as buildx does, which decodes while it reads: in pieces that grow up to 2 KiB.
    async fn read(&mut self, digest: &str, size: usize) -> Vec<u8> {
        let mut blob = Vec::new();
        let mut piece = 512;
        while blob.len() < size {
            let request = ReadContentRequest {
                digest: digest.to_owned(),
                offset: blob.len() as i64,
                size: piece.min(size - blob.len()) as i64,
            };
            let answers: Vec<ReadContentResponse> = self
                .call("containerd.services.content.v1.Content/Read", &request)
                .await;
            for answer in answers {
                blob.extend_from_slice(&answer.data);
            }
            piece = (piece * 2).min(2_048);
        }
        blob
    }
}

fn find<'a>(spans: &[&'a Span], id: &str) -> Option<&'a Span> {
    spans.iter().find(|span| span.span_id == id).copied()
}

fn service(span: &Span) -> &str {
    &span.resource["service.name"]
}

#[test]
fn the_daemon_s_spans_come_with_the_history() {
    let Some(receiver) = Receiver::start() else {
        return;
    };
    let Some(daemon) = Daemon::start_another(Flavour::Trixie) else {
        return;
    };
    let shop = Workshop::new();
    let upstream = daemon.address.clone();
    let proxy = Proxy::start(
        shop.path(),
        "tcp://127.0.0.1:0",
        &upstream,
        &["--otlp", &receiver.grpc],
    );
    let context = shop.context("tree");
    let output = format!("type=tar,dest={}", shop.text("out"));
    let arguments = [
        "build",
        "--no-cache",
        "--network=none",
        "--output",
        &output,
        &context,
    ];
    let mut build = daemon.docker(&arguments);
    Process::run(build.env("DOCKER_HOST", &proxy.address)).success();

    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let blob = runtime.block_on(async {
        let mut client = Client::connect(proxy.address.trim_start_matches("tcp://")).await;
        let trace = client.record().await.trace.unwrap();
        client.read(&trace.digest, trace.size as usize).await
    });
    let stubs: Vec<serde_json::Value> = serde_json::Deserializer::from_slice(&blob)
        .into_iter()
        .collect::<Result<_, _>>()
        .unwrap();
    assert!(stubs.len() > 20, "{}", stubs.len());
    proxy.process.interrupt().success();

    let spans = receiver.spans();
    let build = spans
        .iter()
        .find(|span| span.name == "build dockerfile.v0")
        .unwrap();
    let trace: Vec<&Span> = spans
        .iter()
        .filter(|span| span.trace_id == build.trace_id)
        .collect();
    let services: BTreeSet<&str> = trace.iter().map(|span| service(span)).collect();
    assert_eq!(
        services,
        BTreeSet::from(["Str(buildtap)", "Str(buildx)", "Str(dockerd)"])
    );
    // All that the daemon kept is there, and once.
    for stub in &stubs {
        let id = stub["SpanContext"]["SpanID"].as_str().unwrap();
        let mut found = trace.iter().filter(|span| span.span_id == id);
        let (Some(span), None) = (found.next(), found.next()) else {
            panic!("{stub:#}");
        };
        assert_eq!(span.name, stub["Name"].as_str().unwrap());
    }
    for span in &trace {
        let is_there = span.parent_id.is_empty() || find(&trace, &span.parent_id).is_some();
        assert!(is_there, "{span:#?}");
    }
    // A call that the daemon made is below its session, and linked to the daemon's span of it, which is there now.
    let calls = trace.iter().filter(|span| {
        service(span) == "Str(buildtap)" && span.name == "moby.filesync.v1.FileSync/DiffCopy"
    });
    let mut linked = 0;
    for call in calls {
        let mut links = call.links.iter().filter_map(|(_, id)| find(&trace, id));
        linked += usize::from(links.any(|span| service(span) == "Str(dockerd)"));
    }
    assert!(linked >= 3, "{linked}");
}
