//! Replication slots: what was promised to their readers survives a change of leader.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use patroni_tests::cluster::SOON;
use patroni_tests::{Cluster, StoreKind, postgresql, wait};

on_each_store!(
    permanent_slots_survive_the_death_of_the_leader,
    failover_slots_of_the_server_are_left_to_it,
    strangers_are_dropped_but_not_ignored_ones_and_not_in_a_pause,
    the_slot_of_a_departed_member_is_kept_for_its_time,
);

/// A running cluster whose WAL can be decoded, with these lines of dynamic configuration.
fn decodable(store: StoreKind, count: usize, dynamic: &str) -> Result<Cluster> {
    decodable_with(store, count, dynamic, "")
}

/// The same with further parameters of the server (indented by eight).
fn decodable_with(
    store: StoreKind,
    count: usize,
    dynamic: &str,
    parameters: &str,
) -> Result<Cluster> {
    let mut cluster = Cluster::prepare_with(store, count, dynamic, |_| String::new())?;
    for node in &cluster.nodes {
        let text = std::fs::read_to_string(node.config_path())?;
        let decodable = text.replace(
            "        max_connections: 30\n",
            &format!("        max_connections: 30\n        wal_level: logical\n{parameters}"),
        );
        ensure!(text != decodable, "nothing to replace in {text}");
        node.write_config(&decodable)?;
    }
    cluster.bootstrap()?;
    Ok(cluster)
}

/// A column of a slot on a node.
fn slot(cluster: &Cluster, node: usize, name: &str, column: &str) -> Result<String> {
    let sql = format!("select {column} from pg_replication_slots where slot_name = '{name}'");
    let rows = cluster.nodes[node].sql(&sql)?;
    let node = &cluster.nodes[node].name;
    rows.into_iter()
        .next()
        .with_context(|| format!("no slot {name} on {node}"))
}

/// Whether a slot on a node has got as far as `position`.
fn reached(cluster: &Cluster, node: usize, name: &str, column: &str, position: &str) -> Result<()> {
    let test = format!("{column} >= '{position}'");
    let there = slot(cluster, node, name, &test)?;
    let at = slot(cluster, node, name, column)?;
    ensure!(there == "t", "{name} is at {at}, not yet at {position}");
    Ok(())
}

/// What the consumer of the logical slot gets now; it confirms all of it.
fn consume(cluster: &Cluster, node: usize) -> Result<Vec<String>> {
    let sql = "select substring(data from '[0-9]+$') from pg_logical_slot_get_changes('log', null, \
               null, 'include-xids', '0') where data like 'table%'";
    cluster.nodes[node].sql(sql)
}

fn permanent_slots_survive_the_death_of_the_leader(store: StoreKind) -> Result<()> {
    let slots = "    slots:\n      app:\n        type: physical\n      log:\n        type: logical\n\
                 \x20       database: postgres\n        plugin: test_decoding\n";
    let mut cluster = decodable(store, 3, slots)?;
    let old = cluster.leader()?;
    let standbys: Vec<usize> = (0..3).filter(|&node| node != old).collect();
    for &node in &standbys {
        let copied = "Copying logical slots ['log'] from the primary";
        cluster.nodes[node].wait_log(0, copied, SOON)?;
        // A standby whose data were copied after the slot was made lacks the WAL that the slot
        // needs, until the consumer and the server let it move on.
        wait::until("a slot that is safe", SOON, || {
            cluster.nodes[old].sql("checkpoint")?;
            consume(&cluster, old)?;
            let safe = "Logical slot log is safe to be used after a failover";
            ensure!(cluster.nodes[node].log().contains(safe), "not safe yet");
            Ok(())
        })?;
    }
    cluster.wait_healthy(SOON)?;

    // Both readers make progress.
    cluster.nodes[old].sql("create table t (n int); insert into t values (1), (2)")?;
    ensure!(consume(&cluster, old)? == ["1", "2"]);
    let confirmed = slot(&cluster, old, "log", "confirmed_flush_lsn")?;
    let read = cluster.nodes[old].sql(
        "select pg_switch_wal(); \
         select end_lsn from pg_replication_slot_advance('app', pg_current_wal_flush_lsn())",
    )?;
    let read = read.first().context("no position")?.clone();
    cluster.nodes[old].sql("insert into t values (3)")?;
    for &node in &standbys {
        wait::until("slots that follow, and row 3", SOON, || {
            reached(&cluster, node, "app", "restart_lsn", &read)?;
            reached(&cluster, node, "log", "confirmed_flush_lsn", &confirmed)?;
            let rows = cluster.nodes[node].sql("select n from t order by n")?;
            ensure!(rows == ["1", "2", "3"], "{rows:?}");
            Ok(())
        })?;
    }

    cluster.nodes[old].kill_all();
    let new = cluster.wait_other_leader(old, SOON)?;
    wait::until("writes on the new leader", SOON, || {
        cluster.nodes[new].sql("insert into t values (4)")
    })?;
    reached(&cluster, new, "app", "restart_lsn", &read)?;
    let changes = consume(&cluster, new)?;
    ensure!(
        changes == ["3", "4"],
        "neither lost nor repeated: {changes:?}"
    );
    let log = cluster.nodes[new].log();
    ensure!(
        !log.contains("might be unsafe to use after promote"),
        "{log}"
    );

    // The old leader follows, with slots that follow the new ones.
    let confirmed = slot(&cluster, new, "log", "confirmed_flush_lsn")?;
    cluster.nodes[old].start()?;
    cluster.wait_healthy(SOON)?;
    wait::until("slots on the returned node", SOON, || {
        reached(&cluster, old, "app", "restart_lsn", &read)?;
        reached(&cluster, old, "log", "confirmed_flush_lsn", &confirmed)
    })
}

/// From version 17 on the server itself carries the slots that are marked for it over a failover.
/// The nodes neither drop them as unknown ones nor copy them, and give the server's worker what it
/// needs: a `primary_conninfo` that names a database.
fn failover_slots_of_the_server_are_left_to_it(store: StoreKind) -> Result<()> {
    if !postgresql::is_at_least(17, "failover_slots_of_the_server_are_left_to_it") {
        return Ok(());
    }
    let parameters = "        hot_standby_feedback: true\n        sync_replication_slots: true\n";
    let mut cluster = decodable_with(store, 3, "", parameters)?;
    let old = cluster.leader()?;
    let standbys: Vec<usize> = (0..3).filter(|&node| node != old).collect();
    cluster.nodes[old].sql(
        "select pg_create_logical_replication_slot('log', 'test_decoding', temporary => false, \
         twophase => false, failover => true)",
    )?;
    for &node in &standbys {
        wait_synced(&cluster, old, node)?;
    }

    cluster.nodes[old].sql("create table t (n int); insert into t values (1), (2)")?;
    ensure!(consume(&cluster, old)? == ["1", "2"]);
    let confirmed = slot(&cluster, old, "log", "confirmed_flush_lsn")?;
    cluster.nodes[old].sql("insert into t values (3)")?;
    for &node in &standbys {
        wait::until("a slot that follows, and row 3", SOON, || {
            reached(&cluster, node, "log", "confirmed_flush_lsn", &confirmed)?;
            let rows = cluster.nodes[node].sql("select n from t order by n")?;
            ensure!(rows == ["1", "2", "3"], "{rows:?}");
            Ok(())
        })?;
    }
    for node in 0..3 {
        cycles(&cluster, node, 2)?;
        slot(&cluster, node, "log", "slot_name").context("it is not ours to drop")?;
    }

    cluster.nodes[old].kill_all();
    let new = cluster.wait_other_leader(old, SOON)?;
    wait::until("writes on the new leader", SOON, || {
        cluster.nodes[new].sql("insert into t values (4)")
    })?;
    let changes = consume(&cluster, new)?;
    ensure!(
        changes == ["3", "4"],
        "neither lost nor repeated: {changes:?}"
    );

    // A node that returns without a rewind still has the slot of its time as the leader, and its
    // server does not overwrite that. It is left to the operator, as all of these slots are.
    cluster.nodes[old].start()?;
    cluster.wait_healthy(SOON)?;
    cluster.nodes[old].sql(
        "select pg_drop_replication_slot(slot_name) from pg_replication_slots \
         where slot_name = 'log' and not synced",
    )?;
    wait_synced(&cluster, new, old)
}

/// Waits until the server of a standby has a copy of the slot that lasts. While nothing happens its
/// worker looks every half minute only.
fn wait_synced(cluster: &Cluster, leader: usize, standby: usize) -> Result<()> {
    wait::until("a slot that the server has copied", SOON, || {
        // A new copy waits until the primary's slot has moved on to where WAL is on the standby.
        cluster.nodes[leader].sql("checkpoint")?;
        consume(cluster, leader)?;
        let synced = slot(cluster, standby, "log", "synced and not temporary")?;
        ensure!(synced == "t", "not yet");
        Ok(())
    })
}

/// Waits for so many further cycles of a node.
fn cycles(cluster: &Cluster, node: usize, count: usize) -> Result<()> {
    let seen = || cluster.nodes[node].log().matches("no action. I am").count();
    let before = seen();
    wait::until("further cycles", SOON, || {
        let now = seen();
        ensure!(now >= before + count, "{before} before, {now} now");
        Ok(())
    })
}

fn strangers_are_dropped_but_not_ignored_ones_and_not_in_a_pause(store: StoreKind) -> Result<()> {
    let ignore = "    ignore_slots:\n      - name: kept\n        type: physical\n";
    let cluster = decodable(store, 2, ignore)?;
    cluster.ctl_ok(&["pause", "--wait"])?;
    let leader = cluster.leader()?;
    for node in [leader, 1 - leader] {
        cluster.nodes[node].sql(
            "select pg_create_physical_replication_slot('stranger', true), \
             pg_create_physical_replication_slot('kept', true)",
        )?;
    }
    for node in [leader, 1 - leader] {
        cycles(&cluster, node, 2)?;
        slot(&cluster, node, "stranger", "slot_name").context("dropped in a pause")?;
    }
    cluster.ctl_ok(&["resume", "--wait"])?;
    for node in [leader, 1 - leader] {
        let dropped = "Trying to drop unknown replication slot 'stranger'";
        cluster.nodes[node].wait_log(0, dropped, SOON)?;
        cluster.nodes[node].wait_log(0, "Dropped replication slot 'stranger'", SOON)?;
        ensure!(slot(&cluster, node, "stranger", "slot_name").is_err());
        slot(&cluster, node, "kept", "slot_name")?;
    }
    Ok(())
}

fn the_slot_of_a_departed_member_is_kept_for_its_time(store: StoreKind) -> Result<()> {
    let mut cluster = decodable(store, 3, "    member_slots_ttl: 15\n")?;
    let leader = cluster.leader()?;
    let absent = (leader + 1) % 3;
    let name = cluster.nodes[absent].name.clone();
    let others = [leader, (leader + 2) % 3];
    for node in others {
        wait::until("the member's slot", SOON, || {
            slot(&cluster, node, &name, "slot_name")
        })?;
    }
    cluster.nodes[absent].terminate()?;
    wait::until("the member is gone", SOON, || {
        let members = cluster.list()?;
        ensure!(members.len() == 2, "{members:?}");
        Ok(())
    })?;
    for node in others {
        slot(&cluster, node, &name, "slot_name").context("dropped before its time")?;
    }
    let expired =
        format!("Replication slot '{name}' for absent cluster member is expired after 15 sec.");
    cluster.nodes[leader].wait_log(0, &expired, SOON)?;
    for node in others {
        let dropped = format!("Dropped replication slot '{name}'");
        cluster.nodes[node].wait_log(0, &dropped, Duration::from_secs(30))?;
        ensure!(slot(&cluster, node, &name, "slot_name").is_err());
    }
    Ok(())
}
