//! What the acts of this node mean to other groups of its Citus cluster, if it has one.

use std::sync::Arc;

use patroni_core::{Role, State};
use patroni_ha::citus::Event;
use patroni_ha::lease::{guard_margin, orderly_margin};
use tracing::warn;

use super::Body;
use crate::citus::{Part, Worker, worker};

impl Body {
    /// The periodic look at all groups, beside the cycles.
    pub(super) fn keep_node_table(&self) {
        if let Some(coordinator) = self.citus.coordinator() {
            coordinator.look();
        }
    }

    /// A leader is about to stop in order. The coordinator makes writes to a worker's shards wait,
    /// which may take time; an orderly stop is worth more than that, so that the end of the lease
    /// is not waited for.
    pub(super) async fn announce_stop(&self) {
        match &self.citus {
            Part::None => {}
            Part::Coordinator(coordinator) => coordinator.clear(),
            Part::Worker(worker) => {
                let ttl = self.timings().ttl;
                let margin = guard_margin(ttl) + orderly_margin(ttl);
                tokio::select! {
                    () = worker.tell(Event::BeforeDemote, ttl) => {}
                    () = self.lease.nearly_over(self.clock, margin) => {
                        warn!("the coordinator has not answered, stopping before the lease ends");
                    }
                }
            }
        }
    }

    /// A promotion is about to be issued.
    pub(super) async fn announce_promotion(&self) {
        if let Some(worker) = self.citus.worker() {
            worker.tell(Event::BeforePromote, worker::PATIENCE).await;
        }
    }

    /// The member key was written, and says this.
    pub(super) fn note_published(&self, state: State, role: Role) {
        if let Some(worker) = self.citus.worker()
            && worker.has_become_primary(state, role)
        {
            self.announce_primary(worker);
        }
    }

    /// A primary was restarted, and runs again.
    pub(super) fn note_restarted(&self) {
        if let Some(worker) = self.citus.worker() {
            self.announce_primary(worker);
        }
    }

    /// Nobody waits for the coordinator to hear that.
    fn announce_primary(&self, worker: &Arc<Worker>) {
        let worker = Arc::clone(worker);
        self.background.spawn(async move {
            worker.tell(Event::AfterPromote, worker::PATIENCE).await;
        });
    }
}
