//! What the store and its following task have in common.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use patroni_core::MemberName;
use tokio::sync::{Notify, watch};

use super::cache::{Cache, Entry};
use super::failure::Failure;
use super::nodes::Nodes;
use crate::key::{KeySpace, Leaf};
use crate::wake::Change;

/// Connections, the cache, and the signals between the two sides.
pub(super) struct Shared {
    pub(super) nodes: Nodes,
    pub(super) keys: KeySpace,
    pub(super) member: Option<MemberName>,
    cache: Mutex<Cache>,
    /// Whether the cache follows the store, for those who wait for that.
    pub(super) ready: watch::Sender<bool>,
    /// Why it does not.
    failure: Mutex<Option<String>>,
    /// Something worth a cycle happened. Keeps one signal for whoever asks next.
    pub(super) wake: Notify,
    /// The cache has missed something, or its stream is no longer wanted: list anew.
    pub(super) relist: Notify,
}

impl Shared {
    pub(super) fn new(nodes: Nodes, keys: KeySpace, member: Option<MemberName>) -> Self {
        Self {
            nodes,
            keys,
            member,
            cache: Mutex::default(),
            ready: watch::Sender::new(false),
            failure: Mutex::default(),
            wake: Notify::new(),
            relist: Notify::new(),
        }
    }

    /// The cache, for a moment: never held across an await.
    pub(super) fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a list in place of the cache; false when the cache is newer already.
    pub(super) fn replace(&self, entries: BTreeMap<Leaf, Entry>, revision: i64) -> bool {
        let changes = {
            let mut cache = self.cache();
            if cache.revision() > revision {
                return false;
            }
            let first = cache.revision() == 0;
            let changes = cache.replace(entries, revision);
            if first { Vec::new() } else { changes }
        };
        self.ready.send_replace(true);
        for change in changes {
            self.wake_for(Some(change));
        }
        true
    }

    /// The cache does not follow the store any more.
    pub(super) fn set_stale(&self) {
        self.cache().set_stale();
        self.ready.send_replace(false);
    }

    /// A condition did not hold: the store knows something that the cache does not.
    pub(super) fn distrust_cache(&self) {
        self.set_stale();
        self.relist.notify_one();
    }

    /// Wakes the member up if a change that came from the store is worth it.
    pub(super) fn wake_for(&self, change: Option<Change>) {
        let Some(change) = change else {
            return;
        };
        let leader = {
            let cache = self.cache();
            cache.get(&Leaf::Leader).map(|entry| entry.value.clone())
        };
        if change.wakes(self.member.as_ref(), leader.as_deref()) {
            self.wake.notify_one();
        }
    }

    /// Remembers why the cache is not ready.
    pub(super) fn note_failure(&self, failure: &Failure) {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(failure.to_string());
    }

    /// Why the cache is not ready.
    pub(super) fn last_failure(&self) -> String {
        let failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        failure
            .clone()
            .unwrap_or_else(|| "no answer yet".to_owned())
    }
}
