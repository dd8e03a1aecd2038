//! "Watchdog: armed before promote, kept until the last client backend is gone" (architecture,
//! rule 6).

use patroni_ha::Command;

use crate::world::World;

/// A command is about to be carried out.
pub(crate) fn commanded(world: &mut World, node: usize, command: &Command) {
    let here = &world.nodes[node];
    if here.daemon.settings.pause || !here.traits.has_watchdog {
        return;
    }
    let armed = here.watchdog.is_some();
    let wrong = match command {
        Command::WatchdogDisable => here
            .server
            .is_primary()
            .then_some("disarms the watchdog while its server takes writes"),
        Command::Promote => (!armed).then_some("is promoted without its watchdog"),
        _ => None,
    };
    if let Some(wrong) = wrong {
        let message = format!("{} {wrong}", world.names[node]);
        world.broken(super::Invariant::Watchdog, message);
    }
}
