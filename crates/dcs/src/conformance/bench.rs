//! What the checks share: opening stores on one base path, and waiting for states.

use std::fmt::Debug;
use std::future::Future;
use std::time::Duration;

use patroni_core::{Cluster, Leader, MemberData, MemberName};
use tokio::time::{Instant, sleep};

use super::{Factory, Members, Nature};
use crate::error::StoreError;
use crate::store::{Identity, Store, Timings};

/// Result of a check: what was seen instead of what was promised.
pub(super) type Outcome = Result<(), String>;

/// One check's view of the factory.
pub struct Bench<'a> {
    factory: &'a dyn Factory,
    base_path: String,
}

impl<'a> Bench<'a> {
    pub(super) fn new(factory: &'a dyn Factory, check: &str) -> Self {
        let run = getrandom::u32().unwrap_or(0);
        Self {
            factory,
            base_path: format!("/conformance-{run:08x}/{check}"),
        }
    }

    pub(super) fn timings(&self) -> Timings {
        self.factory.timings()
    }

    pub(super) fn nature(&self) -> Nature {
        self.factory.nature()
    }

    /// Whether nothing is left of a member, as far as members end at all.
    pub(super) fn is_gone(&self, cluster: &Cluster, member: &MemberName) -> bool {
        match self.nature().members {
            Members::Written => cluster.member(member).is_none(),
            Members::Given => true,
        }
    }

    /// Whether a cluster holds nothing but the members that are given.
    pub(super) fn is_empty(&self, cluster: &Cluster) -> bool {
        let mut rest = cluster.clone();
        match self.nature().members {
            Members::Written => {}
            Members::Given => rest.members.clear(),
        }
        rest == Cluster::default()
    }

    /// Longer than any lock may live on its own.
    pub(super) fn expiry(&self) -> Duration {
        self.timings().ttl + self.factory.slack()
    }

    pub(super) async fn member(&self, name: &str) -> Result<Box<dyn Store>, String> {
        self.open(&self.base_path, Some(name)).await
    }

    pub(super) async fn control(&self) -> Result<Box<dyn Store>, String> {
        self.open(&self.base_path, None).await
    }

    pub(super) async fn neighbour(&self, name: &str) -> Result<Box<dyn Store>, String> {
        self.open(&format!("{}-2", self.base_path), Some(name))
            .await
    }

    async fn open(&self, base_path: &str, member: Option<&str>) -> Result<Box<dyn Store>, String> {
        let identity = Identity {
            base_path: base_path.to_owned(),
            group: None,
            member: member.map(MemberName::new),
        };
        self.open_as(identity).await
    }

    /// A control tool of one group.
    pub(super) async fn control_of(&self, group: u32) -> Result<Box<dyn Store>, String> {
        let identity = Identity {
            base_path: self.base_path.clone(),
            group: None,
            member: None,
        };
        self.open_as(identity.in_group(group)).await
    }

    async fn open_as(&self, identity: Identity) -> Result<Box<dyn Store>, String> {
        let opened = self.factory.open(identity, self.timings()).await;
        opened.map_err(|error| format!("could not open a store: {error}"))
    }

    /// Loads until `wanted` is true, which a watched copy may take a moment for.
    pub(super) async fn until(
        &self,
        store: &dyn Store,
        what: &str,
        limit: Duration,
        wanted: impl Fn(&Cluster) -> bool,
    ) -> Result<Cluster, String> {
        let deadline = Instant::now() + limit;
        loop {
            let seen = store.load().await;
            if let Ok(cluster) = &seen
                && wanted(cluster)
            {
                return Ok(cluster.clone());
            }
            if Instant::now() >= deadline {
                return Err(format!("waited in vain for {what}; last seen: {seen:?}"));
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// The same within the time that one operation may take.
    pub(super) async fn soon(
        &self,
        store: &dyn Store,
        what: &str,
        wanted: impl Fn(&Cluster) -> bool,
    ) -> Result<Cluster, String> {
        self.until(store, what, self.timings().retry_timeout, wanted)
            .await
    }

    /// The lock as the store shows it, once it is `name`'s.
    pub(super) async fn lock_of(&self, store: &dyn Store, name: &str) -> Result<Leader, String> {
        let what = format!("{name} to lead");
        let cluster = self.soon(store, &what, |c| leads(c, name)).await?;
        cluster.leader.ok_or(what)
    }
}

/// Whether `name` holds the lock.
pub(super) fn leads(cluster: &Cluster, name: &str) -> bool {
    cluster
        .leader_name()
        .is_some_and(|leader| leader.as_str() == name)
}

/// Member data with one field.
pub(super) fn data(state: &str) -> MemberData {
    MemberData::new([("state".to_owned(), state.into())].into_iter().collect())
}

/// Runs `future`, and explains an error by what was tried.
pub(super) async fn ok<T>(
    what: &str,
    future: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, String> {
    future.await.map_err(|error| format!("{what}: {error}"))
}

/// Expects a lost race, nothing better and nothing worse.
pub(super) async fn lost<T: Debug>(
    what: &str,
    future: impl Future<Output = Result<T, StoreError>>,
) -> Outcome {
    match future.await {
        Err(error) if error.is_lost_race() => Ok(()),
        other => Err(format!("{what} should lose the race, got {other:?}")),
    }
}

/// Expects a condition.
pub(super) fn expect(condition: bool, what: &str) -> Outcome {
    if condition {
        Ok(())
    } else {
        Err(what.to_owned())
    }
}
