//! Numbers with units: sizes and durations.

/// Units of sizes, in bytes, by their names in lower case.
const SIZES: &[(&str, u64)] = &[
    ("b", 1),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("tb", 1_000_000_000_000),
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("tib", 1 << 40),
];

/// Units of time, in nanoseconds.
const DURATIONS: &[(&str, u64)] = &[
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("min", 60_000_000_000),
    ("h", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
];

/// A number without a unit: `10`, `65_536`.
pub(super) fn number(text: &str) -> Option<u64> {
    let digits = text.replace('_', "");
    let all = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| all)
}

/// A size in bytes: `10`, `4KiB`, `1.5MB`.
pub(super) fn size(text: &str) -> Option<u64> {
    let (amount, unit) = split(text)?;
    match unit {
        "" => number(amount),
        _ => times(amount, find(SIZES, &unit.to_ascii_lowercase())?),
    }
}

/// A length of time in nanoseconds: `500ms`, `1m30s`.
pub(super) fn duration(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut sum = 0u64;
    while !rest.is_empty() {
        let (amount, after) = split(rest)?;
        let end = after
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(after.len());
        let (unit, next) = after.split_at_checked(end)?;
        sum = sum.saturating_add(times(amount, find(DURATIONS, unit)?)?);
        rest = next;
    }
    (!text.is_empty()).then_some(sum)
}

fn find(units: &[(&str, u64)], name: &str) -> Option<u64> {
    units
        .iter()
        .find(|(unit, _)| *unit == name)
        .map(|(_, factor)| *factor)
}

/// The number that a text begins with, and what follows.
fn split(text: &str) -> Option<(&str, &str)> {
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.' && c != '_')
        .unwrap_or(text.len());
    text.split_at_checked(end)
        .filter(|(amount, _)| !amount.is_empty())
}

/// `amount`, which may have a fraction, of units; rounded down.
fn times(amount: &str, factor: u64) -> Option<u64> {
    let (whole, fraction) = amount.split_once('.').unwrap_or((amount, "0"));
    let whole = number(whole)?.checked_mul(factor)?;
    // What is behind the ninth digit changes nothing that anybody sees.
    let fraction = fraction.get(..9).unwrap_or(fraction);
    let digits = u32::try_from(fraction.len()).ok()?;
    let part = u128::from(number(fraction)?).checked_mul(u128::from(factor))?;
    let part = part.checked_div(10u128.checked_pow(digits)?)?;
    whole.checked_add(u64::try_from(part).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units_of_both_kinds() {
        let sizes = ["10", "1_000", "4KiB", "4kib", "1.5MB", "1MiB", "0.5GiB"];
        assert_eq!(
            sizes.map(size),
            [10, 1_000, 4_096, 4_096, 1_500_000, 1 << 20, (1 << 30) / 2].map(Some)
        );
        for wrong in [
            "",
            "x",
            "1XB",
            "-1",
            "1.5",
            "1..5KB",
            "99999999999TiB",
            "._",
        ] {
            assert_eq!(size(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn durations_are_sums() {
        let durations = ["5s", "500ms", "1m30s", "1.5h", "2min", "3µs"];
        assert_eq!(
            durations.map(duration),
            [
                5_000_000_000,
                500_000_000,
                90_000_000_000,
                5_400_000_000_000,
                120_000_000_000,
                3_000
            ]
            .map(Some)
        );
        for wrong in ["", "5", "s", "5x", "5s5", "999999999999d"] {
            assert_eq!(duration(wrong), None, "{wrong}");
        }
    }
}
