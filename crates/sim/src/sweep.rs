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
