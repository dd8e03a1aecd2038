//! What is said on a connection besides the consensus protocol. All of it is JSON.

use std::collections::BTreeMap;

use patroni_core::MemberName;
use serde::{Deserialize, Serialize};

use crate::raft::command::{Origin, Outcome, Write};
use crate::raft::ident::Address;
use crate::raft::input::Membership;
use crate::raft::machine::Item;
use crate::raft::marks::Marks;
use crate::raft::roster::Standing;

/// The caller's first frame.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Hello {
    /// A member that will send messages of the protocol.
    Peer {
        /// Who calls.
        from: Who,
        /// Whom it means to call; an address may have changed hands.
        to: u64,
    },
    /// Somebody with requests.
    Client,
}

/// A member in its own words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Who {
    /// Its number, 0 before it has one.
    pub(crate) id: u64,
    /// Its address.
    pub(crate) address: Address,
    /// The cluster, 0 before it knows.
    pub(crate) cluster: u64,
    /// How far it has come.
    pub(crate) stage: Stage,
    /// A number for the set of founders that it was configured with.
    pub(crate) founders: u64,
}

/// How far a member has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Stage {
    /// Its disk is empty.
    Blank,
    /// It has written the first membership, and knows of no cluster yet.
    Founding,
    /// It asks a cluster to take it in.
    Joining,
    /// It belongs to a cluster.
    Member,
}

/// The called side's first frame.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Welcome {
    /// Who was called.
    pub(crate) who: Who,
    /// Why the connection ends here, if it does.
    pub(crate) refused: Option<String>,
}

/// A request of a client.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Request {
    /// All keys below a prefix, as of now or later.
    Read {
        /// The key without a slash at the end.
        prefix: String,
        /// Milliseconds that the caller will wait.
        budget_ms: u64,
    },
    /// A conditional write.
    Write {
        /// Who asks.
        origin: Origin,
        /// For what.
        write: Write,
        /// Milliseconds that the caller will wait.
        budget_ms: u64,
    },
    /// Wait until something of note differs from what the caller has seen.
    Watch {
        /// The key without a slash at the end.
        prefix: String,
        /// What the caller has seen.
        seen: Marks,
        /// Whom to wake: its own writes do not.
        member: Option<MemberName>,
        /// Milliseconds that the caller will wait.
        budget_ms: u64,
    },
    /// A new member asks for its next step.
    Join {
        /// Its number.
        id: u64,
        /// Its address.
        address: Address,
    },
    /// An operator removes a member.
    Remove {
        /// Its address.
        address: Address,
    },
    /// Who belongs to the cluster, as the asked member sees it.
    Standing,
}

/// The answer to a request.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Reply {
    /// The keys.
    Items(BTreeMap<String, Item>),
    /// What became of the write.
    Outcome(Outcome),
    /// Whether something differs.
    Changed(bool),
    /// About members.
    Membership(Membership),
    /// What the member sees.
    Standing(Standing),
    /// No answer, and why.
    Failed(String),
}

/// Bytes of a frame.
pub(crate) fn encode(message: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(message).expect("plain data, written to memory")
}
