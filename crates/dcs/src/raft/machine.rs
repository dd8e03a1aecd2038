//! The replicated state: keys and values, members, and who asked what.
//!
//! Plain and deterministic: the same log gives the same state on every member. There is no clock
//! in it. A key with a time to live carries only the length of it; the leader watches the time
//! (see [`super::lease`]) and, when it is over, proposes to remove the key *as it was set by entry
//! N*. A key that was set again meanwhile has another index, so the late proposal does nothing.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::command::{Command, Condition, Origin, Outcome, Write};
use super::ident::Address;

/// Longest key.
const MAX_KEY: usize = 1 << 10;
/// Longest value.
pub(crate) const MAX_VALUE: usize = 1 << 20;
/// Most bytes of keys and values.
const MAX_TOTAL: usize = 32 << 20;
/// Answers remembered per client. A client has a few requests under way, not this many.
const ANSWERS: usize = 32;
/// Clients remembered; the one that has been silent for longest is forgotten first.
const CLIENTS: usize = 256;
/// Numbers of former members that are remembered, to tell them that they were removed.
const REMOVED: usize = 256;

/// The state after the entry `applied`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Machine {
    /// The last entry that was carried out.
    pub(crate) applied: u64,
    /// The cluster, 0 before the first leader named it.
    pub(crate) cluster: u64,
    /// All keys.
    pub(crate) items: BTreeMap<String, Item>,
    /// Voters and learners.
    pub(crate) members: BTreeMap<u64, Address>,
    /// Former members.
    removed: VecDeque<u64>,
    clients: BTreeMap<u64, Client>,
}

/// One key's content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Item {
    /// The value.
    pub(crate) value: String,
    /// The entry that set it last.
    pub(crate) index: u64,
    /// How long it lives.
    pub(crate) ttl_ms: Option<u64>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Client {
    /// The entry of its last request.
    last: u64,
    /// Answers up to this request are forgotten.
    forgotten: u64,
    answers: BTreeMap<u64, Outcome>,
}

impl Machine {
    /// The state that all founders begin with.
    pub(crate) fn founded(members: BTreeMap<u64, Address>) -> Self {
        Self {
            applied: 1,
            members,
            ..Self::default()
        }
    }

    /// Reads a snapshot.
    pub(crate) fn from_snapshot(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }

    /// Writes a snapshot.
    pub(crate) fn to_snapshot(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("plain data, written to memory")
    }

    /// Carries out the command of entry `index`.
    pub(crate) fn apply(&mut self, index: u64, command: Command) -> Outcome {
        self.applied = index;
        match command {
            Command::Found { cluster } => {
                if self.cluster == 0 {
                    self.cluster = cluster;
                }
                Outcome::Done { index }
            }
            Command::Write { origin, write } => self.write_once(index, origin, write),
            Command::Expire { keys } => {
                for (key, set_by) in keys {
                    if self.items.get(&key).is_some_and(|i| i.index == set_by) {
                        self.items.remove(&key);
                    }
                }
                Outcome::Done { index }
            }
        }
    }

    /// An entry without a command: elections and membership.
    pub(crate) fn apply_nothing(&mut self, index: u64) {
        self.applied = index;
    }

    /// A member came, or moved from learner to voter.
    pub(crate) fn add_member(&mut self, id: u64, address: Address) {
        self.removed.retain(|gone| *gone != id);
        self.members.insert(id, address);
    }

    /// A member went.
    pub(crate) fn remove_member(&mut self, id: u64) {
        if self.members.remove(&id).is_some() {
            self.removed.push_back(id);
            if self.removed.len() > REMOVED {
                self.removed.pop_front();
            }
        }
    }

    /// Whether this number was a member once and is not any more.
    pub(crate) fn is_removed(&self, id: u64) -> bool {
        self.removed.contains(&id)
    }

    fn write_once(&mut self, index: u64, origin: Origin, write: Write) -> Outcome {
        let client = self.clients.entry(origin.client).or_default();
        client.last = index;
        if let Some(answer) = client.answers.get(&origin.sequence) {
            return *answer;
        }
        if origin.sequence <= client.forgotten {
            return Outcome::Forgotten;
        }
        let outcome = self.write(index, write);
        let client = self.clients.entry(origin.client).or_default();
        client.answers.insert(origin.sequence, outcome);
        if client.answers.len() > ANSWERS
            && let Some((sequence, _)) = client.answers.pop_first()
        {
            client.forgotten = sequence;
        }
        if self.clients.len() > CLIENTS {
            let silent = self.clients.iter().min_by_key(|(_, client)| client.last);
            if let Some(id) = silent.map(|(id, _)| *id) {
                self.clients.remove(&id);
            }
        }
        outcome
    }

    fn write(&mut self, index: u64, write: Write) -> Outcome {
        match write {
            Write::Set {
                key,
                value,
                ttl_ms,
                condition,
            } => {
                if !self.holds(&key, &condition) {
                    return self.refusal(&key);
                }
                if !self.fits(&key, &value) {
                    return Outcome::TooLarge;
                }
                let item = Item {
                    value,
                    index,
                    ttl_ms,
                };
                self.items.insert(key, item);
            }
            Write::Delete { key, condition } => {
                if !self.items.contains_key(&key) || !self.holds(&key, &condition) {
                    return self.refusal(&key);
                }
                self.items.remove(&key);
            }
            Write::DeleteTree { key } => {
                let below = format!("{key}/");
                self.items
                    .retain(|name, _| *name != key && !name.starts_with(&below));
            }
        }
        Outcome::Done { index }
    }

    fn refusal(&self, key: &str) -> Outcome {
        Outcome::Refused {
            exists: self.items.contains_key(key),
        }
    }

    fn holds(&self, key: &str, condition: &Condition) -> bool {
        let item = self.items.get(key);
        condition.exists.is_none_or(|want| want == item.is_some())
            && condition
                .value
                .as_ref()
                .is_none_or(|want| item.is_some_and(|item| item.value == *want))
            && condition
                .index
                .is_none_or(|want| item.is_some_and(|item| item.index == want))
    }

    fn fits(&self, key: &str, value: &str) -> bool {
        let rest: usize = self
            .items
            .iter()
            .filter(|(name, _)| *name != key)
            .map(|(name, item)| name.len() + item.value.len())
            .sum();
        key.len() <= MAX_KEY
            && value.len() <= MAX_VALUE
            && rest + key.len() + value.len() <= MAX_TOTAL
    }
}

#[cfg(test)]
mod tests;
