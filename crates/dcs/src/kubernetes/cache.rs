//! The objects of one cluster as last seen, and since when the lock has not changed.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::names::{Names, Part};
use super::object::{List, Object, version};
use super::record::{Observed, Record};
use super::view;
use crate::codec::Objects;
use crate::key::Leaf;
use crate::wake::Change;

/// Objects and Pods by name.
#[derive(Debug)]
pub(super) struct Cache {
    names: Names,
    objects: BTreeMap<String, Object>,
    pods: BTreeMap<String, Object>,
    observed: Option<Observed>,
    /// Both lists have been taken in once: what comes later is news.
    pub(super) is_filled: bool,
}

/// Which of the two watched collections something is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// Endpoints or ConfigMaps.
    Objects,
    Pods,
}

impl Cache {
    pub(super) fn new(names: Names) -> Self {
        Self {
            names,
            objects: BTreeMap::new(),
            pods: BTreeMap::new(),
            observed: None,
            is_filled: false,
        }
    }

    pub(super) fn part(&self, part: Part) -> Option<&Object> {
        self.objects.get(&self.names.name(part))
    }

    pub(super) fn pod(&self, name: &str) -> Option<&Object> {
        self.pods.get(name)
    }

    /// The record of the lock, and since when it is so.
    pub(super) fn observed(&self) -> Option<&Observed> {
        self.observed.as_ref()
    }

    /// The member that the record names, whether or not its lock is over.
    pub(super) fn leader(&self) -> Option<&str> {
        self.observed.as_ref()?.record.leader.as_deref()
    }

    /// Whether the lock is somebody's and not over yet.
    pub(super) fn lock_is_good(&self, now: Instant, default_ttl: Duration) -> bool {
        let ends = self
            .observed
            .as_ref()
            .and_then(|seen| seen.ends(default_ttl));
        ends.is_some_and(|ends| now < ends)
    }

    /// Everything as leaves.
    pub(super) fn leaves(&self, lock_is_good: bool) -> Objects {
        let mut all: Objects = self.pods.values().map(view::member).collect();
        for (name, object) in &self.objects {
            if let Some(part) = self.names.part(name) {
                all.append(&mut view::leaves(part, object, lock_is_good));
            }
        }
        all
    }

    /// Takes in an object, unless a newer one is here already. Returns what changed.
    pub(super) fn put(&mut self, side: Side, object: Object, now: Instant) -> Vec<Change> {
        let name = object.metadata.name.clone();
        let before = self.side(side).get(&name);
        if before.is_some_and(|known| known.version() > object.version()) {
            return Vec::new();
        }
        let old = self.leaves_of(side, &name);
        self.side_mut(side).insert(name.clone(), object);
        self.observe(now);
        changes(old, self.leaves_of(side, &name))
    }

    /// Takes out an object that was removed at this version. Returns what changed.
    pub(super) fn remove(&mut self, side: Side, name: &str, at: u64, now: Instant) -> Vec<Change> {
        let before = self.side(side).get(name);
        if before.is_none_or(|known| known.version() > at) {
            return Vec::new();
        }
        let old = self.leaves_of(side, name);
        self.side_mut(side).remove(name);
        self.observe(now);
        changes(old, Objects::new())
    }

    /// Takes in a list of everything; what was written after it stays. Returns what changed.
    pub(super) fn replace(&mut self, side: Side, list: List, now: Instant) -> Vec<Change> {
        let at = version(&list.metadata.resource_version);
        let listed: Vec<String> = list
            .items
            .iter()
            .map(|one| one.metadata.name.clone())
            .collect();
        let gone: Vec<String> = self.side(side).keys().cloned().collect();
        let mut all = Vec::new();
        for name in gone.iter().filter(|name| !listed.contains(name)) {
            all.append(&mut self.remove(side, name, at, now));
        }
        for object in list.items {
            all.append(&mut self.put(side, object, now));
        }
        all
    }

    fn side(&self, side: Side) -> &BTreeMap<String, Object> {
        match side {
            Side::Objects => &self.objects,
            Side::Pods => &self.pods,
        }
    }

    fn side_mut(&mut self, side: Side) -> &mut BTreeMap<String, Object> {
        match side {
            Side::Objects => &mut self.objects,
            Side::Pods => &mut self.pods,
        }
    }

    /// The leaves of one object. That a lock is over changes nothing in the store.
    fn leaves_of(&self, side: Side, name: &str) -> Objects {
        let Some(object) = self.side(side).get(name) else {
            return Objects::new();
        };
        match side {
            Side::Pods => [view::member(object)].into(),
            Side::Objects => self
                .names
                .part(name)
                .map(|part| view::leaves(part, object, true))
                .unwrap_or_default(),
        }
    }

    /// Notes since when the record is as it is. A clock that stands still while the machine
    /// sleeps makes a lock look younger than it is, never older.
    fn observe(&mut self, now: Instant) {
        let record = self.part(Part::Leader).map(Record::of);
        let known = self.observed.as_ref().map(|seen| &seen.record);
        if record.as_ref() != known {
            self.observed = record.map(|record| Observed { record, since: now });
        }
    }
}

fn changes(mut old: Objects, mut new: Objects) -> Vec<Change> {
    let leaves: std::collections::BTreeSet<Leaf> = old.keys().chain(new.keys()).cloned().collect();
    let value = |all: &mut Objects, leaf: &Leaf| all.remove(leaf).map(|stored| stored.value);
    leaves
        .into_iter()
        .map(|leaf| Change {
            old: value(&mut old, &leaf),
            new: value(&mut new, &leaf),
            leaf,
        })
        .filter(|change| change.old != change.new)
        .collect()
}
