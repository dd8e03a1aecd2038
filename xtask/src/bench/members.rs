//! `cargo xtask bench members`: one etcd under many idle members.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use serde_json::{Map, Value};

#[cfg(feature = "members")]
mod crowd;
#[cfg(feature = "members")]
mod member;

/// Options of `cargo xtask bench members`.
#[derive(Args)]
pub(crate) struct Options {
    /// How many members. They speak to etcd as the daemon does, and have no PostgreSQL.
    #[arg(long, value_name = "COUNT", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(2..=10_000))]
    members: u32,
    /// How many of them are a cluster. Each reads all members of its own in each cycle, here all on one machine.
    #[arg(long, value_name = "COUNT", default_value_t = 5, value_parser = clap::value_parser!(u32).range(2..))]
    cluster_size: u32,
    /// How long to count while nothing happens.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    idle_seconds: u64,
    /// How often the leaders of all clusters change at once, in each of two ways.
    #[arg(long, value_name = "COUNT", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Write the figures as JSON to this file, too.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            members: 1000,
            cluster_size: 5,
            idle_seconds: 60,
            rounds: 5,
            json: None,
        }
    }
}

/// Measures, and prints a table.
///
/// # Errors
/// etcd does not come up, or not everybody sees a leader.
#[cfg(feature = "members")]
pub(crate) fn run(options: &Options) -> Result<()> {
    use crate::needs::{self, Need};

    needs::ensure(&[Need::Etcd, Need::Setpriv])?;
    let figures = crowd::measure(options)?;
    print_table(&figures);
    super::write_json(options.json.as_deref(), &figures)
}

/// The same in a build that has the clients of the stores.
///
/// # Errors
/// That one fails.
#[cfg(not(feature = "members"))]
pub(crate) fn run(options: &Options) -> Result<()> {
    let figures = in_a_build_for_it(options)?;
    super::write_json(options.json.as_deref(), &figures)
}

/// Starts this program again with the clients of the stores in it, optimised because so many
/// members share one machine with the server that is measured.
///
/// # Errors
/// That one fails.
pub(super) fn in_a_build_for_it(options: &Options) -> Result<Map<String, Value>> {
    let file = tempfile::NamedTempFile::new()?;
    let given = [
        ("--members", options.members.to_string()),
        ("--cluster-size", options.cluster_size.to_string()),
        ("--idle-seconds", options.idle_seconds.to_string()),
        ("--rounds", options.rounds.to_string()),
        ("--json", file.path().to_string_lossy().into_owned()),
    ];
    let mut args = vec!["run", "--quiet", "-p", "xtask", "--profile", "sim"];
    args.extend(["--features", "members", "--", "bench", "members"]);
    for (name, value) in &given {
        args.extend([*name, value]);
    }
    crate::cargo::cargo(&args)?;
    Ok(serde_json::from_str(&std::fs::read_to_string(
        file.path(),
    )?)?)
}

pub(super) fn print_table(figures: &Map<String, Value>) {
    say!("\nidle members on one etcd");
    for (name, value) in figures {
        say!("  {name:32} {value}");
    }
}
