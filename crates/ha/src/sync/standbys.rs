//! Who may be synchronous (18.1).

use std::collections::BTreeSet;
use std::time::Duration;

use patroni_core::server::{ServerStatus, WalSender};
use patroni_core::{Lsn, Member, MemberName};

use crate::context::Cx;

/// One streaming standby that may be synchronous.
pub(super) struct Standby {
    pub(super) name: MemberName,
    pub(super) sync_state: String,
    pub(super) lsn: Lsn,
    priority: i64,
    pub(super) nofailover: bool,
    /// It leaves WAL unanswered, and another one does not.
    stalled: bool,
}

/// How long a standby may leave WAL unanswered before another one that answers is preferred to
/// it. A standby whose machine is gone stays connected until `wal_sender_timeout`, and all
/// commits would wait for it so long.
const STALL: Duration = Duration::from_secs(1);

/// Streaming members that may be synchronous and do not lag too much, best first.
pub(super) fn best_first(cx: &Cx<'_>, status: &ServerStatus) -> Vec<Standby> {
    let mut standbys = candidates(cx, status);
    let best = match standbys.as_slice() {
        [_] => status.position,
        several => several.iter().map(|s| s.lsn).max().unwrap_or_default(),
    };
    let limit = cx.settings.maximum_lag_on_syncnode;
    if limit > 0 {
        standbys.retain(|s| i128::from(s.lsn.lag_behind(best)) <= i128::from(limit));
    }
    standbys
}

fn candidates(cx: &Cx<'_>, status: &ServerStatus) -> Vec<Standby> {
    let mut standbys: Vec<Standby> = Vec::new();
    for sender in &status.wal_senders {
        let Some(member) = member_of(cx, sender) else {
            continue;
        };
        let tags = member.data.tags();
        let usable = member.data.is_running()
            && !tags.nosync()
            && !cx.is_me(&member.name)
            && !cascades(cx, member, status);
        let Some(lsn) = confirmed_position(sender, &status.synchronous_commit).filter(|_| usable)
        else {
            continue;
        };
        // Two senders under one name: the last row counts.
        standbys.retain(|other| other.name != member.name);
        standbys.push(Standby {
            name: member.name.clone(),
            sync_state: sender.sync_state.clone(),
            lsn,
            priority: tags.sync_priority(),
            nofailover: tags.nofailover(),
            stalled: is_stalled(sender),
        });
    }
    standbys.sort_by(|a, b| {
        (b.priority, &b.sync_state, b.lsn).cmp(&(a.priority, &a.sync_state, a.lsn))
    });
    standbys.sort_by_key(|standby| (standby.stalled, standby.nofailover));
    standbys
}

/// Whether a standby has left WAL unanswered for too long.
pub(super) fn is_stalled(sender: &WalSender) -> bool {
    sender.unanswered.is_some_and(|time| time >= STALL)
}

fn member_of<'c>(cx: &'c Cx<'_>, sender: &WalSender) -> Option<&'c Member> {
    cx.view
        .members
        .iter()
        .find(|member| member.name.matches(&sender.application_name))
}

/// The position up to which commits wait for this standby.
fn confirmed_position(sender: &WalSender, synchronous_commit: &str) -> Option<Lsn> {
    match synchronous_commit {
        "remote_write" => sender.write,
        "remote_apply" => sender.replay,
        _ => sender.flush,
    }
}

/// The member is supposed to replicate from another one that streams from us: it would vanish
/// from here as soon as it does what it is told.
fn cascades(cx: &Cx<'_>, member: &Member, status: &ServerStatus) -> bool {
    let streams = |name: &MemberName| {
        status
            .wal_senders
            .iter()
            .any(|sender| name.matches(&sender.application_name))
    };
    let mut seen = BTreeSet::new();
    let mut next = member.data.tags().replicatefrom();
    while let Some(name) = next {
        if cx.is_me(&name) || !seen.insert(name.clone()) || name == member.name {
            return false;
        }
        if streams(&name) {
            return true;
        }
        next = cx
            .view
            .member(&name)
            .and_then(|upstream| upstream.data.tags().replicatefrom());
    }
    false
}

/// A name as it is compared and remembered: without regard to case.
pub(super) fn folded(name: &MemberName) -> String {
    name.as_str().to_lowercase()
}

/// Whether the name is among these, without regard to case.
pub(super) fn contains(names: &BTreeSet<MemberName>, name: &MemberName) -> bool {
    names.iter().any(|other| other.matches(name.as_str()))
}

/// Whether these are the same names, without regard to case.
pub(super) fn same(a: &BTreeSet<MemberName>, b: &BTreeSet<MemberName>) -> bool {
    a.len() == b.len() && a.iter().all(|name| contains(b, name))
}
