//! The guard of the lease: acts when leadership runs out, whatever the loop is doing.
//!
//! The loop demotes in order when the store is lost. But the loop may hang, and the whole process
//! may be frozen past the end of its lease. Then the first thing that runs again must not be a
//! primary that still takes writes: the guard stops PostgreSQL at once. It decides nothing about
//! the cluster; it only holds the promise that the lock was taken for.

use std::sync::Arc;
use std::time::Duration;

use patroni_core::{Moment, Role};
use patroni_postgres::{Clock, Supervisor};
use tokio::sync::watch;
use tracing::error;

use crate::wake::{Wake, Wakes};

/// The lease as the body knows it: renewals are noted when the store confirms them, counted from
/// the moment before the request was sent.
#[derive(Clone, Debug)]
pub struct Lease {
    end: watch::Sender<Option<Moment>>,
}

impl Default for Lease {
    fn default() -> Self {
        Self {
            end: watch::Sender::new(None),
        }
    }
}

impl Lease {
    /// The lock is ours until `end`. A renewal that was overtaken never shortens the lease.
    pub fn held_until(&self, end: Moment) {
        self.end.send_if_modified(|known| {
            let later = known.is_none_or(|known| end > known);
            if later {
                *known = Some(end);
            }
            later
        });
    }

    /// The lock is known to be lost or given back, or nothing is promised (in a pause).
    pub fn ended(&self) {
        self.end.send_if_modified(|known| known.take().is_some());
    }

    /// When the lease ends, if there is one.
    pub fn end(&self) -> Option<Moment> {
        *self.end.borrow()
    }

    /// Whether the lock is ours at `now`, by this claim alone.
    pub fn is_held(&self, now: Moment) -> bool {
        self.end().is_some_and(|end| now < end)
    }
}

/// How long before its end the guard acts: a fifteenth of the ttl, between 1 and 3 seconds, so
/// that an immediate stop is over before anybody else can take the lock.
fn margin(ttl: Duration) -> Duration {
    (ttl / 15).clamp(Duration::from_secs(1), Duration::from_secs(3))
}

/// Watches the lease for ever. `ttl` changes with the configuration.
pub(crate) async fn guard(
    lease: Lease,
    ttl: watch::Receiver<Duration>,
    clock: Clock,
    supervisor: Supervisor,
    wakes: Arc<Wakes>,
) {
    let mut changes = lease.end.subscribe();
    loop {
        let end = *changes.borrow_and_update();
        let Some(end) = end else {
            if changes.changed().await.is_err() {
                return;
            }
            continue;
        };
        let limit = end - margin(*ttl.borrow());
        tokio::select! {
            noticed = changes.changed() => if noticed.is_err() { return },
            () = sleep_until(clock, limit) => {
                if lease.end() == Some(end) {
                    expire(&lease, &supervisor).await;
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

async fn expire(lease: &Lease, supervisor: &Supervisor) {
    lease.ended();
    if matches!(supervisor.role(), Role::Primary | Role::Promoted) {
        error!("leader lock ran out before it could be renewed, stopping PostgreSQL at once");
        supervisor.fence().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::new(Duration::from_secs(seconds))
    }

    #[test]
    fn a_late_confirmation_never_shortens_the_lease() {
        let lease = Lease::default();
        lease.held_until(at(30));
        lease.held_until(at(20));
        assert!(lease.is_held(at(29)));
        assert!(!lease.is_held(at(30)));
        lease.ended();
        assert!(!lease.is_held(at(1)));
    }

    #[test]
    fn the_margin_follows_the_ttl_within_bounds() {
        assert_eq!(margin(Duration::from_secs(30)), Duration::from_secs(2));
        assert_eq!(margin(Duration::from_mins(5)), Duration::from_secs(3));
        assert_eq!(margin(Duration::from_secs(5)), Duration::from_secs(1));
    }
}
