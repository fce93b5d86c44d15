//! Something between buildtap and a real dockerd that takes the upgrade off a request, as HTTP proxies do.

use std::time::Instant;

use buildtap_fixtures::peers::net::{Address, Listener, Stream, connect};
use buildtap_fixtures::peers::script::ClientScript;
use buildtap_fixtures::peers::tree::Tree;
use buildtap_tests::assert_says;
use buildtap_tests::lab::{Flavour, daemon};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::bed::Bed;

/// Passes a connection on, without the headers of an upgrade in its first request: RFC 9110 §7.6.1 has them end here.
async fn without_upgrade(mut client: Stream, daemon: &Address) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match client.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let head = String::from_utf8(head).unwrap();
    let kept = head.split_inclusive("\r\n").filter(|line| {
        let line = line.to_ascii_lowercase();
        !line.starts_with("upgrade:") && !line.starts_with("connection:")
    });
    let mut daemon = connect(daemon).await.unwrap();
    daemon
        .write_all(kept.collect::<String>().as_bytes())
        .await
        .unwrap();
    // Either side may go as it likes.
    let _ = tokio::io::copy_bidirectional(&mut client, &mut daemon).await;
}

#[test]
fn an_upgrade_that_is_swallowed_on_the_way_is_told() {
    let Some(daemon) = daemon(Flavour::Bookworm) else {
        return;
    };
    let home = TempDir::new().unwrap();
    let socket = home.path().join("filter.sock");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let listener = runtime
        .block_on(Listener::bind(&Address::Unix(socket.clone())))
        .unwrap();
    let upstream = Address::Unix(daemon.socket());
    runtime.spawn(async move {
        while let Ok(client) = listener.accept().await {
            let upstream = upstream.clone();
            tokio::spawn(async move { without_upgrade(client, &upstream).await });
        }
    });
    let mut bed = Bed::before(&socket, &[]);
    let script = ClientScript {
        dockerfile: Tree::new().text("Dockerfile", "FROM scratch\nCOPY . /\n"),
        ..ClientScript::default()
    };
    let client = bed.client(script);
    bed.wait_for("upgrade-refused", Instant::now());
    assert_eq!(bed.first_finding().as_deref(), Some("upgrade-refused"));
    let ended = bed.finish();
    assert_says(
        &ended,
        &["POST /session should turn into another protocol (101), but was answered HTTP 400"],
    );
    client.join().unwrap();
}
