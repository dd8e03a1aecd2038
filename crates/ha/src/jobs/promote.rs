//! Becoming primary (HA contract 13, step 4). The lock was held when this was ordered; the
//! cycles that run beside it keep it, and cancel this task if they lose it before the hook ended.

use patroni_config::Dynamic;
use patroni_core::Role;

use super::ended;
use crate::command::CallbackEvent;
use crate::context::Cx;
use crate::job::{Effect, JobEnd};
use crate::memory::RewindState;
use crate::mutant::Mutant;
use crate::outcome::HookOutcome;
use crate::replay::Asked;
use crate::sentence::{NameSet, Text};

pub(super) fn run(cx: &mut Cx<'_>) -> Asked<JobEnd> {
    let hook = cx.pre_promote()?;
    match hook {
        HookOutcome::NotConfigured | HookOutcome::Exited(Some(0)) => {}
        HookOutcome::Exited(_) => {
            cx.effects.push(Effect::PrePromoteFailed);
            return Ok(ended(false));
        }
        HookOutcome::Cancelled => {
            cx.say(Text::PromoteCancelled);
            return Ok(JobEnd::Cancelled);
        }
    }
    // The hook may have taken longer than the lease lasts.
    if !still_leads(cx)? {
        cx.say(Text::PromoteCancelled);
        return Ok(JobEnd::Cancelled);
    }
    // Or than a pause: one that came and went has disarmed the watchdog, and one that has ended,
    // perhaps before this task began, left it as it was.
    let pause_matters = hook != HookOutcome::NotConfigured || cx.paused();
    if pause_matters && !still_paused(cx)? && !cx.watchdog_rearm()? {
        cx.say(Text::PromoteCancelled);
        return Ok(JobEnd::Cancelled);
    }
    let slots = &cx.memory.slots;
    let set = NameSet::of(slots.unready.keys().chain(&slots.stale));
    if !set.is_empty() {
        cx.say(Text::SlotsUnsafe { set });
    }
    cx.effects.push(Effect::Rewind(RewindState::Initial));
    if !cx.promote()? {
        return Ok(ended(false));
    }
    cx.run_callback(CallbackEvent::RoleChange)?;
    if cx.wait_production(cx.settings.loop_wait)? {
        cx.set_role(Role::Primary)?;
        cx.start_checkpoint()?;
    }
    Ok(JobEnd::Success)
}

/// The pause that this task began in goes on, as far as the store tells.
fn still_paused(cx: &mut Cx<'_>) -> Asked<bool> {
    if !cx.paused() || !cx.try_reload()? {
        return Ok(false);
    }
    Ok(Dynamic::of(&cx.view).is_some_and(|settings| settings.pause))
}

/// The lease that this task began with lasts, or a new look at the store shows the lock ours:
/// the cycles beside this task extend it without its knowing.
pub(super) fn still_leads(cx: &mut Cx<'_>) -> Asked<bool> {
    if cx.is_leader() || cx.mutated(Mutant::HookOutlivesLock) {
        return Ok(true);
    }
    Ok(cx.try_reload()? && cx.has_lock())
}
