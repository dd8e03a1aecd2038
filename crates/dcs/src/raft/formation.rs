//! How a member with an empty disk begins: it founds a cluster, or joins one.
//!
//! All addresses of the configuration, our own among them, are the *founders*. The member asks its
//! partners what they have:
//!
//! 1. Somebody belongs to a cluster: we **join** it, under a number that nobody has used. If we
//!    were a member before and lost our disk, the leader first removes the number that the lost
//!    disk voted with; the new one learns, and votes when it has caught up.
//! 2. A majority of the founders (we count) have empty disks, or have just founded and know of no
//!    cluster yet, and were configured with the same set of addresses: we **found**. All founders
//!    write the same first membership, so it does not matter who begins, and the first leader
//!    gives the cluster a random name, which every member notes on its disk.
//! 3. Else we wait and ask again.
//!
//! Why this is safe: a cluster that exists has its log on a majority of its founders. As long as
//! fewer than a majority lose their disks, at most a minority can answer "empty" together with
//! founders that never started, or one of those who answer knows the cluster. If more is
//! lost at once than Raft can bear, the remaining members of the old cluster and the new one know
//! each other by the different names and refuse each other; they cannot overwrite anything, and
//! the old one has no majority any more.
//!
//! A cluster of two, of which one disk is lost, cannot decide anything, not even to let the other
//! one in again: add a third voter (`patroni_raft_controller` needs no PostgreSQL).

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use raft::eraftpb::Snapshot;
use tokio::time::sleep;

use super::ident::Address;
use super::input::{Handle, Membership};
use super::machine::Machine;
use super::membership;
use super::transport::wire::{Request, Stage, Who};
use super::transport::{Caller, Key, REMINDER};

/// Between rounds of questions.
const PAUSE: Duration = Duration::from_millis(200);

/// How to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Beginning {
    /// Write the first membership.
    Found,
    /// Ask to be taken in.
    Join,
}

/// Asks until it is clear how to begin.
pub(crate) async fn decide(me: &Who, founders: &BTreeSet<Address>, key: Option<&Key>) -> Beginning {
    let mut told = Told::default();
    loop {
        let partners = founders.iter().filter(|address| **address != me.address);
        let asked = partners.map(|address| async move {
            let answer = Caller::client(address, key).await;
            (address, answer.map(|(_, welcome)| welcome.who))
        });
        let mut answers = Vec::new();
        for (address, answer) in join_all(asked).await {
            match answer {
                Ok(who) => answers.push((address, who)),
                Err(error) => told.no_answer(address, &error),
            }
        }
        for (address, who) in &answers {
            if let Some(why) = mismatch(me, address, who) {
                told.warn(address, &why);
            }
        }
        if let Some(beginning) = judge(me, founders.len(), &answers) {
            return beginning;
        }
        sleep(PAUSE).await;
    }
}

/// What the log was told of the partners; what hinders the start is said again and again.
#[derive(Default)]
struct Told {
    silent: BTreeSet<Address>,
    warned: BTreeMap<Address, (String, Instant)>,
}

impl Told {
    fn no_answer(&mut self, address: &Address, error: &io::Error) {
        if error.kind() == io::ErrorKind::PermissionDenied {
            self.warn(address, &error.to_string());
        } else if self.silent.insert(address.clone()) {
            tracing::info!("raft partner {address} gives no answer yet: {error}");
        }
    }

    fn warn(&mut self, address: &Address, why: &str) {
        let last = self.warned.get(address);
        if last.is_none_or(|(text, at)| text != why || at.elapsed() >= REMINDER) {
            tracing::warn!("raft partner {address}: {why}");
            let said = (why.to_owned(), Instant::now());
            self.warned.insert(address.clone(), said);
        }
    }
}

fn mismatch(me: &Who, address: &Address, who: &Who) -> Option<String> {
    if who.address != *address {
        return Some(format!(
            "it calls itself {}, unlike our partner_addrs",
            who.address
        ));
    }
    let early = matches!(who.stage, Stage::Blank | Stage::Founding);
    (early && who.founders != me.founders)
        .then(|| "it has another set of addresses in its configuration".to_owned())
}

fn judge(me: &Who, founders: usize, answers: &[(&Address, Who)]) -> Option<Beginning> {
    let ours = || answers.iter().filter(|(at, who)| who.address == **at);
    if ours().any(|(_, who)| who.stage == Stage::Member) {
        return Some(Beginning::Join);
    }
    let early = |who: &Who| match who.stage {
        Stage::Blank | Stage::Founding => who.founders == me.founders,
        Stage::Joining | Stage::Member => false,
    };
    let ready = 1 + ours().filter(|(_, who)| early(who)).count();
    (ready > founders / 2).then_some(Beginning::Found)
}

/// The state that all founders write: the same bytes for all of them.
pub(crate) fn first_snapshot(members: BTreeMap<u64, Address>) -> Snapshot {
    let mut snapshot = Snapshot::default();
    let meta = snapshot.mut_metadata();
    meta.index = 1;
    meta.term = 1;
    meta.mut_conf_state().voters = members.keys().copied().collect();
    snapshot.data = Machine::founded(members).to_snapshot().into();
    snapshot
}

/// Asks the cluster to take us in, until we vote.
pub(crate) async fn join(
    id: u64,
    address: &Address,
    partners: &BTreeSet<Address>,
    key: Option<&Key>,
    handle: &Handle,
) {
    let view = handle.view();
    let mut told = Told::default();
    let mut hint = None;
    loop {
        for partner in hint.take().iter().chain(partners) {
            if view.borrow().voters.contains(&id) {
                return;
            }
            let address = address.clone();
            match membership::ask(partner, key, &Request::Join { id, address }).await {
                Some(Membership::Done | Membership::Pending) => break,
                Some(Membership::NotLeader(Some(leader))) if leader != *partner => {
                    hint = Some(leader);
                    break;
                }
                Some(Membership::Refused(why)) => {
                    told.warn(partner, &format!("not taken into the cluster yet: {why}"));
                    break;
                }
                Some(Membership::NotLeader(_)) | None => {}
            }
        }
        sleep(membership::STEP).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn who(address: &str, stage: Stage, founders: u64) -> (Address, Who) {
        let address = Address::parse(address).unwrap();
        let who = Who {
            id: 0,
            address: address.clone(),
            cluster: u64::from(stage == Stage::Member),
            stage,
            founders,
        };
        (address, who)
    }

    #[test]
    fn only_a_majority_that_agrees_founds() {
        let (_, me) = who("a:1", Stage::Blank, 7);
        for (b, c, expected) in [
            (None, None, None),
            (Some((Stage::Blank, 7)), None, Some(Beginning::Found)),
            (Some((Stage::Founding, 7)), None, Some(Beginning::Found)),
            (Some((Stage::Blank, 8)), None, None),
            (Some((Stage::Joining, 7)), None, None),
            (
                Some((Stage::Blank, 7)),
                Some((Stage::Member, 9)),
                Some(Beginning::Join),
            ),
        ] {
            let answers = [("b:1", b), ("c:1", c)];
            let answers: Vec<(Address, Who)> = answers
                .into_iter()
                .filter_map(|(at, said)| said.map(|(stage, set)| who(at, stage, set)))
                .collect();
            let answers: Vec<(&Address, Who)> =
                answers.iter().map(|(at, who)| (at, who.clone())).collect();
            assert_eq!(judge(&me, 3, &answers), expected, "{answers:?}");
        }
        assert_eq!(judge(&me, 1, &[]), Some(Beginning::Found), "alone");
    }
}
