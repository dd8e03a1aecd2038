//! How the timeout of the device follows from the timings of the cluster.

use crate::settings::WatchdogSettings;

/// The timings of the cluster, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Life of the leader lock.
    pub ttl: i64,
    /// Pause between renewals.
    pub loop_wait: i64,
}

impl Timing {
    /// The timeout that makes the device fire before the lock ends.
    pub(crate) fn timeout(self, settings: &WatchdogSettings) -> i64 {
        if settings.safety_margin == -1 {
            self.ttl / 2
        } else {
            self.ttl.saturating_sub(settings.safety_margin)
        }
    }

    /// What is left of the timeout after one pause. Below zero the device would fire in normal
    /// operation.
    pub(crate) fn slack(self, timeout: i64) -> i64 {
        timeout.saturating_sub(self.loop_wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_margin_comes_off_the_ttl() {
        let timing = Timing {
            ttl: 30,
            loop_wait: 10,
        };
        let mut settings = WatchdogSettings::default();
        assert_eq!(timing.timeout(&settings), 25);
        settings.safety_margin = -1;
        assert_eq!(timing.timeout(&settings), 15);
        assert_eq!(timing.slack(15), 5);
    }
}
