//! A linearizable key-value server with leases, on a clock that somebody else turns.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use patroni_core::{Cluster, Moment};
use serde::{Deserialize, Serialize};

use super::discipline::Discipline;
use super::reading::Readings;
use crate::key::KeySpace;

/// The name of a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LeaseId(pub u64);

/// A stored value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The text.
    pub value: String,
    /// The revision of the last write.
    pub revision: u64,
    /// The lease with which it goes away.
    pub lease: Option<LeaseId>,
}

/// When a write is carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Condition {
    /// In any case.
    Always,
    /// If the key does not exist.
    Absent,
    /// If the key has this value.
    Value(String),
    /// If the key was last written at this revision.
    Revision(u64),
    /// If one of these holds.
    Any(Vec<Condition>),
}

/// What a client can ask for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// All entries whose keys begin so.
    List(String),
    /// Writes a key.
    Put {
        /// Which.
        key: String,
        /// The new text.
        value: String,
        /// The lease to hang it on.
        lease: Option<LeaseId>,
        /// Under which condition.
        condition: Condition,
    },
    /// Removes a key; removing nothing is a success.
    Delete {
        /// Which.
        key: String,
        /// Under which condition.
        condition: Condition,
    },
    /// Removes all keys that begin so.
    DeletePrefix(String),
    /// Makes a lease of this length.
    Grant(Duration),
    /// Makes a lease last for its length from now on.
    KeepAlive(LeaseId),
    /// Ends a lease, with the keys that hang on it.
    Revoke(LeaseId),
}

/// What the server says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// The entries of a list.
    Entries(BTreeMap<String, Entry>),
    /// Carried out, at this revision.
    Done(u64),
    /// The condition did not hold; this is what is there.
    Refused(Option<Entry>),
    /// The lease was made.
    Granted(LeaseId),
    /// There is no such lease.
    NoLease,
}

/// No answer came. The request may or may not have been carried out, or will be later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("no answer from the model")]
pub struct Silence;

/// What is wrong between one client and the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fault {
    /// Requests do not arrive.
    Unreachable,
    /// Requests are carried out, answers do not arrive.
    LostReply,
    /// Requests arrive that much later, when the client has given up long since.
    Delayed(Duration),
    /// Reads are answered; requests that change something do not arrive.
    LostWrites,
    /// Requests are answered at once, and arrive once more that much later.
    Repeated(Duration),
}

/// The server. It changes only by [`advance`](Model::advance) and [`call`](Model::call).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Model {
    #[serde(default)]
    discipline: Discipline,
    now: Moment,
    revision: u64,
    last_lease: u64,
    entries: BTreeMap<String, Entry>,
    leases: BTreeMap<LeaseId, Lease>,
    faults: BTreeMap<String, Fault>,
    underway: Vec<(Moment, Request)>,
    /// Keys that nobody may hang on a lease before these moments.
    #[serde(default)]
    withheld: BTreeMap<String, Moment>,
    /// When something happens by itself next.
    #[serde(default)]
    next: Option<Moment>,
    /// What the entries say, kept for all who read them.
    #[serde(skip)]
    readings: Readings,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Lease {
    length: Duration,
    /// `None` when it never ends by itself.
    ends: Option<Moment>,
}

impl Model {
    /// A server whose leases end in this manner.
    pub fn new(discipline: Discipline) -> Self {
        Self {
            discipline,
            ..Self::default()
        }
    }

    /// How its leases end.
    pub fn discipline(&self) -> Discipline {
        self.discipline
    }

    /// The server's time.
    pub fn now(&self) -> Moment {
        self.now
    }

    /// Counts the changes.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// An entry, seen from outside of the simulated world.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries.get(key)
    }

    /// The snapshot of one cluster, as a client reads it.
    ///
    /// # Errors
    /// [`Silence`] while a fault keeps the answer from the client.
    pub(super) fn read(
        &mut self,
        client: &str,
        now: Moment,
        keys: &KeySpace,
    ) -> Result<Arc<Cluster>, Silence> {
        self.advance(now);
        match self.fault(client) {
            None | Some(Fault::Repeated(_) | Fault::LostWrites) => {
                Ok(self.readings.of(keys, self.revision, &self.entries))
            }
            Some(Fault::Unreachable | Fault::LostReply | Fault::Delayed(_)) => Err(Silence),
        }
    }

    /// When something will happen by itself: a lease ends, or a delayed request arrives.
    pub fn next_event(&self) -> Option<Moment> {
        self.next
    }

    fn plan(&mut self) {
        let ends = self.leases.values().filter_map(|lease| lease.ends);
        self.next = ends.chain(self.underway.iter().map(|(at, _)| *at)).min();
    }

    /// The length of a lease.
    pub(super) fn lease_length(&self, id: LeaseId) -> Option<Duration> {
        self.leases.get(&id).map(|lease| lease.length)
    }

    /// Breaks (or with `None` mends) what is between a client and the server.
    pub fn set_fault(&mut self, client: &str, fault: Option<Fault>) {
        match fault {
            Some(fault) => {
                self.faults.insert(client.to_owned(), fault);
            }
            None => {
                self.faults.remove(client);
            }
        }
    }

    /// What is wrong between a client and the server.
    pub fn fault(&self, client: &str) -> Option<Fault> {
        self.faults.get(client).copied()
    }

    /// Another node of the store leads now: every lease gets its full length again.
    pub fn extend_leases(&mut self) {
        for (id, lease) in &mut self.leases {
            lease.ends = self.discipline.end(self.now, lease.length, id.0);
        }
        self.plan();
    }

    /// Turns the clock: leases end and delayed requests arrive, each at its time. A moment of
    /// the past changes nothing.
    pub fn advance(&mut self, now: Moment) {
        while let Some(at) = self.next_event().filter(|at| *at <= now) {
            self.now = self.now.max(at);
            let over = |lease: &Lease| lease.ends.is_some_and(|ends| ends <= at);
            let ended = self.leases.iter().find(|(_, lease)| over(lease));
            if let Some((&id, _)) = ended {
                self.withhold(id);
                self.end_lease(id);
            } else if let Some(index) = self.underway.iter().position(|(due, _)| *due <= at) {
                let (_, request) = self.underway.remove(index);
                self.apply(request);
            }
            self.plan();
        }
        self.now = self.now.max(now);
    }

    /// A request of a client at `now`.
    ///
    /// # Errors
    /// [`Silence`] while a fault is set for the client.
    pub fn call(&mut self, client: &str, now: Moment, request: Request) -> Result<Answer, Silence> {
        self.advance(now);
        match self.fault(client) {
            None => Ok(self.carried_out(request)),
            Some(Fault::LostWrites) if matches!(request, Request::List(_)) => {
                Ok(self.carried_out(request))
            }
            Some(Fault::Unreachable | Fault::LostWrites) => Err(Silence),
            Some(Fault::LostReply) => {
                self.carried_out(request);
                Err(Silence)
            }
            Some(Fault::Delayed(by)) => {
                self.later(by, request);
                Err(Silence)
            }
            Some(Fault::Repeated(by)) => {
                let answer = self.carried_out(request.clone());
                self.later(by, request);
                Ok(answer)
            }
        }
    }

    fn later(&mut self, by: Duration, request: Request) {
        if !matches!(request, Request::List(_)) {
            self.underway.push((self.now + by, request));
            self.plan();
        }
    }

    fn carried_out(&mut self, request: Request) -> Answer {
        let keeps_plan = matches!(
            request,
            Request::List(_) | Request::Put { .. } | Request::Delete { .. }
        );
        let answer = self.apply(request);
        if !keeps_plan {
            self.plan();
        }
        answer
    }

    fn apply(&mut self, request: Request) -> Answer {
        match request {
            Request::List(prefix) => {
                let range = self.entries.range(prefix.clone()..);
                let listed = range.take_while(|(key, _)| key.starts_with(&prefix));
                Answer::Entries(listed.map(|(k, e)| (k.clone(), e.clone())).collect())
            }
            Request::Put {
                key,
                value,
                lease,
                condition,
            } => self.put(key, value, lease, &condition),
            Request::Delete { key, condition } => {
                if !condition.holds(self.entries.get(&key)) {
                    return Answer::Refused(self.entries.get(&key).cloned());
                }
                let existed = self.entries.remove(&key).is_some();
                self.changed(existed)
            }
            Request::DeletePrefix(prefix) => {
                let before = self.entries.len();
                self.entries.retain(|key, _| !key.starts_with(&prefix));
                self.changed(self.entries.len() < before)
            }
            Request::Grant(length) => {
                self.last_lease += 1;
                let id = LeaseId(self.last_lease);
                let length = self.discipline.length(length);
                let ends = self.discipline.end(self.now, length, id.0);
                self.leases.insert(id, Lease { length, ends });
                Answer::Granted(id)
            }
            Request::KeepAlive(id) => {
                let now = self.now;
                match self.leases.get_mut(&id) {
                    Some(lease) => {
                        lease.ends = self.discipline.end(now, lease.length, id.0);
                        Answer::Done(self.revision)
                    }
                    None => Answer::NoLease,
                }
            }
            Request::Revoke(id) => {
                if !self.leases.contains_key(&id) {
                    return Answer::NoLease;
                }
                self.end_lease(id);
                Answer::Done(self.revision)
            }
        }
    }

    fn put(
        &mut self,
        key: String,
        value: String,
        lease: Option<LeaseId>,
        condition: &Condition,
    ) -> Answer {
        if lease.is_some_and(|id| !self.leases.contains_key(&id)) {
            return Answer::NoLease;
        }
        let present = self.entries.get(&key);
        let withheld =
            lease.is_some() && self.withheld.get(&key).is_some_and(|end| self.now < *end);
        if withheld || !condition.holds(present) {
            return Answer::Refused(present.cloned());
        }
        self.revision += 1;
        let entry = Entry {
            value,
            revision: self.revision,
            lease,
        };
        self.entries.insert(key, entry);
        Answer::Done(self.revision)
    }

    fn changed(&mut self, anything: bool) -> Answer {
        self.revision += u64::from(anything);
        Answer::Done(self.revision)
    }

    /// A lease ends without its holder's doing: what the discipline keeps from others for a while.
    fn withhold(&mut self, id: LeaseId) {
        let Discipline::Session { lock_delay } = self.discipline else {
            return;
        };
        let held = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.lease == Some(id));
        for (key, _) in held {
            self.withheld.insert(key.clone(), self.now + lock_delay);
        }
    }

    fn end_lease(&mut self, id: LeaseId) {
        self.leases.remove(&id);
        let before = self.entries.len();
        self.entries.retain(|_, entry| entry.lease != Some(id));
        self.revision += u64::from(self.entries.len() < before);
    }
}

impl Condition {
    fn holds(&self, entry: Option<&Entry>) -> bool {
        match self {
            Self::Always => true,
            Self::Absent => entry.is_none(),
            Self::Value(value) => entry.is_some_and(|entry| entry.value == *value),
            Self::Revision(revision) => entry.is_some_and(|entry| entry.revision == *revision),
            Self::Any(conditions) => conditions.iter().any(|condition| condition.holds(entry)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(secs: u64) -> Moment {
        Moment::new(Duration::from_secs(secs))
    }

    fn put(key: &str, lease: Option<LeaseId>, condition: Condition) -> Request {
        Request::Put {
            key: key.to_owned(),
            value: "v".to_owned(),
            lease,
            condition,
        }
    }

    fn granted(model: &mut Model, secs: u64) -> LeaseId {
        let request = Request::Grant(Duration::from_secs(secs));
        match model.call("a", model.now(), request) {
            Ok(Answer::Granted(id)) => id,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn keys_end_with_their_lease() {
        let mut model = Model::default();
        let lease = granted(&mut model, 10);
        model
            .call("a", at(1), put("k", Some(lease), Condition::Absent))
            .unwrap();
        model.call("a", at(5), Request::KeepAlive(lease)).unwrap();
        model.advance(at(14));
        assert!(model.entry("k").is_some());
        model.advance(at(15));
        assert!(model.entry("k").is_none());
        let again = model.call("a", at(15), Request::KeepAlive(lease));
        assert_eq!(again, Ok(Answer::NoLease));
    }

    #[test]
    fn a_delayed_write_lands_between_other_events() {
        let mut model = Model::default();
        let lease = granted(&mut model, 10);
        model
            .call("a", at(0), put("k", Some(lease), Condition::Always))
            .unwrap();
        model.set_fault("b", Some(Fault::Delayed(Duration::from_secs(9))));
        assert_eq!(
            model.call("b", at(0), put("k", None, Condition::Absent)),
            Err(Silence)
        );
        assert_eq!(
            model.call("b", at(2), put("k", None, Condition::Absent)),
            Err(Silence)
        );
        model.advance(at(10));
        assert!(
            model.entry("k").is_none(),
            "the first one came too early, the second is due"
        );
        model.advance(at(11));
        assert_eq!(model.entry("k").unwrap().lease, None);
    }

    #[test]
    fn a_lost_reply_leaves_the_write_in_place() {
        let mut model = Model::default();
        model.set_fault("a", Some(Fault::LostReply));
        assert_eq!(
            model.call("a", at(0), put("k", None, Condition::Absent)),
            Err(Silence)
        );
        model.set_fault("a", Some(Fault::Unreachable));
        assert_eq!(
            model.call("a", at(0), put("l", None, Condition::Absent)),
            Err(Silence)
        );
        assert!(model.entry("k").is_some() && model.entry("l").is_none());
    }
}
