//! The member object: what this node tells the others about itself.

use patroni_core::server::{LocalServer, ServerStatus};
use patroni_core::{MemberData, State, Tags, version};
use patroni_ha::command::MemberNotes;
use serde_json::{Map, Value};

/// The part of the object that comes from the node's own configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_field_names, reason = "the names of the store's fields")]
pub(crate) struct Addresses {
    /// `postgres://host:port/database`
    pub(crate) conn_url: String,
    /// `http(s)://host:port/patroni`
    pub(crate) api_url: String,
    /// The same as `conn_url` for a proxy in front.
    pub(crate) proxy_url: Option<String>,
}

/// Builds the object. Positions are left out while a task other than a promotion is changing
/// the server, while it is not up, or when nothing is known of them. Source: the store contract, section 2.4.
pub(crate) fn member_data(
    addresses: &Addresses,
    tags: &Tags,
    server: &LocalServer,
    positions_are_stable: bool,
    scheduled_restart: Option<&Map<String, Value>>,
    accepts_connections: bool,
    notes: &MemberNotes,
) -> MemberData {
    let mut map = Map::new();
    let mut put = |key: &str, value: Value| {
        map.insert(key.to_owned(), value);
    };
    put("conn_url", addresses.conn_url.as_str().into());
    put("api_url", addresses.api_url.as_str().into());
    put("state", server.state.as_str().into());
    put("role", server.role.as_str().into());
    put("version", version::COMPATIBLE.to_string().into());
    if let Some(proxy_url) = &addresses.proxy_url {
        put("proxy_url", proxy_url.as_str().into());
    }
    if notes.awaits_checkpoint {
        put("checkpoint_after_promote", false.into());
    }
    let tags = notes.overlay(&tags.published());
    if !tags.is_empty() {
        put("tags", tags.as_map().clone().into());
    }
    if !server.pending_restart.is_empty() {
        put("pending_restart", true.into());
        put("pending_restart_reason", pending_reasons(server));
    }
    let is_up = matches!(
        server.state,
        State::Running | State::Restarting | State::Starting
    );
    if let Some(status) = server.status.known()
        && positions_are_stable
        && is_up
    {
        put_positions(status, &mut put);
    }
    if let Some(request) = scheduled_restart {
        put("scheduled_restart", request.clone().into());
    }
    if notes.paused {
        put("pause", true.into());
    }
    if let Some(trouble) = &notes.trouble {
        put("replication_problem", trouble.to_string().into());
    }
    if !accepts_connections {
        put("accepts_connections", false.into());
    }
    MemberData::new(map)
}

fn put_positions(status: &ServerStatus, put: &mut impl FnMut(&str, Value)) {
    put("xlog_location", status.main_position().bytes().into());
    if status.in_recovery() {
        for (key, position) in [
            ("replay_lsn", status.replayed),
            ("receive_lsn", status.received),
        ] {
            if let Some(position) = position.filter(|position| position.bytes() > 0) {
                put(key, position.bytes().into());
            }
        }
        if let Some(state) = status.replication_state() {
            put("replication_state", state.into());
        }
    }
    if let Some(timeline) = status.timeline() {
        put("timeline", timeline.number().into());
    }
}

fn pending_reasons(server: &LocalServer) -> Value {
    let reason = |values: &patroni_core::server::PendingParameter| {
        let mut map = Map::new();
        map.insert("old_value".to_owned(), values.old_value.as_str().into());
        map.insert("new_value".to_owned(), values.new_value.as_str().into());
        Value::Object(map)
    };
    let reasons: Map<String, Value> = server
        .pending_restart
        .iter()
        .map(|(name, values)| (name.clone(), reason(values)))
        .collect();
    reasons.into()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use patroni_core::server::{Answer, CheckpointTask, DataDir, Process, RewindAbility};
    use patroni_core::{Lsn, Moment, Role, Timeline};

    use super::*;

    fn primary(state: State) -> LocalServer {
        LocalServer {
            state,
            state_since: Moment::default(),
            role: Role::Primary,
            process: Process::Running,
            data_dir: DataDir::Present,
            system_id: None,
            major_version: Some(150_000),
            status: Answer::Known(ServerStatus {
                primary_timeline: Some(Timeline::FIRST),
                position: Lsn::new(100),
                ..ServerStatus::default()
            }),
            control: None,
            has_recovery_signal: false,
            has_backup_label: false,
            disk_is_full: false,
            half_rewound: false,
            rewind: RewindAbility::Possible,
            pending_restart: BTreeMap::new(),
            postmaster_start_time: None,
            callback_ran: true,
            checkpoint: CheckpointTask::Done,
        }
    }

    fn has_position(state: State, positions_are_stable: bool) -> bool {
        let data = member_data(
            &Addresses::default(),
            &Tags::default(),
            &primary(state),
            positions_are_stable,
            None,
            true,
            &MemberNotes::default(),
        );
        data.as_map().contains_key("xlog_location")
    }

    #[test]
    fn a_position_is_published_only_of_a_server_that_is_up_and_left_alone() {
        assert!(has_position(State::Running, true));
        assert!(!has_position(State::Running, false));
        for state in [State::Restarting, State::Starting] {
            assert!(has_position(state, true), "{state:?}");
        }
        for state in [State::Stopping, State::Stopped, State::Crashed] {
            assert!(!has_position(state, true), "{state:?}");
        }
    }
}
