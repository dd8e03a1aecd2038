//! What a server keeps is lost, is that of another time, or has no room.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use patroni_tests::cluster::SOON;
use patroni_tests::{Disk, StoreKind, wait};

use super::story::{GRACE, Story, TTL};

/// Makes one test for each store whose server keeps its data itself.
macro_rules! on_each_keeper {
    ($($name:ident),+ $(,)?) => {
        patroni_tests::on_store!(Etcd3 in etcd3: $($name),+);
        patroni_tests::on_store!(Etcd2 in etcd2: $($name),+);
        patroni_tests::on_store!(Consul in consul: $($name),+);
        patroni_tests::on_store!(ZooKeeper in zookeeper: $($name),+);
    };
}

on_each_keeper!(
    a_wiped_store_is_filled_by_its_leader,
    a_store_from_an_old_snapshot_loses_nothing,
);

// That of etcd's older API is the same server.
patroni_tests::on_store!(Etcd3 in etcd3_disk: a_full_disk_loses_nothing_and_heals_with_room);
patroni_tests::on_store!(Consul in consul_disk: a_full_disk_loses_nothing_and_heals_with_room);
patroni_tests::on_store!(ZooKeeper in zookeeper_disk: a_full_disk_loses_nothing_and_heals_with_room);

patroni_tests::on_store!(Etcd3 in etcd3_quota: a_store_at_its_quota_keeps_its_leader);

fn a_wiped_store_is_filled_by_its_leader(kind: StoreKind) -> Result<()> {
    let mut story = Story::begin(kind, "")?;
    let fault = Instant::now();
    started_on(&mut story, |data| Ok(std::fs::remove_dir_all(data)?))?;
    story.end_unnoticed(fault, "data wiped")?;
    let config = story.cluster.ctl_ok(&["show-config"])?;
    ensure!(config.contains("synchronous_mode: true"), "{config}");
    Ok(())
}

fn a_store_from_an_old_snapshot_loses_nothing(kind: StoreKind) -> Result<()> {
    let mut story = Story::begin(kind, "")?;
    let snapshot = tempfile::tempdir()?;
    let kept = snapshot.path().join("data");
    started_on(&mut story, |data| copy(data, &kept))?;
    story.cluster.wait_healthy(SOON)?;
    story.cluster.ctl_ok(&["switchover", "--force"])?;
    let second = story.cluster.wait_other_leader(story.leader, SOON)?;
    story.cluster.wait_healthy(SOON)?;
    story.cluster.wait_synchronous()?;
    story.writer.wait_write(SOON)?;
    started_on(&mut story, |data| {
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

/// In MiB: what etcd reserves for its log, twice 64, and more.
const ROOM: u32 = 192;

fn a_full_disk_loses_nothing_and_heals_with_room(kind: StoreKind) -> Result<()> {
    if !Disk::is_permitted("a_full_disk_loses_nothing_and_heals_with_room") {
        return Ok(());
    }
    let mut story = Story::begin(kind, "")?;
    let mut disk = None;
    started_on(&mut story, |data| {
        disk = Some(Disk::under(data, ROOM)?);
        Ok(())
    })?;
    let disk = disk.context("no disk")?;
    story.cluster.wait_healthy(SOON)?;
    disk.fill()?;
    let server = story.server()?;
    wait::until("the store has no room", SOON, || {
        ensure!(server.write().is_err(), "it takes a write");
        Ok(())
    })?;
    story.wait_read_only(Instant::now())?;
    disk.make_room()?;
    let server = story.server()?;
    let mut restarted = false;
    wait::until("the store has healed", SOON, || {
        if server.has_ended()? {
            // It may not start on a log whose last record had no room, until that is removed.
            if restarted && kind == StoreKind::ZooKeeper {
                disk.empty()?;
            }
            server.restart()?;
            restarted = true;
        }
        server.write()
    })?;
    story.end("disk full for longer than ttl")?;
    Ok(())
}

/// Nothing can be written, also not what the nodes say of themselves; but the lease lives on.
fn a_store_at_its_quota_keeps_its_leader(kind: StoreKind) -> Result<()> {
    let mut story = Story::begin(kind, "")?;
    let fault = Instant::now();
    story.server()?.etcd()?.set_no_space(true)?;
    ensure!(story.server()?.write().is_err(), "it takes a write");
    wait::pause(TTL + GRACE); // the fault itself has a length
    story.server()?.etcd()?.set_no_space(false)?;
    story.end_unnoticed(fault, "at its quota for longer than ttl")
}

/// Puts something else in the place of what the server keeps while it is down.
fn started_on(story: &mut Story, change: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let home = story.cluster.dir().to_owned();
    let server = story.server()?;
    let data = server.data_dir(&home)?;
    server.kill()?;
    change(&data).with_context(|| data.display().to_string())?;
    server.restart()?;
    server.wait_ready()
}

/// Copies a folder with everything, owners and all.
fn copy(from: &Path, to: &Path) -> Result<()> {
    let mut command = std::process::Command::new("cp");
    let status = command.arg("-a").arg(from).arg(to).status()?;
    ensure!(status.success(), "cp: {status}");
    Ok(())
}
