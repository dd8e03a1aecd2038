//! The store itself: each operation of the trait in terms of keys.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use patroni_config::file::Dcs;
use patroni_core::{
    Cluster, FailoverRequest, History, Leader, Member, MemberData, MemberName, Revision, Status,
    SyncState, SystemId, json,
};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::failure::Failure;
use super::follow::Follower;
use super::keys::{Condition, Keys};
use super::nodes::Nodes;
use crate::codec;
use crate::connect::etcd_options;
use crate::error::StoreError;
use crate::key::Leaf;
use crate::known::Remembered;
use crate::retry::Effort;
use crate::store::{Identity, Store, Timings};
use crate::topology::{Options, discover};

/// A store in etcd, over its version 2 API.
pub struct Etcd {
    pub(super) keys: Arc<Keys>,
    member: Option<MemberName>,
    known: Remembered,
    /// Something worth a cycle happened. Keeps one signal for whoever asks next.
    wake: Arc<Notify>,
    /// The following task of a member; ends with this value.
    tasks: Mutex<JoinSet<()>>,
}

impl Etcd {
    /// Connects once: finds the nodes, and a member begins to follow the store. Ends within
    /// `retry_timeout` for each of the two steps; how often to try again is the caller's policy.
    ///
    /// # Errors
    /// `Unreachable`, also for credentials that are refused: who may do what can change.
    pub async fn connect(
        options: Options,
        identity: Identity,
        timings: Timings,
    ) -> Result<Self, StoreError> {
        let nodes = Nodes::new(options, timings);
        let store = Self {
            keys: Arc::new(Keys::new(nodes, &identity.base_path)),
            member: identity.member,
            known: Remembered::default(),
            wake: Arc::default(),
            tasks: Mutex::new(JoinSet::new()),
        };
        let begun = store.begin().await;
        begun.map_err(|failure| StoreError::unreachable("connect to etcd", failure))?;
        Ok(store)
    }

    async fn begin(&self) -> Result<(), Failure> {
        discover(&self.keys.nodes, self.deadline()).await?;
        let Some(me) = self.member.clone() else {
            return Ok(());
        };
        let (keys, wake) = (Arc::clone(&self.keys), Arc::clone(&self.wake));
        let follower = Follower::begin(keys, me, wake, self.budget()).await?;
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.spawn(follower.run());
        Ok(())
    }

    pub(super) fn timings(&self) -> Timings {
        self.keys.nodes.topology.timings()
    }

    /// Where the budget of an operation that begins now ends.
    fn deadline(&self) -> Instant {
        Instant::now() + self.timings().retry_timeout
    }

    /// The effort of an operation that begins now and is repeated.
    pub(super) fn budget(&self) -> Effort {
        Effort::Until(self.deadline())
    }

    /// Our name; the control tool has none and must not write what belongs to members.
    pub(super) fn me(&self, operation: &'static str) -> Result<&MemberName, StoreError> {
        let me = self.member.as_ref();
        me.ok_or_else(|| StoreError::members_only(operation))
    }

    /// A write of what does not expire.
    async fn write(
        &self,
        operation: &'static str,
        leaf: Leaf,
        text: &str,
        condition: Condition<'_>,
        effort: Effort,
    ) -> Result<(), StoreError> {
        let written = self.keys.put(&leaf, text, None, condition, effort).await;
        written
            .map(|_| ())
            .map_err(|failure| failure.of_condition(operation))
    }

    /// An unconditional write that is tried once.
    async fn overwrite(
        &self,
        operation: &'static str,
        leaf: Leaf,
        text: String,
    ) -> Result<(), StoreError> {
        self.write(operation, leaf, &text, Condition::None, Effort::Once)
            .await
    }

    /// Removes an object; one that is gone already counts as removed, which an earlier attempt may
    /// have done whose answer was lost.
    async fn remove(
        &self,
        operation: &'static str,
        leaf: Leaf,
        condition: Condition<'_>,
    ) -> Result<(), StoreError> {
        match self.keys.delete(&leaf, condition, self.budget()).await {
            Ok(()) | Err(Failure::Missing(_)) => Ok(()),
            Err(failure) => Err(failure.of_condition(operation)),
        }
    }
}

/// The condition that a judged revision makes.
fn unchanged(judged: Option<&Revision>) -> Condition<'_> {
    judged.map_or(Condition::None, Condition::Unchanged)
}

#[async_trait]
impl Store for Etcd {
    fn kind(&self) -> &'static str {
        "etcd"
    }

    async fn load(&self) -> Result<Cluster, StoreError> {
        let listed = self.keys.list(self.budget()).await;
        let (keys, _) = listed.map_err(|failure| failure.into_error("load the cluster"))?;
        let cluster = codec::cluster(&codec::objects(keys));
        self.known.note(&cluster);
        Ok(cluster)
    }

    async fn keys(&self) -> Result<codec::Keys, StoreError> {
        let listed = self.keys.list(self.budget()).await;
        let (keys, _) = listed.map_err(|failure| failure.into_error("read the keys"))?;
        Ok(keys)
    }

    async fn acquire_leader(&self) -> Result<(), StoreError> {
        self.acquire().await
    }

    async fn update_leader(&self, judged: &Leader) -> Result<(), StoreError> {
        self.update(judged).await
    }

    async fn take_leader(&self) -> Result<(), StoreError> {
        self.take().await
    }

    async fn delete_leader(&self, judged: Option<&Leader>) -> Result<(), StoreError> {
        self.release(judged).await
    }

    /// Always writes: that is what keeps the key alive.
    async fn touch_member(
        &self,
        data: &MemberData,
        _judged: Option<&Member>,
    ) -> Result<(), StoreError> {
        const OPERATION: &str = "write member";
        let leaf = Leaf::Member(self.me(OPERATION)?.clone());
        let (text, ttl) = (data.to_json(), Some(self.timings().ttl));
        let written = self
            .keys
            .put(&leaf, &text, ttl, Condition::None, Effort::Once);
        let written = written.await.map(|_| ());
        written.map_err(|failure| failure.into_error(OPERATION))
    }

    async fn begin_initialize(&self) -> Result<(), StoreError> {
        const OPERATION: &str = "begin initialize";
        let absent = Condition::Absent;
        let created = self
            .keys
            .put(&Leaf::Initialize, "", None, absent, self.budget());
        match created.await {
            // Everybody writes the same text, so that ours cannot be told from another's.
            Err(Failure::Unclear) => Err(StoreError::lost_race(OPERATION)),
            other => other
                .map(|_| ())
                .map_err(|failure| failure.of_condition(OPERATION)),
        }
    }

    async fn set_system_id(&self, id: &SystemId) -> Result<(), StoreError> {
        const OPERATION: &str = "write system identifier";
        let (text, effort) = (id.as_str(), self.budget());
        // What is there is changed, as by everybody else; what is not is created.
        let present = Condition::Present;
        let changed = self
            .keys
            .put(&Leaf::Initialize, text, None, present, effort);
        match changed.await {
            Err(Failure::Missing(_)) => {
                let always = Condition::None;
                self.write(OPERATION, Leaf::Initialize, text, always, effort)
                    .await
            }
            other => other
                .map(|_| ())
                .map_err(|failure| failure.of_condition(OPERATION)),
        }
    }

    async fn cancel_initialize(&self) -> Result<(), StoreError> {
        self.remove("cancel initialize", Leaf::Initialize, Condition::None)
            .await
    }

    async fn write_failover(
        &self,
        request: &FailoverRequest,
        judged: Option<&Revision>,
    ) -> Result<(), StoreError> {
        let (text, condition) = (request.to_json(), unchanged(judged));
        let once = Effort::Once;
        self.write("write failover", Leaf::Failover, &text, condition, once)
            .await
    }

    async fn write_config(
        &self,
        data: &serde_json::Map<String, serde_json::Value>,
        judged: Option<&Revision>,
    ) -> Result<(), StoreError> {
        let (text, condition) = (json::compact(data), unchanged(judged));
        let once = Effort::Once;
        self.write("write config", Leaf::Config, &text, condition, once)
            .await
    }

    async fn write_sync(
        &self,
        state: &SyncState,
        judged: Option<&Revision>,
    ) -> Result<Revision, StoreError> {
        // What is written names its writer, so that nobody else writes just this text.
        let condition = judged.map_or(Condition::Absent, Condition::Unchanged);
        let text = state.to_json();
        let written = self
            .keys
            .put_own(&Leaf::Sync, &text, condition, self.budget());
        let index = written.await;
        let index = index.map_err(|failure| failure.of_condition("write sync"))?;
        Ok(Revision::new(index))
    }

    async fn delete_sync(&self, judged: Option<&Revision>) -> Result<(), StoreError> {
        self.remove("delete sync", Leaf::Sync, unchanged(judged))
            .await
    }

    async fn write_status(&self, status: &Status) -> Result<(), StoreError> {
        let write = |leaf, text| self.overwrite("write status", leaf, text);
        self.known.write_status(status, write).await
    }

    async fn write_history(&self, history: &History) -> Result<(), StoreError> {
        self.overwrite("write history", Leaf::History, history.to_json())
            .await
    }

    async fn write_failsafe(
        &self,
        members: &BTreeMap<MemberName, String>,
    ) -> Result<(), StoreError> {
        let write = |leaf, text| self.overwrite("write failsafe", leaf, text);
        self.known.write_failsafe(members, write).await
    }

    async fn delete_cluster(&self) -> Result<(), StoreError> {
        match self.keys.delete_all(self.budget()).await {
            Ok(()) | Err(Failure::Missing(_)) => {}
            Err(failure) => return Err(failure.into_error("delete the cluster")),
        }
        self.known.clear();
        Ok(())
    }

    async fn watch(&self, _leader: Option<&Leader>, wait: Duration) -> bool {
        timeout(wait, self.wake.notified()).await.is_ok()
    }

    fn ttl(&self) -> Duration {
        self.timings().ttl
    }

    fn set_timings(&self, timings: Timings) {
        let before = self.timings();
        self.keys.nodes.topology.set_timings(timings);
        if before.ttl != timings.ttl {
            self.wake.notify_one();
        }
    }

    fn reconfigure(&self, dcs: &Dcs) {
        let Dcs::Etcd(section) = dcs else {
            return;
        };
        match etcd_options(section) {
            Ok(options) => self.keys.nodes.topology.reconfigure(&options),
            Err(error) => tracing::error!(%error, "the section etcd was not taken over"),
        }
    }

    async fn close(&self) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.abort_all();
    }
}
