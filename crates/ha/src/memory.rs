//! What the core remembers from one cycle to the next.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use patroni_core::{
    Cluster, Lsn, MemberData, MemberName, Moment, SlotName, SyncState, Timeline, Xid,
};
use serde::{Deserialize, Serialize};

use crate::divergence::{Divergence, Trouble};
use crate::job::Effect;

/// How far the question "have my data diverged from the leader's?" is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum RewindState {
    /// Nothing is known, and nothing was asked.
    #[default]
    Initial,
    /// A check is due.
    Check,
    /// They have: a rewind (or a new copy) is needed.
    Need,
    /// They have not.
    NotNeed,
    /// A rewind was done.
    Success,
    /// A rewind failed.
    Failed,
}

impl RewindState {
    /// A rewind was tried since the last reset, whatever came of it.
    pub const fn was_executed(self) -> bool {
        matches!(self, Self::Success | Self::Failed)
    }
}

/// The failsafe mode, as somebody knows of it who has no lock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum FailsafeMode {
    /// No primary leads by it.
    #[default]
    Off,
    /// It is on.
    On,
    /// It was switched off, as seen at this moment: a primary without the store has not heard it.
    Ended(Moment),
}

/// Everything that lives longer than one cycle. It starts empty with the daemon.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// The moment of the last outcome.
    pub last_moment: Moment,
    /// When the first cycle of this daemon began.
    pub began: Option<Moment>,
    /// Whether and how long this node may act as leader.
    pub lease: Lease,
    /// The last view that had a leader: its members take part in the race.
    pub old_view: Option<Arc<Cluster>>,
    /// What the leader said of itself in the last view of a pause, until it says something that
    /// shows that it knows of its end.
    #[serde(default)]
    pub unresumed: Option<MemberData>,
    /// Whether a primary may lead by the topology of the failsafe mode.
    #[serde(default)]
    pub failsafe_mode: FailsafeMode,
    /// A valid identity of this cluster was seen in the store by this daemon.
    pub seen_identity: bool,
    /// The last cycle was paused.
    pub was_paused: bool,
    /// A start was ordered; its end is judged in the next cycle.
    pub recovering: bool,
    /// A new cluster is being bootstrapped here.
    pub bootstrap: BootstrapPhase,
    /// Divergence and rewinding.
    pub rewind: RewindState,
    /// What the last comparison of histories found.
    #[serde(default)]
    pub divergence: Option<Divergence>,
    /// What the last rewind was to repair. Found again, another rewind will not repair it.
    #[serde(default)]
    pub rewound: Option<Divergence>,
    /// Since when this standby gets no WAL from whom it follows.
    #[serde(default)]
    pub stall: Option<Stall>,
    /// Why it gets none, for others to see.
    #[serde(default)]
    pub trouble: Option<Trouble>,
    /// When crash recovery in single-user mode was tried, until a start succeeds.
    pub crash_recovery_tried: Option<Moment>,
    /// The time limit of a requested restart, while it starts.
    pub start_timeout: Option<Duration>,
    /// Whether the daemon before this one may have left a promotion under way.
    #[serde(default)]
    pub inherited: Inherited,
    /// Who led before the store named this node, which had not asked for the lock.
    #[serde(default)]
    pub unasked_lock: Option<MemberName>,
    /// The hook refused the promotion; the lock is still to be given back.
    pub pre_promote_failed: bool,
    /// The race that won the lock, until it is decided that it was judged well.
    #[serde(default)]
    pub race: Option<JudgedRace>,
    /// When the lock was given back because of the hook.
    pub backing_off_since: Option<Moment>,
    /// Who of the synchronous standbys has caught up.
    pub sync: SyncMemory,
    /// Logical slots on a standby.
    pub slots: SlotMemory,
    /// When each member slot was last wanted by a present member.
    pub last_seen: BTreeMap<SlotName, Moment>,
    /// The timeline whose switch in the store was compared with the local history.
    #[serde(default)]
    pub history_of: Option<Timeline>,
    /// We ask to be released as synchronous standby.
    pub leaving_sync: bool,
    /// Until when this primary runs on in failsafe mode.
    pub failsafe_until: Option<Moment>,
    /// The failsafe members as last read from the store, and those written since.
    pub failsafe_members: Option<BTreeMap<MemberName, String>>,
    /// Positions that members told while they accepted the failsafe announcement.
    pub failsafe_positions: BTreeMap<SlotName, Lsn>,
    /// A known fault that the rules have again, see [`mutant`](crate::mutant).
    #[cfg(feature = "mutants")]
    #[serde(default)]
    pub mutant: Option<crate::mutant::Mutant>,
}

/// What a race was judged by. A process that stands still between two steps of it may find the
/// lock free once more, after others have led, and would take for true what they told before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JudgedRace {
    /// When the questions began.
    pub at: Moment,
    /// Whose votes or words counted.
    pub sync: SyncState,
    /// Why it is worth nothing, once that is known: the lock goes back, however often the store
    /// has to be asked for it.
    pub outdated: Option<String>,
}

/// What a daemon that has just begun knows of the promotions ordered before its time. A server
/// that was told to promote does so whenever it is ready, and shows nothing of it until then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Inherited {
    /// No view was seen yet.
    #[default]
    Unknown,
    /// The lock was ours in the first view while the server was in recovery, and the server has
    /// neither come to an end of that nor stopped since.
    PerhapsPromoting,
    /// Nothing is under way that this daemon did not order.
    Nothing,
}

/// The right to act as leader.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Lease {
    /// The lock was not ours, or is known to be lost.
    #[default]
    None,
    /// The lock was ours by a request sent `ttl` before this moment. After it nothing is known.
    Until(Moment),
    /// The lock was ours until the store showed it free at this moment, without our doing.
    /// Others may have led since; see the race of a running primary.
    Lapsed(Moment),
}

impl Lease {
    /// Whether it lasts.
    pub fn is_valid(self, now: Moment) -> bool {
        match self {
            Self::None | Self::Lapsed(_) => false,
            Self::Until(end) => now < end,
        }
    }

    /// For how long it has been over, when it ran out without being given up.
    pub fn over_for(self, now: Moment) -> Option<Duration> {
        match self {
            Self::None => None,
            Self::Until(end) => (now >= end).then(|| now.since(end)),
            Self::Lapsed(since) => Some(now.since(since)),
        }
    }
}

/// A running standby that gets no WAL, or cannot replay what it gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stall {
    /// Since when.
    pub since: Moment,
    /// When its history was last compared because of it.
    pub compared: Option<Moment>,
    /// How far it had replayed then.
    pub replayed: Option<Lsn>,
}

/// How far the bootstrap of a new cluster is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum BootstrapPhase {
    /// None is going on.
    #[default]
    None,
    /// The data directory is being made, or PostgreSQL comes up on it.
    Creating,
    /// Roles and scripts.
    PostInit,
    /// All of it is done, and the cluster can be announced.
    Ready,
    /// Something failed.
    Failed,
}

/// What is remembered of `synchronous_standby_names`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncMemory {
    /// The value in effect when it was last looked at.
    pub names: String,
    /// Our position when it last changed.
    pub changed_at: Lsn,
    /// Listed standbys (lower case) known to have caught up.
    pub ready: BTreeSet<String>,
    /// Elected in quorum mode, and not seen as primary since.
    pub elected: bool,
    /// When a new primary in quorum mode changes the names that it waits for for the first time.
    pub resumes: Option<Moment>,
}

/// What is remembered of logical slots.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotMemory {
    /// Start time of the server that `unready` is about.
    pub server: Option<String>,
    /// Slots that are not proven safe to be used after a failover, each with the `catalog_xmin`
    /// of the primary's slot of that name, once the primary protected this node.
    pub unready: BTreeMap<SlotName, Option<Xid>>,
    /// Where those begin of which the log was told that this node lacks their WAL.
    #[serde(default)]
    pub told_lacking: BTreeMap<SlotName, Lsn>,
    /// Slots that cannot move any more: they must be copied anew.
    pub stale: BTreeSet<SlotName>,
    /// `hot_standby_feedback` is forced.
    pub feedback: bool,
}

impl Memory {
    /// The moment of the last outcome.
    pub const fn now(&self) -> Moment {
        self.last_moment
    }

    /// The data are known not to be those of the cluster, and nothing that may be done mends them.
    pub fn has_diverged(&self) -> bool {
        self.trouble.as_ref().is_some_and(Trouble::is_divergence)
    }

    /// Whether this node may act as leader at `now`.
    pub fn is_leader(&self, now: Moment) -> bool {
        self.lease.is_valid(now)
    }

    /// Carries out what a long task left to remember.
    pub(crate) fn apply(&mut self, effect: &Effect) {
        match effect {
            Effect::LockReleased => self.lease = Lease::None,
            Effect::CheckDivergence => self.mark_check(),
            Effect::Compared(found) => self.divergence = Some(found.clone()),
            Effect::Rewind(state) => {
                self.rewind = *state;
                if matches!(state, RewindState::Initial | RewindState::Success) {
                    self.trouble = None;
                }
                if state.was_executed() {
                    self.rewound = self.divergence.take();
                }
            }
            Effect::SlotsCopied(names) => {
                for name in names {
                    self.slots.stale.remove(name);
                    self.slots.unready.insert(name.clone(), None);
                }
            }
            Effect::PrePromoteFailed => self.pre_promote_failed = true,
            Effect::Recovering { start_timeout } => {
                self.recovering = true;
                self.start_timeout = *start_timeout;
            }
        }
    }

    /// A divergence check is due, unless the need for a rewind is known already.
    pub(crate) fn mark_check(&mut self) {
        if self.rewind != RewindState::Need {
            self.rewind = RewindState::Check;
        }
    }
}
