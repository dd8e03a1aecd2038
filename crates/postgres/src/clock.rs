//! The monotonic clock of this process.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use patroni_core::Moment;

/// Gives [`Moment`]s counted from one origin that the whole process shares.
///
/// On Linux it goes on while the machine is suspended: a lease must not outlive the time that
/// the others measured.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Duration,
}

#[cfg(target_os = "linux")]
const CLOCK: ClockId = ClockId::CLOCK_BOOTTIME;
#[cfg(not(target_os = "linux"))]
const CLOCK: ClockId = ClockId::CLOCK_MONOTONIC;

impl Clock {
    /// A clock that counts from now.
    pub fn start() -> Self {
        Self { origin: read() }
    }

    /// The present moment.
    pub fn now(self) -> Moment {
        Moment::new(read().saturating_sub(self.origin))
    }

    /// A moment as a time on the clock of the system that it is counted on, which other
    /// processes share.
    pub fn of_the_system(self, moment: Moment) -> Duration {
        self.origin + moment.since_origin()
    }
}

fn read() -> Duration {
    clock_gettime(CLOCK)
        .map(Duration::from)
        .expect("the system has a monotonic clock")
}
