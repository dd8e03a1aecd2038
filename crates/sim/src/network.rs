//! Who can reach whom. The way to the store is kept by the store's own model.

use std::collections::BTreeSet;

/// A kind of traffic between two members, which can be cut alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Traffic {
    /// REST between daemons.
    Rest,
    /// Replication, copies, rewinds, and queries of a daemon at another server.
    Postgres,
}

/// The links that are cut.
#[derive(Clone, Debug, Default)]
pub(crate) struct Network {
    cut: BTreeSet<(Traffic, usize, usize)>,
}

impl Network {
    pub(crate) fn reaches(&self, traffic: Traffic, a: usize, b: usize) -> bool {
        !self.cut.contains(&(traffic, a.min(b), a.max(b)))
    }

    pub(crate) fn cut(&mut self, traffic: Traffic, a: usize, b: usize) {
        self.cut.insert((traffic, a.min(b), a.max(b)));
    }

    pub(crate) fn mend(&mut self, traffic: Traffic, a: usize, b: usize) {
        self.cut.remove(&(traffic, a.min(b), a.max(b)));
    }

    pub(crate) fn mend_all(&mut self) {
        self.cut.clear();
    }
}
