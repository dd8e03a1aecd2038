//! PostgreSQL starts and does not accept connections yet (HA contract 8).

use patroni_core::State;

use crate::context::Cx;
use crate::eligibility::{self, Search};
use crate::observation::Observation;
use crate::replay::Asked;
use crate::rule::Rule;
use crate::rules::demote::{self, Mode};
use crate::rules::failover;
use crate::sentence::Text;
use crate::verdict::CycleResult;

/// Row A9. `None`: not starting any more, or nothing that keeps the cycle from going on.
pub(crate) fn starting(cx: &mut Cx<'_>, obs: &Observation) -> Asked<Option<CycleResult>> {
    if !cx.server.state.is_starting() {
        return Ok(None);
    }
    if cx.paused() {
        let state = if cx.is_running() {
            State::Running
        } else {
            State::Stopped
        };
        cx.set_state(state)?;
        return Ok(None);
    }
    if !cx.is_running() {
        return Ok(None);
    }
    if !cx.has_lock() {
        cx.say(Text::StillStartingAsStandby);
        return Ok(None);
    }
    cx.rule = Rule::S4;
    if !cx.update_leader(None)? {
        cx.rule = Rule::S1;
        cx.say(Text::LostLockWhileStarting);
        demote::demote(cx, Mode::ImmediateNoLock)?;
        return Ok(Some(CycleResult::LostKeyWhileStarting));
    }
    let limit = cx
        .memory
        .start_timeout
        .unwrap_or(cx.settings.primary_start_timeout);
    let elapsed = cx.now().since(cx.server.state_since);
    if elapsed < limit {
        if let Some(result) = failover::on_leader(cx, obs)? {
            return Ok(Some(result));
        }
        cx.rule = Rule::S4;
        let seconds = limit.saturating_sub(elapsed).as_secs();
        return Ok(Some(CycleResult::StillStarting { seconds }));
    }
    cx.rule = Rule::S2;
    if !eligibility::failover_possible(cx, &Search::default())? {
        cx.rule = Rule::S3;
        return Ok(Some(CycleResult::StartTimedOut));
    }
    cx.say(Text::StartTakesTooLong);
    demote::demote(cx, Mode::Immediate)?;
    Ok(Some(CycleResult::StoppedForStartTimeout))
}
