//! One of the two stores of a move, with what it held when it was read.

use std::sync::Arc;

use patroni_config::ControlSettings;
use patroni_core::{Cluster, Revision, Scope};
use patroni_dcs::error::StoreError;
use patroni_dcs::store::Store;
use serde_json::{Map, Value};

use super::mark::Mark;
use crate::context::Context;
use crate::exit::Failure;

pub(super) struct Side {
    pub(super) store: Arc<dyn Store>,
    pub(super) cluster: Cluster,
    endpoint: String,
}

impl Side {
    /// Opens and reads the store of these settings.
    pub(super) async fn open(
        context: &Context,
        settings: &ControlSettings,
        scope: &Scope,
        group: Option<u32>,
    ) -> Result<Self, Failure> {
        let store = context.world.store(settings, scope, group).await?;
        let mut side = Self {
            store,
            cluster: Cluster::default(),
            endpoint: context.world.endpoint(settings),
        };
        side.reload().await?;
        Ok(side)
    }

    /// Reads it again.
    pub(super) async fn reload(&mut self) -> Result<(), Failure> {
        let loaded = self.store.load().await;
        self.cluster = self.told(loaded)?;
        Ok(())
    }

    /// Kind and address, for people.
    pub(super) fn place(&self) -> String {
        format!("{} ({})", self.store.kind(), self.endpoint)
    }

    /// The move that this store takes part in.
    pub(super) fn mark(&self) -> Result<Option<Mark>, Failure> {
        Mark::of(&self.cluster)
    }

    /// The dynamic configuration as it was read; empty when there is none.
    pub(super) fn config(&self) -> Map<String, Value> {
        let config = self.cluster.config.as_ref();
        config.map_or_else(Map::new, |config| Map::clone(&config.data))
    }

    /// Replaces the configuration, if it is still the one that was read, and reads again.
    pub(super) async fn write_config(&mut self, data: &Map<String, Value>) -> Result<(), Failure> {
        let judged = self.cluster.config.as_ref().map(|doc| doc.revision.clone());
        let written = self.store.write_config(data, judged.as_ref()).await;
        self.told(written)?;
        self.reload().await
    }

    /// A result of this store; what failed names the place.
    pub(super) fn told<T>(&self, result: Result<T, StoreError>) -> Result<T, Failure> {
        result.map_err(|source| Failure::Store {
            kind: self.store.kind().to_owned(),
            endpoint: self.endpoint.clone(),
            source,
        })
    }

    /// The revision of the synchronous state that was read.
    pub(super) fn sync_revision(&self) -> Option<Revision> {
        self.cluster.sync.revision.clone()
    }
}
