//! Every interleaving of a small world, instead of many of a large one.
//!
//! Three members run the same cycles and long tasks of [`patroni_ha`] as everywhere, over the
//! model store and the smallest server that can be: a list of writes and a timeline. Whatever
//! may happen next happens, in a copy of the world each: a member begins a cycle, a command that
//! others can notice is carried out (or its request or its answer is lost), a client writes, a
//! standby receives, a server is killed, ten seconds pass. Equal worlds are looked at once.
//!
//! Bounds: cycles for each member, faults (lost requests, lost answers, killed servers), writes,
//! and spans of ten seconds; see [`Bounds`]. What no other member can notice (states, callbacks,
//! slots, the member's own key) is carried out at once, which leaves nothing out: the order of
//! such commands among each other changes nothing that anybody reads. Who waits for the store or
//! for others goes on when something has changed there, or when time has passed: looking again at
//! the same leads to the same.

mod carry;
mod search;
mod shared;
mod small;

use serde::{Deserialize, Serialize};

use crate::invariants::Invariant;
use crate::options::Mutant;

pub use search::exhaust;

/// What the small world begins with: `n1` leads, `n2` and `n3` stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Scene {
    /// Nothing special: who gets the lock when the leader is lost?
    Lock,
    /// Synchronous mode, `n2` in the key: is anything acknowledged ever lost?
    Synchronous,
    /// Quorum mode, any one of `n2` and `n3`: the same question.
    Quorum,
    /// Somebody asked for a switchover to `n2`.
    Switchover,
}

impl Scene {
    /// Every one.
    pub const ALL: [Self; 4] = [
        Self::Lock,
        Self::Synchronous,
        Self::Quorum,
        Self::Switchover,
    ];

    /// How far each is looked at to its end, in minutes. Two faults and a lock that runs out at
    /// once are more than that in all scenes but the simplest, so there one comes after the
    /// other.
    pub fn bounds(self) -> Vec<Bounds> {
        let of = |faults, spans| Bounds {
            faults,
            spans,
            ..Bounds::default()
        };
        match self {
            Self::Lock => vec![of(2, 2)],
            Self::Synchronous | Self::Quorum => vec![of(1, 2), of(2, 1)],
            Self::Switchover => vec![of(1, 1)],
        }
    }
}

/// How far to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bounds {
    /// Cycles of each member.
    pub cycles: u8,
    /// Lost requests, lost answers and killed servers, together.
    pub faults: u8,
    /// Writes of clients.
    pub writes: u8,
    /// Spans of ten seconds; the lock lasts for two of them.
    pub spans: u8,
    /// Worlds to look at in the end.
    pub states: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            cycles: 1,
            faults: 2,
            writes: 1,
            spans: 2,
            states: 10_000_000,
        }
    }
}

/// What a search found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Search {
    /// Different worlds.
    pub states: u64,
    /// Steps from one to another.
    pub steps: u64,
    /// The longest way, in steps.
    pub depth: u64,
    /// Every world within the bounds was seen.
    pub complete: bool,
    /// The first broken invariant.
    pub broken: Option<Broken>,
}

/// A broken invariant and the way to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Which.
    pub invariant: Invariant,
    /// What was seen.
    pub message: String,
    /// What happened before, in order.
    pub way: Vec<String>,
}

/// The search of one scene, with a known fault or without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// What it begins with.
    pub scene: Scene,
    /// How far to look.
    pub bounds: Bounds,
    /// A known fault to put back.
    pub mutant: Option<Mutant>,
}
