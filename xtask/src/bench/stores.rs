//! `cargo xtask bench stores`: what a cluster asks of its store, idle and in a failover, for each
//! store and beside the reference.

mod counted;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use clap::{Args, ValueEnum};
use patroni_tests::maker::reference_is_there;
use patroni_tests::tap::Requests;
use patroni_tests::{Cluster, Maker, Node, StoreKind, wait};
use serde_json::{Map, Value, json};

use super::per;
use crate::needs::{self, Need};
use counted::Counted;

/// Options of `cargo xtask bench stores`.
#[derive(Args)]
pub(crate) struct Options {
    /// Only this store; more than once for several. Without it every store whose server is installed.
    #[arg(long = "store", value_name = "STORE")]
    stores: Vec<Store>,
    /// How long to count while nothing happens.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    idle_seconds: u64,
    /// Take the binaries from this folder instead of building them.
    #[arg(long, value_name = "DIR")]
    bin_dir: Option<PathBuf>,
    /// Write the figures as JSON to this file, too.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// The stores that are servers of their own. (Raft is the nodes themselves.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Store {
    /// etcd.
    Etcd3,
    /// etcd by its API of version 2.
    Etcd,
    /// Consul.
    Consul,
    /// ZooKeeper.
    Zookeeper,
    /// A Kubernetes API server, with ConfigMaps.
    Kubernetes,
}

impl Store {
    const fn name(self) -> &'static str {
        match self {
            Self::Etcd3 => "etcd3",
            Self::Etcd => "etcd",
            Self::Consul => "consul",
            Self::Zookeeper => "zookeeper",
            Self::Kubernetes => "kubernetes",
        }
    }

    const fn kind(self) -> StoreKind {
        match self {
            Self::Etcd3 => StoreKind::Etcd3,
            Self::Etcd => StoreKind::Etcd2,
            Self::Consul => StoreKind::Consul,
            Self::Zookeeper => StoreKind::ZooKeeper,
            Self::Kubernetes => StoreKind::Kubernetes,
        }
    }
}

/// The nodes of each cluster.
const NODES: usize = 3;

/// What most clusters run with: the defaults.
const DYNAMIC: &str =
    "    ttl: 30\n    loop_wait: 10\n    retry_timeout: 10\n    maximum_lag_on_failover: 1048576\n";

/// A leader's lease has to run out first, and each step waits for a cycle.
const PATIENCE: Duration = Duration::from_mins(4);

/// What a new cluster still has to write is written after so long.
const SETTLED: Duration = Duration::from_secs(35);

/// Counts, and prints a table.
///
/// # Errors
/// A cluster does not come up, or does not fail over.
pub(crate) fn run(options: &Options) -> Result<()> {
    needs::release_binaries(options.bin_dir.as_deref(), &[Need::Etcd])?;
    let idle = Duration::from_secs(options.idle_seconds);
    let figures = measure(&options.stores, idle)?;
    print_table(&figures);
    super::write_json(options.json.as_deref(), &figures)
}

/// The figures of these stores, or of all that are at hand, by store and maker.
///
/// # Errors
/// As [`run`].
pub(super) fn measure(stores: &[Store], idle: Duration) -> Result<Map<String, Value>> {
    ensure!(!idle.is_zero(), "nothing can be counted in no time");
    let stores = match stores {
        [] => Store::value_variants(),
        named => named,
    };
    let makers = [Maker::Ours, Maker::Reference];
    let there = reference_is_there("beside the reference");
    let makers = if there { &makers[..] } else { &makers[..1] };
    let mut figures = Map::new();
    for store in stores.iter().filter(|store| is_at_hand(**store)) {
        let mut of_store = Map::new();
        for maker in makers {
            let counted = count(store.kind(), *maker, idle)?;
            let name = maker_name(*maker);
            say!(
                "  {} {name}: {}",
                store.name(),
                Value::Object(counted.clone())
            );
            of_store.insert(name.to_owned(), counted.into());
        }
        figures.insert(store.name().to_owned(), of_store.into());
    }
    Ok(figures)
}

fn is_at_hand(store: Store) -> bool {
    store
        .kind()
        .is_there(&format!("what {} is asked", store.name()))
}

const fn maker_name(maker: Maker) -> &'static str {
    match maker {
        Maker::Ours => "ours",
        Maker::Reference => "reference",
    }
}

/// One cluster of one maker on a store of its own.
fn count(kind: StoreKind, maker: Maker, idle: Duration) -> Result<Map<String, Value>> {
    let dir = tempfile::Builder::new()
        .prefix("patroni-bench-")
        .tempdir()?;
    patroni_tests::proc::give_to_runner(dir.path())?;
    let store = Counted::start(kind, dir.path())?;
    let mut cluster = Cluster::prepare_on(&store.section(), NODES, DYNAMIC)?;
    for node in &mut cluster.nodes {
        node.maker = maker;
        store.server.welcome(node)?;
    }
    cluster.nodes[0].start()?;
    cluster.wait_leader(PATIENCE)?;
    cluster.nodes.iter_mut().skip(1).try_for_each(Node::start)?;
    cluster.wait_healthy(PATIENCE)?;
    wait::pause(SETTLED);

    let mut figures = Map::new();
    let before = store.requests()?;
    let begun = Instant::now();
    wait::pause(idle);
    let asked = grown(&before, &store.requests()?);
    let minutes = begun.elapsed().as_secs_f64() / 60.0;
    let total: u64 = asked.values().sum();
    let nodes = f64::from(u32::try_from(NODES)?);
    let per_minute = |count: u64| per(count, minutes);
    figures.insert("idle_per_minute".to_owned(), per_minute(total));
    figures.insert(
        "idle_per_minute_and_node".to_owned(),
        per(total, minutes * nodes),
    );
    let kinds: Map<String, Value> = asked
        .into_iter()
        .map(|(kind, count)| (kind, per_minute(count)))
        .collect();
    figures.insert("idle_kinds".to_owned(), kinds.into());

    let before = store.requests()?;
    let begun = Instant::now();
    fail_over(&mut cluster)?;
    let took = begun.elapsed();
    let asked = grown(&before, &store.requests()?);
    figures.insert("failover".to_owned(), json!(asked.values().sum::<u64>()));
    figures.insert("failover_seconds".to_owned(), json!(took.as_secs()));
    figures.insert("failover_kinds".to_owned(), json!(asked));
    Ok(figures)
}

/// The leader's machine dies, and comes back when another one leads.
fn fail_over(cluster: &mut Cluster) -> Result<()> {
    let leader = cluster.wait_healthy(PATIENCE)?;
    cluster.nodes[leader].kill_all();
    cluster.wait_other_leader(leader, PATIENCE)?;
    cluster.nodes[leader].start()?;
    cluster.wait_healthy(PATIENCE).map(drop)
}

fn grown(before: &Requests, after: &Requests) -> Requests {
    let grown = after.iter().map(|(kind, count)| {
        let before = before.get(kind).copied().unwrap_or(0);
        (kind.clone(), count.saturating_sub(before))
    });
    grown.filter(|(_, count)| *count > 0).collect()
}

/// The table: each store, ours beside the reference's.
pub(super) fn print_table(figures: &Map<String, Value>) {
    say!(
        "\nrequests to the store, three nodes: a minute of idling (each node), and a failover (seconds)"
    );
    for (store, makers) in figures {
        for (maker, figures) in makers.as_object().into_iter().flatten() {
            let figure = |name: &str| figures[name].as_f64().unwrap_or(f64::NAN);
            say!(
                "{store:11} {maker:10} {:7.1} ({:5.1}) {:6.0} ({:.0} s)",
                figure("idle_per_minute"),
                figure("idle_per_minute_and_node"),
                figure("failover"),
                figure("failover_seconds"),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_asked_meanwhile_counts() {
        let counts = |counts: &[(&str, u64)]| {
            let owned = counts
                .iter()
                .map(|(kind, count)| ((*kind).to_owned(), *count));
            owned.collect::<Requests>()
        };
        let before = counts(&[("get", 5), ("put", 2)]);
        let after = counts(&[("get", 8), ("ping", 1), ("put", 2)]);
        assert_eq!(grown(&before, &after), counts(&[("get", 3), ("ping", 1)]));
    }
}
