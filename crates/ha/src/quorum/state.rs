//! What is, what is wanted, and the rule that must hold between them.

use std::collections::BTreeSet;

use patroni_core::MemberName;

use crate::sentence::NameList;

/// A set of member names. Whoever builds a [`State`] has brought them to one spelling.
pub type Names = BTreeSet<MemberName>;

/// Everything that the next steps depend on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// `leader` of the `sync` key.
    pub leader: MemberName,
    /// `quorum` of the key: votes a candidate among the voters needs beside its own.
    pub quorum: usize,
    /// `sync_standby` of the key: who votes, beside its leader.
    pub voters: Names,
    /// How many standbys must confirm a commit: the number in `synchronous_standby_names`.
    pub numsync: usize,
    /// The names in it.
    pub sync: Names,
    /// How many of those names have caught up with the time when the setting last changed.
    pub confirmed: usize,
    /// The standbys that should be in both.
    pub active: Names,
    /// How many confirmations are wanted, where there are enough standbys.
    pub wanted: usize,
    /// The primary, which is the one that asks.
    pub me: MemberName,
}

/// Which rule does not hold. The texts are the reference's warnings.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// Some confirming nodes and some voting nodes have nobody in common.
    #[error(
        "Quorum and sync not guaranteed to overlap: nodes {nodes} >= quorum {quorum} + sync {sync} + 1"
    )]
    NoOverlap {
        /// All nodes that confirm or vote.
        nodes: usize,
        /// Votes needed.
        quorum: usize,
        /// Who confirms.
        sync: NameList,
    },
    /// Some node only votes while another one only confirms.
    #[error("Mismatched sets: voter only={voters} sync only={sync}")]
    Mismatch {
        /// Who only votes.
        voters: NameList,
        /// Who only confirms.
        sync: NameList,
    },
    /// More votes or confirmations would be needed than there are nodes.
    #[error("{needed} of {available} nodes can not be asked for")]
    TooMany {
        /// As many.
        needed: i64,
        /// Of so many.
        available: usize,
    },
}

impl State {
    /// The state of a leader that nobody is synchronous with yet, and nobody wants to be.
    pub fn of_leader(me: MemberName) -> Self {
        Self {
            leader: me.clone(),
            quorum: 0,
            voters: Names::new(),
            numsync: 0,
            sync: Names::new(),
            confirmed: 0,
            active: Names::new(),
            wanted: 1,
            me,
        }
    }

    /// Whether any `numsync` confirming nodes meet any `quorum + 1` voting ones.
    ///
    /// # Errors
    /// The rule that does not hold.
    pub fn check(&self) -> Result<(), Violation> {
        let electorate = with(&self.voters, &self.leader);
        let witnesses = with(&self.sync, &self.me);
        let nodes = electorate.union(&witnesses).count();
        if !self.voters.is_empty() && nodes > self.quorum + self.numsync + 1 {
            return Err(Violation::NoOverlap {
                nodes,
                quorum: self.quorum,
                sync: NameList::of(&self.sync),
            });
        }
        if electorate.is_subset(&witnesses) || witnesses.is_subset(&electorate) {
            return Ok(());
        }
        Err(Violation::Mismatch {
            voters: NameList::of(electorate.difference(&witnesses)),
            sync: NameList::of(witnesses.difference(&electorate)),
        })
    }
}

fn with(names: &Names, one: &MemberName) -> Names {
    let mut all = names.clone();
    all.insert(one.clone());
    all
}
