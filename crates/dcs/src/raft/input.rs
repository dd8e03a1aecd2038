//! What can reach the core, and the handle that others hold.

use std::sync::Arc;
use std::time::Duration;

use raft::eraftpb::Message;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use super::command::{Origin, Outcome, Write};
use super::ident::Address;
use super::machine::Machine;

/// Everything that can happen to the core, besides the beat of its clock.
#[derive(Debug)]
pub(crate) enum Input {
    /// A peer sent a message of the protocol.
    Message(Box<Message>),
    /// A peer connected; its address may be one that we have not learned yet.
    PeerSeen { id: u64, address: Address },
    /// Messages to a peer were lost.
    Unreachable(u64),
    /// A snapshot went out, or not.
    SnapshotSent { to: u64, ok: bool },
    /// Somebody wants to write; answered when the entry has been applied here.
    Write {
        origin: Origin,
        write: Write,
        reply: oneshot::Sender<Outcome>,
    },
    /// Somebody wants the state as of now or later.
    Read {
        reply: oneshot::Sender<Arc<Machine>>,
    },
    /// A new member asks for its next step into the cluster.
    Join {
        id: u64,
        address: Address,
        reply: oneshot::Sender<Membership>,
    },
    /// An operator removes a member.
    Remove {
        address: Address,
        reply: oneshot::Sender<Membership>,
    },
    /// Hand over and end.
    Stop,
}

/// The answer to a request about membership. Requests are repeated until the answer is final.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Membership {
    /// It is as asked.
    Done,
    /// A step was taken or is under way; ask again.
    Pending,
    /// Ask this one, if any is known.
    NotLeader(Option<Address>),
    /// No, and why.
    Refused(String),
}

/// What the core shows to everybody.
#[derive(Clone, Debug, Default)]
pub struct View {
    pub(crate) machine: Arc<Machine>,
    pub(crate) id: u64,
    pub(crate) leader: u64,
    pub(crate) term: u64,
    pub(crate) voters: Vec<u64>,
}

impl View {
    /// Whether a leader is known, the cluster has its name, and this member votes.
    pub fn is_ready(&self) -> bool {
        self.leader != 0 && self.machine.cluster != 0 && self.voters.contains(&self.id)
    }

    /// Whether this member leads.
    pub fn is_leader(&self) -> bool {
        self.leader != 0 && self.leader == self.id
    }

    /// The leader's address, when known.
    pub fn leader_address(&self) -> Option<&Address> {
        self.machine.members.get(&self.leader)
    }
}

/// Why the core gave no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoAnswer {
    /// Time is over. A write may still be carried out.
    #[error("no answer from a raft leader in time")]
    Late,
    /// The member has stopped or has too much to do.
    #[error("the raft member does not run")]
    Gone,
    /// The last of the members that were asked could not be reached.
    #[error("raft member {0}: {1}")]
    Unreached(Address, String),
}

/// A cheap handle to a running core.
#[derive(Clone, Debug)]
pub(crate) struct Handle {
    inputs: mpsc::Sender<Input>,
    view: watch::Receiver<View>,
}

impl Handle {
    pub(crate) fn new(inputs: mpsc::Sender<Input>, view: watch::Receiver<View>) -> Self {
        Self { inputs, view }
    }

    /// Writes. When the future is dropped the write may still be carried out.
    pub(crate) async fn write(
        &self,
        origin: Origin,
        write: Write,
        budget: Duration,
    ) -> Result<Outcome, NoAnswer> {
        self.ask(budget, |reply| Input::Write {
            origin,
            write,
            reply,
        })
        .await
    }

    /// The state, not older than this call. Cancel safe.
    pub(crate) async fn read(&self, budget: Duration) -> Result<Arc<Machine>, NoAnswer> {
        self.ask(budget, |reply| Input::Read { reply }).await
    }

    /// One step of a joining member.
    pub(crate) async fn join(
        &self,
        id: u64,
        address: Address,
        budget: Duration,
    ) -> Result<Membership, NoAnswer> {
        self.ask(budget, |reply| Input::Join { id, address, reply })
            .await
    }

    /// One step of a removal.
    pub(crate) async fn remove(
        &self,
        address: Address,
        budget: Duration,
    ) -> Result<Membership, NoAnswer> {
        self.ask(budget, |reply| Input::Remove { address, reply })
            .await
    }

    /// Passes something on; waits while the core has too much to do.
    pub(crate) async fn pass(&self, input: Input) -> Result<(), NoAnswer> {
        self.inputs.send(input).await.map_err(|_| NoAnswer::Gone)
    }

    /// What the core shows.
    pub(crate) fn view(&self) -> watch::Receiver<View> {
        self.view.clone()
    }

    async fn ask<T>(
        &self,
        budget: Duration,
        input: impl FnOnce(oneshot::Sender<T>) -> Input,
    ) -> Result<T, NoAnswer> {
        let (reply, answer) = oneshot::channel();
        let asked = async {
            self.pass(input(reply)).await?;
            answer.await.map_err(|_| NoAnswer::Gone)
        };
        timeout(budget, asked).await.map_err(|_| NoAnswer::Late)?
    }
}
