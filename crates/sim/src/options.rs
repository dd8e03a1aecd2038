//! What a run is made of besides its seed.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::scenario::Scenario;

/// The shape of a run. Everything else comes from the seed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Options {
    /// How many members; `None` lets the seed choose 2, 3 (mostly) or 5.
    pub members: Option<usize>,
    /// How long faults happen, in simulated time.
    pub time: Duration,
    /// Which faults happen.
    pub faults: Faults,
    /// One fault at a known place instead of random ones.
    #[serde(default)]
    pub scenario: Option<Scenario>,
    /// A known fault of the body to put back.
    pub mutant: Option<Mutant>,
    /// Keep one line for each event in the report.
    pub trace: bool,
    /// Keep every cycle and every long task as a line of a journal in the report.
    pub journal: bool,
}

impl Default for Options {
    /// Ten simulated minutes with every kind of fault.
    fn default() -> Self {
        Self {
            members: None,
            time: Duration::from_mins(10),
            faults: Faults::default(),
            scenario: None,
            mutant: None,
            trace: false,
            journal: false,
        }
    }
}

/// Kinds of faults that can be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Faults {
    /// Links that are cut, and a store that does not answer or loses or delays answers.
    pub network: bool,
    /// Processes and nodes that stand still.
    pub freezes: bool,
    /// Processes and nodes that die.
    pub crashes: bool,
    /// Clocks that drift by up to half a percent.
    pub drift: bool,
    /// People who ask for things at bad moments.
    pub operators: bool,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            network: true,
            freezes: true,
            crashes: true,
            drift: true,
            operators: true,
        }
    }
}

/// A known fault of the body. Each proves that the invariants see something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Mutant {
    /// The lease counts from the answer of the store, not from the request.
    LeaseFromAnswer,
    /// The body says that the lock is held without asking the store.
    PromoteBeforeLock,
    /// The lock is given back before PostgreSQL was stopped.
    ReleaseBeforeStop,
    /// Nothing stops PostgreSQL when the lease is over.
    GuardOff,
    /// The `sync` key is written later than the body says.
    SyncKeyLate,
    /// The guardian of a primary does not act.
    GuardianAsleep,
}

impl Mutant {
    /// Every one.
    pub const ALL: [Self; 6] = [
        Self::LeaseFromAnswer,
        Self::PromoteBeforeLock,
        Self::ReleaseBeforeStop,
        Self::GuardOff,
        Self::SyncKeyLate,
        Self::GuardianAsleep,
    ];
}
