//! The lock: taking, keeping and giving it back.
//!
//! Source: store contract, section 9 (acquire, `update_leader`, `delete_leader`). Who may call
//! what when is not known here; that nothing is reported as held which the server did not
//! confirm is. The time to live begins anew with each write that the server confirms, which is
//! after the moment that the caller counts from.

use patroni_core::Leader;

use super::failure::Failure;
use super::keys::Condition;
use super::store::Etcd;
use crate::error::StoreError;
use crate::key::Leaf;
use crate::retry::Effort;

const ACQUIRE: &str = "acquire leader lock";
const UPDATE: &str = "update leader lock";
const TAKE: &str = "take leader lock";
const DELETE: &str = "release leader lock";

impl Etcd {
    pub(super) async fn acquire(&self) -> Result<(), StoreError> {
        let me = self.me(ACQUIRE)?.as_str();
        match self.create_lock(me, self.budget()).await {
            Ok(()) => Ok(()),
            // The store is there, and we do not have the lock. Who may only read follows.
            Err(
                failure @ (Failure::Refused
                | Failure::Missing(_)
                | Failure::Rejected(_)
                | Failure::Denied(_)),
            ) => {
                if let Failure::Denied(why) = failure {
                    tracing::warn!("we may not write the leader key: {why}");
                }
                tracing::info!("Could not take out TTL lock");
                Err(StoreError::lost_race(ACQUIRE))
            }
            Err(failure) => Err(failure.into_error(ACQUIRE)),
        }
    }

    /// Creates the lock. Where an attempt without an answer may have done so, the lock is ours if
    /// it can be kept: that it has our name is not enough, because it could be one of an earlier
    /// life, about to expire.
    async fn create_lock(&self, me: &str, effort: Effort) -> Result<(), Failure> {
        match self.put_lock(me, Condition::Absent, effort).await {
            Err(Failure::Unclear) => self.put_lock(me, Condition::Value(me), effort).await,
            other => other,
        }
    }

    pub(super) async fn update(&self, judged: &Leader) -> Result<(), StoreError> {
        let me = self.me(UPDATE)?;
        if judged.name != *me {
            return Err(StoreError::lost_race(UPDATE));
        }
        match self.keep_lock(me.as_str(), self.budget()).await {
            Ok(()) => Ok(()),
            // Whatever became of an earlier attempt: the lock is there and is not ours.
            Err(Failure::Refused | Failure::Unclear) => Err(StoreError::lost_race(UPDATE)),
            Err(failure) => Err(failure.into_error(UPDATE)),
        }
    }

    async fn keep_lock(&self, me: &str, effort: Effort) -> Result<(), Failure> {
        match self.put_lock(me, Condition::Value(me), effort).await {
            Err(Failure::Missing(_)) => self.create_lock(me, effort).await,
            other => other,
        }
    }

    pub(super) async fn take(&self) -> Result<(), StoreError> {
        let me = self.me(TAKE)?.as_str();
        let taken = self.put_lock(me, Condition::None, self.budget()).await;
        taken.map_err(|failure| failure.into_error(TAKE))
    }

    pub(super) async fn release(&self, judged: Option<&Leader>) -> Result<(), StoreError> {
        let me = self.me(DELETE)?;
        if judged.is_some_and(|leader| leader.name != *me) {
            return Err(StoreError::lost_race(DELETE));
        }
        let ours = Condition::Value(me.as_str());
        let released = self.keys.delete(&Leaf::Leader, ours, Effort::Once).await;
        released.map_err(|failure| failure.of_condition(DELETE))
    }

    async fn put_lock(
        &self,
        me: &str,
        condition: Condition<'_>,
        effort: Effort,
    ) -> Result<(), Failure> {
        let ttl = Some(self.timings().ttl);
        let put = self.keys.put(&Leaf::Leader, me, ttl, condition, effort);
        put.await.map(|_| ())
    }
}
