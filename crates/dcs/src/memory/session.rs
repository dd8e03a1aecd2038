//! One client of the [`Model`]: the operations of a store, without waiting.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use patroni_core::{
    Cluster, FailoverRequest, History, Leader, Member, MemberData, MemberName, Moment, Revision,
    Status, SyncState, SystemId, json,
};
use serde::{Deserialize, Serialize};

use super::discipline::Discipline;
use super::model::{Answer, Condition, Entry, LeaseId, Model, Request};
use super::reading::stored;
use crate::codec::{self, Keys};
use crate::error::{StoreError, StoreErrorKind};
use crate::key::{KeySpace, Leaf};
use crate::known::Known;
use crate::store::Identity;
use crate::wake::Change;

/// What one process knows and holds. Every operation takes the model it speaks to and the time;
/// each is one or two requests at that very moment, which fail as the model's faults say.
///
/// Guarantees and errors are those of [`Store`](crate::Store).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    keys: KeySpace,
    member: Option<MemberName>,
    client: String,
    ttl: Duration,
    lease: Option<LeaseId>,
    known: Known,
    /// The keys whose changes may wake.
    watched: [(Leaf, String); 4],
    seen: BTreeMap<Leaf, String>,
    /// The model's revision at the last look for changes.
    #[serde(default)]
    looked_at: u64,
    woken: bool,
    /// A lease of another length, to be ended where leases are sessions.
    #[serde(default)]
    outgrown: Option<LeaseId>,
    /// The client's own clock, where clients judge the lock, and when it saw the record change.
    #[serde(default)]
    clock: Option<Moment>,
    #[serde(default)]
    record: Option<(u64, Moment)>,
}

type Done = Result<(), StoreError>;

#[expect(
    clippy::missing_errors_doc,
    reason = "the errors are those of the trait's methods, which each one refers to"
)]
impl Session {
    /// A client; faults are set for its member name (`ctl` for the control tool).
    pub fn new(identity: &Identity, ttl: Duration) -> Self {
        let client = identity.member.as_ref().map_or("ctl", MemberName::as_str);
        let keys = KeySpace::new(&identity.base_path);
        let watched = [Leaf::Leader, Leaf::Config, Leaf::Status, Leaf::OptimeLeader];
        Self {
            watched: watched.map(|leaf| (leaf.clone(), keys.key(&leaf))),
            keys,
            client: client.to_owned(),
            member: identity.member.clone(),
            ttl,
            lease: None,
            known: Known::default(),
            seen: BTreeMap::new(),
            looked_at: 0,
            woken: false,
            outgrown: None,
            clock: None,
            record: None,
        }
    }

    /// The lease that lock and member key hang on.
    pub fn lease(&self) -> Option<LeaseId> {
        self.lease
    }

    /// The life of what is taken or extended now.
    pub const fn ttl(&self) -> Duration {
        self.ttl
    }

    /// A new ttl: the next operation makes a new lease, the old one ends by itself.
    pub fn set_ttl(&mut self, ttl: Duration) {
        if self.ttl != ttl {
            self.ttl = ttl;
            self.outgrown = self.lease.take();
            self.woken = true;
        }
    }

    /// What the client's own clock shows. Only where clients judge the lock
    /// ([`Discipline::Judged`]) it matters; without it they have the model's time.
    pub fn set_clock(&mut self, shows: Moment) {
        self.clock = Some(shows);
    }

    /// See [`Store::load`](crate::Store::load).
    pub fn load(&mut self, model: &mut Model, now: Moment) -> Result<Arc<Cluster>, StoreError> {
        let read = model.read(&self.client, now, &self.keys);
        let mut cluster =
            read.map_err(|silence| StoreError::unreachable("load the cluster", silence))?;
        self.looked_at = model.revision();
        if self.sees_news(model) {
            self.seen = self.present(model);
        }
        if model.discipline() == Discipline::Judged && self.judges_dead(model) {
            Arc::make_mut(&mut cluster).leader = None;
        }
        self.known.note(&cluster);
        Ok(cluster)
    }

    /// All keys as they are stored.
    ///
    /// # Errors
    /// As the model's faults say.
    pub fn keys(&self, model: &mut Model, now: Moment) -> Result<Keys, StoreError> {
        let entries = self.list("read the keys", model, now)?.into_iter();
        let named = entries
            .filter_map(|(key, entry)| Some((self.keys.relative(&key)?.to_owned(), stored(entry))));
        Ok(named.collect())
    }

    fn list(
        &self,
        operation: &'static str,
        model: &mut Model,
        now: Moment,
    ) -> Result<BTreeMap<String, Entry>, StoreError> {
        let request = Request::List(self.keys.prefix().to_owned());
        let Answer::Entries(entries) = self.call(operation, model, now, request)? else {
            return Err(nonsense(operation));
        };
        Ok(entries)
    }

    /// Whether the lock is to be taken for free: its record has not changed for the ttl that it
    /// names.
    fn judges_dead(&mut self, model: &Model) -> bool {
        let clock = self.clock.unwrap_or(model.now());
        let record = self.keys.key(&Leaf::Leader);
        let Some(entry) = model.entry(&record) else {
            self.record = None;
            return false;
        };
        let since = match self.record {
            Some((revision, since)) if revision == entry.revision => since,
            Some(_) | None => {
                self.record = Some((entry.revision, clock));
                clock
            }
        };
        let ttl = entry.lease.and_then(|id| model.lease_length(id));
        clock.since(since) >= ttl.unwrap_or(self.ttl)
    }

    /// Whether something worth a cycle has happened since the last load or the last call.
    /// A client that cannot reach the model sees nothing.
    pub fn wakes(&mut self, model: &Model) -> bool {
        if std::mem::take(&mut self.woken) {
            return true;
        }
        if self.looked_at == model.revision() || model.fault(&self.client).is_some() {
            return false;
        }
        self.looked_at = model.revision();
        if !self.sees_news(model) {
            return false;
        }
        let present = self.present(model);
        let before = std::mem::replace(&mut self.seen, present);
        let leader = self.seen.get(&Leaf::Leader).map(String::as_str);
        self.watched.iter().any(|(leaf, _)| {
            let change = Change {
                old: before.get(leaf).cloned(),
                new: self.seen.get(leaf).cloned(),
                leaf: leaf.clone(),
            };
            change.wakes(self.member.as_ref(), leader)
        })
    }

    /// Whether a watched key has another value than it was seen with.
    fn sees_news(&self, model: &Model) -> bool {
        self.watched.iter().any(|(leaf, key)| {
            let present = model.entry(key).map(|entry| &entry.value);
            present != self.seen.get(leaf)
        })
    }

    /// The values of the watched keys.
    fn present(&self, model: &Model) -> BTreeMap<Leaf, String> {
        let present = |(leaf, key): &(Leaf, String)| {
            let value = model.entry(key)?.value.clone();
            Some((leaf.clone(), value))
        };
        self.watched.iter().filter_map(present).collect()
    }

    /// See [`Store::acquire_leader`](crate::Store::acquire_leader).
    pub fn acquire_leader(&mut self, model: &mut Model, now: Moment) -> Done {
        const OPERATION: &str = "acquire leader lock";
        // A record that was judged to be dead is replaced, if nobody has touched it since.
        let judged = self.record.filter(|_| self.last_leader_is_dead(model));
        let dead = judged.map(|(revision, _)| Condition::Revision(revision));
        let condition = Condition::Any(dead.into_iter().chain([Condition::Absent]).collect());
        self.put_lock(OPERATION, model, now, condition)
    }

    /// See [`Store::update_leader`](crate::Store::update_leader).
    pub fn update_leader(&mut self, model: &mut Model, now: Moment, judged: &Leader) -> Done {
        const OPERATION: &str = "update leader lock";
        let me = self.me(OPERATION)?;
        if judged.name != me {
            return Err(StoreError::lost_race(OPERATION));
        }
        let ours = Condition::Value(me.as_str().to_owned());
        if model.discipline() == Discipline::Judged {
            return self.put_lock(OPERATION, model, now, ours);
        }
        let condition = Condition::Any(vec![ours, Condition::Absent]);
        let lease = self.refreshed_lease(OPERATION, model, now)?;
        let key = self.keys.key(&Leaf::Leader);
        let request = Request::List(key.clone());
        let Answer::Entries(present) = self.call(OPERATION, model, now, request)? else {
            return Err(nonsense(OPERATION));
        };
        let hangs = |entry: &Entry| entry.lease == Some(lease) && entry.value == me.as_str();
        if present.get(&key).is_some_and(hangs) {
            return Ok(());
        }
        self.put_lock(OPERATION, model, now, condition)
    }

    /// See [`Store::take_leader`](crate::Store::take_leader).
    pub fn take_leader(&mut self, model: &mut Model, now: Moment) -> Done {
        self.put_lock("take leader lock", model, now, Condition::Always)
    }

    fn put_lock(
        &mut self,
        operation: &'static str,
        model: &mut Model,
        now: Moment,
        condition: Condition,
    ) -> Done {
        let name = self.me(operation)?.as_str().to_owned();
        let lease = self.refreshed_lease(operation, model, now)?;
        let request = Request::Put {
            key: self.keys.key(&Leaf::Leader),
            value: name.clone(),
            lease: Some(lease),
            condition,
        };
        match self.call(operation, model, now, request)? {
            Answer::Done(_) => {
                self.seen.insert(Leaf::Leader, name);
                Ok(())
            }
            // An earlier attempt whose answer was lost has put it: nobody else has our lease.
            Answer::Refused(Some(found))
                if found.lease == Some(lease) && model.discipline() != Discipline::Judged =>
            {
                Ok(())
            }
            Answer::Refused(_) => Err(StoreError::lost_race(operation)),
            Answer::Entries(_) | Answer::Granted(_) | Answer::NoLease => Err(nonsense(operation)),
        }
    }

    /// See [`Store::delete_leader`](crate::Store::delete_leader).
    pub fn delete_leader(
        &mut self,
        model: &mut Model,
        now: Moment,
        judged: Option<&Leader>,
    ) -> Done {
        const OPERATION: &str = "release leader lock";
        let me = self.me(OPERATION)?;
        if judged.is_some_and(|leader| leader.name != me) {
            return Err(StoreError::lost_race(OPERATION));
        }
        let request = Request::Delete {
            key: self.keys.key(&Leaf::Leader),
            condition: Condition::Value(me.as_str().to_owned()),
        };
        self.change(OPERATION, model, now, request)?;
        self.seen.remove(&Leaf::Leader);
        if let (Discipline::Ephemeral { .. }, Some(id)) = (model.discipline(), self.lease.take()) {
            self.call(OPERATION, model, now, Request::Revoke(id))?;
        }
        Ok(())
    }

    /// See [`Store::touch_member`](crate::Store::touch_member).
    pub fn touch_member(
        &mut self,
        model: &mut Model,
        now: Moment,
        data: &MemberData,
        judged: Option<&Member>,
    ) -> Done {
        const OPERATION: &str = "write member";
        let me = self.me(OPERATION)?;
        let lease = self.refreshed_lease(OPERATION, model, now)?;
        let session = lease.0.to_string();
        let unchanged = |member: &Member| {
            member.session.as_ref() == Some(&session) && member.data.same_as(data)
        };
        if judged.is_some_and(unchanged) {
            return Ok(());
        }
        let request = Request::Put {
            key: self.keys.key(&Leaf::Member(me)),
            value: data.to_json(),
            lease: Some(lease),
            condition: Condition::Always,
        };
        self.change(OPERATION, model, now, request).map(|_| ())
    }

    /// See [`Store::begin_initialize`](crate::Store::begin_initialize).
    pub fn begin_initialize(&mut self, model: &mut Model, now: Moment) -> Done {
        let condition = Condition::Absent;
        self.put(
            "begin initialize",
            model,
            now,
            Leaf::Initialize,
            String::new(),
            condition,
        )
        .map(|_| ())
    }

    /// See [`Store::set_system_id`](crate::Store::set_system_id).
    pub fn set_system_id(&mut self, model: &mut Model, now: Moment, id: &SystemId) -> Done {
        let text = id.as_str().to_owned();
        let condition = Condition::Always;
        self.put(
            "write system identifier",
            model,
            now,
            Leaf::Initialize,
            text,
            condition,
        )
        .map(|_| ())
    }

    /// See [`Store::cancel_initialize`](crate::Store::cancel_initialize).
    pub fn cancel_initialize(&mut self, model: &mut Model, now: Moment) -> Done {
        let request = Request::Delete {
            key: self.keys.key(&Leaf::Initialize),
            condition: Condition::Always,
        };
        self.change("cancel initialize", model, now, request)
            .map(|_| ())
    }

    /// See [`Store::write_failover`](crate::Store::write_failover).
    pub fn write_failover(
        &mut self,
        model: &mut Model,
        now: Moment,
        request: &FailoverRequest,
        judged: Option<&Revision>,
    ) -> Done {
        let (text, condition) = (request.to_json(), unchanged(judged));
        self.put(
            "write failover",
            model,
            now,
            Leaf::Failover,
            text,
            condition,
        )
        .map(|_| ())
    }

    /// See [`Store::write_config`](crate::Store::write_config).
    pub fn write_config(
        &mut self,
        model: &mut Model,
        now: Moment,
        data: &serde_json::Map<String, serde_json::Value>,
        judged: Option<&Revision>,
    ) -> Done {
        let (text, condition) = (json::compact(data), unchanged(judged));
        self.put("write config", model, now, Leaf::Config, text, condition)
            .map(|_| ())
    }

    /// See [`Store::write_sync`](crate::Store::write_sync).
    pub fn write_sync(
        &mut self,
        model: &mut Model,
        now: Moment,
        state: &SyncState,
        judged: Option<&Revision>,
    ) -> Result<Revision, StoreError> {
        let condition = judged.map_or(Condition::Absent, |_| unchanged(judged));
        let text = state.to_json();
        self.put("write sync", model, now, Leaf::Sync, text, condition)
    }

    /// See [`Store::delete_sync`](crate::Store::delete_sync).
    pub fn delete_sync(
        &mut self,
        model: &mut Model,
        now: Moment,
        judged: Option<&Revision>,
    ) -> Done {
        let mut condition = unchanged(judged);
        if judged.is_some() {
            condition = Condition::Any(vec![condition, Condition::Absent]);
        }
        let key = self.keys.key(&Leaf::Sync);
        let request = Request::Delete { key, condition };
        self.change("delete sync", model, now, request).map(|_| ())
    }

    /// See [`Store::write_status`](crate::Store::write_status).
    pub fn write_status(&mut self, model: &mut Model, now: Moment, status: &Status) -> Done {
        const OPERATION: &str = "write status";
        let Some(due) = self.known.status_write(status) else {
            return Ok(());
        };
        let text = due.status.to_json();
        self.put(OPERATION, model, now, Leaf::Status, text, Condition::Always)?;
        self.known.wrote_status(due.status);
        if let Some(optime) = due.optime {
            self.put(
                OPERATION,
                model,
                now,
                Leaf::OptimeLeader,
                optime.clone(),
                Condition::Always,
            )?;
            self.known.wrote_optime(optime);
        }
        Ok(())
    }

    /// See [`Store::write_history`](crate::Store::write_history).
    pub fn write_history(&mut self, model: &mut Model, now: Moment, history: &History) -> Done {
        let (text, condition) = (history.to_json(), Condition::Always);
        self.put("write history", model, now, Leaf::History, text, condition)
            .map(|_| ())
    }

    /// See [`Store::write_failsafe`](crate::Store::write_failsafe).
    pub fn write_failsafe(
        &mut self,
        model: &mut Model,
        now: Moment,
        members: &BTreeMap<MemberName, String>,
    ) -> Done {
        if !self.known.failsafe_differs(members) {
            return Ok(());
        }
        let (text, condition) = (codec::failsafe_text(members), Condition::Always);
        self.put(
            "write failsafe",
            model,
            now,
            Leaf::Failsafe,
            text,
            condition,
        )?;
        self.known.wrote_failsafe(members.clone());
        Ok(())
    }

    /// See [`Store::delete_cluster`](crate::Store::delete_cluster).
    pub fn delete_cluster(&mut self, model: &mut Model, now: Moment) -> Done {
        let request = Request::DeletePrefix(self.keys.prefix().to_owned());
        self.change("delete the cluster", model, now, request)?;
        self.known.clear();
        Ok(())
    }

    /// The lock that the last load did not show is there, and was judged to be dead.
    fn last_leader_is_dead(&self, model: &Model) -> bool {
        let clock = self.clock.unwrap_or(model.now());
        let ttl = model.entry(&self.keys.key(&Leaf::Leader));
        let ttl = ttl
            .and_then(|entry| entry.lease)
            .and_then(|id| model.lease_length(id));
        let over = |(_, since): (u64, Moment)| clock.since(since) >= ttl.unwrap_or(self.ttl);
        model.discipline() == Discipline::Judged && self.record.is_some_and(over)
    }

    fn me(&self, operation: &'static str) -> Result<MemberName, StoreError> {
        let me = self.member.clone();
        me.ok_or_else(|| StoreError::members_only(operation))
    }

    /// The lease, kept alive now; a new one if it is gone.
    fn refreshed_lease(
        &mut self,
        operation: &'static str,
        model: &mut Model,
        now: Moment,
    ) -> Result<LeaseId, StoreError> {
        if let Some(id) = self.outgrown.take()
            && matches!(model.discipline(), Discipline::Ephemeral { .. })
        {
            self.call(operation, model, now, Request::Revoke(id))?;
        }
        if let Some(id) = self.lease {
            match self.call(operation, model, now, Request::KeepAlive(id))? {
                Answer::Done(_) => return Ok(id),
                Answer::NoLease => self.lease = None,
                Answer::Entries(_) | Answer::Refused(_) | Answer::Granted(_) => {
                    return Err(nonsense(operation));
                }
            }
        }
        let Answer::Granted(id) = self.call(operation, model, now, Request::Grant(self.ttl))?
        else {
            return Err(nonsense(operation));
        };
        self.lease = Some(id);
        Ok(id)
    }

    fn put(
        &mut self,
        operation: &'static str,
        model: &mut Model,
        now: Moment,
        leaf: Leaf,
        value: String,
        condition: Condition,
    ) -> Result<Revision, StoreError> {
        let request = Request::Put {
            key: self.keys.key(&leaf),
            value: value.clone(),
            lease: None,
            condition,
        };
        let revision = self.change(operation, model, now, request)?;
        if self.seen.contains_key(&leaf) || leaf == Leaf::Config {
            self.seen.insert(leaf, value);
        }
        Ok(Revision::new(revision))
    }

    fn change(
        &self,
        operation: &'static str,
        model: &mut Model,
        now: Moment,
        request: Request,
    ) -> Result<u64, StoreError> {
        match self.call(operation, model, now, request)? {
            Answer::Done(revision) => Ok(revision),
            Answer::Refused(_) => Err(StoreError::lost_race(operation)),
            Answer::NoLease | Answer::Entries(_) | Answer::Granted(_) => Err(nonsense(operation)),
        }
    }

    fn call(
        &self,
        operation: &'static str,
        model: &mut Model,
        now: Moment,
        request: Request,
    ) -> Result<Answer, StoreError> {
        model
            .call(&self.client, now, request)
            .map_err(|silence| StoreError::unreachable(operation, silence))
    }
}

fn unchanged(judged: Option<&Revision>) -> Condition {
    match judged {
        // What is no number was never written by anybody.
        Some(revision) => Condition::Revision(revision.as_str().parse().unwrap_or(u64::MAX)),
        None => Condition::Always,
    }
}

fn nonsense(operation: &'static str) -> StoreError {
    let why = "the model gave an answer to another question".to_owned();
    StoreError::new(operation, StoreErrorKind::Nonsense(why))
}
