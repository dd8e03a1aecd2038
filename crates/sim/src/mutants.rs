//! Known faults, put back on purpose: of the body (here) and of the rules (`patroni_ha::mutant`).

use std::time::Duration;

use patroni_core::{Revision, SyncState};
use patroni_dcs::memory::{Condition, Request};
use patroni_ha::Outcome;
use patroni_ha::mutant::Mutant as Rule;
use serde::{Deserialize, Serialize};

use crate::event::Event;
use crate::invariants::Invariant;
use crate::world::{PREFIX, World};

/// A known fault. Each proves that the invariants see something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Mutant {
    /// The lease counts from the answer of the store, not from the request.
    LeaseFromAnswer,
    /// A raised `ttl` counts for a lock that was taken by the one before.
    LeaseOfNewTtl,
    /// The body says that the lock is held without asking the store.
    PromoteBeforeLock,
    /// The lock is given back before PostgreSQL was stopped.
    ReleaseBeforeStop,
    /// Nothing stops PostgreSQL when the lease is over.
    GuardOff,
    /// The `sync` key is written later than the body says.
    SyncKeyLate,
    /// The lease is measured with the wall clock.
    WallClockLease,
    /// The lock is written without looking whether it is free.
    LockWithoutCondition,
    /// An acquisition without an answer counts as one that succeeded.
    SilenceIsSuccess,
    /// A renewal without an answer counts as one that succeeded.
    SilenceIsConsent,
    /// The watchdog waits longer than the lock lasts.
    WatchdogTooLong,
    /// The clock of the lease stands still while the machine does.
    LeaseSleeps,
    /// The guardian of a primary does not act.
    GuardianAsleep,
    /// A fault of a rule; needs the feature `mutants`.
    Rule(Rule),
}

/// What is to be told about a mutant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Story {
    /// The fault, as somebody would describe it.
    pub fault: &'static str,
    /// Where such a fault was, or could be.
    pub source: &'static str,
    /// The invariants that may find it.
    pub found_by: &'static [Invariant],
}

const OURS: &str = "this project, in development";
const REFERENCE: &str = "seen in the reference";
const OTHERS: &str = "other managers of high availability";
const TEXTBOOK: &str = "the textbook of leases";

impl Mutant {
    /// Those of the body, then those of the rules.
    pub fn all() -> Vec<Self> {
        let body = [
            Self::LeaseFromAnswer,
            Self::LeaseOfNewTtl,
            Self::PromoteBeforeLock,
            Self::ReleaseBeforeStop,
            Self::GuardOff,
            Self::SyncKeyLate,
            Self::WallClockLease,
            Self::LockWithoutCondition,
            Self::SilenceIsSuccess,
            Self::SilenceIsConsent,
            Self::WatchdogTooLong,
            Self::LeaseSleeps,
            Self::GuardianAsleep,
        ];
        let rules = Rule::ALL.into_iter().map(Self::Rule);
        body.into_iter().chain(rules).collect()
    }

    /// Its name in the table.
    pub fn name(self) -> String {
        match self {
            Self::Rule(rule) => format!("{rule:?}"),
            Self::LeaseFromAnswer
            | Self::LeaseOfNewTtl
            | Self::PromoteBeforeLock
            | Self::ReleaseBeforeStop
            | Self::GuardOff
            | Self::SyncKeyLate
            | Self::WallClockLease
            | Self::LockWithoutCondition
            | Self::SilenceIsSuccess
            | Self::SilenceIsConsent
            | Self::WatchdogTooLong
            | Self::LeaseSleeps
            | Self::GuardianAsleep => format!("{self:?}"),
        }
    }

    /// What it is about.
    pub fn story(self) -> Story {
        use Invariant as I;
        let story = |fault, source, found_by| Story {
            fault,
            source,
            found_by,
        };
        match self {
            Self::LeaseFromAnswer => story(
                "the lease counts from the answer, not from the request",
                TEXTBOOK,
                &[I::OneHolder],
            ),
            Self::LeaseOfNewTtl => story(
                "a raised ttl counts for a lock that was taken by the one before",
                OURS,
                &[I::OneHolder, I::OnePrimary, I::NoLostWrite],
            ),
            Self::PromoteBeforeLock => story(
                "promote on the belief that the lock will be had",
                OTHERS,
                &[I::OneHolder, I::OnePrimary, I::Timelines, I::NoLostWrite],
            ),
            Self::ReleaseBeforeStop => story(
                "give the lock back, then stop the server",
                OTHERS,
                &[I::OneHolder, I::OnePrimary, I::NoLostWrite],
            ),
            Self::GuardOff => story(
                "rely on the loop to notice the end of the lease",
                REFERENCE,
                &[I::OneHolder, I::OnePrimary, I::NoLostWrite],
            ),
            Self::SyncKeyLate => story(
                "say that the sync key is written when it is queued",
                OTHERS,
                &[I::SyncKey, I::NoLostWrite],
            ),
            Self::WallClockLease => story(
                "measure the lease with the wall clock",
                REFERENCE,
                &[I::OneHolder, I::OnePrimary, I::NoLostWrite, I::Healing],
            ),
            Self::LockWithoutCondition => story(
                "write the lock without comparing",
                OTHERS,
                &[I::OneHolder, I::OnePrimary, I::NoLostWrite],
            ),
            Self::SilenceIsSuccess => story(
                "take a lock request without an answer for granted",
                TEXTBOOK,
                &[I::OneHolder, I::OnePrimary, I::Timelines, I::NoLostWrite],
            ),
            Self::SilenceIsConsent => story(
                "a renewal without an answer counts as one that succeeded",
                TEXTBOOK,
                &[I::OneHolder, I::OnePrimary, I::NoLostWrite],
            ),
            Self::WatchdogTooLong => story(
                "let the watchdog wait longer than the lock lasts",
                REFERENCE,
                &[I::OneHolder, I::OnePrimary, I::NoLostWrite],
            ),
            Self::LeaseSleeps => story(
                "a clock that stands still while the machine does",
                TEXTBOOK,
                &[I::OneHolder, I::OnePrimary, I::NoLostWrite],
            ),
            Self::GuardianAsleep => story(
                "a daemon that stands still, and nobody beside it who acts",
                REFERENCE,
                &[I::OneHolder, I::OnePrimary, I::NoLostWrite],
            ),
            Self::Rule(rule) => rule_story(rule),
        }
    }
}

#[expect(clippy::too_many_lines, reason = "a flat match reads like a table")]
fn rule_story(rule: Rule) -> Story {
    use Invariant as I;
    let (fault, source, found_by): (_, _, &'static [I]) = match rule {
        Rule::SettingBeforeKey => (
            "stop waiting for standbys, then remove the key",
            REFERENCE,
            &[I::SyncKey, I::NoLostWrite],
        ),
        Rule::DropFromSettingFirst => (
            "drop a standby from the setting, then from the key",
            REFERENCE,
            &[I::SyncKey, I::NoLostWrite],
        ),
        Rule::KeyBeforeSetting => (
            "name a standby in the key before it is waited for",
            REFERENCE,
            &[I::SyncKey, I::NoLostWrite],
        ),
        Rule::NotCaughtUp => (
            "name a standby in the key that has not caught up",
            REFERENCE,
            &[I::SyncKey, I::NoLostWrite, I::Handover],
        ),
        Rule::AnybodyMayRace => (
            "let a node race that the sync key does not name",
            OTHERS,
            &[I::NoLostWrite],
        ),
        Rule::YoungVoterCounts => (
            "count the vote of a standby that still replays its own WAL",
            REFERENCE,
            &[I::NoLostWrite],
        ),
        Rule::UnconditionalSync => (
            "write the sync key without comparing",
            REFERENCE,
            &[I::JudgedRevision],
        ),
        Rule::IgnoreNofailover => (
            "promote a node that is tagged nofailover",
            OTHERS,
            &[I::Electable],
        ),
        Rule::TimelineIgnored => (
            "compare positions, not timelines",
            REFERENCE,
            &[I::OnePrimary, I::NoLostWrite, I::Timelines],
        ),
        Rule::LagIgnored => (
            "promote a node that lags more than allowed",
            OTHERS,
            &[I::Electable],
        ),
        Rule::WatchdogEarly => (
            "disarm the watchdog before the server has stopped",
            REFERENCE,
            &[I::Watchdog],
        ),
        Rule::WatchdogForgotten => (
            "promote without arming the watchdog",
            OTHERS,
            &[I::Watchdog],
        ),
        Rule::FailsafeMajority => (
            "failsafe mode by a majority instead of all",
            TEXTBOOK,
            &[I::OnePrimary, I::OneHolder, I::NoLostWrite],
        ),
        Rule::FailsafeNewTopology => (
            "ask the members of the new topology only",
            OURS,
            &[I::OnePrimary, I::OneHolder, I::NoLostWrite],
        ),
        Rule::ConsentForgotten => (
            "forget a consent with the end of the daemon",
            OURS,
            &[I::OnePrimary, I::OneHolder, I::NoLostWrite],
        ),
        Rule::OutsiderRaces => (
            "race although the failsafe topology does not name one",
            OURS,
            &[I::OnePrimary, I::OneHolder, I::NoLostWrite],
        ),
        Rule::RemoveUnderServer => (
            "remove the data directory under a running server",
            OTHERS,
            &[I::DataDirectory],
        ),
        Rule::StartWithoutLock => (
            "start as primary after a crash without the lock",
            OTHERS,
            &[I::OnePrimary, I::OneHolder, I::Timelines, I::NoLostWrite],
        ),
        Rule::RestartWithoutLock => (
            "restart as primary although the lock was lost",
            OURS,
            &[I::OnePrimary, I::OneHolder, I::Timelines, I::NoLostWrite],
        ),
        Rule::RewindTooEarly => (
            "rewind before the new primary's checkpoint",
            REFERENCE,
            &[I::DataDirectory],
        ),
        Rule::DivergenceIgnored => (
            "follow a leader whose history has left ours",
            REFERENCE,
            &[I::Healing],
        ),
        Rule::StandstillIsEnd => (
            "a position that does not move is the end of the log",
            OTHERS,
            &[I::Handover],
        ),
        Rule::ReleaseFirst => (
            "choose the new primary before stopping the old one",
            OTHERS,
            &[I::Handover, I::OneHolder],
        ),
        Rule::ReleaseWithoutStop => (
            "demote on paper: release the lock, let the server run",
            OTHERS,
            &[I::Handover, I::OneHolder],
        ),
        Rule::HookOutlivesLock => (
            "promote after a hook that took longer than the lock",
            OURS,
            &[I::OneHolder, I::OnePrimary, I::Timelines, I::NoLostWrite],
        ),
    };
    Story {
        fault,
        source,
        found_by,
    }
}

impl World {
    /// Whether a fault of the body is put back.
    pub(crate) fn mutated(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    /// [`Mutant::ReleaseBeforeStop`]: the lock goes before the server does.
    pub(crate) fn release_early(&mut self, node: usize) {
        let request = Request::Delete {
            key: format!("{PREFIX}/leader"),
            condition: Condition::Value(self.names[node].clone()),
        };
        // An unreachable store keeps the lock.
        let _answer = self.model.call(&self.names[node], self.now, request);
    }

    /// [`Mutant::SyncKeyLate`]: success is reported, the write comes later.
    pub(crate) fn write_sync_later(&mut self, state: SyncState) -> Outcome {
        // Later than the longest time to live, or the key would be right again in any election.
        self.schedule(Duration::from_mins(2), Event::LateSync { state });
        let revision = Revision::new(self.model.revision());
        Outcome::SyncWritten(Ok(revision))
    }

    pub(crate) fn late_sync(&mut self, state: &SyncState) {
        let request = Request::Put {
            key: format!("{PREFIX}/sync"),
            value: state.to_json(),
            lease: None,
            condition: Condition::Always,
        };
        let _answer = self.model.call("late", self.now, request);
    }
}
