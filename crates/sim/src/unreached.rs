//! What could happen and never did: a net with holes is known by its holes.

use patroni_ha::verdict::CycleResult;

use crate::daemon::act::COMMANDS;
use crate::daemon::executor::JOBS;
use crate::faults;
use crate::report::Coverage;

/// The names (`kind: what`) of all verdicts, commands, long tasks and faults that these counters
/// do not know, in their order.
pub fn unreached(coverage: &Coverage) -> Vec<String> {
    let all = [
        ("verdict", CycleResult::NAMES),
        ("command", COMMANDS),
        ("job", JOBS),
        ("fault", faults::NAMES),
    ];
    all.into_iter()
        .flat_map(|(kind, names)| names.iter().map(move |name| format!("{kind}: {name}")))
        .filter(|name| coverage.of(name) == 0)
        .collect()
}
