//! The order of lock operations.
//!
//! A cycle and a long task act beside each other. When the task gives the lock back, a renewal
//! that a cycle judged on an older view must not take it again.

use tokio::sync::{Mutex, MutexGuard};

/// Whose turn it is to speak to the store about the lock.
#[derive(Debug, Default)]
pub(crate) struct LockTurn {
    releases: Mutex<Releases>,
}

#[derive(Debug, Default)]
struct Releases {
    made: u64,
    observed: u64,
}

/// The turn; the next one waits until it is dropped.
#[derive(Debug)]
pub(crate) struct Turn<'a>(MutexGuard<'a, Releases>);

impl LockTurn {
    /// Waits for the turn.
    pub(crate) async fn take(&self) -> Turn<'_> {
        Turn(self.releases.lock().await)
    }

    /// A new observation begins: it will show every release made so far.
    pub(crate) async fn observed(&self) {
        let mut releases = self.releases.lock().await;
        releases.observed = releases.made;
    }
}

impl Turn<'_> {
    /// The lock is being given back.
    pub(crate) fn note_release(&mut self) {
        self.0.made += 1;
    }

    /// The lock was given back after the view was read that is being acted on.
    pub(crate) fn released_since_observed(&self) -> bool {
        self.0.made != self.0.observed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_renewal_judged_before_a_release_is_too_late() {
        let order = LockTurn::default();
        order.observed().await;
        assert!(!order.take().await.released_since_observed());
        order.take().await.note_release();
        assert!(order.take().await.released_since_observed());
        order.observed().await;
        assert!(!order.take().await.released_since_observed());
    }
}
