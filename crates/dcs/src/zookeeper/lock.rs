//! The lock: taking, keeping and giving it back.
//!
//! Source: store contract, section 12 (acquire, `update_leader`, `delete_leader`). Who may call
//! what when is not known here; that nothing is reported as held which the servers did not
//! confirm is.

use patroni_core::{Leader, MemberName};
use zookeeper_client::CreateMode;

use super::failure::Failure;
use super::session::Attempt;
use super::store::ZooKeeper;
use super::znodes::Znodes;
use crate::error::StoreError;
use crate::key::Leaf;
use crate::retry::Effort;

const ACQUIRE: &str = "acquire leader lock";
const UPDATE: &str = "update leader lock";
const TAKE: &str = "take leader lock";
const DELETE: &str = "release leader lock";

impl ZooKeeper {
    pub(super) async fn acquire(&self) -> Result<(), StoreError> {
        let me = self.me(ACQUIRE)?;
        match self.take_if_absent(me).await {
            Ok(()) => Ok(()),
            // The store is there, and we do not have the lock. Who may only read follows.
            Err(
                Failure::Missing
                | Failure::Exists
                | Failure::Version
                | Failure::Denied(_)
                | Failure::Rejected(_),
            ) => {
                tracing::info!("Could not take out TTL lock");
                Err(StoreError::lost_race(ACQUIRE))
            }
            Err(
                failure @ (Failure::Lost(_)
                | Failure::Expired
                | Failure::Silent(_)
                | Failure::Nonsense(_)),
            ) => Err(failure.into_error(ACQUIRE)),
        }
    }

    /// Never overwrites the lock of another: nobody bootstraps where somebody leads.
    pub(super) async fn take(&self) -> Result<(), StoreError> {
        let taken = self.take_if_absent(self.me(TAKE)?).await;
        taken.map_err(|failure| failure.into_error(TAKE))
    }

    async fn take_if_absent(&self, me: &MemberName) -> Result<(), Failure> {
        let path = self.shared.keys.key(&Leaf::Leader);
        let request = |znodes, _| create_lock(znodes, &path, me);
        let effort = Effort::Until(self.deadline());
        let created = self.shared.session.call(effort, request).await;
        match &created {
            Ok(()) => self.shared.seen().wrote_leader(Some(me)),
            Err(failure @ (Failure::Denied(_) | Failure::Rejected(_))) => {
                tracing::error!("Failed to create {path}: {failure}");
            }
            Err(_) => {}
        }
        created
    }

    pub(super) async fn update(&self, judged: &Leader) -> Result<(), StoreError> {
        let me = self.me(UPDATE)?;
        if judged.name != *me {
            return Err(StoreError::lost_race(UPDATE));
        }
        let path = self.shared.keys.key(&Leaf::Leader);
        let request = |znodes, _| keep_lock(znodes, &path, me);
        let effort = Effort::Until(self.deadline());
        let kept = self.shared.session.call(effort, request).await;
        kept.map_err(|failure| failure.into_error(UPDATE))?;
        self.shared.seen().wrote_leader(Some(me));
        Ok(())
    }

    pub(super) async fn release(&self, judged: Option<&Leader>) -> Result<(), StoreError> {
        let me = self.me(DELETE)?;
        if judged.is_some_and(|leader| leader.name != *me) {
            return Err(StoreError::lost_race(DELETE));
        }
        let path = self.shared.keys.key(&Leaf::Leader);
        let request = |znodes, attempt| release_lock(znodes, attempt, &path, me);
        let effort = Effort::Until(self.deadline());
        let released = self.shared.session.call(effort, request).await;
        if let Err(failure) = released {
            tracing::error!("Failed to remove {path}: {failure}");
            return Err(failure.into_error(DELETE));
        }
        self.shared.seen().wrote_leader(None);
        Ok(())
    }
}

/// Creates the lock. Finding our own is as good: an earlier attempt whose answer was lost made it.
async fn create_lock(znodes: Znodes, path: &str, me: &MemberName) -> Result<(), Failure> {
    znodes.can_hold_the_lock()?;
    let created = znodes.create(path, me.as_str(), CreateMode::Ephemeral);
    match created.await {
        Err(Failure::Exists) => match znodes.read(path).await? {
            Some(found) if znodes.owns(&found.stat) => Ok(()),
            Some(_) | None => Err(Failure::Exists),
        },
        other => other,
    }
}

/// Confirms that the lock hangs on our session; puts it there when it is ours by name, or gone.
///
/// The reference trusts its connection instead. But a server that is cut off from the others
/// keeps its connections for a while, in which the session may end: so the question goes to the
/// leader of the ensemble, which knows.
async fn keep_lock(znodes: Znodes, path: &str, me: &MemberName) -> Result<(), Failure> {
    znodes.can_hold_the_lock()?;
    let Some(found) = znodes.read_newest(path).await? else {
        return create_lock(znodes, path, me).await;
    };
    if znodes.owns(&found.stat) {
        return Ok(());
    }
    if found.text != me.as_str() {
        return Err(Failure::Exists);
    }
    tracing::warn!("Recreating the leader ZNode due to ownership mismatch");
    let taken = znodes.take_over(path, me.as_str(), found.stat.version);
    match taken.await {
        // The old session ended meanwhile, and with it the lock.
        Err(Failure::Missing) => create_lock(znodes, path, me).await,
        other => other,
    }
}

/// Removes the lock if it is ours. That the whole session need not end for it, as in the
/// reference, leaves the member key in place.
async fn release_lock(
    znodes: Znodes,
    attempt: Attempt,
    path: &str,
    me: &MemberName,
) -> Result<(), Failure> {
    match znodes.read_newest(path).await? {
        Some(found) if found.text == me.as_str() => znodes.delete(path, found.stat.version).await,
        Some(_) => Err(Failure::Exists),
        // An earlier attempt whose answer was lost has removed it.
        None if attempt == Attempt::Again => Ok(()),
        None => Err(Failure::Missing),
    }
}
