//! The store itself: each operation of the trait in terms of keys and the session.

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

use super::agent::Agent;
use super::failure::Failure;
use super::follow::Follower;
use super::kv::{ABSENT, Condition, Freshness, Kv, Outcome, Step};
use super::options::Options;
use super::service::Service;
use super::session::Session;
use crate::codec::{self, Keys};
use crate::error::StoreError;
use crate::key::Leaf;
use crate::known::Remembered;
use crate::retry::Effort;
use crate::store::{Identity, Store, Timings};

/// A store in Consul, through an agent.
pub struct Consul {
    pub(super) kv: Arc<Kv>,
    pub(super) session: Session,
    member: Option<MemberName>,
    service: Option<Service>,
    known: Remembered,
    /// Something worth a cycle happened. Keeps one signal for whoever asks next.
    wake: Arc<Notify>,
    /// The following task of a member; ends with this value.
    tasks: Mutex<JoinSet<()>>,
}

impl Consul {
    /// Connects once: a member gets its session and begins to follow the lock; the control tool
    /// sends nothing yet. Ends within `retry_timeout`; how often to try again is the caller's
    /// policy.
    ///
    /// # Errors
    /// `Denied` for a URL that cannot be used. A token that the store refuses is `Unreachable`
    /// here: servers learn of new tokens one after the other, so waiting may help.
    pub async fn connect(
        options: Options,
        identity: Identity,
        timings: Timings,
    ) -> Result<Self, StoreError> {
        const OPERATION: &str = "connect to Consul";
        let fail = |failure: Failure| failure.into_error(OPERATION);
        let scope = identity.base_path.rsplit('/').next().unwrap_or_default();
        let agent = Agent::new(options, timings).map_err(fail)?;
        let name = identity.member.as_ref().map(MemberName::as_str);
        let session = Session::new(format!("{scope}-{}", name.unwrap_or_default()));
        let member = identity.member.as_ref();
        let service = member.map(|member| Service::new(scope, member));
        if let Some(service) = &service
            && agent.options.changeable.register_service
        {
            service.announce_name(scope);
        }
        let store = Self {
            kv: Arc::new(Kv::new(agent, &identity.base_path)),
            session,
            member: identity.member,
            service,
            known: Remembered::default(),
            wake: Arc::default(),
            tasks: Mutex::new(JoinSet::new()),
        };
        if let Some(member) = &store.member {
            let begun = timeout(timings.retry_timeout, store.begin(member.clone())).await;
            match begun {
                Ok(Ok(())) => {}
                Ok(Err(Failure::Denied(why))) => {
                    return Err(StoreError::unreachable(OPERATION, why));
                }
                Ok(Err(failure)) => return Err(fail(failure)),
                Err(_) => return Err(StoreError::unreachable(OPERATION, "no answer")),
            }
        }
        Ok(store)
    }

    async fn begin(&self, member: MemberName) -> Result<(), Failure> {
        let effort = Effort::Until(self.deadline());
        let agent = &self.kv.agent;
        let created = self.session.refresh(agent, self.throttled(), effort).await;
        created.inspect_err(|error| tracing::error!(%error, "session.create"))?;
        let (kv, wake) = (Arc::clone(&self.kv), Arc::clone(&self.wake));
        let follower = Follower::begin(kv, member, wake).await?;
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.spawn(follower.run());
        Ok(())
    }

    /// Where the budget of an operation that begins now ends.
    pub(super) fn deadline(&self) -> Instant {
        Instant::now() + self.kv.agent.timings().retry_timeout
    }

    /// The effort of an operation that begins now and is repeated.
    fn budget(&self) -> Effort {
        Effort::Until(self.deadline())
    }

    /// Our name; the control tool has none and must not write what belongs to members.
    pub(super) fn me(&self, operation: &'static str) -> Result<&MemberName, StoreError> {
        let me = self.member.as_ref();
        me.ok_or_else(|| StoreError::members_only(operation))
    }

    /// An unconditional write that is tried once.
    async fn overwrite(
        &self,
        operation: &'static str,
        leaf: Leaf,
        text: String,
    ) -> Result<(), StoreError> {
        self.compare_and_write(operation, leaf, &text, None).await
    }

    /// A write that is conditional if a revision is given, tried once.
    async fn compare_and_write(
        &self,
        operation: &'static str,
        leaf: Leaf,
        text: &str,
        judged: Option<&Revision>,
    ) -> Result<(), StoreError> {
        let condition = judged.map_or(Condition::None, |judged| {
            Condition::Unchanged(index(judged))
        });
        let written = self.kv.put(&leaf, text, condition, Effort::Once).await;
        won(operation, written)
    }

    /// Puts our member object under our session. A key that another session holds (that of an
    /// earlier life of this member, or from before a change of the ttl) is replaced in one
    /// transaction, so that nobody sees the cluster without the member.
    async fn put_member(
        &self,
        name: &MemberName,
        text: &str,
        session: &str,
    ) -> Result<(), Failure> {
        let leaf = Leaf::Member(name.clone());
        let condition = Condition::Acquire(session);
        if self.kv.put(&leaf, text, condition, Effort::Once).await? {
            return Ok(());
        }
        let lock = Step::Lock {
            value: text,
            session,
        };
        let steps = [Step::Delete, lock];
        match self.kv.transact(&leaf, &steps, Effort::Once).await? {
            Outcome::Done(_) => Ok(()),
            Outcome::Refused => Err(Failure::Rejected("the key cannot be replaced".to_owned())),
        }
    }
}

/// A revision of ours as Consul's index. What is no number compares as never written by anybody,
/// so the condition fails.
pub(super) fn index(revision: &Revision) -> u64 {
    revision.as_str().parse().unwrap_or(u64::MAX)
}

/// The result of a conditional write: `false` is a condition that does not hold.
fn won(operation: &'static str, written: Result<bool, Failure>) -> Result<(), StoreError> {
    match written {
        Ok(true) => Ok(()),
        Ok(false) => Err(StoreError::lost_race(operation)),
        Err(failure) => Err(failure.into_error(operation)),
    }
}

#[async_trait]
impl Store for Consul {
    fn kind(&self) -> &'static str {
        "consul"
    }

    async fn load(&self) -> Result<Cluster, StoreError> {
        let freshness = if self.member.is_some() {
            Freshness::Configured
        } else {
            Freshness::Consistent
        };
        let keys = self.kv.list(freshness, self.budget()).await;
        let keys = keys.map_err(|failure| failure.into_error("load the cluster"))?;
        let cluster = codec::cluster(&codec::objects(keys));
        self.known.note(&cluster);
        Ok(cluster)
    }

    async fn keys(&self) -> Result<Keys, StoreError> {
        let keys = self.kv.list(Freshness::Consistent, self.budget()).await;
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
        let name = self.me(OPERATION)?;
        let fail = |failure: Failure| failure.into_error(OPERATION);
        let refreshed = self.refreshed_session(self.throttled(), Effort::Once);
        let session = refreshed.await.map_err(fail)?;
        if let Some(service) = &self.service {
            let agent = &self.kv.agent;
            let ttl = self.session.ttl(agent);
            service.update(agent, data, &session, ttl).await;
        }
        if let Some(member) = judged
            && member.session.as_ref() == Some(&session)
            && member.data.same_as(data)
        {
            return Ok(());
        }
        match self.put_member(name, &data.to_json(), &session).await {
            Ok(()) => Ok(()),
            Err(Failure::SessionGone) => {
                self.session.lost(&session);
                tracing::error!("Our session disappeared from Consul, can not \"touch_member\"");
                Err(StoreError::lost_race(OPERATION))
            }
            Err(failure) => Err(fail(failure)),
        }
    }

    async fn begin_initialize(&self) -> Result<(), StoreError> {
        let absent = Condition::Unchanged(0);
        let created = self.kv.put(&Leaf::Initialize, "", absent, self.budget());
        won("begin initialize", created.await)
    }

    async fn set_system_id(&self, id: &SystemId) -> Result<(), StoreError> {
        let always = Condition::None;
        let written = self
            .kv
            .put(&Leaf::Initialize, id.as_str(), always, self.budget());
        won("write system identifier", written.await)
    }

    async fn cancel_initialize(&self) -> Result<(), StoreError> {
        let removed = self.kv.delete(&Leaf::Initialize, None, self.budget()).await;
        won("cancel initialize", removed)
    }

    async fn write_failover(
        &self,
        request: &FailoverRequest,
        judged: Option<&Revision>,
    ) -> Result<(), StoreError> {
        let text = request.to_json();
        self.compare_and_write("write failover", Leaf::Failover, &text, judged)
            .await
    }

    async fn write_config(
        &self,
        data: &serde_json::Map<String, serde_json::Value>,
        judged: Option<&Revision>,
    ) -> Result<(), StoreError> {
        let text = json::compact(data);
        self.compare_and_write("write config", Leaf::Config, &text, judged)
            .await
    }

    async fn write_sync(
        &self,
        state: &SyncState,
        judged: Option<&Revision>,
    ) -> Result<Revision, StoreError> {
        const OPERATION: &str = "write sync";
        let fail = |failure: Failure| failure.into_error(OPERATION);
        let text = state.to_json();
        let step = Step::SetUnchanged(&text, judged.map_or(ABSENT, index));
        let effort = self.budget();
        let outcome = self.kv.transact(&Leaf::Sync, &[step], effort).await;
        if let Outcome::Done(index) = outcome.map_err(fail)? {
            return Ok(Revision::new(index));
        }
        // A repeated write whose first answer was lost finds its own text. Nobody else writes
        // just this text: it names its writer.
        let found = self.kv.get(&Leaf::Sync, Freshness::Consistent, effort);
        match found.await.map_err(fail)? {
            Some(found) if found.value == text => Ok(Revision::new(found.index)),
            Some(_) | None => Err(StoreError::lost_race(OPERATION)),
        }
    }

    async fn delete_sync(&self, judged: Option<&Revision>) -> Result<(), StoreError> {
        let removed = self
            .kv
            .delete(&Leaf::Sync, judged.map(index), self.budget())
            .await;
        won("delete sync", removed)
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
        let removed = self.kv.delete_all(self.budget()).await;
        removed.map_err(|failure| failure.into_error("delete the cluster"))?;
        self.known.clear();
        Ok(())
    }

    async fn watch(&self, _leader: Option<&Leader>, wait: Duration) -> bool {
        self.session.clear_throttle();
        timeout(wait, self.wake.notified()).await.is_ok()
    }

    fn ttl(&self) -> Duration {
        self.kv.agent.timings().ttl
    }

    fn set_timings(&self, timings: Timings) {
        let before = self.kv.agent.timings();
        self.kv.agent.set_timings(timings);
        if before.ttl != timings.ttl {
            self.session.renounce();
            self.wake.notify_one();
        }
    }

    fn reconfigure(&self, dcs: &Dcs) {
        let Dcs::Consul(section) = dcs else {
            return;
        };
        let changeable = match Options::from_environment(section) {
            Ok(options) => options.changeable,
            Err(error) => {
                tracing::error!(%error, "the section consul was not taken over");
                return;
            }
        };
        let before = self.kv.agent.changeable();
        self.kv.agent.change(changeable.clone());
        if let Some(service) = &self.service
            && before != changeable
        {
            service.forget();
        }
    }

    async fn close(&self) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.abort_all();
    }
}
