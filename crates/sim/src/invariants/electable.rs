//! Who may lead (HA contract 10): nobody with `nofailover`, and, when nobody asked by name, nobody
//! who lags more than `maximum_lag_on_failover` behind the last published position.

use patroni_ha::Command;

use crate::world::World;

/// A server was promoted.
pub(crate) fn promoted(world: &mut World, node: usize) {
    if world.nodes[node].traits.nofailover && !world.is_newly_tagged(node) {
        let message = format!(
            "{} is tagged nofailover and was promoted",
            world.names[node]
        );
        world.broken(super::Invariant::Electable, message);
    }
}

/// The store gave the lock to a node that had raced for it.
pub(crate) fn elected(world: &mut World, node: usize, command: &Command) {
    if !matches!(command, Command::AcquireLeader) {
        return;
    }
    let here = &world.nodes[node];
    let (Some(view), Some(data)) = (&here.daemon.view, &here.server.data) else {
        return;
    };
    if here.server.is_primary() || view.failover_request().is_some() {
        return;
    }
    if world.has_foreign_data(node) {
        return; // Its data were replaced while it asked, and it will not start on them.
    }
    let lag = data.written.lag_behind(view.status.optime);
    let limit = here.daemon.settings.maximum_lag_on_failover;
    if lag > 0 && i128::from(lag) > i128::from(limit) {
        let message = format!("{} was elected {lag} bytes behind", here.name);
        world.broken(super::Invariant::Electable, message);
    }
}
