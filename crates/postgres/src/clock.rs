//! The monotonic clock of this process.

use std::time::Instant;

use patroni_core::Moment;

/// Gives [`Moment`]s counted from one origin that the whole process shares.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Instant,
}

impl Clock {
    /// A clock that counts from `origin`.
    pub const fn new(origin: Instant) -> Self {
        Self { origin }
    }

    /// The present moment.
    pub fn now(self) -> Moment {
        Moment::new(self.origin.elapsed())
    }
}
