//! The lock: taking, keeping and giving it back.
//!
//! Source: store contract, section 10 (acquire, `update_leader`, `delete_leader`). Who may call
//! what when is not known here; that nothing is reported as held which the server did not
//! confirm is. The lease is renewed with every taking and keeping, whenever that was last done:
//! the caller counts it from then on.

use patroni_core::{Leader, MemberName};
use tokio::time::Instant;

use super::failure::Failure;
use super::lease::Refresh;
use super::store::Etcd3;
use super::txn;
use super::write::Outcome;
use crate::error::StoreError;
use crate::key::Leaf;
use crate::retry::{Effort, SHORTEST_ATTEMPT};

const ACQUIRE: &str = "acquire leader lock";
const UPDATE: &str = "update leader lock";
const TAKE: &str = "take leader lock";
const DELETE: &str = "release leader lock";

/// Under which condition the lock is put.
#[derive(Clone, Copy, Debug)]
enum When {
    /// It does not exist.
    Absent,
    /// It does not exist or is ours by name.
    AbsentOrOurs,
    /// Whatever is there.
    Always,
}

impl Etcd3 {
    pub(super) async fn acquire(&self) -> Result<(), StoreError> {
        let me = self.me(ACQUIRE)?;
        let deadline = self.deadline();
        let taken = async {
            let lease = self.refreshed_lease(Refresh::Now, deadline).await?;
            self.put_lock(me, lease, When::Absent, deadline).await
        };
        match taken.await {
            Ok(true) => Ok(()),
            // Refused twice for want of a lease, or for a reason of the server's own: the store
            // is there, and we do not have the lock.
            Ok(false) | Err(Failure::LeaseGone | Failure::Rejected(_)) => Err(not_taken()),
            // Who may only read follows.
            Err(Failure::Denied(why) | Failure::Token(why)) => {
                tracing::warn!("we may not write the leader key: {why}");
                Err(not_taken())
            }
            Err(failure @ (Failure::Node(_) | Failure::Busy(_))) => {
                Err(failure.into_error(ACQUIRE))
            }
        }
    }

    pub(super) async fn update(&self, judged: &Leader) -> Result<(), StoreError> {
        let me = self.me(UPDATE)?;
        if judged.name != *me {
            return Err(StoreError::lost_race(UPDATE));
        }
        let deadline = self.deadline();
        let lease = self
            .refreshed_lease(Refresh::Now, deadline)
            .await
            .map_err(|failure| failure.into_error(UPDATE))?;
        if self.hangs_on(judged, lease) {
            return Ok(());
        }
        if deadline.saturating_duration_since(Instant::now()) < SHORTEST_ATTEMPT {
            return Err(StoreError::unreachable(
                UPDATE,
                "no time left after the lease",
            ));
        }
        match self.put_lock(me, lease, When::AbsentOrOurs, deadline).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(StoreError::lost_race(UPDATE)),
            Err(failure) => Err(failure.into_error(UPDATE)),
        }
    }

    pub(super) async fn take(&self) -> Result<(), StoreError> {
        let me = self.me(TAKE)?;
        let deadline = self.deadline();
        let taken = async {
            let lease = self.refreshed_lease(Refresh::Now, deadline).await?;
            self.put_lock(me, lease, When::Always, deadline).await
        };
        taken.await.map_err(|failure| failure.into_error(TAKE))?;
        Ok(())
    }

    pub(super) async fn release(&self, judged: Option<&Leader>) -> Result<(), StoreError> {
        let me = self.me(DELETE)?;
        if judged.is_some_and(|leader| leader.name != *me) {
            return Err(StoreError::lost_race(DELETE));
        }
        let txn = txn::release(&self.shared.keys.key(&Leaf::Leader), me.as_str());
        let released = self
            .shared
            .transact(&Leaf::Leader, txn, None, None, Effort::Once);
        match released.await {
            Ok(Outcome::Done(_)) => Ok(()),
            Ok(Outcome::Refused(_)) => Err(StoreError::lost_race(DELETE)),
            Err(failure) => Err(failure.into_error(DELETE)),
        }
    }

    /// A refresh at most once per `loop_wait`.
    pub(super) fn throttled(&self) -> Refresh {
        Refresh::After(self.shared.nodes.timings().loop_wait)
    }

    async fn refreshed_lease(&self, refresh: Refresh, deadline: Instant) -> Result<i64, Failure> {
        let effort = Effort::Until(deadline);
        let refreshed = self
            .lease
            .refresh(&self.shared.nodes, refresh, effort)
            .await;
        refreshed.inspect_err(|error| tracing::error!(%error, "refresh_lease"))
    }

    /// Whether the lock is ours and hangs on this lease: by the cache while it follows the
    /// store, by the judged snapshot otherwise.
    fn hangs_on(&self, judged: &Leader, lease: i64) -> bool {
        let cache = self.shared.cache();
        if cache.is_ready() {
            return cache
                .get(&Leaf::Leader)
                .is_some_and(|entry| entry.lease == lease && entry.value == judged.name.as_str());
        }
        judged.session.as_deref() == Some(lease.to_string().as_str())
    }

    /// Puts the lock; false when the condition does not hold. If the lease turns out to be gone
    /// there is one more try with a new one.
    async fn put_lock(
        &self,
        me: &MemberName,
        lease: i64,
        when: When,
        deadline: Instant,
    ) -> Result<bool, Failure> {
        match self.put_lock_on(me, lease, when, deadline).await {
            Err(Failure::LeaseGone) => self.lease.lost(lease),
            other => return other,
        }
        let left = || deadline.saturating_duration_since(Instant::now());
        if left().is_zero() {
            tracing::error!("Our lease disappeared from Etcd. Deadline exceeded, giving up");
            return Err(Failure::LeaseGone);
        }
        tracing::error!(
            "Our lease disappeared from Etcd. Will try to get a new one and retry attempt"
        );
        let lease = self.refreshed_lease(Refresh::Now, deadline).await?;
        if left() < SHORTEST_ATTEMPT {
            return Err(Failure::Node("no time left after the lease".to_owned()));
        }
        let again = self.put_lock_on(me, lease, when, deadline).await;
        if again == Err(Failure::LeaseGone) {
            self.lease.lost(lease);
        }
        again
    }

    async fn put_lock_on(
        &self,
        me: &MemberName,
        lease: i64,
        when: When,
        deadline: Instant,
    ) -> Result<bool, Failure> {
        let key = self.shared.keys.key(&Leaf::Leader);
        let effort = Effort::Until(deadline);
        let name = me.as_str();
        let txn = match when {
            When::Absent => txn::create(&key, name, Some(lease)),
            When::AbsentOrOurs => txn::renew(&key, name, lease),
            When::Always => {
                let put = self.shared.put(&Leaf::Leader, name, Some(lease), effort);
                return put.await.map(|_| true);
            }
        };
        let outcome = self
            .shared
            .transact(&Leaf::Leader, txn, Some(name), Some(lease), effort)
            .await?;
        Ok(match outcome {
            Outcome::Done(_) => true,
            // An earlier attempt whose answer was lost has put it: nobody else has our lease.
            Outcome::Refused(Some(found)) => found.lease == lease && found.value == name,
            Outcome::Refused(None) => false,
        })
    }
}

/// Somebody else has the lock, or we cannot have it.
fn not_taken() -> StoreError {
    tracing::info!("Could not take out TTL lock");
    StoreError::lost_race(ACQUIRE)
}
