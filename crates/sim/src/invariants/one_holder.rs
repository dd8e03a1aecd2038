//! "Lock before promote" (architecture, rule 3), and "leadership is held until (moment before
//! the last successful renewal was sent) + ttl, less a margin" (rule 2): when the store gives the
//! lock to one node, no other one that can act relies on it any more.

use patroni_core::{FailoverRequest, MemberName, Moment};
use patroni_ha::Command;

use crate::world::{PREFIX, World};

/// The store said that the lock is this node's.
pub(crate) fn taken(world: &mut World, node: usize, command: &Command) {
    if matches!(command, Command::AcquireLeader) {
        note_request(world, node);
        world.stir();
    }
    super::electable::elected(world, node, command);
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
        .map(|(_, other)| (other.name.clone(), other.paused_until));
    let Some((other, paused_until)) = other else {
        return;
    };
    if now < paused_until {
        world.coverage.count("excused", "paused holder");
        return;
    }
    let message = format!(
        "{} got the lock while {other} relies on it",
        world.names[node]
    );
    world.broken(super::Invariant::OneHolder, message);
}

/// A node is about to rely on the lock until this moment of its clock. The lock must last as
/// long, but for the drift of clocks.
pub(crate) fn leased(world: &mut World, node: usize, until: Moment) {
    let here = &world.nodes[node];
    if here.clock.read(world.now) >= until {
        return; // An answer that comes too late is relied on for no moment.
    }
    let relied = here.clock.when(until);
    let over = relied.since(here.daemon.lock_lasts);
    if over > here.daemon.lock_life / 100 {
        let name = &here.name;
        let message = format!(
            "{name} relies on the lock for {} ms too long",
            over.as_millis()
        );
        world.broken(super::Invariant::OneHolder, message);
    }
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
    }
}
