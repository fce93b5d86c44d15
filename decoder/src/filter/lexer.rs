//! From text to tokens.

use std::ops::Range;

use super::Error;

/// What stands at one place of an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// A word, which may be a field, a value, or something to look for.
    Word(String),
    /// What stood in quotes, without them.
    Quoted(String),
    /// A comparison.
    Operator(Operator),
    /// `&&`
    And,
    /// `||`
    Or,
    /// `!`
    Not,
    /// `(`
    Open,
    /// `)`
    Close,
    /// `,`
    Comma,
}

/// How two values are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Matches,
    NotMatches,
}

impl Operator {
    pub(super) const ALL: [Operator; 8] = [
        Operator::Equal,
        Operator::NotEqual,
        Operator::Less,
        Operator::LessOrEqual,
        Operator::Greater,
        Operator::GreaterOrEqual,
        Operator::Matches,
        Operator::NotMatches,
    ];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Operator::Equal => "==",
            Operator::NotEqual => "!=",
            Operator::Less => "<",
            Operator::LessOrEqual => "<=",
            Operator::Greater => ">",
            Operator::GreaterOrEqual => ">=",
            Operator::Matches => "~",
            Operator::NotMatches => "!~",
        }
    }
}

/// A token and the bytes that it stands in.
pub(super) type Placed = (Token, Range<usize>);

/// The tokens of `text`, and why there are no more of them if that is so.
pub(super) fn tokens(text: &str) -> (Vec<Placed>, Option<Error>) {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(rest) = text.get(at..) {
        let Some(first) = rest.chars().next() else {
            break;
        };
        if first.is_whitespace() {
            at = at.saturating_add(first.len_utf8());
            continue;
        }
        match token(rest, at) {
            Ok((token, len)) => {
                let end = at.saturating_add(len.max(1));
                tokens.push((token, at..end));
                at = end;
            }
            Err(error) => return (tokens, Some(error)),
        }
    }
    (tokens, None)
}

/// The token that `rest` begins with, and its length.
fn token(rest: &str, at: usize) -> Result<(Token, usize), Error> {
    const SYMBOLS: [(&str, Token); 14] = [
        ("&&", Token::And),
        ("||", Token::Or),
        ("==", Token::Operator(Operator::Equal)),
        ("!=", Token::Operator(Operator::NotEqual)),
        ("!~", Token::Operator(Operator::NotMatches)),
        ("<=", Token::Operator(Operator::LessOrEqual)),
        (">=", Token::Operator(Operator::GreaterOrEqual)),
        ("<", Token::Operator(Operator::Less)),
        (">", Token::Operator(Operator::Greater)),
        ("~", Token::Operator(Operator::Matches)),
        ("!", Token::Not),
        ("(", Token::Open),
        (")", Token::Close),
        (",", Token::Comma),
    ];
    for (symbol, token) in SYMBOLS {
        if rest.starts_with(symbol) {
            return Ok((token, symbol.len()));
        }
    }
    let one = |message: &str, hint: &str| {
        let end = at.saturating_add(1);
        Err(Error::new(at..end, message).hint(hint))
    };
    match rest.as_bytes().first() {
        Some(b'=') => one("`=` is no operator", "write =="),
        Some(b'&') => one("`&` is no operator", "write &&, or put the text in quotes"),
        Some(b'|') => one("`|` is no operator", "write ||, or put the text in quotes"),
        Some(quote @ (b'"' | b'\'')) => quoted(rest, char::from(*quote), at),
        _ => {
            let len = rest
                .find(|c: char| c.is_whitespace() || "\"'()&|!=<>~,".contains(c))
                .unwrap_or(rest.len());
            Ok((
                Token::Word(rest.get(..len).unwrap_or_default().to_owned()),
                len,
            ))
        }
    }
}

/// A text in quotes. Between `"` a `\"` is a quote; every other character is what it is, so that
/// regular expressions need nothing doubled.
fn quoted(rest: &str, quote: char, at: usize) -> Result<(Token, usize), Error> {
    let mut text = String::new();
    let mut characters = rest.char_indices().skip(1).peekable();
    while let Some((place, c)) = characters.next() {
        match c {
            '\\' if quote == '"' && characters.peek().is_some_and(|(_, next)| *next == '"') => {
                characters.next();
                text.push('"');
            }
            _ if c == quote => return Ok((Token::Quoted(text), place.saturating_add(1))),
            _ => text.push(c),
        }
    }
    Err(
        Error::new(at..at.saturating_add(rest.len()), "the quote is not closed")
            .hint(format!("end it with {quote}")),
    )
}
