//! "Every conditional write to the store carries the revision of the snapshot that was judged,
//! never one refreshed in between by another reader" (architecture, rule 1).

use patroni_ha::Command;

use crate::daemon::Lane;
use crate::world::World;

pub(crate) fn commanded(world: &mut World, node: usize, lane: Lane, command: &Command) {
    let (key, judged) = match command {
        Command::WriteSync { judged, .. } | Command::DeleteSync { judged } => ("sync", judged),
        Command::WriteFailover { judged, .. } if judged.is_some() => ("failover", judged),
        Command::WriteConfig { judged, .. } if judged.is_some() => ("config", judged),
        _ => return,
    };
    let shown = world.nodes[node].daemon.shown(lane);
    if shown.is_some_and(|shown| !shown.has(key, judged.as_ref())) {
        let name = &world.names[node];
        let message = format!("{name} writes {key} by a revision it was not shown: {judged:?}");
        world.broken(super::Invariant::JudgedRevision, message);
    }
}
