//! The axis of time: which part of it is seen, and where a moment is on the screen.

use buildtap_decoder::event::Time;

/// The least that is seen, in nanoseconds.
const LEAST: u64 = 1_000;

/// A part of the time that was watched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Span {
    /// Its beginning.
    pub(super) from: Time,
    /// Its end, which is later.
    pub(super) to: Time,
}

impl Span {
    pub(super) fn new(from: Time, to: Time) -> Self {
        Span {
            from,
            to: Time(to.0.max(from.0.saturating_add(LEAST))),
        }
    }

    pub(super) fn nanos(self) -> u64 {
        self.to.0.saturating_sub(self.from.0)
    }

    /// The same, `numerator / denominator` as long, around the moment at `at`, inside `all`.
    pub(super) fn zoomed(self, at: Time, numerator: u64, denominator: u64, all: Span) -> Span {
        let scaled = |nanos: u64| {
            let wide = u128::from(nanos) * u128::from(numerator) / u128::from(denominator.max(1));
            u64::try_from(wide).unwrap_or(u64::MAX)
        };
        let len = scaled(self.nanos()).clamp(LEAST, all.nanos());
        let at = Time(at.0.clamp(self.from.0, self.to.0));
        let before = scaled(at.0 - self.from.0).min(len);
        Span {
            from: Time(at.0.saturating_sub(before)),
            to: Time(at.0.saturating_sub(before).saturating_add(len)),
        }
        .inside(all)
    }

    /// The same, later or earlier by a part of its length.
    pub(super) fn moved(self, eighths: i64, all: Span) -> Span {
        let by = i64::try_from(self.nanos() / 8).unwrap_or(i64::MAX);
        let by = by.saturating_mul(eighths);
        Span {
            from: Time(self.from.0.saturating_add_signed(by)),
            to: Time(self.to.0.saturating_add_signed(by)),
        }
        .inside(all)
    }

    /// The same, pushed into `all`.
    fn inside(self, all: Span) -> Span {
        let len = self.nanos().min(all.nanos());
        let from = self.from.0.clamp(all.from.0, all.to.0.saturating_sub(len));
        Span {
            from: Time(from),
            to: Time(from.saturating_add(len)),
        }
    }

    /// Where a moment is among `columns`: below 0 or beyond the last if it is not seen.
    pub(super) fn column(self, at: Time, columns: u16) -> i64 {
        let since = i128::from(at.0) - i128::from(self.from.0);
        let place = since * i128::from(columns) / i128::from(self.nanos().max(1));
        i64::try_from(place).unwrap_or(i64::MAX)
    }

    /// Round moments in it, not nearer to each other than `apart` columns of `columns`: so many
    /// nanoseconds after `origin`.
    pub(super) fn ticks(self, origin: Time, columns: u16, apart: u16) -> Vec<u64> {
        let most = u64::from(columns / apart.max(1)).max(1);
        let mut step = 1_000;
        'found: loop {
            for factor in [1, 2, 5] {
                if self.nanos() / (step * factor) < most || step > u64::MAX / 100 {
                    step *= factor;
                    break 'found;
                }
            }
            step *= 10;
        }
        let first = self.from.0.saturating_sub(origin.0).div_ceil(step) * step;
        let last = self.to.0.saturating_sub(origin.0);
        (0..=most)
            .map(|nth| first.saturating_add(nth.saturating_mul(step)))
            .take_while(|tick| *tick < last)
            .collect()
    }
}

/// A moment on the axis: `0`, `250 µs`, `12.5 ms`, `1.5 s`, `2m05s`.
pub(super) fn moment(nanos: u64) -> String {
    let short = |value: f64, unit: &str| {
        let text = format!("{value:.3}");
        let text = text.trim_end_matches('0').trim_end_matches('.');
        format!("{text} {unit}")
    };
    match nanos {
        0 => "0".to_owned(),
        1..1_000_000 => short(nanos as f64 / 1e3, "µs"),
        1_000_000..1_000_000_000 => short(nanos as f64 / 1e6, "ms"),
        1_000_000_000..60_000_000_000 => short(nanos as f64 / 1e9, "s"),
        _ => {
            let seconds = nanos / 1_000_000_000;
            format!("{}m{:02}s", seconds / 60, seconds % 60)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Span = Span {
        from: Time(1_000_000),
        to: Time(9_000_000),
    };

    #[test]
    fn the_part_that_is_seen_stays_inside() {
        let near = ALL.zoomed(Time(2_000_000), 1, 2, ALL);
        assert_eq!(near, Span::new(Time(1_500_000), Time(5_500_000)));
        assert_eq!(near.moved(-8, ALL).from, ALL.from);
        assert_eq!(near.moved(80, ALL).to, ALL.to);
        assert_eq!(near.zoomed(Time(2_000_000), 8, 1, ALL), ALL);
        let nearest = (0..99).fold(ALL, |span, _| span.zoomed(Time(5_000_000), 1, 2, ALL));
        assert_eq!(nearest.nanos(), LEAST);
    }

    #[test]
    fn moments_have_columns() {
        assert_eq!(ALL.column(Time(1_000_000), 80), 0);
        assert_eq!(ALL.column(Time(5_000_000), 80), 40);
        assert_eq!(ALL.column(Time(9_000_000), 80), 80);
        assert!(ALL.column(Time(0), 80) < 0);
    }

    #[test]
    fn ticks_are_round() {
        let ticks = ALL.ticks(Time(1_000_000), 80, 10);
        let ticks: Vec<String> = ticks.into_iter().map(moment).collect();
        assert_eq!(ticks, ["0", "2 ms", "4 ms", "6 ms"]);
        assert_eq!(moment(1_500_000_000), "1.5 s");
        assert_eq!(moment(125_000_000_000), "2m05s");
        let year = Span::new(Time(0), Time(u64::MAX));
        assert!(!year.ticks(Time(0), 80, 10).is_empty());
    }
}
