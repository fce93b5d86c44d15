//! Integers and string literals (RFC 7541, section 5).

use std::ops::Range;

use super::{Error, Literal, huffman};

/// How many octets an integer may take after its prefix: enough for 32 bits.
const MAX_CONTINUATION: u32 = 5;

/// A header block, read from its front.
pub(super) struct Input<'b> {
    block: &'b [u8],
    at: usize,
}

/// The decoded text of a literal.
pub(super) enum Text<'b> {
    /// It stands in the block as it is.
    Plain(&'b [u8]),
    /// It was Huffman-coded, and stands here in the scratch buffer.
    Decoded(Range<usize>),
}

impl<'b> Text<'b> {
    /// The text itself; `scratch` is the buffer that [`Input::string`] was given.
    pub(super) fn get<'a>(&self, scratch: &'a [u8]) -> &'a [u8]
    where
        'b: 'a,
    {
        match self {
            Text::Plain(text) => text,
            Text::Decoded(range) => scratch.get(range.clone()).unwrap_or_default(),
        }
    }
}

impl<'b> Input<'b> {
    pub(super) fn new(block: &'b [u8]) -> Self {
        Input { block, at: 0 }
    }

    /// How many octets have been read.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// The next octet, which stays; `None` at the end.
    pub(super) fn peek(&self) -> Option<u8> {
        self.block.get(self.at).copied()
    }

    /// The next octet; `what` it is part of.
    fn next(&mut self, what: &'static str) -> Result<u8, Error> {
        let octet = self.peek().ok_or(Error::Truncated { at: self.at, what })?;
        self.at = self.at.saturating_add(1);
        Ok(octet)
    }

    /// An integer with a prefix of `bits` bits (section 5.1).
    pub(super) fn integer(&mut self, bits: u32, what: &'static str) -> Result<usize, Error> {
        let start = self.at;
        let mask = 0xff_u8.wrapping_shr(8_u32.saturating_sub(bits));
        let prefix = self.next(what)? & mask;
        if prefix < mask {
            return Ok(prefix.into());
        }
        let mut value = u64::from(prefix);
        for nth in 0..MAX_CONTINUATION {
            let octet = self.next(what)?;
            let part = u64::from(octet & 0x7f).wrapping_shl(nth.saturating_mul(7));
            value = value.saturating_add(part);
            if octet & 0x80 == 0 {
                return u32::try_from(value)
                    .ok()
                    .and_then(|value| usize::try_from(value).ok())
                    .ok_or(Error::IntegerOverflow { at: start, what });
            }
        }
        Err(Error::IntegerOverflow { at: start, what })
    }

    /// A string literal (section 5.2). Decoded text is appended to `scratch`.
    pub(super) fn string(
        &mut self,
        scratch: &mut Vec<u8>,
        what: &'static str,
    ) -> Result<(Text<'b>, Literal), Error> {
        let huffman = self.peek().is_some_and(|octet| octet & 0x80 != 0);
        let length = self.integer(7, what)?;
        let start = self.at;
        let end = start.saturating_add(length);
        let Some(octets) = self.block.get(start..end) else {
            let at = self.block.len();
            return Err(Error::Truncated { at, what });
        };
        self.at = end;
        let literal = Literal {
            range: start..end,
            huffman,
        };
        if !huffman {
            return Ok((Text::Plain(octets), literal));
        }
        let decoded = scratch.len();
        huffman::decode(octets, scratch).map_err(|source| Error::Huffman {
            at: start,
            what,
            source,
        })?;
        Ok((Text::Decoded(decoded..scratch.len()), literal))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7541, Appendix C.1.
    #[test]
    fn integers_of_the_rfc() {
        for (octets, bits, value) in [
            (&[0b1110_1010][..], 5, 10),
            (&[0b1111_1111, 0b1001_1010, 0b0000_1010], 5, 1337),
            (&[0b0010_1010], 8, 42),
        ] {
            let mut input = Input::new(octets);
            assert_eq!(input.integer(bits, "a number"), Ok(value));
            assert_eq!(input.at(), octets.len());
        }
    }
}
