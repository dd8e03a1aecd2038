//! The store trait over the replicated keys.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use patroni_core::{
    Cluster, FailoverRequest, History, Leader, Member, MemberData, MemberName, Revision, Status,
    SyncState, SystemId, json,
};
use tokio::sync::Notify;

use super::access::Access;
use super::command::{Condition, Origin, Outcome, Write};
use super::error::RaftError;
use super::ident::{self, Address};
use super::input::NoAnswer;
use super::marks::Marks;
use super::membership;
use super::node::{self, Node};
use super::options::{Options, Tuning};
use super::remote::Remote;
use super::roster::{self, RaftMember};
use crate::codec::{self, Keys};
use crate::error::{StoreError, StoreErrorKind};
use crate::key::{KeySpace, Leaf};
use crate::known::{Known, StatusWrite};
use crate::store::{Identity, Store, Timings};

/// Writes that nobody waits for long (store contract, raft table).
const SHORT: Duration = Duration::from_secs(1);
/// The member's own object.
const TOUCH: Duration = Duration::from_secs(2);
/// Between two lines that say what we wait for.
const WAITING: Duration = Duration::from_secs(5);

/// The embedded store: this process is a member, or (as an observer) speaks to members.
///
/// Reads are confirmed by a majority every time: a member that is cut off gives no answer rather
/// than an old one. Writes return when they are committed.
pub struct RaftStore {
    access: Access,
    node: Mutex<Option<Node>>,
    identity: Identity,
    keys: KeySpace,
    client: u64,
    sequence: AtomicU64,
    memory: Mutex<Memory>,
    new_ttl: Notify,
}

/// What we know of earlier calls.
struct Memory {
    timings: Timings,
    marks: Marks,
    known: Known,
}

impl RaftStore {
    /// Starts a member, or an observer when there is no `self_addr`, and waits for a leader as
    /// long as it takes, saying `waiting on raft` now and then. Dropping the future stops the
    /// member again.
    ///
    /// # Errors
    /// `Denied` when the settings are incomplete, the directory is damaged or in use by another
    /// process, or the port is taken; the source is a [`RaftError`].
    pub async fn start(
        options: Options,
        identity: Identity,
        timings: Timings,
    ) -> Result<Self, StoreError> {
        if options.self_addr.is_none() {
            return RaftClient::connect(options, identity, timings).await;
        }
        let node = Node::start(&options, Tuning::default()).await?;
        loop {
            tokio::select! {
                ready = node.ready(WAITING) => {
                    if ready {
                        break;
                    }
                }
                error = node.failed() => return Err(error.into()),
            }
            tracing::info!("waiting on raft");
        }
        Ok(Self::over(node, identity, timings))
    }

    /// The store of a member that runs already; [`Store::close`] stops the member.
    pub fn over(node: Node, identity: Identity, timings: Timings) -> Self {
        let store = Self::beside(&node, identity, timings);
        *store.node.lock().unwrap_or_else(PoisonError::into_inner) = Some(node);
        store
    }

    /// One more store of a member that runs already, and that somebody else keeps running.
    pub fn beside(node: &Node, identity: Identity, timings: Timings) -> Self {
        let access = Access::Local(node.handle().clone(), node.key().cloned());
        Self::new(access, identity, timings)
    }

    fn new(access: Access, identity: Identity, timings: Timings) -> Self {
        let keys = KeySpace::new(&identity.base_path);
        Self {
            access,
            node: Mutex::default(),
            identity,
            keys,
            client: ident::random_id(),
            sequence: AtomicU64::new(0),
            memory: Mutex::new(Memory {
                timings,
                marks: Marks::default(),
                known: Known::default(),
            }),
            new_ttl: Notify::new(),
        }
    }

    /// All members of the group in the order of their addresses, each with what it says of
    /// itself. Takes some seconds when members do not answer.
    ///
    /// # Errors
    /// `Unreachable` when no member answers.
    pub async fn members(&self) -> Result<Vec<RaftMember>, StoreError> {
        let operation = "list raft members";
        let (known, key) = self.access.members();
        let asked = tokio::time::timeout(self.retry_timeout(), roster::ask(&known, key)).await;
        let members = asked.ok().flatten();
        members.ok_or_else(|| StoreError::unreachable(operation, "no raft member answers"))
    }

    /// Removes the member at `address` (`host:port`, as its partners write it) for good: it does
    /// not vote any more and comes back only with an empty directory. Asks whichever member
    /// answers; to remove one that is no member succeeds. When time is over the removal may
    /// still go on.
    ///
    /// # Errors
    /// `Denied` when the address is none, or the member is the only one that can lead;
    /// `Unreachable` when no majority of the members, the one to remove included, answers.
    pub async fn remove_member(&self, address: &str) -> Result<(), StoreError> {
        let operation = "remove raft member";
        let address = Address::parse(address)?;
        let (members, key) = self.access.members();
        let removal = membership::remove(&address, &members, key, self.retry_timeout());
        match removal.await.map_err(|error| silent(operation, error))? {
            None => Ok(()),
            Some(why) => Err(StoreError::new(operation, StoreErrorKind::Denied(why))),
        }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn me(&self, operation: &'static str) -> Result<&MemberName, StoreError> {
        let me = self.identity.member.as_ref();
        me.ok_or_else(|| StoreError::members_only(operation))
    }

    fn retry_timeout(&self) -> Duration {
        self.memory().timings.retry_timeout
    }

    fn ttl_ms(&self) -> u64 {
        u64::try_from(self.memory().timings.ttl.as_millis()).unwrap_or(u64::MAX)
    }

    /// One write under one origin, so that whatever repeats it on the way does no harm.
    async fn write(
        &self,
        operation: &'static str,
        write: Write,
        budget: Duration,
    ) -> Result<Outcome, StoreError> {
        let origin = Origin {
            client: self.client,
            sequence: self.sequence.fetch_add(1, Ordering::Relaxed) + 1,
        };
        let outcome = self.access.write(origin, write, budget).await;
        match outcome.map_err(|error| silent(operation, error))? {
            Outcome::TooLarge => Err(StoreError::new(
                operation,
                StoreErrorKind::Denied("the value is too large".to_owned()),
            )),
            Outcome::Forgotten => Err(StoreError::unreachable(operation, "the answer is lost")),
            outcome @ (Outcome::Done { .. } | Outcome::Refused { .. }) => Ok(outcome),
        }
    }

    /// A write whose refusal means that somebody else was first. Gives the new revision.
    async fn change(
        &self,
        operation: &'static str,
        write: Write,
        budget: Duration,
    ) -> Result<Revision, StoreError> {
        match self.write(operation, write, budget).await? {
            Outcome::Done { index } => Ok(Revision::new(index)),
            Outcome::Refused { .. } | Outcome::TooLarge | Outcome::Forgotten => {
                Err(StoreError::lost_race(operation))
            }
        }
    }

    /// A removal: a key that is not there was removed by somebody else, which is as good.
    async fn remove(
        &self,
        operation: &'static str,
        leaf: &Leaf,
        condition: Condition,
        budget: Duration,
    ) -> Result<(), StoreError> {
        let key = self.keys.key(leaf);
        match self
            .write(operation, Write::Delete { key, condition }, budget)
            .await?
        {
            Outcome::Refused { exists: true } => Err(StoreError::lost_race(operation)),
            Outcome::Done { .. }
            | Outcome::Refused { exists: false }
            | Outcome::TooLarge
            | Outcome::Forgotten => Ok(()),
        }
    }

    fn lock(&self, me: &MemberName, condition: Condition) -> Write {
        Write::Set {
            key: self.keys.key(&Leaf::Leader),
            value: me.to_string(),
            ttl_ms: Some(self.ttl_ms()),
            condition,
        }
    }

    fn set(&self, leaf: &Leaf, value: String, condition: Condition) -> Write {
        Write::set(self.keys.key(leaf), value, condition)
    }
}

#[async_trait]
impl Store for RaftStore {
    fn kind(&self) -> &'static str {
        "raft"
    }

    async fn load(&self) -> Result<Cluster, StoreError> {
        let base = &self.identity.base_path;
        let keys = self.access.read(base, self.retry_timeout()).await;
        let keys = keys.map_err(|error| silent("load cluster", error))?;
        let cluster = codec::cluster(&codec::objects(keys.below(&self.keys)));
        let mut memory = self.memory();
        memory.marks = Marks::of(keys.items(), base);
        memory.known.note(&cluster);
        Ok(cluster)
    }

    async fn keys(&self) -> Result<Keys, StoreError> {
        let base = &self.identity.base_path;
        let keys = self.access.read(base, self.retry_timeout()).await;
        let keys = keys.map_err(|error| silent("read the keys", error))?;
        Ok(keys.below(&self.keys))
    }

    async fn acquire_leader(&self) -> Result<(), StoreError> {
        let operation = "acquire leader lock";
        let lock = self.lock(self.me(operation)?, Condition::absent());
        let taken = self.change(operation, lock, self.retry_timeout()).await;
        if taken.as_ref().is_err_and(StoreError::is_lost_race) {
            tracing::info!("Could not take out TTL lock");
        }
        taken.map(drop)
    }

    async fn update_leader(&self, _judged: &Leader) -> Result<(), StoreError> {
        let operation = "update leader lock";
        let me = self.me(operation)?;
        let deadline = tokio::time::Instant::now() + self.retry_timeout();
        let left = || deadline.saturating_duration_since(tokio::time::Instant::now());
        let renewal = self.lock(me, Condition::value(me.as_str()));
        match self.write(operation, renewal, left()).await? {
            Outcome::Done { .. } => Ok(()),
            Outcome::Refused { exists: false } => {
                let lock = self.lock(me, Condition::absent());
                self.change(operation, lock, left()).await.map(drop)
            }
            Outcome::Refused { exists: true } | Outcome::TooLarge | Outcome::Forgotten => {
                Err(StoreError::lost_race(operation))
            }
        }
    }

    async fn take_leader(&self) -> Result<(), StoreError> {
        let operation = "take leader lock";
        let lock = self.lock(self.me(operation)?, Condition::none());
        self.change(operation, lock, self.retry_timeout()).await?;
        Ok(())
    }

    async fn delete_leader(&self, judged: Option<&Leader>) -> Result<(), StoreError> {
        let operation = "delete leader lock";
        let me = self.me(operation)?;
        if judged.is_some_and(|leader| leader.name != *me) {
            return Err(StoreError::lost_race(operation));
        }
        let condition = Condition::value(me.as_str());
        self.remove(operation, &Leaf::Leader, condition, SHORT)
            .await
    }

    async fn touch_member(
        &self,
        data: &MemberData,
        _judged: Option<&Member>,
    ) -> Result<(), StoreError> {
        let operation = "touch member";
        let me = self.me(operation)?;
        let write = Write::Set {
            key: self.keys.key(&Leaf::Member(me.clone())),
            value: data.to_json(),
            ttl_ms: Some(self.ttl_ms()),
            condition: Condition::none(),
        };
        self.change(operation, write, TOUCH).await?;
        Ok(())
    }

    async fn begin_initialize(&self) -> Result<(), StoreError> {
        let write = self.set(&Leaf::Initialize, String::new(), Condition::absent());
        let budget = self.retry_timeout();
        self.change("begin initialize", write, budget).await?;
        Ok(())
    }

    async fn set_system_id(&self, id: &SystemId) -> Result<(), StoreError> {
        let write = self.set(&Leaf::Initialize, id.to_string(), Condition::none());
        let budget = self.retry_timeout();
        self.change("write system identifier", write, budget)
            .await?;
        Ok(())
    }

    async fn cancel_initialize(&self) -> Result<(), StoreError> {
        let budget = self.retry_timeout();
        let leaf = Leaf::Initialize;
        self.remove("cancel initialize", &leaf, Condition::none(), budget)
            .await
    }

    async fn write_failover(
        &self,
        request: &FailoverRequest,
        judged: Option<&Revision>,
    ) -> Result<(), StoreError> {
        let operation = "write failover";
        let condition = at(operation, judged)?;
        let write = self.set(&Leaf::Failover, request.to_json(), condition);
        self.change(operation, write, self.retry_timeout()).await?;
        Ok(())
    }

    async fn write_config(
        &self,
        data: &serde_json::Map<String, serde_json::Value>,
        judged: Option<&Revision>,
    ) -> Result<(), StoreError> {
        let operation = "write config";
        let condition = at(operation, judged)?;
        let write = self.set(&Leaf::Config, json::compact(data), condition);
        self.change(operation, write, self.retry_timeout()).await?;
        Ok(())
    }

    async fn write_sync(
        &self,
        state: &SyncState,
        judged: Option<&Revision>,
    ) -> Result<Revision, StoreError> {
        let operation = "write sync";
        let condition = match judged {
            Some(_) => at(operation, judged)?,
            None => Condition::absent(),
        };
        let write = self.set(&Leaf::Sync, state.to_json(), condition);
        self.change(operation, write, self.retry_timeout()).await
    }

    async fn delete_sync(&self, judged: Option<&Revision>) -> Result<(), StoreError> {
        let operation = "delete sync";
        let condition = at(operation, judged)?;
        self.remove(operation, &Leaf::Sync, condition, self.retry_timeout())
            .await
    }

    /// No version that writes `optime/leader` can be in a cluster on this store.
    async fn write_status(&self, status: &Status) -> Result<(), StoreError> {
        let Some(StatusWrite { status, .. }) = self.memory().known.status_write(status) else {
            return Ok(());
        };
        let write = self.set(&Leaf::Status, status.to_json(), Condition::none());
        self.change("write status", write, SHORT).await?;
        self.memory().known.wrote_status(status);
        Ok(())
    }

    async fn write_history(&self, history: &History) -> Result<(), StoreError> {
        let write = self.set(&Leaf::History, history.to_json(), Condition::none());
        self.change("write history", write, self.retry_timeout())
            .await?;
        Ok(())
    }

    async fn write_failsafe(
        &self,
        members: &BTreeMap<MemberName, String>,
    ) -> Result<(), StoreError> {
        if !self.memory().known.failsafe_differs(members) {
            return Ok(());
        }
        let text = codec::failsafe_text(members);
        let write = self.set(&Leaf::Failsafe, text, Condition::none());
        self.change("write failsafe", write, SHORT).await?;
        self.memory().known.wrote_failsafe(members.clone());
        Ok(())
    }

    async fn delete_cluster(&self) -> Result<(), StoreError> {
        let key = self.identity.base_path.clone();
        let budget = self.retry_timeout();
        self.change("delete cluster", Write::DeleteTree { key }, budget)
            .await?;
        self.memory().known.clear();
        Ok(())
    }

    /// What [`Store::load`] gave last is what the caller has seen; whatever differs from it wakes.
    async fn watch(&self, _leader: Option<&Leader>, timeout: Duration) -> bool {
        let seen = self.memory().marks.clone();
        let me = self.identity.member.as_ref();
        let base = &self.identity.base_path;
        tokio::select! {
            changed = self.access.changed(base, &seen, me, timeout) => changed,
            () = self.new_ttl.notified() => true,
        }
    }

    /// Keys carry their ttl, so a new one takes effect with the next write: the lock's holder is
    /// woken to make it soon.
    fn ttl(&self) -> Duration {
        self.memory().timings.ttl
    }

    fn set_timings(&self, timings: Timings) {
        let mut memory = self.memory();
        if memory.timings.ttl != timings.ttl {
            self.new_ttl.notify_one();
        }
        memory.timings = timings;
    }

    async fn close(&self) {
        let node = self
            .node
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(node) = node {
            node.stop().await;
        }
    }
}

/// An observer: no member, no lock, no directory. The store it gives asks the members in
/// `partner_addrs`, whichever answers.
#[derive(Debug)]
pub struct RaftClient;

impl RaftClient {
    /// Makes the store of an observer (or of a control tool that finds a member's settings: then
    /// `self_addr` is one more address to ask). Nothing is sent before the first call.
    ///
    /// # Errors
    /// `Denied` when there is no address, or one that is not `host:port`.
    pub async fn connect(
        options: Options,
        identity: Identity,
        timings: Timings,
    ) -> Result<RaftStore, StoreError> {
        let own = options.self_addr.iter().cloned();
        let texts: Vec<String> = own.chain(options.partner_addrs.iter().cloned()).collect();
        let addresses: Vec<_> = node::addresses(&texts)?.into_iter().collect();
        if addresses.is_empty() {
            return Err(RaftError::Settings("neither self_addr nor partner_addrs is set").into());
        }
        let key = node::derive_key(&options).await?;
        let access = Access::Remote(Box::new(Remote::new(addresses, key)));
        Ok(RaftStore::new(access, identity, timings))
    }
}

fn silent(operation: &'static str, error: NoAnswer) -> StoreError {
    StoreError::unreachable(operation, error)
}

/// The condition that a judged revision makes. What is no number of ours was never written by
/// anybody, so the race is lost.
fn at(operation: &'static str, judged: Option<&Revision>) -> Result<Condition, StoreError> {
    let Some(revision) = judged else {
        return Ok(Condition::none());
    };
    let index = revision.as_str().parse();
    let index = index.map_err(|_| StoreError::lost_race(operation))?;
    Ok(Condition {
        index: Some(index),
        ..Condition::none()
    })
}
