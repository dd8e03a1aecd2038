//! The schemas of bodies.

use patroni_core::account::{Kind, Turn};
use patroni_core::{Role, State};
use serde_json::{Map, Value, json};

use super::super::mpp::MppEventKind;

/// A reference to a schema.
pub(super) fn link(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

/// All schemas by their names.
pub(super) fn all() -> Map<String, Value> {
    let schemas = [
        ("Status", status()),
        ("Position", position()),
        ("Sender", sender()),
        ("Role", words(Role::ALL.map(Role::as_str))),
        ("State", state()),
        ("Tags", anything("configured values")),
        ("PendingReasons", pending_reasons()),
        ("ScheduledRestart", scheduled_restart()),
        ("Cluster", cluster()),
        ("Member", member()),
        ("History", history()),
        ("Configuration", anything("the object as stored")),
        ("ConfigurationChange", configuration_change()),
        ("FailsafeMembers", map_of(&text())),
        ("Journal", journal()),
        ("Account", account()),
        ("Event", event()),
        ("Snapshot", snapshot()),
        ("Change", change()),
        ("Restart", restart()),
        ("Reinitialize", reinitialize()),
        ("Switchover", switchover()),
        ("Failover", failover()),
        ("FailsafeAnnouncement", failsafe_announcement()),
        ("MppEvent", mpp_event()),
        ("Description", anything("an OpenAPI 3.1 document")),
    ];
    schemas
        .map(|(name, schema)| (name.to_owned(), schema))
        .into_iter()
        .collect()
}

fn text() -> Value {
    json!({"type": "string"})
}

fn integer() -> Value {
    json!({"type": "integer"})
}

fn flag() -> Value {
    json!({"type": "boolean"})
}

/// Present only when true.
fn only_true() -> Value {
    json!({"const": true})
}

fn or_null(kind: &str) -> Value {
    json!({"type": [kind, "null"]})
}

fn words<const N: usize>(words: [&str; N]) -> Value {
    json!({"type": "string", "enum": &words[..]})
}

fn list_of(items: &Value) -> Value {
    json!({"type": "array", "items": items})
}

fn map_of(values: &Value) -> Value {
    json!({"type": "object", "additionalProperties": values})
}

fn anything(about: &str) -> Value {
    json!({"type": "object", "additionalProperties": true, "description": about})
}

/// An object; of its keys the named ones are always there.
fn object(properties: Value, required: &[&str]) -> Value {
    let mut schema = Map::new();
    schema.insert("type".to_owned(), "object".into());
    schema.insert("properties".to_owned(), properties);
    if !required.is_empty() {
        schema.insert("required".to_owned(), required.into());
    }
    schema.into()
}

fn state() -> Value {
    let mut all = State::ALL.map(State::as_str).to_vec();
    all.push("unknown");
    json!({"type": "string", "enum": all})
}

fn status() -> Value {
    object(
        json!({
            "state": link("State"),
            "postmaster_start_time": or_null("string"),
            "role": link("Role"),
            "server_version": integer(),
            "xlog": link("Position"),
            "sync_standby": only_true(),
            "quorum_standby": only_true(),
            "timeline": or_null("integer"),
            "replication_state": text(),
            "replication": list_of(&link("Sender")),
            "pause": only_true(),
            "cluster_unlocked": only_true(),
            "failsafe_mode_is_active": only_true(),
            "dcs_last_seen": integer(),
            "tags": link("Tags"),
            "database_system_identifier": text(),
            "pending_restart": only_true(),
            "pending_restart_reason": link("PendingReasons"),
            "patroni": object(
                json!({"version": text(), "scope": text(), "name": text()}),
                &["version", "scope", "name"],
            ),
            "scheduled_restart": link("ScheduledRestart"),
            "watchdog_failed": only_true(),
            "replication_problem": text(),
            "accepts_connections": json!({"const": false}),
            "copy": copy(),
            "logger_queue_size": integer(),
            "logger_records_lost": integer(),
        }),
        &["state", "role", "dcs_last_seen", "patroni"],
    )
}

/// How far the copy is that this member is made of.
fn copy() -> Value {
    let number = || or_null("integer");
    object(
        json!({
            "bytes": integer(),
            "total": number(),
            "percent": number(),
            "seconds": integer(),
            "seconds_left": number(),
        }),
        &["bytes", "total", "percent", "seconds", "seconds_left"],
    )
}

/// The flushed position of a primary, or those of a server in recovery.
fn position() -> Value {
    object(
        json!({
            "location": integer(),
            "received_location": integer(),
            "replayed_location": integer(),
            "replayed_timestamp": or_null("string"),
            "paused": flag(),
            "replays_own_wal": only_true(),
            "may_stream": only_true(),
        }),
        &[],
    )
}

fn sender() -> Value {
    let properties = json!({
        "usename": text(),
        "application_name": text(),
        "client_addr": or_null("string"),
        "state": text(),
        "sync_state": text(),
        "sync_priority": integer(),
    });
    object(
        properties,
        &["usename", "application_name", "state", "sync_state"],
    )
}

fn pending_reasons() -> Value {
    map_of(&object(
        json!({"old_value": text(), "new_value": text()}),
        &["old_value", "new_value"],
    ))
}

fn scheduled_restart() -> Value {
    object(
        json!({
            "schedule": text(),
            "role": text(),
            "postgres_version": text(),
            "timeout": integer(),
            "restart_pending": json!({}),
            "postmaster_start_time": text(),
        }),
        &["schedule"],
    )
}

fn cluster() -> Value {
    let switchover = object(json!({"at": text(), "from": text(), "to": text()}), &["at"]);
    object(
        json!({
            "members": list_of(&link("Member")),
            "pause": only_true(),
            "scheduled_switchover": switchover,
            "scope": text(),
        }),
        &["members", "scope"],
    )
}

fn member() -> Value {
    let lag = json!({"anyOf": [integer(), {"const": "unknown"}]});
    let roles = [
        "leader",
        "standby_leader",
        "sync_standby",
        "quorum_standby",
        "replica",
    ];
    object(
        json!({
            "name": text(),
            "role": words(roles),
            "state": text(),
            "api_url": or_null("string"),
            "host": text(),
            "port": integer(),
            "timeline": integer(),
            "pending_restart": only_true(),
            "pending_restart_reason": link("PendingReasons"),
            "scheduled_restart": link("ScheduledRestart"),
            "tags": link("Tags"),
            "receive_lag": lag,
            "receive_lsn": text(),
            "replay_lag": lag,
            "replay_lsn": text(),
            "lag": lag,
            "lsn": text(),
        }),
        &["name", "role", "state", "api_url"],
    )
}

/// Lines of timeline, position, reason, time and new leader; old ones are shorter.
fn history() -> Value {
    let mut line = list_of(&json!({"type": ["integer", "string"]}));
    line["minItems"] = 3.into();
    line["maxItems"] = 5.into();
    list_of(&line)
}

fn configuration_change() -> Value {
    let mut schema = anything("at least one key");
    schema["minProperties"] = 1.into();
    schema
}

fn journal() -> Value {
    let properties = json!({
        "member": text(),
        "enabled": flag(),
        "oldest": or_null("integer"),
        "newest": or_null("integer"),
        "lost": integer(),
        "records": list_of(&link("Account")),
    });
    all_required(properties)
}

fn account() -> Value {
    let refused = json!({"name": text(), "reason": text(), "evidence": text()});
    let act = json!({
        "rule": text(),
        "command": text(),
        "outcome": or_null("string"),
        "failed": flag(),
        "after_ms": integer(),
    });
    let kinds = [Kind::Cycle, Kind::Task].map(|kind| json!(kind));
    let turns = [
        Turn::Steady,
        Turn::TookOver,
        Turn::Promoted,
        Turn::SteppedDown,
        Turn::Refused,
        Turn::StoreLost,
        Turn::Repaired,
        Turn::Other,
    ];
    all_required(json!({
        "number": integer(),
        "member": text(),
        "at": text(),
        "until": text(),
        "times": integer(),
        "kind": {"enum": kinds},
        "turn": {"enum": turns.map(|turn| json!(turn))},
        "rule": text(),
        "about": text(),
        "leader": or_null("string"),
        "former": or_null("string"),
        "revision": or_null("string"),
        "request": or_null("string"),
        "verdict": text(),
        "why": list_of(&text()),
        "refused": list_of(&all_required(refused)),
        "acts": list_of(&all_required(act)),
        "said": list_of(&text()),
    }))
}

fn all_required(properties: Value) -> Value {
    let names: Vec<String> = properties
        .as_object()
        .map(|properties| properties.keys().cloned().collect())
        .unwrap_or_default();
    let mut schema = object(properties, &[]);
    schema["required"] = names.into();
    schema
}

fn event() -> Value {
    json!({
        "type": "string",
        "description": "server-sent events with the fields id, event and data",
    })
}

/// What changes, by its name.
fn parts() -> Map<String, Value> {
    let sync = all_required(json!({
        "mode": words(["off", "priority", "quorum"]),
        "leader": or_null("string"),
        "quorum": integer(),
        "standbys": list_of(&text()),
    }));
    let parts = [
        ("role", link("Role")),
        ("state", link("State")),
        ("leader", or_null("string")),
        ("timeline", or_null("integer")),
        ("pause", flag()),
        ("sync", sync),
        ("store", flag()),
    ];
    parts
        .map(|(name, schema)| (name.to_owned(), schema))
        .into_iter()
        .collect()
}

fn snapshot() -> Value {
    let mut properties = Map::new();
    for name in ["at", "scope", "member"] {
        properties.insert(name.to_owned(), text());
    }
    properties.extend(parts());
    all_required(properties.into())
}

fn change() -> Value {
    let mut properties = parts();
    properties.insert("at".to_owned(), text());
    let mut schema = object(properties.into(), &["at"]);
    schema["minProperties"] = 2.into();
    schema["maxProperties"] = 2.into();
    schema
}

fn restart() -> Value {
    object(
        json!({
            "schedule": text(),
            "role": words(["primary", "standby_leader", "replica"]),
            "postgres_version": text(),
            "timeout": {"type": ["integer", "string"]},
            "restart_pending": flag(),
        }),
        &[],
    )
}

fn reinitialize() -> Value {
    object(json!({"force": flag(), "from_leader": flag()}), &[])
}

fn switchover() -> Value {
    let properties = json!({
        "leader": text(),
        "candidate": text(),
        "scheduled_at": text(),
    });
    object(properties, &["leader"])
}

fn failover() -> Value {
    object(
        json!({"leader": text(), "candidate": text()}),
        &["candidate"],
    )
}

fn failsafe_announcement() -> Value {
    let properties = json!({
        "name": text(),
        "conn_url": or_null("string"),
        "api_url": or_null("string"),
        "slots": map_of(&integer()),
        "ttl": integer(),
    });
    object(properties, &["name"])
}

fn mpp_event() -> Value {
    let number = json!({"type": "number"});
    object(
        json!({
            "type": words(MppEventKind::ALL.map(MppEventKind::as_str)),
            "group": integer(),
            "leader": text(),
            "timeout": number,
            "cooldown": number,
        }),
        &["type", "group", "leader"],
    )
}
