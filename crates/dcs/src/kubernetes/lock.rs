//! The lock: taking, keeping and giving it back.
//!
//! Source: store contract, section 13 (lock). Every write carries the version of the object that
//! was judged; that nothing is reported as held which the server did not confirm is known here,
//! who may call what when is not.

use jiff::Timestamp;
use patroni_core::{Leader, MemberName};
use serde_json::Value;
use tokio::time::Instant;

use super::failure::Failure;
use super::judgement::Judgement;
use super::names::Part;
use super::object::{Object, Subset};
use super::options::Mode;
use super::record::Record;
use super::store::Kubernetes;
use super::subsets;
use super::write::Content;
use crate::error::StoreError;
use crate::retry::{Effort, SHORTEST_ATTEMPT};

const ACQUIRE: &str = "acquire leader lock";
const UPDATE: &str = "update leader lock";
const TAKE: &str = "take leader lock";
const DELETE: &str = "release leader lock";

/// Others write to the leader's object, too (the control tool, the control plane); who is
/// disturbed more often than this within one operation gives up.
const ROUNDS: usize = 3;

/// How a conditional write of the lock ended.
enum Written {
    Ours(Record),
    /// Something else is there now.
    Other(Option<Object>),
}

impl Kubernetes {
    pub(super) async fn acquire(&self) -> Result<(), StoreError> {
        let me = self.me(ACQUIRE)?;
        let taken = self.take_if_free(me, self.deadline()).await;
        if let Ok(Some(record)) = taken {
            self.holds(record);
            return Ok(());
        }
        tracing::info!("Could not take out TTL lock");
        Err(match taken {
            Ok(_) => StoreError::lost_race(ACQUIRE),
            Err(failure) => failure.into_error(ACQUIRE),
        })
    }

    /// Extends the lock. What is written over is what the cache has, which may be newer than the
    /// judged snapshot (a position of our own): as long as it is our own record nobody else can
    /// have held the lock meanwhile, and if it is not so any more, the write is refused.
    pub(super) async fn update(&self, judged: &Leader) -> Result<(), StoreError> {
        let me = self.me(UPDATE)?;
        if judged.name != *me {
            return Err(StoreError::lost_race(UPDATE));
        }
        let deadline = self.deadline();
        let mut present = self.shared.cache().part(Part::Leader).cloned();
        for _ in 0..ROUNDS {
            let Some(record) = self.kept(me, present.as_ref()) else {
                return Err(StoreError::lost_race(UPDATE));
            };
            let written = self.put_lock(present, record, deadline).await;
            match written.map_err(|failure| failure.into_error(UPDATE))? {
                Written::Ours(record) => {
                    self.holds(record);
                    return Ok(());
                }
                Written::Other(found) => {
                    let name = self.shared.names.name(Part::Leader);
                    tracing::warn!("Concurrent update of {name}");
                    present = found;
                }
            }
        }
        let why = "others keep changing the leader object";
        Err(StoreError::unreachable(UPDATE, why))
    }

    pub(super) async fn take(&self) -> Result<(), StoreError> {
        let me = self.me(TAKE)?;
        let deadline = self.deadline();
        let fail = |failure: Failure| failure.into_error(TAKE);
        let mut present = self.shared.cache().part(Part::Leader).cloned();
        for _ in 0..ROUNDS {
            let record = present.as_ref().map(Record::of);
            let record = Record::taken(record.as_ref(), me.as_str(), self.ttl(), Timestamp::now());
            let written = self.put_lock(present, record, deadline).await;
            match written.map_err(fail)? {
                Written::Ours(record) => {
                    self.holds(record);
                    return Ok(());
                }
                Written::Other(found) => present = found,
            }
        }
        Err(StoreError::lost_race(TAKE))
    }

    pub(super) async fn release(&self, judged: Option<&Leader>) -> Result<(), StoreError> {
        let me = self.me(DELETE)?;
        if judged.is_some_and(|leader| leader.name != *me) {
            return Err(StoreError::lost_race(DELETE));
        }
        let fail = |failure: Failure| failure.into_error(DELETE);
        let mut content = Content::one("leader", Value::Null);
        content.subsets = (self.options.mode == Mode::Endpoints).then(Vec::new);
        let mut present = self.shared.cache().part(Part::Leader).cloned();
        for _ in 0..ROUNDS {
            let Some(object) = present.filter(|object| Record::of(object).is_of(me.as_str()))
            else {
                return Err(StoreError::lost_race(DELETE));
            };
            let version = Some(object.metadata.resource_version.as_str());
            let patched = self
                .shared
                .patch(Part::Leader, &content, version, Effort::Once);
            match patched.await {
                Ok(_) => {
                    self.judge_anew();
                    return Ok(());
                }
                Err(Failure::Conflict(_)) => {}
                Err(failure) => return Err(fail(failure)),
            }
            let found = self.shared.get(Part::Leader, Effort::Once).await;
            present = found.map_err(fail)?;
        }
        Err(StoreError::lost_race(DELETE))
    }

    /// Takes the lock, if it was judged to be free by its present record; `None` when it was not,
    /// or somebody else was first. An object that was written since the judgement is fresher, as
    /// long as the record is the same.
    async fn take_if_free(
        &self,
        me: &MemberName,
        deadline: Instant,
    ) -> Result<Option<Record>, Failure> {
        if self.judgement() == Judgement::Open {
            self.look_anew(deadline).await?;
        }
        let Judgement::Free(judged) = self.judgement() else {
            return Ok(None);
        };
        let present = self.shared.cache().part(Part::Leader).cloned();
        let record = present.as_ref().map(Record::of);
        if record != judged {
            return Ok(None);
        }
        let record = Record::taken(judged.as_ref(), me.as_str(), self.ttl(), Timestamp::now());
        match self.put_lock(present, record, deadline).await? {
            Written::Ours(record) => Ok(Some(record)),
            Written::Other(_) => Ok(None),
        }
    }

    /// The record that keeps the lock, if it is ours, or was given up or removed with nobody
    /// else having had it since.
    fn kept(&self, me: &MemberName, present: Option<&Object>) -> Option<Record> {
        let (me, now) = (me.as_str(), Timestamp::now());
        let last = self.reign();
        let Some(present) = present.map(Record::of) else {
            return Some(match last {
                Some(last) => last.renewed(me, self.ttl(), now),
                None => Record::taken(None, me, self.ttl(), now),
            });
        };
        let ours = present.is_of(me) || last.is_some_and(|last| last.is_same_reign(&present));
        ours.then(|| Record::taken(Some(&present), me, self.ttl(), now))
    }

    /// Writes the lock over what is present, if that is still so. A conflict is looked into: an
    /// earlier attempt of ours may have been carried out without its answer reaching us.
    async fn put_lock(
        &self,
        present: Option<Object>,
        record: Record,
        deadline: Instant,
    ) -> Result<Written, Failure> {
        let effort = Effort::Until(deadline);
        let content = Content {
            annotations: record.annotations(),
            subsets: self.due_subsets(present.as_ref()),
        };
        let version = present
            .as_ref()
            .map(|one| one.metadata.resource_version.as_str());
        let written = match version {
            Some(_) => {
                self.shared
                    .patch(Part::Leader, &content, version, effort)
                    .await
            }
            None => self.shared.create(Part::Leader, &content, effort).await,
        };
        match written {
            Ok(_) => return Ok(Written::Ours(record)),
            Err(Failure::Conflict(_) | Failure::Absent(_)) => {}
            Err(other) => return Err(other),
        }
        if deadline.saturating_duration_since(Instant::now()) < SHORTEST_ATTEMPT {
            let why = "a conflict, and no time left to look into it";
            return Err(Failure::Node(why.to_owned()));
        }
        let found = self.shared.get(Part::Leader, effort).await;
        let found = found.inspect_err(|failure| {
            let name = self.shared.names.name(Part::Leader);
            tracing::error!("Failed to get the leader object \"{name}\": {failure}");
        })?;
        match found {
            Some(object) if content.is_in(&object) => {
                self.shared.wrote(super::cache::Side::Objects, object);
                Ok(Written::Ours(record))
            }
            Some(object) if version == Some(object.metadata.resource_version.as_str()) => {
                let why = "a conflict with the version that the object still has";
                Err(Failure::Nonsense(why.to_owned()))
            }
            other => Ok(Written::Other(other)),
        }
    }

    /// The addresses of the leader's Endpoints, when they have to be written.
    fn due_subsets(&self, present: Option<&Object>) -> Option<Vec<Subset>> {
        if self.options.mode != Mode::Endpoints {
            return None;
        }
        let me = self.shared.member.as_ref()?;
        let wanted = {
            let cache = self.shared.cache();
            let (ip, ports) = (&self.options.pod_ip, &self.options.ports);
            subsets::of_leader(
                ip,
                ports,
                &self.shared.names.namespace,
                cache.pod(me.as_str()),
            )?
        };
        let lead_there = present.is_some_and(|object| subsets::lead_to_same(object, &wanted));
        (!lead_there).then_some(wanted)
    }
}
