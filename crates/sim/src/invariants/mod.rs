//! What must hold in every run, one file each.

pub(crate) mod data_dir;
pub(crate) mod electable;
pub(crate) mod handover;
pub(crate) mod healing;
pub(crate) mod judged_revision;
pub(crate) mod no_lost_write;
pub(crate) mod one_holder;
pub(crate) mod one_primary;
pub(crate) mod own_check;
pub(crate) mod slots;
pub(crate) mod sync_key;
pub(crate) mod timelines;
pub(crate) mod watchdog;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use patroni_core::{Lsn, Moment, SlotName};
use serde::{Deserialize, Serialize};

use crate::postgres::wal::BranchId;
use crate::survey::Phase;
use crate::world::World;

/// The names of the invariants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Invariant {
    /// No write is acknowledged by a primary that another one has replaced.
    OnePrimary,
    /// No write that synchronous mode acknowledged is lost.
    NoLostWrite,
    /// Timelines grow, and no number is used by two histories.
    Timelines,
    /// Nobody gets the lock while another one may still rely on it.
    OneHolder,
    /// Conditional writes carry a revision of the judged snapshot.
    JudgedRevision,
    /// A data directory is removed for a reason, and never under a running server.
    DataDirectory,
    /// Published slots do not go back, and logical ones are not ahead of the replay.
    Slots,
    /// Whom the `sync` key names has every acknowledged commit.
    SyncKey,
    /// The lock is given back by a stopped server, and early only to somebody who has everything.
    Handover,
    /// The watchdog is armed before a promotion, and as long as there are writes.
    Watchdog,
    /// Nobody leads who may not, or who lags too much.
    Electable,
    /// The core has nothing to stop at the end of a cycle.
    OwnCheck,
    /// When faults end, everything heals.
    Healing,
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OnePrimary => "one primary",
            Self::NoLostWrite => "no lost write",
            Self::Timelines => "timelines",
            Self::OneHolder => "one holder",
            Self::JudgedRevision => "judged revision",
            Self::DataDirectory => "data directory",
            Self::Slots => "slots",
            Self::SyncKey => "sync key",
            Self::Handover => "handover",
            Self::Watchdog => "watchdog",
            Self::Electable => "electable",
            Self::OwnCheck => "own check",
            Self::Healing => "healing",
        })
    }
}

/// What the invariants remember. It knows everything, and no program can see it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Witness {
    pub(crate) phase: Phase,
    pub(crate) healthy_since: Option<Moment>,
    pub(crate) last_acknowledged: Moment,
    /// The branch of the last promotion.
    pub(crate) newest: Option<BranchId>,
    /// Who got the lock because somebody asked for a failover to it, whatever is lost.
    pub(crate) by_request: BTreeSet<usize>,
    /// The last promotion was such a one.
    pub(crate) newest_by_request: bool,
    /// Who published positions of slots last, and which.
    pub(crate) published: Option<(usize, BTreeMap<SlotName, Lsn>)>,
    /// Who was asked to make a new copy.
    pub(crate) asked_for_copy: BTreeSet<usize>,
}

impl World {
    /// Whether the stored configuration says pause.
    pub(crate) fn is_paused(&self) -> bool {
        self.stored.pause
    }

    /// While paused, nobody is demoted. A node knows of the pause, and of its end, by what it
    /// could read last.
    pub(crate) fn note_pause(&mut self) {
        let paused = self.is_paused();
        for node in &mut self.nodes {
            if paused || node.daemon.settings.pause {
                node.paused_until = self.now + node.daemon.settings.retry_timeout * 2;
            }
        }
    }
}
