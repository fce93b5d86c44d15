//! The filter language: which things of a trace somebody wants to see.
//!
//! `service == FileSend && bytes > 1MiB`. What can be asked for is in one table ([`Field`]), from
//! which checking, completion ([`complete`]) and the document ([`document`]) are made. What is
//! filtered says its values through one trait, [`Row`]: [`Thing`]s of a trace do, and so can the
//! rows of a view. Nothing here draws, and nothing decides what is kept beside a thing that
//! matches.
//!
//! The way of an expression: `lexer` (tokens) → `parse` (an expression whose fields, operators
//! and values fit each other, or an [`Error`] that says where they do not) → `eval`.

mod complete;
mod document;
mod error;
mod eval;
mod fields;
mod lexer;
mod parse;
#[cfg(test)]
mod tests;
mod thing;
mod units;

pub use complete::{Candidate, complete};
pub use document::document;
pub use error::Error;
pub use eval::{Row, Value};
pub use fields::{Field, Type, Words};
pub use thing::{Thing, Things};

/// How long an expression may be, in bytes.
pub const MAX_LEN: usize = 4096;

/// How many parentheses and `!` may be within each other.
pub const MAX_DEPTH: usize = 64;

/// An expression that was understood.
#[derive(Clone, Debug)]
pub struct Filter {
    text: String,
    expression: parse::Expression,
}

impl Filter {
    /// Reads an expression. An empty one, or nothing but spaces, matches everything.
    pub fn parse(text: &str) -> Result<Self, Error> {
        Ok(Filter {
            text: text.to_owned(),
            expression: parse::parse(text)?,
        })
    }

    /// Whether the expression is true of this row.
    pub fn matches(&self, row: &dyn Row) -> bool {
        eval::matches(&self.expression, row)
    }

    /// The expression as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl std::str::FromStr for Filter {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Filter::parse(text)
    }
}
