//! Writes the two sides of a session, for tests and benchmarks: a small vocabulary of frames,
//! calls and packets, and a few whole conversations made of them.
#![allow(dead_code, reason = "every test uses a part of it")]

pub(crate) mod scene;

use buildtap_decoder::event::{Closed, Endpoints, Side, TapEvent, TapId, Time};
use buildtap_decoder::{Decoder, Options};
use buildtap_proto::fsutil::types::{Packet, Stat, packet::PacketType};
use buildtap_proto::moby::buildkit::v1::BytesMessage;
use prost::Message;

pub(crate) use Side::{Client, Daemon};

/// What is said, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Talk(pub(crate) Vec<(Side, Vec<u8>)>);

impl Talk {
    pub(crate) fn say(&mut self, from: Side, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.0.push((from, bytes.as_ref().to_vec()));
        self
    }

    pub(crate) fn frame(
        &mut self,
        from: Side,
        kind: u8,
        flags: u8,
        stream_id: u32,
        payload: &[u8],
    ) -> &mut Self {
        self.say(from, frame(kind, flags, stream_id, payload))
    }

    /// Both prefaces of HTTP/2, with `client` as its client.
    pub(crate) fn http2(&mut self, client: Side) -> &mut Self {
        self.say(client, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        for side in [client, client.peer()] {
            // A window that never closes: flow control has tests of its own.
            self.frame(side, 4, 0, 0, &[0, 4, 0x7f, 0xff, 0xff, 0xff]);
            self.frame(side, 8, 0, 0, &0x7000_0000u32.to_be_bytes());
        }
        self
    }

    pub(crate) fn headers(
        &mut self,
        from: Side,
        stream_id: u32,
        fields: &[(&str, &str)],
        end_stream: bool,
    ) -> &mut Self {
        self.frame(from, 1, 4 | u8::from(end_stream), stream_id, &block(fields))
    }

    /// The request headers of a gRPC call.
    pub(crate) fn call(
        &mut self,
        from: Side,
        stream_id: u32,
        path: &str,
        metadata: &[(&str, &str)],
    ) -> &mut Self {
        let mut fields = vec![
            (":method", "POST"),
            (":scheme", "http"),
            (":path", path),
            (":authority", "localhost"),
        ];
        fields.extend([("content-type", "application/grpc"), ("te", "trailers")]);
        fields.extend(metadata);
        self.headers(from, stream_id, &fields, false)
    }

    pub(crate) fn accept(&mut self, from: Side, stream_id: u32) -> &mut Self {
        self.headers(
            from,
            stream_id,
            &[(":status", "200"), ("content-type", "application/grpc")],
            false,
        )
    }

    pub(crate) fn status(
        &mut self,
        from: Side,
        stream_id: u32,
        code: u32,
        message: &str,
    ) -> &mut Self {
        let code = code.to_string();
        self.headers(
            from,
            stream_id,
            &[("grpc-status", &code), ("grpc-message", message)],
            true,
        )
    }

    /// One gRPC message in DATA frames of at most 16 KiB.
    pub(crate) fn message(&mut self, from: Side, stream_id: u32, body: &[u8]) -> &mut Self {
        let framed = grpc(body);
        for part in framed.chunks(16 << 10) {
            self.frame(from, 0, 0, stream_id, part);
        }
        self
    }

    pub(crate) fn end(&mut self, from: Side, stream_id: u32) -> &mut Self {
        self.frame(from, 0, 1, stream_id, &[])
    }

    pub(crate) fn packet(&mut self, from: Side, stream_id: u32, packet: &Packet) -> &mut Self {
        self.message(from, stream_id, &packet.encode_to_vec())
    }

    /// Tells all of it to a decoder, a microsecond apart.
    pub(crate) fn tell(&self, decoder: &mut Decoder) {
        let tap = TapId(1);
        decoder.event(Time(1_000), tap, TapEvent::Open(Endpoints::default()));
        let mut at = Time(1_000);
        for (from, bytes) in &self.0 {
            at.0 += 1_000;
            decoder.event(at, tap, TapEvent::Chunk { from: *from, bytes });
        }
        at.0 += 1_000;
        for from in Side::BOTH {
            decoder.event(at, tap, TapEvent::HalfClose { from });
        }
        decoder.event(
            at,
            tap,
            TapEvent::Close {
                how: Closed::Finished,
            },
        );
        decoder.finish();
    }

    pub(crate) fn decode(&self, options: Options) -> Decoder {
        let mut decoder = Decoder::new(options);
        self.tell(&mut decoder);
        decoder
    }
}

pub(crate) fn frame(kind: u8, flags: u8, stream_id: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream_id.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A header block of literals without indexing (RFC 7541 §6.2.2).
pub(crate) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            let mut length = text.len();
            if length < 127 {
                block.push(length as u8);
            } else {
                block.push(127);
                length -= 127;
                while length >= 128 {
                    block.push((length % 128 + 128) as u8);
                    length /= 128;
                }
                block.push(length as u8);
            }
            block.extend(text.as_bytes());
        }
    }
    block
}

/// A gRPC message with its prefix.
pub(crate) fn grpc(body: &[u8]) -> Vec<u8> {
    let mut framed = vec![0];
    framed.extend((body.len() as u32).to_be_bytes());
    framed.extend(body);
    framed
}

pub(crate) fn stat(path: &str, mode: u32, size: i64) -> Packet {
    let stat = Stat {
        path: path.into(),
        mode,
        size,
        mod_time: 1_700_000_000_000_000_000,
        ..Stat::default()
    };
    Packet {
        stat: Some(stat),
        ..Packet::default()
    }
}

pub(crate) fn plain(kind: PacketType, id: u32) -> Packet {
    Packet {
        r#type: kind.into(),
        id,
        ..Packet::default()
    }
}

pub(crate) fn data(id: u32, bytes: Vec<u8>) -> Packet {
    Packet {
        data: bytes.into(),
        ..plain(PacketType::PacketData, id)
    }
}

pub(crate) const FILE_SEND: &str = "/moby.filesync.v1.FileSend/DiffCopy";
pub(crate) const FILE_SYNC: &str = "/moby.filesync.v1.FileSync/DiffCopy";

/// `POST /session` and its answer.
pub(crate) fn upgrade(talk: &mut Talk, uuid: &str, methods: &[&str]) {
    let mut request = format!(
        "POST /session HTTP/1.1\r\nHost: docker\r\nUser-Agent: Docker-Client/20.10.24 (linux)\r\n\
         Connection: Upgrade\r\nUpgrade: h2c\r\nX-Docker-Expose-Session-Uuid: {uuid}\r\n\
         X-Docker-Expose-Session-Sharedkey: key\r\n"
    );
    for method in methods {
        request += &format!("X-Docker-Expose-Session-Grpc-Method: {method}\r\n");
    }
    talk.say(Client, request + "\r\n");
    talk.say(
        Daemon,
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
    );
    talk.http2(Daemon);
}

/// A session with one local export of files of this size, sent in packets of 32 KiB.
pub(crate) fn local_export(files: u32, size: usize) -> Talk {
    let mut talk = Talk::default();
    upgrade(
        &mut talk,
        "s1",
        &[FILE_SEND, "/grpc.health.v1.Health/Check"],
    );
    talk.call(Daemon, 1, FILE_SEND, &[("buildtap-test", "x")])
        .accept(Client, 1);
    talk.packet(Daemon, 1, &stat("dir", 1 << 31 | 0o755, 0));
    for n in 1..=files {
        talk.packet(
            Daemon,
            1,
            &stat(&format!("dir/file-{n:08}"), 0o644, size as i64),
        );
    }
    talk.packet(Daemon, 1, &Packet::default());
    for n in 1..=files {
        talk.packet(Client, 1, &plain(PacketType::PacketReq, n));
        for part in vec![0x5a; size].chunks(32 << 10) {
            talk.packet(Daemon, 1, &data(n, part.to_vec()));
        }
        talk.packet(Daemon, 1, &plain(PacketType::PacketData, n));
    }
    talk.packet(Client, 1, &plain(PacketType::PacketFin, 0));
    talk.packet(Daemon, 1, &plain(PacketType::PacketFin, 0));
    talk.frame(Daemon, 3, 0, 1, &8u32.to_be_bytes());
    talk
}

/// A session whose client exports an archive of 100,000 bytes, of which the daemon sends as much as
/// the window of the stream takes.
pub(crate) fn archive_without_a_window(talk: &mut Talk) {
    upgrade(talk, "s1", &[FILE_SEND]);
    talk.0.truncate(2);
    talk.say(Daemon, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    talk.frame(Daemon, 4, 0, 0, &[]).frame(Client, 4, 0, 0, &[]);
    talk.call(Daemon, 1, FILE_SEND, &[]).accept(Client, 1);
    let contents = BytesMessage {
        data: vec![7; 100_000].into(),
    };
    let whole = grpc(&contents.encode_to_vec());
    for part in whole[..65_535].chunks(16 << 10) {
        talk.frame(Daemon, 0, 0, 1, part);
    }
}
