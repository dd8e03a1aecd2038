//! New data directories: made or copied (HA contract 6).

use patroni_core::{Role, State, Upstream};

use super::{ended, start};
use crate::command::{CloneSource, StartRequest, WipeReason};
use crate::context::Cx;
use crate::job::JobEnd;
use crate::replay::Asked;
use crate::rules::{follow, rewind};
use crate::sentence::Text;

/// initdb or the custom method, then the first start. Its end is judged by the cycles.
pub(super) fn new_cluster(cx: &mut Cx<'_>) -> Asked<JobEnd> {
    if !cx.create_cluster()? {
        return Ok(ended(false));
    }
    let outcome = cx.start(StartRequest::founding(Role::Primary, Upstream::None))?;
    // A server that takes its time is no failure: the cycles wait for the end of its recovery.
    Ok(ended(start::end_of(&outcome) != JobEnd::Failure))
}

/// The first node of a standby cluster: a copy of the remote.
pub(super) fn standby_leader(cx: &mut Cx<'_>) -> Asked<JobEnd> {
    let message = remote_message(cx);
    if !copy(cx, &CloneSource::Remote, &message)? {
        return Ok(ended(false));
    }
    let upstream = follow::upstream(cx).unwrap_or(Upstream::None);
    let upstream = match upstream {
        Upstream::Remote {
            host, port, slot, ..
        } => Upstream::Remote {
            host,
            port,
            slot,
            leading: true,
        },
        Upstream::None | Upstream::Member { .. } => upstream,
    };
    let outcome = cx.start(StartRequest::founding(Role::StandbyLeader, upstream))?;
    Ok(ended(start::end_of(&outcome) != JobEnd::Failure))
}

/// `clone from remote member postgresql://host:port`
pub(super) fn remote_message(cx: &Cx<'_>) -> String {
    match rewind::source(cx) {
        Some(remote) => format!("clone from {remote}"),
        None => "clone from remote member".to_owned(),
    }
}

/// A copy of a member, then its first start as a standby.
pub(super) fn clone(
    cx: &mut Cx<'_>,
    source: &CloneSource,
    message: &str,
    upstream: &Upstream,
) -> Asked<JobEnd> {
    if !copy(cx, source, message)? {
        return Ok(ended(false));
    }
    follow_first(cx, upstream)
}

/// The first start of a new copy.
pub(super) fn follow_first(cx: &mut Cx<'_>, upstream: &Upstream) -> Asked<JobEnd> {
    let outcome = cx.start(StartRequest::new(Role::Replica, upstream.clone()))?;
    Ok(start::end_of(&outcome))
}

/// Copies, and leaves nothing half done behind.
pub(super) fn copy(cx: &mut Cx<'_>, source: &CloneSource, message: &str) -> Asked<bool> {
    cx.set_state(State::CreatingReplica)?;
    let copied = cx.clone_from(source.clone())?;
    let message = message.to_owned();
    if copied {
        cx.say(Text::Bootstrapped { message });
    } else {
        cx.say(Text::BootstrapFailed { message });
        cx.remove_data_dir(WipeReason::CloneFailed)?;
    }
    Ok(copied)
}

/// Roles, scripts, and what the custom method left to do.
pub(super) fn post(cx: &mut Cx<'_>) -> Asked<JobEnd> {
    Ok(ended(cx.post_init()?))
}
