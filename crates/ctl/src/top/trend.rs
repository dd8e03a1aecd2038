//! The lag of one member over the last rounds.

use std::collections::VecDeque;

/// So many rounds are remembered.
const MOST: usize = 24;

/// Below this a line is as good as flat, in bytes.
const FLAT: u64 = 64 << 10;

/// A line is as high as its highest point, but this high at least, in bytes.
const FULL: u64 = 1 << 20;

/// The lags in bytes, newest last; `None` where there was none to know.
#[derive(Clone, Debug, Default)]
pub(super) struct Trend(VecDeque<Option<u64>>);

/// Where it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Rising,
    Steady,
    Falling,
    Unknown,
}

impl Trend {
    pub(super) fn note(&mut self, lag: Option<u64>) {
        self.0.push_back(lag);
        if self.0.len() > MOST {
            self.0.pop_front();
        }
    }

    /// From the oldest known lag to the newest.
    pub(super) fn direction(&self) -> Direction {
        let Some(&Some(last)) = self.0.back() else {
            return Direction::Unknown;
        };
        let first = self.0.iter().flatten().next().copied().unwrap_or(last);
        let slack = FLAT.max(first / 10);
        if last > first.saturating_add(slack) {
            Direction::Rising
        } else if last.saturating_add(slack) < first {
            Direction::Falling
        } else {
            Direction::Steady
        }
    }

    /// The newest lags as letters from low to high; unknown ones are the letter `gap`.
    pub(super) fn line(&self, width: usize, levels: [char; 8], gap: char) -> String {
        let full = self.0.iter().flatten().copied().fold(FULL, u64::max);
        let letter = |lag: &Option<u64>| match lag {
            None => gap,
            Some(lag) => {
                let level = u128::from(*lag) * 7 / u128::from(full);
                levels[usize::try_from(level).unwrap_or(7).min(7)]
            }
        };
        let skipped = self.0.len().saturating_sub(width);
        let drawn: String = self.0.iter().skip(skipped).map(letter).collect();
        format!("{drawn:>width$}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LETTERS: [char; 8] = ['0', '1', '2', '3', '4', '5', '6', '7'];

    fn trend(lags: &[Option<u64>]) -> Trend {
        let mut trend = Trend::default();
        for lag in lags {
            trend.note(*lag);
        }
        trend
    }

    #[test]
    fn a_trend_is_drawn_to_scale() {
        let mib = |count: u64| Some(count << 20);
        for (lags, line, direction) in [
            (vec![], "     ", Direction::Unknown),
            (vec![Some(0); 3], "  000", Direction::Steady),
            (
                vec![Some(0), Some(FULL / 2), Some(FULL)],
                "  037",
                Direction::Rising,
            ),
            (
                vec![mib(70), mib(10), None, mib(1)],
                " 71.0",
                Direction::Falling,
            ),
            (vec![mib(1), None], "   7.", Direction::Unknown),
            (
                vec![Some(u64::MAX), Some(u64::MAX)],
                "   77",
                Direction::Steady,
            ),
        ] {
            let trend = trend(&lags);
            assert_eq!(trend.line(5, LETTERS, '.'), line, "{lags:?}");
            assert_eq!(trend.direction(), direction, "{lags:?}");
        }
    }

    #[test]
    fn only_the_last_rounds_count() {
        let mut lags = vec![Some(FULL * 9)];
        lags.extend(vec![Some(0); MOST]);
        assert_eq!(trend(&lags).direction(), Direction::Steady);
        assert_eq!(trend(&lags).line(3, LETTERS, '.'), "000");
    }
}
