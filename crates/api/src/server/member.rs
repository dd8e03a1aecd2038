//! What the server needs of a member. The node implements it.

use std::sync::Arc;

use async_trait::async_trait;
use patroni_core::Cluster;
use serde_json::{Map, Value};
use tokio::sync::watch;

use crate::error::Unavailable;
use crate::wire::{
    Answer, Durations, FailoverBody, FailsafeBody, JournalPage, JournalQuery, LogQueue, MppEvent,
    ReinitRequest, RestartRequest, ServerFacts, Snapshot,
};

/// Whether a status query is worth a second try on connection loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Health checks take what there is.
    Never,
    /// Documents repeat it once, after about a second.
    Once,
}

/// A member of a cluster, as its REST server sees it.
///
/// The methods with requests are called after access control and validation; their answers are
/// sent as they are. All futures may be dropped when the client's deadline passes: work that
/// must not be torn runs elsewhere.
#[async_trait]
pub trait Member: Send + Sync + 'static {
    /// What the node published last. Never waits.
    fn snapshot(&self) -> Arc<Snapshot>;

    /// The same as it changes, for those who wait for changes.
    fn snapshots(&self) -> watch::Receiver<Arc<Snapshot>>;

    /// The local server. At most one query per short interval whatever the number of calls;
    /// callers within it share the same `Arc`.
    async fn status(&self, retry: Retry) -> Arc<ServerFacts>;

    /// How full the queue of the log is.
    fn log_queue(&self) -> LogQueue {
        LogQueue::default()
    }

    /// What the node measured of itself. Never waits.
    fn durations(&self) -> &Durations;

    /// `GET /journal`: what was decided, from memory. Never waits.
    fn journal(&self, query: &JournalQuery) -> JournalPage;

    /// Reads the cluster afresh and publishes the view; never the view that the HA loop judges.
    ///
    /// # Errors
    /// The store gave no answer within the retry time.
    async fn load_cluster(&self) -> Result<Arc<Cluster>, Unavailable>;

    /// `PATCH /config`: merges, wakes the loop.
    async fn patch_config(&self, patch: Map<String, Value>) -> Answer;

    /// `PUT /config`: replaces.
    async fn put_config(&self, config: Map<String, Value>) -> Answer;

    /// `POST /reload`: as SIGHUP does. The answer is always the same.
    fn reload(&self);

    /// `POST /restart`.
    async fn restart(&self, request: RestartRequest) -> Answer;

    /// `DELETE /restart`.
    async fn cancel_restart(&self) -> Answer;

    /// `POST /reinitialize`.
    async fn reinitialize(&self, request: ReinitRequest) -> Answer;

    /// `POST /switchover` and `POST /failover`: the checks that need the cluster, the write, the
    /// poll.
    async fn switchover(&self, request: FailoverBody) -> Answer;

    /// `DELETE /switchover`.
    async fn cancel_switchover(&self) -> Answer;

    /// `POST /failsafe`, with the mode on.
    async fn failsafe(&self, announcement: FailsafeBody) -> Answer;

    /// `POST /citus`: done when the event's work is done, if its sender waits for that. The answer
    /// is always `OK`.
    ///
    /// # Errors
    /// The store gave no answer within the retry time.
    async fn mpp_event(&self, event: MppEvent) -> Result<(), Unavailable>;
}
