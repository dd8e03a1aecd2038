//! Many runs at once.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;

use crate::invariants::Invariant;
use crate::options::Options;
use crate::report::{Coverage, Report};
use crate::world::World;

/// One run. The same seed and options give the same report, always.
pub fn run(seed: u64, options: &Options) -> Report {
    World::new(seed, options).run()
}

/// One run, written line by line: milliseconds, member, kind, text.
///
/// # Errors
/// Those of `out`.
pub fn trace(seed: u64, options: &Options, out: &mut dyn Write) -> io::Result<Report> {
    let options = Options {
        trace: true,
        ..options.clone()
    };
    let report = run(seed, &options);
    for line in &report.trace {
        writeln!(out, "{line}")?;
    }
    Ok(report)
}

/// Looks for the first of so many seeds that breaks an invariant: its report, if there is one.
/// The threads share the seeds, and the answer does not depend on their number.
pub fn hunt(first_seed: u64, count: u64, options: &Options, threads: usize) -> Option<Report> {
    let next = AtomicU64::new(0);
    let found = AtomicU64::new(u64::MAX);
    let mut reports: Vec<Report> = thread::scope(|scope| {
        let hunters: Vec<_> = (0..threads.max(1))
            .map(|_| {
                scope.spawn(|| {
                    let mut best: Option<Report> = None;
                    loop {
                        let seed = first_seed + next.fetch_add(1, Ordering::Relaxed);
                        let enough = found.load(Ordering::Relaxed);
                        if seed >= first_seed + count || seed > enough {
                            return best;
                        }
                        let report = run(seed, options);
                        if report.violation.is_some() {
                            found.fetch_min(seed, Ordering::Relaxed);
                            let better = best.as_ref().is_none_or(|best| seed < best.seed);
                            best = if better { Some(report) } else { best };
                        }
                    }
                })
            })
            .collect();
        let joined = hunters.into_iter().filter_map(|hunter| hunter.join().ok());
        joined.flatten().collect()
    });
    reports.sort_by_key(|report| report.seed);
    reports.into_iter().next()
}

/// What many runs found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// How many runs there were.
    pub runs: u64,
    /// Seed, invariant and message of each broken run, in the order of seeds.
    pub violations: Vec<(u64, Invariant, String)>,
    /// All counters together.
    pub coverage: Coverage,
}

/// Runs `count` seeds from `first_seed` on, on so many threads. `progress` is called after each
/// run with the number of runs so far.
pub fn sweep(
    first_seed: u64,
    count: u64,
    options: &Options,
    threads: usize,
    mut progress: impl FnMut(u64),
) -> Summary {
    let next = AtomicU64::new(0);
    let (sender, reports) = mpsc::channel();
    let mut summary = Summary::default();
    thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            let (sender, next) = (sender.clone(), &next);
            scope.spawn(move || {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= count || sender.send(run(first_seed + index, options)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        for report in reports {
            summary.runs += 1;
            summary.coverage.add(&report.coverage);
            if let Some(broken) = report.violation {
                let found = (report.seed, broken.invariant, broken.message);
                summary.violations.push(found);
            }
            progress(summary.runs);
        }
    });
    summary.violations.sort();
    summary
}
