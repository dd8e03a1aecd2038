//! A new cluster: the first node initialises it, the others copy it, writes arrive everywhere.

use anyhow::{Result, ensure};
use patroni_tests::cluster::SOON;
use patroni_tests::{Cluster, StoreKind, wait};

on_each_store!(three_nodes_become_a_cluster);

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
