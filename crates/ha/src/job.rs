//! Long tasks: what runs in the one executor slot, beside the cycles.
//!
//! A job is a second kind of program of the core: it asks for commands one at a time and is
//! resumed with their outcomes, exactly as a cycle is. Its end is an observation of the next
//! cycle.

use std::fmt;
use std::time::Duration;

use patroni_core::{Leader, Moment, RestartConditions, SlotName, Upstream};
use serde::{Deserialize, Serialize};

use crate::command::{CloneSource, LeaderAddress, LogicalSlot, Parting, RewindSource};

/// A long task. Its `Display` is the name that operators know it by.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Job {
    /// initdb or the custom method, then the first start.
    Bootstrap,
    /// Copy the remote of a standby cluster and start.
    BootstrapStandbyLeader,
    /// Copy a member (or nobody) and start as its replica.
    Clone {
        /// Where from.
        source: CloneSource,
        /// `from leader 'a'`, for name and log.
        message: String,
        /// Whom to follow afterwards.
        upstream: Upstream,
    },
    /// Roles, scripts and the start of the cluster's life.
    PostBootstrap,
    /// Finish a crash in single-user mode.
    CrashRecovery,
    /// `pg_rewind`.
    Rewind {
        /// Whose history to follow afterwards.
        source: RewindSource,
        /// How the local data parted from it.
        parting: Parting,
    },
    /// Wipe and copy again, because somebody asked or the timelines diverged.
    Reinitialize {
        /// Where from.
        source: CloneSource,
        /// The timelines diverged, nobody asked.
        diverged: bool,
    },
    /// Start a crashed primary as primary.
    StartPrimary {
        /// Time limit.
        timeout: Duration,
    },
    /// Start a stopped server in recovery.
    StartReplica {
        /// Whom to follow.
        upstream: Upstream,
        /// As what.
        role: patroni_core::Role,
        /// Time limit, while the lock is held.
        timeout: Option<Duration>,
        /// Which of the names: after a failure, or after a demotion.
        after_demotion: bool,
    },
    /// New recovery settings that need a restart.
    RestartFollow {
        /// Whom to follow.
        upstream: Upstream,
    },
    /// Stop, release, and start as a standby.
    Demote {
        /// What asked for it, for the name: `switchover` or `manual failover`.
        reason: DemoteReason,
        /// The lock as the snapshot shows it.
        judged: Option<Leader>,
        /// Everything the release needs to know about candidates.
        plan: DemotePlan,
    },
    /// Become primary.
    Promote,
    /// Copy logical slots from the primary, which needs a restart.
    CopyLogicalSlots {
        /// Where from.
        leader: LeaderAddress,
        /// Which.
        slots: Vec<LogicalSlot>,
    },
    /// Restart on request.
    Restart(RestartConditions),
    /// The daemon ends: leave in order. It runs alone, after everything else was ended.
    Shutdown,
}

/// What a graceful demotion was asked by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DemoteReason {
    /// `switchover`
    Switchover,
    /// `manual failover`
    Failover,
    /// A standby cluster was configured.
    DemoteCluster,
}

/// What the release of the lock depends on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DemotePlan {
    /// Members that may take over; the lock is released early once one of them has the
    /// shutdown checkpoint.
    pub candidates: Vec<crate::command::Peer>,
}

impl fmt::Display for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bootstrap => f.write_str("bootstrap"),
            Self::BootstrapStandbyLeader => f.write_str("bootstrap_standby_leader"),
            Self::Clone { message, .. } => write!(f, "bootstrap {message}"),
            Self::PostBootstrap => f.write_str("post_bootstrap"),
            Self::CrashRecovery => f.write_str("doing crash recovery in a single user mode"),
            Self::Rewind { source, .. } => write!(f, "running pg_rewind from {source}"),
            Self::Reinitialize { diverged: true, .. } => {
                f.write_str("reinitializing due to diverged timelines")
            }
            Self::Reinitialize {
                diverged: false, ..
            } => f.write_str("reinitialize"),
            Self::StartPrimary { .. } => f.write_str("starting primary after failure"),
            Self::StartReplica {
                after_demotion: true,
                ..
            } => f.write_str("starting after demotion"),
            Self::StartReplica {
                after_demotion: false,
                ..
            } => f.write_str("restarting after failure"),
            Self::RestartFollow { .. } => f.write_str("changing primary_conninfo and restarting"),
            Self::Demote {
                reason: DemoteReason::Switchover,
                ..
            } => f.write_str("switchover: demote"),
            Self::Demote {
                reason: DemoteReason::Failover,
                ..
            } => f.write_str("manual failover: demote"),
            Self::Demote {
                reason: DemoteReason::DemoteCluster,
                ..
            } => f.write_str("demoting to a standby cluster"),
            Self::Promote => f.write_str("promote"),
            Self::CopyLogicalSlots { .. } => f.write_str("copy_logical_slots"),
            Self::Restart(_) => f.write_str("restart"),
            Self::Shutdown => f.write_str("shutdown"),
        }
    }
}

/// The long task that runs now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunningJob {
    /// Which.
    pub job: Job,
    /// Since when.
    pub since: Moment,
    /// It has passed the point of no return: the promotion was issued, or the orderly demotion
    /// asked for the release of the lock. From then on its own node must not extend the lock.
    pub committed: bool,
}

/// A long task that ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobReport {
    /// Which.
    pub job: Job,
    /// How.
    pub end: JobEnd,
    /// Changes to the memory of the core, applied at the beginning of the next cycle.
    pub effects: Vec<Effect>,
}

/// How a long task ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum JobEnd {
    /// As it should.
    Success,
    /// Not as it should.
    Failure,
    /// PostgreSQL is still starting.
    Unfinished,
    /// Somebody ended it.
    Cancelled,
}

/// A change to the memory of the core.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Effect {
    /// The lock was given back.
    LockReleased,
    /// The data may have diverged.
    CheckDivergence,
    /// What a comparison of histories found.
    Compared(crate::divergence::Divergence),
    /// The state of rewinding.
    Rewind(crate::memory::RewindState),
    /// These logical slots were copied from the primary.
    SlotsCopied(Vec<SlotName>),
    /// The hook refused the promotion.
    PrePromoteFailed,
    /// A start was ordered: its end is to be judged by the next cycles.
    Recovering {
        /// The limit of this start, when it has one of its own.
        start_timeout: Option<Duration>,
    },
}
