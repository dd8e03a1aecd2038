//! The wall clocks. Nothing but schedules and reports depends on them, and those who read them.

use jiff::SignedDuration;

use super::super::facts::Facts;
use super::super::finding::Finding;

/// A difference that is surely greater is told.
const TOLERATED: SignedDuration = SignedDuration::from_secs(2);

pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    let apart = facts.reports().filter_map(|(name, report)| {
        let clock = report.clock?;
        let surely = clock.ahead.abs() - clock.uncertainty;
        (surely > TOLERATED).then(|| {
            let word = if clock.ahead.is_negative() {
                "behind"
            } else {
                "ahead of"
            };
            let reason = format!(
                "its clock is {:.1} s {word} that of this machine (give or take {:.1} s)",
                clock.ahead.abs().as_secs_f64(),
                clock.uncertainty.as_secs_f64()
            );
            let remedy = "let NTP set the clocks: schedules and the times in logs depend on them";
            Finding::warning("clock", reason, remedy).of(name)
        })
    });
    apart.collect()
}
