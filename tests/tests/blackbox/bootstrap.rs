//! A new cluster: the first node initialises it, the others copy it, writes arrive everywhere.

use anyhow::{Result, ensure};
use patroni_tests::cluster::SOON;
use patroni_tests::{Cluster, StoreKind, wait};

on_each_store!(
    three_nodes_become_a_cluster,
    a_daemon_that_ends_during_a_bootstrap_leaves_nothing
);

fn three_nodes_become_a_cluster(store: StoreKind) -> Result<()> {
    let cluster = Cluster::start(store, 3)?;
    let leader = cluster.leader()?;
    cluster.nodes[leader].sql("create table t (n int); insert into t values (42)")?;
    for node in &cluster.nodes {
        wait::until("the row everywhere", SOON, || {
            let rows = node.sql("select n from t")?;
            ensure!(rows == ["42"], "{}: {rows:?}", node.name);
            Ok(())
        })?;
    }
    let members = cluster.list()?;
    let roles: Vec<_> = members
        .iter()
        .map(|member| member["Role"].as_str().unwrap_or_default())
        .collect();
    ensure!(
        roles.iter().filter(|&&role| role == "Leader").count() == 1,
        "{members:?}"
    );
    ensure!(
        roles.iter().filter(|&&role| role == "Replica").count() == 2,
        "{members:?}"
    );
    Ok(())
}

/// The next daemon would wait for ever for the one that had begun.
fn a_daemon_that_ends_during_a_bootstrap_leaves_nothing(store: StoreKind) -> Result<()> {
    let mut cluster = Cluster::prepare(store, 1)?;
    let node = &mut cluster.nodes[0];
    let text = std::fs::read_to_string(node.config_path())?;
    let slow = "bootstrap:\n  method: slow\n  slow:\n    command: sh -c 'sleep 600'\n";
    node.write_config(&text.replace("bootstrap:\n", slow))?;
    node.start()?;
    node.wait_log(0, "Running custom bootstrap script", SOON)?;
    ensure!(node.terminate()? == 0);
    let log = node.log();
    ensure!(
        log.contains("Cancelling long running task bootstrap"),
        "{log}"
    );
    node.write_config(&text)?;
    node.start()?;
    cluster.wait_leader(SOON)?;
    Ok(())
}
