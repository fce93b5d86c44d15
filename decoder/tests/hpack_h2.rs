//! The decoder beside h2: as a bystander of what an h2 client sends while its peer changes the
//! table's size, and against what an h2 server reads.

mod hpack_support;

use std::collections::BTreeMap;
use std::time::Duration;

use buildtap_decoder::wire::hpack::Decoder;
use hpack_support::{Choice, Encoder, Pair, build_session, decode, pairs};
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const CONTINUATION: u8 = 9;
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// Runs a case to its end, which it has to reach in time.
fn run<T>(case: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(async { tokio::time::timeout(Duration::from_secs(30), case).await })
        .expect("the peers wait for each other")
}

/// Reads a frame: type, flags, payload.
async fn read_frame(io: &mut DuplexStream) -> (u8, u8, Vec<u8>) {
    let mut head = [0; 9];
    io.read_exact(&mut head).await.unwrap();
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    let mut payload = vec![0; length as usize];
    io.read_exact(&mut payload).await.unwrap();
    (head[3], head[4], payload)
}

fn frame(kind: u8, flags: u8, stream_id: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    frame.extend_from_slice(&[kind, flags]);
    frame.extend_from_slice(&stream_id.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// Values by name: h2 keeps the order of the values of a name, not that of the names.
fn by_name(fields: &[Pair]) -> BTreeMap<Vec<u8>, Vec<Vec<u8>>> {
    let mut map: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (name, value) in fields {
        map.entry(name.clone()).or_default().push(value.clone());
    }
    map
}

fn pseudo(path: &str) -> Vec<Pair> {
    pairs(&[
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", "localhost"),
        (":path", path),
    ])
}

fn request(path: &str, fields: &[(Pair, bool)]) -> Request<()> {
    let mut request = Request::post(format!("http://localhost{path}"))
        .version(http::Version::HTTP_2)
        .body(())
        .unwrap();
    for ((name, value), sensitive) in fields {
        let mut value = HeaderValue::from_bytes(value).unwrap();
        value.set_sensitive(*sensitive);
        let name = HeaderName::from_bytes(name).unwrap();
        request.headers_mut().append(name, value);
    }
    request
}

/// Fields that HTTP allows.
fn field() -> impl Strategy<Value = Pair> {
    let name = prop_oneof![
        2 => proptest::sample::select(vec![
            "content-type", "user-agent", "grpc-timeout", "traceparent", "dir-name", "authorization",
        ])
        .prop_map(str::to_owned),
        1 => "x-[a-z0-9_-]{1,12}",
    ];
    let value = prop_oneof![
        2 => "[a-z0-9/. -]{0,40}".prop_map(|value| value.trim().as_bytes().to_vec()),
        1 => vec(prop_oneof![0x21..0x7f_u8, 0x80..=0xff_u8], 0..100),
    ];
    (name.prop_map(String::into_bytes), value)
}

/// One request: whether the peer changes the size of the table before it, and its fields,
/// some of them sensitive.
type Step = (Option<u32>, Vec<(Pair, bool)>);

async fn watch_client(steps: Vec<Step>) -> Result<(), TestCaseError> {
    let (client, mut server) = tokio::io::duplex(1 << 20);
    let (mut requests, connection) = h2::client::handshake(client).await.unwrap();
    let connection = tokio::spawn(connection);
    let mut preface = [0; PREFACE.len()];
    server.read_exact(&mut preface).await.unwrap();
    assert_eq!(preface, *PREFACE);
    server.write_all(&frame(SETTINGS, 0, 0, &[])).await.unwrap();

    let mut decoder = Decoder::new(4096);
    let mut streams = Vec::new();
    for (nth, (size, fields)) in steps.into_iter().enumerate() {
        if let Some(size) = size {
            let mut setting = vec![0, 1];
            setting.extend_from_slice(&size.to_be_bytes());
            let settings = frame(SETTINGS, 0, 0, &setting);
            // The first one acknowledged is the one before the loop.
            let acks = if streams.is_empty() { 2 } else { 1 };
            server.write_all(&settings).await.unwrap();
            for _ in 0..acks {
                while !matches!(read_frame(&mut server).await, (SETTINGS, ACK, _)) {}
            }
            decoder.set_max_table_size(size as usize);
        } else if streams.is_empty() {
            while !matches!(read_frame(&mut server).await, (SETTINGS, ACK, _)) {}
        }

        let path = format!("/service/{nth}");
        requests = requests.ready().await.unwrap();
        streams.push(
            requests
                .send_request(request(&path, &fields), true)
                .unwrap(),
        );
        let mut block = Vec::new();
        loop {
            let (kind, flags, payload) = read_frame(&mut server).await;
            if kind == HEADERS || kind == CONTINUATION {
                block.extend_from_slice(&payload);
                if flags & END_HEADERS != 0 {
                    break;
                }
            }
        }

        let mut seen = Vec::new();
        let mut never_indexed = Vec::new();
        decoder
            .decode(&block, |field| {
                let pair = (field.name.to_vec(), field.value.to_vec());
                if field.never_indexed {
                    never_indexed.push(pair.clone());
                }
                seen.push(pair);
            })
            .unwrap();
        let mut sent = pseudo(&path);
        sent.extend(fields.iter().map(|(field, _)| field.clone()));
        prop_assert_eq!(by_name(&seen), by_name(&sent));
        // An empty value may be in the static table, and h2 then takes it from there.
        never_indexed.retain(|(_, value): &Pair| !value.is_empty());
        let sensitive: Vec<Pair> = fields
            .into_iter()
            .filter_map(|(field, sensitive)| sensitive.then_some(field))
            .filter(|(_, value)| !value.is_empty())
            .collect();
        prop_assert_eq!(by_name(&never_indexed), by_name(&sensitive));
        prop_assert!(decoder.take_warnings().is_empty());
        prop_assert!(decoder.table_size() <= decoder.table_max_size());
    }
    connection.abort();
    Ok(())
}

async fn ask_server(blocks: Vec<Vec<u8>>) -> Vec<HeaderMap> {
    let (mut client, server) = tokio::io::duplex(1 << 20);
    client.write_all(PREFACE).await.unwrap();
    client.write_all(&frame(SETTINGS, 0, 0, &[])).await.unwrap();
    let mut connection = h2::server::handshake(server).await.unwrap();
    let mut seen = Vec::new();
    let mut responses = Vec::new();
    for (nth, block) in blocks.iter().enumerate() {
        // In two halves, as frames may have it.
        let stream_id = nth as u32 * 2 + 1;
        let (first, second) = block.split_at(block.len() / 2);
        let headers = frame(HEADERS, END_STREAM, stream_id, first);
        let continuation = frame(CONTINUATION, END_HEADERS, stream_id, second);
        client.write_all(&headers).await.unwrap();
        client.write_all(&continuation).await.unwrap();
        let (request, respond) = connection.accept().await.unwrap().unwrap();
        seen.push(request.headers().clone());
        responses.push(respond);
    }
    seen
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn reads_what_an_h2_client_sends(steps in vec(
        (
            prop_oneof![
                3 => Just(None),
                1 => prop_oneof![Just(0), 1..300_u32, 1..10_000_u32].prop_map(Some),
            ],
            vec((field(), prop::bool::weighted(0.2)), 0..10),
        ),
        1..12,
    )) {
        run(watch_client(steps))?;
    }

    #[test]
    fn reads_what_an_h2_server_reads(lists in vec(
        (
            prop_oneof![3 => Just(None), 1 => (0..4097_usize).prop_map(Some)],
            vec((field(), any::<u8>()), 0..10),
        ),
        1..12,
    )) {
        let mut encoder = Encoder::new(4096);
        let mut blocks = Vec::new();
        for (size, fields) in &lists {
            let mut block = Vec::new();
            if let Some(size) = size {
                encoder.size_update(&mut block, *size);
            }
            for field in pseudo("/") {
                encoder.field(&mut block, &field, Choice::usual(true));
            }
            for (field, seed) in fields {
                encoder.field(&mut block, field, Choice::from_seed(*seed));
            }
            blocks.push(block);
        }
        let theirs = run(ask_server(blocks.clone()));
        prop_assert_eq!(theirs.len(), blocks.len());
        let mut decoder = Decoder::new(4096);
        for (block, theirs) in blocks.iter().zip(theirs) {
            let ours: Vec<Pair> = decode(&mut decoder, block)
                .unwrap()
                .into_iter()
                .filter(|(name, _)| !name.starts_with(b":"))
                .collect();
            let theirs: Vec<Pair> = theirs
                .iter()
                .map(|(name, value)| (name.as_str().into(), value.as_bytes().to_vec()))
                .collect();
            prop_assert_eq!(by_name(&ours), by_name(&theirs));
        }
    }
}

/// Long enough that h2 splits a block into CONTINUATION frames and evicts all the time.
#[test]
fn reads_a_build_session_from_an_h2_client() {
    let fields = |list: Vec<Pair>| {
        list.into_iter()
            .filter(|(name, _)| !name.starts_with(b":"))
            .map(|field| (field, false))
            .collect()
    };
    let mut steps: Vec<Step> = build_session()
        .into_iter()
        .map(|list| (None, fields(list)))
        .collect();
    let long = pairs(&[("x-long", &"a~".repeat(20_000))]);
    steps.insert(3, (None, fields(long)));
    steps.insert(5, (Some(200), vec![]));
    run(watch_client(steps)).unwrap();
}
