//! A new copy in place of the present data (HA contract 23).

use patroni_core::Upstream;

use super::{bootstrap, ended};
use crate::command::{CloneSource, WipeReason};
use crate::context::Cx;
use crate::job::{Effect, JobEnd};
use crate::memory::RewindState;
use crate::mutant::Mutant;
use crate::replay::Asked;
use crate::rules::follow;

pub(super) fn run(cx: &mut Cx<'_>, source: &CloneSource, diverged: bool) -> Asked<JobEnd> {
    if !cx.mutated(Mutant::RemoveUnderServer)
        && !cx
            .stop_immediately(Some(cx.settings.retry_timeout))?
            .stopped
    {
        return Ok(ended(false));
    }
    cx.watchdog_disable()?;
    cx.effects.push(Effect::Rewind(RewindState::Initial));
    let why = match (diverged, cx.node.wipe_on_divergence) {
        (false, _) => WipeReason::Reinitialize,
        (true, true) => WipeReason::Diverged,
        // What cannot be rewound is a rewind that failed.
        (true, false) => WipeReason::RewindFailed,
    };
    let kept = !diverged && keeps_data(cx, source);
    if !kept && !cx.remove_data_dir(why)? {
        return Ok(ended(false));
    }
    let message = match source {
        CloneSource::Member { from, .. } => {
            let leads = cx.view.leader_name() == Some(&from.name);
            let kind = if leads { "leader" } else { "replica" };
            format!("from {kind} '{}'", from.name)
        }
        CloneSource::Remote => bootstrap::remote_message(cx),
        CloneSource::Nobody => "(without leader)".to_owned(),
    };
    if !bootstrap::copy(cx, source, &message)? {
        return Ok(ended(false));
    }
    let upstream = follow::upstream(cx).unwrap_or(Upstream::None);
    bootstrap::follow_first(cx, &upstream)
}

/// The method that is tried first takes what it can from the data that are there.
fn keeps_data(cx: &Cx<'_>, source: &CloneSource) -> bool {
    let basebackup_only = match source {
        CloneSource::Member {
            basebackup_only, ..
        } => *basebackup_only,
        CloneSource::Remote | CloneSource::Nobody => false,
    };
    cx.node.keeps_data && !basebackup_only
}
