//! Choosing members by role and by name.

use clap::ValueEnum;
use patroni_core::{Cluster, Member, Role};

use crate::view::View;

/// The roles that `-r` knows. The store decides who has which: the lock, then the member key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum RoleFilter {
    /// Holds the lock.
    Leader,
    /// Holds the lock and does not lead a standby cluster.
    Primary,
    /// Holds the lock and is no primary.
    StandbyLeader,
    /// Does not hold the lock.
    Replica,
    /// The same.
    Standby,
    /// Everybody.
    Any,
}

impl RoleFilter {
    /// The word on the command line.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Leader => "leader",
            Self::Primary => "primary",
            Self::StandbyLeader => "standby-leader",
            Self::Replica => "replica",
            Self::Standby => "standby",
            Self::Any => "any",
        }
    }

    /// Whether a member of this cluster is meant.
    pub(crate) fn matches(self, cluster: &Cluster, member: &Member) -> bool {
        let leads = cluster.leader_name() == Some(&member.name);
        match self {
            Self::Any => true,
            Self::Leader => leads,
            Self::Primary => leads && member.data.role() != Some(Role::StandbyLeader),
            Self::StandbyLeader => leads && member.data.role() != Some(Role::Primary),
            Self::Replica | Self::Standby => !leads,
        }
    }
}

/// Members of a role that are among the names; no names mean all. Names that nobody has are
/// dropped.
pub(crate) fn select(view: &View, names: &[String], role: RoleFilter) -> Vec<Member> {
    view.members()
        .filter(|(cluster, member)| role.matches(cluster, member))
        .map(|(_, member)| member)
        .filter(|member| names.is_empty() || names.iter().any(|name| name == member.name.as_str()))
        .cloned()
        .collect()
}

/// Names in a sentence.
pub(crate) fn names(members: &[Member]) -> String {
    let names: Vec<&str> = members.iter().map(|member| member.name.as_str()).collect();
    names.join(", ")
}
