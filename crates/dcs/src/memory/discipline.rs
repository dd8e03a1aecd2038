//! Who decides when a lock that nobody extends is over.
//!
//! Source: store contract, the sections on the lock of each store; the manuals of the stores.

use std::time::Duration;

use patroni_core::Moment;
use serde::{Deserialize, Serialize};

/// How the leases of the model end. Each backend of the crate has one of these manners.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Discipline {
    /// etcd: a lease ends its length after the last keep-alive that arrived.
    #[default]
    Lease,
    /// Consul: a session of half the ttl, which the server ends after twice its length (that is
    /// its multiplier, and what the halving is for; its documentation promises less) or somewhat
    /// later; a lock whose session ended is then kept from everybody for a while.
    Session {
        /// The time for which the lock is kept from everybody.
        lock_delay: Duration,
    },
    /// ZooKeeper: a session ends at the next tick of the server. Giving the lock back closes the
    /// session, and so takes the member's key along; so does a change of the ttl.
    Ephemeral {
        /// The server looks for silent sessions so often.
        tick: Duration,
    },
    /// Kubernetes: nothing ends by itself. Each client takes the lock for free when it has not
    /// seen its record change for the recorded ttl, by its own clock.
    Judged,
    /// Raft: the log counts the time, in ticks of its leader; without a leader no time passes.
    Ticks {
        /// From one tick to the next.
        every: Duration,
    },
}

impl Discipline {
    /// The length of the lease that a client asks for.
    pub(super) fn length(self, ttl: Duration) -> Duration {
        match self {
            Self::Session { .. } => ttl / 2,
            Self::Lease | Self::Ephemeral { .. } | Self::Judged | Self::Ticks { .. } => ttl,
        }
    }

    /// When a lease of this length ends that was kept alive at `now`; `None` when it never does.
    /// `number` makes the lateness of a server look like chance without being it.
    pub(super) fn end(self, now: Moment, length: Duration, number: u64) -> Option<Moment> {
        match self {
            Self::Lease => Some(now + length),
            Self::Session { .. } => {
                let percent = u32::try_from(number.wrapping_mul(37) % 101).unwrap_or(0);
                Some(now + length * 2 + length * percent / 200)
            }
            Self::Ephemeral { tick } | Self::Ticks { every: tick } => {
                Some(round_up(now + length, tick))
            }
            Self::Judged => None,
        }
    }
}

/// The first moment from `at` on that is a whole number of ticks.
fn round_up(at: Moment, tick: Duration) -> Moment {
    let (at, tick) = (at.since_origin().as_nanos(), tick.as_nanos().max(1));
    let ticks = u64::try_from(at.div_ceil(tick) * tick).unwrap_or(u64::MAX);
    Moment::new(Duration::from_nanos(ticks))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_lease_ends_before_the_ttl_that_its_holder_counts() {
        let ttl = Duration::from_secs(30);
        let now = Moment::new(Duration::from_millis(1234));
        for discipline in [
            Discipline::Lease,
            Discipline::Ephemeral {
                tick: Duration::from_secs(2),
            },
            Discipline::Ticks {
                every: Duration::from_millis(500),
            },
        ] {
            let end = discipline.end(now, discipline.length(ttl), 5).unwrap();
            assert!(end >= now + ttl, "{discipline:?}");
            assert!(end <= now + ttl + Duration::from_secs(2), "{discipline:?}");
        }
        assert_eq!(Discipline::Judged.end(now, ttl, 5), None);
    }

    #[test]
    fn a_session_of_half_the_ttl_lasts_for_all_of_it() {
        let discipline = Discipline::Session {
            lock_delay: Duration::ZERO,
        };
        let length = discipline.length(Duration::from_secs(30));
        assert_eq!(length, Duration::from_secs(15));
        for number in 0..200 {
            let end = discipline.end(Moment::ZERO, length, number).unwrap();
            let lasts = end.since(Moment::ZERO);
            assert!(lasts >= length * 2 && lasts <= length * 3);
        }
    }
}
