//! What a run is made of besides its seed.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use crate::mutants::Mutant;
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
    /// Disturbances that are left out, by their number in the run (from 1). What the seed chose
    /// for the others stays as it is, so a failing run can be made smaller.
    pub without: BTreeSet<u64>,
    /// A known fault to put back.
    pub mutant: Option<Mutant>,
    /// Keep one line for each event in the report.
    pub trace: bool,
    /// Keep every cycle and every long task as a line of a journal in the report.
    pub journal: bool,
}

impl Default for Options {
    /// One simulated hour with every kind of fault.
    fn default() -> Self {
        Self {
            members: None,
            time: Duration::from_hours(1),
            faults: Faults::default(),
            scenario: None,
            without: BTreeSet::new(),
            mutant: None,
            trace: false,
            journal: false,
        }
    }
}

/// Kinds of faults that can be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Faults {
    /// Links that are cut, and a store that does not answer or loses, delays or repeats.
    pub network: bool,
    /// Processes, disks and nodes that stand still.
    pub freezes: bool,
    /// Processes and nodes that die.
    pub crashes: bool,
    /// Clocks that drift by up to half a percent, and wall clocks that step.
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
