//! How much was said when, over the life of a call or a session, in a few numbers.

use buildtap_decoder::event::Time;

/// How many columns a sparkline has.
pub const BUCKETS: usize = 16;

/// Bytes over time: the time that is covered doubles whenever it is used up.
#[derive(Clone, Debug)]
pub struct Activity {
    start: Time,
    /// Nanoseconds of a bucket.
    width: u64,
    bytes: [u64; BUCKETS],
}

impl Activity {
    /// Nothing yet, from `start` on.
    pub fn new(start: Time) -> Self {
        Activity {
            start,
            width: 1_000_000,
            bytes: [0; BUCKETS],
        }
    }

    /// So many bytes were said at `at`.
    pub fn add(&mut self, at: Time, bytes: u64) {
        let place = self.reach(at);
        if let Some(bucket) = self.bytes.get_mut(place) {
            *bucket = bucket.saturating_add(bytes);
        }
    }

    /// The buckets up to `at`, the oldest first.
    pub fn until(&self, at: Time) -> [u64; BUCKETS] {
        let mut grown = self.clone();
        grown.reach(at);
        grown.bytes
    }

    /// Makes the buckets as wide as it takes to cover `at`, and gives its bucket.
    fn reach(&mut self, at: Time) -> usize {
        let since = u64::try_from(at.since(self.start).as_nanos()).unwrap_or(u64::MAX);
        while since / self.width >= BUCKETS as u64 {
            let mut wider = [0; BUCKETS];
            for (wide, two) in wider.iter_mut().zip(self.bytes.chunks(2)) {
                *wide = two.iter().sum();
            }
            self.bytes = wider;
            self.width = self.width.saturating_mul(2);
        }
        usize::try_from(since / self.width).unwrap_or(BUCKETS - 1)
    }
}

/// A bar of eighths for each bucket; a space where nothing was said.
pub fn sparkline(buckets: &[u64]) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let most = buckets.iter().copied().max().unwrap_or(0);
    let bar = |bytes: &u64| match bytes {
        0 => ' ',
        _ => {
            // By its logarithm: a few words between two files are seen, too.
            let share = ((*bytes as f64).ln_1p() / (most as f64).ln_1p()) * 7.0;
            BARS.get(share.round() as usize).copied().unwrap_or('█')
        }
    };
    buckets.iter().map(bar).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_that_is_covered_grows() {
        let mut activity = Activity::new(Time(0));
        for millisecond in 0..64 {
            activity.add(Time(millisecond * 1_000_000), 1);
        }
        assert_eq!(activity.until(Time(0)), [4; BUCKETS]);
        let later = activity.until(Time(127_000_000));
        assert_eq!(later.iter().sum::<u64>(), 64);
        assert_eq!(sparkline(&later), "████████        ");
    }
}
