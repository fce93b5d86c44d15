//! Text that others wrote, kept within bounds; and durations as they stand in sentences.

use crate::event::Time;

/// How long ago, for people: `31.2 s`.
pub(crate) fn ago(now: Time, then: Time) -> String {
    format!("{:.1} s", now.since(then).as_secs_f64())
}

/// The beginning of `text`, of at most `limit` bytes, cut between characters.
pub(crate) fn head(text: &str, limit: usize) -> &str {
    let mut end = text.len().min(limit);
    while !text.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    text.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_stay_whole() {
        assert_eq!(head("aé", 1), "a");
        assert_eq!(head("aé", 2), "a");
        assert_eq!(head("aé", 3), "aé");
        assert_eq!(head("aé", 9), "aé");
    }
}
