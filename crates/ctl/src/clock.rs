//! The wall clock and pauses, as a trait so that tests own the time.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Zoned;

/// What time it is where the caller sits, and waiting. The tool decides nothing by the wall
/// clock: it prints it and reads schedules with it.
#[async_trait]
pub trait Clock: Send + Sync {
    /// Now, in the local zone.
    fn now(&self) -> Zoned;

    /// Monotonic time since some origin, for periods and deadlines.
    fn elapsed(&self) -> Duration;

    /// Waits. Cancel safe.
    async fn sleep(&self, pause: Duration);
}

/// The clock of the system; the zone is `TZ` or the machine's.
#[derive(Debug)]
pub struct SystemClock {
    origin: std::time::Instant,
}

impl Default for SystemClock {
    fn default() -> Self {
        Self {
            origin: std::time::Instant::now(),
        }
    }
}

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> Zoned {
        Zoned::now()
    }

    fn elapsed(&self) -> Duration {
        self.origin.elapsed()
    }

    async fn sleep(&self, pause: Duration) {
        tokio::time::sleep(pause).await;
    }
}

/// `YYYY-MM-DD HH:MM:SS`.
pub(crate) fn seconds_text(now: &Zoned) -> String {
    now.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// The same with five digits of a second, as the tool stamps its results.
pub(crate) fn stamp_text(now: &Zoned) -> String {
    let fraction = now.subsec_nanosecond() / 10_000;
    format!("{}.{fraction:05}", seconds_text(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_have_five_digits() {
        let time: Zoned = "2026-01-02T03:04:05.678912+00:00[UTC]".parse().unwrap();
        assert_eq!(stamp_text(&time), "2026-01-02 03:04:05.67891");
    }
}
