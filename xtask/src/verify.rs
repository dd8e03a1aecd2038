//! The checks and tests, the same here and in continuous integration.

use std::path::Path;

use anyhow::Result;
use clap::Args;
use patroni_tests::postgresql::{VARIABLE, version};

use crate::cargo::{cargo, cargo_command, run, target_dir};
use crate::needs::{self, Need};
use crate::postgresql::ensure_major;
use crate::stores;
use crate::tidy;

/// Options of `cargo xtask test`.
#[derive(Args)]
pub(crate) struct TestOptions {
    /// How many black-box clusters run at once.
    #[arg(long, default_value_t = 5)]
    parallel: usize,
    /// Run the black-box suite so many times.
    #[arg(long, default_value_t = 1)]
    repeat: usize,
    /// Run everything on this major version of PostgreSQL, got when it is not there.
    #[arg(long, value_name = "MAJOR")]
    postgresql: Option<u32>,
    /// Only the black-box tests whose name contains this; `stores`: what each store promises,
    /// and how long a cluster takes after its faults, as tables.
    filter: Option<String>,
}

/// The features of the crate `dcs` that are a store.
const STORES: [&str; 7] = [
    "consul",
    "etcd",
    "etcd3",
    "exhibitor",
    "kubernetes",
    "raft",
    "zookeeper",
];

/// Format, lints and arrows.
///
/// # Errors
/// A check fails.
pub(crate) fn verify() -> Result<()> {
    needs::ensure(&[Need::Compiler, Need::Protoc])?;
    cargo(&["fmt", "--all", "--check"])?;
    tidy::run()?;
    cargo(&[
        "clippy",
        "--workspace",
        "--all-targets",
        "--quiet",
        "--",
        "-D",
        "warnings",
    ])
}

/// A store must not need what only another one brings; and a build without any must do. Takes
/// minutes, because the crates below are built anew for each.
///
/// # Errors
/// A build fails.
pub(crate) fn each_store_alone() -> Result<()> {
    needs::ensure(&[Need::Compiler, Need::Protoc])?;
    let none = "";
    for store in STORES.into_iter().chain([none]) {
        let package = ["clippy", "--package", "patroni-dcs", "--quiet"];
        let features = ["--no-default-features", "--features", store];
        let lints = ["--", "-D", "warnings"];
        cargo(&[&package[..], &features, &lints].concat())?;
    }
    Ok(())
}

/// What a program can mend by itself.
///
/// # Errors
/// A tool fails.
pub(crate) fn fix() -> Result<()> {
    needs::ensure(&[Need::Compiler, Need::Protoc])?;
    cargo(&[
        "clippy",
        "--workspace",
        "--all-targets",
        "--fix",
        "--allow-dirty",
        "--allow-staged",
    ])?;
    cargo(&["fmt", "--all"])
}

/// What the core says and asks for, written down anew.
///
/// # Errors
/// A test fails for another reason.
pub(crate) fn bless() -> Result<()> {
    needs::ensure(&[Need::Compiler])?;
    // One after the other: the decision table is made from the cases as they are by then.
    let mut command = cargo_command(&[
        "test",
        "--package",
        "patroni-ha",
        "--quiet",
        "--",
        "--test-threads",
        "1",
    ]);
    run(command
        .env("PATRONI_BLESS", "1")
        .env("INSTA_UPDATE", "always"))
}

/// Builds everything and runs every test: first those of the crates, then the black-box suite.
///
/// # Errors
/// Something is missing, does not build or fails.
pub(crate) fn test(options: &TestOptions) -> Result<()> {
    needs::ensure(&[
        Need::Compiler,
        Need::Protoc,
        Need::PostgreSql,
        Need::Setpriv,
        Need::Etcd,
        Need::ZooKeeper,
        Need::Proxies,
    ])?;
    if options.filter.as_deref() == Some("stores") {
        return stores::tables();
    }
    needs::tell_of_kubernetes();
    needs::want_servers();
    let chosen = options.postgresql.map(ensure_major).transpose()?;
    let chosen = chosen.as_deref();
    if options.filter.is_none() {
        let crates = [
            "test",
            "--workspace",
            "--exclude",
            "patroni-tests",
            "--quiet",
        ];
        cargo_on(chosen, &crates)?;
    }
    // Always the whole workspace: a part of it would build its dependencies once more, with
    // other features.
    cargo(&["build", "--workspace", "--bins"])?;
    say!(
        "black-box suite on {}",
        target_dir().join("debug").display()
    );
    let threads = options.parallel.to_string();
    let mut args = vec!["test", "--workspace", "--test", "blackbox", "--"];
    args.extend(["--test-threads", &threads]);
    args.extend(options.filter.as_deref());
    for _ in 0..options.repeat {
        cargo_on(chosen, &args)?;
    }
    if chosen.is_none() && options.filter.is_none() {
        on_newer_servers(&threads)?;
    }
    // Long, and skipped with a line each unless the reference is at hand: one cluster at a time.
    let mut mixed = vec!["test", "--workspace", "--test", "mixed", "--"];
    mixed.extend(["--test-threads", "1"]);
    mixed.extend(options.filter.as_deref());
    cargo_on(chosen, &mixed)
}

/// The major version that has what the machine's own may lack, slots that the server itself carries
/// over above all.
const NEWER: u32 = 17;

/// What differs between major versions: copies, rewinds, slots, the names of synchronous standbys and
/// the parameters.
const DIFFERS: [&str; 7] = [
    "configuration::etcd3::an_edited_parameter_waits_for_its_restart",
    "failover::etcd3::a_diverged_primary_rejoins_by_rewind",
    "postgresql_faults::a_primary_with_a_full_disk_hands_over",
    "restart::etcd3::a_replica_is_reinitialized",
    "slots::etcd3",
    "standby_cluster::etcd3::two_clusters_change_roles",
    "synchronous::etcd3::quorum_commit_survives_its_leader",
];

/// A part of the black-box suite on a newer PostgreSQL, unless the whole ran on one.
fn on_newer_servers(threads: &str) -> Result<()> {
    if version() >= NEWER * 10_000 {
        return Ok(());
    }
    let bin_dir = match ensure_major(NEWER) {
        Ok(bin_dir) => bin_dir,
        Err(error) => {
            say!("skipped: black-box tests on PostgreSQL {NEWER}: {error:#}");
            return Ok(());
        }
    };
    say!("a part of the black-box suite on {}", bin_dir.display());
    let mut args = vec!["test", "--workspace", "--test", "blackbox", "--"];
    args.extend(["--test-threads", threads]);
    args.extend(DIFFERS);
    cargo_on(Some(&bin_dir), &args)
}

/// Runs cargo with the tests on the PostgreSQL of a folder, or on the one that they find.
fn cargo_on(bin_dir: Option<&Path>, args: &[&str]) -> Result<()> {
    let mut command = cargo_command(args);
    if let Some(bin_dir) = bin_dir {
        command.env(VARIABLE, bin_dir);
    }
    run(&mut command)
}
