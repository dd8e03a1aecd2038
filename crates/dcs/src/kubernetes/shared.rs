//! What the store and its following tasks have in common.

use std::sync::{Mutex, MutexGuard, PoisonError};

use patroni_core::MemberName;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::cache::{Cache, Side};
use super::failure::Failure;
use super::names::Names;
use super::object::{List, Object};
use super::servers::Servers;
use crate::wake::Change;

/// Connections, the cache, and the signals between the sides.
pub(super) struct Shared {
    pub(super) servers: Servers,
    pub(super) names: Names,
    pub(super) member: Option<MemberName>,
    cache: Mutex<Cache>,
    /// Whether the cache follows the store, for those who wait for that.
    pub(super) ready: watch::Sender<bool>,
    /// Why it does not.
    failure: Mutex<Option<Failure>>,
    /// Something worth a cycle happened. Keeps one signal for whoever asks next.
    pub(super) wake: Notify,
    /// The cache has missed something: list anew.
    pub(super) relist: Notify,
}

impl Shared {
    pub(super) fn new(servers: Servers, names: Names, member: Option<MemberName>) -> Self {
        Self {
            servers,
            cache: Mutex::new(Cache::new(names.clone())),
            names,
            member,
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

    /// Takes in both lists: the cache follows the store from here on.
    pub(super) fn replace(&self, objects: List, pods: List) {
        let now = Instant::now();
        let (changes, are_news) = {
            let mut cache = self.cache();
            let mut changes = cache.replace(Side::Objects, objects, now);
            changes.append(&mut cache.replace(Side::Pods, pods, now));
            (changes, std::mem::replace(&mut cache.is_filled, true))
        };
        self.ready.send_replace(true);
        if are_news {
            self.wake_for(&changes);
        }
    }

    /// Takes in a change that the store tells of.
    pub(super) fn take_in(&self, side: Side, object: Object) {
        let changes = self.cache().put(side, object, Instant::now());
        self.wake_for(&changes);
    }

    /// Takes in a removal that the store tells of.
    pub(super) fn take_out(&self, side: Side, object: &Object) {
        let name = &object.metadata.name;
        let changes = self
            .cache()
            .remove(side, name, object.version(), Instant::now());
        self.wake_for(&changes);
    }

    /// An own write is in the cache as soon as it is answered, and wakes nobody.
    pub(super) fn wrote(&self, side: Side, object: Object) {
        self.cache().put(side, object, Instant::now());
    }

    /// The cache does not follow the store any more.
    pub(super) fn set_stale(&self) {
        self.ready.send_replace(false);
    }

    /// A condition did not hold: the store knows something that the cache does not.
    pub(super) fn distrust_cache(&self) {
        if self.member.is_some() {
            self.set_stale();
            self.relist.notify_one();
        }
    }

    /// Wakes the member up if a change that came from the store is worth it.
    fn wake_for(&self, changes: &[Change]) {
        let leader = self.cache().leader().map(str::to_owned);
        let me = self.member.as_ref();
        if changes
            .iter()
            .any(|change| change.wakes(me, leader.as_deref()))
        {
            self.wake.notify_one();
        }
    }

    /// Remembers why the cache is not ready. Tells whether that is news.
    pub(super) fn note_failure(&self, failure: &Failure) -> bool {
        let mut last = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        let is_news = last.as_ref() != Some(failure);
        *last = Some(failure.clone());
        is_news
    }

    /// All is well again.
    pub(super) fn forget_failure(&self) {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Why the cache is not ready.
    pub(super) fn last_failure(&self) -> Failure {
        let failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        let unknown = || Failure::Node("no answer yet".to_owned());
        failure.clone().unwrap_or_else(unknown)
    }
}
