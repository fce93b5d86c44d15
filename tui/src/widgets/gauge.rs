//! How much of something is used up.

/// A bar of `width` columns, of which as many are full as `part` is of `whole`; by eighths.
pub fn gauge(part: u64, whole: u64, width: u16) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let all = u128::from(width) * 8;
    let full = match whole {
        0 => 0,
        _ => (u128::from(part.min(whole)) * all).div_ceil(u128::from(whole)),
    };
    let (blocks, eighths) = ((full / 8) as usize, (full % 8) as usize);
    let mut bar = "█".repeat(blocks);
    bar.push_str(EIGHTHS.get(eighths).copied().unwrap_or_default());
    let used = blocks + usize::from(eighths > 0);
    bar.push_str(&"░".repeat(usize::from(width).saturating_sub(used)));
    bar
}

#[cfg(test)]
mod tests {
    use super::gauge;

    #[test]
    fn a_gauge_is_as_full_as_it_should_be() {
        assert_eq!(gauge(0, 10, 4), "░░░░");
        assert_eq!(gauge(5, 10, 4), "██░░");
        assert_eq!(gauge(9, 10, 4), "███▋");
        assert_eq!(gauge(20, 10, 4), "████");
        assert_eq!(gauge(0, 0, 2), "░░");
    }
}
