//! Times that people chose: now, later, or too late (HA contract 16.2).

use std::time::Duration;

use jiff::Timestamp;

/// What a scheduled time means now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// More than one cycle ahead, in so many seconds.
    Later(i64),
    /// Within this cycle, after this wait.
    Soon(Duration),
    /// So long ago that nobody would expect it any more.
    Stale,
}

/// Judges a time against the wall clock: it acts within one `loop_wait` before it, and is stale
/// one and a half of that after it.
pub(crate) fn due(at: Timestamp, wall: Timestamp, loop_wait: Duration) -> Due {
    let ahead = at.duration_since(wall);
    let wait = jiff::SignedDuration::try_from(loop_wait).unwrap_or(jiff::SignedDuration::MAX);
    if ahead > wait {
        return Due::Later(ahead.as_secs());
    }
    let limit = jiff::SignedDuration::from_secs(wait.as_secs().saturating_mul(3) / 2);
    if ahead < -limit {
        return Due::Stale;
    }
    Due::Soon(Duration::try_from(ahead).unwrap_or(Duration::ZERO))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_later_soon_or_stale() {
        let wall: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let at = |seconds: i64| wall + jiff::SignedDuration::from_secs(seconds);
        let wait = Duration::from_secs(10);
        for (seconds, expected) in [
            (11, Due::Later(11)),
            (10, Due::Soon(Duration::from_secs(10))),
            (0, Due::Soon(Duration::ZERO)),
            (-15, Due::Soon(Duration::ZERO)),
            (-16, Due::Stale),
        ] {
            assert_eq!(due(at(seconds), wall, wait), expected, "{seconds}");
        }
    }
}
