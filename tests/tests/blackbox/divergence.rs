//! A node that somebody promoted by hand while its daemon was away: its timeline has the number
//! of the cluster's next one, and another history.

use std::time::Duration;

use anyhow::{Result, ensure};
use patroni_tests::cluster::SOON;
use patroni_tests::{Cluster, StoreKind, wait};

on_each_store!(
    a_stopped_node_with_a_fork_of_the_same_number_is_rewound,
    a_running_primary_with_a_fork_of_the_same_number_is_rewound,
);

fn a_stopped_node_with_a_fork_of_the_same_number_is_rewound(store: StoreKind) -> Result<()> {
    fork_and_return(store, true)
}

fn a_running_primary_with_a_fork_of_the_same_number_is_rewound(store: StoreKind) -> Result<()> {
    fork_and_return(store, false)
}

fn fork_and_return(store: StoreKind, stopped: bool) -> Result<()> {
    let mut cluster = Cluster::start(store, 3)?;
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
