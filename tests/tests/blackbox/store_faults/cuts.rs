//! Links are cut: between a node and all servers of the store, and among the servers.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use patroni_tests::cluster::SOON;
use patroni_tests::machines::{COUNT, Machines};
use patroni_tests::writer::{Pace, Writer};
use patroni_tests::{Maker, Node, StoreKind, wait};

use super::story::{DYNAMIC, GRACE, TTL, check_gap, tell, wait_seen_by_all};

patroni_tests::on_store!(Etcd3 in etcd3: links_may_fail);
patroni_tests::on_store!(Consul in consul: links_may_fail);
patroni_tests::on_store!(ZooKeeper in zookeeper: links_may_fail);

/// Longer than a call to the store may take with all its repetitions.
const CUT: Duration = Duration::from_secs(8);

fn links_may_fail(kind: StoreKind) -> Result<()> {
    let Some(scene) = Scene::begin(kind)? else {
        return Ok(());
    };
    let fault = Instant::now();
    scene.machines.cut_from_stores(scene.leader)?;
    wait::pause(CUT); // the fault itself has a length
    scene.machines.mend_to_stores(scene.leader)?;
    scene.end_unnoticed(fault, "the leader cut off from all servers for 8 s")?;

    // All nodes reach the leader of the store, but it can promise nothing any more.
    let first = scene.leader_of_stores()?;
    let others = (0..COUNT).filter(|&index| index != first);
    let links: Vec<_> = others
        .map(|other| (Machines::store(first), Machines::store(other)))
        .collect();
    let network = &scene.machines.network;
    let fault = Instant::now();
    links
        .iter()
        .try_for_each(|&(one, other)| network.cut(one, other))?;
    wait::pause(TTL + GRACE); // the fault itself has a length
    links
        .iter()
        .try_for_each(|&(one, other)| network.mend(one, other))?;
    scene.end_unnoticed(fault, "leader of three cut off from the two")?;

    scene.end_with_another_leader()
}

/// A cluster on machines of its own under a writing client.
struct Scene {
    kind: StoreKind,
    machines: Machines,
    leader: usize,
    timeline: u64,
    /// On the machine of the leader.
    writer: Writer,
}

impl Scene {
    fn begin(kind: StoreKind) -> Result<Option<Self>> {
        let unchanged = |_: &std::path::Path, text: &str| text.to_owned();
        let Some(machines) = Machines::start_with(kind, Maker::Ours, DYNAMIC, unchanged)? else {
            return Ok(None);
        };
        let leader = machines.leader()?;
        machines.on(leader, |node| node.sql("create table written (n bigint)"))?;
        let pause = Duration::from_millis(20);
        let pace = Pace {
            between: pause,
            retry: pause,
        };
        let writer = machines.writer_after(leader, 0, pace)?;
        writer.wait_write(SOON)?;
        Ok(Some(Self {
            kind,
            timeline: machines.timeline(leader)?,
            machines,
            leader,
            writer,
        }))
    }

    fn leader_of_stores(&self) -> Result<usize> {
        let leads = |index: &usize| {
            let server = &self.machines.stores.servers[*index];
            let machine = Machines::store(*index);
            let leads = self.machines.network.inside(machine, || server.leads());
            leads.unwrap_or(false)
        };
        (0..COUNT).find(leads).context("the store has no leader")
    }

    /// The fault is over now, and nobody was to notice it.
    fn end_unnoticed(&self, begun: Instant, fault: &str) -> Result<()> {
        let over = Instant::now();
        wait_seen_by_all(|index| self.machines.on(index, Node::status))?;
        ensure!(
            self.machines.wait_healthy()? == self.leader,
            "another leader"
        );
        tell(self.kind, fault, over.elapsed());
        ensure!(
            self.machines.timeline(self.leader)? == self.timeline,
            "a new timeline"
        );
        check_gap(&self.writer, begun)?;
        self.check_nothing_lost(self.leader)
    }

    /// A leader that is cut off from the store for good takes nothing beyond its lease, and another
    /// one leads with everything that was acknowledged.
    fn end_with_another_leader(self) -> Result<()> {
        let fault = Instant::now();
        self.machines.cut_from_stores(self.leader)?;
        let new = wait::until("another one leads", SOON, || {
            let mut others = (0..COUNT).filter(|&index| index != self.leader);
            let primary = |&index: &usize| {
                let is = |node: &Node| node.is("primary");
                self.machines.on(index, is).is_ok()
            };
            others.find(primary).context("nobody leads")
        })?;
        let last = self.writer.acknowledged().last().map(|ack| ack.at);
        let wrote = last.context("nothing was written")?;
        let wrote = wrote.saturating_duration_since(fault);
        ensure!(wrote < TTL + GRACE, "it took writes for {wrote:?}");
        self.check_nothing_lost(new)?;
        let over = Instant::now();
        self.machines.mend_to_stores(self.leader)?;
        wait_seen_by_all(|index| self.machines.on(index, Node::status))?;
        ensure!(self.machines.wait_healthy()? == new, "another leader");
        let fault = "the leader cut off from all servers for longer than ttl";
        tell(self.kind, fault, over.elapsed());
        self.check_nothing_lost(new)
    }

    fn check_nothing_lost(&self, leader: usize) -> Result<()> {
        let port = self.machines.nodes[leader].ports.postgres;
        let check = || self.writer.check_nothing_lost(port).map(drop);
        self.machines.network.inside(leader, check)
    }
}
