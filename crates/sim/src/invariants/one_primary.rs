//! "Leadership is held until (moment before the last successful renewal was sent) + ttl, less a
//! margin for stopping" (architecture, rule 2), seen from the clients: once another node was
//! promoted, nobody acknowledges a write that the new history does not contain.
//!
//! Allowed by the documentation, and so by this file: a paused cluster; a server whose daemon
//! stands still, is dead, or has just come back, on a machine without an armed watchdog and without a
//! guardian on duty; a
//! primary in failsafe mode, when a person named a candidate that is not in its topology.

use patroni_core::Lsn;

use crate::postgres::wal::BranchId;
use crate::world::World;

pub(crate) fn acknowledged(world: &mut World, node: usize, branch: BranchId, lsn: Lsn) {
    let Some(newest) = world.witness.newest else {
        return;
    };
    if world.wal.contains(newest, branch, lsn) {
        return;
    }
    if let Some(why) = excuse(world, node) {
        world.coverage.count("excused", why);
        return;
    }
    let name = &world.names[node];
    let (old, new) = (world.wal.get(branch).number, world.wal.get(newest).number);
    let message =
        format!("{name} acknowledged {lsn} on timeline {old} after a promotion to timeline {new}");
    world.broken(super::Invariant::OnePrimary, message);
}

/// Why a replaced primary may still be at work.
pub(crate) fn excuse(world: &World, node: usize) -> Option<&'static str> {
    let here = &world.nodes[node];
    if world.now < here.paused_until {
        return Some("paused");
    }
    let failsafe = here.daemon.memory.failsafe_until;
    let leads_on = failsafe.is_some_and(|until| here.clock.read(world.now) < until);
    if leads_on && world.witness.newest_by_request {
        return Some("failover requested against failsafe mode");
    }
    if world.now < here.excused_until {
        return Some("daemon just came back");
    }
    let idle = !here.daemon.alive || here.daemon_stands_still();
    let guarded = here.watchdog.is_some() || here.guardian.is_some();
    (idle && !guarded).then_some("daemon does not run, no watchdog and no guardian")
}
