//! Divergence on real servers.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use nix::sys::signal::Signal;
use nix::unistd::Pid;
use patroni_config::file::Postgresql;
use patroni_core::server::{ControlData, ControlState};
use patroni_core::{Lsn, Timeline};
use patroni_postgres::bootstrap::{
    CloneRequest, CloneSource, ScriptConnection, clone_replica, post_init,
};
use patroni_postgres::rewind::{
    LeaderReadiness, NotYet, Parting, PositionSource, RewindOutcome, RewindRequest, can_execute,
    checkpoint_end, inspect_leader, is_half_rewound, local_position, run,
};
use patroni_postgres::{Binaries, Cancel, single_user, waldump};
use patroni_tests::{postgresql, proc};

use crate::support::{LIMIT, Plain, Server, eventually, server_test};

fn control(server: &Server) -> ControlData {
    let timeline = |item: &str| Timeline::new(server.control(item).parse().unwrap());
    ControlData {
        state: ControlState::parse(&server.control("Database cluster state")),
        checkpoint: server.control("Latest checkpoint location").parse().ok(),
        checkpoint_timeline: timeline("Latest checkpoint's TimeLineID"),
        min_recovery: server
            .control("Minimum recovery ending location")
            .parse()
            .ok(),
        min_recovery_timeline: timeline("Min recovery ending loc's timeline"),
        lines: Vec::new(),
    }
}

/// A primary with an archive, and a standby that follows it.
async fn pair() -> (Server, Server) {
    let old = Server::running("wal_keep_size = 0\nmin_wal_size = 32MB").await;
    let archive = old.home().join("archive");
    fs::create_dir(&archive).unwrap();
    old.configure(&format!(
        "archive_mode = on\narchive_command = 'cp \"%p\" \"{0}/%f\"'\n\
         restore_command = 'cp {0}/%f \"%p\"'",
        archive.display()
    ));
    let hba = old.data_dir().join("pg_hba.conf");
    let text = fs::read_to_string(&hba).unwrap();
    fs::write(
        &hba,
        format!("{text}\nhost replication all 127.0.0.1/32 scram-sha-256\n"),
    )
    .unwrap();
    old.stop("fast");
    old.start();
    let client = old.connect().await;
    post_init(
        &client,
        &old.settings,
        &ScriptConnection::default(),
        &Cancel::new(),
    )
    .await
    .unwrap();
    client
        .batch_execute("CREATE TABLE t (who text)")
        .await
        .unwrap();

    let mut new = Server::new();
    new.settings.basebackup = serde_json::json!([{"checkpoint": "fast"}]);
    follow(&new, &old).await;
    (old, new)
}

/// Makes one server a copy of another, following it.
async fn follow(new: &Server, old: &Server) {
    let source = CloneSource {
        conninfo: old.conninfo(&old.settings.replication),
        pgpass: Some(new.pgpass_for(old, &old.settings.replication)),
        ..CloneSource::default()
    };
    let request = CloneRequest {
        settings: &new.settings,
        binaries: &new.binaries,
        version: postgresql::version(),
        source: Some(&source),
        methods: &[],
        directory: Plain::of(new),
    };
    clone_replica(&request, &Cancel::new(), |_| {})
        .await
        .unwrap();
    become_standby(new, old);
    new.start();
}

fn become_standby(new: &Server, old: &Server) {
    let pgpass = new.pgpass_for(old, &old.settings.replication);
    let conninfo = old.conninfo(&old.settings.replication);
    let conninfo = format!("{conninfo} passfile={}", pgpass.display());
    let conninfo = conninfo.replace('\\', r"\\").replace('\'', "''");
    new.configure(&format!(
        "primary_conninfo = '{conninfo}'\nrestore_command = ''"
    ));
    fs::write(new.data_dir().join("standby.signal"), "").unwrap();
}

/// Promotes the second and lets both write. Returns where the second branched off.
async fn diverge(old: &Server, new: &Server) -> Lsn {
    let (on_old, on_new) = (old.connect().await, new.connect().await);
    let at = on_old.text("SELECT pg_current_wal_lsn()::text").await;
    eventually("the standby has caught up", || {
        let on_new = &on_new;
        let query = format!("SELECT (pg_last_wal_replay_lsn() >= '{at}')::text");
        async move { on_new.text(&query).await == "true" }
    })
    .await;
    new.pg_ctl(&["-w", "promote"]);
    on_new
        .batch_execute("INSERT INTO t VALUES ('new'); CHECKPOINT")
        .await
        .unwrap();
    // Enough segments that the one with the fork is gone from the old primary.
    on_old
        .batch_execute("INSERT INTO t VALUES ('old')")
        .await
        .unwrap();
    for _ in 0..4 {
        on_old
            .batch_execute("INSERT INTO t VALUES ('more')")
            .await
            .unwrap();
        on_old
            .batch_execute("SELECT pg_switch_wal()")
            .await
            .unwrap();
        on_old.batch_execute("CHECKPOINT").await.unwrap();
    }
    let history = new.data_dir().join("pg_wal/00000002.history");
    let line = fs::read_to_string(history).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

async fn rewind(
    old: &Server,
    new: &Server,
    version: u32,
    readiness: LeaderReadiness,
) -> RewindOutcome {
    rewind_parted(old, new, version, readiness, Parting::Plain).await
}

async fn rewind_parted(
    old: &Server,
    new: &Server,
    version: u32,
    readiness: LeaderReadiness,
    parting: Parting,
) -> RewindOutcome {
    let superuser = &new.settings.superuser;
    let request = RewindRequest {
        settings: &old.settings,
        binaries: &old.binaries,
        version,
        leader: "new",
        target: &new.target(superuser),
        conninfo: &new.conninfo(superuser),
        pgpass: Some(old.pgpass_for(new, superuser)),
        readiness,
        parting,
        limit: LIMIT,
    };
    run(&request, &Cancel::new()).await
}

/// Starts the rewound server as a standby and sees the other history on it.
async fn follows_after_all(old: &Server, new: &Server) {
    become_standby(old, new);
    old.start();
    let client = old.connect().await;
    eventually("it streams the new timeline", || async {
        client
            .text("SELECT count(*)::text FROM pg_stat_wal_receiver WHERE status = 'streaming'")
            .await
            == "1"
    })
    .await;
    let rows = client
        .text("SELECT coalesce(string_agg(who, ' ' ORDER BY who), '') FROM t")
        .await;
    assert_eq!(rows, "new");
}

server_test! {
async fn a_diverged_primary_is_rewound() {
    let (old, new) = pair().await;
    let fork = diverge(&old, &new).await;
    // The last file is read below: were it archived at once, the shutdown checkpoint would take
    // it away.
    old.configure("archive_command = ''");
    old.pg_ctl(&["reload"]);
    old.stop("fast");
    assert!(can_execute(&old.binaries).await);

    let replication = new.target(&new.settings.replication);
    let leader = inspect_leader(&new.target(&new.settings.superuser), &replication, LIMIT).await.unwrap();
    assert!(!leader.in_recovery);
    assert_eq!(leader.timeline.number(), 2);
    let history = leader.history.unwrap();
    assert_eq!((history[0].0, history[0].1), (Timeline::FIRST, fork));

    let control = control(&old);
    let here = local_position(PositionSource::Stopped(&control), LIMIT).await.unwrap();
    assert!(!here.in_recovery && here.timeline == Timeline::FIRST && here.lsn > fork);
    let end = checkpoint_end(&old.binaries, old.data_dir(), here.timeline, here.lsn).await.unwrap();
    assert!(end > here.lsn);
    let point = waldump::shutdown_point(&old.binaries, old.data_dir(), here.timeline, here.lsn).await;
    assert_eq!(point.checkpoint, here.lsn);
    assert!(point.previous < here.lsn, "archiving switches the file before the checkpoint");

    // Nothing happens as long as the leader's control file is behind.
    let waiting = rewind(&old, &new, postgresql::version(), LeaderReadiness::Waiting).await;
    assert_eq!(waiting, RewindOutcome::NotYet(NotYet::Waiting));
    let ask = LeaderReadiness::Unknown { may_checkpoint: false };
    assert_eq!(rewind(&old, &new, postgresql::version(), ask).await, RewindOutcome::Success);
    follows_after_all(&old, &new).await;
    let target = old.target(&new.settings.replication);
    let source = PositionSource::Running { target: &target, replayed: Lsn::new(7) };
    let here = local_position(source, LIMIT).await.unwrap();
    assert!(here.in_recovery && here.timeline.number() == 2 && here.lsn == Lsn::new(7));
}
}

/// Fills the page that WAL is written on, so that the next record begins behind the header of the
/// next page, where nothing is yet.
async fn fill_page(server: &Server) {
    const PAGE: u64 = 8192;
    const HEADER: u64 = 24;
    let client = server.connect().await;
    let next = async || {
        let query = "SELECT pg_current_wal_insert_lsn()::text";
        let next: Lsn = client.text(query).await.parse().unwrap();
        next.bytes()
    };
    let emit = async |length: u64| {
        let query =
            format!("SELECT pg_logical_emit_message(false, '', repeat('x', {length}))::text");
        client.text(&query).await;
    };
    // What a record has around its content, learnt from one that stays on its page.
    let mut around = 64;
    for _ in 0..100 {
        let at = next().await;
        let length = (PAGE - at % PAGE).saturating_sub(around);
        if length < 300 {
            emit(300).await;
            continue;
        }
        emit(length).await;
        let then = next().await;
        if then % PAGE == HEADER {
            return;
        }
        around = if then / PAGE == at / PAGE {
            then - at - length
        } else {
            around + 8
        };
    }
    panic!("something else writes all the time");
}

server_test! {
/// The data were consistent only behind the header of a page that the leader, on which nobody
/// writes, had not begun yet: the rewound server let nobody in.
async fn an_idle_leader_does_not_keep_the_rewound_server_waiting() {
    let (old, new) = pair().await;
    diverge(&old, &new).await;
    old.stop("fast");
    let client = new.connect().await;
    // What would help by chance: hints that readers leave, and the background writer's record of the
    // running transactions.
    client.batch_execute("VACUUM FREEZE").await.unwrap();
    client.batch_execute("CHECKPOINT").await.unwrap();
    let query = "SELECT pid::text FROM pg_stat_activity WHERE backend_type = 'background writer'";
    let writer = Pid::from_raw(client.text(query).await.parse().unwrap());
    new.configure("autovacuum = off");
    new.pg_ctl(&["reload"]);
    proc::signal(writer, Signal::SIGSTOP).unwrap();
    fill_page(&new).await;
    let ready = LeaderReadiness::Checkpointed;
    assert_eq!(rewind(&old, &new, postgresql::version(), ready).await, RewindOutcome::Success);
    let consistent: Lsn = old.control("Minimum recovery ending location").parse().unwrap();
    assert_eq!(consistent.bytes() % 8192, 24, "behind a header");
    eventually("the leader wrote", || {
        let query = format!("SELECT (pg_current_wal_flush_lsn() > '{consistent}')::text");
        let client = &client;
        async move { client.text(&query).await == "true" }
    })
    .await;
    follows_after_all(&old, &new).await;
    proc::signal(writer, Signal::SIGCONT).unwrap();
}
}

server_test! {
async fn another_timeline_of_the_same_number_is_rewound() {
    let (old, new) = pair().await;
    diverge(&old, &new).await;
    old.stop("fast");
    // Somebody promotes the old one by hand, and its archive does not tell of the other.
    old.configure(
        "restore_command = ''\nprimary_conninfo = ''\nrecovery_target_timeline = 'current'\n\
         archive_mode = off",
    );
    fs::write(old.data_dir().join("standby.signal"), "").unwrap();
    old.start();
    old.pg_ctl(&["-w", "promote"]);
    let client = old.connect().await;
    client.batch_execute("INSERT INTO t VALUES ('forked'); CHECKPOINT").await.unwrap();
    drop(client);
    old.stop("fast");
    let archive = old.home().join("archive");
    old.configure(&format!("restore_command = 'cp {}/%f \"%p\"'", archive.display()));

    // Taken for one timeline, nothing is done about it.
    let ready = LeaderReadiness::Checkpointed;
    assert_eq!(rewind(&old, &new, postgresql::version(), ready).await, RewindOutcome::Success);
    assert_eq!(old.control("Database cluster state"), "shut down");
    assert_eq!(old.control("Latest checkpoint's TimeLineID"), "2");

    let parted = rewind_parted(&old, &new, postgresql::version(), ready, Parting::SameNumber).await;
    assert_eq!(parted, RewindOutcome::Success);
    // The number that it had for a moment is not seen anywhere.
    let pg_wal = old.data_dir().join("pg_wal");
    let left = fs::read_dir(pg_wal).unwrap().flatten();
    let left: Vec<_> = left.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    assert!(left.iter().all(|name| !name.starts_with("00000003")), "{left:?}");
    assert!(!archive.join("00000003.history").exists());
    follows_after_all(&old, &new).await;
}
}

server_test! {
async fn missing_wal_is_fetched_where_pg_rewind_cannot() {
    let (old, new) = pair().await;
    let fork = diverge(&old, &new).await;
    old.stop("fast");
    let segment = format!("00000001{:08X}{:08X}", fork.bytes() >> 32, (fork.bytes() >> 24) & 0xFF);
    assert!(!old.data_dir().join("pg_wal").join(&segment).exists(), "{segment} is archived only");
    // As if it were version 12, whose pg_rewind knows no restore_command.
    let ask = LeaderReadiness::Unknown { may_checkpoint: true };
    assert_eq!(rewind(&old, &new, 120_000, ask).await, RewindOutcome::Success);
    follows_after_all(&old, &new).await;
}
}

server_test! {
async fn who_is_to_blame_for_a_failure_is_known() {
    let (old, new) = pair().await;
    diverge(&old, &new).await;
    old.stop("fast");
    old.configure("restore_command = ''");
    let ready = LeaderReadiness::Checkpointed;
    let failed = rewind(&old, &new, postgresql::version(), ready).await;
    assert_eq!(failed, RewindOutcome::Failed { leader_healthy: true });
    new.stop("fast");
    let unreachable = rewind(&old, &new, postgresql::version(), ready).await;
    assert_eq!(unreachable, RewindOutcome::NotYet(NotYet::NotAccessible));
}
}

server_test! {
async fn a_rewind_needs_no_place_beside_the_data_directory() {
    let (old, new) = pair().await;
    diverge(&old, &new).await;
    old.stop("fast");
    let superuser = &new.settings.superuser;
    let request = RewindRequest {
        settings: &old.settings,
        binaries: &old.binaries,
        version: postgresql::version(),
        leader: "new",
        target: &new.target(superuser),
        conninfo: &new.conninfo(superuser),
        pgpass: Some(old.pgpass_for(&new, superuser)),
        readiness: LeaderReadiness::Checkpointed,
        parting: Parting::Plain,
        limit: LIMIT,
    };
    // As where the data directory is a mount point.
    fs::set_permissions(old.home(), PermissionsExt::from_mode(0o555)).unwrap();
    let outcome = run(&request, &Cancel::new()).await;
    fs::set_permissions(old.home(), PermissionsExt::from_mode(0o755)).unwrap();
    assert_eq!(outcome, RewindOutcome::Success);
    follows_after_all(&old, &new).await;
}
}

/// A stand-in for `pg_rewind` that says this and fails.
fn failing_tool(home: &Path, says: &str) -> Binaries {
    let dir = home.join("fake");
    fs::create_dir_all(&dir).unwrap();
    let tool = dir.join("pg_rewind");
    fs::write(&tool, format!("#!/bin/sh\necho '{says}' >&2\nexit 1\n")).unwrap();
    fs::set_permissions(&tool, PermissionsExt::from_mode(0o755)).unwrap();
    Binaries::new(&Postgresql {
        bin_dir: Some(dir),
        ..Postgresql::default()
    })
}

server_test! {
async fn what_a_rewind_left_half_way_is_known() {
    let (mut old, new) = pair().await;
    diverge(&old, &new).await;
    old.stop("fast");
    let ready = LeaderReadiness::Checkpointed;
    let early = failing_tool(old.home(), "could not connect to server");
    let real = std::mem::replace(&mut old.binaries, early);
    rewind(&old, &new, 120_000, ready).await;
    assert!(!is_half_rewound(old.data_dir()), "nothing was changed");
    old.binaries = failing_tool(old.home(), "need to copy 51 MB");
    let failed = rewind(&old, &new, 120_000, ready).await;
    assert_eq!(failed, RewindOutcome::Failed { leader_healthy: true });
    assert!(is_half_rewound(old.data_dir()));
    old.binaries = real;
    assert_eq!(rewind(&old, &new, 120_000, ready).await, RewindOutcome::Success);
    assert!(!is_half_rewound(old.data_dir()));
    follows_after_all(&old, &new).await;
}
}

server_test! {
async fn a_crashed_server_is_recovered_and_its_wal_archived() {
    let (old, _new) = pair().await;
    let archive = old.home().join("archive");
    let client = old.connect().await;
    client.batch_execute("ALTER SYSTEM SET archive_command = 'false'").await.unwrap();
    client.batch_execute("SELECT pg_reload_conf()").await.unwrap();
    eventually("archiving fails", || async { client.text("SHOW archive_command").await == "false" }).await;
    let wal = client.text("SELECT pg_walfile_name(pg_current_wal_insert_lsn())").await;
    client.batch_execute("INSERT INTO t VALUES ('old'); SELECT pg_switch_wal()").await.unwrap();
    let status = old.data_dir().join("pg_wal/archive_status");
    let ready = status.join(format!("{wal}.ready"));
    eventually("the file is ready", || async { ready.exists() }).await;
    drop(client);
    old.stop("immediate");
    assert_eq!(old.control("Database cluster state"), "in production");
    fs::write(old.data_dir().join("postgresql.auto.conf"), "").unwrap();
    assert!(!archive.join(&wal).exists());
    single_user::recover(&old.settings, &old.binaries, &Cancel::new()).await.unwrap();
    assert!(archive.join(&wal).exists());
    assert_eq!(old.control("Database cluster state"), "shut down");
    old.start();
    assert_eq!(old.connect().await.text("SELECT who FROM t").await, "old");
}
}
