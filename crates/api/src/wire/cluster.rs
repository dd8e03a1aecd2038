//! `GET /cluster`, also what the control tool lists.

use patroni_config::dynamic::{Dynamic, SynchronousMode};
use patroni_core::{Cluster, ConnUrl, Lsn, Member, Scope};
use serde_json::{Map, Value};

/// The document of a cluster.
pub fn document(cluster: &Cluster, dynamic: &Dynamic, scope: &Scope) -> Map<String, Value> {
    let mut doc = Map::new();
    let mut members: Vec<&Member> = cluster.members.iter().collect();
    members.sort_by(|a, b| a.name.cmp(&b.name));
    let members: Vec<Value> = members
        .into_iter()
        .map(|member| Value::Object(member_object(member, cluster, dynamic)))
        .collect();
    doc.insert("members".to_owned(), members.into());
    if dynamic.pause {
        doc.insert("pause".to_owned(), true.into());
    }
    if let Some(switchover) = scheduled_switchover(cluster) {
        doc.insert("scheduled_switchover".to_owned(), switchover.into());
    }
    doc.insert("scope".to_owned(), scope.as_str().into());
    doc
}

fn scheduled_switchover(cluster: &Cluster) -> Option<Map<String, Value>> {
    let request = &cluster.failover.as_ref()?.request;
    let at = request.scheduled_at.as_ref()?;
    let mut object = Map::new();
    object.insert("at".to_owned(), at.text().into());
    if let Some(leader) = &request.leader {
        object.insert("from".to_owned(), leader.as_str().into());
    }
    if let Some(candidate) = &request.candidate {
        object.insert("to".to_owned(), candidate.as_str().into());
    }
    Some(object)
}

/// The word for a member's role in its cluster.
pub fn role(member: &Member, cluster: &Cluster, dynamic: &Dynamic) -> &'static str {
    if cluster.leader_name() == Some(&member.name) {
        return if dynamic.standby_cluster.is_some() {
            "standby_leader"
        } else {
            "leader"
        };
    }
    match dynamic.synchronous_mode {
        SynchronousMode::Priority if cluster.sync.has_standby(&member.name) => "sync_standby",
        SynchronousMode::Quorum if cluster.sync.has_standby(&member.name) => "quorum_standby",
        SynchronousMode::Off | SynchronousMode::Priority | SynchronousMode::Quorum => "replica",
    }
}

fn member_object(member: &Member, cluster: &Cluster, dynamic: &Dynamic) -> Map<String, Value> {
    let data = &member.data;
    let stored = data.as_map();
    let role = role(member, cluster, dynamic);
    let mut object = Map::new();
    let mut put = |key: &str, value: Value| {
        object.insert(key.to_owned(), value);
    };
    put("name", member.name.as_str().into());
    put("role", role.into());
    let replication = data.replication_state().filter(|_| role != "leader");
    let state = replication.or_else(|| stored.get("state").and_then(Value::as_str));
    put("state", state.unwrap_or_default().into());
    put("api_url", data.api_url().into());
    if let Some(url) = data.conn_url().as_deref().and_then(ConnUrl::parse) {
        put("host", url.host.into());
        put("port", url.port.into());
    }
    if let Some(timeline) = data.timeline() {
        put("timeline", timeline.number().into());
    }
    if data.pending_restart() {
        put("pending_restart", true.into());
    }
    for key in ["pending_restart_reason", "scheduled_restart", "tags"] {
        let value = stored.get(key).and_then(Value::as_object);
        // empty tags are shown, as in the reference
        let value = value.filter(|map| key == "tags" || !map.is_empty());
        if let Some(value) = value {
            put(key, value.clone().into());
        }
    }
    if cluster.leader_name() != Some(&member.name) {
        let newest = cluster.status.optime;
        put_lag(
            ("receive_lag", "receive_lsn"),
            data.receive_lsn(),
            newest,
            &mut put,
        );
        put_lag(
            ("replay_lag", "replay_lsn"),
            data.replay_lsn(),
            newest,
            &mut put,
        );
        put_lag(("lag", "lsn"), data.position(), newest, &mut put);
    }
    object
}

/// Lag and position under their keys; an unknown pair has the text `unknown`, position first.
/// Zero is how old versions say that they do not know.
fn put_lag(
    (lag, lsn): (&str, &str),
    at: Option<Lsn>,
    newest: Lsn,
    put: &mut impl FnMut(&str, Value),
) {
    if let Some(at) = at.filter(|at| at.bytes() > 0) {
        put(lag, at.lag_behind(newest).into());
        put(lsn, at.to_string().into());
    } else {
        put(lsn, "unknown".into());
        put(lag, "unknown".into());
    }
}
