//! `cargo xtask sim`: many lives of a cluster in the simulator, one of them line by line, or every
//! life of a very small one.

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::Args;
use patroni_sim::{
    Bounds, Coverage, Mutant, Question, Report, Scene, Search, Summary, exhaust, hunt, shrink,
    sweep, trace, unreached,
};

use crate::cargo;

/// Options of `cargo xtask sim`.
#[derive(Args)]
pub(crate) struct Options {
    /// How many seeds.
    #[arg(long, default_value_t = 200)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// Minutes of troubles in each, in simulated time.
    #[arg(long, default_value_t = 60)]
    minutes: u64,
    /// Only this one.
    #[arg(long)]
    seed: Option<u64>,
    /// With --seed: print every event.
    #[arg(long)]
    trace: bool,
    /// With --seed: write every decision into this file, for `patroni --replay`.
    #[arg(long, value_name = "FILE", requires = "seed")]
    journal: Option<std::path::PathBuf>,
    /// With --seed: look for the smallest run that still fails, and print it.
    #[arg(long)]
    shrink: bool,
    /// With --seed: put this known fault back.
    #[arg(long)]
    mutant: Option<String>,
    /// Put each known fault back and show which invariant finds it, and how soon.
    #[arg(long)]
    mutants: bool,
    /// Print how often each command, verdict and fault was seen, and what was never reached.
    #[arg(long)]
    coverage: bool,
    /// Look at every interleaving of a small world: three members, two faults.
    #[arg(long)]
    exhaustive: bool,
    /// With --exhaustive: so many different worlds at most in each scene.
    #[arg(long, default_value_t = Bounds::default().states)]
    states: u64,
}

/// Sweeps, replays, shrinks, searches, or proves the net.
///
/// # Errors
/// An invariant is broken, or a known fault is not found.
pub(crate) fn run(options: &Options) -> Result<()> {
    let rules = options.mutants || options.mutant.is_some();
    let lacks_rules = rules && !patroni_sim::RULES_HAVE_MUTANTS;
    let sweeps = options.seed.is_none() && options.seeds > MANY;
    let long = sweeps || options.exhaustive || options.mutants;
    if lacks_rules || (long && cfg!(debug_assertions)) {
        return again(long, rules);
    }
    if options.exhaustive {
        return exhaustive(options.states);
    }
    if options.mutants {
        return mutants(options.seeds);
    }
    if let Some(seed) = options.seed {
        return one(seed, options);
    }
    many(options)
}

/// More seeds than this are worth a build that is made for it.
const MANY: u64 = 500;

/// The same in another build: an optimised one for what takes long, and one with the feature for
/// known faults of the rules, which no other build has.
fn again(long: bool, rules: bool) -> Result<()> {
    let given: Vec<String> = std::env::args().skip(1).collect();
    let mut args = vec!["run", "--quiet", "--package", "xtask"];
    if long || !cfg!(debug_assertions) {
        args.extend(["--profile", "sim"]);
    }
    if rules {
        args.extend(["--features", "mutants"]);
    }
    args.push("--");
    args.extend(given.iter().map(String::as_str));
    cargo::cargo(&args)
}

fn shape(options: &Options) -> Result<patroni_sim::Options> {
    let mutant = match &options.mutant {
        None => None,
        Some(name) => {
            let found = Mutant::all()
                .into_iter()
                .find(|mutant| mutant.name() == *name);
            let Some(found) = found else {
                bail!("no mutant is called {name}");
            };
            Some(found)
        }
    };
    Ok(patroni_sim::Options {
        time: Duration::from_secs(options.minutes * 60),
        mutant,
        ..patroni_sim::Options::default()
    })
}

fn many(options: &Options) -> Result<()> {
    let start = Instant::now();
    let summary = swept(options.first, options.seeds, &shape(options)?);
    if options.coverage {
        show_coverage(&summary.coverage);
    }
    for (seed, invariant, message) in summary.violations.iter().take(20) {
        say!("seed {seed}: {invariant}: {message}");
        say!("  read it:   cargo xtask sim --seed {seed} --trace");
        say!("  shrink it: cargo xtask sim --seed {seed} --shrink");
    }
    let hours = summary.runs * options.minutes / 60;
    say!(
        "sim: {} seeds, {hours} simulated hours in {:.0} s, {} violations",
        summary.runs,
        start.elapsed().as_secs_f64(),
        summary.violations.len()
    );
    if summary.violations.is_empty() {
        Ok(())
    } else {
        bail!("an invariant is broken")
    }
}

fn show_coverage(coverage: &Coverage) {
    for (name, count) in coverage.iter() {
        say!("{count:>10}  {name}");
    }
    for name in unreached(coverage) {
        say!("{:>10}  {name}", "never");
    }
}

fn one(seed: u64, options: &Options) -> Result<()> {
    let mut shape = shape(options)?;
    shape.journal = options.journal.is_some();
    if options.shrink {
        return smallest(seed, &shape);
    }
    let report = if options.trace {
        trace(seed, &shape, &mut std::io::stdout().lock())?
    } else {
        patroni_sim::run(seed, &shape)
    };
    if let Some(path) = &options.journal {
        let mut text = report.journal.join("\n");
        text.push('\n');
        std::fs::write(path, text)?;
        let (count, path) = (report.journal.len(), path.display());
        say!("sim: {count} decisions are in {path}");
    }
    match report.violation {
        None => {
            say!("sim: seed {seed} is clean");
            Ok(())
        }
        Some(broken) => bail!(
            "seed {seed} at {} ms: {}: {}",
            broken.at_millis,
            broken.invariant,
            broken.message
        ),
    }
}

fn smallest(seed: u64, shape: &patroni_sim::Options) -> Result<()> {
    let Some(found) = shrink(seed, shape) else {
        say!("sim: seed {seed} is clean, there is nothing to shrink");
        return Ok(());
    };
    trace(seed, &found.options, &mut std::io::stdout().lock())?;
    say!(
        "smallest run after {} runs: {} members, {} s, disturbances {:?}, {:?}",
        found.runs,
        found
            .options
            .members
            .map_or_else(|| "as many".to_owned(), |n| n.to_string()),
        found.options.time.as_secs(),
        found.disturbances,
        found.options.faults
    );
    match found.report.violation {
        Some(broken) => bail!("{}: {}", broken.invariant, broken.message),
        None => Ok(()),
    }
}

fn mutants(seeds: u64) -> Result<()> {
    let start = Instant::now();
    let mut missed = Vec::new();
    say!(
        "{:<22} {:<56} {:<36} {:<16} {:>5}",
        "mutant",
        "fault",
        "source",
        "found by",
        "seeds"
    );
    for mutant in Mutant::all() {
        let options = patroni_sim::Options {
            time: Duration::from_mins(20),
            mutant: Some(mutant),
            ..patroni_sim::Options::default()
        };
        let story = mutant.story();
        let found = caught(seeds.max(MUTANT_SEEDS), &options);
        let verdict = match found.and_then(|report| Some((report.seed, report.violation?))) {
            None => {
                missed.push(mutant.name());
                "SURVIVES".to_owned()
            }
            Some((seed, broken)) => {
                if !story.found_by.contains(&broken.invariant) {
                    missed.push(mutant.name());
                }
                format!("{:<16} {:>5}", broken.invariant.to_string(), seed + 1)
            }
        };
        say!(
            "{:<22} {:<56} {:<36} {verdict}",
            mutant.name(),
            story.fault,
            story.source
        );
    }
    say!(
        "sim: {} mutants, {} not found, {:.0} s",
        Mutant::all().len(),
        missed.len(),
        start.elapsed().as_secs_f64()
    );
    if missed.is_empty() {
        Ok(())
    } else {
        bail!("not found, or not by the invariant that should: {missed:?}")
    }
}

/// The first seed that is broken with the mutant and clean without it.
fn caught(seeds: u64, options: &patroni_sim::Options) -> Option<Report> {
    let honest = patroni_sim::Options {
        mutant: None,
        ..options.clone()
    };
    let mut first = 0;
    loop {
        let report = hunt(first, seeds - first, options, threads())?;
        if patroni_sim::run(report.seed, &honest).violation.is_none() {
            return Some(report);
        }
        first = report.seed + 1;
    }
}

/// So many seeds a mutant may need.
const MUTANT_SEEDS: u64 = 1000;

fn exhaustive(states: u64) -> Result<()> {
    let start = Instant::now();
    let questions: Vec<Question> = Scene::ALL
        .into_iter()
        .flat_map(|scene| {
            scene
                .bounds()
                .into_iter()
                .map(move |bounds| (scene, bounds))
        })
        .map(|(scene, bounds)| Question {
            scene,
            bounds: Bounds { states, ..bounds },
            mutant: None,
        })
        .collect();
    say!("3 members; every interleaving within these bounds, at most {states} states each:");
    let left = Mutex::new(questions.into_iter());
    let take = || left.lock().unwrap_or_else(PoisonError::into_inner).next();
    let broken = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..threads() {
            scope.spawn(|| {
                while let Some(question) = take() {
                    let search = exhaust(&question);
                    broken.fetch_or(search.broken.is_some(), Ordering::Relaxed);
                    show_search(&question, search);
                }
            });
        }
    });
    say!("sim: {:.0} s", start.elapsed().as_secs_f64());
    if broken.into_inner() {
        bail!("an invariant is broken")
    }
    Ok(())
}

fn show_search(question: &Question, search: Search) {
    let bounds = question.bounds;
    say!(
        "{:?}: {} states ({}), {} steps, at most {} deep; each member's cycles {}, faults {}, writes {}, \
         spans of 10 s {}",
        question.scene,
        search.states,
        if search.complete { "all" } else { "not all" },
        search.steps,
        search.depth,
        bounds.cycles,
        bounds.faults,
        bounds.writes,
        bounds.spans,
    );
    if let Some(found) = search.broken {
        say!("  {}: {}", found.invariant, found.message);
        for step in found.way {
            say!("    {step}");
        }
    }
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(2, std::num::NonZero::get)
}

fn swept(first: u64, count: u64, options: &patroni_sim::Options) -> Summary {
    let start = Instant::now();
    let mut shown = Instant::now();
    sweep(first, count, options, threads(), |done| {
        if shown.elapsed().as_secs() >= 10 {
            shown = Instant::now();
            say!(
                "  {done} of {count} seeds, {:.0} s",
                start.elapsed().as_secs_f64()
            );
            let _ = std::io::stdout().flush();
        }
    })
}
