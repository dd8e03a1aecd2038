//! A cluster as tables show it: one part, or one per MPP group.

use patroni_core::{Cluster, Member, Scope};

/// One group, or the whole plain cluster.
#[derive(Clone, Debug)]
pub struct Part {
    /// The group of an MPP cluster.
    pub group: Option<u32>,
    /// What the store holds.
    pub cluster: Cluster,
}

/// What is shown at once.
#[derive(Clone, Debug)]
pub struct View {
    /// The cluster's name.
    pub scope: Scope,
    /// MPP layout: the table has a column for the group, unless one was chosen.
    pub mpp: bool,
    /// One group was asked for.
    pub chosen: bool,
    /// In ascending order of groups.
    pub parts: Vec<Part>,
}

impl View {
    /// A plain cluster, or the chosen group of one.
    pub fn of_one(scope: Scope, group: Option<u32>, cluster: Cluster) -> Self {
        Self {
            scope,
            mpp: group.is_some(),
            chosen: group.is_some(),
            parts: vec![Part { group, cluster }],
        }
    }

    /// All groups of an MPP cluster.
    pub fn of_groups(scope: Scope, parts: Vec<Part>) -> Self {
        Self {
            scope,
            mpp: true,
            chosen: false,
            parts,
        }
    }

    /// All members with the cluster they belong to, groups ascending, names ascending.
    pub(crate) fn members(&self) -> impl Iterator<Item = (&Cluster, &Member)> {
        self.parts.iter().flat_map(|part| {
            part.cluster
                .members
                .iter()
                .map(|member| (&part.cluster, member))
        })
    }
}
