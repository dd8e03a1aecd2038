//! The life of a real server under the supervisor.

#[path = "server/backup_tools.rs"]
#[expect(clippy::unwrap_used, reason = "tests may panic")]
mod backup_tools;
#[path = "server/custom.rs"]
#[expect(clippy::unwrap_used, reason = "tests may panic")]
mod custom;
#[expect(clippy::unwrap_used, reason = "a setup that fails ends its test")]
mod server;
#[path = "server/slots.rs"]
#[expect(clippy::unwrap_used, reason = "tests may panic")]
mod slots;

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use patroni_config::file::Postgresql;
use patroni_core::server::{Answer, ControlState, Process, RewindAbility};
use patroni_core::{Lsn, Role, State, Upstream};
use patroni_postgres::connection::{Endpoint, Session};
use patroni_postgres::{
    Ask, Cancel, Clock, CopyFrom, RecoveryChange, StopPreparation, StopRequest, Supervisor, Until,
};
use patroni_tests::{postgresql, proc};
use serde_json::json;
use server::{Server, as_postgres, ask, fast_stop, until};

#[test]
fn new_settings_reach_a_server_that_still_starts() {
    as_postgres("new_settings_reach_a_server_that_still_starts", async {
        let server = Server::init("a");
        let it = server.start(Role::Primary, Upstream::None).await;
        // A server that replays for hours is in this state.
        it.set_state(State::Starting);
        let mut settings = server.settings();
        settings
            .parameters
            .insert("log_min_messages".to_owned(), json!("error"));
        let report = it.apply_settings(settings, false).await;
        assert!(report.reloaded, "{report:?}");
        until("the setting is in effect", async || {
            ask(&it, "SHOW log_min_messages").await.as_deref() == Some("error")
        })
        .await;
    });
}

#[test]
fn a_copy_tells_how_far_it_is() {
    as_postgres("a_copy_tells_how_far_it_is", async {
        let source = Server::init("a");
        let _primary = source.start(Role::Primary, Upstream::None).await;
        let server = Server::empty("b");
        let mut settings = server.settings();
        // Slow enough to be seen.
        settings.basebackup = json!([{"max-rate": "8M"}, {"checkpoint": "fast"}]);
        let it = Supervisor::adopt(settings, Clock::start()).await.unwrap();
        let from = CopyFrom::Member {
            name: "a".to_owned(),
            conn_url: format!("postgres://127.0.0.1:{}/postgres", source.port),
        };
        assert_eq!(it.copy_progress(), None);
        let cancel = Cancel::new();
        let seen = until("the copy is on its way", async || {
            let progress = it.copy_progress();
            progress.is_some_and(|progress| progress.bytes > 0 && progress.percent().is_some())
        });
        let (copied, ()) = tokio::join!(it.copy(&from, &[], &cancel), seen);
        assert!(copied);
        assert_eq!(it.copy_progress(), None, "it is over");
    });
}

const SOON: Duration = Duration::from_secs(5);

#[test]
fn a_server_outlives_its_supervisor_and_is_adopted_without_restart() {
    as_postgres(
        "a_server_outlives_its_supervisor_and_is_adopted_without_restart",
        async {
            let server = Server::init("a");
            let first = server.start(Role::Primary, Upstream::None).await;
            let pid = server.pid();
            assert!(server.data_dir().join("postgresql.base.conf").exists());
            assert!(server.data_dir().join("postgresql.conf.backup").exists());
            drop(first);

            let second = server.adopt().await;
            assert_eq!(
                (second.state(), second.role()),
                (State::Running, Role::Primary)
            );
            assert_eq!(server.pid(), pid);
            let seen = second
                .observe(
                    Ask {
                        slots: true,
                        sync: true,
                        standby_leader: false,
                    },
                    SOON,
                )
                .await;
            assert_eq!(seen.process, Process::Running);
            assert_eq!(seen.rewind, RewindAbility::Possible);
            assert!(seen.system_id.is_some());
            let status = seen.status.known().expect("the query works");
            assert!(!status.in_recovery());
            assert_eq!(status.slots.as_deref(), Some(&[][..]));
            let row = second.rest_status(Duration::from_millis(100)).await;
            let row = row.known().expect("the status query works").clone();
            assert_eq!(
                Some(&row.postmaster_start_time),
                seen.postmaster_start_time.as_ref()
            );
            assert_eq!(row.server_version / 10_000 * 10_000, postgresql::version());
        },
    );
}

#[test]
fn a_fast_stop_tells_where_the_wal_ends() {
    as_postgres("a_fast_stop_tells_where_the_wal_ends", async {
        let server = Server::init("a");
        let supervisor = server.start(Role::Primary, Upstream::None).await;
        let early = StopRequest {
            until: Until::ShutDownState,
            ..fast_stop()
        };
        let (early, safe) = tokio::join!(
            supervisor.stop(early),
            supervisor.wait_safe_point(Some(SOON))
        );
        assert!(early.stopped && early.safe_point && safe);
        let point = early.shutdown.expect("the control file says shut down");
        let late = supervisor.stop(fast_stop()).await;
        assert!(late.stopped);
        assert_eq!(supervisor.state(), State::Stopped);
        let once_more = supervisor.stop(fast_stop()).await;
        assert_eq!(
            (late.shutdown, once_more.shutdown),
            (Some(point), Some(point))
        );
        let told = [early, late, once_more].map(|stop| stop.ended_by_signal);
        assert_eq!(told, [false, true, false], "one callback for one stop");
        let control = supervisor.pg_controldata().await.unwrap();
        assert_eq!(control.state, ControlState::ShutDown);
        assert_eq!(control.checkpoint, Some(point.checkpoint));
        assert!(!supervisor.is_alive());
    });
}

/// The network takes a standby away without a word, and its sender waits for `wal_sender_timeout`.
#[test]
fn a_silent_standby_does_not_hold_up_a_restart() {
    as_postgres("a_silent_standby_does_not_hold_up_a_restart", async {
        let server = Server::init("a");
        let primary = server.start(Role::Primary, Upstream::None).await;
        let standby = Server::copy_of("b", &server);
        let _follower = standby.start(Role::Replica, server.as_upstream()).await;
        let streams = "select count(*)::text from pg_stat_replication where state = 'streaming'";
        until("the standby streams", async || {
            ask(&primary, streams).await.as_deref() == Some("1")
        })
        .await;
        proc::signal(standby.child("walreceiver"), Signal::SIGSTOP).unwrap();
        ask(&primary, "create table public.t (n int)").await;
        let begun = Instant::now();
        let stopped = primary
            .stop(StopRequest {
                restart: true,
                ..fast_stop()
            })
            .await;
        assert!(stopped.stopped && stopped.shutdown.is_some());
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "{:?}",
            begun.elapsed()
        );
    });
}

#[test]
fn before_stop_runs_between_the_checkpoint_and_the_signal() {
    as_postgres(
        "before_stop_runs_between_the_checkpoint_and_the_signal",
        async {
            let server = Server::init("a");
            let seen_by_hook = server.root().join("seen");
            let script = format!(
                "sh -c '{} {} > {}'",
                postgresql::program("pg_controldata").display(),
                server.data_dir().display(),
                seen_by_hook.display()
            );
            let settings = Postgresql {
                before_stop: Some(script),
                ..server.settings()
            };
            let supervisor = server
                .start_with(settings, Role::Primary, Upstream::None)
                .await;
            ask(&supervisor, "create table public.t (n int)").await;
            let last_record = ask(&supervisor, "select pg_current_wal_insert_lsn()").await;
            let preparation = StopPreparation {
                checkpoint: true,
                timeout: None,
                restart: false,
            };
            assert!(supervisor.prepare_stop(preparation, &Cancel::new()).await);
            assert_eq!(supervisor.state(), State::Stopping);
            assert!(supervisor.stop(fast_stop()).await.stopped);
            assert!(!supervisor.prepare_stop(preparation, &Cancel::new()).await);
            let seen = std::fs::read_to_string(seen_by_hook).expect("the script ran");
            let line = |key: &str| {
                let found = seen.lines().find_map(|line| line.strip_prefix(key));
                found.map(|value| value.trim().to_owned()).unwrap()
            };
            assert_eq!(line("Database cluster state:"), "in production");
            let lsn = |text: &str| text.parse::<Lsn>().unwrap();
            assert!(lsn(&line("Latest checkpoint location:")) >= lsn(&last_record.unwrap()));
        },
    );
}

#[test]
fn a_standby_that_may_stream_says_so() {
    as_postgres("a_standby_that_may_stream_says_so", async {
        let primary = Server::init("a");
        let first = primary.start(Role::Primary, Upstream::None).await;
        let standby = Server::copy_of("b", &primary);
        let upstream = primary.as_upstream();
        let second = standby.start(Role::Replica, upstream).await;
        let shown = async |server: &Supervisor| {
            let row = server.rest_status(Duration::ZERO).await;
            let row = row.known().expect("the status query works").clone();
            (row.may_stream, row.replication_state() == Some("streaming"))
        };
        until("b streams", async || shown(&second).await == (true, true)).await;
        assert_eq!(shown(&first).await, (false, false));
        // The stream breaks, and would come back.
        first.stop(fast_stop()).await;
        until("the stream is gone", async || {
            shown(&second).await == (true, false)
        })
        .await;
        second.write_recovery(&Upstream::None).await.unwrap();
        second.reload().await.unwrap();
        until("b lets go", async || shown(&second).await == (false, false)).await;
    });
}

/// What the replica shows of its WAL: whether it has more, and its position.
async fn shown(standby: &Supervisor) -> (bool, Lsn) {
    let row = standby.rest_status(Duration::ZERO).await;
    let row = row.known().expect("the status query works").clone();
    let position = row.received_location.max(row.replayed_location);
    (row.replays_own_wal, position.unwrap_or_default())
}

#[test]
fn a_standby_that_replays_its_own_wal_says_so() {
    as_postgres("a_standby_that_replays_its_own_wal_says_so", async {
        let primary = Server::init("a");
        let first = primary.start(Role::Primary, Upstream::None).await;
        let standby = Server::copy_of("b", &primary);
        let mut slow = standby.settings();
        slow.recovery_conf
            .insert("recovery_min_apply_delay".to_owned(), json!("1h"));
        let upstream = primary.as_upstream();
        let second = standby.start_with(slow.clone(), Role::Replica, upstream);
        let second = second.await;
        ask(&first, "CREATE TABLE public.written ()").await;
        let end = first.rest_status(Duration::ZERO).await;
        let end = end.known().expect("the primary answers").location;
        until("it has everything, and tells so", async || {
            let (more, position) = shown(&second).await;
            !more && position >= end
        })
        .await;
        second.stop(fast_stop()).await;
        drop(second);

        // It has not lost anything, and shows less until it has replayed that again.
        let again = standby.start_with(slow, Role::Replica, Upstream::None);
        let again = again.await;
        let (more, position) = shown(&again).await;
        assert!(more && position < end, "{more} {position} of {end}");
        ask(&again, "ALTER SYSTEM SET recovery_min_apply_delay = 0").await;
        ask(&again, "SELECT pg_reload_conf()").await;
        until("it shows all", async || !shown(&again).await.0).await;
        assert!(shown(&again).await.1 >= end);
        // Also while it looks around for more.
        for _ in 0..100 {
            assert!(!shown(&again).await.0);
        }
    });
}

#[test]
fn a_standby_is_promoted_at_once() {
    as_postgres("a_standby_is_promoted_at_once", async {
        let primary = Server::init("a");
        let first = primary.start(Role::Primary, Upstream::None).await;
        let standby = Server::copy_of("b", &primary);
        let second = standby.start(Role::Replica, primary.as_upstream()).await;
        until("b streams", async || {
            let seen = second.observe(Ask::default(), SOON).await;
            seen.status
                .known()
                .and_then(patroni_core::server::ServerStatus::replication_state)
                == Some("streaming")
        })
        .await;
        assert_eq!(
            second.compare_recovery(&primary.as_upstream()).await,
            RecoveryChange::Same
        );
        assert_eq!(
            second.compare_recovery(&Upstream::None).await,
            RecoveryChange::Reload
        );
        let names = patroni_core::SyncNames {
            kind: patroni_core::sync_names::SyncKind::Priority,
            count: 1,
            star: false,
            names: ["b".to_owned()].into(),
        };
        first.set_cluster_facts(patroni_postgres::ClusterFacts {
            synchronous: true,
            ..patroni_postgres::ClusterFacts::default()
        });
        assert!(first.set_sync_names(Some(names.clone())).await.unwrap());
        assert!(!first.set_sync_names(Some(names)).await.unwrap());
        until("b is synchronous", async || {
            let seen = first
                .observe(
                    Ask {
                        sync: true,
                        ..Ask::default()
                    },
                    SOON,
                )
                .await;
            seen.status.known().is_some_and(|status| {
                status
                    .wal_senders
                    .iter()
                    .any(|sender| sender.application_name == "b" && sender.sync_state == "sync")
            })
        })
        .await;
        first.set_sync_names(None).await.unwrap();

        assert!(first.stop(fast_stop()).await.stopped);
        let begun = Instant::now();
        second.promote().await.unwrap();
        assert_eq!(second.role(), Role::Promoted);
        assert!(second.wait_production(Duration::from_secs(20)).await);
        assert_eq!(second.role(), Role::Primary);
        println!("promoted in {:?}", begun.elapsed());
        second
            .promote()
            .await
            .expect("a primary is promoted by doing nothing");
        assert_eq!(
            ask(&second, "SELECT pg_is_in_recovery()").await.as_deref(),
            Some("f")
        );
    });
}

#[test]
fn a_killed_server_is_seen_at_once() {
    as_postgres("a_killed_server_is_seen_at_once", async {
        let server = Server::init("a");
        let supervisor = server.start(Role::Primary, Upstream::None).await;
        let watcher = supervisor.clone();
        let mut waiting = tokio::task::JoinSet::new();
        waiting.spawn(async move { watcher.postmaster_exited().await });
        server.signal(Signal::SIGKILL);
        tokio::time::timeout(SOON, waiting.join_next())
            .await
            .unwrap();
        let seen = supervisor.observe(Ask::default(), SOON).await;
        assert_eq!(seen.process, Process::Absent);
        assert_eq!(seen.status, Answer::NotAsked);
        assert_eq!(seen.control.unwrap().state, ControlState::InProduction);
        assert_eq!(
            supervisor.state(),
            State::Running,
            "what to make of it is decided elsewhere"
        );
    });
}

#[test]
fn a_frozen_server_is_unknown_not_absent() {
    as_postgres("a_frozen_server_is_unknown_not_absent", async {
        let server = Server::init("a");
        let supervisor = server.start(Role::Primary, Upstream::None).await;
        let pid = ask(&supervisor, "SELECT pg_backend_pid()").await.unwrap();
        let backend = nix::unistd::Pid::from_raw(pid.parse().unwrap());
        server.signal(Signal::SIGSTOP);
        proc::signal(backend, Signal::SIGSTOP).unwrap();
        let limit = Duration::from_millis(700);
        for _ in 0..2 {
            // First on the open connection, then on a new one that nobody answers.
            let begun = Instant::now();
            let seen = supervisor.observe(Ask::default(), limit).await;
            assert!(
                begun.elapsed() < limit + Duration::from_millis(500),
                "{:?}",
                begun.elapsed()
            );
            assert_eq!(seen.process, Process::Running);
            assert!(matches!(seen.status, Answer::Unknown(_)));
            assert_eq!((seen.state, seen.role), (State::Running, Role::Primary));
        }
        nix::sys::signal::kill(backend, Signal::SIGCONT).unwrap();
        server.signal(Signal::SIGCONT);
        until("it answers again", async || {
            supervisor
                .observe(Ask::default(), SOON)
                .await
                .status
                .known()
                .is_some()
        })
        .await;
    });
}

#[test]
fn new_settings_are_reloaded_or_wait_for_a_restart() {
    as_postgres("new_settings_are_reloaded_or_wait_for_a_restart", async {
        let server = Server::init("a");
        let supervisor = server.start(Role::Primary, Upstream::None).await;
        let mut settings = server.settings();
        let same = supervisor.apply_settings(settings.clone(), false).await;
        assert_eq!(same, patroni_postgres::ReloadReport::default());
        settings
            .parameters
            .insert("work_mem".to_owned(), json!("5MB"));
        settings
            .parameters
            .insert("shared_buffers".to_owned(), json!("2MB"));
        let report = supervisor.apply_settings(settings.clone(), false).await;
        assert!(report.reloaded);
        assert_eq!(
            report.changed,
            [
                "Changed shared_buffers from '128' to '2MB' (restart might be required)",
                "Changed work_mem from '4MB' to '5MB'",
            ]
        );
        let waiting = &report.pending_restart["shared_buffers"];
        assert_eq!(
            (waiting.old_value.as_str(), waiting.new_value.as_str()),
            ("1MB", "2MB")
        );
        assert_eq!(report.pending_restart.len(), 1);
        assert_eq!(
            ask(&supervisor, "SHOW work_mem").await.as_deref(),
            Some("5MB")
        );

        settings.parameters.remove("shared_buffers");
        let report = supervisor.apply_settings(settings, false).await;
        let waiting = &report.pending_restart["shared_buffers"];
        assert_eq!(
            waiting.new_value, "128MB",
            "the base file's value comes back"
        );
    });
}

/// What the process of recovery waits for.
async fn recovery_waits_for(session: &Session) -> String {
    let asked = "SELECT wait_event FROM pg_stat_activity WHERE backend_type = 'startup'";
    let rows = session.query(asked, SOON).await.expect("an answer");
    let event = rows.first().and_then(|row| row.get(0));
    event.unwrap_or_default().to_owned()
}

/// The server is stopped just when recovery has asked it for a connection to the primary, and so
/// looks at that wish and at the promotion together. Recovery then takes the wish back before
/// anything came of it, and nothing would wake it before its time.
#[test]
fn a_promotion_that_the_server_sleeps_over_is_asked_for_again() {
    as_postgres(
        "a_promotion_that_the_server_sleeps_over_is_asked_for_again",
        async {
            let primary = Server::init("a");
            let a = primary.start(Role::Primary, Upstream::None).await;
            let standby = Server::copy_of("b", &primary);
            let mut settings = standby.settings();
            settings
                .parameters
                .insert("wal_retrieve_retry_interval".to_owned(), json!("60s"));
            let upstream = primary.as_upstream();
            let b = standby.start_with(settings.clone(), Role::Replica, upstream);
            let b = b.await;
            let local = Endpoint::local(&settings, "test");
            let session = Session::connect(&local, SOON).await.unwrap();
            until("b streams", async || {
                recovery_waits_for(&session).await == "RecoveryWalStream"
            })
            .await;
            a.stop(fast_stop()).await;
            until("b has found nobody", async || {
                recovery_waits_for(&session).await == "RecoveryRetrieveRetryInterval"
            })
            .await;

            standby.signal(Signal::SIGSTOP);
            nix::sys::signal::kill(standby.child("startup"), Signal::SIGHUP).unwrap();
            until("b is about to connect", async || {
                recovery_waits_for(&session).await == "RecoveryWalStream"
            })
            .await;
            b.promote().await.unwrap();
            standby.signal(Signal::SIGCONT);
            assert!(b.wait_production(SOON).await);
            assert!(!standby.data_dir().join("promote").exists());
        },
    );
}
