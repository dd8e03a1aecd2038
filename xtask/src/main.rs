//! Automation of the project: `cargo xtask COMMAND`.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[macro_use]
mod say;

mod bench;
mod cargo;
mod chaos;
mod demo;
mod man;
mod needs;
mod other_debian;
mod postgresql;
mod screenshots;
mod servers;
mod sim;
mod stores;
mod story;
mod tidy;
mod verify;

/// Automation of patroni-rs.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start a cluster on this machine and watch it.
    Demo(demo::Options),
    /// Install what is missing, build everything, run every test.
    Test(verify::TestOptions),
    /// Check format, lints, arrows between crates and licences. Never writes to the tree.
    Verify,
    /// Check each store of the crate dcs without the others
    Alone,
    /// Apply the formatter and the lints' own suggestions.
    Fix,
    /// Write the transcripts and snapshots of the core anew; read the difference before you commit.
    Bless,
    /// Check the arrows between crates and the manifests.
    Tidy,
    /// Run the decision core through many simulated lives with faults.
    Sim(sim::Options),
    /// Start real servers of the stores, to try things on; end them; tell where they are.
    Servers(servers::Options),
    /// Get another major version of PostgreSQL, apart from the machine's, and print where its programs are.
    Postgresql(postgresql::Options),
    /// Write man pages of all programs, and completions for bash, zsh and fish.
    Man(man::Options),
    /// Take pictures of the page and of `patronictl top` on a cluster of three nodes.
    Screenshots(screenshots::Options),
    /// Measure write gaps, start times, footprints and request rates (release build).
    Bench(bench::Options),
    /// Run a program and print the most memory that it had, in kB (used by `bench`).
    #[command(hide = true)]
    Peak(bench::Peak),
    /// Break things at random around real clusters, and check what their clients were promised.
    Chaos(chaos::Options),
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    match Cli::parse().command {
        Command::Demo(options) => demo::run(&options),
        Command::Test(options) => verify::test(&options),
        Command::Verify => verify::verify(),
        Command::Alone => verify::each_store_alone(),
        Command::Fix => verify::fix(),
        Command::Bless => verify::bless(),
        Command::Tidy => tidy::run(),
        Command::Sim(options) => sim::run(&options),
        Command::Servers(options) => servers::run(&options),
        Command::Postgresql(options) => postgresql::run_command(&options),
        Command::Man(options) => man::run(&options),
        Command::Screenshots(options) => screenshots::run(&options),
        Command::Bench(options) => bench::run(&options),
        Command::Peak(options) => bench::peak(&options),
        Command::Chaos(options) => chaos::run(&options),
    }
}
