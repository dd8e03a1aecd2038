//! `cargo xtask sim`: many lives of a cluster in the simulator, or one of them line by line.

use std::io::Write;
use std::time::Instant;

use anyhow::{Result, bail};
use clap::Args;
use patroni_sim::{Mutant, Summary, sweep, trace};

/// Options of `cargo xtask sim`.
#[derive(Args)]
pub(crate) struct Options {
    /// How many seeds.
    #[arg(long, default_value_t = 200)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// Only this one.
    #[arg(long)]
    seed: Option<u64>,
    /// With --seed: print every event.
    #[arg(long)]
    trace: bool,
    /// With --seed: write every decision into this file, for `patroni --replay`.
    #[arg(long, value_name = "FILE", requires = "seed")]
    journal: Option<std::path::PathBuf>,
    /// Put each known fault back and show which invariant finds it, and how soon.
    #[arg(long)]
    mutants: bool,
    /// Print how often each command, verdict and fault was seen.
    #[arg(long)]
    coverage: bool,
}

/// Sweeps, replays or proves the net.
///
/// # Errors
/// An invariant is broken, or a known fault is not found.
pub(crate) fn run(options: &Options) -> Result<()> {
    if options.mutants {
        return mutants(options.seeds);
    }
    if let Some(seed) = options.seed {
        return replay(seed, options);
    }
    let summary = many(
        options.first,
        options.seeds,
        &patroni_sim::Options::default(),
    );
    if options.coverage {
        for (name, count) in summary.coverage.iter() {
            println!("{count:>10}  {name}");
        }
    }
    for (seed, invariant, message) in summary.violations.iter().take(20) {
        println!("seed {seed}: {invariant:?}: {message}");
        println!("  replay: cargo xtask sim --seed {seed} --trace");
    }
    println!(
        "sim: {} seeds, {} violations",
        summary.runs,
        summary.violations.len()
    );
    if summary.violations.is_empty() {
        Ok(())
    } else {
        bail!("an invariant is broken")
    }
}

fn replay(seed: u64, wanted: &Options) -> Result<()> {
    let options = patroni_sim::Options {
        journal: wanted.journal.is_some(),
        ..patroni_sim::Options::default()
    };
    let report = if wanted.trace {
        trace(seed, &options, &mut std::io::stdout().lock())?
    } else {
        patroni_sim::run(seed, &options)
    };
    if let Some(path) = &wanted.journal {
        let mut text = report.journal.join("\n");
        text.push('\n');
        std::fs::write(path, text)?;
        let (count, path) = (report.journal.len(), path.display());
        println!("sim: {count} decisions are in {path}");
    }
    match report.violation {
        None => {
            println!("sim: seed {seed} is clean");
            Ok(())
        }
        Some(broken) => bail!(
            "seed {seed} at {} ms: {:?}: {}",
            broken.at_millis,
            broken.invariant,
            broken.message
        ),
    }
}

fn mutants(seeds: u64) -> Result<()> {
    let mut missed = Vec::new();
    for mutant in Mutant::ALL {
        let options = patroni_sim::Options {
            mutant: Some(mutant),
            ..patroni_sim::Options::default()
        };
        let summary = many(0, seeds, &options);
        if let Some((seed, invariant, _)) = summary.violations.first() {
            println!(
                "{mutant:?}: found by {invariant:?} with seed {seed}, {} of {} seeds",
                summary.violations.len(),
                summary.runs
            );
        } else {
            println!("{mutant:?}: NOT found in {} seeds", summary.runs);
            missed.push(mutant);
        }
    }
    if missed.is_empty() {
        Ok(())
    } else {
        bail!("not found: {missed:?}")
    }
}

fn many(first: u64, count: u64, options: &patroni_sim::Options) -> Summary {
    let threads = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    let start = Instant::now();
    let mut shown = Instant::now();
    sweep(first, count, options, threads, |done| {
        if shown.elapsed().as_secs() >= 10 {
            shown = Instant::now();
            println!(
                "  {done} of {count} seeds, {:.0} s",
                start.elapsed().as_secs_f64()
            );
            let _ = std::io::stdout().flush();
        }
    })
}
