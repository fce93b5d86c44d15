//! What views are put together from.

mod gauge;
mod list;
mod rule;
mod table;
mod terminal;

pub use gauge::gauge;
pub use list::{Click, List};
pub use rule::rule;
pub use table::{Cell, Column, Table};
pub use terminal::terminal;
