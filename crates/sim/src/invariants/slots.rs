//! Slots do what consumers rely on (documentation of permanent slots: they survive a failover):
//! while one node leads, the published position of a slot never goes back; and a logical slot is
//! never ahead of what its node has replayed, because a node that is promoted with such a slot
//! would skip its own new changes for the consumer.

use patroni_core::{Lsn, SlotName};
use patroni_ha::Command;

use super::Invariant;
use crate::world::World;

/// A leader publishes positions.
pub(crate) fn commanded(world: &mut World, node: usize, command: &Command) {
    let Command::UpdateLeader {
        status: Some(status),
        ..
    } = command
    else {
        return;
    };
    let published = status.slots.clone();
    let before = world.witness.published.replace((node, published.clone()));
    let Some((_, before)) = before.filter(|(leader, _)| *leader == node) else {
        return;
    };
    for (slot, at) in published {
        let old = before.get(&slot).copied().unwrap_or_default();
        if at < old
            && world.nodes[node]
                .daemon
                .settings
                .permanent_slots
                .contains_key(slot.as_str())
        {
            let name = &world.names[node];
            let message = format!("{name} publishes {at} for {slot}, and published {old} before");
            world.broken(Invariant::Slots, message);
        }
    }
}

/// A logical slot of a standby was copied or moved to this position.
pub(crate) fn placed(world: &mut World, node: usize, slot: &SlotName, at: Lsn) {
    let data = world.nodes[node].server.data.as_ref();
    let replayed = data.map_or(Lsn::ZERO, |data| data.replayed);
    world
        .coverage
        .count("slot", "logical one placed on a standby");
    // Somebody has put the data of another cluster there meanwhile; nothing is ever run on them.
    if at > replayed && !world.has_foreign_data(node) {
        let name = &world.names[node];
        let message = format!("{slot} on {name} is put to {at}, with {replayed} replayed");
        world.broken(Invariant::Slots, message);
    }
}

/// State files are written: no server may be at work on them.
pub(crate) fn installing(world: &mut World, node: usize) {
    if world.nodes[node].server.runs() {
        let message = format!("{} gets slots under its running server", world.names[node]);
        world.broken(Invariant::Slots, message);
    }
}

/// A standby becomes a primary whose history forks at `at`.
pub(crate) fn promoted(world: &mut World, node: usize, at: Lsn) {
    let Some(data) = world.nodes[node].server.data.as_ref() else {
        return;
    };
    let logical =
        |kind: &patroni_core::server::SlotKind| *kind != patroni_core::server::SlotKind::Physical;
    let ahead = data
        .slots
        .iter()
        .find(|(_, slot)| logical(&slot.kind) && slot.position > at);
    let has_logical = data.slots.values().any(|slot| logical(&slot.kind));
    let message = ahead.map(|(name, slot)| {
        let node = &world.names[node];
        format!(
            "{node} is promoted at {at} with {name} at {}",
            slot.position
        )
    });
    if has_logical {
        world.coverage.count("slot", "promoted with a logical one");
    }
    if let Some(message) = message {
        world.broken(Invariant::Slots, message);
    }
}
