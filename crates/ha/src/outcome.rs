//! What became of a command.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use patroni_core::server::{LocalServer, SlotKind};
use patroni_core::{
    Cluster, HistoryLine, Lsn, MemberName, Moment, Revision, SlotName, Timeline, Xid,
};
use serde::{Deserialize, Serialize};

use crate::observation::PeerAnswer;

/// The result of one command. The body gives exactly the kind that the command names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Outcome {
    /// It was done, and there is nothing to tell.
    Done,
    /// Whether it succeeded.
    Success(bool),
    /// The store, read anew.
    Cluster(Result<Arc<Cluster>, String>),
    /// A write to the store.
    Write(Written),
    /// A lock operation.
    Lock(LockOutcome),
    /// The synchronous state was written at this revision, or not.
    SyncWritten(Result<Revision, Written>),
    /// Answers of peers.
    Peers(Vec<PeerAnswer>),
    /// Who accepted the announcement, with its position.
    Failsafe(Vec<FailsafeAnswer>),
    /// The local server, looked at again.
    Server(Box<LocalServer>),
    /// A hook ran.
    Hook(HookOutcome),
    /// A stop.
    Stopped(StopOutcome),
    /// A start.
    Started(StartOutcome),
    /// The comparison of recovery settings.
    Recovery(RecoveryChange),
    /// The leader's timeline and history.
    LeaderInspected(Result<LeaderInspection, InspectFailure>),
    /// The local timeline and position.
    LocalPosition(Option<LocalPosition>),
    /// Lines of the local history file.
    TimelineHistory(Result<Vec<HistoryLine>, String>),
    /// `pg_rewind` ended.
    Rewound(RewindOutcome),
    /// What became of a change to a slot.
    SlotChanged(SlotChanged),
    /// Logical slots that could not be moved since the last question, and never will.
    SlotsGivenUp(BTreeSet<SlotName>),
    /// `hot_standby_feedback` in effect, or why it could not be read.
    Feedback(Result<bool, String>),
    /// From where on this node has WAL, or why that cannot be told.
    WalStart(Result<Lsn, String>),
    /// What slots of the leader hold back.
    LeaderSlots(Result<LeaderSlots, String>),
    /// Logical slots of the leader; those that it does not have are left out.
    SlotsFetched(Result<Vec<FetchedSlot>, FetchFailure>),
    /// The long task was taken, or the slot is occupied by the named one.
    Scheduled(Result<(), String>),
    /// A wait ended: whether what was waited for happened.
    Waited(bool),
}

/// A member and its position when it accepted, or why it did not.
pub type FailsafeAnswer = (MemberName, Result<Option<Lsn>, String>);

/// What became of a write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Written {
    /// It is in the store.
    Yes,
    /// The condition did not hold.
    LostRace,
    /// Not written, or not known whether it was.
    Failed(String),
}

/// What became of a lock operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LockOutcome {
    /// The lock is ours until this moment: the moment *before* the request went out, never that of
    /// the answer, and the life that this request asked for, which a newer `ttl` does not change.
    Held {
        /// The end of the lease.
        until: Moment,
    },
    /// The store answered that it is not ours.
    Refused,
    /// Nothing can be concluded.
    Unreachable(String),
}

/// What became of a hook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HookOutcome {
    /// None is configured.
    NotConfigured,
    /// It ended with this code; `None` when it could not be started.
    Exited(Option<i32>),
    /// It was cancelled.
    Cancelled,
}

/// What became of a stop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopOutcome {
    /// What was waited for is reached.
    pub stopped: bool,
    /// Where the shutdown checkpoint is, when the control file says `shut down`.
    pub shutdown: Option<ShutdownPoint>,
}

/// The end of a primary's WAL after an orderly shutdown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShutdownPoint {
    /// The shutdown checkpoint record.
    pub checkpoint: Lsn,
    /// The record before it when that is a WAL switch, else the checkpoint itself.
    pub previous: Lsn,
}

/// What became of a start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StartOutcome {
    /// It accepts connections.
    Running,
    /// It runs and does not accept connections yet.
    Unfinished,
    /// It does not run.
    Failed(String),
}

/// How the recovery settings differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RecoveryChange {
    /// They do not.
    Same,
    /// A reload is enough.
    Reload,
    /// A restart is needed.
    Restart,
}

/// What a leader told about its timelines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaderInspection {
    /// Its current timeline.
    pub timeline: Timeline,
    /// The end of each earlier timeline; `None` when the leader did not deliver its history.
    pub history: Option<Vec<(Timeline, Lsn)>>,
    /// The lines of that history as the leader sent them, for the log; same order and number.
    pub lines: Vec<String>,
    /// Up to where it has written its WAL; nobody who follows it can have more.
    #[serde(default)]
    pub flushed: Option<Lsn>,
}

/// Why a leader could not be inspected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum InspectFailure {
    /// It is still in recovery.
    InRecovery,
    /// No connection, or an error.
    Failed(String),
}

/// The local end of history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalPosition {
    /// The data are those of a standby.
    pub in_recovery: bool,
    /// The timeline.
    pub timeline: Timeline,
    /// The position on it.
    pub lsn: Lsn,
    /// For a former primary: where its last checkpoint record ends, `None` when not readable.
    pub checkpoint_end: Option<Lsn>,
    /// The end of each earlier timeline; `None` when the local history file cannot be read.
    #[serde(default)]
    pub history: Option<Vec<(Timeline, Lsn)>>,
    /// The server crashed and its recovery is still to come: the position is not its end. Its
    /// timeline and history are already what they will be.
    #[serde(default)]
    pub unfinished: bool,
}

/// What became of `pg_rewind`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RewindOutcome {
    /// The data now follow the leader's history.
    Success,
    /// The server could not be stopped.
    ServerRuns,
    /// It failed while the leader was healthy.
    Failed,
    /// It failed and the leader is gone; the data still allow another try, or not.
    LeaderGone {
        /// Another try is possible.
        retry: bool,
    },
}

/// What became of a change to a slot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SlotChanged {
    /// It was done.
    Done,
    /// Somebody uses the slot, and it was not dropped.
    InUse,
    /// There was nothing to do: no such slot to drop, or one to be created was there.
    Nothing,
    /// The server refused; its reason.
    Refused(String),
    /// There is no answer, and there will be none to the next change.
    Lost(String),
}

/// What slots of the leader hold back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaderSlots {
    /// The physical slot.
    pub physical: PhysicalSlot,
    /// `catalog_xmin` of each logical slot that is there.
    pub logical: BTreeMap<SlotName, Xid>,
}

/// A physical slot of the leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PhysicalSlot {
    /// There is none.
    Absent,
    /// It keeps no row from vacuum.
    HoldsNothing,
    /// Its `catalog_xmin`.
    Holds(Xid),
}

/// A logical slot of the leader with everything that a copy needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetchedSlot {
    /// Its name.
    pub name: SlotName,
    /// What it is.
    pub kind: SlotKind,
    /// Up to where its consumer has confirmed.
    pub confirmed: Lsn,
    /// The oldest WAL that decoding needs.
    pub restart: Lsn,
    /// Its state file.
    pub state: Vec<u8>,
}

/// Why slots could not be read from the leader.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FetchFailure {
    /// There was no connection.
    Connect(String),
    /// The question failed.
    Query(String),
}
