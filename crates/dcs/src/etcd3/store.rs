//! The store itself: each operation of the trait in terms of keys, lease and transactions.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use patroni_config::file::Dcs;
use patroni_core::{
    Cluster, FailoverRequest, History, Leader, Member, MemberData, MemberName, Revision, Status,
    SyncState, SystemId, json,
};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};

use super::call::Target;
use super::failure::Failure;
use super::follow;
use super::lease::Lease;
use super::nodes::Nodes;
use super::shared::Shared;
use super::txn;
use super::write::Outcome;
use crate::codec::{self, Keys};
use crate::connect::etcd_options;
use crate::error::StoreError;
use crate::key::{KeySpace, Leaf};
use crate::known::Remembered;
use crate::retry::Effort;
use crate::store::{Identity, Store, Timings};
use crate::topology::Options;
use crate::wake::FOLLOWER_DELAY;

/// A store in etcd, over its version 3 API.
pub struct Etcd3 {
    pub(super) shared: Arc<Shared>,
    pub(super) lease: Lease,
    known: Remembered,
    /// The following task of a member; ends with this value.
    tasks: Mutex<JoinSet<()>>,
}

impl Etcd3 {
    /// Connects once: finds the nodes, and for a member gets the lease and begins to follow the
    /// store. Ends within `retry_timeout` for each of the two steps; how often to try again is
    /// the caller's policy.
    ///
    /// # Errors
    /// `Denied` for wrong credentials, which no repetition will make right; else `Unreachable`.
    pub async fn connect(
        options: Options,
        identity: Identity,
        timings: Timings,
    ) -> Result<Self, StoreError> {
        const OPERATION: &str = "connect to etcd";
        if options.version_prefix.is_some() {
            tracing::warn!("version_prefix has no effect on etcd3, which is asked over gRPC");
        }
        let nodes = Nodes::new(options, timings);
        let deadline = Instant::now() + timings.retry_timeout;
        Box::pin(nodes.discover(deadline))
            .await
            .map_err(|failure| match failure {
                Failure::Denied(why) if nodes.has_credentials() => {
                    Failure::Denied(format!("Etcd3 authentication failed: {why}"))
                }
                other @ (Failure::Denied(_)
                | Failure::Node(_)
                | Failure::Busy(_)
                | Failure::Token(_)
                | Failure::LeaseGone
                | Failure::Rejected(_)) => other,
            })
            .map_err(|failure| failure.into_error(OPERATION))?;
        let is_member = identity.member.is_some();
        let keys = KeySpace::new(&identity.base_path);
        let store = Self {
            shared: Arc::new(Shared::new(nodes, keys, identity.member)),
            lease: Lease::default(),
            known: Remembered::default(),
            tasks: Mutex::new(JoinSet::new()),
        };
        if is_member {
            Box::pin(store.begin(timings))
                .await
                .map_err(|failure| failure.into_error(OPERATION))?;
        }
        Ok(store)
    }

    async fn begin(&self, timings: Timings) -> Result<(), Failure> {
        let effort = Effort::Until(Instant::now() + timings.retry_timeout);
        self.lease
            .refresh(&self.shared.nodes, self.throttled(), effort)
            .await?;
        let task = follow::run(self.shared.clone());
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.spawn(task);
        Ok(())
    }

    /// Where the budget of an operation that begins now ends.
    pub(super) fn deadline(&self) -> Instant {
        Instant::now() + self.shared.nodes.timings().retry_timeout
    }

    /// Our name; the control tool has none and must not write what belongs to members.
    pub(super) fn me(&self, operation: &'static str) -> Result<&MemberName, StoreError> {
        let me = self.shared.member.as_ref();
        me.ok_or_else(|| StoreError::members_only(operation))
    }

    async fn load_followed(&self) -> Result<Cluster, Failure> {
        let mut ready = self.shared.ready.subscribe();
        let waited = timeout_at(self.deadline(), ready.wait_for(|ready| *ready)).await;
        if !matches!(waited, Ok(Ok(_))) {
            return Err(Failure::Node(self.shared.last_failure()));
        }
        Ok(codec::cluster(&self.shared.cache().objects()))
    }

    async fn keys_now(&self) -> Result<Keys, Failure> {
        let answer = follow::range(&self.shared, false).await?;
        Ok(follow::keys(&self.shared, &answer))
    }

    fn warn_of_foreign_lease(&self, cluster: &Cluster) {
        let ours = cluster.leader_name() == self.shared.member.as_ref();
        let session = cluster
            .leader
            .as_ref()
            .and_then(|leader| leader.session.as_deref());
        if ours && self.shared.member.is_some() && !self.lease.is(session) {
            tracing::warn!("I am the leader but not owner of the lease");
        }
    }

    /// An unconditional write that is tried once.
    async fn overwrite(
        &self,
        operation: &'static str,
        leaf: Leaf,
        text: String,
    ) -> Result<(), StoreError> {
        let written = self.shared.put(&leaf, &text, None, Effort::Once).await;
        written
            .map(|_| ())
            .map_err(|failure| failure.into_error(operation))
    }

    /// A write that is conditional if a revision is given. Returns the new revision.
    async fn compare_and_write(
        &self,
        operation: &'static str,
        leaf: Leaf,
        text: &str,
        judged: Option<&Revision>,
        effort: Effort,
    ) -> Result<Revision, StoreError> {
        let fail = |failure: Failure| failure.into_error(operation);
        let key = self.shared.keys.key(&leaf);
        let txn = match judged {
            Some(judged) => txn::replace(&key, text, number(judged)),
            None if leaf == Leaf::Sync => txn::create(&key, text, None),
            None => {
                let revision = self.shared.put(&leaf, text, None, effort).await;
                return Ok(Revision::new(revision.map_err(fail)?));
            }
        };
        let outcome = self
            .shared
            .transact(&leaf, txn, Some(text), None, effort)
            .await;
        match outcome.map_err(fail)? {
            Outcome::Done(revision) => Ok(Revision::new(revision)),
            // A repeated write whose first answer was lost finds its own text. Nobody else
            // writes just this text: what is repeated (`sync`) names its writer.
            Outcome::Refused(Some(found))
                if found.value == text && matches!(effort, Effort::Until(_)) =>
            {
                Ok(Revision::new(found.revision))
            }
            Outcome::Refused(_) => Err(StoreError::lost_race(operation)),
        }
    }
}

/// A revision of ours as etcd's number. What is no number compares as never written by anybody,
/// so the condition fails.
fn number(revision: &Revision) -> i64 {
    revision.as_str().parse().unwrap_or(-1)
}

#[async_trait]
impl Store for Etcd3 {
    fn kind(&self) -> &'static str {
        "etcd3"
    }

    async fn load(&self) -> Result<Cluster, StoreError> {
        let loaded = if self.shared.member.is_some() {
            self.load_followed().await
        } else {
            let objects = self.keys_now().await.map(codec::objects);
            objects.map(|objects| codec::cluster(&objects))
        };
        let cluster = loaded.map_err(|failure| failure.into_error("load the cluster"))?;
        self.known.note(&cluster);
        self.warn_of_foreign_lease(&cluster);
        Ok(cluster)
    }

    async fn keys(&self) -> Result<Keys, StoreError> {
        let keys = self.keys_now().await;
        keys.map_err(|failure| failure.into_error("read the keys"))
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

    async fn touch_member(
        &self,
        data: &MemberData,
        judged: Option<&Member>,
    ) -> Result<(), StoreError> {
        const OPERATION: &str = "write member";
        let leaf = Leaf::Member(self.me(OPERATION)?.clone());
        let fail = |failure: Failure| failure.into_error(OPERATION);
        let refreshed = self
            .lease
            .refresh(&self.shared.nodes, self.throttled(), Effort::Once);
        let lease = refreshed.await.map_err(fail)?;
        let session = lease.to_string();
        if let Some(member) = judged
            && member.session.as_deref() == Some(session.as_str())
            && member.data.same_as(data)
        {
            return Ok(());
        }
        let text = data.to_json();
        match self
            .shared
            .put(&leaf, &text, Some(lease), Effort::Once)
            .await
        {
            Ok(_) => Ok(()),
            Err(Failure::LeaseGone) => {
                self.lease.lost(lease);
                tracing::error!("Our lease disappeared from Etcd, can not \"touch_member\"");
                Err(StoreError::lost_race(OPERATION))
            }
            Err(failure) => Err(fail(failure)),
        }
    }

    async fn begin_initialize(&self) -> Result<(), StoreError> {
        const OPERATION: &str = "begin initialize";
        let txn = txn::create(&self.shared.keys.key(&Leaf::Initialize), "", None);
        let effort = Effort::Until(self.deadline());
        let created = self
            .shared
            .transact(&Leaf::Initialize, txn, Some(""), None, effort);
        match created.await {
            Ok(Outcome::Done(_)) => Ok(()),
            Ok(Outcome::Refused(_)) => Err(StoreError::lost_race(OPERATION)),
            Err(failure) => Err(failure.into_error(OPERATION)),
        }
    }

    async fn set_system_id(&self, id: &SystemId) -> Result<(), StoreError> {
        let effort = Effort::Until(self.deadline());
        let written = self
            .shared
            .put(&Leaf::Initialize, id.as_str(), None, effort)
            .await;
        written
            .map(|_| ())
            .map_err(|failure| failure.into_error("write system identifier"))
    }

    async fn cancel_initialize(&self) -> Result<(), StoreError> {
        let effort = Effort::Until(self.deadline());
        let removed = self.shared.delete(&Leaf::Initialize, effort).await;
        removed.map_err(|failure| failure.into_error("cancel initialize"))
    }

    async fn write_failover(
        &self,
        request: &FailoverRequest,
        judged: Option<&Revision>,
    ) -> Result<(), StoreError> {
        let text = request.to_json();
        self.compare_and_write(
            "write failover",
            Leaf::Failover,
            &text,
            judged,
            Effort::Once,
        )
        .await
        .map(|_| ())
    }

    async fn write_config(
        &self,
        data: &serde_json::Map<String, serde_json::Value>,
        judged: Option<&Revision>,
    ) -> Result<(), StoreError> {
        let text = json::compact(data);
        self.compare_and_write("write config", Leaf::Config, &text, judged, Effort::Once)
            .await
            .map(|_| ())
    }

    async fn write_sync(
        &self,
        state: &SyncState,
        judged: Option<&Revision>,
    ) -> Result<Revision, StoreError> {
        let text = state.to_json();
        let effort = Effort::Until(self.deadline());
        self.compare_and_write("write sync", Leaf::Sync, &text, judged, effort)
            .await
    }

    async fn delete_sync(&self, judged: Option<&Revision>) -> Result<(), StoreError> {
        const OPERATION: &str = "delete sync";
        let fail = |failure: Failure| failure.into_error(OPERATION);
        let effort = Effort::Until(self.deadline());
        let Some(judged) = judged else {
            return self.shared.delete(&Leaf::Sync, effort).await.map_err(fail);
        };
        let txn = txn::remove(&self.shared.keys.key(&Leaf::Sync), number(judged));
        let removed = self
            .shared
            .transact(&Leaf::Sync, txn, None, None, effort)
            .await;
        match removed.map_err(fail)? {
            // Gone already, which an earlier attempt may have done whose answer was lost.
            Outcome::Done(_) | Outcome::Refused(None) => Ok(()),
            Outcome::Refused(Some(_)) => Err(StoreError::lost_race(OPERATION)),
        }
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
        let prefix = self.shared.keys.prefix();
        let options = etcd_client::DeleteOptions::new().with_range(self.shared.keys.range_end());
        let request = |Target { mut client, .. }: Target| {
            let options = options.clone();
            async move { client.delete(prefix, Some(options)).await }
        };
        let effort = Effort::Until(self.deadline());
        let removed = self.shared.nodes.call(effort, request).await;
        removed.map_err(|failure| failure.into_error("delete the cluster"))?;
        self.known.clear();
        if self.shared.member.is_some() {
            self.shared.distrust_cache();
        }
        Ok(())
    }

    /// A follower waits up to half a second longer than `timeout`.
    async fn watch(&self, leader: Option<&Leader>, wait: Duration) -> bool {
        self.lease.clear_throttle();
        let follows =
            leader.is_some_and(|leader| Some(&leader.name) != self.shared.member.as_ref());
        let wait = if follows { wait + FOLLOWER_DELAY } else { wait };
        timeout(wait, self.shared.wake.notified()).await.is_ok()
    }

    fn ttl(&self) -> Duration {
        self.shared.nodes.timings().ttl
    }

    fn set_timings(&self, timings: Timings) {
        let before = self.shared.nodes.timings();
        self.shared.nodes.topology.set_timings(timings);
        if before.ttl != timings.ttl {
            self.lease.renounce();
            self.shared.wake.notify_one();
        }
    }

    fn reconfigure(&self, dcs: &Dcs) {
        let Dcs::Etcd3(section) = dcs else {
            return;
        };
        match etcd_options(section) {
            Ok(options) => {
                self.shared.nodes.topology.reconfigure(&options);
                self.lease.reconnect();
                self.shared.relist.notify_one();
            }
            Err(error) => tracing::error!(%error, "the section etcd3 was not taken over"),
        }
    }

    async fn close(&self) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.abort_all();
    }
}
