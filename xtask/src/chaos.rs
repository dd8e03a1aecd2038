//! `cargo xtask chaos`: random faults against real clusters, each run judged by its clients.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use clap::{Args, ValueEnum};
use patroni_tests::StoreKind;
use patroni_tests::chaos::{self, Mode, Report};

use crate::needs::{self, Need};

/// Options of `cargo xtask chaos`.
#[derive(Args)]
pub(crate) struct Options {
    /// How many runs.
    #[arg(long, default_value_t = 20)]
    runs: u64,
    /// Minutes of faults in each.
    #[arg(long, default_value_t = 5)]
    minutes: u64,
    /// The seed of the first run; the next ones follow.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// What commits wait for; by turns when not given.
    #[arg(long)]
    mode: Option<Wanted>,
    /// Three servers of this store.
    #[arg(long, default_value = "etcd3")]
    store: Servers,
    /// Take the binaries from this folder instead of building them.
    #[arg(long)]
    bin_dir: Option<PathBuf>,
    /// Leave what the nodes logged in this folder.
    #[arg(long)]
    logs: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Wanted {
    Quorum,
    Synchronous,
}

#[derive(Clone, Copy, ValueEnum)]
enum Servers {
    Etcd3,
    Consul,
    #[value(name = "zookeeper")]
    ZooKeeper,
}

impl Servers {
    fn kind(self) -> StoreKind {
        match self {
            Self::Etcd3 => StoreKind::Etcd3,
            Self::Consul => StoreKind::Consul,
            Self::ZooKeeper => StoreKind::ZooKeeper,
        }
    }

    fn needs(self) -> &'static [Need] {
        match self {
            Self::Etcd3 => &[Need::Etcd],
            Self::Consul => &[],
            Self::ZooKeeper => &[Need::ZooKeeper],
        }
    }
}

/// Plays the runs one after the other and prints a line for each.
///
/// # Errors
/// A run did not hold; the others are played all the same.
pub(crate) fn run(options: &Options) -> Result<()> {
    needs::release_binaries(options.bin_dir.as_deref(), options.store.needs())?;
    ensure!(
        options.store.kind().is_there("chaos"),
        "the store is not installed"
    );
    let mut broken = Vec::new();
    for seed in options.seed..options.seed + options.runs {
        let one = one(options, seed);
        say!("seed {seed}, {:?}, failsafe {}", one.mode, one.failsafe);
        match chaos::run(&one, &mut |line| say!("  {line}")) {
            Ok(Some(report)) => {
                print(seed, &report);
                if report.healed > chaos::HEALED_WITHIN {
                    say!("seed {seed} took too long to heal");
                    broken.push(seed);
                }
            }
            Ok(None) => bail!("network namespaces are needed: root, and the program ip"),
            Err(error) => {
                say!("seed {seed} did NOT hold: {error:#}");
                broken.push(seed);
            }
        }
    }
    ensure!(broken.is_empty(), "these seeds did not hold: {broken:?}");
    Ok(())
}

fn one(options: &Options, seed: u64) -> chaos::Options {
    let by_turns = if seed.is_multiple_of(2) {
        Wanted::Synchronous
    } else {
        Wanted::Quorum
    };
    let mode = match options.mode.unwrap_or(by_turns) {
        Wanted::Quorum => Mode::Quorum,
        Wanted::Synchronous => Mode::Synchronous,
    };
    chaos::Options {
        seed,
        length: Duration::from_secs(60 * options.minutes),
        store: options.store.kind(),
        mode,
        failsafe: seed % 4 >= 2,
        logs: options.logs.clone(),
    }
}

fn print(seed: u64, report: &Report) {
    say!(
        "seed {seed} held: {} faults, {} writes acknowledged on {} timelines, none lost, never two primaries; \
         longest gap {:.1} s (from {:.1} s on), healthy {:.1} s after the last fault, {} decisions replay equal",
        report.faults,
        report.acknowledged,
        report.timelines,
        report.longest_gap.as_secs_f64(),
        report.gap_began.as_secs_f64(),
        report.healed.as_secs_f64(),
        report.replayed
    );
}
