//! "Demote (or be known stopped) before release" (architecture, rule 3), and a lock that is given
//! back before the server's end is for somebody who has everything (HA contract 14: the candidate
//! has the shutdown checkpoint).

use patroni_ha::Command;

use crate::postgres::server::Process;
use crate::world::World;

/// The lock is about to be given back; a lock that somebody else has by now is not.
pub(crate) fn releasing(world: &mut World, node: usize, command: &Command) {
    let holds = world.holder() == Some(node);
    if !holds || !matches!(command, Command::ReleaseLeader { .. }) {
        return;
    }
    let here = &world.nodes[node];
    let paused = here.daemon.settings.pause || world.now < here.paused_until;
    let name = &world.names[node];
    let message = match here.server.process {
        Process::Primary | Process::Promoting if !paused => {
            format!("{name} gives the lock back while its server takes writes")
        }
        Process::Drained if !somebody_has_all(world, node) => {
            format!("{name} gives the lock back although nobody has its last record")
        }
        Process::Absent
        | Process::Starting
        | Process::Standby
        | Process::Primary
        | Process::Promoting
        | Process::Draining
        | Process::Drained
        | Process::Dying => return,
    };
    world.broken(super::Invariant::Handover, message);
}

fn somebody_has_all(world: &World, node: usize) -> bool {
    let Some(mine) = world.nodes[node].server.data.as_ref() else {
        return true;
    };
    let last = mine.checkpoint.begin;
    let contains = |(branch, end)| end >= last && world.wal.contains(branch, mine.branch, last);
    let has_all = |other: &crate::node::Node| {
        let now = other
            .server
            .data
            .as_ref()
            .map(|data| (data.branch, data.written));
        // Nobody can know that the power goes just after the answer.
        let had = other.server.before_power_loss;
        now.into_iter().chain(had).any(contains)
    };
    let mut others = world.nodes.iter().enumerate();
    others.any(|(index, other)| index != node && has_all(other))
}
