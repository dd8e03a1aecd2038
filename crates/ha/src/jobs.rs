//! The programs of the long tasks, one file for each family.

mod bootstrap;
mod copy_slots;
mod demote;
mod promote;
mod reinitialize;
mod restart;
mod rewind;
mod shutdown;
mod start;

use crate::context::Cx;
use crate::job::{Job, JobEnd};
use crate::replay::Asked;

/// Runs one long task to its end.
pub(crate) fn run(cx: &mut Cx<'_>, job: &Job) -> Asked<JobEnd> {
    match job {
        Job::Bootstrap => bootstrap::new_cluster(cx),
        Job::BootstrapStandbyLeader => bootstrap::standby_leader(cx),
        Job::Clone {
            source,
            message,
            upstream,
        } => bootstrap::clone(cx, source, message, upstream),
        Job::PostBootstrap => bootstrap::post(cx),
        Job::CrashRecovery => rewind::crash_recovery(cx),
        Job::Rewind { source, parting } => rewind::rewind(cx, source, *parting),
        Job::Reinitialize { source, diverged } => reinitialize::run(cx, source, *diverged),
        Job::StartPrimary { timeout } => start::primary(cx, *timeout),
        Job::StartReplica {
            upstream,
            role,
            timeout,
            after_demotion,
        } => start::replica(cx, upstream, *role, *timeout, *after_demotion),
        Job::RestartFollow { upstream } => restart::follow(cx, upstream),
        Job::Demote {
            reason,
            judged,
            plan,
        } => demote::run(cx, *reason, judged.clone(), plan),
        Job::Promote => promote::run(cx),
        Job::CopyLogicalSlots { leader, slots } => copy_slots::run(cx, leader, slots),
        Job::Restart(conditions) => restart::run(cx, conditions),
        Job::Shutdown => shutdown::run(cx),
    }
}

/// The end of a task as a success or a failure.
fn ended(good: bool) -> JobEnd {
    if good {
        JobEnd::Success
    } else {
        JobEnd::Failure
    }
}
