//! Reading the other groups of a Citus cluster in the store.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use patroni_config::Settings;
use patroni_core::{Cluster, MemberName};
use patroni_dcs::{Identity, Store, StoreError, connect};
use patroni_ha::citus::Group;
use tokio::sync::watch;

use crate::configuration::timings;

/// Views of other groups, by connections of their own that read what is newest, and never take
/// part in an election. They are opened at first use and kept.
pub(crate) struct Groups {
    settings: watch::Receiver<Arc<Settings>>,
    /// By group; `None` sees the keys of all.
    stores: Mutex<BTreeMap<Option<Group>, Arc<dyn Store>>>,
}

impl Groups {
    pub(super) fn new(settings: watch::Receiver<Arc<Settings>>) -> Self {
        Self {
            settings,
            stores: Mutex::default(),
        }
    }

    pub(super) fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.settings.borrow())
    }

    /// What one group has; an empty view when it has nothing.
    ///
    /// # Errors
    /// The store does not answer in its time.
    pub(super) async fn read(&self, group: Group) -> Result<Cluster, StoreError> {
        self.store(Some(group)).await?.load().await
    }

    /// The groups that have any key.
    ///
    /// # Errors
    /// The store does not answer in its time.
    pub(super) async fn all(&self) -> Result<BTreeSet<Group>, StoreError> {
        self.store(None).await?.groups().await
    }

    async fn store(&self, group: Option<Group>) -> Result<Arc<dyn Store>, StoreError> {
        let kept = self.stores().get(&group).cloned();
        if let Some(store) = kept {
            return Ok(store);
        }
        let settings = self.settings();
        let identity = identity(&settings, group, None);
        let timings = timings(&settings.dynamic);
        let store = connect::connect(&settings.dcs, identity, timings).await?;
        // Who connected at the same time keeps the same thing.
        self.stores().insert(group, Arc::clone(&store));
        Ok(store)
    }

    /// Hands new timings and credentials to the connections.
    pub(super) fn reconfigure(&self) {
        let settings = self.settings();
        for store in self.stores().values() {
            store.set_timings(timings(&settings.dynamic));
            store.reconfigure(&settings.dcs);
        }
    }

    fn stores(&self) -> MutexGuard<'_, BTreeMap<Option<Group>, Arc<dyn Store>>> {
        self.stores.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who speaks to the store about the cluster of these settings, or about one of its groups.
pub(crate) fn identity(
    settings: &Settings,
    group: Option<Group>,
    member: Option<MemberName>,
) -> Identity {
    let identity = Identity::new(&settings.namespace, &settings.scope, member);
    match group {
        Some(group) => identity.in_group(group),
        None => identity,
    }
}
