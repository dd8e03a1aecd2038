//! What the core says on the way: log sentences, each from one row of one table.

use std::collections::BTreeSet;
use std::fmt;

use patroni_core::{FailoverRequest, Lsn, MemberName, SlotName, Timeline, Xid};
use serde::{Deserialize, Serialize};

use crate::command::RewindSource;
use crate::divergence::{Divergence, Trouble};
use crate::wording::wording;

/// How loud a sentence is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Level {
    /// How we got there.
    Debug,
    /// What changed.
    Info,
    /// Odd, and we went on.
    Warning,
    /// Something failed, and a person should look.
    Error,
    /// The node gives up.
    Critical,
}

/// One line for the log, in the order of saying.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sentence {
    /// How loud.
    pub level: Level,
    /// What.
    pub text: Text,
}

impl From<Text> for Sentence {
    fn from(text: Text) -> Self {
        Self {
            level: text.level(),
            text,
        }
    }
}

impl fmt::Display for Sentence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(f)
    }
}

/// A name that may be missing; shown as `None` then, which is what tools match.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrNone(pub Option<MemberName>);

impl fmt::Display for OrNone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(name) => name.fmt(f),
            None => f.write_str("None"),
        }
    }
}

/// A list of names in the form that tools match: `['a', 'b']`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameList(pub Vec<String>);

impl NameList {
    /// A list in the order given.
    pub fn of<T: ToString>(names: impl IntoIterator<Item = T>) -> Self {
        Self(names.into_iter().map(|name| name.to_string()).collect())
    }
}

impl fmt::Display for NameList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quoted: Vec<String> = self.0.iter().map(|name| format!("'{name}'")).collect();
        write!(f, "[{}]", quoted.join(", "))
    }
}

/// Names in a sentence: `a, b`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed(pub Vec<String>);

impl Listed {
    /// A list in the order given.
    pub fn of<T: ToString>(names: impl IntoIterator<Item = T>) -> Self {
        Self(names.into_iter().map(|name| name.to_string()).collect())
    }
}

impl fmt::Display for Listed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(", "))
    }
}

/// A set of names in the form that tools match: `{'a', 'b'}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameSet(BTreeSet<String>);

impl NameSet {
    /// A set of these.
    pub fn of<T: ToString>(names: impl IntoIterator<Item = T>) -> Self {
        Self(names.into_iter().map(|name| name.to_string()).collect())
    }

    /// Whether nobody is in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for NameSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quoted: Vec<String> = self.0.iter().map(|name| format!("'{name}'")).collect();
        write!(f, "{{{}}}", quoted.join(", "))
    }
}

/// What a change of leader is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    /// Asked for, with a leader named.
    Switchover,
    /// Asked for, with only a candidate named.
    ManualFailover,
    /// Nobody asked.
    Failover,
}

impl Action {
    /// The bare noun: `switchover` or `failover`.
    pub const fn bare(self) -> &'static str {
        match self {
            Self::Switchover => "switchover",
            Self::ManualFailover | Self::Failover => "failover",
        }
    }

    /// The noun at the beginning of a sentence.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Switchover => "Switchover",
            Self::ManualFailover => "Manual failover",
            Self::Failover => "Failover",
        }
    }

    /// What this request is called; `None` stands for no request.
    pub fn of(request: Option<&FailoverRequest>) -> Self {
        match request {
            Some(request) if request.leader.is_some() => Self::Switchover,
            Some(_) => Self::ManualFailover,
            None => Self::Failover,
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Switchover => "switchover",
            Self::ManualFailover => "manual failover",
            Self::Failover => "failover",
        })
    }
}

wording! { levels
    /// Every sentence that the core says beside the results of cycles.
    pub enum Text {
        // ---- the loop
        Info LockOwner { owner: OrNone, me: MemberName } => "Lock owner: {owner}; I am {me}";
        Error StoreUnreachable => "Error communicating with DCS";
        Error Unexpected { what: String } => "Unexpected exception: {what}";
        Warning HalfRewound =>
            "A rewind did not come to its end, and its data must not be started: they are rewound when a primary answers, else `patronictl reinit` copies them anew";
        Warning PostgresqlNotRunning => "Postgresql is not running.";
        Warning FallingBackToRole => "Failed to determine PostgreSQL state from the connection, falling back to cached role";
        Error NoStatus => "Exception when called state_handler.last_operation()";
        Error NoInitializeKey => "No initialize key in DCS and PostgreSQL is running as replica, aborting start";
        Error StartPrimaryFirst => "Please first start Patroni on the node running as primary";
        Warning SystemIdChanged { cluster: String, mine: String } => "system ID has changed while in paused mode. Patroni will exit when resuming unless system ID is reset: {cluster} != {mine}";
        Critical Invariant { what: String } => "A safety rule would be broken: {what}";

        // ---- bootstrap and start
        Info RemovingInitialize => "removing initialize key after failed attempt to bootstrap the cluster";
        Error WatchdogStopsBootstrap => "Cancelling bootstrap because watchdog activation failed";
        Info Bootstrapped { message: String } => "bootstrapped {message}";
        Error BootstrapFailed { message: String } => "failed to bootstrap {message}";
        Info SkippingCrashRecovery => "Skipping single-user crash recovery because backup_label exists; PostgreSQL will recover from the backup when it starts";
        Info PrimaryCrashed => "Primary crashed. Failing over.";
        Info LostLockWhileStarting => "Lost lock while starting up. Demoting self.";
        Info StartTakesTooLong => "Demoting self because primary startup is taking too long";
        Info StillStartingAsStandby => "Still starting up as a standby.";
        Info RecoveryTakesTooLong => "Demoting self because crash recovery is taking too long";

        // ---- leadership
        Info NotHealthyEnough => "not healthy enough for leader race";
        Error FailedToUpdateLock => "failed to update leader lock";
        Info LeaderKeyReleased => "Leader key released";
        Info Demoting { mode: String } => "Demoting self ({mode})";
        Info DemotingPrimaryDuring { action: String } => "Demoting primary during {action}";
        Info ServerSilent { seconds: u64 } => "demoting self because PostgreSQL has not answered new connections for {seconds} seconds";
        Info DemotingForLostStore => "demoting self because DCS is not accessible and I was a leader";
        Warning LeaseRanOut { seconds: u64 } => "the leader lock ran out {seconds} s ago while this process did not run, looking at the cluster before anything else";
        Warning LostIdentity { name: MemberName } => "the store has no initialize key, but member {name} has data: this node founds no cluster beside it";
        Warning LostIdentityOfCluster { position: Lsn } => "the store has no initialize key, but a status key that a leader wrote at {position}: this node founds no cluster beside that one; if it is gone for good, remove what is left of it with `patronictl remove`";
        Warning UnaskedLock { former: MemberName } => "the leader lock is ours without our doing, and {former} led before: the store may have been put back from an old copy. Giving the lock back";
        Warning OutdatedJudgement { why: String } => "giving the lock back, the race was judged by what is not true any more: {why}";
        Warning Superseded { why: String } => "another node may have been promoted meanwhile: {why}";
        Info UpdatingFailoverKey => "Updating failover key after acquiring leader lock...";
        Info CleaningFailoverKeyAfterLock => "Cleaning up failover key after acquiring leader lock...";
        Info CleaningFailoverKey => "Cleaning up failover key";
        Warning ReleasingAfterPrePromote => "Releasing the leader key voluntarily because the pre-promote script failed";
        Info PromoteCancelled => "PostgreSQL promote cancelled.";

        // ---- the race
        Info BackingOff => "backoff: skip leader race after pre_promote script failure and releasing the lock voluntarily";
        Warning PrimaryTimelineBehind { mine: Timeline, cluster: Timeline } => "My timeline {mine} is behind last known cluster timeline {cluster}";
        Info TimelineBehind { mine: Timeline, cluster: Timeline } => "My timeline {mine} is behind last known cluster timeline {cluster}";
        Info NoTimeline => "Can not figure out my timeline";
        Warning WatchdogNotUsable => "Watchdog device is not usable";
        Info LagTooHigh => "My wal position exceeds maximum replication lag";
        Info GotResponse { name: MemberName, url: String, body: String } => "Got response from {name} {url}: {body}";
        Warning RequestFailed { name: MemberName, url: String, error: String } => "Request failed to {name}: GET {url} ({error})";
        Warning PostFailed { name: MemberName, url: String, error: String } => "Request failed to {name}: POST {url} ({error})";
        Warning PrimaryAlive { name: MemberName } => "Primary ({name}) is still alive";
        Info PeerAhead { name: MemberName } => "Wal position of {name} is ahead of my wal position";
        Info FormerLeaderAhead => "Ignoring the former leader being ahead of us";
        Info QuorumVote { name: MemberName } => "Got quorum vote from {name}";
        Info VoterStreams { name: MemberName } =>
            "No quorum vote from {name} yet: it may still stream, and a primary may write on without the lock";
        Info VoterReplays { name: MemberName } =>
            "No quorum vote from {name} yet: it still replays WAL that it had when it started";
        Info PeerPriority { name: MemberName, theirs: i64, mine: i64 } => "{name} has equally tolerable WAL position and priority {theirs}, while this node has priority {mine}";
        Info FormerLeaderPriority { name: MemberName, theirs: i64, mine: i64 } => "Ignoring former leader {name} having priority {theirs} higher than this nodes {mine} priority";

        // ---- failover and switchover
        Info Awaiting { action: String, at: String, seconds: i64 } => "Awaiting {action} at {at} (in {seconds} seconds)";
        Warning Stale { action: String, at: String } => "Found a stale {action} value, cleaning up: {at}";
        Info ManualScheduled { action: String, at: String } => "Manual scheduled {action} at {at}";
        Warning BadSchedule { text: String } => "Incorrect value of scheduled_at: {text}";
        Warning LeaderDoesNotMatch { action: Action, asked: MemberName, me: MemberName } => "{action}: leader name does not match: {asked} != {me}";
        Warning AlreadyLeader { action: Action, bare: String } => "{action}: I am already the leader, no need to {bare}";
        Warning OnlyToCandidate { title: String } => "{title} is possible only to a specific candidate in a paused state";
        Warning NoHealthyMembers { action: Action, bare: String } => "{action}: no healthy members found, {bare} is not possible";
        Warning CandidateNotRunning { action: Action } => "{action}: removing failover key because failover candidate is not running";
        Info FailoverTo { action: Action, name: MemberName, me: MemberName } => "{action}: to {name}, i am {me}";
        Warning CandidateIs { action: Action, name: MemberName, reason: String } => "{action}: member {name} is {reason}";
        Warning CandidatesEmpty { action: Action } => "{action}: candidates list is empty";
        Warning CandidateNotSync { title: String, candidate: MemberName, standbys: NameList } => "{title} candidate={candidate} does not match with sync_standbys={standbys}";
        Info MemberIs { name: MemberName, reason: String } => "Member {name} is {reason}";
        Info MemberLags { name: MemberName } => "Member {name} exceeds maximum replication lag";
        Info MemberTimelineBehind { name: MemberName, timeline: Timeline, cluster: Timeline } => "Timeline {timeline} of member {name} is behind the cluster timeline {cluster}";
        Info QuorumUnreachable { quorum: usize } => "Quorum requirement {quorum} can not be reached";

        // ---- synchronous mode
        Info SyncEnabled => "Enabled synchronous replication";
        Info SyncDisabled => "Disabled synchronous replication";
        Warning SyncUpdateFailed => "Updating sync state failed";
        Warning SyncLeaderDiffers { leader: OrNone, me: MemberName } => "Inconsistent state of /sync key detected, leader = {leader} doesn't match {me}, updating synchronous replication key";
        Warning SyncNamesDiffer { names: NameList, key: NameList } => "Inconsistent state between synchronous_standby_names = {names} and /sync = {key} key detected, updating synchronous replication key...";
        Info SyncNarrowing { from: NameList, to: NameList } => "Updating synchronous privilege temporarily from {from} to {to}";
        Info SyncTaken => "Synchronous replication key updated by someone else.";
        Warning NoStandbys => "No standbys available!";
        Info SyncAssigning { names: NameList } => "Assigning synchronous standby status to {names}";
        Info SyncAssigned { names: NameList } => "Synchronous standby status assigned to {names}";
        Info SettingSync { numsync: usize, total: usize, names: Listed } => "Setting synchronous replication to {numsync} of {total} ({names})";
        Info SettingQuorum { leader: MemberName, quorum: usize, total: usize, names: Listed } => "Setting leader to {leader}, quorum to {quorum} of {total} ({names})";
        Warning ReplicationFactor { wanted: usize, available: usize } => "Replication factor {wanted} requested, but {available} synchronous standbys available. Commits will be delayed.";
        Warning QuorumBroken { what: String } => "{what}";
        Warning QuorumReset { what: String } => "no safe way between two quorum states: {what}. Nobody but the leader is electable until standbys are synchronous again";
        Info QuorumWaits => "standbys have not caught up yet, the synchronous replication key stays as it is";
        Info WaitingForRelease => "Waiting for primary to release us from synchronous standby";
        Warning SyncLeaveNoView => "Could not get cluster state, skipping synchronous standby disable";
        Warning SyncLeaveNoTouch => "Updating member state failed, skipping synchronous standby disable";
        Warning SyncNamesUnreadable { what: String } => "{what}";

        // ---- divergence and rewind
        Info ControlData { lines: String } => "pg_controldata:{lines}";
        Info LocalTimeline { timeline: Timeline, lsn: Lsn } => "Local timeline={timeline} lsn={lsn}";
        Info PrimaryTimeline { timeline: Timeline } => "primary_timeline={timeline}";
        Info PrimaryHistory { lines: String } => "primary: history={lines}";
        Info LeaderInRecovery => "Leader is still in_recovery and therefore can't be used for rewind";
        Info WaitingForCheckpoint { name: RewindSource } => "Waiting for checkpoint on {name} before rewind";
        Warning CannotUseForRewind { name: RewindSource, reason: String } => "Can not use {name} for rewind: {reason}";
        Warning RewindServerRuns => "Can not run pg_rewind because postgres is still running";
        Warning RewindLeaderGone { name: RewindSource } => "Failed to rewind because primary {name} become unreachable";
        Error RewindFailed { name: RewindSource } => "Failed to rewind from healthy primary: {name}";
        Warning Removing { setting: String } => "{setting} is set. removing...";
        Warning HasDiverged { source: RewindSource, why: Divergence } => "the local data have diverged from {source}: {why}";
        Warning CannotRepair { why: Divergence } => "pg_rewind cannot repair this and nothing else is configured, a new copy is needed (reinit): {why}";
        Warning GetsNoWal { trouble: Trouble } => "this node does not receive WAL: {trouble}";
        Info NotArchivingCheckpoint => "Not archiving latest checkpoint WAL file. Archiving is not configured.";

        // ---- slots and history
        Info SlotExpired { slot: SlotName, seconds: u64 } => "Replication slot '{slot}' for absent cluster member is expired after {seconds} sec.";
        Error SlotShared { what: String } => "Following cluster members share a replication slot name: {what}";
        Error BadSlot { slot: String, value: String } => "Bad value for slot '{slot}' in permanent_slots: {value}";
        Error BadSlotName { slot: String } => "Invalid permanent replication slot name '{slot}'";
        Error SlotNameRule => "Slot name may only contain lower case letters, numbers, and the underscore chars";
        Error SlotConflicts { entry: String } => "Permanent logical replication slot {entry} is conflicting with physical replication slot for cluster member";
        Error LogicalSlotsNeed11 { slots: NameList } => "Permanent logical replication slots supported by Patroni only starting from PostgreSQL 11. Following slots will not be created: {slots}.";
        Info DroppingUnknownSlot { slot: SlotName } => "Trying to drop unknown replication slot '{slot}'";
        Info DroppingLostSlot { slot: SlotName } => "Trying to drop replication slot '{slot}' with wal_status=lost";
        Info DroppingChangedSlot { slot: SlotName, old: String, new: String } => "Trying to drop replication slot '{slot}' because value is changing from {old} to {new}";
        Warning DroppingForXmin { slot: SlotName, xmin: Xid } => "Dropping physical replication slot {slot} because of its xmin value {xmin}";
        Warning DroppingWithoutPosition { slot: SlotName } => "Dropping physical replication slot {slot} because it has no restart_lsn. This slot was probably not created by Patroni, but by an external agent.";
        Info SlotDropped { slot: SlotName } => "Dropped replication slot '{slot}'";
        Warning SlotActive { slot: SlotName } => "Unable to drop replication slot '{slot}', slot is active";
        Error SlotNotDropped { slot: SlotName } => "Failed to drop replication slot '{slot}'";
        Error SlotNotCreated { slot: SlotName, reason: String } => "Failed to create physical replication slot '{slot}': {reason}";
        Error LogicalSlotNotCreated { slot: SlotName, plugin: String, reason: String } => "Failed to create logical replication slot '{slot}' plugin='{plugin}': {reason}";
        Error SlotNotAdvanced { slot: SlotName, to: Lsn, reason: String } => "Error while advancing replication slot {slot} to position '{to}': {reason}";
        Error SlotsException { reason: String } => "Exception when changing replication slots: {reason}";
        Info LogicalSlotSafe { slot: SlotName } => "Logical slot {slot} is safe to be used after a failover";
        Warning SlotsUnsafe { set: NameSet } => "Logical replication slots that might be unsafe to use after promote: {set}";
        Warning NoPhysicalSlot { slot: SlotName } => "Physical slot {slot} does not exist on the primary";
        Error SlotNotChecked { slot: SlotName, error: String } => "Failed to check {slot} physical slot on the primary: {error}";
        Error FeedbackOff => "Logical slot failover requires \"hot_standby_feedback\". Please check postgresql.auto.conf";
        Error FeedbackNotChecked { error: String } => "Failed to check the hot_standby_feedback setting: {error}";
        Error SlotsNotCopied { name: MemberName, error: String } => "Failed to copy logical slots from the {name} via postgresql connection: {error}";
        Warning SlotMismatch { slot: SlotName, configured: String, found: String } => "Will not copy the logical slot \"{slot}\" due to the configuration mismatch: configuration={configured}, slot on the primary={found}";
        Info SlotAheadOfReplay { slot: SlotName, confirmed: Lsn, replayed: Lsn } => "Not copying the logical slot {slot} yet: it is confirmed up to {confirmed}, and this node has replayed up to {replayed}";
        Info SlotLacksWal { slot: SlotName, restart: Lsn, from: Lsn } => "Logical slot {slot} is not safe to be used after a failover yet: it needs WAL from {restart} on, and this node has it from {from} on";
        Error WalNotRead { error: String } => "Failed to find out whether this node has the WAL that its logical slots need: {error}";
        Error JobException { name: String, error: String } => "Exception during execution of long running task {name}: {error}";
        Error HistoryUnreadable { what: String } => "Failed to read the timeline history: {what}";

        // ---- restart, shutdown
        Info RestartDone { at: String } => "Cancelling scheduled restart: postgres restart has already happened at {at}";
        Info NotRestarting { why: String } => "not proceeding with the restart: {why}";
        Warning RestartFailed { state: String } => "restart failed ('{state}')";
        Info ActionBusy { new: String, old: String } => "Failed to run {new}, {old} is already in progress";
        Info ShutdownPaused => "Leader key is not deleted and Postgresql is not stopped due paused state";
        Error ShutdownFailed { watchdog: String } => "PostgreSQL shutdown failed, leader key not removed.{watchdog}";
        Warning CancellingJob { name: String } => "Cancelling long running task {name}";
    }
}
