//! Collectors that speak gRPC, as far as these tests need one.

use std::future::poll_fn;
use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Response};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};

use super::client::{Client, Failure, Taken};
use super::*;
use crate::otlp::settings::{OtlpArgs, OtlpProtocol};

/// Answers every call with this message, if there is one, and this status.
async fn serve(listener: TcpListener, message: Option<Bytes>, status: &'static str) {
    while let Ok((stream, _)) = listener.accept().await {
        let Ok(mut connection) = h2::server::handshake(stream).await else {
            continue;
        };
        let message = message.clone();
        tokio::spawn(async move {
            while let Some(Ok((request, mut respond))) = connection.accept().await {
                let message = message.clone();
                tokio::spawn(async move {
                    let mut body = request.into_body();
                    while let Some(Ok(data)) = body.data().await {
                        let _ = body.flow_control().release_capacity(data.len());
                    }
                    let answer = Response::builder().header("content-type", "application/grpc");
                    let mut stream = respond
                        .send_response(answer.body(()).unwrap(), false)
                        .unwrap();
                    if let Some(message) = message {
                        let mut framed = BytesMut::new();
                        framed.put_u8(0);
                        framed.put_u32(message.len() as u32);
                        framed.put(message);
                        let mut left = framed.freeze();
                        while !left.is_empty() {
                            stream.reserve_capacity(left.len());
                            let Some(Ok(room)) = poll_fn(|cx| stream.poll_capacity(cx)).await
                            else {
                                return;
                            };
                            let part = left.split_to(room.min(left.len()));
                            if stream.send_data(part, false).is_err() {
                                return;
                            }
                        }
                    }
                    let mut trailers = HeaderMap::new();
                    trailers.insert("grpc-status", HeaderValue::from_static(status));
                    trailers.insert("grpc-message", HeaderValue::from_static("so it is"));
                    let _ = stream.send_trailers(trailers);
                });
            }
        });
    }
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// What comes of a request to a collector that answers so.
fn ask(message: Option<&[u8]>, status: &'static str) -> Result<Taken, Failure> {
    let message = message.map(Bytes::copy_from_slice);
    runtime().block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(serve(listener, message, status));
        send(&address).await
    })
}

async fn send(address: &str) -> Result<Taken, Failure> {
    let args = OtlpArgs {
        otlp: Some(address.to_owned()),
        otlp_protocol: Some(OtlpProtocol::Grpc),
        ..OtlpArgs::default()
    };
    let settings = Settings::with(&args, &|_| None).unwrap().unwrap();
    let mut client = Client::new(&settings.traces).unwrap();
    let origin = Origin::new(Vec::new(), None);
    let sending = client.send(&origin, Vec::new());
    tokio::time::timeout(Duration::from_secs(20), sending)
        .await
        .unwrap()
}

#[test]
fn all_is_taken() {
    assert_eq!(ask(Some(b""), "0"), Ok(Taken::default()));
}

#[test]
fn some_are_rejected() {
    let partial = b"\x0a\x0b\x08\x02\x12\x07too old";
    let taken = ask(Some(partial), "0").unwrap();
    assert_eq!((taken.rejected, &*taken.why), (2, "too old"));
    // Fewer than none cannot be.
    let negative = b"\x0a\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01";
    assert_eq!(ask(Some(negative), "0"), Ok(Taken::default()));
}

#[test]
fn what_is_worth_another_attempt() {
    for (status, again) in [
        ("14", true),
        ("4", true),
        ("3", false),
        ("12", false),
        ("8", false),
    ] {
        let failure = ask(None, status).unwrap_err();
        assert_eq!(failure.again, again, "{failure}");
        assert!(
            !failure.nobody && failure.why.contains("so it is"),
            "{failure}"
        );
    }
}

#[test]
fn an_answer_that_is_too_long_is_not_read() {
    let failure = ask(Some(&vec![0; 20 << 20]), "0").unwrap_err();
    assert!(failure.why.len() < 1_000, "{failure}");
}

#[test]
fn nobody_is_there() {
    let failure = runtime().block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        send(&address).await
    });
    let failure = failure.unwrap_err();
    assert!(failure.nobody && failure.again, "{failure:?}");
    assert!(failure.why.contains("Connection refused"), "{failure}");
}
