//! Where a new copy comes from (HA contract 6 B2, 23).

use patroni_core::{Cluster, Member, MemberName, Upstream};

use crate::command::{CloneSource, LeaderAddress};
use crate::context::Cx;
use crate::rules::follow;

/// A source of a copy, with the words for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Source {
    pub(crate) from: CloneSource,
    /// `from leader 'a'`
    pub(crate) message: String,
    pub(crate) upstream: Upstream,
}

/// The running members other than the leader that are tagged as sources of a copy for `me`.
pub(crate) fn tagged<'v>(view: &'v Cluster, me: &MemberName) -> Vec<&'v Member> {
    view.members
        .iter()
        .filter(|member| {
            member.data.is_running()
                && member.data.clonefrom()
                && member.name != *me
                && Some(&member.name) != view.leader_name()
        })
        .collect()
}

/// The member to copy from: one that is tagged for it, else the leader. `None` without a leader
/// or when nobody published an address.
pub(crate) fn source(cx: &Cx<'_>) -> Option<Source> {
    cx.view.leader_name()?;
    let tagged = tagged(&cx.view, cx.me());
    // Chance without randomness: the name and the moment choose, so that several new nodes do
    // not all read from the same member, and a replay chooses again the same.
    let seed = cx.me().as_str().bytes().map(usize::from).sum::<usize>()
        + usize::try_from(cx.now().since_origin().as_millis() % 997).unwrap_or(0);
    let (kind, member) = match tagged.get(seed % tagged.len().max(1)) {
        Some(member) => ("replica", *member),
        None => ("leader", cx.view.leader_member()?),
    };
    let from = LeaderAddress {
        name: member.name.clone(),
        conn_url: member.data.conn_url()?,
    };
    Some(Source {
        message: format!("from {kind} '{}'", member.name),
        upstream: follow::upstream(cx).unwrap_or(Upstream::None),
        from: CloneSource::Member {
            from,
            basebackup_only: false,
        },
    })
}
