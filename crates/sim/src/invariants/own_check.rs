//! "It cannot split brain by construction" (architecture): the core checks at the end of a cycle
//! what it has ordered, and ends what would break a rule. No rule of its own may come to that.

use patroni_ha::Verdict;
use patroni_ha::verdict::CycleResult;

use crate::world::World;

pub(crate) fn decided(world: &mut World, node: usize, verdict: &Verdict) {
    let CycleResult::Fenced { what } = &verdict.result else {
        return;
    };
    // Known faults are put back to be found from outside.
    if world.mutant.is_none() {
        let message = format!("{} ordered {what}", world.names[node]);
        world.broken(super::Invariant::OwnCheck, message);
    }
}
