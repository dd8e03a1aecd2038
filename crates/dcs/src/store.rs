//! The trait that every store implements, in our language: lock, members, configuration.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use patroni_config::file::Dcs;
use patroni_core::{
    Cluster, ConfigDoc, FailoverRequest, History, Leader, Member, MemberData, MemberName, Revision,
    Status, SyncState, SystemId,
};

use crate::codec::Keys;
use crate::error::StoreError;
use crate::key;

/// One connection of one member (or of the control tool) to the objects of one cluster.
///
/// Every call ends by itself within the budget given at construction or set later by
/// [`Store::set_timings`]; dropping a call's future leaves the write it may have sent in an
/// unknown state, which the next [`Store::load`] shows. Conditional writes compare with the
/// revisions of the snapshot that the caller judged, never with newer ones read meanwhile.
///
/// Error kinds matter more than texts: see [`StoreError`]. `LostRace` from a lock operation
/// makes a primary demote at once; `Unreachable` does not.
#[async_trait]
pub trait Store: Send + Sync {
    /// The name of the kind of store, as in the configuration (`etcd3`).
    fn kind(&self) -> &'static str;

    /// Reads everything. May be up to a watch delay old for a daemon, is linearizable for the
    /// control tool.
    async fn load(&self) -> Result<Cluster, StoreError>;

    /// Reads all keys as they are stored, linearizable, also those that nobody knows: control tool
    /// only. Where a store keeps an object in several parts (Kubernetes), they are shown as the
    /// one value that they make, and there are no others.
    async fn keys(&self) -> Result<Keys, StoreError>;

    /// The groups of an MPP cluster that have any key, asked of the store of the whole cluster
    /// ([`Identity`] without a group): control tool only.
    async fn groups(&self) -> Result<BTreeSet<u32>, StoreError> {
        let keys = self.keys().await?;
        Ok(keys.keys().filter_map(|name| key::group(name)).collect())
    }

    /// Takes the lock if nobody holds it. `LostRace` when somebody does, or when the attempt was
    /// softly refused.
    async fn acquire_leader(&self) -> Result<(), StoreError>;

    /// Extends the lock that the judged snapshot shows as ours (or as lost with its lease):
    /// recreates it if it is absent or hangs on an old lease of ours.
    async fn update_leader(&self, judged: &Leader) -> Result<(), StoreError>;

    /// Takes the lock unconditionally: bootstrap only.
    async fn take_leader(&self) -> Result<(), StoreError>;

    /// Gives the lock back, if it is still ours in the judged snapshot.
    async fn delete_leader(&self, judged: Option<&Leader>) -> Result<(), StoreError>;

    /// Writes our member object, unless the snapshot shows the same data on our present lease.
    async fn touch_member(
        &self,
        data: &MemberData,
        judged: Option<&Member>,
    ) -> Result<(), StoreError>;

    /// `initialize`: creates it empty (`None`) if it is absent, for the bootstrap race.
    async fn begin_initialize(&self) -> Result<(), StoreError>;

    /// `initialize`: writes the identity, whatever is there.
    async fn set_system_id(&self, id: &SystemId) -> Result<(), StoreError>;

    /// Removes `initialize` after a failed bootstrap.
    async fn cancel_initialize(&self) -> Result<(), StoreError>;

    /// Writes `failover` (an empty request clears it); conditional when a revision is given.
    async fn write_failover(
        &self,
        request: &FailoverRequest,
        judged: Option<&Revision>,
    ) -> Result<(), StoreError>;

    /// Writes `config`; conditional when a revision is given.
    async fn write_config(
        &self,
        data: &serde_json::Map<String, serde_json::Value>,
        judged: Option<&Revision>,
    ) -> Result<(), StoreError>;

    /// Writes `sync` if it still has this revision, or creates it: without a revision it must not
    /// be there. Returns the new revision. A leader that judged by an old view must not put its
    /// own names in the place of those of its successor.
    ///
    /// # Errors
    /// The race is lost where another one has written it.
    async fn write_sync(
        &self,
        state: &SyncState,
        judged: Option<&Revision>,
    ) -> Result<Revision, StoreError>;

    /// Removes `sync`.
    async fn delete_sync(&self, judged: Option<&Revision>) -> Result<(), StoreError>;

    /// Writes `status` (and `optime/leader` while a member older than 2.1.0 is there), unless
    /// it is the last known value. Slots that it does not name are gone.
    async fn write_status(&self, status: &Status) -> Result<(), StoreError>;

    /// Writes `history`.
    async fn write_history(&self, history: &History) -> Result<(), StoreError>;

    /// Writes `failsafe`, unless it is the last known value.
    async fn write_failsafe(
        &self,
        members: &BTreeMap<MemberName, String>,
    ) -> Result<(), StoreError>;

    /// Removes every object of the cluster: control tool only.
    async fn delete_cluster(&self) -> Result<(), StoreError>;

    /// Waits for a change that is worth a cycle, at most `timeout` (half a second more where a
    /// follower lets the leader go first: etcd3, zookeeper, kubernetes). True: run now; false: time is
    /// over. Cancel safe: a change that arrives between two calls is seen by the next one.
    ///
    /// `leader` is the lock as the caller last saw it, for stores that wait on one key.
    async fn watch(&self, leader: Option<&Leader>, timeout: Duration) -> bool;

    /// New timings after a configuration change. A changed ttl makes a new lease.
    fn set_timings(&self, timings: Timings);

    /// The life that a lock has which is taken or extended now. Not the `ttl` that was set while
    /// the store has not taken it over, or could not.
    fn ttl(&self) -> Duration;

    /// Takes over what the section of the store says now, as far as that needs no restart
    /// (credentials, above all). What the other settings say is left as it was.
    fn reconfigure(&self, _dcs: &Dcs) {}

    /// Lets go of what the store holds for this process, without giving up the lock: member keys
    /// expire on their own. Called once at the end.
    async fn close(&self) {}
}

/// The three timings of a store, already adjusted to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timings {
    /// Life of leader and member keys.
    pub ttl: Duration,
    /// Pause between cycles.
    pub loop_wait: Duration,
    /// Budget of one operation.
    pub retry_timeout: Duration,
}

/// Who speaks to the store, and about what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The cluster's key prefix without a slash at the end: `/service/demo`, and `/service/demo/0`
    /// for a group.
    pub base_path: String,
    /// The group of an MPP cluster, which Kubernetes has in names and labels.
    pub group: Option<u32>,
    /// The member's name; the control tool has none and never writes lock or member.
    pub member: Option<MemberName>,
}

impl Identity {
    /// An identity from namespace and scope: runs of `/` are collapsed.
    pub fn new(namespace: &str, scope: &patroni_core::Scope, member: Option<MemberName>) -> Self {
        let joined = format!("/{namespace}/{scope}");
        let parts: Vec<&str> = joined.split('/').filter(|part| !part.is_empty()).collect();
        Self {
            base_path: format!("/{}", parts.join("/")),
            group: None,
            member,
        }
    }

    /// The same for one group of an MPP cluster.
    #[must_use]
    pub fn in_group(mut self, group: u32) -> Self {
        self.base_path = format!("{}/{group}", self.base_path);
        self.group = Some(group);
        self
    }
}

/// What an unset or unreadable `config` means in a snapshot.
pub fn config_doc(text: &str, revision: Revision) -> ConfigDoc {
    match patroni_core::json::object(text) {
        Some(data) => ConfigDoc {
            modify_revision: Some(revision.clone()),
            revision,
            data: Arc::new(data),
        },
        None => ConfigDoc {
            revision,
            modify_revision: None,
            data: Arc::default(),
        },
    }
}
