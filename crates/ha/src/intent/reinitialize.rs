//! Reinitialize (REST contract 10.6).

use patroni_core::{Cluster, MemberName};

use super::Refuse;
use crate::command::{CloneSource, LeaderAddress};
use crate::job::Job;
use crate::rules::reinit;

/// The options of the request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReinitializeBody {
    /// End a running task first.
    pub force: bool,
    /// Copy the leader with `pg_basebackup`, whatever is configured.
    pub from_leader: bool,
}

/// The task to schedule. `busy` is the name of the running task; with `force` it is to be
/// cancelled by the caller. The source is a member tagged for it, or the leader, as in an ordinary
/// copy.
///
/// # Errors
/// The exact refusal.
pub fn judge_reinitialize(
    body: ReinitializeBody,
    me: &MemberName,
    view: &Cluster,
    busy: Option<&str>,
) -> Result<Job, Refuse> {
    let Some(leader) = view.leader_name() else {
        return Err(Refuse::new(
            503,
            "Cluster has no leader, can not reinitialize",
        ));
    };
    if leader == me {
        return Err(Refuse::new(503, "I am the leader, can not reinitialize"));
    }
    if let Some(action) = busy
        && !body.force
    {
        return Err(Refuse::new(503, format!("{action} already in progress")));
    }
    let no_address = || Refuse::new(503, "Cluster has no leader, can not reinitialize");
    let tagged = reinit::tagged(view, me);
    let chosen = match tagged.first() {
        Some(member) if !body.from_leader => *member,
        Some(_) | None => view.leader_member().ok_or_else(no_address)?,
    };
    let from = LeaderAddress {
        name: chosen.name.clone(),
        conn_url: chosen.data.conn_url().ok_or_else(no_address)?,
    };
    Ok(Job::Reinitialize {
        source: CloneSource::Member {
            from,
            basebackup_only: body.from_leader,
        },
        diverged: false,
    })
}
