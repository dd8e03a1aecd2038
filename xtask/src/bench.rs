//! `cargo xtask bench`: figures, each beside the floor that PostgreSQL itself sets.

mod load;
mod members;
mod process;
mod stores;

pub(crate) use process::{Options as Peak, peak};

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use clap::{Args, Subcommand};
use patroni_tests::cluster::SOON;
use patroni_tests::tap::Requests;
use patroni_tests::writer::Writer;
use patroni_tests::{Cluster, Node, StoreKind, http, proc, wait};
use serde_json::{Map, Value, json};

use crate::needs::{self, Need};

/// Options of `cargo xtask bench`.
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Options {
    #[command(subcommand)]
    part: Option<Part>,
    /// Write the figures as JSON to this file, too.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Repetitions of each write gap.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Take the binaries from this folder instead of building them.
    #[arg(long)]
    bin_dir: Option<PathBuf>,
    /// How long to watch an idle cluster.
    #[arg(long, default_value_t = 60)]
    idle_seconds: u64,
    /// How long the REST interface is under load.
    #[arg(long, default_value_t = 60)]
    load_seconds: u64,
}

/// What can be measured alone; without one everything is.
#[derive(Subcommand)]
enum Part {
    /// Count what a cluster asks of its store, idle and in a failover, beside the reference.
    Stores(stores::Options),
    /// Measure one etcd under many idle members, and how soon all of them see another leader.
    Members(members::Options),
}

/// Measures everything and prints tables, or one part of it.
///
/// # Errors
/// A cluster does not come up, or a step does not happen.
pub(crate) fn run(options: &Options) -> Result<()> {
    match &options.part {
        None => everything(options),
        Some(Part::Stores(options)) => stores::run(options),
        Some(Part::Members(options)) => members::run(options),
    }
}

fn everything(options: &Options) -> Result<()> {
    needs::release_binaries(options.bin_dir.as_deref(), &[Need::Etcd, Need::Load])?;
    let mut report = Map::new();
    let floor = floor(options.rounds)?;
    report.insert("floor_switchover_gap_ms".to_owned(), median_ms(&floor));
    for (name, kind) in [("etcd3", StoreKind::Etcd3), ("raft", StoreKind::Raft)] {
        report.insert(name.to_owned(), measure(kind, options)?.into());
    }
    let stores = stores::measure(&[], Duration::from_secs(options.idle_seconds))?;
    let members = members::in_a_build_for_it(&members::Options::default())?;
    print_table(&report);
    stores::print_table(&stores);
    members::print_table(&members);
    report.insert("store_load".to_owned(), stores.into());
    report.insert("members".to_owned(), members.into());
    write_json(options.json.as_deref(), &report)
}

fn write_json(path: Option<&Path>, report: &Map<String, Value>) -> Result<()> {
    if let Some(path) = path {
        std::fs::write(path, serde_json::to_string_pretty(report)?)?;
    }
    Ok(())
}

fn measure(kind: StoreKind, options: &Options) -> Result<Map<String, Value>> {
    let mut figures = Map::new();
    let mut put = |name: &str, value: Value| {
        say!("  {kind:?} {name}: {value}");
        figures.insert(name.to_owned(), value);
    };
    let mut cluster = Cluster::prepare(kind, 3)?;
    let start = Instant::now();
    for node in &mut cluster.nodes {
        node.start()?;
    }
    let leader = cluster.wait_leader(SOON)?;
    put("first_primary_ms", ms(start.elapsed()));
    cluster.wait_healthy(SOON)?;
    put("two_streaming_replicas_ms", ms(start.elapsed()));

    cluster.nodes[leader].sql("create table written (n bigint)")?;
    let writer = Writer::start(
        cluster
            .nodes
            .iter()
            .map(|node| node.ports.postgres)
            .collect(),
    );
    writer.wait_write(SOON)?;
    put(
        "switchover_gap_ms",
        median_ms(&repeat(options.rounds, || {
            switchover_gap(&cluster, &writer)
        })?),
    );
    put(
        "postmaster_kill_gap_ms",
        median_ms(&repeat(options.rounds, || {
            postmaster_gap(&cluster, &writer)
        })?),
    );
    let dead: Vec<Duration> = (0..options.rounds.min(3))
        .map(|_| dead_node_gap(&mut cluster, &writer))
        .collect::<Result<_>>()?;
    put("dead_node_gap_ms", median_ms(&dead));
    drop(writer);

    put(
        "list_ms",
        median_ms(&repeat(options.rounds, || list_time(&cluster))?),
    );
    put(
        "list_peak_kb",
        json!(process::peak_kb_of(&cluster.ctl_command(&["list"]))?),
    );
    let leader = cluster.wait_healthy(SOON)?;
    let port = cluster.nodes[leader].ports.rest;
    let (rate, p99) = rest_rate(port, Duration::from_secs(5))?;
    put("rest_requests_per_second", json!(rate.round()));
    put("rest_p99_us", json!(p99.as_micros()));
    let idle = idle_cost(&mut cluster, Duration::from_secs(options.idle_seconds))?;
    figures.extend(idle);
    if kind == StoreKind::Etcd3 {
        // What follows is the same on each store, or about this one.
        let length = Duration::from_secs(options.load_seconds);
        let mut tell = |more: Map<String, Value>| {
            for (name, value) in &more {
                say!("  {kind:?} {name}: {value}");
            }
            figures.extend(more);
        };
        tell(load::health_checks(&mut cluster, length)?);
        tell(load::over_tls(&mut cluster, length / 4)?);
        tell(load::large_list(&cluster, options.rounds)?);
    }
    Ok(figures)
}

fn repeat(rounds: usize, mut once: impl FnMut() -> Result<Duration>) -> Result<Vec<Duration>> {
    (0..rounds).map(|_| once()).collect()
}

fn switchover_gap(cluster: &Cluster, writer: &Writer) -> Result<Duration> {
    cluster.wait_healthy(SOON)?;
    let since = Instant::now();
    let out = cluster.ctl_ok(&["switchover", "--force"])?;
    ensure!(out.contains("Successfully switched over to"), "{out}");
    cluster.wait_healthy(SOON)?;
    writer.wait_write(SOON)?;
    Ok(writer.longest_gap_since(since))
}

fn postmaster_gap(cluster: &Cluster, writer: &Writer) -> Result<Duration> {
    let leader = cluster.wait_healthy(SOON)?;
    let since = Instant::now();
    cluster.nodes[leader].kill_postmaster()?;
    writer.wait_write(SOON)?;
    cluster.wait_healthy(SOON)?;
    Ok(writer.longest_gap_since(since))
}

fn dead_node_gap(cluster: &mut Cluster, writer: &Writer) -> Result<Duration> {
    let leader = cluster.wait_healthy(SOON)?;
    let since = Instant::now();
    cluster.nodes[leader].kill_all();
    cluster.wait_other_leader(leader, SOON)?;
    writer.wait_write(SOON)?;
    let gap = writer.longest_gap_since(since);
    cluster.nodes[leader].start()?;
    cluster.wait_healthy(SOON)?;
    Ok(gap)
}

fn list_time(cluster: &Cluster) -> Result<Duration> {
    let start = Instant::now();
    cluster.ctl_ok(&["list"])?;
    Ok(start.elapsed())
}

/// The write gap of a switchover by hand: fast stop, then promote, nothing in between and no
/// manager anywhere.
fn floor(rounds: usize) -> Result<Vec<Duration>> {
    let mut cluster = Cluster::start(StoreKind::Etcd3, 2)?;
    let mut primary = cluster.leader()?;
    cluster.nodes[primary].sql("create table written (n bigint)")?;
    for index in [1 - primary, primary] {
        cluster.nodes[index].terminate()?;
    }
    let nodes = &cluster.nodes;
    follow_each_other(nodes)?;
    start_by_hand(&nodes[primary])?;
    start_by_hand(&nodes[1 - primary])?;
    let writer = Writer::start(nodes.iter().map(|node| node.ports.postgres).collect());
    let mut gaps = Vec::new();
    for _ in 0..rounds {
        let (old, new) = (&nodes[primary], &nodes[1 - primary]);
        wait::until("the other one streams", SOON, || {
            let rows = old.sql("select state from pg_stat_replication")?;
            ensure!(rows == ["streaming"], "{rows:?}");
            Ok(())
        })?;
        writer.wait_write(SOON)?;
        let since = Instant::now();
        old.sql("checkpoint")?;
        old.pg_ctl(&["stop", "-m", "fast"])?;
        new.pg_ctl(&["promote"])?;
        writer.wait_write(SOON)?;
        gaps.push(writer.longest_gap_since(since));
        // The old primary follows, so that the next round goes the other way.
        let signal = old.data_dir().join("standby.signal");
        std::fs::write(&signal, "")?;
        proc::give_to_runner(&signal)?;
        start_by_hand(old)?;
        primary = 1 - primary;
    }
    drop(writer);
    for node in nodes {
        node.pg_ctl(&["stop", "-m", "immediate"])?;
    }
    Ok(gaps)
}

/// Settings by which each of two nodes follows the other one whenever it is a standby.
fn follow_each_other(nodes: &[Node]) -> Result<()> {
    for (node, other) in nodes.iter().zip(nodes.iter().rev()) {
        let port = other.ports.postgres;
        let conninfo = format!("host=127.0.0.1 port={port} user=replicator password=''rep pass''");
        let settings = format!("primary_conninfo = '{conninfo}'\nprimary_slot_name = ''\n");
        std::fs::write(node.data_dir().join("postgresql.auto.conf"), settings)?;
    }
    Ok(())
}

fn start_by_hand(node: &Node) -> Result<()> {
    let log = node.dir.join("by-hand.log");
    node.pg_ctl(&["start", "-l", &log.to_string_lossy()])
}

/// Requests per second and the 99th percentile of `GET /primary` over two kept connections.
fn rest_rate(port: u16, length: Duration) -> Result<(f64, Duration)> {
    let workers: Vec<_> = (0..4)
        .map(|_| std::thread::spawn(move || http::hammer(port, "/primary", length)))
        .collect();
    let mut times = Vec::new();
    for worker in workers {
        times.extend(
            worker
                .join()
                .map_err(|_| anyhow::anyhow!("a worker panicked"))??,
        );
    }
    times.sort_unstable();
    let p99 = times
        .get(times.len() * 99 / 100)
        .copied()
        .unwrap_or_default();
    #[expect(
        clippy::cast_precision_loss,
        reason = "a count of requests in seconds is far below 2^52"
    )]
    let rate = times.len() as f64 / length.as_secs_f64();
    Ok((rate, p99))
}

/// Memory and CPU of each idle daemon, and what etcd was asked meanwhile.
fn idle_cost(cluster: &mut Cluster, length: Duration) -> Result<Map<String, Value>> {
    let ten_seconds = r#"{"loop_wait": 10, "ttl": 30, "retry_timeout": 10}"#;
    cluster.nodes[0].rest("PATCH", "/config", Some(ten_seconds))?;
    wait::pause(Duration::from_secs(25)); // the new pace is in effect and the change has settled
    let before = etcd_requests(cluster)?;
    let pids: Vec<i32> = cluster
        .nodes
        .iter_mut()
        .map(|node| node.daemon().pid().as_raw())
        .collect();
    let cpu_before: Vec<u64> = pids
        .iter()
        .map(|pid| process::cpu_ticks(*pid))
        .collect::<Result<_>>()?;
    wait::pause(length);
    let minutes = length.as_secs_f64() / 60.0;
    let mut figures = Map::new();
    let pss: Vec<u64> = pids
        .iter()
        .map(|pid| process::pss_kb(*pid))
        .collect::<Result<_>>()?;
    figures.insert("pss_kb_per_node".to_owned(), json!(pss));
    let cpu: Vec<u64> = pids
        .iter()
        .zip(cpu_before)
        .map(|(pid, before)| Ok(process::cpu_ticks(*pid)? - before))
        .collect::<Result<_>>()?;
    figures.insert("cpu_ticks_per_node".to_owned(), json!(cpu));
    if let (Some(before), Some(after)) = (before, etcd_requests(cluster)?) {
        for (name, count) in after {
            let grown = count - before.get(&name).copied().unwrap_or(0);
            figures.insert(
                format!("etcd_{}_per_minute", name.to_lowercase()),
                per(grown, minutes),
            );
        }
    }
    for (name, value) in &figures {
        say!("  {name}: {value}");
    }
    Ok(figures)
}

/// What etcd was asked, by the methods that a cluster at work uses.
fn etcd_requests(cluster: &Cluster) -> Result<Option<Requests>> {
    let Some(store) = &cluster.store else {
        return Ok(None);
    };
    let mut requests = store.etcd()?.requests()?;
    for method in ["LeaseKeepAlive", "Put", "Txn", "Range"] {
        requests.entry(method.to_owned()).or_default();
    }
    Ok(Some(requests))
}

/// A count by a number of something else, to one tenth.
fn per(count: u64, number: f64) -> Value {
    #[expect(
        clippy::cast_precision_loss,
        reason = "a count of what happens in minutes is far below 2^52"
    )]
    let count = count as f64;
    json!((count / number * 10.0).round() / 10.0)
}

fn ms(time: Duration) -> Value {
    json!((time.as_secs_f64() * 1000.0).round())
}

fn median_ms(times: &[Duration]) -> Value {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    sorted
        .get(sorted.len() / 2)
        .map_or(Value::Null, |time| ms(*time))
}

fn print_table(report: &Map<String, Value>) {
    let floor = report["floor_switchover_gap_ms"]
        .as_f64()
        .unwrap_or(f64::NAN);
    say!("\nfloor (fast stop + promote by hand): {floor} ms");
    for (store, figures) in report
        .iter()
        .filter_map(|(name, value)| Some((name, value.as_object()?)))
    {
        say!("{store}");
        for (name, value) in figures {
            let ratio = value
                .as_f64()
                .filter(|_| name.ends_with("gap_ms"))
                .map(|gap| gap / floor);
            let ratio = ratio.map_or_else(String::new, |ratio| format!("  ({ratio:.1} x floor)"));
            say!("  {name:32} {value}{ratio}");
        }
    }
}
