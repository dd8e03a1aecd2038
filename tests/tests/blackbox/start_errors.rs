//! What goes wrong at the start is said once, clearly, and nothing is started.

use std::net::TcpListener;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use patroni_tests::cluster::SOON;
use patroni_tests::{Cluster, StoreKind, wait};

on_each_store!(
    a_missing_disk_path_is_named,
    a_wrong_replication_password_is_named_and_can_be_corrected,
    a_taken_rest_port_ends_the_start,
    a_second_node_of_the_same_name_is_refused,
);

fn a_missing_disk_path_is_named(store: StoreKind) -> Result<()> {
    let mut cluster = Cluster::prepare(store, 1)?;
    let node = &mut cluster.nodes[0];
    let text = std::fs::read_to_string(node.config_path())?;
    let data_dir = format!("data_dir: {}", node.data_dir().display());
    ensure!(text.contains(&data_dir));
    node.write_config(&text.replace(&data_dir, "data_dir: /proc/no/such/place"))?;
    node.start()?;
    node.wait_log(0, "/proc/no/such/place", SOON)?;
    ensure!(node.sql("select 1").is_err());
    Ok(())
}

fn a_wrong_replication_password_is_named_and_can_be_corrected(store: StoreKind) -> Result<()> {
    let mut cluster = Cluster::prepare(store, 2)?;
    let right = std::fs::read_to_string(cluster.nodes[1].config_path())?;
    cluster.nodes[1].write_config(&right.replace("rep pass", "wrong"))?;
    for node in &mut cluster.nodes {
        node.start()?;
    }
    // On Raft either node may win the race; the one with the wrong file must not have.
    let leader = cluster.wait_leader(SOON)?;
    if leader == 1 {
        return Ok(());
    }
    cluster.nodes[1].wait_log(0, "failed to bootstrap from leader", SOON)?;
    ensure!(
        !cluster.nodes[1].log().contains("rep pass"),
        "a password was logged"
    );
    cluster.nodes[1].terminate()?;
    cluster.nodes[1].write_config(&right)?;
    cluster.nodes[1].start()?;
    cluster.wait_healthy(SOON)?;
    Ok(())
}

fn a_taken_rest_port_ends_the_start(store: StoreKind) -> Result<()> {
    let mut cluster = Cluster::prepare(store, 1)?;
    let node = &mut cluster.nodes[0];
    let _taken = TcpListener::bind(("127.0.0.1", node.ports.rest)).context("take the port")?;
    node.start()?;
    let code = node.daemon().wait_exit(SOON)?;
    ensure!(code == 1, "exit code {code}");
    ensure!(node.log().contains("restapi.listen"), "{}", node.log());
    ensure!(!node.data_dir().exists(), "a cluster was initialised");
    Ok(())
}

fn a_second_node_of_the_same_name_is_refused(store: StoreKind) -> Result<()> {
    if store == StoreKind::Raft {
        return Ok(()); // its own address is taken first, which the store itself refuses
    }
    let mut cluster = Cluster::start(store, 2)?;
    let text = std::fs::read_to_string(cluster.nodes[1].config_path())?;
    ensure!(cluster.nodes[1].terminate()? == 0);
    cluster.nodes[1].write_config(&text.replace("name: node2", "name: node1"))?;
    cluster.nodes[1].start()?;
    let code = cluster.nodes[1]
        .daemon()
        .wait_exit(Duration::from_mins(1))?;
    ensure!(code == 1, "exit code {code}");
    let sentence = "Can't start; there is already a node named 'node1' running";
    wait::until("the sentence", Duration::from_secs(1), || {
        ensure!(
            cluster.nodes[1].log().contains(sentence),
            "{}",
            cluster.nodes[1].log()
        );
        Ok(())
    })?;
    cluster.leader()?;
    Ok(())
}
