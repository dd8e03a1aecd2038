//! Who belongs to the cluster and who of them answers, for an operator.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::ident::Address;
use super::input::View;
use super::membership;
use super::transport::Key;
use super::transport::wire::{Reply, Request};

/// For one member, which may hang.
const ATTEMPT: Duration = Duration::from_secs(2);

/// What one member knows of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Standing {
    id: u64,
    leader: u64,
    term: u64,
    applied: u64,
    voters: BTreeSet<u64>,
    members: BTreeMap<u64, Address>,
}

impl Standing {
    /// What a member shows.
    pub(crate) fn of(view: &View) -> Self {
        Self {
            id: view.id,
            leader: view.leader,
            term: view.term,
            applied: view.machine.applied,
            voters: view.voters.iter().copied().collect(),
            members: view.machine.members.clone(),
        }
    }
}

/// One member of a cluster on the embedded store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RaftMember {
    /// Its address, as its partners write it.
    pub address: String,
    /// What it is to the group.
    pub role: RaftRole,
    /// What it says of itself; `None` when it did not answer within two seconds.
    pub progress: Option<Progress>,
}

/// What a member is to the group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RaftRole {
    /// It leads the group (which has nothing to do with who leads PostgreSQL).
    Leader,
    /// It votes.
    Voter,
    /// It learns the log, and will vote when it has caught up.
    Learner,
}

impl RaftRole {
    /// The word for tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Leader => "Leader",
            Self::Voter => "Voter",
            Self::Learner => "Learner",
        }
    }
}

/// How far a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The term that it is in.
    pub term: u64,
    /// The last log entry that it carried out.
    pub applied: u64,
}

/// Asks `known` addresses, and whoever they name, and puts the answers together: the newest
/// answer says who belongs to the cluster. `None` when nobody who belongs to one answers. Cancel
/// safe.
pub(crate) async fn ask(known: &[Address], key: Option<&Key>) -> Option<Vec<RaftMember>> {
    let mut answers = BTreeMap::new();
    let mut asked = BTreeSet::new();
    let mut wanted: BTreeSet<Address> = known.iter().cloned().collect();
    while !wanted.is_empty() {
        let round = join_all(wanted.iter().map(|address| ask_one(address, key))).await;
        asked.append(&mut wanted);
        answers.extend(round.into_iter().flatten());
        let newest = newest(&answers)?;
        let all = newest.members.values();
        wanted = all.filter(|at| !asked.contains(*at)).cloned().collect();
    }
    Some(roster(newest(&answers)?, &answers))
}

async fn ask_one(address: &Address, key: Option<&Key>) -> Option<(u64, Standing)> {
    let asked = membership::exchange(address, key, &Request::Standing);
    match timeout(ATTEMPT, asked).await.ok()?? {
        Reply::Standing(standing) => Some((standing.id, standing)),
        Reply::Items(_)
        | Reply::Outcome(_)
        | Reply::Changed(_)
        | Reply::Membership(_)
        | Reply::Failed(_) => None,
    }
}

fn newest(answers: &BTreeMap<u64, Standing>) -> Option<&Standing> {
    let members = answers.values().filter(|told| !told.members.is_empty());
    members.max_by_key(|told| (told.term, told.leader != 0, told.applied))
}

fn roster(newest: &Standing, answers: &BTreeMap<u64, Standing>) -> Vec<RaftMember> {
    let mut members: Vec<RaftMember> = newest
        .members
        .iter()
        .map(|(id, address)| RaftMember {
            address: address.to_string(),
            role: if *id == newest.leader {
                RaftRole::Leader
            } else if newest.voters.contains(id) {
                RaftRole::Voter
            } else {
                RaftRole::Learner
            },
            progress: answers.get(id).map(|told| Progress {
                term: told.term,
                applied: told.applied,
            }),
        })
        .collect();
    members.sort_by(|a, b| a.address.cmp(&b.address));
    members
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(id: u64, leader: u64, term: u64, applied: u64) -> (u64, Standing) {
        let address = |port: u64| Address::parse(&format!("10.0.0.{port}:2380")).unwrap();
        let told = Standing {
            id,
            leader,
            term,
            applied,
            voters: BTreeSet::from([1, 2]),
            members: (1..=3).map(|id| (id, address(id))).collect(),
        };
        (id, told)
    }

    #[test]
    fn the_newest_answer_names_the_leader_and_everybody_speaks_for_himself() {
        let answers = BTreeMap::from([standing(1, 1, 4, 90), standing(2, 2, 5, 80)]);
        let members = roster(newest(&answers).unwrap(), &answers);
        let told: Vec<_> = members
            .iter()
            .map(|member| (member.role, member.progress.map(|p| (p.term, p.applied))))
            .collect();
        assert_eq!(
            told,
            [
                (RaftRole::Voter, Some((4, 90))),
                (RaftRole::Leader, Some((5, 80))),
                (RaftRole::Learner, None),
            ]
        );
    }

    #[test]
    fn a_member_that_waits_for_its_cluster_tells_nothing() {
        let (id, mut told) = standing(1, 0, 0, 0);
        told.members.clear();
        assert_eq!(newest(&BTreeMap::from([(id, told)])), None);
    }
}
