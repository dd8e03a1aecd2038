//! What must be true at the end of every cycle, whatever the rules did.

use crate::context::Cx;
use crate::job::Job;
use crate::mutant::Mutant;
use crate::replay::Asked;
use crate::rule::Rule;
use crate::sentence::Text;
use crate::verdict::CycleResult;

/// Checks the end of a cycle. A violation is a bug of the rules: what was ordered against them
/// is ended, and the result says so.
pub(crate) fn hold(cx: &mut Cx<'_>) -> Asked<Option<CycleResult>> {
    let Some(what) = broken(cx) else {
        return Ok(None);
    };
    cx.rule = Rule::I;
    let what = what.to_owned();
    cx.say(Text::Invariant { what: what.clone() });
    if let Some(job) = cx.scheduled.clone() {
        cx.cancel_job(job.to_string())?;
    }
    Ok(Some(CycleResult::Fenced { what }))
}

/// The first rule that does not hold.
fn broken(cx: &Cx<'_>) -> Option<&'static str> {
    let with_lock = cx.lock_confirmed || cx.mutated(Mutant::StartWithoutLock);
    match &cx.scheduled {
        Some(Job::Promote) if !with_lock => Some("a promotion without the lock of this cycle"),
        Some(Job::StartPrimary { .. }) if !with_lock => {
            Some("the start of a primary without the lock of this cycle")
        }
        Some(Job::PostBootstrap | Job::Bootstrap) if cx.view.leader_name().is_some() => {
            Some("a new cluster beside one that has a leader")
        }
        Some(_) | None if cx.watchdog_active && cx.paused() => Some("an armed watchdog in a pause"),
        Some(_) | None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Memory;
    use crate::replay::Replay;
    use crate::support;

    fn cx(observation: &crate::Observation) -> Cx<'_> {
        Cx {
            replay: Replay::new(observation.now, &[]),
            node: &observation.node,
            settings: &observation.settings,
            view: support::cluster(None).into(),
            server: observation.server.clone(),
            memory: Memory::default(),
            refused: Vec::new(),
            rule: Rule::Start,
            again: None,
            watchdog_active: false,
            lock_confirmed: false,
            scheduled: Some(Job::Promote),
            effects: Vec::new(),
        }
    }

    #[test]
    fn a_promotion_needs_the_lock_of_the_cycle() {
        let observation = support::observation(support::replica(), support::cluster(None));
        let mut cx = cx(&observation);
        assert!(broken(&cx).is_some());
        cx.lock_confirmed = true;
        assert_eq!(broken(&cx), None);
    }
}
