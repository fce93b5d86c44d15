//! What may be written next.

use std::ops::Range;

use super::Field;
use super::lexer::{Operator, Placed, Token, tokens};
use super::parse::operators;

/// Something that may be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The bytes of the input that it takes the place of; empty where it is to be put in.
    pub replaces: Range<usize>,
    /// What is to be written.
    pub text: String,
    /// What it is, in a line.
    pub help: &'static str,
}

/// What may be written in `input` at `cursor`, a byte offset; the best first. What does not lie
/// within the input, or within a character, has none.
pub fn complete(input: &str, cursor: usize) -> Vec<Candidate> {
    let Some(before) = input.get(..cursor) else {
        return Vec::new();
    };
    let (mut tokens, error) = tokens(before);
    if error.is_some_and(|error| error.at.end < before.len()) {
        return Vec::new();
    }
    // The word that is being written, if the cursor touches one.
    let (begun, from) = match tokens.last() {
        Some((Token::Word(word), at)) if at.end == cursor => {
            let begun = (word.clone(), at.start);
            tokens.pop();
            begun
        }
        // A quote that is not closed: what is in it is somebody's own.
        _ if before.len() > tokens.last().map_or(0, |(_, at)| at.end)
            && before.ends_with(|c: char| !c.is_whitespace()) =>
        {
            return Vec::new();
        }
        _ => (String::new(), cursor),
    };
    let lower = begun.to_ascii_lowercase();
    let mut found: Vec<(&'static str, &'static str)> = match place(&tokens) {
        Place::Value(field) => field
            .words()
            .into_iter()
            .map(|word| (word, field.help()))
            .collect(),
        Place::Operator(field) if begun.is_empty() || "in".starts_with(&lower) => {
            let symbols = operators(field.kind()).iter().filter(|_| begun.is_empty());
            let symbols = symbols.map(|one| (one.as_str(), operator_help(*one)));
            symbols.chain([("in (", "is one of a few")]).collect()
        }
        Place::End if begun.is_empty() => vec![("&&", "and"), ("||", "or")],
        Place::List => vec![(",", "another value"), (")", "the end of the list")],
        Place::Operator(_) | Place::End | Place::Begin => Field::ALL
            .iter()
            .map(|field| (field.name(), field.help()))
            .chain([("has(", "whether a field has a value")])
            .collect(),
        Place::Field => Field::ALL
            .iter()
            .map(|field| (field.name(), field.help()))
            .collect(),
        Place::Nothing => Vec::new(),
    };
    found.retain(|(text, _)| {
        text.get(..begun.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(&begun))
            && *text != begun
    });
    found
        .into_iter()
        .map(|(text, help)| Candidate {
            replaces: from..cursor,
            text: text.to_owned(),
            help,
        })
        .collect()
}

/// What stands before the cursor asks for.
enum Place {
    /// The beginning of a term.
    Begin,
    /// A field, and what goes with that.
    Operator(Field),
    /// A field inside `has(`.
    Field,
    /// A value.
    Value(Field),
    /// What goes on in a list.
    List,
    /// What joins terms.
    End,
    /// Nothing that can be known.
    Nothing,
}

fn place(tokens: &[Placed]) -> Place {
    let token = |back: usize| {
        let at = tokens.len().checked_sub(back)?;
        tokens.get(at).map(|(token, _)| token)
    };
    let field = |back: usize| match token(back) {
        Some(Token::Word(word)) => Field::find(word),
        _ => None,
    };
    let is_word =
        |back: usize, word: &str| matches!(token(back), Some(Token::Word(it)) if it == word);
    match token(1) {
        None | Some(Token::And | Token::Or | Token::Not) => Place::Begin,
        Some(Token::Operator(_)) => field(2).map_or(Place::Nothing, Place::Value),
        Some(Token::Open) if is_word(2, "has") => Place::Field,
        Some(Token::Open | Token::Comma) => match list(tokens) {
            Some(field) => Place::Value(field),
            None if token(1) == Some(&Token::Comma) => Place::Nothing,
            None => Place::Begin,
        },
        Some(Token::Word(_) | Token::Quoted(_)) => {
            if matches!(token(2), Some(Token::Operator(_))) {
                Place::End
            } else if list(tokens).is_some() {
                Place::List
            } else {
                field(1).map_or(Place::End, Place::Operator)
            }
        }
        Some(Token::Close) => Place::End,
    }
}

/// The field whose list of values is not closed.
fn list(tokens: &[Placed]) -> Option<Field> {
    let open = tokens
        .iter()
        .rposition(|(token, _)| matches!(token, Token::Open | Token::Close))?;
    let (before, _) = tokens.split_at_checked(open)?;
    match (tokens.get(open), before) {
        (Some((Token::Open, _)), [.., (Token::Word(field), _), (Token::Word(word), _)])
            if word == "in" =>
        {
            Field::find(field)
        }
        _ => None,
    }
}

fn operator_help(operator: Operator) -> &'static str {
    match operator {
        Operator::Equal => "is",
        Operator::NotEqual => "is not",
        Operator::Less => "is less than",
        Operator::LessOrEqual => "is at most",
        Operator::Greater => "is more than",
        Operator::GreaterOrEqual => "is at least",
        Operator::Matches => "matches a regular expression",
        Operator::NotMatches => "does not match a regular expression",
    }
}
