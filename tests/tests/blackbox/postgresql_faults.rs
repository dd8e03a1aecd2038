//! What becomes of a cluster when something under or beside PostgreSQL fails: its disk, its files,
//! its port, its passwords. What was acknowledged stays, the log says what is wrong and what to do
//! about it, and once the cause is gone the daemon goes on by itself.

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use patroni_tests::cluster::SOON;
use patroni_tests::node::Node;
use patroni_tests::proc::{self, Proc};
use patroni_tests::writer::Writer;
use patroni_tests::{Cluster, Disk, StoreKind, postgresql, wait};

const SYNCHRONOUS: &str = "    synchronous_mode: true\n";

/// Room for a server and some WAL, in MiB.
const ENOUGH: u32 = 300;

/// Two nodes, one of them with a disk of its own.
fn with_disk(node: usize, mib: u32, dynamic: &str) -> Result<Cluster> {
    let mut cluster = Cluster::prepare_with(StoreKind::Etcd3, 2, dynamic, |_| String::new())?;
    cluster.nodes[node].use_disk(mib)?;
    Ok(cluster)
}

fn start_writer(cluster: &Cluster, leader: usize) -> Result<Writer> {
    cluster.nodes[leader].sql("create table written (n bigint)")?;
    let ports = cluster.nodes.iter().map(|node| node.ports.postgres);
    let writer = Writer::start_every(Duration::from_millis(20), ports.collect());
    cluster.wait_synchronous()?;
    writer.wait_write(SOON)?;
    Ok(writer)
}

/// Writes so many MiB of WAL, or until the server has enough of it.
fn write_wal(node: &Node, mib: usize) -> Result<()> {
    for _ in 0..mib {
        node.sql("select pg_logical_emit_message(false, '', repeat('x', 1048000))")?;
    }
    Ok(())
}

#[test]
fn a_primary_with_a_full_disk_hands_over() -> Result<()> {
    if !Disk::is_permitted("a_primary_with_a_full_disk_hands_over") {
        return Ok(());
    }
    let mut cluster = with_disk(0, ENOUGH, SYNCHRONOUS)?;
    cluster.bootstrap()?;
    let old = cluster.leader()?;
    let writer = start_writer(&cluster, old)?;
    let from = cluster.nodes[old].log().len();
    cluster.nodes[old].disk().fill()?;
    let died = wait::until("the server has no room for WAL", SOON, || {
        ensure!(write_wal(&cluster.nodes[old], 10).is_err(), "it has");
        Ok(Instant::now())
    })?;
    let new = cluster.wait_other_leader(old, SOON)?;
    println!(
        "full disk: another leader after {:.1} s",
        died.elapsed().as_secs_f64()
    );
    writer.wait_write(SOON)?;
    cluster.nodes[old].wait_log(from, "PostgreSQL cannot write: the file system of", SOON)?;
    cluster.nodes[old].disk().make_room()?;
    // The last record of the full disk was cut where its WAL file ended. A server that starts there
    // waits until the WAL of the new primary gets as far, so the crash recovery that had no room is
    // made first, and the rest is rewound.
    ensure!(cluster.wait_healthy(SOON)? == new);
    writer.check_nothing_lost(cluster.nodes[new].ports.postgres)?;
    Ok(())
}

#[test]
fn a_standby_with_a_full_disk_waits_for_room() -> Result<()> {
    if !Disk::is_permitted("a_standby_with_a_full_disk_waits_for_room") {
        return Ok(());
    }
    let mut cluster = with_disk(1, ENOUGH, "")?;
    cluster.bootstrap()?;
    let (leader, standby) = (0, &cluster.nodes[1]);
    let from = standby.log().len();
    standby.disk().fill()?;
    cluster.nodes[leader].sql("create table t (n int)")?;
    wait::until("the standby has no room for WAL", SOON, || {
        write_wal(&cluster.nodes[leader], 10)?;
        ensure!(standby.is("replica").is_err(), "it streams");
        Ok(())
    })?;
    cluster.nodes[leader].sql("insert into t values (1)")?;
    standby.wait_log(from, "PostgreSQL cannot write: the file system of", SOON)?;
    standby.disk().make_room()?;
    ensure!(cluster.wait_healthy(SOON)? == leader);
    wait::until("the row on the standby", SOON, || {
        ensure!(standby.sql("select n from t")? == ["1"]);
        Ok(())
    })
}

#[test]
fn a_base_backup_onto_a_full_disk_is_tried_until_there_is_room() -> Result<()> {
    if !Disk::is_permitted("a_base_backup_onto_a_full_disk_is_tried_until_there_is_room") {
        return Ok(());
    }
    let mut cluster = with_disk(1, 20, "")?;
    cluster.nodes[0].start()?;
    cluster.wait_leader(SOON)?;
    cluster.nodes[1].start()?;
    let copy = &cluster.nodes[1];
    copy.wait_log(0, "failed to bootstrap from leader", SOON)?;
    copy.wait_log(0, "No space left on device", Duration::from_secs(1))?;
    wait::until("nothing is left behind", SOON, || {
        ensure!(!copy.data_dir().exists());
        Ok(())
    })?;
    copy.wait_log(
        0,
        "the copy cannot be made: the file system of",
        Duration::from_secs(5),
    )?;
    copy.disk().resize(ENOUGH)?;
    cluster.wait_healthy(SOON)?;
    Ok(())
}

#[test]
fn a_base_backup_that_is_cut_half_way_is_made_anew() -> Result<()> {
    let mut cluster = Cluster::prepare(StoreKind::Etcd3, 2)?;
    cluster.nodes[1].change_config(
        "  authentication:",
        "  basebackup:\n    - max-rate: 10M\n    - checkpoint: fast\n  authentication:",
    )?;
    cluster.nodes[0].start()?;
    let leader = cluster.wait_leader(SOON)?;
    cluster.nodes[1].start()?;
    wait::until("half of a copy is cut", SOON, || {
        let cut = cluster.nodes[leader].sql(
            "select pg_terminate_backend(pid) from pg_stat_progress_basebackup \
             where backup_streamed * 2 > backup_total",
        )?;
        ensure!(cut == ["t"], "{cut:?}");
        Ok(())
    })?;
    cluster.nodes[1].wait_log(0, "Error when fetching backup", SOON)?;
    cluster.wait_healthy(SOON)?;
    ensure!(
        cluster.nodes[1]
            .log()
            .contains("replica has been created using basebackup")
    );
    Ok(())
}

/// Waits until a copy has come half way (a new cluster has some 20 MiB), and tells who sends it.
/// The sender of a copy that was cut may still be there.
fn wait_half_a_copy(leader: &Node, other_than: Option<&str>) -> Result<String> {
    let mut sender = String::new();
    wait::until("half of a copy", SOON, || {
        let half = leader.sql(
            "select pid from pg_stat_progress_basebackup where backup_streamed > 10 * 1024 * 1024",
        )?;
        let new = half.iter().find(|pid| Some(pid.as_str()) != other_than);
        sender.clone_from(new.context("none has")?);
        Ok(())
    })?;
    Ok(sender)
}

/// Ends the process whose number a file tells.
fn cut(pid_file: &Path) -> Result<()> {
    let pid = std::fs::read_to_string(pid_file)?.trim().parse()?;
    proc::signal(Pid::from_raw(pid), Signal::SIGKILL)
}

/// The first copy is cut alone, the second one together with its daemon, as a machine that loses
/// its power does it. What either left behind looks like data, and is never started.
#[test]
fn a_custom_copy_that_is_cut_half_way_is_made_anew() -> Result<()> {
    let mut cluster = Cluster::prepare(StoreKind::Etcd3, 2)?;
    let copier = cluster.nodes[1].data_dir().with_file_name("copier");
    let script = copier.with_extension("sh");
    let program = postgresql::program("pg_basebackup");
    std::fs::write(
        &script,
        format!(
            "#!/bin/sh\nset -e\nfor word in \"$@\"; do case $word in\n\
             --datadir=*) data=${{word#*=}};;\n--connstring=*) from=${{word#*=}};;\nesac; done\n\
             echo $$ > {pid}\nexec {program} -D \"$data\" -d \"$from\" -c fast -r 4M\n",
            pid = copier.display(),
            program = program.display(),
        ),
    )?;
    set_mode(&script, 0o755)?;
    cluster.nodes[1].change_config(
        "  authentication:",
        &format!(
            "  create_replica_methods: [own]\n  own:\n    command: {}\n  authentication:",
            script.display()
        ),
    )?;
    cluster.nodes[0].start()?;
    let leader = cluster.wait_leader(SOON)?;
    cluster.nodes[1].start()?;
    let first = wait_half_a_copy(&cluster.nodes[leader], None)?;
    cut(&copier)?;
    cluster.nodes[1].wait_log(0, "Error creating replica using method own", SOON)?;
    wait_half_a_copy(&cluster.nodes[leader], Some(&first))?;
    cluster.nodes[1].signal(Signal::SIGSTOP);
    cut(&copier)?;
    cluster.nodes[1].kill_daemon();
    ensure!(cluster.nodes[1].data_dir().join("PG_VERSION").exists());
    let from = cluster.nodes[1].log().len();
    cluster.nodes[1].start()?;
    cluster.wait_healthy(SOON)?;
    cluster.nodes[1].wait_log(from, "replica has been created using own", SOON)?;
    Ok(())
}

/// Does something to the files of a standby while nobody uses them.
fn meanwhile(node: &mut Node, act: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    node.signal(Signal::SIGSTOP);
    node.kill_server();
    act(&node.data_dir())?;
    node.signal(Signal::SIGCONT);
    Ok(())
}

/// The fault is told, and ends with its cause.
fn is_told_and_passes(
    cluster: &mut Cluster,
    told: &[&str],
    fault: impl FnOnce(&Path) -> Result<()>,
    undo: impl FnOnce(&Path) -> Result<()>,
) -> Result<()> {
    let from = cluster.nodes[1].log().len();
    meanwhile(&mut cluster.nodes[1], fault)?;
    for text in told {
        cluster.nodes[1].wait_log(from, text, SOON)?;
    }
    undo(&cluster.nodes[1].data_dir())?;
    ensure!(cluster.wait_healthy(SOON)? == 0, "another leader");
    Ok(())
}

fn set_mode(path: &Path, mode: u32) -> Result<()> {
    Ok(std::fs::set_permissions(
        path,
        Permissions::from_mode(mode),
    )?)
}

#[test]
fn a_data_directory_of_the_wrong_owner_or_mode_is_named() -> Result<()> {
    let mut cluster = Cluster::start(StoreKind::Etcd3, 2)?;
    is_told_and_passes(
        &mut cluster,
        &["has permissions 0777"],
        |data| set_mode(data, 0o777),
        |data| set_mode(data, 0o700),
    )?;
    is_told_and_passes(
        &mut cluster,
        &["data directory is not accessible: Permission denied"],
        |data| set_mode(data, 0),
        |data| set_mode(data, 0o700),
    )?;
    if nix::unistd::Uid::effective().is_root() {
        is_told_and_passes(
            &mut cluster,
            &["belongs to"],
            |data| {
                set_mode(data, 0o755)?;
                Ok(chown(data, Some(0), Some(0))?)
            },
            |data| {
                set_mode(data, 0o700)?;
                proc::give_to_runner(data)
            },
        )?;
    }
    Ok(())
}

#[test]
fn a_leader_whose_data_directory_is_closed_hands_over() -> Result<()> {
    let mut cluster = Cluster::prepare_with(StoreKind::Etcd3, 2, SYNCHRONOUS, |_| String::new())?;
    cluster.bootstrap()?;
    let old = cluster.leader()?;
    let writer = start_writer(&cluster, old)?;
    let from = cluster.nodes[old].log().len();
    let data = cluster.nodes[old].data_dir();
    set_mode(&data, 0)?;
    let new = cluster.wait_other_leader(old, SOON)?;
    writer.wait_write(SOON)?;
    let told = "released leader key voluntarily as data dir not accessible and currently leader";
    cluster.nodes[old].wait_log(from, told, SOON)?;
    let told = "data directory is not accessible: Permission denied";
    cluster.nodes[old].wait_log(from, told, SOON)?;
    set_mode(&data, 0o700)?;
    ensure!(cluster.wait_healthy(SOON)? == new);
    writer.check_nothing_lost(cluster.nodes[new].ports.postgres)?;
    Ok(())
}

#[test]
fn a_read_only_data_directory_is_named() -> Result<()> {
    if !Disk::is_permitted("a_read_only_data_directory_is_named") {
        return Ok(());
    }
    let mut cluster = with_disk(1, ENOUGH, "")?;
    cluster.bootstrap()?;
    let from = cluster.nodes[1].log().len();
    cluster.nodes[1].signal(Signal::SIGSTOP);
    cluster.nodes[1].kill_server();
    cluster.nodes[1].disk().set_read_only(true)?;
    cluster.nodes[1].signal(Signal::SIGCONT);
    cluster.nodes[1].wait_log(from, "PostgreSQL was not started: could not write", SOON)?;
    let told = "is read-only: mount it writable again";
    cluster.nodes[1].wait_log(from, told, Duration::from_secs(5))?;
    cluster.nodes[1].disk().set_read_only(false)?;
    ensure!(cluster.wait_healthy(SOON)? == 0, "another leader");
    Ok(())
}

#[test]
fn missing_files_are_named() -> Result<()> {
    let mut cluster = Cluster::start(StoreKind::Etcd3, 2)?;
    for name in ["PG_VERSION", "pg_wal", "global/pg_control"] {
        is_told_and_passes(
            &mut cluster,
            &[&format!("/{name} is missing")],
            |data| Ok(std::fs::rename(data.join(name), data.join("../kept"))?),
            |data| Ok(std::fs::rename(data.join("../kept"), data.join(name))?),
        )?;
    }
    Ok(())
}

#[test]
fn a_leader_whose_wal_is_deleted_hands_over() -> Result<()> {
    // A server of version 18 whose crash recovery fails does not end: it lets nobody in any more.
    let dynamic = format!("{SYNCHRONOUS}    primary_start_timeout: 20\n");
    let mut cluster = Cluster::prepare_with(StoreKind::Etcd3, 2, &dynamic, |_| String::new())?;
    cluster.bootstrap()?;
    let old = cluster.leader()?;
    let writer = start_writer(&cluster, old)?;
    let from = cluster.nodes[old].log().len();
    std::fs::remove_dir_all(cluster.nodes[old].data_dir().join("pg_wal"))?;
    wait::until("the server notices", SOON, || {
        ensure!(write_wal(&cluster.nodes[old], 10).is_err(), "it does not");
        Ok(())
    })?;
    let new = cluster.wait_other_leader(old, SOON)?;
    writer.wait_write(SOON)?;
    cluster.nodes[old].wait_log(from, "/pg_wal is missing: ", SOON)?;
    // What the message advises.
    let name = cluster.nodes[old].name.clone();
    cluster.ctl_ok(&["reinit", "demo", &name, "--force", "--wait"])?;
    ensure!(cluster.wait_healthy(SOON)? == new);
    writer.check_nothing_lost(cluster.nodes[new].ports.postgres)?;
    Ok(())
}

/// Makes a database cluster that has nothing to do with this one.
fn make_foreign(dir: &Path) -> Result<()> {
    let output = proc::command(postgresql::program("initdb"))
        .args(["-D", &dir.display().to_string(), "-U", "postgres"])
        .args(["--auth=trust", "--no-sync", "--encoding=UTF8"])
        .output()?;
    ensure!(output.status.success(), "initdb: {output:?}");
    Ok(())
}

#[test]
fn data_of_another_cluster_are_refused_and_left_alone() -> Result<()> {
    let mut cluster = Cluster::start(StoreKind::Etcd3, 2)?;
    let node = &mut cluster.nodes[1];
    ensure!(node.terminate()? == 0);
    let (data, kept) = (node.data_dir(), node.dir.join("kept"));
    std::fs::rename(&data, &kept)?;
    make_foreign(&data)?;
    let control = std::fs::read(data.join("global/pg_control"))?;
    let from = node.log().len();
    node.start()?;
    let code = node.daemon().wait_exit(SOON)?;
    ensure!(code == 1, "exit code {code}");
    node.wait_log(
        from,
        "system ID mismatch, node node2 belongs to a different cluster",
        SOON,
    )?;
    ensure!(
        control == std::fs::read(data.join("global/pg_control"))?,
        "it was started"
    );
    std::fs::rename(&data, node.dir.join("foreign"))?;
    std::fs::rename(&kept, &data)?;
    node.start()?;
    ensure!(cluster.wait_healthy(SOON)? == 0);
    Ok(())
}

/// The port is taken by a server that lets everybody in: nothing must happen to it, and nobody
/// must take it for ours.
#[test]
fn a_foreign_server_on_the_port_is_named_and_left_alone() -> Result<()> {
    let mut cluster = Cluster::start(StoreKind::Etcd3, 2)?;
    cluster.nodes[0].sql("create table t (n int)")?;
    let foreign = cluster.nodes[1].dir.join("foreign");
    make_foreign(&foreign)?;
    let port = cluster.nodes[1].ports.postgres;
    let from = cluster.nodes[1].log().len();
    cluster.nodes[1].signal(Signal::SIGSTOP);
    cluster.nodes[1].kill_server();
    let mut command = proc::command(postgresql::program("postgres"));
    command
        .args([
            "-D",
            &foreign.display().to_string(),
            "-p",
            &port.to_string(),
        ])
        .args(["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"])
        .args([
            "-c",
            &format!("unix_socket_directories={}", foreign.display()),
        ]);
    let mut server = Proc::start(
        "foreign",
        command,
        &cluster.nodes[1].dir.join("foreign.log"),
    )?;
    wait::until("the foreign server", SOON, || {
        cluster.nodes[1].sql("select 1")
    })?;
    cluster.nodes[1].signal(Signal::SIGCONT);
    let told = format!("port {port} of 127.0.0.1 is taken by another process");
    cluster.nodes[1].wait_log(from, &told, SOON)?;
    cluster.nodes[1].wait_log(from, "postmaster is not running", SOON)?;
    cluster.nodes[1].wait_log(from, "failed to start postgres", SOON)?;
    ensure!(
        cluster.nodes[1].is("replica").is_err(),
        "it was taken for ours"
    );
    ensure!(server.exit_code()?.is_none(), "it was ended");
    let roles = cluster.nodes[1].sql("select count(*) from pg_roles where rolname !~ '^pg_'")?;
    ensure!(roles == ["1"], "something was written to it: {roles:?}");
    proc::signal(server.pid(), Signal::SIGINT)?;
    server.wait_exit(SOON)?;
    ensure!(cluster.wait_healthy(SOON)? == 0);
    Ok(())
}

/// Two rounds of the loop of each node, in which nobody restarts or promotes a server.
fn nothing_is_done(cluster: &Cluster) -> Result<()> {
    let postmasters = || -> Result<Vec<_>> { cluster.nodes.iter().map(Node::postmaster).collect() };
    let before = postmasters()?;
    let rounds = |node: &Node| node.log().matches("no action. I am").count();
    let since: Vec<usize> = cluster.nodes.iter().map(rounds).collect();
    wait::until("two rounds", SOON, || {
        let now: Vec<usize> = cluster.nodes.iter().map(rounds).collect();
        let all = now.iter().zip(&since).all(|(now, since)| *now >= since + 2);
        ensure!(all, "{since:?}, {now:?}");
        Ok(())
    })?;
    ensure!(postmasters()? == before, "a server was restarted");
    Ok(())
}

/// Nobody is let in any more: the sessions of the daemon end, so that it has to come in anew.
fn end_sessions(node: &Node) -> Result<()> {
    wait::until("the doors are closed", SOON, || {
        ensure!(node.sql("select 1").is_err(), "not yet");
        Ok(())
    })?;
    for pid in node.server_processes(" 127.0.0.1(") {
        // One of them may have ended by itself.
        let _ = proc::signal(pid, Signal::SIGTERM);
    }
    Ok(())
}

/// Both daemons are locked out and say so; then their files are corrected and they reload.
fn is_locked_out_for_a_while(
    cluster: &mut Cluster,
    from: &[usize],
    told: &str,
    change: (&str, &str),
) -> Result<()> {
    let sentence = format!("PostgreSQL does not let the daemon in ({told}");
    cluster.nodes.iter().try_for_each(end_sessions)?;
    for (node, from) in cluster.nodes.iter().zip(from) {
        node.wait_log(*from, &sentence, SOON)?;
    }
    nothing_is_done(cluster)?;
    for (node, from) in cluster.nodes.iter_mut().zip(from) {
        let times = node.log()[*from..].matches(&sentence).count();
        ensure!(times == 1, "{}: said {times} times", node.name);
        node.change_config(change.0, change.1)?;
        node.signal(Signal::SIGHUP);
    }
    ensure!(cluster.wait_healthy(SOON)? == 0, "another leader");
    Ok(())
}

#[test]
fn a_daemon_that_is_locked_out_says_so_and_does_nothing() -> Result<()> {
    let mut cluster = Cluster::start(StoreKind::Etcd3, 2)?;
    let timeline = cluster.nodes[0].status()?["timeline"].clone();
    let lengths = |cluster: &Cluster| -> Vec<usize> {
        cluster.nodes.iter().map(|node| node.log().len()).collect()
    };

    let from = lengths(&cluster);
    let line = "    - host all all 127.0.0.1/32 scram-sha-256\n";
    let locked = format!("    - host all postgres 127.0.0.1/32 reject\n{line}");
    for node in &mut cluster.nodes {
        node.change_config(line, &locked)?;
        node.signal(Signal::SIGHUP);
    }
    let told = "pg_hba.conf rejects connection";
    is_locked_out_for_a_while(&mut cluster, &from, told, (&locked, line))?;

    let from = lengths(&cluster);
    cluster.nodes[0].sql("alter role postgres password 'changed'")?;
    let told = "password authentication failed for user \"postgres\"";
    is_locked_out_for_a_while(&mut cluster, &from, told, ("supersecret", "changed"))?;

    let now = cluster.nodes[0].status()?["timeline"].clone();
    ensure!(now == timeline, "somebody was promoted");
    for node in &cluster.nodes {
        ensure!(!node.log().contains("supersecret"), "a password was logged");
    }
    Ok(())
}

#[test]
fn a_promotion_that_hangs_is_told_and_can_be_ended() -> Result<()> {
    let cluster = Cluster::start(StoreKind::Etcd3, 3)?;
    cluster.nodes[0].sql("create table t (n int); insert into t values (1)")?;
    let name = cluster.nodes[1].name.clone();
    for node in &cluster.nodes[1..] {
        wait::until("the row", SOON, || {
            ensure!(node.sql("select n from t")? == ["1"]);
            Ok(())
        })?;
    }
    let hanging = cluster.nodes[1].server_process("startup")?;
    let from = cluster.nodes[1].log().len();
    proc::signal(hanging, Signal::SIGSTOP)?;
    cluster.ctl(&["failover", "--candidate", &name, "--force"])?;
    cluster.nodes[1].wait_log(from, "promote itself", SOON)?;
    // What the message advises.
    proc::signal(hanging, Signal::SIGKILL)?;
    let leader = cluster.wait_healthy(SOON)?;
    ensure!(cluster.nodes[leader].sql("select n from t")? == ["1"]);
    Ok(())
}

#[test]
fn an_archive_that_fails_for_long_holds_nothing_up() -> Result<()> {
    let mut cluster = Cluster::prepare_with(StoreKind::Etcd3, 2, SYNCHRONOUS, |_| String::new())?;
    let archive = cluster.dir().join("archive");
    std::fs::create_dir(&archive)?;
    proc::give_to_runner(&archive)?;
    let command = format!("test -e {0}/open && cp %p {0}/%f", archive.display());
    for node in &cluster.nodes {
        node.change_config(
            "    logging_collector: 'off'\n",
            &format!(
                "    logging_collector: 'off'\n    archive_mode: 'on'\n    archive_command: '{command}'\n"
            ),
        )?;
    }
    cluster.bootstrap()?;
    let old = cluster.leader()?;
    let writer = start_writer(&cluster, old)?;
    for _ in 0..8 {
        writer.wait_write(SOON)?;
        cluster.nodes[old].sql("select pg_switch_wal()")?;
    }
    wait::until("archiving fails", SOON, || {
        let failed = cluster.nodes[old].sql("select failed_count > 2 from pg_stat_archiver")?;
        ensure!(failed == ["t"], "{failed:?}");
        Ok(())
    })?;
    let from = cluster.nodes[old].log().len();
    let begun = Instant::now();
    cluster.ctl_ok(&["switchover", "--force"])?;
    let new = cluster.wait_other_leader(old, SOON)?;
    println!(
        "switchover with a failing archive: {:.1} s",
        begun.elapsed().as_secs_f64()
    );
    ensure!(cluster.wait_healthy(SOON)? == new);
    cluster.nodes[old].wait_log(
        from,
        "were not archived while this server was primary",
        SOON,
    )?;
    // The archive works again: what the new primary wrote goes there, oldest first.
    std::fs::write(archive.join("open"), "")?;
    writer.wait_write(SOON)?;
    let last = cluster.nodes[new].sql("select pg_walfile_name(pg_switch_wal())")?;
    wait::until("the WAL of the new primary in the archive", SOON, || {
        ensure!(archive.join(&last[0]).exists());
        Ok(())
    })?;
    writer.check_nothing_lost(cluster.nodes[new].ports.postgres)?;
    Ok(())
}

/// The daemon and its `pg_rewind` are killed in the middle of the work. What they leave is no
/// database, although it has every file of one.
#[test]
fn a_rewind_that_is_killed_half_way_is_made_again() -> Result<()> {
    let mut cluster = Cluster::prepare(StoreKind::Etcd3, 2)?;
    let dir = cluster.nodes[0].dir.clone();
    let tool = dir.join("pg_rewind");
    let (begun, end) = (dir.join("begun"), dir.join("end"));
    // The first one stops before its end, with the control file not yet written.
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in *target-pgdata*|*-D*) ;; *) exec {0} \"$@\";; esac\n\
         [ -e {1} ] && exec {0} \"$@\"\n\
         touch {1}\necho 'pg_rewind: need to copy 51 MB' >&2\n\
         while [ ! -e {2} ]; do sleep 0.1; done\nexit 1\n",
        postgresql::program("pg_rewind").display(),
        begun.display(),
        end.display(),
    );
    std::fs::write(&tool, script)?;
    set_mode(&tool, 0o755)?;
    let names = format!(
        "  bin_name:\n    pg_rewind: {}\n  authentication:",
        tool.display()
    );
    cluster.nodes[0].change_config("  authentication:", &names)?;
    cluster.bootstrap()?;
    cluster.nodes[0].sql("create table t (n int); checkpoint")?;
    wait::until("the table on the standby", SOON, || {
        cluster.nodes[1].sql("select from t")
    })?;
    for sender in cluster.nodes[0].server_processes("walsender") {
        proc::signal(sender, Signal::SIGSTOP)?;
    }
    cluster.nodes[0].sql("insert into t select generate_series(1, 10)")?;
    cluster.nodes[0].kill_all();
    cluster.wait_other_leader(0, SOON)?;
    wait::until("writes on the new leader", SOON, || {
        cluster.nodes[1].sql("insert into t values (77)")
    })?;
    cluster.nodes[0].start()?;
    wait::until("the rewind has begun", SOON, || {
        ensure!(begun.exists());
        Ok(())
    })?;
    cluster.nodes[0].wait_log(0, "running pg_rewind", SOON)?;
    cluster.nodes[0].kill_daemon();
    std::fs::write(&end, "")?;
    let from = cluster.nodes[0].log().len();
    cluster.nodes[0].start()?;
    cluster.nodes[0].wait_log(from, "A rewind did not come to its end", SOON)?;
    ensure!(cluster.wait_healthy(SOON)? == 1);
    cluster.nodes[0].wait_log(from, "pg_rewind exit code=0", Duration::from_secs(5))?;
    wait::until("the new leader's row on the old one", SOON, || {
        let rows = cluster.nodes[0].sql("select n from t order by n")?;
        ensure!(rows == ["77"], "{rows:?}");
        Ok(())
    })
}
