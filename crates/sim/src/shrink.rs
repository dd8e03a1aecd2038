//! Makes a failing run small enough to be read: fewer members, less time, fewer disturbances.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::invariants::Invariant;
use crate::options::{Faults, Options};
use crate::report::Report;
use crate::sweep::run;

/// The smallest run found in which the same invariant is broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shrunk {
    /// The shape of the run.
    pub options: Options,
    /// What is broken in it.
    pub report: Report,
    /// The numbers of the disturbances that are left.
    pub disturbances: Vec<u64>,
    /// How many runs it took to find it.
    pub runs: u64,
}

/// No more runs than this, however much could still be left out.
const MOST_RUNS: u64 = 1500;

/// Shrinks the run of a seed; `None` when it is clean.
pub fn shrink(seed: u64, options: &Options) -> Option<Shrunk> {
    let report = run(seed, options);
    let invariant = report.violation.as_ref()?.invariant;
    let mut search = Search {
        seed,
        invariant,
        options: options.clone(),
        report,
        runs: 1,
    };
    search.less_time();
    search.fewer_members();
    search.fewer_kinds();
    search.fewer_disturbances();
    search.less_time();
    let Search {
        options,
        report,
        runs,
        ..
    } = search;
    let left = (1..=report.disturbances).filter(|number| !options.without.contains(number));
    Some(Shrunk {
        disturbances: left.collect(),
        options,
        report,
        runs,
    })
}

struct Search {
    seed: u64,
    invariant: Invariant,
    options: Options,
    report: Report,
    runs: u64,
}

impl Search {
    /// Keeps these options if the same invariant is still broken.
    fn try_with(&mut self, options: Options) -> bool {
        if self.runs >= MOST_RUNS || options == self.options {
            return false;
        }
        self.runs += 1;
        let report = run(self.seed, &options);
        let same = |broken: &crate::Violation| broken.invariant == self.invariant;
        let kept = report.violation.as_ref().is_some_and(same);
        if kept {
            self.options = options;
            self.report = report;
        }
        kept
    }

    /// Nothing after the violation matters.
    fn less_time(&mut self) {
        let at = self.report.violation.as_ref().map_or(0, |v| v.at_millis);
        let time = Duration::from_millis(at).min(self.options.time);
        self.try_with(Options {
            time,
            ..self.options.clone()
        });
    }

    fn fewer_members(&mut self) {
        for members in 2..=4 {
            let smaller = Options {
                members: Some(members),
                ..self.options.clone()
            };
            if self.options.members.is_none_or(|now| members < now) && self.try_with(smaller) {
                return;
            }
        }
    }

    fn fewer_kinds(&mut self) {
        let without: [fn(&mut Faults); 5] = [
            |faults| faults.operators = false,
            |faults| faults.drift = false,
            |faults| faults.freezes = false,
            |faults| faults.crashes = false,
            |faults| faults.network = false,
        ];
        for leave_out in without {
            let mut options = self.options.clone();
            leave_out(&mut options.faults);
            self.try_with(options);
        }
    }

    /// Leaves out ever smaller pieces of what is left, until nothing can be left out alone.
    fn fewer_disturbances(&mut self) {
        let mut piece = self.left().len();
        while piece > 0 && self.runs < MOST_RUNS {
            let mut smaller = false;
            for chunk in self.left().chunks(piece) {
                let mut options = self.options.clone();
                options.without.extend(chunk);
                smaller |= self.try_with(options);
            }
            if !smaller || piece > 1 {
                piece /= 2;
            }
        }
    }

    fn left(&self) -> Vec<u64> {
        let without: &BTreeSet<u64> = &self.options.without;
        (1..=self.report.disturbances)
            .filter(|number| !without.contains(number))
            .collect()
    }
}
