//! The end of the daemon (HA contract 27): leave in order, hand the lock over.

use super::{demote, ended};
use crate::command::{StopMode, StopRequest, Until};
use crate::context::Cx;
use crate::eligibility::{self, Search};
use crate::job::{Effect, JobEnd};
use crate::memory::BootstrapPhase;
use crate::outcome::{ShutdownPoint, StopOutcome};
use crate::replay::{Asked, Halt};
use crate::rules::bootstrap;
use crate::sentence::Text;
use crate::sync;

pub(super) fn run(cx: &mut Cx<'_>) -> Asked<JobEnd> {
    if cx.paused() {
        cx.say(Text::ShutdownPaused);
        return Ok(JobEnd::Success);
    }
    // Data that are made already, and may be recovering for hours, stay for the next daemon.
    if cx.memory.bootstrap != BootstrapPhase::None && !cx.is_running() {
        return give_up_bootstrap(cx);
    }
    let leads = cx.has_lock();
    sync::leave(cx)?;
    let mut point = None;
    let mut released = false;
    if leads && cx.is_running() {
        point = shut_down(cx)?;
        if let Some(point) = point {
            cx.watchdog_disable()?;
            let peers = eligibility::candidates(cx, &Search::default());
            if demote::somebody_has(cx, &peers, point.checkpoint)? {
                released = release(cx, Some(point))?;
            }
        }
    }
    let exit = exit(cx)?;
    if !exit.stopped {
        let watchdog = if cx.watchdog_active && leads {
            " Leaving watchdog running."
        } else {
            ""
        };
        cx.say(Text::ShutdownFailed {
            watchdog: watchdog.to_owned(),
        });
        return Ok(ended(false));
    }
    cx.watchdog_disable()?;
    if leads && !released {
        release(cx, exit.shutdown.or(point))?;
    } else {
        cx.touch_member()?;
    }
    Ok(JobEnd::Success)
}

/// A cluster that was not announced yet: the next node, or this one, makes it anew. A store that
/// does not answer now does not keep the server from its end.
fn give_up_bootstrap(cx: &mut Cx<'_>) -> Asked<JobEnd> {
    let stopped = bootstrap::leave_nothing(cx)?;
    if !stopped {
        return Ok(ended(false));
    }
    cx.say(Text::RemovingInitialize);
    match cx.cancel_initialize() {
        Ok(()) | Err(Halt::StoreFailed) => Ok(JobEnd::Success),
        Err(halt) => Err(halt),
    }
}

fn shut_down(cx: &mut Cx<'_>) -> Asked<Option<ShutdownPoint>> {
    let outcome = cx.stop(StopRequest {
        mode: StopMode::Fast,
        checkpoint: false,
        until: Until::ShutDownState,
        timeout: cx.stop_timeout(),
        restart: false,
        announce: cx.leads_a_citus_group(),
    })?;
    Ok(outcome.shutdown.filter(|_| outcome.stopped))
}

fn exit(cx: &mut Cx<'_>) -> Asked<StopOutcome> {
    if !cx.is_running() {
        return Ok(StopOutcome {
            stopped: true,
            shutdown: None,
        });
    }
    demote::wait_for_exit(cx, cx.stop_timeout())
}

fn release(cx: &mut Cx<'_>, point: Option<ShutdownPoint>) -> Asked<bool> {
    cx.effects.push(Effect::LockReleased);
    cx.release_leader(point.map(|point| point.previous))
}
