//! What a cycle or a job asks its body to do, one thing at a time.
//!
//! A command is complete: whoever carries it out decides nothing. Each has exactly one kind of
//! [`Outcome`](crate::outcome::Outcome), named in its description; a failure is an outcome too.

mod slots;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use patroni_core::{
    FailoverRequest, History, Leader, MemberName, Revision, Role, SlotName, State, Status,
    SyncNames, SyncState, SystemId, Tags, Timeline, Upstream,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::divergence::Trouble;
use crate::job::Job;

pub use slots::{LogicalSlot, SlotAdvance, SlotChange, SlotFile};

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Command {
    // ---- store -------------------------------------------------------------------------------
    /// Read the store anew. `Outcome::Cluster`
    LoadCluster,
    /// Publish the member object, built by the body from its newest facts. `Outcome::Write`
    TouchMember(MemberNotes),
    /// Take the lock if it is free. `Outcome::Lock`
    AcquireLeader,
    /// Extend the lock; after success write status and failsafe. `Outcome::Lock`
    UpdateLeader {
        /// The lock as the snapshot shows it.
        judged: Leader,
        /// The status to publish, `None` when it could not be measured.
        status: Option<Status>,
        /// The failsafe members to publish, `None` while the mode is off.
        failsafe: Option<BTreeMap<MemberName, String>>,
    },
    /// Take the lock at the end of a bootstrap. `Outcome::Lock`
    TakeLeader,
    /// Write the status if given, then give the lock back. `Outcome::Write`
    ReleaseLeader {
        /// The lock as the snapshot shows it.
        judged: Option<Leader>,
        /// The last position.
        status: Option<Status>,
    },
    /// Enter the bootstrap race. `Outcome::Write`
    BeginInitialize,
    /// Write the identity of the cluster. `Outcome::Write`
    SetSystemId(SystemId),
    /// Leave the bootstrap race after a failure. `Outcome::Write`
    CancelInitialize,
    /// Write or clear the failover key. `Outcome::Write`
    WriteFailover {
        /// The new value, empty to clear.
        request: FailoverRequest,
        /// Compare with this revision; `None` writes unconditionally.
        judged: Option<Revision>,
    },
    /// Write the dynamic configuration. `Outcome::Write`
    WriteConfig {
        /// The document.
        data: Map<String, Value>,
        /// Compare with this revision; `None` writes unconditionally.
        judged: Option<Revision>,
    },
    /// Write the synchronous state. `Outcome::SyncWritten`
    WriteSync {
        /// The new value.
        state: SyncState,
        /// Compare with this revision; `None` creates it, where nobody else has.
        judged: Option<Revision>,
    },
    /// Remove the synchronous state. `Outcome::Write`
    DeleteSync {
        /// Compare with this revision.
        judged: Option<Revision>,
    },
    /// Write the history. `Outcome::Write`
    WriteHistory(History),

    // ---- peers -------------------------------------------------------------------------------
    /// Ask members for their status, in parallel, 2 s. `Outcome::Peers`, in the order asked.
    AskPeers(Vec<Peer>),
    /// Announce ourselves as leader without a store to every member, in parallel.
    /// `Outcome::Failsafe`
    AnnounceFailsafe(Vec<Peer>),

    // ---- local server ------------------------------------------------------------------------
    /// Look at the server again. `Outcome::Server`
    Requery,
    /// `Outcome::Done`
    SetState(State),
    /// `Outcome::Done`
    SetRole(Role),
    /// Start a callback and do not wait. `Outcome::Done`
    RunCallback(CallbackEvent, Role),
    /// Run the `pre_promote` hook. `Outcome::Hook`
    PrePromote,
    /// Stop the server. Repeated while stopping, it only waits on. `Outcome::Stopped`
    Stop(StopRequest),
    /// Start the server. `Outcome::Started`
    Start(StartRequest),
    /// Issue the promotion; the role becomes `promoted`. Refused when this node's lease is over by
    /// then, unless a pause is in force. The leader of a worker group of Citus tells the
    /// coordinator before. `Outcome::Success`
    Promote,
    /// Wait until the control file says "in production". `Outcome::Success`
    WaitProduction {
        /// At most this long.
        at_most: Duration,
    },
    /// Start the checkpoint after a promotion in the background. `Outcome::Done`
    StartCheckpoint,
    /// Compare the recovery settings in effect with those for this upstream. `Outcome::Recovery`
    CompareRecovery(Upstream),
    /// Write the recovery settings and reload; role and callback follow. `Outcome::Success`
    ReloadRecovery(Upstream),
    /// Set `synchronous_standby_names` and reload if it changed. `Outcome::Success`
    SetSyncNames(SyncNames),
    /// Resume a WAL replay that a decreased parameter paused. `Outcome::Done`
    ResumeReplay,
    /// Change one replication slot. `Outcome::SlotChanged`
    ChangeSlot(SlotChange),
    /// Let logical slots of a standby move in the background; replaces what was asked before.
    /// `Outcome::SlotsGivenUp`
    AdvanceLogicalSlots(Vec<SlotAdvance>),
    /// Force `hot_standby_feedback`, or leave it to the operator again, and reload.
    /// `Outcome::Success`
    EnforceFeedback(bool),
    /// Read `hot_standby_feedback`. `Outcome::Feedback`
    ReadFeedback,
    /// Find the oldest WAL of this node. `Outcome::WalStart`
    ReadWalStart,
    /// Ask the leader what its slots hold back. `Outcome::LeaderSlots`
    InspectSlots {
        /// Whom to ask.
        leader: LeaderAddress,
        /// The physical slot of this node.
        physical: SlotName,
        /// Logical slots.
        logical: Vec<SlotName>,
    },
    /// Read logical slots with their state files from the leader, unless it is in recovery.
    /// `Outcome::SlotsFetched`
    FetchSlots {
        /// Whom to ask.
        leader: LeaderAddress,
        /// Which.
        names: Vec<SlotName>,
    },
    /// Put state files in their places while the server is down. `Outcome::Success`
    InstallSlots(Vec<SlotFile>),
    /// Ask this server for its timeline and history. `Outcome::LeaderInspected`
    InspectLeader(RewindSource),
    /// Find the local timeline and position for the divergence check. `Outcome::LocalPosition`
    LocalPosition,
    /// Read the history file of the running primary's timeline. `Outcome::TimelineHistory`
    ReadTimelineHistory,
    /// Whether the history file of this timeline lies in the data directory. `Outcome::Success`
    HasHistory(Timeline),
    /// Run `pg_rewind` against this server. `Outcome::Rewound`
    PgRewind {
        /// Whose history to follow afterwards.
        source: RewindSource,
        /// How the local data parted from it.
        parting: Parting,
    },
    /// Run the server in single-user mode to finish crash recovery. `Outcome::Success`
    SingleUserRecovery,
    /// Hand WAL that is ready to the archive. `Outcome::Done`
    ArchiveReadyWal,
    /// Whether the server hands its WAL to an archive. `Outcome::Success`
    IsArchiving,
    /// Hand the WAL file with the shutdown checkpoint to the archive. `Outcome::Success`
    ArchiveShutdownCheckpoint,
    /// Remove the data directory for a reason that the log names. `Outcome::Success`
    RemoveDataDir(WipeReason),
    /// Rename the data directory of a failed bootstrap to `<dir>.failed`. `Outcome::Done`
    MoveDataDirAside,
    /// Create a database cluster with initdb or the custom method. `Outcome::Success`
    CreateCluster,
    /// Create roles and run `post_bootstrap`. `Outcome::Success`
    PostInit,
    /// Make a copy of the source (or without one). `Outcome::Success`
    CloneFrom(CloneSource),
    /// Forget what was cached about the server: after a pause. `Outcome::Done`
    ResyncAfterPause,
    /// On the leader of a Citus coordinator: look at all groups and bring the table of nodes up to
    /// date, beside the cycles. `Outcome::Done`
    KeepNodeTable,

    // ---- watchdog ----------------------------------------------------------------------------
    /// `Outcome::Success`
    WatchdogActivate,
    /// `Outcome::Done`
    WatchdogKeepAlive,
    /// `Outcome::Done`
    WatchdogDisable,

    // ---- the executor and time ---------------------------------------------------------------
    /// Put a long task into the executor slot. `Outcome::Scheduled`
    Schedule(Job),
    /// End the running long task and wait for its end. `Outcome::Done`
    CancelJob,
    /// Forget the scheduled restart. `Outcome::Done`
    DropScheduledRestart,
    /// Wait. `Outcome::Waited`
    Wait(Wait),
}

/// What only the decision core knows of the member object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberNotes {
    /// Leader, and the checkpoint after promotion has not finished: publish `false`.
    pub awaits_checkpoint: bool,
    /// Ask to be released as synchronous standby.
    pub leaving_sync: bool,
    /// The pause was noticed.
    pub paused: bool,
    /// Why this node does not get its WAL, when that is known not to end by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<Trouble>,
}

impl MemberNotes {
    /// The tags to publish, of those that are configured.
    #[must_use]
    pub fn overlay(&self, tags: &Tags) -> Tags {
        if self.trouble.as_ref().is_some_and(Trouble::is_divergence) {
            tags.diverged()
        } else if self.leaving_sync {
            tags.leaving_sync()
        } else {
            tags.clone()
        }
    }
}

/// A member to be asked over REST.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// Its name.
    pub name: MemberName,
    /// What is called: its `api_url`, or another endpoint beside it.
    pub url: String,
}

/// Which callback.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum CallbackEvent {
    /// `on_start`
    Start,
    /// `on_stop`
    Stop,
    /// `on_restart`
    Restart,
    /// `on_reload`
    Reload,
    /// `on_role_change`
    RoleChange,
}

/// How to stop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopRequest {
    /// How the server treats its clients.
    pub mode: StopMode,
    /// Take a checkpoint first, so that the shutdown is short.
    pub checkpoint: bool,
    /// What to wait for.
    pub until: Until,
    /// Then be rougher; `None` waits for ever.
    pub timeout: Option<Duration>,
    /// Part of a restart: state and callbacks are those of the restart.
    pub restart: bool,
    /// A leader of a Citus cluster goes in order: a worker tells the coordinator right before the
    /// signal, a coordinator forgets what it was about to write.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub announce: bool,
}

/// How the server treats its clients when it stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StopMode {
    /// Ends their sessions and shuts down in order.
    Fast,
    /// Ends at once and recovers at the next start.
    Immediate,
}

/// What a stop waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Until {
    /// The control file says `shut down`: all WAL is written; the archiver may still run.
    ShutDownState,
    /// The process is gone.
    Exit,
}

/// How to start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartRequest {
    /// As what: `Primary` removes signal files, everything else starts in recovery.
    pub role: Role,
    /// Whom to follow in recovery.
    pub upstream: Upstream,
    /// Time limit; `None` means `pg_ctl_timeout` and "unfinished" instead of failure.
    pub timeout: Option<Duration>,
    /// Part of a restart: `on_restart` instead of `on_start`.
    pub restart: bool,
    /// No callback at all: a new cluster is being bootstrapped.
    pub bootstrap: bool,
    /// The node ran before in another role: only `on_role_change`, after the attempt and
    /// whatever came of it.
    pub role_change: bool,
    /// Refused when this node's lease is over by the time that this is carried out, unless a
    /// pause is in force: cycles beside a job may have lost what it began with, and a lock that
    /// the store still shows is not renewed by reading it.
    #[serde(default)]
    pub needs_lease: bool,
}

impl StartRequest {
    /// A start like any other: as a primary only on a lease that lasts.
    #[must_use]
    pub fn new(role: Role, upstream: Upstream) -> Self {
        Self {
            role,
            upstream,
            timeout: None,
            restart: false,
            bootstrap: false,
            role_change: false,
            needs_lease: role == Role::Primary,
        }
    }

    /// The first start of a new cluster, whose lock nobody has yet.
    #[must_use]
    pub fn founding(role: Role, upstream: Upstream) -> Self {
        Self {
            bootstrap: true,
            needs_lease: false,
            ..Self::new(role, upstream)
        }
    }
}

/// Where the leader's PostgreSQL is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaderAddress {
    /// Its name, for the log.
    pub name: MemberName,
    /// Its published address.
    pub conn_url: String,
}

/// The server whose history is the right one: data are compared with it and rewound to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RewindSource {
    /// The leader of this cluster.
    Member(LeaderAddress),
    /// The remote of a standby cluster. Of several hosts the one that takes writes counts.
    Remote {
        /// Host or comma list of hosts.
        host: String,
        /// Port or comma list of ports, 5432 when not given.
        port: Option<String>,
    },
}

impl fmt::Display for RewindSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Member(leader) => leader.name.fmt(f),
            Self::Remote { host, port } => {
                let port = port.as_deref().unwrap_or("5432");
                write!(f, "remote member postgresql://{host}:{port}")
            }
        }
    }
}

/// How the local data parted from the history that they shall follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Parting {
    /// Their timelines have numbers of their own.
    Plain,
    /// One number stands for two timelines. WAL files of that timeline have the names of others
    /// and must not get into the archive.
    Fork,
    /// The same, and both sides are on such a timeline now: `pg_rewind` would take the two for
    /// one. The local data must be given another number first.
    SameNumber,
}

/// Where a copy comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CloneSource {
    /// A member.
    Member {
        /// The member.
        from: LeaderAddress,
        /// Only `pg_basebackup`, whatever methods are configured.
        basebackup_only: bool,
    },
    /// The remote of a standby cluster.
    Remote,
    /// No source: methods that need none.
    Nobody,
}

/// Why a data directory is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WipeReason {
    /// Somebody asked for a new copy.
    Reinitialize,
    /// `pg_rewind` failed and `remove_data_directory_on_rewind_failure` is on.
    RewindFailed,
    /// The timelines diverged and `remove_data_directory_on_diverged_timelines` is on.
    Diverged,
    /// The copy was not finished.
    CloneFailed,
}

/// What to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Wait {
    /// A fixed time, from the contract.
    For(Duration),
    /// A change in the store, at most this long.
    StoreChange {
        /// The bound.
        at_most: Duration,
    },
}
