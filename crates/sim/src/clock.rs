//! The clock of one node: as fast as it likes, never backwards, and not asleep when the node is.

use std::time::Duration;

use patroni_core::Moment;

/// A monotonic clock that drifts against true time. It goes on while its node is frozen, as
/// `CLOCK_BOOTTIME` does, so a thawed node sees a jump.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    offset: Duration,
    /// Parts in a million that it is too fast (or, negative, too slow).
    drift_ppm: i64,
}

const MILLION: i128 = 1_000_000;

impl Clock {
    pub(crate) fn new(offset: Duration, drift_ppm: i64) -> Self {
        Self { offset, drift_ppm }
    }

    /// What the clock shows at this true time.
    pub(crate) fn read(self, truth: Moment) -> Moment {
        let passed = scale(
            truth.since_origin(),
            MILLION + i128::from(self.drift_ppm),
            MILLION,
        );
        Moment::new(self.offset + passed)
    }

    /// The true time when the clock will show this.
    pub(crate) fn when(self, shown: Moment) -> Moment {
        let passed = shown.since_origin().saturating_sub(self.offset);
        Moment::new(scale(passed, MILLION, MILLION + i128::from(self.drift_ppm)))
    }

    /// A new rate from now on, without a step.
    pub(crate) fn change_rate(&mut self, truth: Moment, drift_ppm: i64) {
        let shown = self.read(truth).since_origin();
        self.drift_ppm = drift_ppm;
        self.offset = Duration::ZERO;
        let without = self.read(truth).since_origin();
        self.offset = shown.saturating_sub(without);
    }
}

fn scale(duration: Duration, by: i128, of: i128) -> Duration {
    let nanos = i128::try_from(duration.as_nanos()).unwrap_or(i128::MAX);
    Duration::from_nanos(u64::try_from(nanos * by / of).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fast_clock_shows_more() {
        let clock = Clock::new(Duration::from_secs(5), 10_000);
        let hundred = Moment::new(Duration::from_secs(100));
        assert_eq!(clock.read(hundred), Moment::new(Duration::from_secs(106)));
        assert_eq!(clock.when(clock.read(hundred)), hundred);
    }

    #[test]
    fn a_new_rate_makes_no_step() {
        let mut clock = Clock::new(Duration::from_mins(15), 10_000);
        let now = Moment::new(Duration::from_secs(100));
        let before = clock.read(now);
        clock.change_rate(now, -10_000);
        assert_eq!(clock.read(now), before);
    }
}
