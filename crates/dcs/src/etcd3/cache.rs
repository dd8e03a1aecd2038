//! The watched copy of one cluster's objects.
//!
//! A plain value: the watcher feeds it with lists and events, the store with its own writes.
//! Revisions decide what is newer, so it does not matter which of the two is first.

use std::collections::BTreeMap;

use patroni_core::Revision;

use crate::codec::{Objects, Stored};
use crate::key::Leaf;
use crate::wake::Change;

/// One object with etcd's metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// The text.
    pub(super) value: String,
    /// The revision of the last write.
    pub(super) revision: i64,
    /// The lease, 0 for none.
    pub(super) lease: i64,
}

impl Entry {
    /// The form the codec reads.
    pub(super) fn stored(&self) -> Stored {
        Stored {
            value: self.value.clone(),
            revision: Revision::new(self.revision),
            session: (self.lease != 0).then(|| self.lease.to_string()),
        }
    }
}

/// The copy. It is of use only while it is [ready](Cache::is_ready): between a list and the end
/// of the stream that follows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Cache {
    entries: BTreeMap<Leaf, Entry>,
    removed: BTreeMap<Leaf, i64>,
    revision: i64,
    ready: bool,
}

impl Cache {
    /// Whether the copy follows the store.
    pub(super) fn is_ready(&self) -> bool {
        self.ready
    }

    /// The stream ended: what is here may be old.
    pub(super) fn set_stale(&mut self) {
        self.ready = false;
    }

    /// The highest revision of the store that this process has seen.
    pub(super) fn revision(&self) -> i64 {
        self.revision
    }

    /// The store was put back to an older state: revisions begin anew.
    pub(super) fn start_over(&mut self) {
        self.revision = 0;
        self.removed.clear();
    }

    /// Replaces everything with a list taken at `revision`, and tells what changed.
    pub(super) fn replace(&mut self, entries: BTreeMap<Leaf, Entry>, revision: i64) -> Vec<Change> {
        let old = std::mem::replace(&mut self.entries, entries);
        self.removed.clear();
        self.revision = revision;
        self.ready = true;
        let leaves = old.keys().chain(self.entries.keys());
        let leaves: std::collections::BTreeSet<&Leaf> = leaves.collect();
        let value =
            |map: &BTreeMap<Leaf, Entry>, leaf: &Leaf| map.get(leaf).map(|e| e.value.clone());
        leaves
            .into_iter()
            .map(|leaf| Change {
                leaf: leaf.clone(),
                old: value(&old, leaf),
                new: value(&self.entries, leaf),
            })
            .filter(|change| change.old != change.new)
            .collect()
    }

    /// Takes in a write. `None` when something as new is known already.
    pub(super) fn put(&mut self, leaf: Leaf, entry: Entry) -> Option<Change> {
        if self.known_revision(&leaf) >= entry.revision {
            return None;
        }
        self.revision = self.revision.max(entry.revision);
        self.removed.remove(&leaf);
        let new = Some(entry.value.clone());
        let old = self.entries.insert(leaf.clone(), entry);
        Some(Change {
            leaf,
            old: old.map(|entry| entry.value),
            new,
        })
    }

    /// Takes in a removal at `revision`. `None` when something as new is known already.
    pub(super) fn remove(&mut self, leaf: Leaf, revision: i64) -> Option<Change> {
        if self.known_revision(&leaf) >= revision {
            return None;
        }
        self.revision = self.revision.max(revision);
        self.removed.insert(leaf.clone(), revision);
        let old = self.entries.remove(&leaf)?;
        Some(Change {
            leaf,
            old: Some(old.value),
            new: None,
        })
    }

    fn known_revision(&self, leaf: &Leaf) -> i64 {
        let present = self.entries.get(leaf).map(|entry| entry.revision);
        present
            .or_else(|| self.removed.get(leaf).copied())
            .unwrap_or(0)
    }

    /// The events up to `revision` have arrived: older removals need no memory any more.
    pub(super) fn caught_up_to(&mut self, revision: i64) {
        self.revision = self.revision.max(revision);
        self.removed.retain(|_, at| *at > revision);
    }

    /// One object.
    pub(super) fn get(&self, leaf: &Leaf) -> Option<&Entry> {
        self.entries.get(leaf)
    }

    /// All objects in the form the codec reads.
    pub(super) fn objects(&self) -> Objects {
        self.entries
            .iter()
            .map(|(leaf, entry)| (leaf.clone(), entry.stored()))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(value: &str, revision: i64) -> Entry {
        Entry {
            value: value.to_owned(),
            revision,
            lease: 0,
        }
    }

    #[test]
    fn older_news_never_wins() {
        let mut cache = Cache::default();
        assert!(cache.put(Leaf::Leader, entry("a", 5)).is_some());
        assert_eq!(cache.put(Leaf::Leader, entry("b", 5)), None);
        assert_eq!(cache.remove(Leaf::Leader, 4), None);
        assert!(cache.remove(Leaf::Leader, 6).is_some());
        assert_eq!(cache.put(Leaf::Leader, entry("a", 6)), None, "own removal");
        assert!(cache.put(Leaf::Leader, entry("c", 7)).is_some());
        assert_eq!(cache.revision(), 7);
    }

    #[test]
    fn a_new_list_tells_what_changed() {
        let mut cache = Cache::default();
        cache.put(Leaf::Leader, entry("a", 1));
        cache.put(Leaf::Config, entry("{}", 1));
        let list = [(Leaf::Config, entry("{}", 1)), (Leaf::Sync, entry("s", 3))];
        let changes = cache.replace(list.into(), 3);
        let leaves: Vec<&Leaf> = changes.iter().map(|change| &change.leaf).collect();
        assert_eq!(leaves, [&Leaf::Leader, &Leaf::Sync]);
        assert!(cache.is_ready());
    }
}
