//! Spans and metrics, as a receiver that others wrote has them; and collectors that do not do their part.

mod collectors;
mod docker;
mod export;
mod history;
mod live;
mod stage;
mod tls;
