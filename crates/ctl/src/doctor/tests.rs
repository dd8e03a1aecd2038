//! A healthy cluster, and what each fault of it is called.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use patroni_config::Dynamic;
use patroni_core::{
    Cluster, Failover, FailoverRequest, History, Leader, Lsn, Member, MemberData, MemberName,
    Revision, Scope, Status, SyncState,
};
use patroni_dcs::store::config_doc;
use serde_json::{Value, json};

use super::{Examined, Facts, Finding, document, examine, lines};
use crate::rest::{Answer, Heard, RestError};

const ID: &str = "7300000000000000001";

/// What is put into the world, before it is looked at.
struct Case {
    config: Value,
    lock: Option<&'static str>,
    session: Option<String>,
    cluster: Cluster,
    keys: BTreeMap<&'static str, Value>,
    /// The status document; `None` does not answer.
    says: BTreeMap<&'static str, Option<Value>>,
    /// How far the clock of everybody is ahead.
    ahead: SignedDuration,
    read: Duration,
}

impl Case {
    fn healthy() -> Self {
        let key = |name: &str, role: &str| {
            json!({
                "api_url": format!("http://{name}:8008/patroni"), "state": "running", "role": role,
                "replication_state": "streaming", "timeline": 3,
            })
        };
        let says = |name: &str| {
            json!({
                "state": "running", "server_version": 170_005, "timeline": 3,
                "database_system_identifier": ID, "dcs_last_seen": now().as_second() - 3,
                "patroni": {"scope": "demo", "name": name, "version": "4.1.5"},
            })
        };
        let with = |mut document: Value, fields: Value| {
            let fields = fields.as_object().unwrap().clone();
            document.as_object_mut().unwrap().extend(fields);
            Some(document)
        };
        let standby = json!({
            "role": "replica", "replication_state": "streaming",
            "xlog": {"received_location": 5000, "replayed_location": 5000},
        });
        let primary = json!({"role": "primary", "xlog": {"location": 5000}});
        Self {
            config: json!({"postgresql": {"use_pg_rewind": true}}),
            lock: Some("a"),
            session: Some("7".to_owned()),
            cluster: Cluster {
                initialize: Some(ID.to_owned()),
                status: Status::parse(
                    r#"{"optime": 5000, "slots": {"a": 5000, "b": 5000, "c": 5000}}"#,
                ),
                history: History::parse(r#"[[1, 100, "x"], [2, 200, "x"]]"#),
                ..Cluster::default()
            },
            keys: [
                ("a", key("a", "primary")),
                ("b", key("b", "replica")),
                ("c", key("c", "replica")),
            ]
            .into(),
            says: [
                ("a", with(says("a"), primary)),
                ("b", with(says("b"), standby.clone())),
                ("c", with(says("c"), standby)),
            ]
            .into(),
            ahead: SignedDuration::ZERO,
            read: Duration::from_millis(4),
        }
    }

    /// Changes what a member says; null takes the word back.
    fn say(&mut self, name: &'static str, key: &str, value: Value) {
        let document = self.says.get_mut(name).unwrap().as_mut().unwrap();
        let document = document.as_object_mut().unwrap();
        if value.is_null() {
            document.remove(key);
        } else {
            document.insert(key.to_owned(), value);
        }
    }

    fn set(&mut self, key: &str, value: Value) {
        self.config[key] = value;
    }

    /// Synchronous mode in which b is synchronous, and all know.
    fn synchronous(&mut self) {
        self.set("synchronous_mode", json!(true));
        self.sync(r#"{"leader": "a", "sync_standby": "b", "quorum": 0}"#);
        self.say("b", "sync_standby", json!(true));
        let row = json!({"application_name": "b", "sync_state": "sync"});
        self.say("a", "replication", json!([row]));
    }

    fn sync(&mut self, text: &str) {
        self.cluster.sync = SyncState::parse(text, None);
    }

    fn request(&mut self, text: &str) {
        self.cluster.failover = Some(Failover {
            revision: Revision::new(1),
            request: FailoverRequest::parse(text),
        });
    }

    fn facts(self) -> Facts {
        let mut cluster = self.cluster;
        let config = self.config.to_string();
        cluster.config = Some(config_doc(&config, Revision::new(1)));
        cluster.leader = self.lock.map(|name| Leader {
            name: MemberName::new(name),
            revision: Revision::new(1),
            session: self.session,
        });
        let members = self.keys.iter().map(|(name, data)| Member {
            name: MemberName::new(*name),
            session: None,
            data: MemberData::parse(&data.to_string()),
        });
        cluster.members = members.collect();
        let clock = (now() + self.ahead).strftime("%a, %d %b %Y %H:%M:%S GMT");
        let hear = |name: &MemberName| Heard {
            answer: match &self.says[name.as_str()] {
                None => Err(RestError("connection refused".to_owned())),
                Some(document) => Ok(Answer {
                    status: 200,
                    body: document.to_string(),
                    date: Some(clock.to_string()),
                }),
            },
            at: now(),
            took: Duration::from_millis(8),
        };
        let examined = |member: &Member| Examined::new(member.clone(), hear(&member.name));
        let config = cluster.config.as_ref().unwrap();
        Facts {
            scope: Scope::new("demo"),
            store: "etcd3".to_owned(),
            read: self.read,
            settings: Dynamic::read(&config.data)
                .map(|(settings, _)| settings)
                .unwrap_or_default(),
            members: cluster.members.iter().map(examined).collect(),
            cluster,
            now: now(),
        }
    }
}

fn now() -> Timestamp {
    "2026-01-01T12:00:00Z".parse().unwrap()
}

/// `problem no-leader`, `warning silent b`.
fn short(finding: &Finding) -> String {
    let member = finding.member.as_ref();
    let member = member.map_or_else(String::new, |name| format!(" {name}"));
    format!("{} {}{member}", finding.severity.word(), finding.check)
}

#[test]
fn a_healthy_cluster_has_no_findings() {
    assert_eq!(examine(&Case::healthy().facts()), []);
    let mut case = Case::healthy();
    case.synchronous();
    let found: Vec<String> = examine(&case.facts()).iter().map(short).collect();
    assert_eq!(found, ["note not-synchronous c"]);
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn every_fault_has_its_name() {
    type Fault = fn(&mut Case);
    let table: &[(Fault, &[&str])] = &[
        (
            |c| c.lock = None,
            &["problem no-leader", "problem second-primary a"],
        ),
        (|c| c.session = None, &["problem lock-without-lease a"]),
        (
            |c| c.lock = Some("x"),
            &["problem leader-key-missing x", "problem second-primary a"],
        ),
        (
            |c| c.say("a", "state", json!("stopped")),
            &["problem leader-not-leading a"],
        ),
        (
            |c| c.say("a", "role", json!("replica")),
            &["problem leader-not-leading a"],
        ),
        (
            |c| c.say("b", "xlog", json!({"location": 6000})),
            &["problem second-primary b"],
        ),
        (|c| c.cluster.initialize = None, &["warning no-identity"]),
        (|c| c.read = Duration::from_secs(2), &["warning slow-store"]),
        (
            |c| {
                c.keys.retain(|name, _| *name == "a");
            },
            &["problem no-candidate"],
        ),
        (
            |c| {
                c.say("b", "tags", json!({"nofailover": true}));
                c.says.insert("c", None);
            },
            &[
                "problem no-candidate",
                "warning silent c",
                "note not-allowed b",
            ],
        ),
        (
            |c| c.cluster.status.optime = Lsn::new(9_000_000),
            &["problem no-candidate", "warning lag b", "warning lag c"],
        ),
        (
            |c| c.say("b", "watchdog_failed", json!(true)),
            &["warning watchdog b"],
        ),
        (
            |c| c.say("a", "watchdog_failed", json!(true)),
            &["problem watchdog a"],
        ),
        (
            |c| {
                c.says.insert("a", None);
            },
            &["problem silent a"],
        ),
        (
            |c| {
                c.says.insert("b", None);
            },
            &["warning silent b"],
        ),
        (
            |c| c.say("b", "patroni", json!({"scope": "demo", "name": "c"})),
            &["problem stranger b"],
        ),
        (
            |c| c.say("a", "accepts_connections", json!(false)),
            &["problem connections a"],
        ),
        (
            |c| c.say("b", "accepts_connections", json!(false)),
            &["warning connections b"],
        ),
        (
            |c| c.say("b", "dcs_last_seen", json!(now().as_second() - 31)),
            &["warning store-unseen b"],
        ),
        (
            |c| c.say("b", "cluster_unlocked", json!(true)),
            &["warning disagrees b"],
        ),
        (
            |c| c.say("b", "pause", json!(true)),
            &["warning disagrees b"],
        ),
        (
            |c| c.say("a", "failsafe_mode_is_active", json!(true)),
            &["problem failsafe-active a"],
        ),
        (
            |c| c.say("b", "pending_restart", json!(true)),
            &["note pending-restart b"],
        ),
        (
            |c| {
                c.say("b", "state", json!("starting"));
                c.say("b", "xlog", Value::Null);
            },
            &["warning not-running b"],
        ),
        (
            |c| c.say("b", "replication_problem", json!("the data have diverged")),
            &["warning no-wal b"],
        ),
        (
            |c| c.say("b", "timeline", json!(2)),
            &["warning other-timeline b"],
        ),
        (
            |c| c.say("b", "replication_state", Value::Null),
            &["warning not-streaming b"],
        ),
        (
            |c| {
                let xlog = json!({"received_location": 3_000_000, "replayed_location": 5000});
                c.say("b", "xlog", xlog.clone());
                c.say("c", "xlog", xlog);
                c.keys.get_mut("c").unwrap()["tags"] = json!({"nofailover": true});
            },
            &["warning replay b", "note not-allowed c"],
        ),
        (
            |c| {
                c.say("b", "replication_state", json!("in archive recovery"));
                c.keys.get_mut("b").unwrap()["tags"] = json!({"nostream": true});
                c.cluster
                    .status
                    .slots
                    .remove(&patroni_core::SlotName::of_member(&MemberName::new("b")));
            },
            &[],
        ),
        (
            |c| c.cluster.status = Status::parse(r#"{"optime": 5000, "slots": {"a": 1, "c": 1}}"#),
            &["warning slot-missing b"],
        ),
        (
            |c| {
                let status = r#"{"optime": 5000, "retain_slots": ["gone"],
                    "slots": {"a": 1, "b": 1, "c": 1, "gone": 4000}}"#;
                c.cluster.status = Status::parse(status);
            },
            &["note slot-of-absent-member"],
        ),
        (|c| c.sync(r#"{"leader": "a"}"#), &["note sync-key-left"]),
        (
            |c| c.set("synchronous_mode", json!(true)),
            &["problem sync-key-missing"],
        ),
        (
            |c| {
                c.synchronous();
                c.set("synchronous_node_count", json!(2));
            },
            &["warning sync-few", "note not-synchronous c"],
        ),
        (
            |c| {
                c.synchronous();
                c.say("b", "sync_standby", Value::Null);
                c.say("a", "replication", Value::Null);
            },
            &[
                "warning sync-disagrees b",
                "warning sync-not-waited-for b",
                "note not-synchronous c",
            ],
        ),
        (
            |c| {
                c.synchronous();
                c.sync(r#"{"leader": "b", "sync_standby": "b,c"}"#);
                c.say("c", "sync_standby", json!(true));
            },
            &["warning sync-leader", "warning sync-not-waited-for c"],
        ),
        (
            |c| {
                c.set("synchronous_mode", json!("quorum"));
                c.sync(r#"{"leader": "a", "sync_standby": "b,c", "quorum": 1}"#);
                for name in ["b", "c"] {
                    c.say(name, "quorum_standby", json!(true));
                }
                let row = |name: &str| json!({"application_name": name, "sync_state": "quorum"});
                c.say("a", "replication", json!([row("b"), row("c")]));
                c.says.insert("c", None);
            },
            &["problem short-of-votes", "warning silent c"],
        ),
        (
            |c| c.request(r#"{"leader": "a", "member": "b"}"#),
            &["warning request-left"],
        ),
        (
            |c| c.request(r#"{"leader": "a", "scheduled_at": "2026-01-01T11:00:00+00:00"}"#),
            &["warning request-left"],
        ),
        (
            |c| c.request(r#"{"leader": "a", "scheduled_at": "2026-01-01T13:00:00+00:00"}"#),
            &["note request-scheduled"],
        ),
        (
            |c| c.config = json!([]),
            &["warning config-missing", "note rewind"],
        ),
        (|c| c.set("ttl", json!("abc")), &["problem config-refused"]),
        (|c| c.set("ttl", json!(25)), &["warning timeouts"]),
        (
            |c| {
                c.set("pause", json!(true));
                for name in ["a", "b", "c"] {
                    c.say(name, "pause", json!(true));
                }
            },
            &["warning paused"],
        ),
        (
            |c| c.set("maximum_lag_on_failover", json!("lots")),
            &["warning lag-limit"],
        ),
        (
            |c| c.set("maximum_lag_on_failover", json!(0)),
            &["warning lag-limit"],
        ),
        (|c| c.config = json!({}), &["note rewind"]),
        (
            |c| c.config["postgresql"]["parameters"] = json!({"wal_log_hints": "off"}),
            &["note rewind"],
        ),
        (
            |c| c.set("failsafe_mode", json!(true)),
            &["warning failsafe-missing"],
        ),
        (
            |c| {
                c.set("failsafe_mode", json!(true));
                let names = ["a", "b"].map(|name| (MemberName::new(name), String::new()));
                c.cluster.failsafe = Some(names.into());
            },
            &["warning failsafe-missing c"],
        ),
        (
            |c| {
                c.say(
                    "b",
                    "database_system_identifier",
                    json!("7300000000000000002"),
                );
            },
            &["problem system-identifier b"],
        ),
        (
            |c| c.say("b", "server_version", json!(160_009)),
            &["problem postgres-major"],
        ),
        (
            |c| c.say("b", "server_version", json!(170_004)),
            &["note postgres-version"],
        ),
        (
            |c| {
                c.say(
                    "b",
                    "patroni",
                    json!({"scope": "demo", "name": "b", "version": "4.0.1"}),
                );
            },
            &["note daemon-version"],
        ),
        (
            |c| c.ahead = SignedDuration::from_secs(5),
            &["warning clock a", "warning clock b", "warning clock c"],
        ),
        (|c| c.ahead = SignedDuration::from_secs(2), &[]),
    ];
    let mut wrong = Vec::new();
    for (index, (fault, expected)) in table.iter().enumerate() {
        let mut case = Case::healthy();
        fault(&mut case);
        let found: Vec<String> = examine(&case.facts()).iter().map(short).collect();
        if found != *expected {
            wrong.push(format!(
                "row {index} gives {found:?} instead of {expected:?}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn reports_tell_figures_and_the_way_out() {
    let mut case = Case::healthy();
    case.cluster.status.optime = Lsn::new(9_000_000);
    case.says.insert("c", None);
    case.set("pause", json!(true));
    for name in ["a", "b"] {
        case.say(name, "pause", json!(true));
    }
    let facts = case.facts();
    let findings = examine(&facts);
    assert_eq!(
        lines(&facts, &findings).join("\n"),
        "\
Cluster demo: leader a, 3 members, read from etcd3 in 4 ms
1 problem, 3 warnings, 0 notes

problem  nobody can take over: b is lagging by 8995000 bytes (limit 1048576); c is not reachable [no-candidate]
         -> remove one of these obstacles, told below

warning  b: it is lagging by 8995000 bytes (limit 1048576) [lag]
         -> find what holds its replay or the network up, or raise maximum_lag_on_failover

warning  c: its REST API does not answer from here: connection refused [silent]
         -> start its daemon, or look at restapi.connect_address, certificates and firewalls: members must reach each other there, too

warning  the cluster is paused: nobody takes over by itself [paused]
         -> patronictl resume"
    );
    let told = document(&facts, &findings);
    assert_eq!(
        (&told["problems"], &told["warnings"]),
        (&json!(1), &json!(3))
    );
    assert_eq!(told["findings"][1]["member"], json!("b"));
    assert_eq!(told["findings"][1]["severity"], json!("warning"));
}
