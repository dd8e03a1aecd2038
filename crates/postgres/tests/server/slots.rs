//! Slots on a real server.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};

use patroni_core::server::{SlotKind, SlotRow};
use patroni_core::{Lsn, SlotName};
use patroni_postgres::slots::{SlotMatcher, SlotReport, SlotWish, SlotsContext, apply};
use serde_json::json;

use crate::support::{BIN, Server, Session, eventually, server_test};

async fn rows(client: &Session) -> Vec<SlotRow> {
    let query = "SELECT slot_name::text, slot_type, active, restart_lsn::text, xmin::text, \
                 wal_status, plugin::text, database::text FROM pg_replication_slots \
                 WHERE NOT temporary ORDER BY 1";
    let rows = client.query(query, &[]).await.unwrap();
    rows.iter()
        .map(|row| SlotRow {
            name: SlotName::new(row.get::<_, String>(0)),
            kind: match row.get::<_, &str>(1) {
                "physical" => SlotKind::Physical,
                _ => SlotKind::Logical {
                    plugin: row.get(6),
                    database: row.get(7),
                },
            },
            active: row.get(2),
            restart_lsn: row
                .get::<_, Option<&str>>(3)
                .map(|lsn| lsn.parse().unwrap()),
            confirmed_flush_lsn: None,
            has_xmin: row.get::<_, Option<&str>>(4).is_some(),
            wal_status: row.get(5),
        })
        .collect()
}

fn wish(name: &str, expected_active: Option<bool>, advance_to: Option<Lsn>) -> SlotWish {
    SlotWish {
        name: SlotName::new(name),
        expected_active,
        advance_to,
    }
}

fn names(slots: &[SlotName]) -> Vec<&str> {
    slots.iter().map(SlotName::as_str).collect()
}

async fn carry_out(client: &Session, plan: &[SlotWish], context: SlotsContext<'_>) -> SlotReport {
    apply(client, plan, &rows(client).await, context).await
}

server_test! {
async fn slots_become_what_is_wanted() {
    let server = Server::running("wal_level = logical").await;
    let client = server.connect().await;
    let keep = BTreeSet::from([SlotName::new("kept")]);
    let ignore = [SlotMatcher::read(json!({"name": "ignored"}).as_object().unwrap())];
    let context = SlotsContext {
        version: 150_000,
        xmin_is_leftover: true,
        drop_unknown: true,
        ignore: &ignore,
        keep: &keep,
    };
    client
        .batch_execute(
            "SELECT pg_create_physical_replication_slot('unknown', true), \
             pg_create_physical_replication_slot('ignored'), \
             pg_create_physical_replication_slot('external'); \
             SELECT pg_create_logical_replication_slot('kept', 'test_decoding'), \
             pg_create_logical_replication_slot('member', 'test_decoding')",
        )
        .await
        .unwrap();
    let plan = [wish("member", Some(true), None), wish("away", Some(false), None),
                wish("external", Some(false), None)];
    let report = carry_out(&client, &plan, context).await;
    assert_eq!(names(&report.dropped), ["member", "unknown", "external"]);
    assert_eq!(names(&report.created), ["member", "away"]);
    assert!(report.reload_needed);

    // Advanced when nobody uses them, never backwards.
    client.batch_execute("SELECT pg_switch_wal(); CREATE TABLE t ()").await.unwrap();
    let now: Lsn = client.text("SELECT pg_current_wal_flush_lsn()::text").await.parse().unwrap();
    let plan = [wish("member", Some(true), Some(now)), wish("away", Some(false), Some(now)),
                wish("external", None, Some(Lsn::new(1)))];
    let report = carry_out(&client, &plan, context).await;
    assert_eq!(report.advanced, [(SlotName::new("away"), now)]);
    assert_eq!(names(&report.created), ["external"]);
    let found = rows(&client).await;
    let away = found.iter().find(|slot| slot.name.as_str() == "away").unwrap();
    assert!(away.restart_lsn.is_some_and(|lsn| lsn >= now));
    let before = found.iter().find(|slot| slot.name.as_str() == "member").unwrap();
    assert!(before.restart_lsn.is_some_and(|lsn| lsn < now));

    // In pause unknown slots stay.
    let paused = SlotsContext { drop_unknown: false, ..context };
    assert_eq!(carry_out(&client, &[], paused).await, SlotReport::default());
    let report = carry_out(&client, &[], context).await;
    assert_eq!(names(&report.dropped), ["away", "external", "member"]);
    assert!(!report.reload_needed);
}
}

server_test! {
async fn a_slot_in_use_is_not_dropped() {
    let server = Server::running("").await;
    let client = server.connect().await;
    let keep = BTreeSet::new();
    let context = SlotsContext {
        version: 150_000,
        xmin_is_leftover: true,
        drop_unknown: true,
        ignore: &[],
        keep: &keep,
    };
    carry_out(&client, &[wish("busy", Some(true), None)], context).await;
    let mut receiver = Command::new(format!("{BIN}/pg_receivewal"))
        .args(["-S", "busy", "-h", server.home().to_str().unwrap()])
        .args(["-U", "postgres", "-p", &server.port().to_string(), "-D"])
        .arg(server.home())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    eventually("the slot is active", || async { rows(&client).await[0].active }).await;
    let report = carry_out(&client, &[], context).await;
    assert!(report.dropped.is_empty() && report.reload_needed);
    receiver.kill().unwrap();
    receiver.wait().unwrap();
    eventually("the slot is free", || async { !rows(&client).await[0].active }).await;
    let report = carry_out(&client, &[], context).await;
    assert_eq!(names(&report.dropped), ["busy"]);
}
}

server_test! {
async fn a_lost_server_ends_the_plan() {
    let server = Server::running("").await;
    let client = server.connect().await;
    server.stop("immediate");
    let keep = BTreeSet::new();
    let context = SlotsContext {
        version: 150_000,
        xmin_is_leftover: true,
        drop_unknown: true,
        ignore: &[],
        keep: &keep,
    };
    let report = apply(&client, &[wish("a", Some(true), None)], &[], context).await;
    assert!(report.created.is_empty() && report.reload_needed);
}
}
