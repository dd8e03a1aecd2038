//! "A data directory is removed only by a named reason that the verdict carries, never while
//! PostgreSQL may run on it" (architecture, rule 5).

use patroni_ha::command::WipeReason;
use patroni_ha::{Command, Job};

use crate::daemon::Lane;
use crate::world::World;

/// What is done to the files beside PostgreSQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Touch {
    /// initdb
    Create,
    /// A copy is written.
    Copy,
    /// `pg_rewind`
    Rewind,
    /// Recovery in single-user mode.
    SingleUser,
}

/// Files change: no server may run on them.
pub(crate) fn touched(world: &mut World, node: usize, touch: Touch) {
    if world.nodes[node].server.runs() {
        let message = format!("{touch:?} on {} while its server runs", world.names[node]);
        world.broken(super::Invariant::DataDirectory, message);
    }
}

/// A removal is ordered: for a reason that is true.
pub(crate) fn commanded(world: &mut World, node: usize, lane: Lane, command: &Command) {
    let Command::RemoveDataDir(why) = command else {
        if matches!(command, Command::MoveDataDirAside) {
            removal_under_a_server(world, node);
        }
        return;
    };
    removal_under_a_server(world, node);
    let here = &world.nodes[node];
    let job = here.daemon.job.as_ref().map(|program| program.run.job());
    let copies = matches!(job, Some(Job::Clone { .. } | Job::Reinitialize { .. }));
    let true_reason = match why {
        WipeReason::Reinitialize => world.witness.asked_for_copy.contains(&node),
        WipeReason::RewindFailed => here.traits.wipe_on_rewind_failure,
        WipeReason::Diverged => here.traits.wipe_on_divergence,
        WipeReason::CloneFailed => lane == Lane::Job && copies,
    };
    let name = match why {
        WipeReason::Reinitialize => "Reinitialize",
        WipeReason::RewindFailed => "RewindFailed",
        WipeReason::Diverged => "Diverged",
        WipeReason::CloneFailed => "CloneFailed",
    };
    world.coverage.count("wipe", name);
    if !true_reason {
        let message = format!("{} removes its data for {why:?}", world.names[node]);
        world.broken(super::Invariant::DataDirectory, message);
    }
}

fn removal_under_a_server(world: &mut World, node: usize) {
    if world.nodes[node].server.runs() {
        let message = format!("{} removes its data under its server", world.names[node]);
        world.broken(super::Invariant::DataDirectory, message);
    }
}

/// `pg_rewind` compares control files: before its checkpoint a new primary's still names the old
/// timeline, and the tool finds nothing to do (PostgreSQL manual, `pg_rewind`). It does no harm
/// to data that left that timeline before the source did: both point to the same fork.
pub(crate) fn rewound_to(world: &mut World, node: usize, source: usize) {
    let data_of = |at: usize| world.nodes[at].server.data.as_ref();
    let (Some(to_rewind), Some(data)) = (data_of(node), data_of(source)) else {
        return;
    };
    let shown = data.checkpoint.branch;
    let left_by = |branch| world.wal.shared(shown, branch);
    if left_by(to_rewind.branch) > left_by(data.branch) {
        let (name, from) = (&world.names[node], &world.names[source]);
        let message = format!("{name} rewinds to {from} before the checkpoint of its promotion");
        world.broken(super::Invariant::DataDirectory, message);
    }
}
