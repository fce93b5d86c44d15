//! Whether an expression is true of a row.

use super::lexer::Operator;
use super::parse::{Expression, Literal, Test, rank};
use super::{Field, units};

/// One value of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// For [`Type::Text`](super::Type::Text) and [`Type::Word`](super::Type::Word).
    Text(&'a str),
    /// For numbers, in bytes for sizes, in nanoseconds for durations.
    Number(u64),
    /// For [`Type::Flag`](super::Type::Flag).
    Flag(bool),
}

/// Something that can be filtered.
pub trait Row {
    /// Whether `test` is true of a value of this field. A field may have several values, or none:
    /// then the answer is no.
    fn any(&self, field: Field, test: &mut dyn FnMut(Value<'_>) -> bool) -> bool;
}

/// Whether the expression is true of `row`.
pub(super) fn matches(expression: &Expression, row: &dyn Row) -> bool {
    match expression {
        Expression::All(parts) => parts.iter().all(|part| matches(part, row)),
        Expression::Any(parts) => parts.iter().any(|part| matches(part, row)),
        Expression::Not(part) => !matches(part, row),
        Expression::Has(field) => row.any(*field, &mut |_| true),
        Expression::Is(field, test) => row.any(*field, &mut |value| passes(value, test)),
        Expression::IsNot(field, test) => {
            let mut one = false;
            let passed = row.any(*field, &mut |value| {
                one = true;
                passes(value, test)
            });
            one && !passed
        }
        Expression::Search(regex) => {
            Field::ALL
                .iter()
                .filter(|field| field.is_searched())
                .any(|field| {
                    row.any(
                        *field,
                        &mut |value| matches!(value, Value::Text(text) if regex.is_match(text)),
                    )
                })
        }
    }
}

fn passes(value: Value<'_>, test: &Test) -> bool {
    match (test, value) {
        (Test::OneOf(literals), value) => literals.iter().any(|literal| equal(literal, value)),
        (Test::Matches(regex), Value::Text(text)) => regex.is_match(text),
        (Test::Order(operator, number), Value::Number(value)) => {
            in_order(*operator, value.cmp(number))
        }
        // Among words there are numbers, too.
        (Test::Order(operator, number), Value::Text(text)) => {
            units::number(text).is_some_and(|value| in_order(*operator, value.cmp(number)))
        }
        (Test::Rank(operator, at, words), Value::Text(word)) => {
            rank(words, word).is_some_and(|rank| in_order(*operator, rank.cmp(at)))
        }
        _ => false,
    }
}

fn equal(literal: &Literal, value: Value<'_>) -> bool {
    match (literal, value) {
        (Literal::Text(text), Value::Text(value)) => text == value,
        (Literal::Word(word), Value::Text(value)) => word.eq_ignore_ascii_case(value),
        (Literal::Number(number), Value::Number(value)) => *number == value,
        (Literal::Flag(flag), Value::Flag(value)) => *flag == value,
        _ => false,
    }
}

fn in_order(operator: Operator, order: std::cmp::Ordering) -> bool {
    match operator {
        Operator::Less => order.is_lt(),
        Operator::LessOrEqual => order.is_le(),
        Operator::Greater => order.is_gt(),
        Operator::GreaterOrEqual => order.is_ge(),
        Operator::Equal => order.is_eq(),
        Operator::NotEqual => order.is_ne(),
        Operator::Matches | Operator::NotMatches => false,
    }
}
