//! Stepping down inside a cycle (HA contract 14). The orderly demotions, which wait for a
//! candidate, are long tasks: see the job of that name.

use std::time::Duration;

use patroni_core::{Role, SyncNames, Upstream};

use crate::command::{StartRequest, StopMode, StopRequest, Until};
use crate::context::Cx;
use crate::job::Job;
use crate::memory::{Inherited, Lease};
use crate::mutant::Mutant;
use crate::replay::Asked;
use crate::rules::race::TIME_FOR_OTHERS;
use crate::rules::{follow, rewind};
use crate::sentence::Text;

/// An immediate stop that takes longer hangs: what is left is killed then.
const AT_ONCE: Duration = Duration::from_secs(2);

/// How a cycle steps down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// The store does not answer: stop in order, come back read-only at once.
    Offline,
    /// Stop at once, and let others take the lock.
    Immediate,
    /// The lock is lost: stop at once.
    ImmediateNoLock,
}

impl Mode {
    const fn word(self) -> &'static str {
        match self {
            Self::Offline => "offline",
            Self::Immediate => "immediate",
            Self::ImmediateNoLock => "immediate-nolock",
        }
    }
}

/// Steps down. The lock is given back only when PostgreSQL is known to have stopped, and the
/// watchdog stays armed until then.
pub(crate) fn demote(cx: &mut Cx<'_>, mode: Mode) -> Asked<()> {
    cx.say(Text::Demoting {
        mode: mode.word().to_owned(),
    });
    cx.mark_check();
    if cx.mutated(Mutant::WatchdogEarly) {
        cx.watchdog_disable()?;
    }
    if !stop(cx, mode)? {
        return Ok(());
    }
    cx.memory.inherited = Inherited::Nothing;
    cx.watchdog_disable()?;
    cx.set_role(Role::Demoted)?;
    let seen = match mode {
        Mode::Offline => {
            cx.memory.lease = Lease::None;
            clear_sync_names(cx)?;
            if !cx.rewind_due() {
                cx.start(as_standby(Upstream::None, Role::Replica))?;
            }
            return Ok(());
        }
        Mode::Immediate => {
            cx.release_leader(None)?;
            cx.wait_for_leader(TIME_FOR_OTHERS)?
        }
        Mode::ImmediateNoLock => {
            cx.memory.lease = Lease::None;
            cx.try_reload()?
        }
    };
    come_back(cx, seen)
}

fn stop(cx: &mut Cx<'_>, mode: Mode) -> Asked<bool> {
    if !cx.is_running() || (mode == Mode::Immediate && cx.mutated(Mutant::ReleaseWithoutStop)) {
        return Ok(true);
    }
    let outcome = match mode {
        Mode::Offline => cx.stop(StopRequest {
            mode: StopMode::Fast,
            checkpoint: false,
            until: Until::Exit,
            timeout: cx.stop_timeout(),
            restart: false,
            announce: false,
        })?,
        Mode::Immediate | Mode::ImmediateNoLock => cx.stop_immediately(Some(AT_ONCE))?,
    };
    Ok(outcome.stopped)
}

/// Comes back as a standby of whoever leads now, unless a rewind has to come first.
fn come_back(cx: &mut Cx<'_>, seen: bool) -> Asked<()> {
    clear_sync_names(cx)?;
    if rewind::needed(cx)? {
        return Ok(());
    }
    let upstream = if seen { follow::upstream(cx) } else { None };
    let leads = matches!(&upstream, Some(Upstream::Remote { leading: true, .. }));
    let job = Job::StartReplica {
        upstream: upstream.unwrap_or(Upstream::None),
        role: if leads {
            Role::StandbyLeader
        } else {
            Role::Replica
        },
        timeout: None,
        after_demotion: true,
    };
    // An occupied slot leaves the start to the next cycle, which finds a stopped server.
    let _occupied = cx.schedule(job)?;
    Ok(())
}

/// Standbys and demoted nodes name nobody while the synchronous mode is on.
pub(crate) fn clear_sync_names(cx: &mut Cx<'_>) -> Asked<()> {
    if cx.settings.is_synchronous() {
        cx.set_sync_names(SyncNames::off())?;
    }
    Ok(())
}

/// The request to start as a standby after having been something else.
pub(crate) fn as_standby(upstream: Upstream, role: Role) -> StartRequest {
    StartRequest {
        role_change: true,
        ..StartRequest::new(role, upstream)
    }
}
