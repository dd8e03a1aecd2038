//! Timelines only grow, and a number never means two histories (PostgreSQL manual, "Timelines":
//! "whenever an archive recovery completes, a new timeline is created").
//!
//! The history files of all promotions are in an archive that every node can read, so PostgreSQL
//! itself would never choose a number twice.

use crate::postgres::wal::BranchId;
use crate::world::World;

pub(crate) fn in_production(world: &mut World, node: usize, branch: BranchId) {
    let (number, system) = {
        let here = world.wal.get(branch);
        (here.number, here.system.clone())
    };
    let twin = world.wal.iter().any(|(id, other)| {
        id != branch && other.in_production && other.number == number && other.system == system
    });
    let here = world.wal.get_mut(branch);
    let begins = !std::mem::replace(&mut here.in_production, true);
    if begins && here.parent.is_none() {
        world.witness.newest = Some(branch);
    }
    let shared = world.nodes.iter().enumerate().find(|(index, other)| {
        let on = other.server.data.as_ref().map(|data| data.branch);
        *index != node && other.server.is_primary() && on == Some(branch)
    });
    let name = &world.names[node];
    let message = if twin {
        format!("{name} writes a second history of timeline {number}")
    } else if let Some((_, other)) = shared {
        format!("{name} and {} both write timeline {number}", other.name)
    } else {
        return;
    };
    world.broken(super::Invariant::Timelines, message);
}
