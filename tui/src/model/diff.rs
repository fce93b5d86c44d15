//! Two captures beside each other.

use std::time::Duration;

use super::Store;

/// How a second capture differs from the one in the store.
#[derive(Debug)]
pub struct Diff {
    /// The second one.
    pub other: Store,
    /// What is different, in the order in which it first happened.
    pub differences: Vec<Difference>,
    /// How many calls and requests both have.
    pub common: usize,
}

/// One difference. The captures are `GOOD` and `BAD` in its sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Where: the session, request or call.
    pub place: String,
    /// What, as a sentence without a stop.
    pub what: String,
    /// When that was, since the first capture began.
    pub good_at: Option<Duration>,
    /// The same of the second one.
    pub bad_at: Option<Duration>,
}
