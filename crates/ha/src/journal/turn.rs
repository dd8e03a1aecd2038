//! What a decision meant for the leadership of its member.

use patroni_core::account::Turn;

use super::record::{End, Record};
use crate::command::Command;
use crate::job::{Job, JobEnd, JobReport};
use crate::verdict::CycleResult;

/// The turn of a record.
pub(super) fn of(record: &Record) -> Turn {
    match &record.end {
        End::Verdict { verdict, .. } => of_result(&verdict.result),
        End::Report { report, .. } => of_task(record, report),
        End::BrokenOff => Turn::Other,
    }
}

fn of_task(record: &Record, report: &JobReport) -> Turn {
    let released = |asked: &super::Asked| matches!(asked.command, Command::ReleaseLeader { .. });
    match &report.job {
        Job::Promote if report.end == JobEnd::Success => Turn::Promoted,
        Job::Promote => Turn::Refused,
        Job::Demote { .. } => Turn::SteppedDown,
        Job::Shutdown if record.asked.iter().any(released) => Turn::SteppedDown,
        Job::Shutdown => Turn::Other,
        Job::Bootstrap
        | Job::BootstrapStandbyLeader
        | Job::Clone { .. }
        | Job::PostBootstrap
        | Job::CopyLogicalSlots { .. }
        | Job::CrashRecovery
        | Job::Rewind { .. }
        | Job::Reinitialize { .. }
        | Job::StartPrimary { .. }
        | Job::StartReplica { .. }
        | Job::RestartFollow { .. }
        | Job::Restart(_) => Turn::Repaired,
    }
}

fn of_result(result: &CycleResult) -> Turn {
    use CycleResult as R;
    match result {
        R::Leader { .. }
        | R::StandbyLeader { .. }
        | R::Following { .. }
        | R::FollowingStandbyLeader { .. }
        | R::FollowingOldStandbyLeader
        | R::NoAction { .. }
        | R::InProgress { .. }
        | R::LockUpdatedDuring { .. }
        | R::StillStarting { .. }
        | R::WaitingForLeader
        | R::WaitingForStandbyLeader
        | R::WaitingForRecovery
        | R::WaitingToPromote
        | R::ContinueWithoutLock
        | R::ContinuePrimaryPaused
        | R::EmptyWhilePaused
        | R::NotRunning => Turn::Steady,
        R::PromotedByRace
        | R::PromotedWithLock
        | R::AcquiredAsLeader
        | R::PromotedStandbyLeaderByRace
        | R::PromotedStandbyLeaderWithLock
        | R::Initialized => Turn::TookOver,
        R::DemotedForLock
        | R::DemotedSilent
        | R::DemotedStoreDown
        | R::DemotedWithoutLock
        | R::DemotingWithoutLock
        | R::DemotingNotAllowed
        | R::DemotingNotHealthiest
        | R::DemotingMyself { .. }
        | R::NoRealPrimaryInStandbyCluster
        | R::NoRealPrimaryStandbyCluster
        | R::LostBeforePromote
        | R::LostDuring { .. }
        | R::LostKeyWhileStarting
        | R::PrePromoteFailed
        | R::RecoveryTerminated
        | R::ReleasedAfterFailedStart
        | R::ReleasedForSystemId
        | R::ReleasedNotPrimary
        | R::ReleasedUnaskedLock
        | R::ReleasedNotRunning
        | R::ReleasedWithoutData { .. }
        | R::StoppedForStartTimeout
        | R::StoppedToFailOver
        | R::WatchdogDemotes
        | R::WatchdogForbids => Turn::SteppedDown,
        R::BootstrapFailed
        | R::DataInaccessible { .. }
        | R::Fenced { .. }
        | R::FollowingNotAllowed
        | R::FollowingNotHealthiest
        | R::FollowingWithoutLock
        | R::HalfRewound
        | R::NoInitializeKey
        | R::NoInitializeLock
        | R::LeaseRanOutMeanwhile
        | R::NotPromotingWithoutLock
        | R::PostponingPromotion
        | R::RestartBusy { .. }
        | R::StartFailed
        | R::StartTimedOut
        | R::SystemIdInvalid
        | R::SystemIdMismatch { .. } => Turn::Refused,
        R::StoreDown | R::FailsafeLeader | R::LeaseLasts { .. } => Turn::StoreLost,
        R::Bootstrapping
        | R::BootstrappingStandbyLeader
        | R::Cloning { .. }
        | R::CopyingSlots { .. }
        | R::FollowingRemote
        | R::Reinitializing
        | R::RestartScheduled
        | R::Rewinding { .. }
        | R::RunningPostBootstrap
        | R::SingleUserRecovery
        | R::StartedAsSecondary
        | R::StartingPrimary
        | R::StartingReadOnly
        | R::StartingSecondary
        | R::StartingStandbyLeader => Turn::Repaired,
        R::Unexpected => Turn::Other,
    }
}
