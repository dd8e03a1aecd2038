//! What a run leaves behind.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasherDefault, Hasher};

use serde::{Deserialize, Serialize};

use crate::invariants::Invariant;

/// The end of one run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The seed that gives this report again.
    pub seed: u64,
    /// What was broken first; the run ended there.
    pub violation: Option<Violation>,
    /// How many disturbances there were: things that broke, and people who asked for something.
    pub disturbances: u64,
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

/// The counters of a run under way. Counting is the most frequent thing that a run does, so it
/// goes by the addresses of the names; equal names at other addresses meet in the end.
#[derive(Debug, Default)]
pub(crate) struct Tally(HashMap<(usize, usize), Count, BuildHasherDefault<Mix>>);

#[derive(Debug)]
struct Count {
    kind: &'static str,
    what: &'static str,
    times: u64,
}

impl Tally {
    pub(crate) fn count(&mut self, kind: &'static str, what: &'static str) {
        let key = (kind.as_ptr().addr(), what.as_ptr().addr());
        let times = 0;
        self.0
            .entry(key)
            .or_insert(Count { kind, what, times })
            .times += 1;
    }

    pub(crate) fn finish(self) -> Coverage {
        let mut coverage = Coverage::default();
        for Count { kind, what, times } in self.0.into_values() {
            *coverage.0.entry(format!("{kind}: {what}")).or_default() += times;
        }
        coverage
    }
}

/// A hash of addresses.
#[derive(Clone, Copy, Debug, Default)]
struct Mix(u64);

impl Hasher for Mix {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_usize(usize::from(*byte));
        }
    }

    fn write_usize(&mut self, word: usize) {
        let word = u64::try_from(word).unwrap_or(u64::MAX);
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x517C_C1B7_2722_0A95);
    }
}
