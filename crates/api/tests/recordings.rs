//! The recorded life of a reference cluster: every health code, every status document and every
//! cluster document is computed again from what the recording tells.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use patroni_api::wire::probes::{self, Duty};
use patroni_api::wire::{
    CachedView, LogQueue, Query, Row, SenderRow, ServerFacts, ServerRow, Snapshot, Status, cluster,
    health,
};
use patroni_config::Dynamic;
use patroni_config::dynamic::StandbyCluster;
use patroni_core::failover::ScheduledAt;
use patroni_core::server::PendingParameter;
use patroni_core::{
    Cluster, Failover, FailoverRequest, Leader, Lsn, Member, MemberData, MemberName, Revision,
    Role, Scope, State, SyncState, SystemId, Tags, Timeline, json,
};
use serde_json::{Map, Value, json};

/// The leader's position in the made-up parts; recordings carry placeholders.
const OPTIME: u64 = 83_886_080;

/// What is known of a node at one stage.
struct Case {
    snapshot: Snapshot,
    facts: ServerFacts,
    now: Instant,
}

impl Case {
    fn new(case: &Value) -> Self {
        let now = Instant::now();
        let doc = &case["document"];
        let stage = case["stage"].as_str().unwrap();
        let text = |key: &str| doc[key].as_str().map(str::to_owned);
        let patroni = |key: &str| doc["patroni"][key].as_str().unwrap().to_owned();
        let mut snapshot = Snapshot::new(
            Scope::new(patroni("scope")),
            MemberName::new(patroni("name")),
        );
        snapshot.set_dynamic(&dynamic(&case["config"]));
        let later = now + Duration::from_secs(20);
        let recorded_lock = case["lock"].as_bool();
        if recorded_lock.unwrap_or(doc["role"] == "primary") {
            snapshot.lock_until = Some(later);
        }
        snapshot.paused = doc.get("pause").is_some();
        snapshot.standby_cluster |= doc["role"] == "standby_leader";
        if doc.get("failsafe_mode_is_active").is_some() {
            snapshot.failsafe_until = Some(later);
        }
        snapshot.dcs_last_seen = doc["dcs_last_seen"].as_i64().unwrap();
        snapshot.tags = Tags::new(map(&doc["tags"]));
        snapshot.system_id = text("database_system_identifier")
            .as_deref()
            .and_then(SystemId::parse);
        snapshot.pending_restart = map(&doc["pending_restart_reason"])
            .into_iter()
            .map(|(name, values)| {
                let value = |key: &str| values[key].as_str().unwrap().to_owned();
                let parameter = PendingParameter {
                    old_value: value("old_value"),
                    new_value: value("new_value"),
                };
                (name, parameter)
            })
            .collect();
        snapshot.scheduled_restart = doc.get("scheduled_restart").map(map);
        snapshot.watchdog_failed = doc.get("watchdog_failed").is_some();
        snapshot.next_run = Some(now);
        if !stage.contains("dcs-down") {
            let unlocked = doc.get("cluster_unlocked").is_some();
            let me = &snapshot.name;
            let listed = ["sync_standby", "quorum_standby"]
                .iter()
                .any(|flag| doc.get(*flag).is_some());
            snapshot.view = Some(CachedView {
                cluster: Arc::new(view(me, unlocked, listed)),
                asked_at: now,
                until: later,
                other_groups: Arc::new([]),
            });
        }
        // In stage s07c node3 is held 32 MiB behind in replay.
        let behind = if stage == "s07c-lag" && patroni("name") == "node3" {
            32 << 20
        } else {
            0
        };
        Self {
            facts: facts(doc, behind),
            snapshot,
            now,
        }
    }

    fn is_up(&self, path_and_query: &str) -> bool {
        let (path, query) = path_and_query
            .split_once('?')
            .unwrap_or((path_and_query, ""));
        // The recorded server ignores this key, which came later.
        let query = query.replace("replication_state=", "ignored=");
        let query = Query::parse(&query);
        let status = Status::new(&self.snapshot, &self.facts, self.now);
        match path {
            "/liveness" => probes::is_alive(&self.snapshot, Duty::RunningPrimary, self.now),
            "/readiness" => probes::is_ready(&query, &status),
            _ => health::is_up(path, &query, &status),
        }
    }
}

fn map(value: &Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}

fn dynamic(config: &Value) -> Dynamic {
    Dynamic::read(&map(config)).unwrap().0
}

fn view(me: &MemberName, unlocked: bool, listed: bool) -> Cluster {
    let leader = MemberName::new("somebody");
    let mut view = Cluster::default();
    view.status.optime = Lsn::new(OPTIME);
    if listed {
        view.sync = SyncState::new(Some(leader.clone()), 0, [me.clone()].into());
    }
    view.leader = (!unlocked).then(|| Leader {
        name: leader,
        revision: Revision::new(1),
        session: None,
    });
    view
}

fn facts(doc: &Value, behind: u64) -> ServerFacts {
    let role = Role::parse(doc["role"].as_str().unwrap()).unwrap();
    let state = doc["state"].as_str().unwrap();
    let Ok(state) = serde_json::from_value::<State>(state.into()) else {
        assert_eq!(state, "unknown");
        return ServerFacts {
            state: State::Running,
            role,
            row: Row::Failed,
            copy: None,
        };
    };
    if doc.get("server_version").is_none() {
        return ServerFacts::without_row(state, role);
    }
    let xlog = &doc["xlog"];
    let lsn = |key: &str| xlog[key].as_u64().map(Lsn::new);
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let received = lsn("received_location");
    let streams = doc["replication_state"] == "streaming";
    let row = ServerRow {
        postmaster_start_time: text(&doc["postmaster_start_time"]),
        server_version: u32::try_from(doc["server_version"].as_u64().unwrap()).unwrap(),
        in_recovery: received.is_some(),
        timeline: doc["timeline"]
            .as_u64()
            .and_then(|n| Timeline::new(u32::try_from(n).unwrap())),
        flushed: lsn("location").unwrap_or_default(),
        received,
        replayed: lsn("replayed_location").map(|lsn| Lsn::new(lsn.bytes() - behind)),
        replayed_timestamp: text(&xlog["replayed_timestamp"]),
        replay_paused: xlog["paused"] == true,
        replays_own_wal: false,
        may_stream: false,
        latest_end: received.filter(|_| streams),
        replication_state: text(&doc["replication_state"]),
        replication: doc["replication"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|row| SenderRow {
                usename: text(&row["usename"]).unwrap(),
                application_name: text(&row["application_name"]).unwrap(),
                client_addr: text(&row["client_addr"]),
                state: text(&row["state"]).unwrap(),
                sync_state: text(&row["sync_state"]).unwrap(),
                sync_priority: i32::try_from(row["sync_priority"].as_i64().unwrap()).unwrap(),
            })
            .collect(),
    };
    ServerFacts {
        state,
        role,
        row: Row::Known(Box::new(row)),
        copy: None,
    }
}

fn recorded() -> Value {
    serde_json::from_str(include_str!("golden/health.json")).unwrap()
}

#[test]
fn every_recorded_health_code_follows() {
    let recorded = recorded();
    let paths = recorded["paths"].as_array().unwrap();
    let mut checked = 0;
    let mut wrong = Vec::new();
    for case in recorded["cases"].as_array().unwrap() {
        let node = Case::new(case);
        for (path, code) in paths.iter().zip(case["codes"].as_str().unwrap().chars()) {
            let path = path.as_str().unwrap();
            let expected = match code {
                '1' => true,
                '0' => false,
                _ => continue,
            };
            checked += 1;
            if node.is_up(path) != expected {
                wrong.push(format!(
                    "{} {} {path}: expected {expected}",
                    case["stage"], case["node"]
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(checked, 1706);
}

#[test]
fn every_recorded_status_document_follows() {
    for case in recorded()["cases"].as_array().unwrap() {
        let mut node = Case::new(case);
        if case["stage"] == "s07c-lag" {
            node.facts = facts(&case["document"], 0);
        }
        let status = Status::new(&node.snapshot, &node.facts, node.now);
        assert_eq!(
            json::spaced(&status.document(LogQueue::default())),
            json::spaced(&case["document"]),
            "{} {}",
            case["stage"],
            case["node"]
        );
    }
}

/// A member key from which the recorded member object follows.
fn member(object: &Value, leads: bool) -> Member {
    let mut data = Map::new();
    data.insert("state".into(), "running".into());
    if let Some(port) = object.get("port") {
        let host = object["host"].as_str().unwrap();
        data.insert(
            "conn_url".into(),
            format!("postgres://{host}:{port}/postgres").into(),
        );
    }
    let state = object["state"].as_str().unwrap();
    let key = match state {
        "streaming" | "in archive recovery" => "replication_state",
        _ => "state",
    };
    data.insert(key.into(), state.into());
    for key in [
        "api_url",
        "timeline",
        "pending_restart",
        "pending_restart_reason",
        "scheduled_restart",
        "tags",
    ] {
        if let Some(value) = object.get(key) {
            data.insert(key.into(), value.clone());
        }
    }
    if !leads {
        for (lag, key) in [
            ("receive_lag", "receive_lsn"),
            ("replay_lag", "replay_lsn"),
            ("lag", "xlog_location"),
        ] {
            if let Some(lag) = object[lag].as_u64() {
                data.insert(key.into(), (OPTIME - lag).into());
            }
        }
    }
    Member {
        name: MemberName::new(object["name"].as_str().unwrap()),
        session: None,
        data: MemberData::new(data),
    }
}

#[test]
fn every_recorded_cluster_document_follows() {
    let recorded: Value = serde_json::from_str(include_str!("golden/cluster.json")).unwrap();
    for case in recorded.as_array().unwrap() {
        let mut expected = case["document"].clone();
        let mut settings = dynamic(&case["config"]);
        settings.pause = expected.get("pause").is_some();
        let mut store = Cluster::default();
        store.status.optime = Lsn::new(OPTIME);
        let mut standbys = std::collections::BTreeSet::new();
        for object in expected["members"].as_array_mut().unwrap() {
            let role = object["role"].as_str().unwrap().to_owned();
            let leads = role.ends_with("leader");
            let member = member(object, leads);
            match role.as_str() {
                "standby_leader" => settings.standby_cluster = Some(StandbyCluster::default()),
                "sync_standby" | "quorum_standby" => {
                    standbys.insert(member.name.clone());
                }
                _ => {}
            }
            if leads {
                store.leader = Some(Leader {
                    name: member.name.clone(),
                    revision: Revision::new(1),
                    session: None,
                });
            }
            for (lag, lsn) in [
                ("receive_lag", "receive_lsn"),
                ("replay_lag", "replay_lsn"),
                ("lag", "lsn"),
            ] {
                if let Some(lag) = object[lag].as_u64() {
                    object[lsn] = Lsn::new(OPTIME - lag).to_string().into();
                }
            }
            store.members.insert(0, member); // any order will do
        }
        store.sync = SyncState::new(Some(MemberName::new("x")), 0, standbys);
        if let Some(switchover) = expected.get("scheduled_switchover") {
            let name = |key: &str| {
                switchover
                    .get(key)
                    .and_then(Value::as_str)
                    .map(MemberName::new)
            };
            store.failover = Some(Failover {
                revision: Revision::new(1),
                request: FailoverRequest {
                    leader: name("from"),
                    candidate: name("to"),
                    scheduled_at: switchover["at"].as_str().map(ScheduledAt::parse),
                },
            });
        }
        let scope = Scope::new(expected["scope"].as_str().unwrap());
        assert_eq!(
            json::spaced(&cluster::document(&store, &settings, &scope)),
            json::spaced(&expected),
            "{}",
            case["stage"]
        );
    }
}

#[test]
fn readiness_edges() {
    let mut case = Case::new(&json!({
        "stage": "made up", "config": {}, "lock": false, "document": {
            "state": "running", "role": "replica", "server_version": 150_018,
            "xlog": {"received_location": OPTIME, "replayed_location": OPTIME},
            "replication_state": "streaming", "dcs_last_seen": 1,
            "patroni": {"scope": "demo", "name": "node1"},
        }
    }));
    assert!(case.is_up("/readiness"));
    // Neither view nor receiver position: only failsafe lets it pass.
    case.snapshot.view = None;
    if let Row::Known(row) = &mut case.facts.row {
        row.latest_end = None;
    }
    assert!(!case.is_up("/readiness"));
    case.snapshot.failsafe_until = Some(case.now + Duration::from_secs(1));
    assert!(case.is_up("/readiness"));
    // A loop that should have run more than ttl ago is dead.
    assert!(case.is_up("/liveness"));
    case.now += case.snapshot.ttl + Duration::from_secs(1);
    assert!(!case.is_up("/liveness"));
    assert!(probes::is_alive(&case.snapshot, Duty::Other, case.now));
}

#[test]
fn substring_paths_and_paused_claims() {
    let mut case = Case::new(&json!({
        "stage": "made up", "config": {}, "lock": true, "document": {
            "state": "restarting", "role": "primary", "dcs_last_seen": 1,
            "patroni": {"scope": "demo", "name": "node1"},
        }
    }));
    for up in [
        "/foo/primary",
        "/primary/",
        "/x-leader-y",
        "/",
        "/read-only",
    ] {
        assert!(case.is_up(up), "{up}");
    }
    for down in [
        "/sync/",
        "/PRIMARY",
        "/standby_leader",
        "/health",
        "/replica",
    ] {
        assert!(!case.is_up(down), "{down}");
    }
    // The claim ends by itself, and a paused cluster without a view asks PostgreSQL alone.
    case.now += Duration::from_secs(30);
    assert!(!case.is_up("/primary"));
    case.snapshot.paused = true;
    case.snapshot.view = None;
    assert!(case.is_up("/primary") && case.is_up("/leader"));
}
