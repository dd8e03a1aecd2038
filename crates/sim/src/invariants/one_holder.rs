//! "Lock before promote" (architecture, rule 3), and "leadership is held until (moment before
//! the last successful renewal was sent) + ttl, less a margin" (rule 2): when the store gives the
//! lock to one node, no other one that can act relies on it any more.

use patroni_core::{FailoverRequest, MemberName};
use patroni_ha::Command;

use crate::world::{PREFIX, World};

/// The store said that the lock is this node's.
pub(crate) fn taken(world: &mut World, node: usize, command: &Command) {
    if matches!(command, Command::AcquireLeader) {
        note_request(world, node);
    }
    let now = world.now;
    let relies = |other: &crate::node::Node| {
        other.daemon.alive
            && !other.daemon_stands_still()
            && other.server.is_primary()
            && other.clock.read(now) < other.daemon.leased_until
    };
    let other = world
        .nodes
        .iter()
        .enumerate()
        .find(|(index, other)| *index != node && relies(other))
        .map(|(_, other)| other.name.clone());
    let Some(other) = other else { return };
    if world.now < world.witness.paused_until {
        world.coverage.count("excused", "paused holder");
        return;
    }
    let message = format!(
        "{} got the lock while {other} relies on it",
        world.names[node]
    );
    world.broken(super::Invariant::OneHolder, message);
}

/// Was this node asked for by hand?
fn note_request(world: &mut World, node: usize) {
    let entry = world.model.entry(&format!("{PREFIX}/failover"));
    let request = entry
        .map(|entry| FailoverRequest::parse(&entry.value))
        .unwrap_or_default();
    let me: &MemberName = &world.nodes[node].name;
    if request.leader.is_none() && request.candidate.as_ref() == Some(me) {
        world.witness.by_request.insert(node);
    } else {
        world.witness.by_request.remove(&node);
    }
}
