//! What REST asks of the loop: only what occupies the executor slot or the loop's own state.

use patroni_core::RestartConditions;
use patroni_ha::intent::Refuse;
use patroni_ha::observation::ScheduledRestart;
use tokio::sync::oneshot;

/// A request with a place for its answer. A dropped receiver means that nobody waits any more.
#[derive(Debug)]
pub(crate) enum Request {
    /// Restart PostgreSQL now.
    Restart {
        /// The filters, already checked against this node.
        conditions: RestartConditions,
        /// The number of the task, or the name of the one that is in the way.
        reply: oneshot::Sender<Result<u64, String>>,
    },
    /// Make a new copy.
    Reinitialize {
        /// End whatever runs.
        force: bool,
        /// Copy from the leader with `pg_basebackup` only.
        from_leader: bool,
        /// The number of the task, or why not.
        reply: oneshot::Sender<Result<u64, Refuse>>,
    },
    /// Note a restart for later; false when one is noted already.
    ScheduleRestart {
        /// When and how.
        restart: ScheduledRestart,
        /// Whether it was noted.
        reply: oneshot::Sender<bool>,
    },
    /// Forget the noted restart; false when there is none.
    CancelRestart {
        /// Whether there was one.
        reply: oneshot::Sender<bool>,
    },
}

impl Request {
    /// Nobody waits for the answer any more: whoever asked was told that it took too long, and
    /// must not find it done later.
    pub(crate) fn is_abandoned(&self) -> bool {
        match self {
            Self::Restart { reply, .. } => reply.is_closed(),
            Self::Reinitialize { reply, .. } => reply.is_closed(),
            Self::ScheduleRestart { reply, .. } | Self::CancelRestart { reply } => {
                reply.is_closed()
            }
        }
    }
}
