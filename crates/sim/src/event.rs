//! Everything that can happen.

use patroni_core::SyncState;
use patroni_ha::Outcome;

use crate::daemon::{Daemon, Lane};
use crate::drills::Deed;
use crate::faults::Fault;
use crate::postgres::life::Transition;

/// One event. Those of a daemon carry the number of its life, so that nothing reaches the next.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// The loop of a daemon may have to run.
    Loop { node: usize, life: u64 },
    /// A request arrives at the store.
    Arrive { node: usize, life: u64, op: u64 },
    /// A waiting command looks whether its wait is over.
    Check { node: usize, life: u64, op: u64 },
    /// The outcome of a command is known to the daemon.
    Outcome {
        node: usize,
        life: u64,
        lane: Lane,
        op: u64,
        outcome: Box<Outcome>,
    },
    /// The cycle that ordered a long task is over.
    StartJob { node: usize, life: u64 },
    /// The lease may be over.
    Guard { node: usize, life: u64 },
    /// The checkpoint after a promotion may be finished.
    Checkpointed {
        node: usize,
        life: u64,
        generation: u64,
    },
    /// The watchdog device may fire.
    Watchdog { node: usize },
    /// The guardian of a primary may have to act.
    Guardian { node: usize },
    /// A server goes on.
    Server {
        node: usize,
        generation: u64,
        transition: Transition,
    },
    /// One step of streaming replication.
    Stream { node: usize },
    /// A client sends its next write.
    Client { client: usize },
    /// A client gives up waiting.
    ClientTimeout { client: usize, request: u64 },
    /// A daemon is started by the service manager.
    Boot { node: usize },
    /// Something breaks.
    Break,
    /// Something happens to the data or the tags of a member.
    Mishap,
    /// Several failures are planned to meet.
    Drill,
    /// One of them comes.
    Deed { deed: Deed },
    /// Somebody takes back that synchronous mode was switched off.
    FlipBack,
    /// Another node of the store leads now.
    StoreElected,
    /// Something broken gets mended.
    Mend { fault: Fault },
    /// Somebody asks for something.
    Operator,
    /// A mutant writes at last what it said was written.
    LateSync { state: SyncState },
    /// A look at the whole world.
    Survey,
}

impl Event {
    /// Whether the loop of this daemon itself has to go on for it to happen.
    pub(crate) fn is_of_the_loop(&self, daemon: &Daemon) -> bool {
        match self {
            Self::Loop { .. } | Self::StartJob { .. } => true,
            Self::Outcome { lane, .. } => *lane == Lane::Cycle,
            Self::Check { op, .. } => daemon.lane_of(*op) == Some(Lane::Cycle),
            Self::Arrive { .. }
            | Self::Guard { .. }
            | Self::Checkpointed { .. }
            | Self::Watchdog { .. }
            | Self::Guardian { .. }
            | Self::Server { .. }
            | Self::Stream { .. }
            | Self::Client { .. }
            | Self::ClientTimeout { .. }
            | Self::Boot { .. }
            | Self::Break
            | Self::Mishap
            | Self::Drill
            | Self::Deed { .. }
            | Self::FlipBack
            | Self::StoreElected
            | Self::Mend { .. }
            | Self::Operator
            | Self::LateSync { .. }
            | Self::Survey => false,
        }
    }
}
