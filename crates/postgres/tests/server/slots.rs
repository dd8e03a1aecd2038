//! Slots of real servers under their supervisors.

use std::time::Duration;

use patroni_config::file::Postgresql;
use patroni_core::server::{ServerStatus, SlotKind, SlotRow};
use patroni_core::{Lsn, MemberName, Role, SlotName, Upstream};
use patroni_postgres::slots::{CopyError, Dropped, SlotAdvance, SlotCopy, SlotFile};
use patroni_postgres::{Ask, Cancel, QueryError, StartOutcome, StartRequest, Supervisor};
use patroni_tests::postgresql;

use crate::server::{Server, as_postgres, ask, fast_stop, until};

const SOON: Duration = Duration::from_secs(5);

fn slot(name: &str) -> SlotName {
    SlotName::new(name)
}

/// The settings of a server whose WAL can be decoded.
fn logical(server: &Server) -> Postgresql {
    let mut settings = server.settings();
    settings
        .parameters
        .insert("wal_level".to_owned(), "logical".into());
    settings
}

fn with_slot(upstream: Upstream, name: &str) -> Upstream {
    match upstream {
        Upstream::Member {
            name: member,
            conn_url,
            ..
        } => Upstream::Member {
            name: member,
            conn_url,
            slot: Some(slot(name)),
        },
        other @ (Upstream::None | Upstream::Remote { .. }) => other,
    }
}

fn address(server: &Server) -> String {
    format!("postgres://127.0.0.1:{}/other", server.port)
}

async fn look(supervisor: &Supervisor) -> ServerStatus {
    let asked = Ask {
        slots: true,
        ..Ask::default()
    };
    let seen = supervisor.observe(asked, SOON).await;
    seen.status.known().expect("it answers").clone()
}

async fn row(supervisor: &Supervisor, name: &str) -> Option<SlotRow> {
    let rows = look(supervisor).await.slots.expect("slots were asked for");
    rows.into_iter().find(|row| row.name.as_str() == name)
}

async fn lsn(supervisor: &Supervisor, sql: &str) -> Lsn {
    ask(supervisor, sql).await.unwrap().parse().unwrap()
}

#[test]
fn slots_are_changed_one_by_one() {
    as_postgres("slots::slots_are_changed_one_by_one", async {
        let server = Server::init("a");
        let it = server
            .start_with(logical(&server), Role::Primary, Upstream::None)
            .await;
        assert_eq!(it.drop_slot(&slot("p")).await.unwrap(), Dropped::Absent);
        assert!(it.create_physical_slot(&slot("p")).await.unwrap());
        assert!(!it.create_physical_slot(&slot("p")).await.unwrap());
        let created = row(&it, "p").await.unwrap();
        assert_eq!(created.kind, SlotKind::Physical);
        assert!(created.restart_lsn.is_some() && created.holds_back().is_none());

        // Forward, and never back.
        ask(&it, "SELECT pg_switch_wal()").await;
        let now = lsn(&it, "SELECT pg_current_wal_flush_lsn()").await;
        it.advance_slot(&slot("p"), now).await.unwrap();
        assert_eq!(row(&it, "p").await.unwrap().restart_lsn, Some(now));
        let back = it.advance_slot(&slot("p"), Lsn::new(16)).await;
        assert!(matches!(back, Err(QueryError::Sql { .. })), "{back:?}");

        let create = async |name, plugin| {
            it.create_logical_slot(&slot(name), "postgres", plugin)
                .await
        };
        assert!(create("l", "test_decoding").await.unwrap());
        assert!(!create("l", "test_decoding").await.unwrap());
        let made = row(&it, "l").await.unwrap();
        let kind = SlotKind::Logical {
            plugin: "test_decoding".to_owned(),
            database: "postgres".to_owned(),
        };
        assert_eq!(made.kind, kind);
        assert!(made.catalog_xmin.is_some() && made.confirmed_flush_lsn.is_some());
        let nonsense = create("l2", "no_such_plugin").await;
        assert!(
            matches!(nonsense, Err(QueryError::Sql { .. })),
            "{nonsense:?}"
        );
        let nowhere = it
            .create_logical_slot(&slot("l2"), "no_such_db", "pgoutput")
            .await;
        assert!(nowhere.is_err(), "{nowhere:?}");

        // A slot in use is not dropped.
        let mut user = std::process::Command::new(postgresql::program("pg_recvlogical"))
            .args([
                "-h",
                "127.0.0.1",
                "-U",
                "postgres",
                "-d",
                "postgres",
                "-S",
                "l",
            ])
            .args(["-p", &server.port.to_string(), "--start", "-f", "/dev/null"])
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        until("l is in use", async || row(&it, "l").await.unwrap().active).await;
        assert_eq!(it.drop_slot(&slot("l")).await.unwrap(), Dropped::InUse);
        user.kill().unwrap();
        user.wait().unwrap();
        until("l is free", async || !row(&it, "l").await.unwrap().active).await;
        assert_eq!(it.drop_slot(&slot("l")).await.unwrap(), Dropped::Yes);
        assert_eq!(row(&it, "l").await, None);

        it.stop(fast_stop()).await;
        let gone = it.create_physical_slot(&slot("x")).await;
        assert!(
            matches!(gone, Err(QueryError::Unreachable { .. })),
            "{gone:?}"
        );
    });
}

/// A primary `a` with the logical slot `log`, and its standby `b`, which streams through a slot.
async fn pair() -> (Server, Supervisor, Server, Supervisor) {
    let primary = Server::init("a");
    let a = primary
        .start_with(logical(&primary), Role::Primary, Upstream::None)
        .await;
    ask(&a, "CREATE TABLE public.t (n int)").await;
    a.create_physical_slot(&slot("b")).await.unwrap();
    let standby = Server::copy_of("b", &primary);
    let upstream = with_slot(primary.as_upstream(), "b");
    let b = standby
        .start_with(logical(&standby), Role::Replica, upstream)
        .await;
    let log = slot("log");
    let made = a.create_logical_slot(&log, "postgres", "test_decoding");
    assert!(made.await.unwrap());
    (primary, a, standby, b)
}

/// The slot `log` is read from the primary and installed on the standby.
async fn copy(primary: &Server, a: &Supervisor, b: &Supervisor) {
    let fetched = b
        .fetch_slots(&address(primary), &[slot("log"), slot("none")])
        .await
        .unwrap();
    let [copy] = <[SlotCopy; 1]>::try_from(fetched).unwrap();
    let there = row(a, "log").await.unwrap();
    assert_eq!((&copy.name, &copy.kind), (&there.name, &there.kind));
    assert_eq!(Some(copy.confirmed), there.confirmed_flush_lsn);
    replayed(b, copy.confirmed).await;
    let file = SlotFile {
        name: copy.name,
        state: copy.state,
    };
    assert_eq!(
        file.check(),
        Ok(()),
        "our reading of the file is the server's"
    );
    assert!(
        !b.install_slots(vec![file.clone()]).await,
        "not under a running server"
    );
    assert!(b.stop(fast_stop()).await.stopped);
    assert!(b.install_slots(vec![file]).await);
    let request = StartRequest {
        role: Role::Replica,
        upstream: with_slot(primary.as_upstream(), "b"),
        timeout: None,
    };
    assert_eq!(
        b.start(request, &Cancel::new()).await,
        StartOutcome::Running
    );
    let here = row(b, "log").await.expect("the server took the slot over");
    assert_eq!(here.kind, there.kind);
}

async fn replayed(b: &Supervisor, position: Lsn) {
    until("b has replayed", async || {
        look(b)
            .await
            .replayed
            .is_some_and(|replayed| replayed >= position)
    })
    .await;
}

/// The consumer on the primary takes everything that there is; how far it has confirmed then.
async fn consume(a: &Supervisor) -> Lsn {
    ask(
        a,
        "SELECT count(*) FROM pg_logical_slot_get_changes('log', NULL, NULL)",
    )
    .await;
    row(a, "log").await.unwrap().confirmed_flush_lsn.unwrap()
}

async fn move_to(b: &Supervisor, to: Lsn) {
    let here = row(b, "log").await.unwrap();
    let advance = SlotAdvance {
        slot: slot("log"),
        database: "postgres".to_owned(),
        from: here.confirmed_flush_lsn.unwrap(),
        to,
    };
    assert!(b.want_slots_moved(vec![advance]));
    b.move_slots().await;
}

#[test]
fn a_copied_slot_goes_on_after_a_promotion() {
    as_postgres("slots::a_copied_slot_goes_on_after_a_promotion", async {
        let (primary, a, _standby, b) = pair().await;
        ask(&a, "INSERT INTO public.t VALUES (1)").await;
        copy(&primary, &a, &b).await;
        let confirmed = consume(&a).await;
        ask(&a, "INSERT INTO public.t VALUES (2)").await;
        let end = lsn(&a, "SELECT pg_current_wal_flush_lsn()").await;
        replayed(&b, end).await;
        move_to(&b, confirmed).await;
        assert_eq!(
            row(&b, "log").await.unwrap().confirmed_flush_lsn,
            Some(confirmed)
        );
        assert!(b.slots_given_up().is_empty());

        a.stop(fast_stop()).await;
        b.promote().await.unwrap();
        assert!(b.wait_production(SOON).await);
        ask(&b, "INSERT INTO public.t VALUES (3)").await;
        let changes = "SELECT string_agg(data, ';') FROM pg_logical_slot_get_changes('log', NULL, \
                       NULL, 'include-xids', '0') WHERE data LIKE 'table%'";
        assert_eq!(
            ask(&b, changes).await.as_deref(),
            Some("table public.t: INSERT: n[integer]:2;table public.t: INSERT: n[integer]:3"),
            "what was confirmed does not come again, what was not is not lost"
        );
    });
}

#[test]
fn a_slot_without_its_wal_is_given_up() {
    as_postgres("slots::a_slot_without_its_wal_is_given_up", async {
        let (primary, a, standby, b) = pair().await;
        copy(&primary, &a, &b).await;
        let needed = row(&b, "log").await.unwrap().restart_lsn.unwrap();
        let file = ask(&a, &format!("SELECT pg_walfile_name('{needed}')"))
            .await
            .unwrap();
        ask(
            &a,
            "INSERT INTO public.t VALUES (1); SELECT pg_switch_wal(); INSERT INTO public.t VALUES (2)",
        )
        .await;
        let confirmed = consume(&a).await;
        replayed(&b, confirmed).await;
        std::fs::remove_file(standby.data_dir().join("pg_wal").join(file)).unwrap();
        move_to(&b, confirmed).await;
        assert_eq!(b.slots_given_up(), [slot("log")].into());
        assert!(b.slots_given_up().is_empty(), "told once");
    });
}

#[test]
fn forced_feedback_makes_the_primary_hold_back() {
    as_postgres(
        "slots::forced_feedback_makes_the_primary_hold_back",
        async {
            let (primary, a, _standby, b) = pair().await;
            copy(&primary, &a, &b).await;
            assert!(!b.feedback().await.unwrap());
            assert!(b.force_feedback(true).await.unwrap());
            assert!(!b.force_feedback(true).await.unwrap(), "once");
            b.set_cluster_facts(patroni_postgres::ClusterFacts::default());
            until("the feedback is on", async || b.feedback().await.unwrap()).await;
            let logs = [slot("log")];
            until("the primary holds back", async || {
                let found = b
                    .look_at_slots(&address(&primary), &slot("b"), &logs)
                    .await
                    .unwrap();
                let xmin = |logical| found.iter().find(|s| s.logical == logical)?.catalog_xmin;
                let mine = row(&b, "log").await.unwrap().catalog_xmin.unwrap();
                let (Some(physical), Some(noted)) = (xmin(false), xmin(true)) else {
                    return false;
                };
                noted.is_at_most(physical) && physical.is_at_most(mine)
            })
            .await;
            assert!(b.force_feedback(false).await.unwrap());
            until("the feedback is off", async || !b.feedback().await.unwrap()).await;
            let none = b
                .look_at_slots(&address(&primary), &slot("nobody"), &[])
                .await;
            assert_eq!(none.unwrap(), []);
        },
    );
}

#[test]
fn only_a_primary_gives_its_slots() {
    as_postgres("slots::only_a_primary_gives_its_slots", async {
        let (primary, a, standby, b) = pair().await;
        copy(&primary, &a, &b).await;
        let of_a_standby = a.fetch_slots(&address(&standby), &[slot("log")]).await;
        assert_eq!(of_a_standby.unwrap(), []);
        a.stop(fast_stop()).await;
        let gone = b.fetch_slots(&address(&primary), &[slot("log")]).await;
        assert!(matches!(gone, Err(CopyError::Connect(_))), "{gone:?}");
        let nobody = MemberName::new("x");
        assert!(
            b.look_at_slots(nobody.as_str(), &slot("b"), &[])
                .await
                .is_err()
        );
    });
}
