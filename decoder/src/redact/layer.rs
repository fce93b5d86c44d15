//! Text that is wrapped in escapes: what it says, and where each byte of that comes from.

/// How text is escaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Escapes {
    /// `%2A` (RFC 3986 §2.1).
    Percent,
    /// The same, and `+` for a space, as in the query of a URL.
    Form,
    /// `\n` and `\u002a` (RFC 8259 §7).
    Json,
}

/// Unwrapped text.
#[derive(Debug)]
pub(super) struct Layer {
    /// What it says.
    pub(super) plain: Vec<u8>,
    escapes: Escapes,
    /// For every byte of `plain`, where what it comes from begins, and how long that is.
    origins: Vec<(usize, usize)>,
}

impl Layer {
    /// Unwraps `raw`. What is no valid escape stands for itself.
    pub(super) fn of(escapes: Escapes, raw: &[u8]) -> Layer {
        let mut layer = Layer {
            plain: Vec::with_capacity(raw.len()),
            escapes,
            origins: Vec::with_capacity(raw.len()),
        };
        let mut at = 0_usize;
        while let Some(rest) = raw.get(at..).filter(|rest| !rest.is_empty()) {
            let mut buffer = [0; 4];
            let (plain, taken) = match escapes {
                Escapes::Json => json(rest, &mut buffer),
                Escapes::Percent | Escapes::Form => percent(rest, escapes, &mut buffer),
            };
            for &byte in plain {
                layer.plain.push(byte);
                layer.origins.push((at, taken));
            }
            at = at.saturating_add(taken.max(1));
        }
        layer
    }

    /// Writes `masked`, which is `plain` with other bytes in it, back to where it came from.
    /// Gives whether that could be done.
    pub(super) fn write(&self, masked: &[u8], raw: &mut [u8]) -> bool {
        let changed = self.plain.iter().zip(masked).zip(&self.origins);
        changed.filter(|((before, after), _)| before != after).all(
            |((_, &after), &(at, length))| {
                let end = at.saturating_add(length);
                let place = raw.get_mut(at..end).unwrap_or_default();
                put(self.escapes, after, place)
            },
        )
    }
}

/// Writes a byte in the place of an escape or of a plain byte.
fn put(escapes: Escapes, byte: u8, place: &mut [u8]) -> bool {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    // Whether it stands for itself wherever it is put.
    let plain = byte.is_ascii_alphanumeric() || byte == b'*';
    match place {
        [one] if plain || escapes == Escapes::Json && matches!(byte, b'/' | b'+' | b'=') => {
            *one = byte;
            true
        }
        [b'%', high, low] if escapes != Escapes::Json => {
            let digit = |of: u8| HEX.get(usize::from(of)).copied().unwrap_or(b'0');
            (*high, *low) = (digit(byte >> 4), digit(byte & 0xf));
            true
        }
        escape if escapes == Escapes::Json && byte == b'*' => {
            escape.fill(byte);
            true
        }
        _ => false,
    }
}

/// What the first character of `rest` stands for, and how long it is.
fn percent<'b>(rest: &[u8], escapes: Escapes, buffer: &'b mut [u8; 4]) -> (&'b [u8], usize) {
    let hex = |byte: &u8| {
        char::from(*byte)
            .to_digit(16)
            .and_then(|d| u8::try_from(d).ok())
    };
    let (byte, taken) = match rest {
        [b'%', high, low, ..] => match (hex(high), hex(low)) {
            (Some(high), Some(low)) => (high << 4 | low, 3),
            _ => (b'%', 1),
        },
        [b'+', ..] if escapes == Escapes::Form => (b' ', 1),
        [byte, ..] => (*byte, 1),
        [] => return (&[], 0),
    };
    let [first, ..] = buffer;
    *first = byte;
    (buffer.get(..1).unwrap_or_default(), taken)
}

/// The same for the inside of a string of JSON.
fn json<'b>(rest: &[u8], buffer: &'b mut [u8; 4]) -> (&'b [u8], usize) {
    let unit = |at: usize| {
        let digits = match rest.get(at..at.saturating_add(6))? {
            [b'\\', b'u', digits @ ..] => std::str::from_utf8(digits).ok()?,
            _ => return None,
        };
        u16::from_str_radix(digits, 16).ok()
    };
    let (c, taken) = match rest {
        [b'\\', b'u', ..] => {
            let mut units = [unit(0), unit(6)].into_iter().map_while(|unit| unit);
            let first = units.next();
            let decoded = char::decode_utf16(first.into_iter().chain(units)).next();
            match decoded {
                Some(Ok(c)) => (c, if c.len_utf16() == 2 { 12 } else { 6 }),
                Some(Err(_)) => (char::REPLACEMENT_CHARACTER, 6),
                None => ('\\', 1),
            }
        }
        [b'\\', escaped, ..] => {
            let c = match escaped {
                b'n' => '\n',
                b'r' => '\r',
                b't' => '\t',
                b'b' => '\x08',
                b'f' => '\x0c',
                other => char::from(*other),
            };
            (c, 2)
        }
        [byte, ..] => {
            let [first, ..] = buffer;
            *first = *byte;
            return (buffer.get(..1).unwrap_or_default(), 1);
        }
        [] => return (&[], 0),
    };
    (c.encode_utf8(buffer).as_bytes(), taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_taken_apart() {
        for (escapes, raw, plain) in [
            (Escapes::Percent, "a%2Fb+%zz%4", "a/b+%zz%4"),
            (Escapes::Form, "a%2fb+c", "a/b c"),
            (
                Escapes::Json,
                r#"a\"\n\u00e9\/\ud83d\ude00\u12"#,
                "a\"\né/😀\\u12",
            ),
            (Escapes::Json, r"\ud83dx", "\u{fffd}x"),
        ] {
            let layer = Layer::of(escapes, raw.as_bytes());
            assert_eq!(String::from_utf8_lossy(&layer.plain), plain);
        }
    }

    #[test]
    fn what_changed_is_put_back() {
        for (escapes, raw, changed) in [
            (Escapes::Percent, "k=%20b%2F", "k=%2A*%2A"),
            (Escapes::Json, r"ab\n\u00e9c", r"ab*********"),
        ] {
            let mut bytes = raw.as_bytes().to_vec();
            let layer = Layer::of(escapes, &bytes);
            let mut masked = layer.plain.clone();
            masked[2..].fill(b'*');
            assert!(layer.write(&masked, &mut bytes));
            assert_eq!(String::from_utf8_lossy(&bytes), changed);
        }
    }
}
