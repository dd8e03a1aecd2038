//! How the life of a lease is divided: leading, stepping down in order, being stopped.
//!
//! A lease lasts a `ttl` from the moment before the last confirmed renewal was sent. Nobody else
//! can get the lock before it is over, so a store that is silent for a while is no reason to
//! give up; but when the lease is over, no write may be acknowledged any more. Counted from its
//! end backwards:
//!
//! ```text
//! renewal sent                                    give up   guard      end
//!      |----------------- leading ------------------|--in order--|--at once--|
//! ```
//!
//! - until *give up* the primary leads on and asks the store again and again;
//! - then it steps down in order;
//! - what has not stopped when the *guard* of the body acts is stopped at once, then killed.

use std::time::Duration;

use patroni_core::Moment;
use serde::{Deserialize, Serialize};

use crate::observation::WatchdogFacts;

/// How long before its end the guard of the body stops PostgreSQL at once: a fifteenth of the
/// ttl, between 1 and 3 seconds. An immediate stop, and the kill when even that hangs, are over
/// by then, and it is more than clocks drift apart within a ttl.
pub fn guard_margin(ttl: Duration) -> Duration {
    (ttl / 15).clamp(Duration::from_secs(1), Duration::from_secs(3))
}

/// How long a primary gets to step down in order before the guard acts: a tenth of the ttl,
/// between 1 and 5 seconds. What takes longer is cut short by the guard, and costs a crash
/// recovery instead of a clean shutdown.
pub fn orderly_margin(ttl: Duration) -> Duration {
    (ttl / 10).clamp(Duration::from_secs(1), Duration::from_secs(5))
}

/// An attempt to reach the store is not worth making with less time.
const SHORTEST_ATTEMPT: Duration = Duration::from_secs(1);

/// The pause between two attempts while the lease runs down; attempts take their time themselves.
const PAUSE: Duration = Duration::from_millis(500);

/// The next cycle comes sooner than planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Again {
    /// The next cycle begins after this pause at the latest.
    pub after: Duration,
    /// The store is silent and the lease lasts: in that cycle the view and the renewal are waited
    /// for until this moment at most; what is not answered by then counts as unreachable.
    pub store_until: Option<Moment>,
}

impl Again {
    /// Whether a primary whose lease ends at `end` may lead on at `now` although the store is
    /// silent, and how it goes on then.
    pub(crate) fn while_leased(
        end: Moment,
        now: Moment,
        ttl: Duration,
        watchdog: &WatchdogFacts,
    ) -> Option<Self> {
        let give_up = give_up(end, ttl, watchdog);
        (now + PAUSE + SHORTEST_ATTEMPT <= give_up).then_some(Self {
            after: PAUSE,
            store_until: Some(give_up),
        })
    }

    /// Something has begun that others wait for, and the next look will show more of it.
    pub(crate) const SOON: Self = Self {
        after: Duration::from_secs(1),
        store_until: None,
    };
}

/// The moment to step down at. A device that counts down is not fed while the store is silent
/// and would reset the machine in the middle of an orderly stop, so it counts as a guard, too.
fn give_up(end: Moment, ttl: Duration, watchdog: &WatchdogFacts) -> Moment {
    let guard = end - guard_margin(ttl);
    let guard = match watchdog.timeout.filter(|_| watchdog.active) {
        // It was fed after the renewal was sent.
        Some(timeout) => guard.min(end - ttl.saturating_sub(timeout)),
        None => guard,
    };
    guard - orderly_margin(ttl)
}

/// How long a member keeps its consent to a leader without a store: at least for as long as the
/// leader counts on it, which does not hear of a shorter `ttl` before it reads the store again.
/// What nobody would configure is no reason to wait.
pub fn consent(ttl: Duration, announced: Option<Duration>) -> Duration {
    const MOST: Duration = Duration::from_hours(1);
    ttl.max(announced.unwrap_or_default().min(MOST))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Moment {
        Moment::new(Duration::from_millis(millis))
    }

    const TTL: Duration = Duration::from_secs(20);

    #[test]
    fn a_consent_lasts_as_long_as_the_leader_counts_on_it() {
        let secs = Duration::from_secs;
        // The leader has not read of the shorter ttl, or of the longer one.
        assert_eq!(consent(secs(20), Some(secs(30))), secs(30));
        assert_eq!(consent(secs(40), Some(secs(30))), secs(40));
        assert_eq!(consent(secs(20), None), secs(20));
        assert_eq!(consent(secs(20), Some(Duration::MAX)), secs(3600));
    }

    #[test]
    fn the_margins_follow_the_ttl_within_bounds() {
        let table = [(5, 1000, 1000), (30, 2000, 3000), (300, 3000, 5000)];
        for (ttl, guard, orderly) in table {
            let ttl = Duration::from_secs(ttl);
            assert_eq!(guard_margin(ttl).as_millis(), guard);
            assert_eq!(orderly_margin(ttl).as_millis(), orderly);
        }
    }

    #[test]
    fn a_lease_is_used_until_an_orderly_stop_needs_the_rest() {
        let watchdog = WatchdogFacts::default();
        let again = |now| Again::while_leased(at(20_000), at(now), TTL, &watchdog);
        // 20 s less 1.3 s for the guard less 2 s for an orderly stop.
        let store_until = Some(at(20_000) - TTL / 15 - TTL / 10);
        assert_eq!(
            again(15_000),
            Some(Again {
                after: PAUSE,
                store_until
            })
        );
        assert_eq!(again(15_200), None);
        assert_eq!(again(25_000), None);
    }

    #[test]
    fn a_device_that_fires_earlier_ends_it_earlier() {
        let device = |active| WatchdogFacts {
            active,
            timeout: Some(Duration::from_secs(15)),
            ..WatchdogFacts::default()
        };
        let again = |now, active| Again::while_leased(at(20_000), at(now), TTL, &device(active));
        assert!(again(14_000, false).is_some(), "it is not armed");
        assert_eq!(again(14_000, true), None);
        let until = again(11_000, true).and_then(|again| again.store_until);
        assert_eq!(until, Some(at(13_000)));
    }
}
