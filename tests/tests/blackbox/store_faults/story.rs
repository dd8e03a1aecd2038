//! A cluster under a writing client, and what has to be true of it after a fault.

use std::io::Write as _;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use patroni_tests::cluster::SOON;
use patroni_tests::store::Server;
use patroni_tests::writer::Writer;
use patroni_tests::{Cluster, StoreKind, wait};
use serde_json::Value;

pub(super) const TTL: Duration = Duration::from_secs(20);
/// What a stop and a client's attempt may take beyond the lease.
pub(super) const GRACE: Duration = Duration::from_secs(3);

/// The dynamic configuration of clusters on servers that a test has started itself.
pub(super) const DYNAMIC: &str =
    "    ttl: 20\n    loop_wait: 2\n    retry_timeout: 5\n    synchronous_mode: true\n";

const LONGEST_GAP: Duration = Duration::from_secs(4);

/// A cluster under a writing client.
pub(super) struct Story {
    kind: StoreKind,
    pub(super) cluster: Cluster,
    pub(super) writer: Writer,
    pub(super) leader: usize,
    timeline: String,
}

impl Story {
    /// On a server of its own, with further lines of dynamic configuration.
    pub(super) fn begin(kind: StoreKind, dynamic: &str) -> Result<Self> {
        let dynamic = format!("    synchronous_mode: true\n{dynamic}");
        let mut cluster = Cluster::prepare_with(kind, 3, &dynamic, |_| String::new())?;
        cluster.bootstrap()?;
        Self::of(kind, cluster)
    }

    /// Of a running cluster.
    pub(super) fn of(kind: StoreKind, cluster: Cluster) -> Result<Self> {
        let leader = cluster.wait_healthy(SOON)?;
        cluster.nodes[leader].sql("create table written (n bigint)")?;
        let ports = cluster.nodes.iter().map(|node| node.ports.postgres);
        let writer = Writer::start_every(Duration::from_millis(20), ports.collect());
        cluster.wait_synchronous()?;
        writer.wait_write(SOON)?;
        let timeline = timeline(&cluster, leader)?;
        Ok(Self {
            kind,
            cluster,
            writer,
            leader,
            timeline,
        })
    }

    pub(super) fn server(&mut self) -> Result<&mut Server> {
        self.cluster.store.as_mut().context("no server")
    }

    /// The leader takes no more writes, in time: none is acknowledged after its lease.
    pub(super) fn wait_read_only(&self, fault: Instant) -> Result<()> {
        let node = &self.cluster.nodes[self.leader];
        wait::until("the leader is read-only", SOON, || {
            ensure!(node.sql("select pg_is_in_recovery()")? == ["t"]);
            Ok(())
        })?;
        let last = self.writer.acknowledged().last().map(|ack| ack.at);
        let wrote = last.context("nothing was written")?;
        let wrote = wrote.saturating_duration_since(fault);
        ensure!(wrote < TTL + GRACE, "it took writes for {wrote:?}");
        Ok(())
    }

    /// The fault is over now. The cluster becomes whole, in the store, too, and everything
    /// acknowledged is there.
    pub(super) fn end(&self, fault: &str) -> Result<usize> {
        let since = Instant::now();
        wait_seen_by_all(|index| self.cluster.nodes[index].status())?;
        let leader = self.cluster.wait_healthy(SOON)?;
        wait::until("the store shows it", SOON, || self.is_shown(leader))?;
        let took = since.elapsed();
        self.writer.wait_write(SOON)?;
        let port = self.cluster.nodes[leader].ports.postgres;
        self.writer.check_nothing_lost(port)?;
        tell(self.kind, fault, took);
        Ok(leader)
    }

    /// The keys of the members say that this one leads, and that one of the others is synchronous.
    fn is_shown(&self, leader: usize) -> Result<()> {
        let members = self.cluster.list()?;
        let role = |member: &Value| member["Role"].as_str().unwrap_or_default().to_owned();
        let name = &self.cluster.nodes[leader].name;
        ensure!(members.len() == 3, "{members:?}");
        for member in &members {
            let leads = member["Member"] == name.as_str();
            ensure!(leads == (role(member) == "Leader"), "{members:?}");
            let state = if leads { "running" } else { "streaming" };
            ensure!(member["State"] == state, "{members:?}");
        }
        ensure!(
            members.iter().any(|one| role(one) == "Sync Standby"),
            "{members:?}"
        );
        Ok(())
    }

    /// The same after a fault that nobody was to notice: nobody else was promoted, and commits went
    /// on.
    pub(super) fn end_unnoticed(&self, begun: Instant, fault: &str) -> Result<()> {
        let leader = self.end(fault)?;
        ensure!(leader == self.leader, "another leader");
        let timeline = timeline(&self.cluster, leader)?;
        ensure!(timeline == self.timeline, "somebody was promoted");
        check_gap(&self.writer, begun)
    }
}

/// Waits until each of three nodes has seen the store after this call.
pub(super) fn wait_seen_by_all(status: impl Fn(usize) -> Result<Value>) -> Result<()> {
    let over = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    wait::until("everybody has seen the store since", SOON, || {
        for index in 0..3 {
            let seen = status(index)?["dcs_last_seen"].as_u64();
            ensure!(seen > Some(over), "node {index}: {seen:?}, not {over}");
        }
        Ok(())
    })
}

/// Commits went on. A busy machine may hold them up for a moment; a demotion takes longer.
pub(super) fn check_gap(writer: &Writer, since: Instant) -> Result<()> {
    let gap = writer.longest_gap_since(since);
    ensure!(gap < LONGEST_GAP, "nobody could write for {gap:?}");
    Ok(())
}

/// Tells how long it took from the end of a fault to a whole cluster.
pub(super) fn tell(kind: StoreKind, fault: &str, took: Duration) {
    let seconds = took.as_secs_f64();
    let _ = writeln!(
        std::io::stderr(),
        "store-fault {kind:?} {fault}: {seconds:.1} s"
    );
}

fn timeline(cluster: &Cluster, node: usize) -> Result<String> {
    Ok(cluster.nodes[node].status()?["timeline"].to_string())
}
