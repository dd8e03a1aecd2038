//! What must be true at the end of every cycle, whatever the rules did.

use patroni_core::server::Process;

use crate::context::Cx;
use crate::job::Job;
use crate::observation::Observation;
use crate::replay::{Asked, Halt};

/// Checks the end of a cycle. A violation is a bug of the rules: the cycle ends as one, and a
/// promotion that should not have been ordered is cancelled.
pub(crate) fn hold(cx: &mut Cx<'_>, obs: &Observation) -> Asked<()> {
    let broken = if matches!(cx.scheduled, Some(Job::Promote)) && !cx.lock_confirmed {
        Some("a promotion was ordered without the lock of this cycle")
    } else if cx.server.process == Process::Absent
        && obs.server.process == Process::Absent
        && cx
            .memory
            .failsafe_until
            .is_some_and(|until| until > cx.now())
        && cx.memory.is_leader(cx.now())
        && obs.executor.is_none()
        && cx.scheduled.is_none()
        && !cx.lock_confirmed
    {
        Some("failsafe leadership without a server")
    } else {
        None
    };
    let Some(what) = broken else {
        return Ok(());
    };
    if let Some(job) = cx.scheduled.clone() {
        cx.cancel_job(job.to_string())?;
    }
    Err(Halt::Bug(what.to_owned()))
}
