//! Known faults of rules, to be put back on purpose: they prove that the invariants of the
//! simulator see something.
//!
//! Only with the feature `mutants` they can be switched on (`Memory::mutant`). Without it, and so
//! in every released binary, each hook is a constant `false` and the compiler removes it.

use serde::{Deserialize, Serialize};

use crate::context::Cx;

/// A known fault of a rule. What it does and where it was seen is told by the simulator, which
/// prints the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Mutant {
    /// Switching synchronous mode off ends the waiting before the key is removed.
    SettingBeforeKey,
    /// A standby that is to be dropped leaves the setting before the key.
    DropFromSettingFirst,
    /// A new synchronous standby enters the key before anybody waits for it.
    KeyBeforeSetting,
    /// A standby enters the key when it is listed, caught up or not.
    NotCaughtUp,
    /// The race does not look at the key.
    AnybodyMayRace,
    /// The key is written without a condition.
    UnconditionalSync,
    /// The vote of a standby counts that still replays its own WAL.
    YoungVoterCounts,
    /// The node does not look at its own `nofailover`.
    IgnoreNofailover,
    /// The race looks at no timeline.
    TimelineIgnored,
    /// The race does not look at `maximum_lag_on_failover`.
    LagIgnored,
    /// The watchdog is disarmed before the server was stopped.
    WatchdogEarly,
    /// Nobody arms the watchdog.
    WatchdogForgotten,
    /// In failsafe mode the consent of a majority is enough.
    FailsafeMajority,
    /// The members of the new failsafe topology are asked, not those of the old one as well.
    FailsafeNewTopology,
    /// A daemon forgets with its end what it promised to a primary in failsafe mode.
    ConsentForgotten,
    /// Who is not in the failsafe topology races all the same.
    OutsiderRaces,
    /// A new copy is begun before the server was stopped.
    RemoveUnderServer,
    /// A crashed primary is started as one without the lock.
    StartWithoutLock,
    /// A restarted primary comes up as one without the lock.
    RestartWithoutLock,
    /// A rewind does not wait for the new primary's checkpoint.
    RewindTooEarly,
    /// Diverged data are taken for good ones.
    DivergenceIgnored,
    /// A candidate whose position does not move is taken to have everything.
    StandstillIsEnd,
    /// In a switchover the lock is given back before the server is stopped.
    ReleaseFirst,
    /// A demotion gives the lock back while the server runs.
    ReleaseWithoutStop,
    /// The promotion does not ask whether the lock outlived the hook.
    HookOutlivesLock,
}

impl Mutant {
    /// Every one.
    pub const ALL: [Self; 25] = [
        Self::SettingBeforeKey,
        Self::DropFromSettingFirst,
        Self::KeyBeforeSetting,
        Self::NotCaughtUp,
        Self::AnybodyMayRace,
        Self::UnconditionalSync,
        Self::YoungVoterCounts,
        Self::IgnoreNofailover,
        Self::TimelineIgnored,
        Self::LagIgnored,
        Self::WatchdogEarly,
        Self::WatchdogForgotten,
        Self::FailsafeMajority,
        Self::FailsafeNewTopology,
        Self::ConsentForgotten,
        Self::OutsiderRaces,
        Self::RemoveUnderServer,
        Self::StartWithoutLock,
        Self::RestartWithoutLock,
        Self::RewindTooEarly,
        Self::DivergenceIgnored,
        Self::StandstillIsEnd,
        Self::ReleaseFirst,
        Self::ReleaseWithoutStop,
        Self::HookOutlivesLock,
    ];
}

impl Cx<'_> {
    /// Whether this fault is put back.
    #[cfg(feature = "mutants")]
    pub(crate) fn mutated(&self, mutant: Mutant) -> bool {
        self.memory.mutant == Some(mutant)
    }

    /// Whether this fault is put back: never in this build.
    #[cfg(not(feature = "mutants"))]
    #[expect(clippy::unused_self, reason = "the same call as with the feature")]
    pub(crate) const fn mutated(&self, _mutant: Mutant) -> bool {
        false
    }
}
