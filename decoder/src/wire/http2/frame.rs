//! The nine bytes before every frame, and the names of the numbers in them.

/// Flags of frames (RFC 9113 §6).
pub mod flags {
    /// DATA, HEADERS: the sender's last frame on the stream.
    pub const END_STREAM: u8 = 0x1;
    /// SETTINGS, PING: an answer.
    pub const ACK: u8 = 0x1;
    /// HEADERS, CONTINUATION: the header block is complete.
    pub const END_HEADERS: u8 = 0x4;
    /// DATA, HEADERS: a pad length comes first.
    pub const PADDED: u8 = 0x8;
    /// HEADERS: a priority comes first.
    pub const PRIORITY: u8 = 0x20;
}

/// The type of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameType {
    /// Bytes of a stream.
    Data,
    /// A header block begins.
    Headers,
    /// Deprecated.
    Priority,
    /// A stream is ended abruptly.
    RstStream,
    /// Parameters of the connection.
    Settings,
    /// A stream announced by the server.
    PushPromise,
    /// Asks for an answer.
    Ping,
    /// The connection is being shut down.
    GoAway,
    /// The peer may send more.
    WindowUpdate,
    /// A header block goes on.
    Continuation,
    /// A type that RFC 9113 does not define.
    Other(u8),
}

impl FrameType {
    /// Whether it is about the connection or about how a stream goes on, and carries nothing.
    pub fn is_control(self) -> bool {
        matches!(
            self,
            FrameType::RstStream
                | FrameType::Settings
                | FrameType::Ping
                | FrameType::GoAway
                | FrameType::WindowUpdate
        )
    }
}

impl std::fmt::Display for FrameType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            FrameType::Data => "DATA",
            FrameType::Headers => "HEADERS",
            FrameType::Priority => "PRIORITY",
            FrameType::RstStream => "RST_STREAM",
            FrameType::Settings => "SETTINGS",
            FrameType::PushPromise => "PUSH_PROMISE",
            FrameType::Ping => "PING",
            FrameType::GoAway => "GOAWAY",
            FrameType::WindowUpdate => "WINDOW_UPDATE",
            FrameType::Continuation => "CONTINUATION",
            FrameType::Other(kind) => return write!(f, "type {kind}"),
        })
    }
}

impl From<u8> for FrameType {
    fn from(value: u8) -> Self {
        match value {
            0 => FrameType::Data,
            1 => FrameType::Headers,
            2 => FrameType::Priority,
            3 => FrameType::RstStream,
            4 => FrameType::Settings,
            5 => FrameType::PushPromise,
            6 => FrameType::Ping,
            7 => FrameType::GoAway,
            8 => FrameType::WindowUpdate,
            9 => FrameType::Continuation,
            other => FrameType::Other(other),
        }
    }
}

/// A frame header (RFC 9113 §4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// Bytes of payload.
    pub length: u32,
    /// What kind of frame it is.
    pub kind: FrameType,
    /// Its flags; see [`flags`].
    pub flags: u8,
    /// The stream, or 0 for the connection.
    pub stream_id: u32,
}

impl FrameHeader {
    /// How many bytes it takes.
    pub const LEN: usize = 9;

    /// Reads it.
    pub fn parse(bytes: &[u8; Self::LEN]) -> Self {
        let [l0, l1, l2, kind, flags, s0, s1, s2, s3] = *bytes;
        FrameHeader {
            length: u32::from_be_bytes([0, l0, l1, l2]),
            kind: kind.into(),
            flags,
            stream_id: u32::from_be_bytes([s0 & 0x7f, s1, s2, s3]),
        }
    }

    /// Whether a flag is set.
    pub fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// The name of an error code (RFC 9113 §7).
pub fn error_code_name(code: u32) -> &'static str {
    match code {
        0x0 => "NO_ERROR",
        0x1 => "PROTOCOL_ERROR",
        0x2 => "INTERNAL_ERROR",
        0x3 => "FLOW_CONTROL_ERROR",
        0x4 => "SETTINGS_TIMEOUT",
        0x5 => "STREAM_CLOSED",
        0x6 => "FRAME_SIZE_ERROR",
        0x7 => "REFUSED_STREAM",
        0x8 => "CANCEL",
        0x9 => "COMPRESSION_ERROR",
        0xa => "CONNECT_ERROR",
        0xb => "ENHANCE_YOUR_CALM",
        0xc => "INADEQUATE_SECURITY",
        0xd => "HTTP_1_1_REQUIRED",
        _ => "unknown error code",
    }
}

/// The name of a setting (RFC 9113 §6.5.2).
pub fn setting_name(number: u16) -> &'static str {
    match number {
        1 => "HEADER_TABLE_SIZE",
        2 => "ENABLE_PUSH",
        3 => "MAX_CONCURRENT_STREAMS",
        4 => "INITIAL_WINDOW_SIZE",
        5 => "MAX_FRAME_SIZE",
        6 => "MAX_HEADER_LIST_SIZE",
        _ => "unknown setting",
    }
}
