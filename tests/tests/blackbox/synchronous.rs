//! Synchronous replication: what is acknowledged is on a node that can be elected, and commits
//! wait no longer than they must.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use patroni_tests::cluster::SOON;
use patroni_tests::writer::Writer;
use patroni_tests::{Cluster, Node, StoreKind, proc, wait};

/// One store is enough: what is synchronous is decided above it, and these stories name the first
/// leader, which nobody can choose on Raft.
mod etcd3 {
    #[test]
    fn quorum_commit_survives_its_leader() -> anyhow::Result<()> {
        super::quorum_commit_survives_its_leader(patroni_tests::StoreKind::Etcd3)
    }
    #[test]
    fn a_strict_primary_waits_for_a_standby() -> anyhow::Result<()> {
        super::a_strict_primary_waits_for_a_standby(patroni_tests::StoreKind::Etcd3)
    }
    #[test]
    fn commits_wait_for_two_standbys() -> anyhow::Result<()> {
        super::commits_wait_for_two_standbys(patroni_tests::StoreKind::Etcd3)
    }
    #[test]
    fn a_silent_standby_is_replaced() -> anyhow::Result<()> {
        super::a_silent_standby_is_replaced(patroni_tests::StoreKind::Etcd3)
    }
    #[test]
    fn a_restarted_daemon_keeps_the_names() -> anyhow::Result<()> {
        super::a_restarted_daemon_keeps_the_names(patroni_tests::StoreKind::Etcd3)
    }
}

/// The tests' `loop_wait` and the second that a standby may be silent.
const A_CYCLE: Duration = Duration::from_secs(3);

fn start(store: StoreKind, nodes: usize, dynamic: &str) -> Result<Cluster> {
    let mut cluster = Cluster::prepare_with(store, nodes, dynamic, |_| String::new())?;
    cluster.bootstrap()?;
    Ok(cluster)
}

/// Waits until so many members have this role in `patronictl list`, and gives their indexes.
fn wait_role(cluster: &Cluster, role: &str, count: usize) -> Result<Vec<usize>> {
    wait::until(&format!("{count} x {role}"), SOON, || {
        let members = cluster.list()?;
        let named: Vec<usize> = (0..cluster.nodes.len())
            .filter(|index| {
                let name = &cluster.nodes[*index].name;
                members
                    .iter()
                    .any(|m| m["Member"] == name.as_str() && m["Role"] == role)
            })
            .collect();
        ensure!(named.len() == count, "{members:?}");
        Ok(named)
    })
}

fn names(node: &Node) -> Result<String> {
    let rows = node.sql("show synchronous_standby_names")?;
    rows.into_iter().next().context("one row")
}

fn wait_names(node: &Node, wanted: &str) -> Result<()> {
    wait::until(&format!("the names {wanted:?}"), SOON, || {
        let names = names(node)?;
        ensure!(names == wanted, "{names}");
        Ok(())
    })
}

fn writer(cluster: &Cluster, leader: usize) -> Result<Writer> {
    cluster.nodes[leader].sql("create table written (n bigint)")?;
    let ports = cluster.nodes.iter().map(|node| node.ports.postgres);
    let writer = Writer::start(ports.collect());
    writer.wait_write(SOON)?;
    Ok(writer)
}

fn quorum_commit_survives_its_leader(store: StoreKind) -> Result<()> {
    let mut cluster = start(store, 3, "    synchronous_mode: quorum\n")?;
    let old = cluster.leader()?;
    let voters = wait_role(&cluster, "Quorum Standby", 2)?;
    wait_names(&cluster.nodes[old], "ANY 1 (node2,node3)")?;
    for (path, code) in [
        ("/quorum", 200),
        ("/read-only-quorum", 200),
        ("/sync", 503),
        ("/async", 503),
        ("/replica", 200),
    ] {
        let standby = &cluster.nodes[voters[0]];
        wait::until(&format!("{path} of a voter: {code}"), SOON, || {
            let found = standby.health(path)?;
            ensure!(found == code, "{found}");
            Ok(())
        })?;
    }
    ensure!(cluster.nodes[old].health("/read-only-quorum")? == 200);
    ensure!(cluster.nodes[old].health("/quorum")? == 503);
    let states = cluster.nodes[old].sql("select distinct sync_state from pg_stat_replication")?;
    ensure!(states == ["quorum"], "{states:?}");

    let writer = writer(&cluster, old)?;
    cluster.nodes[old].kill_all();
    let new = cluster.wait_other_leader(old, SOON)?;
    writer.wait_write(SOON)?;
    let kept = writer.check_nothing_lost(cluster.nodes[new].ports.postgres)?;
    ensure!(kept > 0);
    // It comes back as somebody who was missed.
    let third = &cluster.nodes[3 - old - new].name;
    wait_names(&cluster.nodes[new], &format!("ANY 1 ({third})"))?;
    cluster.nodes[old].start()?;
    ensure!(cluster.wait_healthy(SOON)? == new);
    let voters = wait_role(&cluster, "Quorum Standby", 2)?;
    ensure!(voters.contains(&old), "the old leader votes again");
    writer.wait_write(SOON)?;
    let log = cluster.nodes[new].log();
    for sentence in [
        format!("Setting leader to {}, quorum to", cluster.nodes[new].name),
        "Setting synchronous replication to 1 of 2 (".to_owned(),
    ] {
        ensure!(
            log.contains(&sentence),
            "{sentence}: {}",
            cluster.log_tails()
        );
    }

    // And in order: the candidate has everything, or is not promoted.
    let candidate = cluster.nodes[old].name.clone();
    cluster.ctl_ok(&["switchover", "--candidate", &candidate, "--force"])?;
    ensure!(cluster.wait_healthy(SOON)? == old);
    writer.wait_write(SOON)?;
    writer.check_nothing_lost(cluster.nodes[old].ports.postgres)?;
    Ok(())
}

fn a_strict_primary_waits_for_a_standby(store: StoreKind) -> Result<()> {
    let strict = "    synchronous_mode: true\n    synchronous_mode_strict: true\n";
    let extra = |index| match index {
        2 => "tags:\n  nosync: true\n".to_owned(),
        _ => String::new(),
    };
    let mut cluster = Cluster::prepare_with(store, 3, strict, extra)?;
    cluster.bootstrap()?;
    let leader = cluster.leader()?;
    let standby = 1;
    ensure!(leader == 0 && wait_role(&cluster, "Sync Standby", 1)? == [standby]);
    let writer = writer(&cluster, leader)?;

    cluster.nodes[standby].kill_all();
    wait_names(&cluster.nodes[leader], "*")?;
    // The one that never is synchronous does not stand in, but `*` counts it, so it goes, too.
    cluster.nodes[2].kill_all();
    let before = writer.acknowledged().len();
    let blocked = cluster.nodes[leader].sql("insert into written values (-1)");
    ensure!(blocked.is_err(), "a commit without a standby");
    ensure!(writer.acknowledged().len() <= before + 1, "commits go on");

    cluster.nodes[standby].start()?;
    writer.wait_write(SOON)?;
    ensure!(wait_role(&cluster, "Sync Standby", 1)? == [standby]);
    ensure!(cluster.leader()? == leader);
    writer.check_nothing_lost(cluster.nodes[leader].ports.postgres)?;
    Ok(())
}

fn commits_wait_for_two_standbys(store: StoreKind) -> Result<()> {
    let two = "    synchronous_mode: true\n    synchronous_node_count: 2\n";
    let mut cluster = start(store, 3, two)?;
    let leader = cluster.leader()?;
    let standbys = wait_role(&cluster, "Sync Standby", 2)?;
    wait_names(&cluster.nodes[leader], "2 (node2,node3)")?;
    let standby = &cluster.nodes[standbys[0]];
    // A member answers by the view of its last cycle.
    wait::until("the standby knows that it is synchronous", SOON, || {
        ensure!(standby.health("/sync")? == 200);
        Ok(())
    })?;
    ensure!(standby.health("/quorum")? == 503);
    let writer = writer(&cluster, leader)?;
    cluster.nodes[standbys[1]].kill_all();
    writer.wait_write(SOON)?;
    let left = cluster.nodes[standbys[0]].name.clone();
    wait_names(&cluster.nodes[leader], &left)?;
    cluster.nodes[standbys[1]].start()?;
    wait_role(&cluster, "Sync Standby", 2)?;
    writer.check_nothing_lost(cluster.nodes[standbys[0]].ports.postgres)?;
    Ok(())
}

/// The reference was measured to block commits for 13 s when the chosen standby was lost,
/// although another one was streaming.
fn a_silent_standby_is_replaced(store: StoreKind) -> Result<()> {
    let mut cluster = start(store, 3, "    synchronous_mode: true\n")?;
    let leader = cluster.leader()?;
    let chosen = wait_role(&cluster, "Sync Standby", 1)?[0];
    let writer = writer(&cluster, leader)?;

    // Its machine is gone without a word: the connection stays, no answer comes.
    let receiver = cluster.nodes[chosen].sql("select pid from pg_stat_wal_receiver")?;
    let receiver = Pid::from_raw(receiver.first().context("a WAL receiver")?.parse()?);
    let since = Instant::now();
    proc::signal(receiver, Signal::SIGSTOP)?;
    let other = 3 - chosen - leader;
    wait_names(&cluster.nodes[leader], &cluster.nodes[other].name.clone())?;
    writer.wait_write(SOON)?;
    let silent = writer.longest_gap_since(since);
    proc::signal(receiver, Signal::SIGCONT)?;

    // Its process is gone, and its connection with it.
    let chosen = wait_role(&cluster, "Sync Standby", 1)?[0];
    ensure!(chosen == other, "the other one was assigned");
    cluster.wait_healthy(SOON)?;
    let since = Instant::now();
    cluster.nodes[chosen].kill_all();
    let other = 3 - chosen - leader;
    wait_names(&cluster.nodes[leader], &cluster.nodes[other].name.clone())?;
    writer.wait_write(SOON)?;
    let gone = writer.longest_gap_since(since);

    eprintln!("{store:?}: commits waited {silent:?} for a silent standby, {gone:?} for a dead one");
    ensure!(
        silent < A_CYCLE * 3 && gone < A_CYCLE * 3,
        "{silent:?}, {gone:?}"
    );
    cluster.nodes[chosen].start()?;
    ensure!(cluster.wait_healthy(SOON)? == leader);
    writer.check_nothing_lost(cluster.nodes[leader].ports.postgres)?;
    Ok(())
}

/// A daemon that starts beside a running primary writes its files anew. The names stay.
fn a_restarted_daemon_keeps_the_names(store: StoreKind) -> Result<()> {
    let mut cluster = start(store, 3, "    synchronous_mode: quorum\n")?;
    let leader = cluster.leader()?;
    wait_names(&cluster.nodes[leader], "ANY 1 (node2,node3)")?;
    wait_role(&cluster, "Quorum Standby", 2)?;
    cluster.nodes[leader].kill_daemon();
    let from = cluster.nodes[leader].log().len();
    cluster.nodes[leader].start()?;
    let healthy = format!(
        "I am ({}), the leader with the lock",
        cluster.nodes[leader].name
    );
    cluster.nodes[leader].wait_log(from, &healthy, SOON)?;
    ensure!(names(&cluster.nodes[leader])? == "ANY 1 (node2,node3)");
    let log = cluster.nodes[leader].log();
    let new = log.get(from..).unwrap_or_default();
    ensure!(!new.contains("Setting synchronous replication"), "{new}");
    Ok(())
}
