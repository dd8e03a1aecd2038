//! "Synchronous mode: the store's `sync` key and `synchronous_standby_names` change in the order
//! that never lets an acknowledged commit be on no electable node" (architecture, rule 7).
//!
//! A commit counts when it was acknowledged after waiting for a standby, while the `sync` key
//! named its primary and at least one standby (in quorum mode also while it still is that of the
//! former leader, after whose votes this primary was elected). A failover that somebody asked for
//! by hand may lose it: it takes any candidate, whatever that lacks.

use patroni_config::dynamic::SynchronousMode;
use patroni_core::Lsn;

use crate::postgres::wal::BranchId;
use crate::world::World;

pub(crate) fn acknowledged(world: &mut World, node: usize, branch: BranchId, lsn: Lsn) {
    if !is_promised(world, node) {
        return;
    }
    let newest = world.witness.newest;
    let replaced = newest.is_some_and(|newest| !world.wal.contains(newest, branch, lsn));
    if replaced && world.witness.newest_by_request {
        // Whoever asked for that failover did not ask this primary, and gave up what it writes.
        world
            .coverage
            .count("excused", "primary replaced by request");
        return;
    }
    world.coverage.count("commit", "promised");
    let promised = &mut world.wal.get_mut(branch).promised;
    *promised = (*promised).max(lsn);
    if replaced {
        let name = &world.names[node];
        let message = format!("{name} promised {lsn} although another node was promoted");
        world.broken(super::Invariant::NoLostWrite, message);
    }
}

fn is_promised(world: &World, node: usize) -> bool {
    let sync = &world.stored.sync;
    let mine = sync.is_leader(&world.nodes[node].name);
    match world.stored.mode {
        SynchronousMode::Off => false,
        SynchronousMode::Priority => mine && !sync.standbys.is_empty(),
        // Before a new primary has taken the key over it waits for nodes that the old key names.
        SynchronousMode::Quorum => !sync.is_empty() && (!mine || !sync.standbys.is_empty()),
    }
}

/// Every promise is kept by the new history.
pub(crate) fn promoted(world: &mut World, node: usize, branch: BranchId) {
    let lost: Vec<(BranchId, Lsn)> = world
        .wal
        .iter()
        .filter(|(id, old)| {
            old.promised > Lsn::ZERO && !world.wal.contains(branch, *id, old.promised)
        })
        .map(|(id, old)| (id, old.promised))
        .collect();
    for (id, lsn) in lost {
        world.wal.get_mut(id).promised = Lsn::ZERO;
        if world.witness.newest_by_request {
            world
                .coverage
                .count("excused", "write lost by a requested failover");
            continue;
        }
        let name = &world.names[node];
        let number = world.wal.get(id).number;
        let message = format!("{name} was promoted without {lsn} of timeline {number}");
        world.broken(super::Invariant::NoLostWrite, message);
    }
}

impl World {
    /// A promotion ended.
    pub(crate) fn promotion(&mut self, node: usize, branch: BranchId) {
        self.coverage.count("promotion", "done");
        let here = &self.nodes[node];
        let away = here.daemon_stands_still() || self.now < here.excused_until;
        if away && self.holder() != Some(node) {
            // It was ordered under a lock that is another one's by now, and nobody was there to
            // stop it: the history of the cluster is not this one.
            self.coverage.count("excused", "late promotion");
            return;
        }
        self.witness.newest = Some(branch);
        // The promotion that a request led to may fail, and succeed later without it.
        self.witness.newest_by_request = self.witness.by_request.contains(&node);
        self.witness.by_request.clear();
        promoted(self, node, branch);
        super::electable::promoted(self, node);
        self.stir();
    }
}
