//! Huffman-coded strings (RFC 7541, section 5.2): in both directions, and masked in place.

use super::codes::{
    CODES, EOS, LENGTHS, LONG, LONG_SYMBOLS, LONGEST, LOOKUP, PAIRS, Pair, SHORTEST,
};

/// Why octets are not a Huffman-coded string.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The bits after the last symbol are not the beginning of EOS, or more than seven.
    #[error("its last bits are neither a symbol nor padding")]
    Padding,
    /// EOS, which only padding may begin like, stands in the string as a whole.
    #[error("it contains the end-of-string symbol")]
    Eos,
}

/// Decodes the whole of `src` and appends the result to `dst`: at most 8 octets for every 5
/// of `src`. On an error `dst` is as it was.
pub fn decode(src: &[u8], dst: &mut Vec<u8>) -> Result<(), Error> {
    let start = dst.len();
    // The hot loop writes eight octets at a time, of which the last ones may not count.
    let longest = src.len().saturating_mul(8).div_ceil(SHORTEST.into());
    dst.resize(start.saturating_add(longest).saturating_add(8), 0);
    let decoded = decode_into(src, dst.get_mut(start..).unwrap_or_default());
    dst.truncate(start.saturating_add(decoded.unwrap_or(0)));
    decoded.map(|_| ())
}

/// The next bits of a string, the first of them topmost.
#[derive(Clone, Copy)]
struct Bits {
    bits: u64,
    /// How many of them may be used. Below them are zeros, or some of the bits that follow.
    count: u32,
}

impl Bits {
    /// The one or two symbols that the bits begin with, if they are short.
    fn pair(self) -> Pair {
        let index = self
            .bits
            .wrapping_shr(u64::BITS.wrapping_sub(LOOKUP.into()));
        // Never out of range; the compiler sees it and drops the check.
        PAIRS.get(index as usize).copied().unwrap_or_default()
    }

    /// The symbol that the bits begin with, and the length of its code.
    fn symbol(self) -> (u16, u8) {
        let pair = self.pair();
        if pair.count > 0 {
            let symbol = pair.symbols & 0xff;
            let length = LENGTHS.get(usize::from(symbol)).copied();
            return (symbol, length.unwrap_or(LONGEST));
        }
        let code = self
            .bits
            .wrapping_shr(u64::BITS.wrapping_sub(LONGEST.into())) as u32;
        LONG.iter()
            .find(|long| code < long.end)
            .and_then(|long| {
                let spare = LONGEST.saturating_sub(long.bits);
                let nth = code.saturating_sub(long.first).wrapping_shr(spare.into());
                let at = usize::from(long.offset).saturating_add(nth as usize);
                Some((*LONG_SYMBOLS.get(at)?, long.bits))
            })
            // Not reached: the last of the codes is all ones.
            .unwrap_or((EOS, LONGEST))
    }

    fn consume(&mut self, count: u8) {
        self.bits = self.bits.wrapping_shl(count.into());
        self.count = self.count.wrapping_sub(count.into());
    }

    /// The same with ones where nothing was read.
    fn padded(self) -> Bits {
        let ones = u64::MAX.checked_shr(self.count).unwrap_or(0);
        Bits {
            bits: self.bits | ones,
            count: self.count,
        }
    }
}

/// Decodes into `out`, which is eight octets longer than the result can be, and gives the
/// length of the result.
fn decode_into(mut src: &[u8], out: &mut [u8]) -> Result<usize, Error> {
    let mut bits = Bits { bits: 0, count: 0 };
    let mut written = 0_usize;

    while let Some(next) = src.first_chunk::<8>() {
        // Top up to between 56 and 63 bits, by whole octets.
        bits.bits |= u64::from_be_bytes(*next).wrapping_shr(bits.count);
        let octets = 63_u32.wrapping_sub(bits.count) / 8;
        bits.count = bits.count.wrapping_add(octets.wrapping_mul(8));
        src = src.get(octets as usize..).unwrap_or_default();

        // They are good for four look-ups, or for one long code.
        let mut symbols = 0_u64;
        let mut count = 0_u32;
        let mut long = false;
        for _ in 0..4 {
            let pair = bits.pair();
            if pair.count == 0 {
                long = true;
                break;
            }
            symbols |= u64::from(pair.symbols).wrapping_shl(count.wrapping_mul(8));
            count = count.wrapping_add(pair.count.into());
            bits.consume(pair.bits);
        }
        put(out, written, symbols.to_le_bytes());
        written = written.saturating_add(count as usize);

        // With too few bits left for a long code, the next round begins with it.
        if long && bits.count >= LONGEST.into() {
            let (symbol, length) = bits.symbol();
            let octet = u8::try_from(symbol).map_err(|_| Error::Eos)?;
            put(out, written, [octet]);
            written = written.saturating_add(1);
            bits.consume(length);
        }
    }

    loop {
        while bits.count <= 56
            && let Some((&octet, rest)) = src.split_first()
        {
            let below = 56_u32.wrapping_sub(bits.count);
            bits.bits |= u64::from(octet).wrapping_shl(below);
            bits.count = bits.count.wrapping_add(8);
            src = rest;
        }
        let (symbol, length) = bits.padded().symbol();
        if u32::from(length) > bits.count {
            break;
        }
        let octet = u8::try_from(symbol).map_err(|_| Error::Eos)?;
        put(out, written, [octet]);
        written = written.saturating_add(1);
        bits.consume(length);
    }
    // What is left over is padding: less than an octet, and ones.
    let ones = u64::MAX.checked_shr(bits.count).unwrap_or(0) | bits.bits == u64::MAX;
    if bits.count < 8 && ones {
        Ok(written)
    } else {
        Err(Error::Padding)
    }
}

/// Writes `octets` at `at`, where they fit.
fn put<const N: usize>(out: &mut [u8], at: usize, octets: [u8; N]) {
    if let Some(out) = out.get_mut(at..).and_then(|out| out.first_chunk_mut()) {
        *out = octets;
    }
}

/// The length of `src` in octets, once encoded.
pub fn encoded_len(src: &[u8]) -> usize {
    src.iter()
        .map(|&octet| length_of(octet))
        .fold(0, usize::saturating_add)
        .div_ceil(8)
}

/// The length in bits of the code of `octet`.
fn length_of(octet: u8) -> usize {
    LENGTHS
        .get(usize::from(octet))
        .copied()
        .map_or(0, usize::from)
}

/// Appends the encoded `src` to `dst`: [`encoded_len`] octets.
pub fn encode(src: &[u8], dst: &mut Vec<u8>) {
    dst.reserve(encoded_len(src));
    // The low `count` bits, always fewer than eight, wait to become an octet.
    let mut bits = 0_u64;
    let mut count = 0_u32;
    for &octet in src {
        let code = CODES.get(usize::from(octet)).copied().unwrap_or(0);
        let length = length_of(octet) as u32;
        bits = bits.wrapping_shl(length) | u64::from(code);
        count = count.saturating_add(length);
        while count >= 8 {
            count = count.saturating_sub(8);
            dst.push(bits.wrapping_shr(count) as u8);
        }
    }
    if count > 0 {
        let missing = 8_u32.saturating_sub(count);
        let ones = 0xff_u64.wrapping_shr(count);
        dst.push((bits.wrapping_shl(missing) | ones) as u8);
    }
}

/// The code of `X`, which fills an octet.
const EIGHT_BIT_CODE: u8 = 0xfc;

/// Overwrites an encoded string with another one of as many octets *and* as many symbols.
///
/// Nothing of the original is left but these two lengths, and they have to be: the first so
/// that everything after it stays in place, the second because the size of the dynamic table,
/// and with it every later index, is counted in decoded octets.
///
/// On an error nothing is changed.
pub fn mask(encoded: &mut [u8]) -> Result<(), Error> {
    let mut decoded = Vec::new();
    decode(encoded, &mut decoded)?;
    // Give every symbol the longest code that leaves enough bits for those after it, assuming
    // that they get codes as long. What the last one cannot use up is padding.
    let mut bits_left = encoded.len().saturating_mul(8);
    let mut symbols_left = decoded.len();
    for octet in &mut decoded {
        let share = bits_left.checked_div(symbols_left).unwrap_or(0);
        let (filler, length) = filler(share);
        *octet = filler;
        bits_left = bits_left.saturating_sub(length);
        symbols_left = symbols_left.saturating_sub(1);
    }
    let mut masked = Vec::with_capacity(encoded.len());
    encode(&decoded, &mut masked);
    if masked.len() == encoded.len() {
        encoded.copy_from_slice(&masked);
    } else {
        // Cannot be, by the sum above; but were it wrong, then nothing should show for it.
        debug_assert!(false, "masked {} as {}", encoded.len(), masked.len());
        encoded.fill(EIGHT_BIT_CODE);
    }
    Ok(())
}

/// A symbol whose code has `bits` bits, or as many as possible below that, and how many.
fn filler(bits: usize) -> (u8, usize) {
    // One of every length in use, printable where there is one.
    const FILLERS: &[u8] = b"0-:X?+#@^<\\\x80\x99\x81\x01\x09\xc7\xc0\xcb\x02\x0a";
    FILLERS
        .iter()
        .map(|&octet| (octet, length_of(octet)))
        .take_while(|&(_, length)| length <= bits)
        .last()
        .unwrap_or((b'0', SHORTEST.into()))
}
