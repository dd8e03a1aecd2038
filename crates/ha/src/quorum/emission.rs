//! One step.

use patroni_core::MemberName;

use super::state::Names;

/// One step towards the wanted state. Each is safe by itself, and only in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Emission {
    /// Change `synchronous_standby_names`.
    Sync {
        /// The leader in the key at this time.
        leader: MemberName,
        /// How many must confirm.
        numsync: usize,
        /// Of whom.
        sync: Names,
    },
    /// Write the `sync` key.
    Quorum {
        /// Its leader.
        leader: MemberName,
        /// Votes needed beside the candidate's own.
        quorum: usize,
        /// Who votes.
        voters: Names,
    },
    /// Nobody has confirmed anything yet: look again in a moment and begin anew.
    Restart {
        /// The leader in the key.
        leader: MemberName,
    },
}

impl Emission {
    /// Of two steps of one kind in a row only the later one is worth taking.
    pub(super) fn supersedes(&self, before: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(before)
    }
}
