//! What a run leaves behind.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::invariants::Invariant;

/// The end of one run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The seed that gives this report again.
    pub seed: u64,
    /// What was broken first; the run ended there.
    pub violation: Option<Violation>,
    /// How often each thing happened.
    pub coverage: Coverage,
    /// One line for each event, when asked for.
    pub trace: Vec<String>,
    /// One line for each decision, when asked for; `patroni --replay` reads them.
    pub journal: Vec<String>,
}

/// A broken invariant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violation {
    /// Which.
    pub invariant: Invariant,
    /// Simulated time, in milliseconds.
    pub at_millis: u64,
    /// What was seen.
    pub message: String,
}

/// Counters of what a run (or many) came through: commands, verdicts, faults, commits. A net
/// that never saw a switchover proves nothing about switchovers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coverage(BTreeMap<String, u64>);

impl Coverage {
    pub(crate) fn count(&mut self, kind: &str, what: &str) {
        let key = format!("{kind}: {what}");
        *self.0.entry(key).or_default() += 1;
    }

    /// How often this happened; the name is `kind: what`, as [`Coverage::iter`] shows.
    pub fn of(&self, name: &str) -> u64 {
        self.0.get(name).copied().unwrap_or(0)
    }

    /// All counters in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.0.iter().map(|(name, count)| (name.as_str(), *count))
    }

    /// Adds the counters of another run.
    pub fn add(&mut self, other: &Self) {
        for (name, count) in &other.0 {
            *self.0.entry(name.clone()).or_default() += count;
        }
    }
}
