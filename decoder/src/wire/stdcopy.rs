//! The multiplexed stream of the Docker Engine: the output of a container or exec without a
//! terminal, standard output and standard error in one stream.
//!
//! A frame is a header of 8 bytes, `[stream, 0, 0, 0, length as big-endian u32]`, and `length`
//! bytes (Moby, `pkg/stdcopy`). Only the direction from the daemon is framed. Whether a stream is
//! depends on the `Tty` of the exec or container: with a terminal it is raw. The content type does
//! not tell, since before API 1.42 both were sent as `application/vnd.docker.raw-stream`.

use super::Sniff;

/// Length of a frame's header, in bytes.
const HEADER: usize = 8;

/// What a frame is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stream {
    /// Type 0. Readers treat it as standard output.
    Stdin,
    /// Type 1: standard output.
    Stdout,
    /// Type 2: standard error.
    Stderr,
    /// Type 3: a message of the daemon about an error of its own.
    SystemError,
}

impl Stream {
    fn from_type(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Stream::Stdin),
            1 => Some(Stream::Stdout),
            2 => Some(Stream::Stderr),
            3 => Some(Stream::SystemError),
            _ => None,
        }
    }

    /// Whether a reader takes it as standard output.
    pub fn is_output(self) -> bool {
        matches!(self, Stream::Stdin | Stream::Stdout)
    }
}

/// A frame cannot begin like this: the stream is not multiplexed, or not from here on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the 8 bytes \"{}\" at offset {at} are not the header of a multiplexed frame",
    .header.escape_ascii()
)]
pub struct NotAFrame {
    /// What was found instead of a header.
    pub header: [u8; HEADER],
    /// Where: so many bytes of the stream came before.
    pub at: u64,
}

/// Takes a multiplexed stream apart.
#[derive(Debug, Default)]
pub struct Demux {
    state: State,
    /// Bytes taken so far.
    at: u64,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// In a header, of which `have` bytes have been seen.
    Header { bytes: [u8; HEADER], have: usize },
    /// In the content of a frame, of which `left` bytes are to come, at least one.
    Content { stream: Stream, left: u32 },
    /// After something that was not a frame.
    Lost,
}

impl Default for State {
    fn default() -> Self {
        State::Header {
            bytes: [0; HEADER],
            have: 0,
        }
    }
}

impl Demux {
    /// At the beginning of a stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes of the stream and hands the content of frames to `each`; `last` says
    /// that the frame ends with these bytes. An empty frame is one call without bytes.
    ///
    /// The error comes once; what follows it is passed over.
    pub fn feed(
        &mut self,
        mut bytes: &[u8],
        each: &mut impl FnMut(Stream, &[u8], bool),
    ) -> Result<(), NotAFrame> {
        while let Some((&first, behind)) = bytes.split_first() {
            match &mut self.state {
                State::Lost => return Ok(()),
                State::Header {
                    bytes: header,
                    have,
                } => {
                    if let Some(place) = header.get_mut(*have) {
                        *place = first;
                    }
                    *have = have.saturating_add(1);
                    bytes = behind;
                    self.at = self.at.saturating_add(1);
                    if *have == HEADER {
                        let header = *header;
                        self.state = self.content(header)?;
                        if let State::Content { stream, left: 0 } = self.state {
                            each(stream, &[], true);
                            self.state = State::default();
                        }
                    }
                }
                State::Content { stream, left } => {
                    let length = usize::try_from(*left).unwrap_or(usize::MAX);
                    let (content, behind) = bytes.split_at_checked(length).unwrap_or((bytes, &[]));
                    bytes = behind;
                    self.at = self.at.saturating_add(content.len() as u64);
                    let taken = u32::try_from(content.len()).unwrap_or(u32::MAX);
                    *left = left.saturating_sub(taken);
                    let last = *left == 0;
                    each(*stream, content, last);
                    if last {
                        self.state = State::default();
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether the stream ends well here: between frames.
    pub fn is_between_frames(&self) -> bool {
        matches!(self.state, State::Header { have: 0, .. })
    }

    /// Whether a frame was impossible, so that the stream cannot be read any further.
    pub fn is_lost(&self) -> bool {
        matches!(self.state, State::Lost)
    }

    /// The state after a whole header.
    fn content(&mut self, header: [u8; HEADER]) -> Result<State, NotAFrame> {
        let [kind, 0, 0, 0, length @ ..] = header else {
            return Err(self.lose(header));
        };
        let Some(stream) = Stream::from_type(kind) else {
            return Err(self.lose(header));
        };
        let left = u32::from_be_bytes(length);
        Ok(State::Content { stream, left })
    }

    fn lose(&mut self, header: [u8; HEADER]) -> NotAFrame {
        self.state = State::Lost;
        let at = self.at.saturating_sub(HEADER as u64);
        NotAFrame { header, at }
    }
}

/// Whether a stream that begins with `bytes` can be multiplexed. `Yes` needs a whole header; raw
/// bytes that look like one are possible, so `Tty` decides where it is known.
pub fn sniff(bytes: &[u8]) -> Sniff {
    let mut header = bytes.iter().take(4);
    if header.next().is_some_and(|&kind| kind > 3) || header.any(|&zero| zero != 0) {
        Sniff::No
    } else if bytes.len() < HEADER {
        Sniff::Maybe
    } else {
        Sniff::Yes
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FRAMES: &[u8] =
        b"\x01\0\0\0\0\0\0\x03PRI\x02\0\0\0\0\0\0\0\x00\0\0\0\0\0\0\x01*\x03\0\0\0\0\0\0\x02no";

    fn demux(bytes: &[u8], pieces: usize) -> Result<Vec<(Stream, Vec<u8>)>, NotAFrame> {
        let mut demux = Demux::new();
        let mut frames = vec![];
        let mut open = Vec::new();
        for piece in bytes.chunks(pieces) {
            demux.feed(piece, &mut |stream, content, last| {
                open.extend_from_slice(content);
                if last {
                    frames.push((stream, std::mem::take(&mut open)));
                }
            })?;
        }
        assert!(demux.is_between_frames());
        Ok(frames)
    }

    #[test]
    fn frames_in_pieces() {
        for pieces in 1..=FRAMES.len() {
            assert_eq!(
                demux(FRAMES, pieces).unwrap(),
                [
                    (Stream::Stdout, b"PRI".to_vec()),
                    (Stream::Stderr, b"".to_vec()),
                    (Stream::Stdin, b"*".to_vec()),
                    (Stream::SystemError, b"no".to_vec()),
                ]
            );
        }
    }

    #[test]
    fn an_impossible_header_is_shown() {
        let bytes = [FRAMES, b"PRI * HTTP/2.0"].concat();
        let mut demux = Demux::new();
        let error = demux.feed(&bytes, &mut |_, _, _| {}).unwrap_err();
        assert_eq!(
            error.to_string(),
            r#"the 8 bytes "PRI * HT" at offset 38 are not the header of a multiplexed frame"#
        );
        assert!(demux.is_lost());
        let more = demux.feed(FRAMES, &mut |_, _, _| panic!("passed over"));
        assert_eq!(more, Ok(()));
    }

    #[test]
    fn sniffing() {
        assert_eq!(sniff(FRAMES), Sniff::Yes);
        assert_eq!(sniff(b"\x01\0\0\0\0\0\0"), Sniff::Maybe);
        assert_eq!(sniff(b""), Sniff::Maybe);
        assert_eq!(sniff(b"PRI"), Sniff::No);
        assert_eq!(
            sniff(b"\0\0\x12"),
            Sniff::No,
            "the start of an HTTP/2 SETTINGS frame"
        );
    }

    proptest! {
        #[test]
        fn a_split_means_the_same(
            bytes in proptest::collection::vec(prop_oneof![4 => Just(0u8), 4 => 0..9u8, 1 => any::<u8>()], 0..200),
            pieces in 1..30usize,
        ) {
            let run = |pieces: usize| {
                let mut demux = Demux::new();
                let mut out = Vec::new();
                let mut errors = Vec::new();
                for piece in bytes.chunks(pieces) {
                    let fed = demux.feed(piece, &mut |stream, content, last| {
                        out.extend(content.iter().map(|&b| (stream, Some(b))));
                        out.extend(last.then_some((stream, None)));
                    });
                    errors.extend(fed.err());
                }
                (out, errors, demux.is_between_frames())
            };
            prop_assert_eq!(run(pieces), run(usize::MAX));
        }
    }
}
