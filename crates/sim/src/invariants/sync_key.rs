//! "A name in the `sync` key is listed in `synchronous_standby_names` and has caught up, so every
//! acknowledged commit is on some node that may be elected" (architecture, rule 7; module `sync`
//! of the rules). In the priority mode each named standby may be elected, so each must have all.

use patroni_config::dynamic::SynchronousMode;
use patroni_core::Lsn;

use crate::postgres::wal::BranchId;
use crate::world::World;

/// A client was told that its commit is safe.
pub(crate) fn acknowledged(world: &mut World, node: usize, branch: BranchId, lsn: Lsn) {
    let sync = &world.stored.sync;
    // How many of several voters must have it is the business of the quorum mode's own rule.
    let judged = world.stored.mode != SynchronousMode::Off && sync.quorum == 0;
    if !judged || sync.standbys.is_empty() || !sync.is_leader(&world.nodes[node].name) {
        return;
    }
    let lacking = world.nodes.iter().find(|other| {
        let named = sync.standbys.contains(&other.name);
        // Data that were thrown away elect nobody.
        let data = other
            .server
            .data
            .as_ref()
            .filter(|data| data.system.is_some());
        named
            && data.is_some_and(|data| {
                data.flushed < lsn || !world.wal.contains(data.branch, branch, lsn)
            })
    });
    if let Some(lacking) = lacking.map(|other| other.name.clone()) {
        let name = &world.names[node];
        let message = format!("{name} acknowledged {lsn}, which {lacking} in the sync key lacks");
        world.broken(super::Invariant::SyncKey, message);
    }
}
