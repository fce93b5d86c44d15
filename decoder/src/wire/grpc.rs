//! gRPC messages on one direction of a stream: a flag, a length, the bytes.
//!
//! A message may span DATA frames and a frame may hold several messages. Bodies are passed on
//! as they come, never collected here.

/// What comes next on one direction of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// A message begins.
    Start {
        /// Whether it is compressed with the stream's `grpc-encoding`.
        compressed: bool,
        /// Its length in bytes, as it stands on the wire.
        length: u32,
    },
    /// Bytes of the message that has begun; never empty.
    Body(&'a [u8]),
    /// The message is complete.
    End,
}

/// Cuts one direction of a call into messages.
#[derive(Debug, Default)]
pub struct Deframer {
    prefix: [u8; 5],
    have: usize,
    /// Bytes that the message still lacks; `None` while the prefix is read.
    remaining: Option<u32>,
}

impl Deframer {
    /// Takes bytes of the stream.
    pub fn feed<'a>(&mut self, mut bytes: &'a [u8], mut each: impl FnMut(Piece<'a>)) {
        loop {
            match self.remaining {
                None => {
                    let Some(rest) = self.read_prefix(bytes, &mut each) else {
                        return;
                    };
                    bytes = rest;
                }
                Some(remaining) => {
                    if bytes.is_empty() {
                        return;
                    }
                    let take = usize::try_from(remaining)
                        .unwrap_or(usize::MAX)
                        .min(bytes.len());
                    let (body, rest) = bytes.split_at_checked(take).unwrap_or((bytes, &[]));
                    bytes = rest;
                    each(Piece::Body(body));
                    self.set_remaining(remaining.saturating_sub(body.len() as u32), &mut each);
                }
            }
        }
    }

    /// Reads what is there of the prefix; gives the rest once it is complete.
    fn read_prefix<'a>(
        &mut self,
        bytes: &'a [u8],
        each: &mut impl FnMut(Piece<'a>),
    ) -> Option<&'a [u8]> {
        if bytes.is_empty() {
            return None;
        }
        let space = self.prefix.get_mut(self.have..)?;
        let take = space.len().min(bytes.len());
        let (taken, rest) = bytes.split_at_checked(take)?;
        space.get_mut(..take)?.copy_from_slice(taken);
        self.have = self.have.saturating_add(take);
        if self.have < self.prefix.len() {
            return None;
        }
        let [flag, a, b, c, d] = self.prefix;
        let length = u32::from_be_bytes([a, b, c, d]);
        each(Piece::Start {
            compressed: flag & 1 == 1,
            length,
        });
        self.set_remaining(length, each);
        Some(rest)
    }

    fn set_remaining<'a>(&mut self, remaining: u32, each: &mut impl FnMut(Piece<'a>)) {
        self.remaining = Some(remaining);
        if remaining == 0 {
            self.remaining = None;
            self.have = 0;
            each(Piece::End);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn messages(chunks: &[&[u8]]) -> Vec<(bool, Vec<u8>)> {
        let mut deframer = Deframer::default();
        let mut all = Vec::new();
        let mut open: Option<(bool, Vec<u8>)> = None;
        for chunk in chunks {
            deframer.feed(chunk, |piece| match piece {
                Piece::Start { compressed, .. } => open = Some((compressed, Vec::new())),
                Piece::Body(bytes) => open.as_mut().unwrap().1.extend_from_slice(bytes),
                Piece::End => all.push(open.take().unwrap()),
            });
        }
        all
    }

    #[test]
    fn an_empty_message_is_a_message() {
        assert_eq!(
            messages(&[b"\0\0\0\0\0\x01\0\0\0\x01x"]),
            [(false, vec![]), (true, b"x".to_vec())]
        );
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_messages(
            bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..8),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        ) {
            let mut wire = Vec::new();
            for body in &bodies {
                wire.push(0);
                wire.extend((body.len() as u32).to_be_bytes());
                wire.extend(body);
            }
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(wire.len() + 1)).collect();
            cuts.extend([0, wire.len()]);
            cuts.sort_unstable();
            let chunks: Vec<&[u8]> = cuts.windows(2).map(|pair| &wire[pair[0]..pair[1]]).collect();
            let expected: Vec<_> = bodies.iter().map(|body| (false, body.clone())).collect();
            prop_assert_eq!(messages(&chunks), expected);
        }
    }
}
