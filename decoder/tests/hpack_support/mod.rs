//! Header lists as container builds have them, and an encoder that can be told every choice
//! that RFC 7541 leaves to encoders.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "every test includes this file and takes what it needs"
)]

use std::collections::VecDeque;

use buildtap_decoder::wire::hpack::{Decoder, Error, huffman};

/// A field, owned.
pub type Pair = (Vec<u8>, Vec<u8>);

/// Decodes a block into owned fields.
pub fn decode(decoder: &mut Decoder, block: &[u8]) -> Result<Vec<Pair>, Error> {
    let mut fields = Vec::new();
    decoder.decode(block, |field| {
        fields.push((field.name.to_vec(), field.value.to_vec()));
    })?;
    Ok(fields)
}

/// Owned fields from text.
pub fn pairs(fields: &[(&str, &str)]) -> Vec<Pair> {
    fields
        .iter()
        .map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()))
        .collect()
}

/// Header lists of both directions of a build: calls of the client, calls back to the
/// session, responses and trailers.
pub fn build_session() -> Vec<Vec<Pair>> {
    let mut lists = Vec::new();
    for call in 0..8_u32 {
        let trace = format!("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902{call:02x}-01");
        for path in [
            "/moby.buildkit.v1.Control/Solve",
            "/moby.buildkit.v1.Control/Status",
            "/moby.buildkit.v1.Control/ListWorkers",
            "/grpc.health.v1.Health/Check",
        ] {
            lists.push(pairs(&[
                (":method", "POST"),
                (":scheme", "http"),
                (":path", path),
                (":authority", "%2Fvar%2Frun%2Fdocker.sock"),
                ("content-type", "application/grpc"),
                ("user-agent", "buildkit-client/v0.24 grpc-go/1.75.0"),
                ("te", "trailers"),
                ("traceparent", &trace),
                ("grpc-timeout", "4999831u"),
            ]));
        }
        let nth = format!("{}", call * 7919);
        lists.push(pairs(&[
            (":method", "POST"),
            (":scheme", "http"),
            (":path", "/moby.filesync.v1.FileSync/DiffCopy"),
            (":authority", "localhost"),
            ("content-type", "application/grpc"),
            ("user-agent", "buildkit/v0.24 grpc-go/1.75.0"),
            ("te", "trailers"),
            ("dir-name", "context"),
            ("followpaths", "Dockerfile"),
            ("followpaths", "src/{main,lib}.rs"),
            ("include-patterns", "**/*.go"),
            ("exclude-patterns", "node_modules"),
            ("override-excludes", "false"),
            ("x-docker-expose-session-sharedkey", &trace),
            ("content-length", &nth),
        ]));
        lists.push(pairs(&[
            (":method", "POST"),
            (":scheme", "http"),
            (":path", "/moby.filesync.v1.Auth/Credentials"),
            (":authority", "localhost"),
            ("content-type", "application/grpc"),
            (
                "authorization",
                "Bearer eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJidWlsZCJ9.c2ln",
            ),
            ("baggage-bin", "AAAB/7+x8v3QzA=="),
        ]));
        lists.push(pairs(&[
            (":status", "200"),
            ("content-type", "application/grpc"),
        ]));
        lists.push(pairs(&[
            ("grpc-status", "2"),
            (
                "grpc-message",
                "failed to solve: process \"/bin/sh -c make\" did not complete: exit code: 2",
            ),
            (
                "grpc-status-details-bin",
                "CAISTGZhaWxlZCB0byBzb2x2ZTogcHJvY2Vzcw",
            ),
        ]));
    }
    lists
}

/// How a field is written where it is not in a table as a whole, or is not to be.
#[derive(Clone, Copy, Debug)]
pub struct Choice {
    /// Take an entry with the same name and value, where there is one.
    pub index: bool,
    /// Take an entry's name, where there is one.
    pub name_index: bool,
    /// Which literal representation: incremental indexing, without, never.
    pub literal: u8,
    /// Huffman-code the name.
    pub huffman_name: bool,
    /// Huffman-code the value.
    pub huffman_value: bool,
}

impl Choice {
    /// A choice made by the low bits of `seed`.
    pub fn from_seed(seed: u8) -> Self {
        Choice {
            index: seed & 1 != 0,
            name_index: seed & 2 != 0,
            huffman_name: seed & 4 != 0,
            huffman_value: seed & 8 != 0,
            literal: [0, 0, 1, 2][usize::from(seed >> 4 & 3)],
        }
    }

    /// What most encoders do.
    pub fn usual(huffman: bool) -> Self {
        Choice {
            index: true,
            name_index: true,
            literal: 0,
            huffman_name: huffman,
            huffman_value: huffman,
        }
    }
}

/// An encoder as plain as can be, with a table of its own that has nothing to do with the
/// decoder's.
pub struct Encoder {
    statics: Vec<Pair>,
    /// Newest first.
    table: VecDeque<Pair>,
    max_size: usize,
}

impl Encoder {
    pub fn new(max_size: usize) -> Self {
        // The static table as the decoder under test has it; that it is the right one is for
        // the comparison with other decoders to show.
        let mut block = Vec::new();
        for index in 1..=61 {
            integer(&mut block, 0x80, 7, index);
        }
        let statics = decode(&mut Decoder::new(0), &block).unwrap();
        Encoder {
            statics,
            table: VecDeque::new(),
            max_size,
        }
    }

    pub fn size_update(&mut self, block: &mut Vec<u8>, size: usize) {
        integer(block, 0x20, 5, size);
        self.max_size = size;
        self.evict();
    }

    pub fn field(&mut self, block: &mut Vec<u8>, field: &Pair, choice: Choice) {
        let entries = || self.statics.iter().chain(&self.table);
        if choice.index
            && let Some(at) = entries().position(|entry| entry == field)
        {
            return integer(block, 0x80, 7, at + 1);
        }
        let name_index = entries()
            .position(|entry| entry.0 == field.0)
            .filter(|_| choice.name_index)
            .map_or(0, |at| at + 1);
        let (pattern, bits) = [(0x40, 6), (0x00, 4), (0x10, 4)][usize::from(choice.literal)];
        integer(block, pattern, bits, name_index);
        if name_index == 0 {
            string(block, &field.0, choice.huffman_name);
        }
        string(block, &field.1, choice.huffman_value);
        if choice.literal == 0 {
            self.table.push_front(field.clone());
            self.evict();
        }
    }

    pub fn table_len(&self) -> usize {
        self.table.len()
    }

    pub fn table_size(&self) -> usize {
        self.table
            .iter()
            .map(|(name, value)| name.len() + value.len() + 32)
            .sum()
    }

    fn evict(&mut self) {
        while self.table_size() > self.max_size {
            self.table.pop_back();
        }
    }
}

/// RFC 7541, section 5.1.
pub fn integer(block: &mut Vec<u8>, pattern: u8, bits: u32, value: usize) {
    let max = (1 << bits) - 1;
    if value < max {
        return block.push(pattern | value as u8);
    }
    block.push(pattern | max as u8);
    let mut rest = value - max;
    while rest >= 128 {
        block.push((rest % 128) as u8 | 128);
        rest /= 128;
    }
    block.push(rest as u8);
}

/// RFC 7541, section 5.2.
pub fn string(block: &mut Vec<u8>, text: &[u8], huffman: bool) {
    if huffman {
        integer(block, 0x80, 7, huffman::encoded_len(text));
        huffman::encode(text, block);
    } else {
        integer(block, 0, 7, text.len());
        block.extend_from_slice(text);
    }
}
