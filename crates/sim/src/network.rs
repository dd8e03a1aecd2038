//! Who can reach whom, per direction. The way to the store is kept by the store's own model.

use std::collections::BTreeSet;

/// A kind of traffic between two members, which can be cut alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Traffic {
    /// REST between daemons.
    Rest,
    /// Replication, copies, rewinds, and queries of a daemon at another server.
    Postgres,
}

/// The directions that are cut.
#[derive(Clone, Debug, Default)]
pub(crate) struct Network {
    cut: BTreeSet<(Traffic, usize, usize)>,
}

impl Network {
    /// What `from` sends arrives at `to`; an answer may still be lost.
    pub(crate) fn arrives(&self, traffic: Traffic, from: usize, to: usize) -> bool {
        self.cut.is_empty() || !self.cut.contains(&(traffic, from, to))
    }

    /// Question and answer arrive.
    pub(crate) fn reaches(&self, traffic: Traffic, a: usize, b: usize) -> bool {
        self.arrives(traffic, a, b) && self.arrives(traffic, b, a)
    }

    /// Nothing arrives any more in this direction.
    pub(crate) fn cut(&mut self, traffic: Traffic, from: usize, to: usize) {
        self.cut.insert((traffic, from, to));
    }

    pub(crate) fn mend(&mut self, traffic: Traffic, from: usize, to: usize) {
        self.cut.remove(&(traffic, from, to));
    }

    pub(crate) fn mend_all(&mut self) {
        self.cut.clear();
    }
}
