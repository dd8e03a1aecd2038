//! What becomes of a cluster when its store fails, on each store that is a server of its own: one
//! client writes in synchronous mode all the time, and nothing that was acknowledged is lost.
//!
//! Each test tells how long it took from the end of the fault to a whole cluster, in a line that
//! `cargo xtask test stores` makes a table of.

use std::io::Write as _;
use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use patroni_tests::cluster::SOON;
use patroni_tests::slow_link::{Quality, SlowLink};
use patroni_tests::store::Server;
use patroni_tests::writer::Writer;
use patroni_tests::{Cluster, StoreKind, proc, wait};
use serde_json::Value;

/// Makes one test for each store whose server can be ended and started again by a test.
macro_rules! on_each_process {
    ($($name:ident),+ $(,)?) => {
        patroni_tests::on_store!(Etcd3 in etcd3: $($name),+);
        patroni_tests::on_store!(Etcd2 in etcd2: $($name),+);
        patroni_tests::on_store!(Consul in consul: $($name),+);
        patroni_tests::on_store!(ZooKeeper in zookeeper: $($name),+);
    };
}

on_each_process!(
    a_server_that_is_killed_and_started_is_sat_out,
    a_dead_server_demotes_the_leader_in_time,
    in_failsafe_mode_a_dead_server_changes_nothing,
    a_slow_server_is_sat_out,
    a_wiped_store_is_filled_by_its_leader,
    a_store_from_an_old_snapshot_loses_nothing,
);

const TTL: Duration = Duration::from_secs(20);
/// What a stop and a client's attempt may take beyond the lease.
const GRACE: Duration = Duration::from_secs(3);

const LONGEST_GAP: Duration = Duration::from_secs(4);

/// A cluster under a writing client.
struct Story {
    kind: StoreKind,
    cluster: Cluster,
    writer: Writer,
    leader: usize,
    timeline: String,
}

impl Story {
    fn begin(kind: StoreKind, dynamic: &str) -> Result<Self> {
        let dynamic = format!("    synchronous_mode: true\n{dynamic}");
        let mut cluster = Cluster::prepare_with(kind, 3, &dynamic, |_| String::new())?;
        cluster.bootstrap()?;
        Self::of(kind, cluster)
    }

    fn of(kind: StoreKind, cluster: Cluster) -> Result<Self> {
        let leader = cluster.wait_healthy(SOON)?;
        cluster.nodes[leader].sql("create table written (n bigint)")?;
        let ports = cluster.nodes.iter().map(|node| node.ports.postgres);
        let writer = Writer::start_every(Duration::from_millis(20), ports.collect());
        wait_synchronous(&cluster)?;
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

    fn server(&mut self) -> Result<&mut Server> {
        self.cluster.store.as_mut().context("no server")
    }

    /// Puts something else in the place of what the server keeps while it is down.
    fn started_on(&mut self, change: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
        let home = self.cluster.dir().to_owned();
        let server = self.server()?;
        let data = server.data_dir(&home)?;
        server.process()?.kill();
        change(&data)?;
        server.process()?.restart()?;
        server.wait_ready()
    }

    /// The fault is over now. The cluster becomes whole, in the store, too, and everything
    /// acknowledged is there.
    fn end(&self, fault: &str) -> Result<usize> {
        let since = Instant::now();
        let over = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        wait::until("everybody has seen the store since", SOON, || {
            for node in &self.cluster.nodes {
                let seen = node.status()?["dcs_last_seen"].as_u64();
                ensure!(seen > Some(over), "{}: {seen:?}, not {over}", node.name);
            }
            Ok(())
        })?;
        let leader = self.cluster.wait_healthy(SOON)?;
        wait::until("the store shows it", SOON, || self.is_shown(leader))?;
        let seconds = since.elapsed().as_secs_f64();
        self.writer.wait_write(SOON)?;
        let port = self.cluster.nodes[leader].ports.postgres;
        self.writer.check_nothing_lost(port)?;
        let _ = writeln!(
            std::io::stderr(),
            "store-fault {:?} {fault}: {seconds:.1} s",
            self.kind
        );
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

    /// Commits went on. A busy machine may hold them up for a moment; a demotion takes longer.
    fn check_gap(&self, since: Instant) -> Result<()> {
        let gap = self.writer.longest_gap_since(since);
        ensure!(gap < LONGEST_GAP, "nobody could write for {gap:?}");
        Ok(())
    }

    /// The same, and nobody else was promoted.
    fn end_with_the_same_leader(&self, fault: &str) -> Result<()> {
        let leader = self.end(fault)?;
        ensure!(leader == self.leader, "another leader");
        let timeline = timeline(&self.cluster, leader)?;
        ensure!(timeline == self.timeline, "somebody was promoted");
        Ok(())
    }
}

fn timeline(cluster: &Cluster, node: usize) -> Result<String> {
    Ok(cluster.nodes[node].status()?["timeline"].to_string())
}

fn wait_synchronous(cluster: &Cluster) -> Result<()> {
    wait::until("a synchronous standby", SOON, || {
        let members = cluster.list()?;
        let mut roles = members.iter().map(|member| &member["Role"]);
        ensure!(roles.any(|role| role == "Sync Standby"), "{members:?}");
        Ok(())
    })
}

fn a_server_that_is_killed_and_started_is_sat_out(kind: StoreKind) -> Result<()> {
    let mut story = Story::begin(kind, "")?;
    let fault = Instant::now();
    story.started_on(|_| Ok(()))?;
    story.end_with_the_same_leader("killed and started")?;
    story.check_gap(fault)?;
    Ok(())
}

fn a_dead_server_demotes_the_leader_in_time(kind: StoreKind) -> Result<()> {
    let mut story = Story::begin(kind, "")?;
    let fault = Instant::now();
    story.server()?.process()?.kill();
    let node = &story.cluster.nodes[story.leader];
    wait::until("the leader is read-only", SOON, || {
        ensure!(node.sql("select pg_is_in_recovery()")? == ["t"]);
        Ok(())
    })?;
    let last = story.writer.acknowledged().last().map(|ack| ack.at);
    let wrote = last.context("nothing was written")? - fault;
    ensure!(wrote < TTL + GRACE, "it took writes for {wrote:?}");
    story.server()?.process()?.restart()?;
    story.server()?.wait_ready()?;
    story.end("dead for longer than ttl")?;
    Ok(())
}

fn in_failsafe_mode_a_dead_server_changes_nothing(kind: StoreKind) -> Result<()> {
    let mut story = Story::begin(kind, "    failsafe_mode: true\n")?;
    let fault = Instant::now();
    story.server()?.process()?.kill();
    wait::pause(TTL + GRACE); // the fault itself has a length
    story.server()?.process()?.restart()?;
    story.server()?.wait_ready()?;
    story.end_with_the_same_leader("the same in failsafe mode")?;
    story.check_gap(fault)?;
    Ok(())
}

/// Every piece of data on its way to the server comes a second late.
fn a_slow_server_is_sat_out(kind: StoreKind) -> Result<()> {
    let dir = tempfile::tempdir()?;
    proc::give_to_runner(dir.path())?;
    let server = Server::start(kind, dir.path())?.context("no server")?;
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let quality = Quality {
        latency: Duration::from_secs(1),
        loss: 0,
    };
    let link = SlowLink::start(listener, server.port(), quality)?;
    let dynamic =
        "    ttl: 20\n    loop_wait: 2\n    retry_timeout: 5\n    synchronous_mode: true\n";
    let cluster = Cluster::start_on(&server.section_by(link.port), 3, dynamic)?;
    let story = Story::of(kind, cluster)?;
    let fault = Instant::now();
    link.set_bad(true);
    wait::pause(TTL + GRACE); // the fault itself has a length
    link.set_bad(false);
    story.end_with_the_same_leader("one second slow")?;
    story.check_gap(fault)?;
    Ok(())
}

fn a_wiped_store_is_filled_by_its_leader(kind: StoreKind) -> Result<()> {
    let mut story = Story::begin(kind, "")?;
    let fault = Instant::now();
    story.started_on(|data| Ok(std::fs::remove_dir_all(data)?))?;
    story.end_with_the_same_leader("data wiped")?;
    story.check_gap(fault)?;
    let config = story.cluster.ctl_ok(&["show-config"])?;
    ensure!(config.contains("synchronous_mode: true"), "{config}");
    Ok(())
}

fn a_store_from_an_old_snapshot_loses_nothing(kind: StoreKind) -> Result<()> {
    let mut story = Story::begin(kind, "")?;
    let snapshot = tempfile::tempdir()?;
    let kept = snapshot.path().join("data");
    story.started_on(|data| copy(data, &kept))?;
    story.cluster.wait_healthy(SOON)?;
    story.cluster.ctl_ok(&["switchover", "--force"])?;
    let second = story.cluster.wait_other_leader(story.leader, SOON)?;
    story.cluster.wait_healthy(SOON)?;
    wait_synchronous(&story.cluster)?;
    story.writer.wait_write(SOON)?;
    story.started_on(|data| {
        std::fs::remove_dir_all(data)?;
        copy(&kept, data)
    })?;
    let leader = story.end("restored from an old snapshot")?;
    let former = &story.cluster.nodes[story.leader];
    ensure!(
        leader == second || former.log().contains("Giving the lock back"),
        "an old copy of the store has made a leader"
    );
    Ok(())
}

/// Copies a folder with everything, owners and all.
fn copy(from: &Path, to: &Path) -> Result<()> {
    let mut command = std::process::Command::new("cp");
    let status = command.arg("-a").arg(from).arg(to).status()?;
    ensure!(status.success(), "cp: {status}");
    Ok(())
}
