//! From tokens to an expression whose parts fit each other.

use std::ops::Range;

use regex::{Regex, RegexBuilder};

use super::error::{either, nearest};
use super::lexer::{Operator, Placed, Token, tokens};
use super::{Error, Field, MAX_DEPTH, MAX_LEN, Type, Words, units};

/// How large a compiled regular expression may be, in bytes.
const MAX_REGEX: usize = 1 << 20;

/// What is asked of a row.
#[derive(Clone, Debug)]
pub(super) enum Expression {
    /// All of these; with none, everything.
    All(Vec<Expression>),
    /// One of these.
    Any(Vec<Expression>),
    /// Not this.
    Not(Box<Expression>),
    /// Whether the field has a value.
    Has(Field),
    /// Whether a value of the field passes the test.
    Is(Field, Test),
    /// Whether the field has a value and none of them passes the test.
    IsNot(Field, Test),
    /// Whether a text is somewhere in what is searched.
    Search(Regex),
}

/// A test of one value.
#[derive(Clone, Debug)]
pub(super) enum Test {
    /// It is one of these.
    OneOf(Vec<Literal>),
    /// It stands so to this number.
    Order(Operator, u64),
    /// It stands so to this one of some words, by their order.
    Rank(Operator, usize, &'static [&'static str]),
    /// It matches this.
    Matches(Regex),
}

/// A value that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Literal {
    /// Compared as it stands.
    Text(String),
    /// Compared without regard to case.
    Word(String),
    /// Bytes, nanoseconds, or a plain number.
    Number(u64),
    Flag(bool),
}

/// Reads an expression.
pub(super) fn parse(text: &str) -> Result<Expression, Error> {
    if text.len() > MAX_LEN {
        let message = format!("the expression is longer than {MAX_LEN} bytes");
        return Err(Error::new(0..text.len(), message));
    }
    let (tokens, error) = tokens(text);
    if tokens.is_empty() && error.is_none() {
        return Ok(Expression::All(Vec::new()));
    }
    let mut parser = Parser {
        tokens: &tokens,
        end: text.len(),
    };
    let parsed = parser.any(MAX_DEPTH);
    match (parsed, error) {
        // What the lexer stumbles over is further on than what the parser does, unless that
        // came to the end of what there is.
        (Err(first), Some(second)) if first.at.start < second.at.start => Err(first),
        (_, Some(error)) => Err(error),
        (Err(error), None) => Err(error),
        (Ok(expression), None) => match parser.next() {
            None => Ok(expression),
            Some((Token::Close, at)) => {
                Err(Error::new(at, "there is no ( for this )").hint("take it away"))
            }
            Some((Token::Comma, at)) => Err(comma(at)),
            Some((_, at)) => Err(Error::new(at, "this is not expected here")),
        },
    }
}

fn comma(at: Range<usize>) -> Error {
    Error::new(at, "a comma stands in a list only").hint("write && or ||")
}

struct Parser<'a> {
    tokens: &'a [Placed],
    /// Where the expression ends.
    end: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.first().map(|(token, _)| token)
    }

    fn next(&mut self) -> Option<Placed> {
        let (first, rest) = self.tokens.split_first()?;
        self.tokens = rest;
        Some(first.clone())
    }

    fn eat(&mut self, token: &Token) -> bool {
        let is = self.peek() == Some(token);
        if is {
            self.next();
        }
        is
    }

    /// Where the next token stands, or the end.
    fn place(&self) -> Range<usize> {
        self.tokens
            .first()
            .map_or(self.end..self.end, |(_, at)| at.clone())
    }

    /// `a || b`
    fn any(&mut self, depth: usize) -> Result<Expression, Error> {
        let mut parts = vec![self.all(depth)?];
        while self.eat(&Token::Or) {
            parts.push(self.all(depth)?);
        }
        Ok(match parts.len() {
            1 => parts.remove(0),
            _ => Expression::Any(parts),
        })
    }

    /// `a && b`, or `a b`.
    fn all(&mut self, depth: usize) -> Result<Expression, Error> {
        let mut parts = Vec::new();
        let begins = |token: Option<&Token>| {
            matches!(
                token,
                Some(Token::Word(_) | Token::Quoted(_) | Token::Not | Token::Open)
            )
        };
        loop {
            parts.push(self.one(depth)?);
            if !self.eat(&Token::And) && !begins(self.peek()) {
                break;
            }
        }
        Ok(match parts.len() {
            1 => parts.remove(0),
            _ => Expression::All(parts),
        })
    }

    /// `!a`, `(a)`, a comparison, or something to look for.
    fn one(&mut self, depth: usize) -> Result<Expression, Error> {
        let Some(depth) = depth.checked_sub(1) else {
            let message = format!("more than {MAX_DEPTH} parentheses or ! are within each other");
            return Err(Error::new(self.place(), message));
        };
        let place = self.place();
        match self.next() {
            Some((Token::Not, _)) => Ok(Expression::Not(Box::new(self.one(depth)?))),
            Some((Token::Open, _)) => {
                let inner = self.any(depth)?;
                self.close(place)?;
                Ok(inner)
            }
            Some((Token::Quoted(text), _)) => match self.peek() {
                Some(Token::Operator(_)) => Err(Error::new(place, "a field stands without quotes")
                    .hint(format!("write {text} without them"))),
                _ => search(&text, place),
            },
            Some((Token::Word(word), _)) => self.word(&word, place),
            Some((Token::Operator(operator), _)) => Err(Error::new(
                place,
                format!("there is no field before {}", operator.as_str()),
            )
            .hint("write as in state == open")),
            Some((Token::And | Token::Or, _)) => {
                Err(Error::new(place, "there is nothing before this").hint("take it away"))
            }
            Some((Token::Comma, _)) => Err(comma(place)),
            Some((Token::Close, _)) => Err(Error::new(place, "there is nothing before this )")),
            None => Err(Error::new(place, "something is missing at the end")
                .hint("write a field or a word to look for")),
        }
    }

    /// The `)` for the `(` at `open`.
    fn close(&mut self, open: Range<usize>) -> Result<(), Error> {
        if self.eat(&Token::Close) {
            return Ok(());
        }
        match self.tokens.first() {
            Some((_, at)) => Err(Error::new(at.clone(), "this is not expected here")),
            None => Err(Error::new(open, "this ( is not closed").hint("write ) at the end")),
        }
    }

    /// What begins with a word that is no value.
    fn word(&mut self, word: &str, place: Range<usize>) -> Result<Expression, Error> {
        match (word, self.peek()) {
            ("has", Some(Token::Open)) => {
                let open = self.place();
                self.next();
                let at = self.place();
                let field = match self.next() {
                    Some((Token::Word(name), at)) => field(&name, at)?,
                    _ => return Err(Error::new(at, "has(…) takes the name of a field")),
                };
                self.close(open)?;
                Ok(Expression::Has(field))
            }
            (_, Some(Token::Operator(_))) => {
                let field = field(word, place.clone())?;
                let Some((Token::Operator(operator), at)) = self.next() else {
                    return Err(Error::new(place, "an operator is missing"));
                };
                self.comparison(field, operator, at)
            }
            (_, Some(Token::Word(next))) if next == "in" && self.is_list() => {
                let field = field(word, place)?;
                self.next();
                self.list(field)
            }
            ("and" | "AND", _) => Err(Error::new(place, "`and` is no operator").hint("write &&")),
            ("or" | "OR", _) => Err(Error::new(place, "`or` is no operator").hint("write ||")),
            ("not" | "NOT", _) => Err(Error::new(place, "`not` is no operator").hint("write !")),
            _ => search(word, place),
        }
    }

    /// Whether the token after the next is a `(`.
    fn is_list(&self) -> bool {
        self.tokens.get(1).map(|(token, _)| token) == Some(&Token::Open)
    }

    /// `(a, b)`
    fn list(&mut self, field: Field) -> Result<Expression, Error> {
        let open = self.place();
        self.next();
        let mut values = Vec::new();
        loop {
            let (text, at) = self.value(field)?;
            values.push(literal(field, &text, at)?);
            if !self.eat(&Token::Comma) {
                break;
            }
        }
        self.close(open)?;
        Ok(Expression::Is(field, Test::OneOf(values)))
    }

    /// The text of a value.
    fn value(&mut self, field: Field) -> Result<(String, Range<usize>), Error> {
        let at = self.place();
        match self.next() {
            Some((Token::Word(text) | Token::Quoted(text), at)) => Ok((text, at)),
            _ => Err(Error::new(at, "a value is missing").hint(example(field))),
        }
    }

    fn comparison(
        &mut self,
        field: Field,
        operator: Operator,
        at: Range<usize>,
    ) -> Result<Expression, Error> {
        let allowed = operators(field.kind());
        if !allowed.contains(&operator) {
            let symbols: Vec<&str> = allowed.iter().map(|one| one.as_str()).collect();
            let kind = field.kind().as_str();
            let (name, operator) = (field.name(), operator.as_str());
            let message = format!("{name} is {kind}, which {operator} cannot compare");
            return Err(Error::new(at, message).hint(format!("use {}", either(&symbols))));
        }
        let (text, at) = self.value(field)?;
        Ok(match operator {
            Operator::Matches => Expression::Is(field, Test::Matches(regex(&text, at)?)),
            Operator::NotMatches => Expression::IsNot(field, Test::Matches(regex(&text, at)?)),
            Operator::Equal => Expression::Is(field, Test::OneOf(vec![literal(field, &text, at)?])),
            Operator::NotEqual => {
                Expression::IsNot(field, Test::OneOf(vec![literal(field, &text, at)?]))
            }
            order => {
                let test = match (literal(field, &text, at.clone())?, field.kind()) {
                    (Literal::Number(number), _) => Test::Order(order, number),
                    (Literal::Word(word), Type::Word(Words::Ordered(words))) => {
                        let rank = rank(words, &word).unwrap_or(words.len());
                        Test::Rank(order, rank, words)
                    }
                    (Literal::Word(word), _) => match units::number(&word) {
                        Some(number) => Test::Order(order, number),
                        None => {
                            return Err(Error::new(at, format!("{word} has no order"))
                                .hint("write a number, or compare with == or !="));
                        }
                    },
                    _ => return Err(Error::new(at, "this has no order")),
                };
                Expression::Is(field, test)
            }
        })
    }
}

/// The operators that fit a type.
pub(super) fn operators(kind: Type) -> &'static [Operator] {
    use Operator::{
        Equal, Greater, GreaterOrEqual, Less, LessOrEqual, Matches, NotEqual, NotMatches,
    };
    match kind {
        Type::Text | Type::Word(Words::Some(_)) => &[Equal, NotEqual, Matches, NotMatches],
        Type::Word(Words::Only(_)) | Type::Flag => &[Equal, NotEqual],
        Type::Number
        | Type::Size
        | Type::Duration
        | Type::Word(Words::Ordered(_) | Words::OrNumber(_)) => {
            &[Equal, NotEqual, Less, LessOrEqual, Greater, GreaterOrEqual]
        }
    }
}

/// Where `word` stands among `words`.
pub(super) fn rank(words: &[&str], word: &str) -> Option<usize> {
    words.iter().position(|one| one.eq_ignore_ascii_case(word))
}

fn field(name: &str, at: Range<usize>) -> Result<Field, Error> {
    Field::find(name).ok_or_else(|| {
        let hint = match nearest(name, Field::ALL.iter().map(|field| field.name())) {
            Some(near) => format!("did you mean {near}?"),
            None => "docs/filter.md lists all fields".to_owned(),
        };
        Error::new(at, format!("there is no field called {name}")).hint(hint)
    })
}

fn literal(field: Field, text: &str, at: Range<usize>) -> Result<Literal, Error> {
    let name = field.name();
    let wrong = |what: &str| {
        Err(Error::new(at.clone(), format!("{text} is not {what}")).hint(example(field)))
    };
    match field.kind() {
        Type::Text => Ok(Literal::Text(text.to_owned())),
        Type::Number => match units::number(text) {
            Some(number) => Ok(Literal::Number(number)),
            None => wrong("a number"),
        },
        Type::Size => match units::size(text) {
            Some(bytes) => Ok(Literal::Number(bytes)),
            None => wrong("a size"),
        },
        Type::Duration => match units::duration(text) {
            Some(nanoseconds) => Ok(Literal::Number(nanoseconds)),
            None => wrong("a duration"),
        },
        Type::Flag => match text {
            "true" => Ok(Literal::Flag(true)),
            "false" => Ok(Literal::Flag(false)),
            _ => wrong("true or false"),
        },
        Type::Word(Words::Some(_)) => Ok(Literal::Word(text.to_owned())),
        Type::Word(Words::OrNumber(_)) if units::number(text).is_some() => {
            Ok(Literal::Word(text.to_owned()))
        }
        Type::Word(words) => {
            let known = words.known();
            if rank(known, text).is_some() {
                return Ok(Literal::Word(text.to_owned()));
            }
            let hint = match nearest(text, known.iter().copied()) {
                Some(near) => format!("did you mean {near}?"),
                None if known.len() > MANY => {
                    format!("it is {} or another in docs/filter.md", first(known))
                }
                None => format!("it is {}", either(known)),
            };
            Err(Error::new(at, format!("{name} is never {text}")).hint(hint))
        }
    }
}

/// How a value of the field is written.
fn example(field: Field) -> String {
    match field.kind() {
        Type::Text => "write a text, in quotes if there are spaces in it".to_owned(),
        Type::Number => "write a number, as in 3".to_owned(),
        Type::Size => "write a number and a unit, as in 4096, 64KiB or 1.5MB".to_owned(),
        Type::Duration => "write a number and a unit, as in 500ms, 5s or 1m30s".to_owned(),
        Type::Flag => "write true or false".to_owned(),
        Type::Word(words) => {
            let known = words.known().get(..3).unwrap_or(words.known());
            match known {
                [] => "write a word".to_owned(),
                known => format!("write a word, as in {}", either(known)),
            }
        }
    }
}

/// More words than are named in an error.
const MANY: usize = 12;

/// The first few of many words.
fn first(words: &[&str]) -> String {
    words.get(..6).unwrap_or(words).join(", ")
}

fn regex(text: &str, at: Range<usize>) -> Result<Regex, Error> {
    build(text, false).map_err(|error| {
        let error = error.to_string();
        // The last line of a syntax error says what is wrong; the others draw it.
        let why = error.lines().last().unwrap_or_default();
        let why = why.trim_start_matches("error: ").trim_end_matches('.');
        Error::new(at, format!("this is no regular expression: {why}"))
            .hint("write \\ before characters that are meant as they stand")
    })
}

fn search(text: &str, at: Range<usize>) -> Result<Expression, Error> {
    build(&regex::escape(text), true)
        .map(Expression::Search)
        .map_err(|_| Error::new(at, "this is too long to be looked for"))
}

fn build(pattern: &str, any_case: bool) -> Result<Regex, regex::Error> {
    RegexBuilder::new(pattern)
        .case_insensitive(any_case)
        .size_limit(MAX_REGEX)
        .build()
}
