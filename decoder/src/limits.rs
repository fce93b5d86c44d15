//! How much is kept. Nothing that is read off a wire may grow without one of these.

/// Upper bounds of everything that the decoder keeps. When one is reached the oldest goes, or
/// what comes is counted but not kept; nothing fails.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Rows of the connection table.
    pub connections: usize,
    /// Rows of the session table.
    pub sessions: usize,
    /// Rows of the call table.
    pub calls: usize,
    /// Rows of the exchange table.
    pub exchanges: usize,
    /// Rows of the transfer table.
    pub transfers: usize,
    /// Rows of the build table.
    pub builds: usize,
    /// Rows of the finding table.
    pub findings: usize,
    /// Bytes of text that the rows of one table hold together.
    pub text: usize,
    /// Vertices kept of one build.
    pub vertices: usize,
    /// Bytes that the entries of all open transfers may take: kind, size and path of each. What
    /// does not fit is only counted; what was kept goes when its transfer ends.
    pub entry_bytes: usize,
    /// Concurrent streams of one HTTP/2 connection that are followed.
    pub streams: usize,
    /// Bytes of one header block (RFC 9113 §4.3).
    pub header_block: usize,
    /// Bytes of a message whose meaning is needed (Solve, Status): BuildKit's own limit is 16 MiB.
    pub message: usize,
    /// Bytes of all messages that are being put together at a time.
    pub messages: usize,
    /// Bytes kept of any other message, for showing it.
    pub preview: usize,
    /// Bytes of all previews that wait to be shown.
    pub pending_previews: usize,
    /// Updates that wait to be shown; beyond it they are dropped and counted.
    pub pending_updates: usize,
    /// Bytes kept of an HTTP body, for showing it.
    pub body: usize,
    /// Connections inside connections.
    pub depth: u8,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            connections: 16_384,
            sessions: 4_096,
            calls: 65_536,
            exchanges: 16_384,
            transfers: 8_192,
            builds: 256,
            findings: 4_096,
            text: 16 << 20,
            vertices: 4_096,
            entry_bytes: 24 << 20,
            streams: 4_096,
            header_block: 1 << 20,
            message: 16 << 20,
            messages: 64 << 20,
            preview: 64 << 10,
            pending_previews: 8 << 20,
            pending_updates: 65_536,
            body: 16 << 10,
            depth: 6,
        }
    }
}
