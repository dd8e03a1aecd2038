//! All write-ahead log that was ever written in a run, as a tree of branches.
//!
//! A timeline's number can be used twice when things go wrong, so identity is the branch, and
//! the number only what PostgreSQL would show.

use patroni_core::{Lsn, SystemId, Timeline};

/// One branch of the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct BranchId(usize);

/// From one promotion (or initdb) on.
#[derive(Clone, Debug)]
pub(crate) struct Branch {
    pub(crate) number: Timeline,
    /// Where it left which branch.
    pub(crate) parent: Option<(BranchId, Lsn)>,
    pub(crate) system: SystemId,
    /// The furthest flushed position on any node.
    pub(crate) extent: Lsn,
    /// A server ran as primary on it, and took or could take writes.
    pub(crate) in_production: bool,
    /// The end of the last commit on it whose loss synchronous mode forbids.
    pub(crate) promised: Lsn,
}

/// The tree.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wal {
    branches: Vec<Branch>,
}

/// Where initdb leaves the log.
pub(crate) const FIRST_LSN: Lsn = Lsn::new(0x0100_0000);

impl Wal {
    pub(crate) fn get(&self, id: BranchId) -> &Branch {
        &self.branches[id.0]
    }

    pub(crate) fn get_mut(&mut self, id: BranchId) -> &mut Branch {
        &mut self.branches[id.0]
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (BranchId, &Branch)> {
        let numbered = self.branches.iter().enumerate();
        numbered.map(|(index, branch)| (BranchId(index), branch))
    }

    /// Synchronous mode was switched off, and with it what it promised.
    pub(crate) fn forget_promises(&mut self) {
        for branch in &mut self.branches {
            branch.promised = Lsn::ZERO;
        }
    }

    fn add(
        &mut self,
        number: Timeline,
        parent: Option<(BranchId, Lsn)>,
        system: SystemId,
    ) -> BranchId {
        self.branches.push(Branch {
            number,
            system,
            extent: parent.map_or(FIRST_LSN, |(_, at)| at),
            parent,
            in_production: false,
            promised: Lsn::ZERO,
        });
        BranchId(self.branches.len() - 1)
    }

    /// A new database cluster.
    pub(crate) fn initdb(&mut self) -> BranchId {
        let number =
            7_000_000_000_000_000_001_u64 + u64::try_from(self.branches.len()).unwrap_or_default();
        let system = SystemId::parse(&number.to_string());
        let system = system.unwrap_or_else(|| unreachable!("nineteen digits are valid"));
        self.add(Timeline::FIRST, None, system)
    }

    /// A promotion: the number after the highest one that this cluster's archive knows.
    pub(crate) fn promote(&mut self, from: BranchId, at: Lsn) -> BranchId {
        let system = self.get(from).system.clone();
        let known = self
            .branches
            .iter()
            .filter(|branch| branch.system == system);
        let highest = known.map(|branch| branch.number).max();
        let number = highest.map_or(Timeline::FIRST, Timeline::next);
        self.add(number, Some((from, at)), system)
    }

    /// Somebody goes on writing where another has already written: the same number twice.
    pub(crate) fn fork(&mut self, from: BranchId, at: Lsn) -> BranchId {
        let Branch { number, system, .. } = self.get(from).clone();
        self.add(number, Some((from, at)), system)
    }

    /// Notes what is on a disk.
    pub(crate) fn flushed(&mut self, branch: BranchId, to: Lsn) {
        let extent = &mut self.get_mut(branch).extent;
        *extent = (*extent).max(to);
    }

    /// Up to where `branch` is in the past of `of`: without a bound when they are the same.
    pub(crate) fn shared(&self, branch: BranchId, of: BranchId) -> Option<Lsn> {
        if branch == of {
            return Some(Lsn::new(u64::MAX));
        }
        let mut limit = Lsn::new(u64::MAX);
        let mut at = of;
        while let Some((parent, switch)) = self.get(at).parent {
            limit = limit.min(switch);
            if parent == branch {
                return Some(limit);
            }
            at = parent;
        }
        None
    }

    /// Whether a position on `branch` is in the past of `of`.
    pub(crate) fn contains(&self, of: BranchId, branch: BranchId, lsn: Lsn) -> bool {
        self.shared(branch, of).is_some_and(|limit| lsn <= limit)
    }

    /// The next branch on the way from `ancestor` to `of`.
    pub(crate) fn towards(&self, ancestor: BranchId, of: BranchId) -> Option<BranchId> {
        let mut at = of;
        while let Some((parent, _)) = self.get(at).parent {
            if parent == ancestor {
                return Some(at);
            }
            at = parent;
        }
        None
    }

    /// The end of each earlier timeline of a branch, oldest first: its history file.
    pub(crate) fn history(&self, of: BranchId) -> Vec<(Timeline, Lsn)> {
        let mut lines = Vec::new();
        let mut at = of;
        while let Some((parent, switch)) = self.get(at).parent {
            lines.push((self.get(parent).number, switch));
            at = parent;
        }
        lines.reverse();
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_past_of_a_branch_ends_at_its_switchpoints() {
        let mut wal = Wal::default();
        let one = wal.initdb();
        let two = wal.promote(one, Lsn::new(200));
        let other = wal.promote(one, Lsn::new(150));
        let three = wal.promote(two, Lsn::new(300));
        assert!(wal.contains(three, one, Lsn::new(200)));
        assert!(!wal.contains(three, one, Lsn::new(201)));
        assert!(!wal.contains(three, other, Lsn::new(1)));
        assert_eq!(wal.towards(one, three), Some(two));
        let numbers: Vec<u32> = wal.history(three).iter().map(|(t, _)| t.number()).collect();
        assert_eq!((numbers, wal.get(three).number.number()), (vec![1, 2], 4));
    }
}
