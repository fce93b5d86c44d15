//! The Huffman code of RFC 7541, Appendix B, as constants.
//!
//! The code is canonical: among codes of equal length the symbols stand in ascending order,
//! and every length continues where the shorter one stopped. So the lengths alone, which are
//! the whole of the appendix, give the codes.

#![allow(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "all of it is evaluated at compile time, where a panic is a failed build"
)]

/// The symbol that never stands in a string: its code's first bits are the padding.
pub(super) const EOS: u16 = 256;

/// The number of bits in the longest code.
pub(super) const LONGEST: u8 = 30;

/// The number of bits in the shortest code.
pub(super) const SHORTEST: u8 = 5;

/// How many bits a look-up in [`PAIRS`] takes.
pub(super) const LOOKUP: u8 = 12;

/// The length in bits of every symbol's code, EOS last.
#[rustfmt::skip]
pub(super) const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, // 0x00
    28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28, // 0x10
     6, 10, 10, 12, 13,  6,  8, 11, 10, 10,  8, 11,  8,  6,  6,  6, // 0x20   ! " # $ % & ' ( ) * + , - . /
     5,  5,  5,  6,  6,  6,  6,  6,  6,  6,  7,  8, 15,  6, 12, 10, // 0x30 0 1 2 3 4 5 6 7 8 9 : ; < = > ?
    13,  6,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7, // 0x40 @ A B C D E F G H I J K L M N O
     7,  7,  7,  7,  7,  7,  7,  7,  8,  7,  8, 13, 19, 13, 14,  6, // 0x50 P Q R S T U V W X Y Z [ \ ] ^ _
    15,  5,  6,  5,  6,  5,  6,  6,  6,  5,  7,  7,  6,  6,  6,  5, // 0x60 ` a b c d e f g h i j k l m n o
     6,  7,  6,  5,  5,  6,  7,  7,  7,  7,  7, 15, 11, 14, 13, 28, // 0x70 p q r s t u v w x y z { | } ~
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, // 0x80
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, // 0x90
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, // 0xa0
    21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, // 0xb0
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, // 0xc0
    19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, // 0xd0
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, // 0xe0
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, // 0xf0
    30,
];

/// The symbols in the order of their codes.
const ORDERED: [u16; 257] = {
    let mut ordered = [0; 257];
    let mut filled = 0;
    let mut length = SHORTEST;
    while length <= LONGEST {
        let mut symbol = 0;
        while symbol < 257 {
            if LENGTHS[symbol] == length {
                ordered[filled] = symbol as u16;
                filled += 1;
            }
            symbol += 1;
        }
        length += 1;
    }
    assert!(filled == 257 && ordered[256] == EOS);
    ordered
};

/// The code of every symbol, in the low [`LENGTHS`] bits; EOS last.
pub(super) const CODES: [u32; 257] = {
    let mut codes = [0; 257];
    let mut next = 0_u32;
    let mut length = SHORTEST;
    let mut at = 0;
    while at < 257 {
        let symbol = ORDERED[at] as usize;
        next <<= LENGTHS[symbol] - length;
        length = LENGTHS[symbol];
        codes[symbol] = next;
        next += 1;
        at += 1;
    }
    // Every string of bits is a string of codes: the last code is all ones.
    assert!(next == 1 << LONGEST);
    codes
};

/// The one or two symbols that a string of [`LOOKUP`] bits begins with.
#[derive(Clone, Copy, Default)]
pub(super) struct Pair {
    /// The symbols, the first in the low octet; zero where there is none.
    pub(super) symbols: u16,
    /// How many symbols: 0 (the code is longer than [`LOOKUP`] bits), 1 or 2.
    pub(super) count: u8,
    /// The length of their codes, together.
    pub(super) bits: u8,
}

/// What every string of [`LOOKUP`] bits begins with. 16 KiB, so that it stays in the first
/// cache; one more bit would double it and seldom give a third symbol.
pub(super) static PAIRS: [Pair; 1 << LOOKUP] = {
    // First the single symbols, then pairs of them.
    let mut singles = [Pair {
        symbols: 0,
        count: 0,
        bits: 0,
    }; 1 << LOOKUP];
    let mut symbol = 0;
    while symbol < 256 {
        let bits = LENGTHS[symbol];
        if bits <= LOOKUP {
            let spare = LOOKUP - bits;
            let first = (CODES[symbol] as usize) << spare;
            let mut rest = 0;
            while rest < 1 << spare {
                singles[first + rest] = Pair {
                    symbols: symbol as u16,
                    count: 1,
                    bits,
                };
                rest += 1;
            }
        }
        symbol += 1;
    }
    let mut pairs = singles;
    let mut index = 0;
    while index < 1 << LOOKUP {
        let first = singles[index];
        if first.count == 1 {
            let second = singles[(index << first.bits) & ((1 << LOOKUP) - 1)];
            if second.count == 1 && first.bits + second.bits <= LOOKUP {
                pairs[index] = Pair {
                    symbols: first.symbols | second.symbols << 8,
                    count: 2,
                    bits: first.bits + second.bits,
                };
            }
        }
        index += 1;
    }
    pairs
};

/// The codes of one length, for lengths beyond [`LOOKUP`].
#[derive(Clone, Copy)]
pub(super) struct Long {
    /// The length.
    pub(super) bits: u8,
    /// The first code of this length, followed by zeros to [`LONGEST`] bits.
    pub(super) first: u32,
    /// The first code of a greater length, in the same form.
    pub(super) end: u32,
    /// Where this length begins in [`LONG_SYMBOLS`].
    pub(super) offset: u16,
}

/// The number of lengths beyond [`LOOKUP`] that are in use.
const LONG_LENGTHS: usize = 14;

/// The number of symbols whose codes are not longer than [`LOOKUP`].
const SHORT_SYMBOLS: usize = 84;

/// The lengths beyond [`LOOKUP`], ascending.
pub(super) static LONG: [Long; LONG_LENGTHS] = {
    let mut long = [Long {
        bits: 0,
        first: 0,
        end: 0,
        offset: 0,
    }; LONG_LENGTHS];
    let mut filled = 0;
    let mut at = SHORT_SYMBOLS;
    assert!(LENGTHS[ORDERED[at - 1] as usize] <= LOOKUP);
    while at < 257 {
        let bits = LENGTHS[ORDERED[at] as usize];
        assert!(bits > LOOKUP);
        let first = CODES[ORDERED[at] as usize];
        let offset = (at - SHORT_SYMBOLS) as u16;
        let mut count = 0;
        while at < 257 && LENGTHS[ORDERED[at] as usize] == bits {
            count += 1;
            at += 1;
        }
        let spare = LONGEST - bits;
        long[filled] = Long {
            bits,
            first: first << spare,
            end: (first + count) << spare,
            offset,
        };
        filled += 1;
    }
    assert!(filled == LONG_LENGTHS);
    long
};

/// The symbols with codes longer than [`LOOKUP`], in the order of their codes.
pub(super) static LONG_SYMBOLS: [u16; 257 - SHORT_SYMBOLS] = {
    let mut symbols = [0; 257 - SHORT_SYMBOLS];
    let mut at = 0;
    while at < symbols.len() {
        symbols[at] = ORDERED[SHORT_SYMBOLS + at];
        at += 1;
    }
    symbols
};
