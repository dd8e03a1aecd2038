//! The guard of the lease: acts when leadership runs out, whatever the loop is doing.
//!
//! The loop demotes in order when the store is lost. But the loop may hang, and the whole process
//! may be frozen past the end of its lease. Then the first thing that runs again must not be a
//! primary that still takes writes: the guard stops PostgreSQL at once. It decides nothing about
//! the cluster; it only holds the promise that the lock was taken for.

use std::sync::Arc;
use std::time::Duration;

use patroni_core::{Moment, Role};
use patroni_ha::lease::guard_margin;
use patroni_postgres::{Clock, Supervisor};
use tokio::sync::watch;
use tracing::error;

use crate::wake::{Wake, Wakes};

/// The lease as the body knows it: renewals are noted when the store confirms them, counted from
/// the moment before the request was sent.
#[derive(Clone, Debug, Default)]
pub struct Lease {
    term: watch::Sender<Option<Term>>,
}

/// The time that the lock was taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Term {
    /// When it is over.
    pub(crate) end: Moment,
    /// The store has said that the lock is not ours any more: nothing may be begun on it, while
    /// the server may still be on its way down.
    lost: bool,
}

impl Lease {
    /// The store says that the lock is ours until `end`, which may be sooner than before: by a
    /// shorter `ttl`. Such requests are made one at a time, so that the last answer is the newest.
    pub fn held_until(&self, end: Moment) {
        let now = Some(Term { end, lost: false });
        self.term
            .send_if_modified(|known| std::mem::replace(known, now) != now);
    }

    /// Something beside the lock allows to lead until `end`: the consent of all others. It never
    /// shortens the lease.
    pub fn lasts_until(&self, end: Moment) {
        self.term.send_if_modified(|known| {
            let later = known.is_none_or(|known| known.lost || end > known.end);
            if later {
                *known = Some(Term { end, lost: false });
            }
            later
        });
    }

    /// The store says that the lock is not ours. The guard stays on its post until somebody
    /// knows that the server is no primary any more, and calls [`Lease::ended`].
    pub fn lost(&self) {
        self.term.send_if_modified(|known| {
            let changed = known.as_mut().filter(|term| !term.lost);
            changed.map(|term| term.lost = true).is_some()
        });
    }

    /// The lock was given back, or nothing is promised (in a pause, or without a primary).
    pub fn ended(&self) {
        self.term.send_if_modified(|known| known.take().is_some());
    }

    /// When the lease ends, if there is one.
    pub fn end(&self) -> Option<Moment> {
        self.term.borrow().map(|term| term.end)
    }

    /// Whether the lock is ours at `now`, by this claim alone.
    pub fn is_held(&self, now: Moment) -> bool {
        let term = *self.term.borrow();
        term.is_some_and(|term| !term.lost && now < term.end)
    }

    /// Resolves when no more than `margin` of the lease is left; pends while nothing is promised.
    /// Cancel safe.
    pub(crate) async fn nearly_over(&self, clock: Clock, margin: Duration) {
        let mut changes = self.subscribe();
        loop {
            let term = *changes.borrow_and_update();
            let over = async {
                match term {
                    Some(Term { end, .. }) => sleep_until(clock, end - margin).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = over => return,
                // The sender lives as long as `self`.
                _ = changes.changed() => {}
            }
        }
    }

    /// The lease as it changes.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Option<Term>> {
        self.term.subscribe()
    }
}

/// Watches the lease for ever. `ttl` changes with the configuration.
pub(crate) async fn guard(
    lease: Lease,
    ttl: watch::Receiver<Duration>,
    clock: Clock,
    supervisor: Supervisor,
    wakes: Arc<Wakes>,
) {
    let mut changes = lease.subscribe();
    loop {
        let term = *changes.borrow_and_update();
        let Some(Term { end, .. }) = term else {
            if changes.changed().await.is_err() {
                return;
            }
            continue;
        };
        let margin = guard_margin(*ttl.borrow());
        tokio::select! {
            noticed = changes.changed() => if noticed.is_err() { return },
            () = sleep_until(clock, end - margin) => {
                if lease.end() == Some(end) {
                    expire(&lease, &supervisor, margin / 2).await;
                    wakes.wake(Wake::LeaseExpired);
                }
            }
        }
    }
}

/// Sleeps until the monotonic clock, which goes on while the machine is suspended, has passed
/// `limit`. Timers of the runtime stand still during a suspend, so the wait is cut into pieces.
async fn sleep_until(clock: Clock, limit: Moment) {
    loop {
        let left = limit.since(clock.now());
        if left.is_zero() {
            return;
        }
        tokio::time::sleep(left.min(Duration::from_secs(1))).await;
    }
}

/// Stops a primary at once; one that has not ended after `patience` is killed.
async fn expire(lease: &Lease, supervisor: &Supervisor, patience: Duration) {
    lease.ended();
    if matches!(supervisor.role(), Role::Primary | Role::Promoted) {
        error!("leader lock ran out before it could be renewed, stopping PostgreSQL at once");
        supervisor.fence(patience).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::new(Duration::from_secs(seconds))
    }

    #[test]
    fn consent_never_shortens_the_lease_and_a_shorter_ttl_does() {
        let lease = Lease::default();
        lease.held_until(at(30));
        lease.lasts_until(at(20));
        assert!(lease.is_held(at(29)));
        assert!(!lease.is_held(at(30)));
        lease.lasts_until(at(40));
        assert!(lease.is_held(at(39)));
        lease.held_until(at(20));
        assert!(!lease.is_held(at(20)));
        lease.ended();
        assert!(!lease.is_held(at(1)));
    }

    #[tokio::test]
    async fn the_end_of_a_lease_is_near_when_only_the_margin_is_left() {
        let (lease, clock) = (Lease::default(), Clock::start());
        let margin = Duration::from_secs(3);
        let over = lease.nearly_over(clock, margin);
        tokio::pin!(over);
        assert!(futures_util::poll!(&mut over).is_pending(), "no lease");
        lease.held_until(clock.now() + 10 * margin);
        assert!(futures_util::poll!(&mut over).is_pending(), "far away");
        lease.held_until(clock.now() + margin);
        over.await;
    }

    #[test]
    fn a_lost_lock_is_not_held_and_still_guarded() {
        let lease = Lease::default();
        lease.lost();
        assert_eq!(lease.end(), None);
        lease.held_until(at(30));
        lease.lost();
        assert!(!lease.is_held(at(1)));
        assert_eq!(lease.end(), Some(at(30)));
        lease.held_until(at(20));
        assert!(lease.is_held(at(19)) && !lease.is_held(at(20)));
    }
}
