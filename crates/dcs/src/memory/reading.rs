//! What the entries say: parsed once for each change, and not once for each client.

use std::collections::BTreeMap;
use std::sync::Arc;

use patroni_core::{Cluster, Revision};

use super::model::Entry;
use crate::codec::{self, Stored};
use crate::key::{KeySpace, Leaf};

/// The last snapshot of each cluster. It follows from the entries, so any two are equal.
#[derive(Clone, Debug, Default)]
pub(super) struct Readings(BTreeMap<String, Reading>);

#[derive(Clone, Debug, Default)]
struct Reading {
    /// The revision of the whole store.
    at: u64,
    cluster: Arc<Cluster>,
    /// The revision of each object: what did not change is not read anew.
    revisions: BTreeMap<String, u64>,
}

impl PartialEq for Readings {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Readings {}

impl Readings {
    /// The snapshot of a cluster at this revision of the store.
    pub(super) fn of(
        &mut self,
        keys: &KeySpace,
        at: u64,
        entries: &BTreeMap<String, Entry>,
    ) -> Arc<Cluster> {
        if !self.0.contains_key(keys.prefix()) {
            self.0.insert(keys.prefix().to_owned(), Reading::default());
        }
        let Some(last) = self.0.get_mut(keys.prefix()) else {
            unreachable!("it was just put there");
        };
        if last.at != at {
            *last = last.next(keys, at, entries);
        }
        Arc::clone(&last.cluster)
    }
}

impl Reading {
    fn next(&self, keys: &KeySpace, at: u64, entries: &BTreeMap<String, Entry>) -> Self {
        let mut cluster = Cluster::default();
        let with_status = entries.contains_key(&keys.key(&Leaf::Status));
        let mut revisions = BTreeMap::new();
        let range = entries.range(keys.prefix().to_owned()..);
        for (key, entry) in range.take_while(|(key, _)| key.starts_with(keys.prefix())) {
            let Some(leaf) = keys.leaf(key) else {
                continue;
            };
            if leaf == Leaf::OptimeLeader && with_status {
                continue;
            }
            if self.revisions.get(key) == Some(&entry.revision) {
                codec::carry(&mut cluster, &leaf, &self.cluster);
            } else {
                codec::place(&mut cluster, &leaf, &stored(entry.clone()));
            }
            revisions.insert(key.clone(), entry.revision);
        }
        Self {
            at,
            cluster: Arc::new(cluster),
            revisions,
        }
    }
}

/// An entry as all stores show theirs.
pub(super) fn stored(entry: Entry) -> Stored {
    Stored {
        value: entry.value,
        revision: Revision::new(entry.revision),
        session: entry.lease.map(|id| id.0.to_string()),
    }
}
