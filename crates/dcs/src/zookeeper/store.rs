//! The store itself: each operation of the trait in terms of nodes and the session.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use patroni_config::file::dcs::zookeeper::Access;
use patroni_core::{
    Cluster, FailoverRequest, History, Leader, Member, MemberData, MemberName, Revision, Status,
    SyncState, SystemId, json,
};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use zookeeper_client::CreateMode;

use super::failure::Failure;
use super::options::Options;
use super::seen::Seen;
use super::session::{Attempt, Holds, Session};
use super::znodes::{Found, Znodes};
use super::{follow, load};
use crate::codec::Keys;
use crate::error::StoreError;
use crate::key::{KeySpace, Leaf};
use crate::known::Remembered;
use crate::retry::Effort;
use crate::store::{Identity, Store, Timings};
use crate::wake::FOLLOWER_DELAY;

/// What `sync` becomes when it is removed: nodes of the reference look for this.
const NO_SYNC: &str = "{}";

/// A store in ZooKeeper.
pub struct ZooKeeper {
    kind: &'static str,
    pub(super) shared: Arc<Shared>,
    known: Remembered,
    /// The following task of a member, and the one that looks for servers; they end with this
    /// value.
    tasks: Mutex<JoinSet<()>>,
}

/// What the store and its following task have in common.
pub(super) struct Shared {
    pub(super) session: Session,
    pub(super) keys: KeySpace,
    member: Option<MemberName>,
    seen: Mutex<Seen>,
    /// Something worth a cycle happened. Keeps one signal for whoever asks next.
    wake: Notify,
}

impl Shared {
    /// What the member has seen, for a moment: never held across an await.
    pub(super) fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn wake_if(&self, wakes: impl FnOnce(&Seen) -> bool) {
        if wakes(&self.seen()) {
            self.wake.notify_one();
        }
    }
}

/// The servers, when something else than the configuration names them.
pub(crate) struct Ensemble {
    /// The name of the kind of store.
    pub(crate) kind: &'static str,
    /// `host:port` of each server, as it changes.
    pub(crate) hosts: watch::Receiver<Vec<String>>,
    /// What keeps the list up to date as long as the store lives.
    pub(crate) task: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl ZooKeeper {
    /// Connects once: opens the session, and for a member begins to follow the store. Ends within
    /// `retry_timeout`; how often to try again is the caller's policy.
    ///
    /// # Errors
    /// `Denied` for refused credentials, and for settings that cannot be carried out. Else
    /// `Unreachable`. A ttl above what the servers grant refuses the lock alone: the one in the
    /// store, which is read next, may be another.
    pub async fn connect(
        options: Options,
        identity: Identity,
        timings: Timings,
    ) -> Result<Self, StoreError> {
        let ensemble = Ensemble {
            kind: "zookeeper",
            hosts: watch::Sender::new(options.hosts).subscribe(),
            task: Box::pin(std::future::ready(())),
        };
        let chroot = options.chroot.unwrap_or_default();
        Self::enter(ensemble, &chroot, options.access, identity, timings).await
    }

    /// The same with servers that are found by something else.
    pub(crate) async fn enter(
        ensemble: Ensemble,
        chroot: &str,
        access: Access,
        identity: Identity,
        timings: Timings,
    ) -> Result<Self, StoreError> {
        let fail = |failure: Failure| failure.into_error("connect to ZooKeeper");
        let holds = match identity.member {
            Some(_) => Holds::Leases,
            None => Holds::Nothing,
        };
        let is_believed = access.use_ssl && !access.verify;
        let session = Session::new(access, ensemble.hosts, holds, timings);
        let deadline = Instant::now() + timings.retry_timeout;
        session.client(deadline).await.map_err(fail)?;
        if is_believed && holds == Holds::Leases {
            tracing::warn!(
                "the servers of ZooKeeper are not verified (verify: false): whoever answers at \
                 their addresses is believed"
            );
        }
        let chroot = chroot.trim_end_matches('/');
        let shared = Arc::new(Shared {
            session,
            keys: KeySpace::new(&format!("{chroot}{}", identity.base_path)),
            member: identity.member.clone(),
            seen: Mutex::default(),
            wake: Notify::new(),
        });
        let mut tasks = JoinSet::new();
        if let Some(me) = identity.member {
            tasks.spawn(follow::run(shared.clone(), me));
            tasks.spawn(ensemble.task);
        }
        Ok(Self {
            kind: ensemble.kind,
            shared,
            known: Remembered::default(),
            tasks: Mutex::new(tasks),
        })
    }

    /// Where the budget of an operation that begins now ends.
    pub(super) fn deadline(&self) -> Instant {
        Instant::now() + self.shared.session.timings().retry_timeout
    }

    async fn read(&self, operation: &'static str) -> Result<load::Loaded, StoreError> {
        let keys = &self.shared.keys;
        let request = |znodes: Znodes, _| async move { load::load(&znodes, keys).await };
        let loaded = self.shared.session.call(self.within_budget(), request);
        loaded
            .await
            .map_err(|failure| failure.into_error(operation))
    }

    fn within_budget(&self) -> Effort {
        Effort::Until(self.deadline())
    }

    /// Our name; the control tool has none and must not write what belongs to members.
    pub(super) fn me(&self, operation: &'static str) -> Result<&MemberName, StoreError> {
        let me = self.shared.member.as_ref();
        me.ok_or_else(|| StoreError::members_only(operation))
    }

    /// An unconditional write. Returns the new version.
    async fn put(
        &self,
        operation: &'static str,
        leaf: Leaf,
        text: &str,
        effort: Effort,
    ) -> Result<Revision, StoreError> {
        let path = self.shared.keys.key(&leaf);
        let path = path.as_str();
        let request = |znodes: Znodes, _| async move { znodes.put(path, text).await };
        let written = self.shared.session.call(effort, request).await;
        written
            .map(Revision::new)
            .map_err(|failure| failed(operation, path, failure))
    }

    /// The same, tried once.
    async fn overwrite(
        &self,
        operation: &'static str,
        leaf: Leaf,
        text: String,
    ) -> Result<(), StoreError> {
        self.put(operation, leaf, &text, Effort::Once)
            .await
            .map(drop)
    }

    /// A write that is conditional if a revision is given. Returns the new version.
    async fn compare_and_put(
        &self,
        operation: &'static str,
        leaf: Leaf,
        text: &str,
        judged: Option<&Revision>,
        effort: Effort,
    ) -> Result<Revision, StoreError> {
        let Some(judged) = judged else {
            return self.put(operation, leaf, text, effort).await;
        };
        let Some(version) = number(judged) else {
            return Err(StoreError::lost_race(operation));
        };
        let path = self.shared.keys.key(&leaf);
        let path = path.as_str();
        let request = |znodes, attempt| replace(znodes, attempt, path, text, version);
        let written = self.shared.session.call(effort, request).await;
        written
            .map(Revision::new)
            .map_err(|failure| failed(operation, path, failure))
    }
}

/// Says what failed where an operator looks for it; a lost race is for the caller to judge.
fn failed(operation: &'static str, path: &str, failure: Failure) -> StoreError {
    let error = failure.into_error(operation);
    if !error.is_lost_race() {
        tracing::error!("Failed to update {path}: {}", error.kind);
    }
    error
}

/// A revision of ours as ZooKeeper's number. What is none compares as never written by anybody:
/// -1, which the server takes for any version, must not come from here.
fn number(revision: &Revision) -> Option<i32> {
    revision
        .as_str()
        .parse()
        .ok()
        .filter(|version| *version >= 0)
}

/// Writes a node that has this version. A repeated write whose first answer was lost finds its
/// own text with the next version.
async fn replace(
    znodes: Znodes,
    attempt: Attempt,
    path: &str,
    text: &str,
    version: i32,
) -> Result<i32, Failure> {
    match znodes.replace(path, text, version).await {
        Err(Failure::Version) if attempt == Attempt::Again => match znodes.read(path).await? {
            Some(found) if is_next(&found, text, version) => Ok(found.stat.version),
            Some(_) | None => Err(Failure::Version),
        },
        other => other,
    }
}

/// Writes a node that is not there. A repeated write whose first answer was lost finds its own
/// text, never written again.
async fn create(znodes: Znodes, attempt: Attempt, path: &str, text: &str) -> Result<(), Failure> {
    match znodes.create(path, text, CreateMode::Persistent).await {
        Err(Failure::Exists) if attempt == Attempt::Again => match znodes.read(path).await? {
            Some(found) if found.text == text && found.stat.version == 0 => Ok(()),
            Some(_) | None => Err(Failure::Exists),
        },
        other => other,
    }
}

fn is_next(found: &Found, text: &str, version: i32) -> bool {
    found.text == text && found.stat.version == version.wrapping_add(1)
}

/// Writes the member's node on the session of this client.
async fn touch(znodes: Znodes, path: &str, text: &str) -> Result<(), Failure> {
    match znodes.client.check_stat(path).await? {
        None => znodes.create(path, text, CreateMode::Ephemeral).await,
        Some(stat) if znodes.owns(&stat) => {
            znodes.replace(path, text, stat.version).await.map(drop)
        }
        Some(stat) => {
            tracing::warn!("Recreating the member ZNode due to ownership mismatch");
            znodes.take_over(path, text, stat.version).await
        }
    }
}

#[async_trait]
impl Store for ZooKeeper {
    fn kind(&self) -> &'static str {
        self.kind
    }

    async fn load(&self) -> Result<Cluster, StoreError> {
        let loaded = self.read("load the cluster").await?;
        self.known.note(&loaded.cluster);
        self.shared.seen().load(&loaded.objects);
        Ok(loaded.cluster)
    }

    async fn keys(&self) -> Result<Keys, StoreError> {
        let keys = &self.shared.keys;
        let request = |znodes: Znodes, _| async move { load::keys(&znodes, keys).await };
        let read = self.shared.session.call(self.within_budget(), request);
        read.await
            .map_err(|failure| failure.into_error("read the keys"))
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
        let path = self.shared.keys.key(&leaf);
        let text = data.to_json();
        let (path, text) = (path.as_str(), text.as_str());
        let request = |znodes: Znodes, _| async move {
            let session = znodes.client.session_id().0.to_string();
            let unchanged = judged.is_some_and(|member| {
                member.session.as_deref() == Some(&session) && member.data.same_as(data)
            });
            if unchanged {
                return Ok(());
            }
            touch(znodes, path, text).await
        };
        let written = self.shared.session.call(Effort::Once, request).await;
        written.map_err(|failure| failure.into_error(OPERATION))
    }

    async fn begin_initialize(&self) -> Result<(), StoreError> {
        let path = self.shared.keys.key(&Leaf::Initialize);
        let path = path.as_str();
        let request = |znodes: Znodes, _| async move {
            znodes.create(path, "", CreateMode::Persistent).await
        };
        // Not repeated: nothing tells whose empty node it is that a second attempt would find.
        let created = self.shared.session.call(Effort::Once, request).await;
        created.map_err(|failure| failure.into_error("begin initialize"))
    }

    async fn set_system_id(&self, id: &SystemId) -> Result<(), StoreError> {
        let effort = self.within_budget();
        self.put(
            "write system identifier",
            Leaf::Initialize,
            id.as_str(),
            effort,
        )
        .await
        .map(drop)
    }

    async fn cancel_initialize(&self) -> Result<(), StoreError> {
        let path = self.shared.keys.key(&Leaf::Initialize);
        let path = path.as_str();
        let request = |znodes: Znodes, _| async move {
            match znodes.read(path).await? {
                Some(found) => znodes.delete(path, found.stat.version).await,
                None => Ok(()),
            }
        };
        let removed = self.shared.session.call(self.within_budget(), request);
        removed.await.map_err(|failure| {
            tracing::error!("Unable to delete initialize key: {failure}");
            failure.into_error("cancel initialize")
        })
    }

    async fn write_failover(
        &self,
        request: &FailoverRequest,
        judged: Option<&Revision>,
    ) -> Result<(), StoreError> {
        let text = request.to_json();
        let leaf = Leaf::Failover;
        self.compare_and_put("write failover", leaf, &text, judged, Effort::Once)
            .await
            .map(drop)
    }

    async fn write_config(
        &self,
        data: &serde_json::Map<String, serde_json::Value>,
        judged: Option<&Revision>,
    ) -> Result<(), StoreError> {
        let text = json::compact(data);
        let effort = self.within_budget();
        self.compare_and_put("write config", Leaf::Config, &text, judged, effort)
            .await?;
        self.shared.seen().wrote_config(&text);
        Ok(())
    }

    async fn write_sync(
        &self,
        state: &SyncState,
        judged: Option<&Revision>,
    ) -> Result<Revision, StoreError> {
        const OPERATION: &str = "write sync";
        let text = state.to_json();
        let effort = self.within_budget();
        if judged.is_some() {
            return self
                .compare_and_put(OPERATION, Leaf::Sync, &text, judged, effort)
                .await;
        }
        let path = self.shared.keys.key(&Leaf::Sync);
        let (path, text) = (path.as_str(), text.as_str());
        let request = |znodes, attempt| create(znodes, attempt, path, text);
        let created = self.shared.session.call(effort, request).await;
        created.map_err(|failure| failed(OPERATION, path, failure))?;
        Ok(Revision::new(0))
    }

    /// The node stays, empty: an absent one would be created by an unconditional write.
    async fn delete_sync(&self, judged: Option<&Revision>) -> Result<(), StoreError> {
        const OPERATION: &str = "delete sync";
        let version = match judged {
            Some(judged) => Some(number(judged).ok_or(StoreError::lost_race(OPERATION))?),
            None => None,
        };
        let path = self.shared.keys.key(&Leaf::Sync);
        let path = path.as_str();
        let request = |znodes: Znodes, attempt| async move {
            let emptied = match version {
                Some(version) => replace(znodes, attempt, path, NO_SYNC, version).await,
                None => znodes.put(path, NO_SYNC).await,
            };
            match emptied {
                Ok(_) | Err(Failure::Missing) => Ok(()),
                Err(failure) => Err(failure),
            }
        };
        let removed = self.shared.session.call(self.within_budget(), request);
        removed
            .await
            .map_err(|failure| failed(OPERATION, path, failure))
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
        let base = self.shared.keys.prefix().trim_end_matches('/');
        let request = |znodes: Znodes, _| async move { znodes.delete_tree(base).await };
        let removed = self.shared.session.call(self.within_budget(), request);
        removed
            .await
            .map_err(|failure| failure.into_error("delete the cluster"))?;
        self.known.clear();
        Ok(())
    }

    /// A follower waits up to half a second longer than `timeout`.
    async fn watch(&self, leader: Option<&Leader>, wait: Duration) -> bool {
        let follows =
            leader.is_some_and(|leader| Some(&leader.name) != self.shared.member.as_ref());
        let wait = if follows { wait + FOLLOWER_DELAY } else { wait };
        timeout(wait, self.shared.wake.notified()).await.is_ok()
    }

    fn ttl(&self) -> Duration {
        self.shared.session.ttl_in_force()
    }

    fn set_timings(&self, timings: Timings) {
        let before = self.shared.session.timings();
        self.shared.session.set_timings(timings);
        if before.ttl != timings.ttl {
            self.shared.wake.notify_one();
        }
    }

    async fn close(&self) {
        let ended = {
            let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *tasks)
        };
        drop(ended); // they hold the client, too
        self.shared.session.let_go();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_revision_stands_for_any_version() {
        let number = |text: &str| number(&Revision::new(text));
        assert_eq!((number("0"), number("7")), (Some(0), Some(7)));
        for nonsense in ["-1", "", "x", "9999999999"] {
            assert_eq!(number(nonsense), None, "{nonsense:?}");
        }
    }
}
