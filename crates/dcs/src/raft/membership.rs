//! Who may come and who goes, one step at a time, decided by the leader; and how to ask for it.
//!
//! A new member repeats its request until it is done, and every request makes the leader take the
//! next step: remove an older number of the same address, add the new one as a learner, and let
//! it vote when it has caught up. Nothing is remembered between the steps, so a change of leader
//! in the middle costs one repetition.

use std::time::{Duration, Instant};

use raft::eraftpb::{ConfChange, ConfChangeType};
use tokio::time::{sleep, timeout};

use super::core::Core;
use super::ident::Address;
use super::input::{Membership, NoAnswer};
use super::transport::wire::{self, Reply, Request};
use super::transport::{Caller, Key};

/// Between two steps.
pub(crate) const STEP: Duration = Duration::from_millis(150);
const REQUEST: Duration = Duration::from_secs(3);
const MAX_REPLY: usize = 64 << 10;

/// Puts one request to one member; `None` when it does not answer.
pub(crate) async fn exchange(
    member: &Address,
    key: Option<&Key>,
    request: &Request,
) -> Option<Reply> {
    let (mut channel, _) = Caller::client(member, key).await.ok()?;
    channel.send(&wire::encode(request), REQUEST).await.ok()?;
    let answer = timeout(REQUEST, channel.receive(MAX_REPLY)).await;
    serde_json::from_slice(&answer.ok()?.ok()??).ok()
}

/// Puts a request about membership to one member; `None` when it does not answer.
pub(crate) async fn ask(
    member: &Address,
    key: Option<&Key>,
    request: &Request,
) -> Option<Membership> {
    match exchange(member, key, request).await? {
        Reply::Membership(membership) => Some(membership),
        Reply::Items(_)
        | Reply::Outcome(_)
        | Reply::Changed(_)
        | Reply::Standing(_)
        | Reply::Failed(_) => None,
    }
}

/// Removes the member at `address` for good, asking `members` and whom they name as leader.
/// `Some` is why it was refused. Cancel safe: the removal may go on.
pub(crate) async fn remove(
    address: &Address,
    members: &[Address],
    key: Option<&Key>,
    budget: Duration,
) -> Result<Option<String>, NoAnswer> {
    let steps = async {
        let mut hint = None;
        loop {
            for member in hint.take().iter().chain(members) {
                let address = address.clone();
                match ask(member, key, &Request::Remove { address }).await {
                    Some(Membership::Done) => return None,
                    Some(Membership::Refused(why)) => return Some(why),
                    Some(Membership::Pending) => break,
                    Some(Membership::NotLeader(Some(leader))) if leader != *member => {
                        hint = Some(leader);
                        break;
                    }
                    Some(Membership::NotLeader(_)) | None => {}
                }
            }
            sleep(STEP).await;
        }
    };
    timeout(budget, steps).await.map_err(|_| NoAnswer::Late)
}

impl Core {
    /// One step for the member `id` at `address`.
    pub(super) fn join(&mut self, id: u64, address: &Address) -> Membership {
        if let Some(answer) = self.not_ours_to_decide() {
            return answer;
        }
        if self.machine.is_removed(id) {
            return Membership::Refused("this member was removed".to_owned());
        }
        if self.conf.voters.contains(&id) {
            return Membership::Done;
        }
        if self.raw.raft.has_pending_conf() {
            return Membership::Pending;
        }
        if self.conf.learners.contains(&id) {
            if self.has_caught_up(id) {
                self.change(ConfChangeType::AddNode, id, address);
            }
            return Membership::Pending;
        }
        match self.other_at(id, address) {
            Some(old) if self.is_alive(old) => {
                Membership::Refused(format!("a live member uses the address {address}"))
            }
            Some(old) => {
                tracing::warn!("raft member {address} came back with an empty disk");
                self.change(ConfChangeType::RemoveNode, old, address);
                Membership::Pending
            }
            None if !self.may_come(address) => Membership::Refused(format!(
                "{address} is not in partner_addrs of the leader, and no password is set"
            )),
            None => {
                self.change(ConfChangeType::AddLearnerNode, id, address);
                Membership::Pending
            }
        }
    }

    /// One step of the removal of the member at `address`.
    pub(super) fn remove(&mut self, address: &Address) -> Membership {
        if let Some(answer) = self.not_ours_to_decide() {
            return answer;
        }
        let Some(id) = self.other_at(0, address) else {
            return Membership::Done;
        };
        if self.raw.raft.has_pending_conf() {
            return Membership::Pending;
        }
        if id != self.id() {
            self.change(ConfChangeType::RemoveNode, id, address);
            return Membership::Pending;
        }
        match self.successor() {
            Some(successor) => {
                self.raw.transfer_leader(successor);
                Membership::Pending
            }
            None => Membership::Refused("nobody else can lead".to_owned()),
        }
    }

    fn not_ours_to_decide(&self) -> Option<Membership> {
        if !self.leads() {
            let leader = self.raw.raft.leader_id;
            let address = self.machine.members.get(&leader).cloned();
            return Some(Membership::NotLeader(address));
        }
        let settled = self.raw.raft.commit_to_current_term() && self.machine.cluster != 0;
        (!settled).then_some(Membership::Pending)
    }

    fn change(&mut self, kind: ConfChangeType, id: u64, address: &Address) {
        let mut change = ConfChange::default();
        change.set_change_type(kind);
        change.node_id = id;
        change.context = address.as_str().to_owned().into();
        if let Err(error) = self.raw.propose_conf_change(Vec::new(), change) {
            tracing::debug!(%error, "raft membership change not proposed");
        }
    }

    fn has_caught_up(&self, id: u64) -> bool {
        let committed = self.raw.raft.raft_log.committed;
        let progress = self.raw.raft.prs().get(id);
        self.is_alive(id) && progress.is_some_and(|p| p.matched >= committed)
    }

    fn other_at(&self, id: u64, address: &Address) -> Option<u64> {
        let mut members = self.machine.members.iter();
        members
            .find(|(other, at)| **other != id && *at == address)
            .map(|(other, _)| *other)
    }

    fn may_come(&self, address: &Address) -> bool {
        self.allowed
            .as_ref()
            .is_none_or(|allowed| allowed.contains(address))
    }

    fn is_alive(&self, id: u64) -> bool {
        let silence = self.tuning.election_timeout();
        id == self.id()
            || self
                .heard
                .get(&id)
                .is_some_and(|at| Instant::now().duration_since(*at) < silence)
    }
}
