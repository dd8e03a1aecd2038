//! The lock: taking, keeping and giving it back.
//!
//! Source: store contract, section 11 (acquire, `update_leader`, `delete_leader`). Who may call
//! what when is not known here; that nothing is reported as held which the server did not
//! confirm is.

use patroni_core::Leader;
use tokio::time::Instant;

use super::failure::Failure;
use super::kv::{Condition, Freshness, Outcome, Pair, Step};
use super::session::Refresh;
use super::store::{Consul, index};
use crate::error::StoreError;
use crate::key::Leaf;
use crate::retry::{Effort, SHORTEST_ATTEMPT};

const ACQUIRE: &str = "acquire leader lock";
const UPDATE: &str = "update leader lock";
const TAKE: &str = "take leader lock";
const DELETE: &str = "release leader lock";

impl Consul {
    pub(super) async fn acquire(&self) -> Result<(), StoreError> {
        match self.lock(self.me(ACQUIRE)?.as_str()).await {
            Ok(true) => Ok(()),
            // The store is there, and we do not have the lock.
            Ok(false) | Err(Failure::Rejected(_)) => {
                tracing::info!("Could not take out TTL lock");
                Err(StoreError::lost_race(ACQUIRE))
            }
            Err(failure) => Err(failure.into_error(ACQUIRE)),
        }
    }

    /// The same as acquiring: Consul lets no session write a key that another one holds.
    pub(super) async fn take(&self) -> Result<(), StoreError> {
        match self.lock(self.me(TAKE)?.as_str()).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(StoreError::lost_race(TAKE)),
            Err(failure) => Err(failure.into_error(TAKE)),
        }
    }

    /// Puts the lock under our session; false when another session holds it. If ours turns out
    /// to be gone there is one more try with a new one.
    ///
    /// The session is renewed first, whenever that was last done: the caller counts the lease
    /// from now on.
    async fn lock(&self, me: &str) -> Result<bool, Failure> {
        let deadline = self.deadline();
        let effort = Effort::Until(deadline);
        let session = self.refreshed_session(Refresh::Now, effort).await?;
        match self.put_lock(me, &session, effort).await {
            Err(Failure::SessionGone) => self.session.lost(&session),
            other => return other,
        }
        let left = || deadline.saturating_duration_since(Instant::now());
        if left().is_zero() {
            tracing::error!("Our session disappeared from Consul. Deadline exceeded, giving up");
            return Ok(false);
        }
        tracing::error!(
            "Our session disappeared from Consul. Will try to get a new one and retry attempt"
        );
        let session = self.refreshed_session(Refresh::Now, effort).await?;
        if left() < SHORTEST_ATTEMPT {
            return Err(no_time());
        }
        let again = self.put_lock(me, &session, effort).await;
        if again == Err(Failure::SessionGone) {
            self.session.lost(&session);
        }
        again
    }

    async fn put_lock(&self, me: &str, session: &str, effort: Effort) -> Result<bool, Failure> {
        let condition = Condition::Acquire(session);
        self.kv.put(&Leaf::Leader, me, condition, effort).await
    }

    pub(super) async fn update(&self, judged: &Leader) -> Result<(), StoreError> {
        let me = self.me(UPDATE)?;
        if judged.name != *me {
            return Err(StoreError::lost_race(UPDATE));
        }
        match self.keep(judged).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(StoreError::lost_race(UPDATE)),
            Err(failure) => Err(failure.into_error(UPDATE)),
        }
    }

    /// Renews the session, and sees to it that the lock hangs on it; false when the lock is
    /// another member's.
    async fn keep(&self, judged: &Leader) -> Result<bool, Failure> {
        let deadline = self.deadline();
        let effort = Effort::Until(deadline);
        let session = self.refreshed_session(Refresh::Now, effort).await?;
        if judged.session.as_ref() == Some(&session) {
            // A living session does not tell that its key was not removed by somebody.
            let found = self.read_lock(effort).await?;
            match found {
                Some(found) if is_ours(&found, judged, &session) => return Ok(true),
                Some(found) if found.value != judged.name.as_str() => return Ok(false),
                Some(_) | None => tracing::warn!("Recreating the leader key, which is gone"),
            }
        } else {
            tracing::warn!("Recreating the leader key due to session mismatch");
        }
        if deadline.saturating_duration_since(Instant::now()) < SHORTEST_ATTEMPT {
            return Err(no_time());
        }
        self.put_back(judged, &session, effort).await
    }

    /// Puts the lock that was ours under our present session, in one transaction, so that there
    /// is no moment without a leader. The condition is the judged revision: nobody changed the
    /// key since, or it is absent.
    async fn put_back(
        &self,
        judged: &Leader,
        session: &str,
        effort: Effort,
    ) -> Result<bool, Failure> {
        let steps = [
            Step::DeleteUnchanged(index(&judged.revision)),
            Step::Lock {
                value: judged.name.as_str(),
                session,
            },
        ];
        match self.kv.transact(&Leaf::Leader, &steps, effort).await {
            Ok(Outcome::Done(_)) => Ok(true),
            // An attempt whose answer was lost may have put it: nobody else has our session.
            Ok(Outcome::Refused) => {
                let found = self.read_lock(effort).await?;
                Ok(found.is_some_and(|found| is_ours(&found, judged, session)))
            }
            Err(failure) => {
                if failure == Failure::SessionGone {
                    self.session.lost(session);
                }
                Err(failure)
            }
        }
    }

    async fn read_lock(&self, effort: Effort) -> Result<Option<Pair>, Failure> {
        let consistent = Freshness::Consistent;
        self.kv.get(&Leaf::Leader, consistent, effort).await
    }

    pub(super) async fn release(&self, judged: Option<&Leader>) -> Result<(), StoreError> {
        let me = self.me(DELETE)?;
        if judged.is_some_and(|leader| leader.name != *me) {
            return Err(StoreError::lost_race(DELETE));
        }
        match self.let_go(me.as_str(), judged).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(StoreError::lost_race(DELETE)),
            Err(failure) => Err(failure.into_error(DELETE)),
        }
    }

    /// Removes the lock as it was judged. Where the judgement is older than our own last renewal
    /// (or was not given), the session proves that the lock is ours.
    async fn let_go(&self, me: &str, judged: Option<&Leader>) -> Result<bool, Failure> {
        let delete = |index| self.kv.delete(&Leaf::Leader, Some(index), Effort::Once);
        if let Some(judged) = judged
            && delete(index(&judged.revision)).await?
        {
            return Ok(true);
        }
        let found = self.read_lock(Effort::Once).await?;
        match found {
            Some(found) if found.value == me && self.session.is(found.session.as_deref()) => {
                delete(found.index).await
            }
            Some(_) | None => Ok(false),
        }
    }

    /// A refresh at most once per `loop_wait`.
    pub(super) fn throttled(&self) -> Refresh {
        Refresh::After(self.kv.agent.timings().loop_wait)
    }

    pub(super) async fn refreshed_session(
        &self,
        refresh: Refresh,
        effort: Effort,
    ) -> Result<String, Failure> {
        let refreshed = self.session.refresh(&self.kv.agent, refresh, effort).await;
        refreshed.inspect_err(|error| tracing::error!(%error, "refresh_session"))
    }
}

fn is_ours(found: &Pair, judged: &Leader, session: &str) -> bool {
    found.value == judged.name.as_str() && found.session.as_deref() == Some(session)
}

fn no_time() -> Failure {
    Failure::Unanswered("no time left after the session".to_owned())
}
