//! The store itself: each operation of the trait in terms of objects and annotations.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use patroni_core::{
    Cluster, FailoverRequest, History, Leader, Member, MemberData, MemberName, Revision, Status,
    SyncState, SystemId, json,
};
use serde_json::{Map, Value};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use super::cache::Side;
use super::failure::Failure;
use super::judgement::Judgement;
use super::names::{GROUP, Names, Part};
use super::object::Object;
use super::options::{Mode, Options};
use super::record::Record;
use super::request::Request;
use super::servers::Servers;
use super::shared::Shared;
use super::write::Content;
use super::{bypass, follow, labels};
use crate::codec::{self, Keys, Objects, Stored};
use crate::crypto;
use crate::error::{StoreError, StoreErrorKind};
use crate::key::Leaf;
use crate::known::Known;
use crate::retry::Effort;
use crate::store::{Identity, Store, Timings};
use crate::wake::FOLLOWER_DELAY;

/// A store in Kubernetes objects.
pub struct Kubernetes {
    pub(super) shared: Arc<Shared>,
    pub(super) options: Options,
    known: Mutex<Known>,
    judgement: Mutex<Judgement>,
    /// The last record of the lock that was ours.
    reign: Mutex<Option<Record>>,
    has_config_service: AtomicBool,
    /// The following tasks of a member; end with this value.
    tasks: Mutex<JoinSet<()>>,
}

impl Kubernetes {
    /// Reads where the API is; for a member also begins to follow the store. Does not wait for
    /// the API, [`Store::load`] does.
    ///
    /// # Errors
    /// `Denied` when there is no way to the API: neither a service account nor a usable file.
    pub async fn connect(
        options: Options,
        identity: Identity,
        timings: Timings,
    ) -> Result<Self, StoreError> {
        crypto::ensure_provider();
        let servers = Servers::new(&options, timings).await;
        let servers = servers.map_err(|error| {
            StoreError::new(
                "connect to Kubernetes",
                StoreErrorKind::Denied(error.to_string()),
            )
        })?;
        let names = Names::new(&options, &identity);
        let is_member = identity.member.is_some();
        let store = Self {
            shared: Arc::new(Shared::new(servers, names, identity.member)),
            options,
            known: Mutex::default(),
            judgement: Mutex::default(),
            reign: Mutex::default(),
            has_config_service: AtomicBool::new(false),
            tasks: Mutex::new(JoinSet::new()),
        };
        if is_member {
            store.begin().await;
        }
        Ok(store)
    }

    async fn begin(&self) {
        let bypasses = self.options.bypass_api_service
            && bypass::refresh(&self.shared).await == ControlFlow::Continue(());
        let mut tasks = lock(&self.tasks);
        tasks.spawn(follow::run(Arc::clone(&self.shared)));
        if bypasses {
            tasks.spawn(bypass::run(Arc::clone(&self.shared)));
        }
    }

    /// Where the budget of an operation that begins now ends.
    pub(super) fn deadline(&self) -> Instant {
        Instant::now() + self.shared.servers.timings().retry_timeout
    }

    pub(super) fn ttl(&self) -> Duration {
        self.shared.servers.timings().ttl
    }

    /// Our name; the control tool has none and must not write what belongs to members.
    pub(super) fn me(&self, operation: &'static str) -> Result<&MemberName, StoreError> {
        let me = self.shared.member.as_ref();
        me.ok_or_else(|| StoreError::members_only(operation))
    }

    /// What was judged about the lock since the last wait.
    pub(super) fn judgement(&self) -> Judgement {
        lock(&self.judgement).clone()
    }

    /// The next look at the lock is the first one of a new judgement.
    pub(super) fn judge_anew(&self) {
        *lock(&self.judgement) = Judgement::Open;
    }

    /// The last record of the lock that was ours.
    pub(super) fn reign(&self) -> Option<Record> {
        lock(&self.reign).clone()
    }

    /// The lock is ours by this record.
    pub(super) fn holds(&self, record: Record) {
        *lock(&self.reign) = Some(record);
        self.judge_anew();
    }

    async fn load_followed(&self) -> Result<Cluster, Failure> {
        let deadline = self.deadline();
        let mut ready = self.shared.ready.subscribe();
        let followed = timeout_at(deadline, ready.wait_for(|ready| *ready));
        if !followed.await.is_ok_and(|seen| seen.is_ok()) {
            return Err(self.shared.last_failure());
        }
        if self.shared.cache().leader().is_some() && !self.lock_is_good() {
            // Before anybody acts on it: a stream that has become deaf looks the same.
            self.refresh_leader(deadline).await?;
        }
        let good = self.look();
        Ok(codec::cluster(&self.shared.cache().leaves(good)))
    }

    async fn objects_now(&self) -> Result<Objects, Failure> {
        let effort = Effort::Until(self.deadline());
        let (objects, pods) = follow::lists(&self.shared, effort).await?;
        let now = Instant::now();
        let mut cache = self.shared.cache();
        cache.replace(Side::Objects, objects, now);
        cache.replace(Side::Pods, pods, now);
        // Whoever has only just begun to look cannot know how long the record is so.
        Ok(cache.leaves(true))
    }

    fn lock_is_good(&self) -> bool {
        self.shared.cache().lock_is_good(Instant::now(), self.ttl())
    }

    /// When the lock of somebody else will be over if it is not extended.
    fn lock_of_another_ends(&self) -> Option<Instant> {
        let cache = self.shared.cache();
        let seen = cache.observed()?;
        let me = self.shared.member.as_ref()?;
        let ends = seen
            .ends(self.ttl())
            .filter(|_| !seen.record.is_of(me.as_str()))?;
        (ends > Instant::now()).then_some(ends)
    }

    /// Judges the lock by the cache; tells whether it is somebody's.
    fn look(&self) -> bool {
        let good = self.lock_is_good();
        let cache = self.shared.cache();
        let record = cache.observed().map(|seen| &seen.record);
        lock(&self.judgement).look(record, !good);
        good
    }

    /// Reads the leader object and judges the lock by it.
    pub(super) async fn look_anew(&self, deadline: Instant) -> Result<(), Failure> {
        self.refresh_leader(deadline).await?;
        self.look();
        Ok(())
    }

    async fn refresh_leader(&self, deadline: Instant) -> Result<(), Failure> {
        let known = self.shared.cache().part(Part::Leader).map(Object::version);
        let effort = Effort::Until(deadline);
        let now = Instant::now();
        let Some(object) = self.shared.get(Part::Leader, effort).await? else {
            let name = self.shared.names.name(Part::Leader);
            let mut cache = self.shared.cache();
            cache.remove(Side::Objects, &name, known.unwrap_or(0), now);
            return Ok(());
        };
        if known.is_some_and(|known| known < object.version()) {
            self.shared.relist.notify_one();
        }
        self.shared.wrote(Side::Objects, object);
        Ok(())
    }

    /// A write that is conditional if a revision is given, tried once.
    async fn compare_and_write(
        &self,
        operation: &'static str,
        part: Part,
        content: Content,
        judged: Option<&Revision>,
    ) -> Result<(), StoreError> {
        let written = match judged {
            Some(judged) => {
                let version = Some(version_text(judged));
                self.shared
                    .patch(part, &content, version, Effort::Once)
                    .await
            }
            None => self.shared.put(part, &content, Effort::Once).await,
        };
        match written {
            Ok(_) => Ok(()),
            // It was removed since it was judged.
            Err(Failure::Absent(_)) => Err(StoreError::lost_race(operation)),
            Err(failure) => Err(failure.into_error(operation)),
        }
    }

    /// What goes along with the lock. While we hold it, it is written only if nobody else has
    /// written since: a thawed leader must not put its position over that of the next one.
    async fn write_beside_lock(
        &self,
        operation: &'static str,
        content: Content,
    ) -> Result<(), StoreError> {
        let (leads, object) = {
            let cache = self.shared.cache();
            let me = self.shared.member.as_ref().map(MemberName::as_str);
            let leads = cache.leader().map(|leader| Some(leader) == me);
            (leads, cache.part(Part::Leader).cloned())
        };
        let judged = match leads {
            Some(false) if self.shared.member.is_some() => {
                return Err(StoreError::lost_race(operation));
            }
            Some(true) => object.map(|object| Revision::new(&object.metadata.resource_version)),
            Some(false) | None => None,
        };
        self.compare_and_write(operation, Part::Leader, content, judged.as_ref())
            .await
    }

    /// With Endpoints, and until it is there: the Service of the same name as the config object.
    async fn ensure_config_service(&self) {
        if self.options.mode != Mode::Endpoints || self.has_config_service.load(Ordering::Relaxed) {
            return;
        }
        match self.shared.create_config_service(Effort::Once).await {
            Ok(()) | Err(Failure::Conflict(_) | Failure::Forbidden(_)) => {
                self.has_config_service.store(true, Ordering::Relaxed);
            }
            Err(failure) => tracing::error!(%failure, "create_config_service failed"),
        }
    }

    /// Whether the lock is ours as far as we know.
    fn leads(&self, me: &MemberName) -> bool {
        let ours = self.shared.cache().leader() == Some(me.as_str());
        ours && self.lock_is_good()
    }

    /// The object after a conditional write that failed, if it holds what should be written: an
    /// earlier attempt was carried out, but its answer was lost.
    async fn read_back(
        &self,
        part: Part,
        content: &Content,
        effort: Effort,
    ) -> Result<Option<Object>, Failure> {
        let found = self.shared.get(part, effort).await?;
        Ok(found.filter(|object| content.is_in(object)))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A revision of ours as a condition. What no server can have written compares as never written;
/// an empty or foreign text would be no condition at all, or an error of another kind.
fn version_text(revision: &Revision) -> &str {
    let text = revision.as_str();
    let is_number = text.parse::<u64>().is_ok_and(|version| version > 0);
    if is_number { text } else { "1" }
}

fn sync_content(state: &SyncState) -> Content {
    let standbys: Vec<&str> = state.standbys.iter().map(MemberName::as_str).collect();
    let standbys = Some(standbys.join(",")).filter(|names| !names.is_empty());
    let leader = state.leader.as_ref().map(MemberName::as_str);
    let fields = [
        ("leader", leader.into()),
        ("quorum", state.quorum.to_string().into()),
        ("sync_standby", standbys.into()),
    ];
    annotations(fields).into()
}

fn failover_content(request: &FailoverRequest) -> Content {
    let text = |name: &Option<MemberName>| Value::from(name.as_ref().map(MemberName::as_str));
    let at = request
        .scheduled_at
        .as_ref()
        .map(patroni_core::failover::ScheduledAt::text);
    let fields = [
        ("leader", text(&request.leader)),
        ("member", text(&request.candidate)),
        ("scheduled_at", at.into()),
    ];
    annotations(fields).into()
}

fn status_content(status: &Status) -> Content {
    let slots: Map<String, Value> = status
        .slots
        .iter()
        .map(|(name, at)| (name.to_string(), at.bytes().into()))
        .collect();
    let slots = (!slots.is_empty()).then(|| json::compact(&slots));
    let retained: Vec<String> = status
        .retain_slots
        .iter()
        .map(ToString::to_string)
        .collect();
    let retained = (!retained.is_empty()).then(|| json::spaced(&retained));
    let fields = [
        ("optime", status.optime.bytes().to_string().into()),
        ("slots", slots.into()),
        ("retain_slots", retained.into()),
    ];
    annotations(fields).into()
}

fn annotations<const N: usize>(fields: [(&str, Value); N]) -> Map<String, Value> {
    let all = fields.into_iter();
    all.map(|(name, value)| (name.to_owned(), value)).collect()
}

/// A wait, before and after which nothing is judged yet.
struct Wait<'a>(&'a Kubernetes);

impl<'a> Wait<'a> {
    fn begin(store: &'a Kubernetes) -> Self {
        store.judge_anew();
        Self(store)
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        self.0.judge_anew();
    }
}

#[async_trait]
impl Store for Kubernetes {
    fn kind(&self) -> &'static str {
        "kubernetes"
    }

    async fn load(&self) -> Result<Cluster, StoreError> {
        let loaded = if self.shared.member.is_some() {
            self.load_followed().await
        } else {
            let objects = self.objects_now().await;
            objects.map(|objects| codec::cluster(&objects))
        };
        let cluster = loaded.map_err(|failure| failure.into_error("load the cluster"))?;
        lock(&self.known).note(&cluster);
        Ok(cluster)
    }

    async fn keys(&self) -> Result<Keys, StoreError> {
        let objects = self.objects_now().await;
        let objects = objects.map_err(|failure| failure.into_error("read the keys"))?;
        let named = |(leaf, stored): (Leaf, Stored)| (leaf.relative(), stored);
        Ok(objects.into_iter().map(named).collect())
    }

    /// The groups of objects and Pods: both have a label that tells it.
    async fn groups(&self) -> Result<BTreeSet<u32>, StoreError> {
        let effort = Effort::Until(self.deadline());
        let lists = follow::lists(&self.shared, effort).await;
        let (objects, pods) = lists.map_err(|failure| failure.into_error("read the groups"))?;
        let all = objects.items.iter().chain(&pods.items);
        Ok(all
            .filter_map(|object| object.label(GROUP)?.parse().ok())
            .collect())
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

    /// The Pod of our name must exist. It is compared with the cache, which also has its labels.
    async fn touch_member(
        &self,
        data: &MemberData,
        _judged: Option<&Member>,
    ) -> Result<(), StoreError> {
        const OPERATION: &str = "write member";
        let me = self.me(OPERATION)?;
        self.ensure_config_service().await;
        let labels = labels::of_member(&self.options.labels, data, self.leads(me));
        let is_written = {
            let cache = self.shared.cache();
            cache.pod(me.as_str()).is_some_and(|pod| {
                let status = pod.annotation("status").map(MemberData::parse);
                labels::are_on(pod, &labels) && status.is_some_and(|known| known.same_as(data))
            })
        };
        if is_written {
            return Ok(());
        }
        let patched = self.shared.patch_pod(me.as_str(), labels, data.to_json());
        patched.await.map_err(|failure| {
            if let Failure::Absent(_) = failure {
                let why = format!("there is no Pod named {me}: name must be the name of the Pod");
                return StoreError::new(OPERATION, StoreErrorKind::Denied(why));
            }
            failure.into_error(OPERATION)
        })
    }

    async fn begin_initialize(&self) -> Result<(), StoreError> {
        const OPERATION: &str = "begin initialize";
        self.ensure_config_service().await;
        let effort = Effort::Until(self.deadline());
        let fail = |failure: Failure| failure.into_error(OPERATION);
        let content = Content::one("initialize", "");
        let created = match self.shared.get(Part::Config, effort).await.map_err(fail)? {
            Some(object) if object.annotation("initialize").is_some() => {
                return Err(StoreError::lost_race(OPERATION));
            }
            Some(object) => {
                let version = Some(object.metadata.resource_version.as_str());
                self.shared
                    .patch(Part::Config, &content, version, effort)
                    .await
            }
            None => self.shared.create(Part::Config, &content, effort).await,
        };
        created.map(drop).map_err(fail)
    }

    async fn set_system_id(&self, id: &SystemId) -> Result<(), StoreError> {
        let content = Content::one("initialize", id.as_str());
        let effort = Effort::Until(self.deadline());
        let written = self.shared.put(Part::Config, &content, effort).await;
        written
            .map(drop)
            .map_err(|failure| failure.into_error("write system identifier"))
    }

    async fn cancel_initialize(&self) -> Result<(), StoreError> {
        let content = Content::one("initialize", Value::Null);
        let effort = Effort::Until(self.deadline());
        match self
            .shared
            .patch(Part::Config, &content, None, effort)
            .await
        {
            Ok(_) | Err(Failure::Absent(_)) => Ok(()),
            Err(failure) => Err(failure.into_error("cancel initialize")),
        }
    }

    async fn write_failover(
        &self,
        request: &FailoverRequest,
        judged: Option<&Revision>,
    ) -> Result<(), StoreError> {
        let content = failover_content(request);
        self.compare_and_write("write failover", Part::Failover, content, judged)
            .await
    }

    async fn write_config(
        &self,
        data: &Map<String, Value>,
        judged: Option<&Revision>,
    ) -> Result<(), StoreError> {
        let content = Content::one("config", json::compact(data));
        self.compare_and_write("write config", Part::Config, content, judged)
            .await
    }

    async fn write_sync(
        &self,
        state: &SyncState,
        judged: Option<&Revision>,
    ) -> Result<Revision, StoreError> {
        const OPERATION: &str = "write sync";
        let content = sync_content(state);
        let effort = Effort::Until(self.deadline());
        let fail = |failure: Failure| failure.into_error(OPERATION);
        let written = match judged.map(version_text) {
            None => self.shared.create(Part::Sync, &content, effort).await,
            Some(version) => {
                self.shared
                    .patch(Part::Sync, &content, Some(version), effort)
                    .await
            }
        };
        let object = match written {
            Ok(object) => object,
            Err(Failure::Conflict(_) | Failure::Absent(_)) => {
                let found = self.read_back(Part::Sync, &content, effort).await;
                let lost = || StoreError::lost_race(OPERATION);
                found.map_err(fail)?.ok_or_else(lost)?
            }
            Err(failure) => return Err(fail(failure)),
        };
        Ok(Revision::new(object.metadata.resource_version))
    }

    async fn delete_sync(&self, judged: Option<&Revision>) -> Result<(), StoreError> {
        const OPERATION: &str = "delete sync";
        let nothing = [
            ("leader", Value::Null),
            ("quorum", Value::Null),
            ("sync_standby", Value::Null),
        ];
        let content = Content::from(annotations(nothing));
        let effort = Effort::Until(self.deadline());
        let fail = |failure: Failure| failure.into_error(OPERATION);
        let version = judged.map(version_text);
        match self
            .shared
            .patch(Part::Sync, &content, version, effort)
            .await
        {
            Ok(_) | Err(Failure::Absent(_)) => Ok(()),
            Err(Failure::Conflict(_)) => {
                let found = self.read_back(Part::Sync, &content, effort).await;
                let lost = || StoreError::lost_race(OPERATION);
                found.map_err(fail)?.map(drop).ok_or_else(lost)
            }
            Err(failure) => Err(fail(failure)),
        }
    }

    async fn write_status(&self, status: &Status) -> Result<(), StoreError> {
        let due = lock(&self.known).status_write(status);
        let Some(due) = due else {
            return Ok(());
        };
        // Members that read `optime/leader` never ran here: the position has always been there.
        self.write_beside_lock("write status", status_content(&due.status))
            .await?;
        lock(&self.known).wrote_status(due.status);
        Ok(())
    }

    async fn write_history(&self, history: &History) -> Result<(), StoreError> {
        let content = Content::one("history", history.to_json());
        self.compare_and_write("write history", Part::Config, content, None)
            .await
    }

    async fn write_failsafe(
        &self,
        members: &BTreeMap<MemberName, String>,
    ) -> Result<(), StoreError> {
        if !lock(&self.known).failsafe_differs(members) {
            return Ok(());
        }
        let content = Content::one("failsafe", codec::failsafe_text(members));
        self.write_beside_lock("write failsafe", content).await?;
        lock(&self.known).wrote_failsafe(members.clone());
        Ok(())
    }

    /// Labels and status of the Pods stay, and with them the members.
    async fn delete_cluster(&self) -> Result<(), StoreError> {
        let names = &self.shared.names;
        let request = Request::delete_collection(names.kind(), &names.namespace, &names.selector());
        let effort = Effort::Until(self.deadline());
        let removed = self.shared.servers.call::<Value>(effort, &request).await;
        removed.map_err(|failure| failure.into_error("delete the cluster"))?;
        lock(&self.known).clear();
        self.shared.distrust_cache();
        Ok(())
    }

    /// A follower waits up to half a second longer than `timeout`, and not beyond the moment in
    /// which the lock is over: nobody but our own clock tells of that.
    async fn watch(&self, leader: Option<&Leader>, wait: Duration) -> bool {
        let _wait = Wait::begin(self);
        let me = self.shared.member.as_ref();
        let follows = leader.is_some_and(|leader| Some(&leader.name) != me);
        let wait = if follows { wait + FOLLOWER_DELAY } else { wait };
        let until = Instant::now() + wait;
        loop {
            let over = self.lock_of_another_ends();
            let next = over.map_or(until, |over| over.min(until));
            if timeout_at(next, self.shared.wake.notified()).await.is_ok() {
                return true;
            }
            if over.is_some() && !self.lock_is_good() {
                return true;
            }
            if Instant::now() >= until {
                return false;
            }
        }
    }

    fn ttl(&self) -> Duration {
        self.shared.servers.timings().ttl
    }

    fn set_timings(&self, timings: Timings) {
        let before = self.shared.servers.timings();
        self.shared.servers.set_timings(timings);
        if before.ttl != timings.ttl {
            self.shared.wake.notify_one();
        }
    }

    async fn close(&self) {
        lock(&self.tasks).abort_all();
    }
}
