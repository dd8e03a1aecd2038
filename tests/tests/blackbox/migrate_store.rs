//! `patronictl migrate-store`: a cluster moves to another store while it is written to.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use patroni_tests::cluster::{SOON, raft_section};
use patroni_tests::node::Ports;
use patroni_tests::proc::{self, Proc};
use patroni_tests::store::Server;
use patroni_tests::writer::Writer;
use patroni_tests::{Cluster, Maker, StoreKind, wait};

/// Makes a test of each way between two stores that can be started here.
macro_rules! ways {
    ($($name:ident: $from:ident to $to:ident),+ $(,)?) => {
        $(#[test] fn $name() -> Result<()> {
            let (from, to) = (StoreKind::$from, StoreKind::$to);
            let test = concat!("migrate_store::", stringify!($name));
            if from.is_there(test) && to.is_there(test) {
                postgresql_runs_on_while_the_store_changes(from, to)
            } else {
                Ok(())
            }
        })+
    };
}

ways!(
    from_etcd3_to_consul: Etcd3 to Consul,
    from_etcd3_to_raft: Etcd3 to Raft,
    from_etcd_v2_to_etcd3: Etcd2 to Etcd3,
);

/// A cluster with a way out of its store.
struct Journey {
    cluster: Cluster,
    /// The file of the first node as it was.
    before: PathBuf,
    /// The file of the first node as it will be.
    after: PathBuf,
    /// The section of each node in the new store.
    sections: Vec<String>,
    /// The voters that are there before the daemons, when the new store is the embedded one.
    voters: Vec<Option<Proc>>,
    /// The new store, otherwise.
    _server: Option<Server>,
}

impl Journey {
    fn prepare(from: StoreKind, to: StoreKind) -> Result<Self> {
        let cluster = Cluster::start(from, 3)?;
        let dir = cluster.dir().join("journey");
        std::fs::create_dir(&dir)?;
        proc::give_to_runner(&dir)?;
        let server = Server::start(to, &dir)?;
        let ports: Vec<Ports> = cluster.nodes.iter().map(|node| node.ports).collect();
        let section = |index: usize| match &server {
            Some(server) => server.section(),
            None => raft_section(&cluster.nodes[index].dir, index, &ports),
        };
        let sections: Vec<String> = (0..3).map(section).collect();
        let (before, after) = (dir.join("before.yml"), dir.join("after.yml"));
        std::fs::copy(cluster.nodes[0].config_path(), &before)?;
        std::fs::write(&after, &sections[0])?;
        for file in [&before, &after] {
            proc::give_to_runner(file)?;
        }
        let mut journey = Self {
            cluster,
            before,
            after,
            sections,
            voters: Vec::new(),
            _server: server,
        };
        if to == StoreKind::Raft {
            journey.voters = (0..3)
                .map(|index| journey.voter(index).map(Some))
                .collect::<Result<_>>()?;
        }
        Ok(journey)
    }

    /// A voter in place of a daemon that is still elsewhere.
    fn voter(&self, index: usize) -> Result<Proc> {
        let dir = &self.cluster.nodes[index].dir;
        let file = dir.join("voter.yml");
        std::fs::write(&file, &self.sections[index])?;
        proc::give_to_runner(&file)?;
        let mut command = proc::command(proc::bin("patroni_raft_controller"));
        command.arg(&file);
        Proc::start("voter", command, &dir.join("voter.log"))
    }

    /// What `patronictl` of the old store says: whether it succeeded, and both outputs.
    fn ctl(&self, args: &[&str]) -> Result<(bool, String)> {
        let home = self.cluster.dir();
        let out = Cluster::ctl_with(Maker::Ours, &self.before, home, args)?;
        let text = [out.stdout, out.stderr].concat();
        Ok((
            out.status.success(),
            String::from_utf8_lossy(&text).into_owned(),
        ))
    }

    fn migrate(&self, more: &[&str]) -> Result<(bool, String)> {
        let to = self.after.to_string_lossy().into_owned();
        let args = [&["migrate-store", "--to", &to], more].concat();
        self.ctl(&args)
    }

    /// The same, which must succeed and say this.
    fn migrate_says(&self, more: &[&str], text: &str) -> Result<()> {
        let (success, said) = self.migrate(more)?;
        ensure!(success && said.contains(text), "{more:?}: {said}");
        Ok(())
    }

    /// As an operator changes a node: a new file, a new daemon, the same PostgreSQL.
    fn change(&mut self, index: usize) -> Result<()> {
        self.put_section(index)?;
        let node = &mut self.cluster.nodes[index];
        let code = node.terminate()?;
        ensure!(code == 0, "{} ended with {code}", node.name);
        if let Some(voter) = self.voters.get_mut(index) {
            let mut voter = voter.take().context("a node changes once")?;
            voter.signal(Signal::SIGTERM);
            voter.wait_exit(SOON)?;
        }
        self.cluster.nodes[index].start()
    }

    /// Puts the section of the new store in place of the other one, which stands between that of
    /// the REST API and that of the bootstrap.
    fn put_section(&self, index: usize) -> Result<()> {
        let node = &self.cluster.nodes[index];
        let text = std::fs::read_to_string(node.config_path())?;
        let (head, rest) = text
            .split_once("\n  connect_address: ")
            .context("no head")?;
        let (address, rest) = rest.split_once('\n').context("no store")?;
        let (_, tail) = rest.split_once("\nbootstrap:").context("no tail")?;
        let section = &self.sections[index];
        node.write_config(&format!(
            "{head}\n  connect_address: {address}\n{section}\nbootstrap:{tail}"
        ))
    }

    /// When each PostgreSQL was started.
    fn births(&self) -> Result<Vec<Vec<String>>> {
        let nodes = self.cluster.nodes.iter();
        nodes
            .map(|node| node.sql("select pg_postmaster_start_time()"))
            .collect()
    }

    fn write(&self) -> Result<Writer> {
        let leader = self.cluster.leader()?;
        self.cluster.nodes[leader].sql("create table written (n bigint)")?;
        let ports = self.cluster.nodes.iter().map(|node| node.ports.postgres);
        let writer = Writer::start_every(Duration::from_millis(20), ports.collect());
        writer.wait_write(SOON)?;
        Ok(writer)
    }

    /// Waits until a call says this: a daemon needs a moment to come.
    fn wait_said(&self, text: &str) -> Result<()> {
        wait::until(text, SOON, || self.migrate_says(&[], text))
    }

    /// The nodes, the leader first.
    fn order(&self) -> Result<Vec<usize>> {
        let leader = self.cluster.leader()?;
        let others = (0..3).filter(|&index| index != leader);
        Ok(std::iter::once(leader).chain(others).collect())
    }

    fn name(&self, index: usize) -> &str {
        &self.cluster.nodes[index].name
    }
}

fn postgresql_runs_on_while_the_store_changes(from: StoreKind, to: StoreKind) -> Result<()> {
    let mut journey = Journey::prepare(from, to)?;
    let writer = journey.write()?;
    let (order, births) = (journey.order()?, journey.births()?);
    let began = Instant::now();

    // Nothing is changed by looking, and what was begun can be taken back.
    wait::until("the new store answers", SOON, || {
        journey.migrate_says(&["--dry-run"], "pause the cluster in")
    })?;
    ensure!(!journey.ctl(&["list"])?.1.contains("Maintenance mode: on"));
    let first = format!("Next: on {},", journey.name(order[0]));
    journey.migrate_says(&["--force"], &first)?;
    journey.migrate_says(&["--cancel"], "Success: the cluster stays in")?;
    ensure!(!journey.ctl(&["list"])?.1.contains("Maintenance mode: on"));

    journey.migrate_says(&["--force"], &first)?;
    journey.migrate_says(&[], &first)?;
    let (woken, said) = journey.ctl(&["resume"])?;
    ensure!(
        !woken && said.contains("is moving from this store"),
        "{said}"
    );

    for (position, &index) in order.iter().enumerate() {
        journey.change(index)?;
        match order.get(position + 1) {
            Some(&next) => journey.wait_said(&format!("Next: on {},", journey.name(next)))?,
            None => journey.migrate_says(&["--wait"], "Success: cluster demo lives in")?,
        }
        ensure!(journey.births()? == births, "PostgreSQL was restarted");
        writer.wait_write(SOON)?;
    }
    journey.migrate_says(&[], "Success: cluster demo lives in")?;

    let leader = journey.cluster.wait_healthy(SOON)?;
    ensure!(leader == order[0], "the leader changed");
    ensure!(journey.births()? == births, "PostgreSQL was restarted");
    let gap = writer.longest_gap_since(began);
    ensure!(gap < Duration::from_secs(3), "no write for {gap:?}");
    wait::until("the end of the pause", SOON, || {
        let list = journey.cluster.ctl_ok(&["list"])?;
        ensure!(!list.contains("Maintenance mode: on"), "{list}");
        Ok(())
    })?;
    eprintln!("{from:?} to {to:?}: longest time without a write {gap:?}");

    journey.cluster.ctl_ok(&["switchover", "--force"])?;
    let new = journey.cluster.wait_other_leader(leader, SOON)?;
    writer.wait_write(SOON)?;
    writer.check_nothing_lost(journey.cluster.nodes[new].ports.postgres)?;
    Ok(())
}

/// A daemon that was left behind, in a store that somebody wakes up past the tool.
#[test]
fn a_late_daemon_never_leads_in_the_old_store() -> Result<()> {
    if !StoreKind::Consul.is_there("migrate_store::a_late_daemon_never_leads_in_the_old_store") {
        return Ok(());
    }
    let mut journey = Journey::prepare(StoreKind::Etcd3, StoreKind::Consul)?;
    let writer = journey.write()?;
    let order = journey.order()?;
    let (leader, second, late) = (order[0], order[1], order[2]);
    journey.migrate_says(&["--force"], "Next: on")?;
    journey.change(leader)?;
    journey.wait_said(&format!("Next: on {},", journey.name(second)))?;
    journey.change(second)?;
    journey.wait_said(&format!("Next: on {},", journey.name(late)))?;

    wait::until("the old store is closed", SOON, || {
        journey.migrate(&[])?;
        let (_, identity) = journey.ctl(&["dcs", "get", "initialize"])?;
        ensure!(identity.trim() == "0000000000", "{identity}");
        Ok(())
    })?;
    let wake = r#"{"pause": null}"#;
    let answer = journey.cluster.nodes[late].rest("PATCH", "/config", Some(wake))?;
    ensure!(answer.status == 200, "{}", answer.body);
    let code = journey.cluster.nodes[late].daemon().wait_exit(SOON)?;
    ensure!(code == 1, "the late daemon ended with {code}");
    let log = journey.cluster.nodes[late].log();
    ensure!(log.contains("system ID mismatch"), "{log}");
    ensure!(!log.contains("promoted self"), "{log}");
    writer.wait_write(SOON)?;

    // Its new file is all that it needs to be one of them again.
    journey.put_section(late)?;
    journey.cluster.nodes[late].start()?;
    journey.migrate_says(&["--wait"], "Success: cluster demo lives in")?;
    ensure!(journey.cluster.wait_healthy(SOON)? == leader);
    writer.check_nothing_lost(journey.cluster.nodes[leader].ports.postgres)?;
    Ok(())
}
