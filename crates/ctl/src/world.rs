//! What the commands reach outside: stores and members.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use patroni_config::ControlSettings;
use patroni_core::Scope;
use patroni_dcs::error::StoreError;
use patroni_dcs::raft::RaftMember;
use patroni_dcs::store::Store;

use crate::exit::Failure;
use crate::rest::Rest;

/// The voters of the embedded store.
#[async_trait]
pub trait RaftGroup: Send + Sync {
    /// All members, in the order of their addresses.
    ///
    /// # Errors
    /// Nobody answers.
    async fn members(&self) -> Result<Vec<RaftMember>, StoreError>;

    /// Takes the vote of the member at this address away for good.
    ///
    /// # Errors
    /// It is refused, or there is no majority.
    async fn remove(&self, address: &str) -> Result<(), StoreError>;
}

/// Opens what the settings describe. The tool opens a store only for what a command needs.
#[async_trait]
pub trait World: Send + Sync {
    /// The store objects of one cluster, or of one group of an MPP cluster. Nothing is written
    /// by opening. Reads of the store are linearizable.
    ///
    /// # Errors
    /// No store is configured, or it cannot be set up.
    async fn store(
        &self,
        settings: &ControlSettings,
        scope: &Scope,
        group: Option<u32>,
    ) -> Result<Arc<dyn Store>, Failure>;

    /// The groups of an MPP cluster that have any key, ascending.
    ///
    /// # Errors
    /// As [`World::store`], and when the store does not answer.
    async fn groups(
        &self,
        settings: &ControlSettings,
        scope: &Scope,
    ) -> Result<BTreeSet<u32>, Failure>;

    /// The members of the embedded store that the settings name.
    ///
    /// # Errors
    /// No store is configured, or another one.
    async fn raft(&self, settings: &ControlSettings) -> Result<Arc<dyn RaftGroup>, Failure>;

    /// Where the store is, for messages.
    fn endpoint(&self, settings: &ControlSettings) -> String;

    /// The client for members.
    ///
    /// # Errors
    /// Certificates or keys cannot be read.
    fn rest(&self, settings: &ControlSettings) -> Result<Arc<dyn Rest>, Failure>;
}
