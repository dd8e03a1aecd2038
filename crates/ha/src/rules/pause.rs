//! What a pause changes at its edges (HA contract 17). The rest of its effects stand where they
//! apply.

use patroni_core::State;

use crate::context::Cx;
use crate::memory::RewindState;
use crate::replay::Asked;
use crate::verdict::CycleResult;

/// Remembers a leader that may not have heard of the end of a pause. It has when it writes its key
/// again without saying that it is paused.
pub(crate) fn note_leader(cx: &mut Cx<'_>) {
    let leader = cx.view.leader_member().map(|member| member.data.clone());
    if cx.paused() {
        cx.memory.unresumed = Some(leader.or(cx.memory.unresumed.take()).unwrap_or_default());
        return;
    }
    let knows = leader.filter(|now| !now.is_paused() && cx.memory.unresumed.as_ref() != Some(now));
    if knows.is_some() {
        cx.memory.unresumed = None;
    }
}

/// Row A4: the first cycle after a pause. Anything may have been done to the server by hand.
pub(crate) fn resume(cx: &mut Cx<'_>) -> Asked<()> {
    cx.memory.was_paused = false;
    cx.memory.rewind = RewindState::Initial;
    cx.resync_after_pause()?;
    cx.requery()
}

/// Row A16 while paused: a stopped server stays stopped, and does not keep the lock.
pub(crate) fn not_running(cx: &mut Cx<'_>) -> Asked<Option<CycleResult>> {
    cx.set_state(State::Stopped)?;
    if cx.has_lock() {
        cx.release_leader(None)?;
        return Ok(Some(CycleResult::ReleasedNotRunning));
    }
    let failed = cx.memory.rewind == RewindState::Failed;
    let executed = cx.memory.rewind.was_executed();
    if failed || !(executed || cx.rewind_due()) {
        return Ok(Some(CycleResult::NotRunning));
    }
    Ok(None)
}
