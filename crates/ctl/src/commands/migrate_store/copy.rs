//! The objects of a cluster, brought from one store to the other.

use patroni_core::{FailoverRequest, History};

use super::mark::{Arriving, Mark};
use super::side::Side;
use crate::exit::Failure;

/// Makes the new store hold what the old one holds, as long as nobody leads there. What is equal
/// already is not written, so it can be done again and again.
///
/// The configuration comes first: from then on everybody who looks finds a paused cluster, and a
/// rerun finds the mark. The identity is not brought along: the primary writes its own when it
/// takes the lock there. Until then a standby that somebody wakes finds no identity, and ends
/// instead of leading.
pub(super) async fn copy(old: &Side, new: &mut Side, mark: &Arriving) -> Result<(), Failure> {
    let config = Mark::Arriving(mark.clone()).put(&old.config());
    if new.config() != config {
        new.write_config(&config).await?;
    }
    if new.cluster.initialize.is_some() {
        new.told(new.store.cancel_initialize().await)?;
    }
    copy_history(old, new).await?;
    copy_sync(old, new).await?;
    if new.cluster.status != old.cluster.status {
        new.told(new.store.write_status(&old.cluster.status).await)?;
    }
    if let Some(members) = &old.cluster.failsafe
        && new.cluster.failsafe.as_ref() != Some(members)
    {
        new.told(new.store.write_failsafe(members).await)?;
    }
    if new.cluster.failover_request().is_some() {
        let nothing = FailoverRequest::default();
        new.told(new.store.write_failover(&nothing, None).await)?;
    }
    new.reload().await
}

async fn copy_history(old: &Side, new: &Side) -> Result<(), Failure> {
    let empty = History::default();
    let history = match (&old.cluster.history, &new.cluster.history) {
        (None, None) => return Ok(()),
        (old, new) if old == new => return Ok(()),
        (Some(old), _) => old,
        // One that was left here by an earlier stay.
        (None, Some(_)) => &empty,
    };
    new.told(new.store.write_history(history).await)
}

async fn copy_sync(old: &Side, new: &Side) -> Result<(), Failure> {
    let (from, to) = (&old.cluster.sync, &new.cluster.sync);
    let same = from.leader == to.leader && from.quorum == to.quorum && from.standbys == to.standbys;
    if same {
        return Ok(());
    }
    let judged = new.sync_revision();
    if from.is_empty() {
        return new.told(new.store.delete_sync(judged.as_ref()).await);
    }
    let written = new.store.write_sync(from, judged.as_ref()).await;
    new.told(written.map(|_| ()))
}
