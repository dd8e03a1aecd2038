//! How far a copy of another server is.

use std::time::Duration;

/// A copy that is being made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CopyProgress {
    /// Bytes in the data directory now.
    pub bytes: u64,
    /// Bytes that are expected, when known: those of the databases, without WAL.
    pub total: Option<u64>,
    /// How long the copy has been running.
    pub elapsed: Duration,
}

impl CopyProgress {
    /// The part that is copied, at most 99: what is counted and what is needed are not quite the
    /// same, and only the method's end is the end.
    pub fn percent(&self) -> Option<u8> {
        let total = self.total.filter(|total| *total > 0)?;
        let percent = u128::from(self.bytes) * 100 / u128::from(total);
        Some(u8::try_from(percent).unwrap_or(99).min(99))
    }

    /// How much longer it takes at the pace so far; `None` before there is one.
    pub fn left(&self) -> Option<Duration> {
        let missing = self.total?.saturating_sub(self.bytes);
        let millis = self.elapsed.as_millis() * u128::from(missing);
        let left = millis.checked_div(u128::from(self.bytes))?;
        u64::try_from(left).ok().map(Duration::from_millis)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(bytes: u64, total: Option<u64>) -> CopyProgress {
        CopyProgress {
            bytes,
            total,
            elapsed: Duration::from_secs(10),
        }
    }

    #[test]
    fn the_rest_takes_as_long_as_the_pace_says() {
        for (bytes, total, percent, left) in [
            (0, None, None, None),
            (5, None, None, None),
            (0, Some(0), None, None),
            (0, Some(100), Some(0), None),
            (25, Some(100), Some(25), Some(30)),
            (100, Some(100), Some(99), Some(0)),
            (900, Some(100), Some(99), Some(0)),
            (u64::MAX, Some(1), Some(99), Some(0)),
        ] {
            let progress = progress(bytes, total);
            assert_eq!(progress.percent(), percent, "{progress:?}");
            let left = left.map(Duration::from_secs);
            assert_eq!(progress.left(), left, "{progress:?}");
        }
    }
}
