//! How a cycle ends: one typed result whose `Display` is the operator's sentence.

use std::fmt;

use patroni_core::MemberName;
use serde::{Deserialize, Serialize};

use crate::command::RewindSource;
use crate::eligibility::Refusal;
use crate::lease::Again;
use crate::rule::Rule;
use crate::sentence::NameList;
use crate::wording::wording;

/// The end of a cycle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// The cluster was paused in this cycle.
    pub paused: bool,
    /// What was done, or why nothing was.
    pub result: CycleResult,
    /// The row of the decision tables that spoke.
    pub rule: Rule,
    /// Set when the daemon must end.
    pub exit: Option<Exit>,
    /// Every node that was looked at and not found fit to lead, with the reason.
    pub refused: Vec<Refusal>,
    /// Set when the next cycle must not wait for its time.
    #[serde(default)]
    pub again: Option<Again>,
}

impl Verdict {
    /// Whether this is the line of an uneventful cycle, which may be logged less often.
    pub fn is_heartbeat(&self) -> bool {
        self.result.is_heartbeat()
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.paused {
            f.write_str("PAUSE: ")?;
        }
        self.result.fmt(f)
    }
}

/// The daemon must end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// The exit code.
    pub code: i32,
    /// The last words.
    pub message: String,
    /// PostgreSQL stays as it is; otherwise the normal shutdown follows.
    pub leave_server: bool,
}

wording! {
    /// Every result of a cycle.
    pub enum CycleResult {
        // ---- in general
        Unexpected => "Unexpected exception raised, please report it as a BUG";
        InProgress { action: String } => "{action} in progress";
        Fenced { what: String } => "stopped before breaking a safety rule: {what}";

        // ---- bootstrap
        NoInitializeLock => "failed to acquire initialize lock";
        Bootstrapping => "trying to bootstrap a new cluster";
        BootstrappingStandbyLeader => "trying to bootstrap a new standby leader";
        Cloning { source: String } => "trying to bootstrap {source}";
        WaitingForLeader => "waiting for leader to bootstrap";
        WaitingForStandbyLeader => "waiting for standby_leader to bootstrap";
        WaitingForRecovery => "waiting for end of recovery after bootstrap";
        RunningPostBootstrap => "running post_bootstrap";
        Initialized => "initialized a new cluster";
        BootstrapFailed => "Failed to bootstrap cluster";

        // ---- the data directory and the identity
        ReleasedWithoutData { what: String } => "released leader key voluntarily as data dir {what} and currently leader";
        DataInaccessible { error: String } => "data directory is not accessible: {error}";
        EmptyWhilePaused => "running with empty data directory";
        SystemIdInvalid => "data dir for the cluster is not empty, but system ID is invalid; consider doing reinitialize";
        ReleasedForSystemId => "released leader key voluntarily due to the system ID mismatch";
        SystemIdMismatch { me: MemberName, cluster: String, mine: String } => "system ID mismatch, node {me} belongs to a different cluster: {cluster} != {mine}";
        NoInitializeKey => "No initialize key in DCS and PostgreSQL is running as replica, aborting start";

        // ---- a server that does not run, or not yet
        ReleasedAfterFailedStart => "removed leader key after trying and failing to start postgres";
        StartFailed => "failed to start postgres";
        HalfRewound => "not starting PostgreSQL on data that were left half rewound";
        StartedAsSecondary => "started as a secondary";
        ReleasedNotRunning => "removed leader lock because postgres is not running";
        NotRunning => "postgres is not running";
        StoppedToFailOver => "stopped PostgreSQL to fail over after a crash";
        StartingPrimary => "starting primary after failure";
        SingleUserRecovery => "doing crash recovery in a single user mode";
        StartingReadOnly => "starting as readonly because i had the session lock";
        StartingStandbyLeader => "starting as a standby leader because i had the session lock";
        FollowingRemote => "trying to follow a remote member because standby cluster is unhealthy";
        StartingSecondary => "starting as a secondary";
        LostKeyWhileStarting => "stopped PostgreSQL while starting up because leader key was lost";
        StoppedForStartTimeout => "stopped PostgreSQL because of startup timeout";
        StartTimedOut => "primary start has timed out, but continuing to wait because failover is not possible";
        StillStarting { seconds: u64 } => "PostgreSQL is still starting up, {seconds} seconds until timeout";

        // ---- while a long action runs
        RecoveryTerminated => "terminated crash recovery because of startup timeout";
        LockUpdatedDuring { action: String } => "updated leader lock during {action}";
        LostBeforePromote => "lost leader before promote";
        LostDuring { action: String } => "lost leader lock during {action}";

        // ---- the race
        DemotingNotAllowed => "demoting self because I am not allowed to become primary";
        FollowingNotAllowed => "following a different leader because I am not allowed to promote";
        DemotingNotHealthiest => "demoting self because i am not the healthiest node";
        FollowingNotHealthiest => "following a different leader because i am not the healthiest node";
        DemotedWithoutLock => "demoted self after trying and failing to obtain lock";
        FollowingWithoutLock => "following new leader after trying and failing to obtain lock";
        PromotedStandbyLeaderByRace => "promoted self to a standby leader by acquiring session lock";
        AcquiredAsLeader => "acquired session lock as a leader";
        PromotedByRace => "promoted self to leader by acquiring session lock";

        // ---- with a leader
        WaitingToPromote => "waiting to become primary after promote...";
        ReleasedNotPrimary => "removed leader lock because postgres is not running as primary";
        Leader { me: MemberName } => "no action. I am ({me}), the leader with the lock";
        StandbyLeader { me: MemberName } => "no action. I am ({me}), the standby leader with the lock";
        PromotedWithLock => "promoted self to leader because I had the session lock";
        PromotedStandbyLeaderWithLock => "promoted self to a standby leader because i had the session lock";
        ContinuePrimaryPaused => "continue to run as primary after failing to update leader lock in DCS";
        DemotedForLock => "demoted self because failed to update leader lock in DCS";
        ReleasedUnaskedLock => "released a leader lock that this node did not take";
        LeaseRanOutMeanwhile => "the leader lock ran out before the answer to its renewal came, looking at the cluster again";
        NotPromotingWithoutLock => "not promoting because failed to update leader lock in DCS";
        NoRealPrimaryInStandbyCluster => "cannot be a real primary in a standby cluster";
        NoRealPrimaryStandbyCluster => "cannot be a real primary in standby cluster";
        FollowingStandbyLeader { me: MemberName, leader: MemberName } => "no action. I am ({me}), a secondary, and following a standby leader ({leader})";
        DemotingWithoutLock => "demoting self because I do not have the lock and I was a leader";
        Following { me: MemberName, leader: MemberName } => "no action. I am ({me}), a secondary, and following a leader ({leader})";
        ContinueWithoutLock => "continue to run as primary without lock";
        NoAction { me: MemberName } => "no action. I am ({me})";
        FollowingOldStandbyLeader => "continue following the old known standby leader";

        // ---- promotion
        WatchdogDemotes => "Demoting self because watchdog could not be activated";
        WatchdogForbids => "Not promoting self because watchdog could not be activated";
        PrePromoteFailed => "Promotion cancelled because the pre-promote script failed";
        PostponingPromotion => "Postponing promotion because synchronous replication state was updated by somebody else";

        // ---- a server that hangs
        DemotedSilent => "demoted self because PostgreSQL does not answer new connections";

        // ---- the store is down
        StoreDown => "DCS is not accessible";
        LeaseLasts { seconds: u64 } => "DCS is not accessible, continue to run as a leader while the lease lasts ({seconds} seconds left)";
        FailsafeLeader => "continue to run as a leader because failsafe mode is enabled and all members are accessible";
        DemotedStoreDown => "demoted self because DCS is not accessible and I was a leader";

        // ---- requests
        DemotingMyself { action: String } => "{action}: demoting myself";
        Rewinding { leader: RewindSource } => "running pg_rewind from {leader}";
        Reinitializing => "reinitializing due to diverged timelines";
        RestartScheduled => "restart initiated";
        CopyingSlots { slots: NameList } => "Copying logical slots {slots} from the primary";
        RestartBusy { action: String } => "{action} already in progress";
    }
}

impl CycleResult {
    /// Whether it begins with `no action. `.
    pub fn is_heartbeat(&self) -> bool {
        matches!(
            self,
            Self::Leader { .. }
                | Self::StandbyLeader { .. }
                | Self::Following { .. }
                | Self::FollowingStandbyLeader { .. }
                | Self::NoAction { .. }
        )
    }
}
