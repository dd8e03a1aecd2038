//! A node that somebody promoted by hand while its daemon was away: its timeline has the number
//! of the cluster's next one, and another history.

use std::time::Duration;

use anyhow::{Result, ensure};
use patroni_tests::cluster::SOON;
use patroni_tests::{Cluster, StoreKind, wait};

on_each_store!(
    a_stopped_node_with_a_fork_of_the_same_number_is_rewound,
    a_running_primary_with_a_fork_of_the_same_number_is_rewound,
    a_fork_that_nothing_may_mend_never_leads,
);

fn a_stopped_node_with_a_fork_of_the_same_number_is_rewound(store: StoreKind) -> Result<()> {
    fork_and_return(store, true)
}

fn a_running_primary_with_a_fork_of_the_same_number_is_rewound(store: StoreKind) -> Result<()> {
    fork_and_return(store, false)
}

/// Such data may stream, and look healthy.
fn a_fork_that_nothing_may_mend_never_leads(store: StoreKind) -> Result<()> {
    let mut cluster = Cluster::start(store, 3)?;
    cluster.ctl_ok(&[
        "edit-config",
        "--force",
        "-s",
        "postgresql.use_pg_rewind=false",
    ])?;
    let (lost, new, other) = fork(&mut cluster, true)?;
    cluster.nodes[lost].start()?;
    wait::until("the tags of diverged data", SOON, || {
        let status = cluster.nodes[lost].status()?;
        let tags = &status["tags"];
        ensure!(
            tags["nofailover"] == true && tags["nosync"] == true,
            "{status}"
        );
        Ok(())
    })?;

    cluster.nodes[new].kill_all();
    ensure!(cluster.wait_other_leader(new, SOON)? == other);
    let name = cluster.nodes[lost].name.clone();
    cluster.ctl_ok(&["reinit", "demo", &name, "--force", "--wait"])?;
    wait::until("the cluster's rows on the new copy", SOON, || {
        let rows = cluster.nodes[lost].sql("select n from t order by n")?;
        ensure!(rows == ["1", "2", "3"], "{rows:?}");
        let status = cluster.nodes[lost].status()?;
        ensure!(status.get("tags").is_none(), "{status}");
        Ok(())
    })
}

fn fork_and_return(store: StoreKind, stopped: bool) -> Result<()> {
    let mut cluster = Cluster::start(store, 3)?;
    let (lost, ..) = fork(&mut cluster, stopped)?;
    let before = cluster.nodes[lost].log().len();
    cluster.nodes[lost].start()?;
    cluster.wait_healthy(SOON)?;
    wait::until("the cluster's rows on the returned node", SOON, || {
        let rows = cluster.nodes[lost].sql("select n from t order by n")?;
        ensure!(rows == ["1", "2", "3"], "{rows:?}");
        Ok(())
    })?;
    for told in ["for a timeline of the same number", "pg_rewind exit code=0"] {
        cluster.nodes[lost].wait_log(before, told, Duration::from_secs(5))?;
    }
    Ok(())
}

/// Gives a standby a history of its own, and the cluster one of the same number: that standby,
/// the leader, and the third node.
fn fork(cluster: &mut Cluster, stopped: bool) -> Result<(usize, usize, usize)> {
    let old = cluster.leader()?;
    let (lost, candidate) = ((old + 1) % 3, (old + 2) % 3);
    cluster.nodes[old].sql("create table t (n int); insert into t values (1)")?;

    cluster.promote_by_hand(lost)?;
    if stopped {
        cluster.nodes[lost].pg_ctl(&["-m", "fast", "stop"])?;
    }

    // The cluster goes on, and gives out the same number.
    cluster.nodes[old].sql("insert into t values (2)")?;
    let name = cluster.nodes[candidate].name.clone();
    wait::until("a switchover", SOON, || {
        cluster.ctl_ok(&["switchover", "--candidate", &name, "--force"])
    })?;
    let new = cluster.wait_healthy_nodes(&[old, candidate], SOON)?;
    ensure!(cluster.nodes[new].status()?["timeline"] == 2);
    wait::until("a write on the cluster", SOON, || {
        cluster.nodes[new].sql("insert into t values (3)")
    })?;
    Ok((lost, new, old))
}
