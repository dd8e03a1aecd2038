//! Failures of whole nodes: somebody takes over, acknowledged writes stay, the dead come back.

use std::time::Duration;

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;
use patroni_tests::cluster::SOON;
use patroni_tests::{Cluster, StoreKind, proc, wait};

on_each_store!(
    a_dead_node_is_replaced_and_rejoins,
    two_leaders_die_one_after_the_other,
    a_killed_postmaster_is_started_again,
    a_manual_failover_promotes_the_candidate,
    no_acknowledged_write_is_lost_in_synchronous_mode,
    a_diverged_primary_rejoins_by_rewind,
);

fn a_dead_node_is_replaced_and_rejoins(store: StoreKind) -> Result<()> {
    let mut cluster = Cluster::start(store, 3)?;
    let old = cluster.leader()?;
    cluster.nodes[old].sql("create table t (n int); insert into t values (1)")?;
    cluster.nodes[old].kill_all();
    let new = cluster.wait_other_leader(old, SOON)?;
    wait::until("writes on the new leader", SOON, || {
        cluster.nodes[new].sql("insert into t values (2)")
    })?;
    cluster.nodes[old].start()?;
    ensure!(cluster.wait_healthy(SOON)? == new);
    wait::until("both rows on the returned node", SOON, || {
        let rows = cluster.nodes[old].sql("select n from t order by n")?;
        ensure!(rows == ["1", "2"], "{rows:?}");
        Ok(())
    })
}

fn two_leaders_die_one_after_the_other(store: StoreKind) -> Result<()> {
    let mut cluster = Cluster::start(store, 3)?;
    let mut leader = cluster.leader()?;
    for _ in 0..2 {
        cluster.nodes[leader].kill_all();
        let new = cluster.wait_other_leader(leader, SOON)?;
        cluster.nodes[leader].start()?;
        cluster.wait_healthy(SOON)?;
        leader = new;
    }
    Ok(())
}

fn a_killed_postmaster_is_started_again(store: StoreKind) -> Result<()> {
    let cluster = Cluster::start(store, 2)?;
    let leader = cluster.leader()?;
    cluster.nodes[leader].sql("create table t (n int); insert into t values (1)")?;
    let old = cluster.nodes[leader].postmaster()?;
    cluster.nodes[leader].kill_postmaster()?;
    wait::until("another postmaster that takes writes", SOON, || {
        ensure!(
            cluster.nodes[leader].postmaster()? != old,
            "still the old one"
        );
        cluster.nodes[leader].sql("insert into t values (2)")
    })?;
    ensure!(
        cluster.wait_healthy(SOON)? == leader,
        "started in place, no failover"
    );
    Ok(())
}

fn a_manual_failover_promotes_the_candidate(store: StoreKind) -> Result<()> {
    let cluster = Cluster::start(store, 3)?;
    let old = cluster.leader()?;
    let candidate = (old + 2) % 3;
    let name = cluster.nodes[candidate].name.clone();
    let out = cluster.ctl_ok(&["failover", "--candidate", &name, "--force"])?;
    ensure!(
        out.contains(&format!("Successfully failed over to \"{name}\"")),
        "{out}"
    );
    ensure!(cluster.wait_healthy(SOON)? == candidate);
    Ok(())
}

/// Writes rows one by one until told otherwise and remembers which were acknowledged.
fn write_until_refused(cluster: &Cluster, node: usize, from: u32, rows: u32) -> Vec<u32> {
    (from..from + rows)
        .take_while(|n| {
            cluster.nodes[node]
                .sql(&format!("insert into t values ({n})"))
                .is_ok()
        })
        .collect()
}

fn no_acknowledged_write_is_lost_in_synchronous_mode(store: StoreKind) -> Result<()> {
    let mut cluster = Cluster::start(store, 3)?;
    cluster.ctl_ok(&["edit-config", "-s", "synchronous_mode=true", "--force"])?;
    let old = cluster.leader()?;
    cluster.wait_synchronous()?;
    cluster.nodes[old].sql("create table t (n int)")?;
    let acknowledged = write_until_refused(&cluster, old, 0, 50);
    cluster.nodes[old].kill_all();
    let new = cluster.wait_other_leader(old, SOON)?;
    let kept = wait::until("the rows", SOON, || {
        cluster.nodes[new].sql("select n from t order by n")
    })?;
    for n in acknowledged {
        ensure!(
            kept.contains(&n.to_string()),
            "row {n} was acknowledged and is lost"
        );
    }
    cluster.nodes[old].start()?;
    cluster.wait_healthy(SOON)?;
    Ok(())
}

fn a_diverged_primary_rejoins_by_rewind(store: StoreKind) -> Result<()> {
    let mut cluster = Cluster::start(store, 3)?;
    let old = cluster.leader()?;
    cluster.nodes[old].sql("create table t (n int); checkpoint")?;
    // The primary stops sending, goes on writing alone, and dies.
    for sender in cluster.nodes[old].sql("select pid from pg_stat_replication")? {
        let pid = nix::unistd::Pid::from_raw(sender.parse()?);
        proc::signal(pid, Signal::SIGSTOP)?;
    }
    cluster.nodes[old].sql("insert into t select generate_series(1, 10)")?;
    cluster.nodes[old].kill_all();
    let new = cluster.wait_other_leader(old, SOON)?;
    wait::until("writes on the new leader", SOON, || {
        cluster.nodes[new].sql("insert into t values (77)")
    })?;
    let before = cluster.nodes[old].log().len();
    cluster.nodes[old].start()?;
    cluster.wait_healthy(SOON)?;
    wait::until("the new leader's row on the old one", SOON, || {
        let rows = cluster.nodes[old].sql("select n from t order by n")?;
        ensure!(rows == ["77"], "{rows:?}");
        Ok(())
    })?;
    cluster.nodes[old].wait_log(before, "pg_rewind exit code=0", Duration::from_secs(5))
}
