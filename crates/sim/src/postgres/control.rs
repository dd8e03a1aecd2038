//! What a daemon sees of its server, and of another one.

use std::collections::BTreeMap;

use patroni_core::server::{
    Answer, ControlData, ControlState, DataDir, LocalServer, RewindAbility, ServerStatus,
    WalReceiver, WalSender,
};
use patroni_core::{HistoryLine, Lsn, Role, State, Timeline};
use patroni_ha::command::RewindSource;
use patroni_ha::outcome::{InspectFailure, LeaderInspection, LocalPosition};

use super::server::{Data, Process, Server};
use super::slots;
use crate::network::Traffic;
use crate::world::World;

/// PostgreSQL 15.
const MAJOR_VERSION: u32 = 150_000;

impl World {
    /// One look of the daemon at its server. The supervisor's own state follows what it sees.
    pub(crate) fn look(&mut self, node: usize) -> LocalServer {
        self.notice(node);
        let slow = self.chance.percent(self.slow_queries) || self.nodes[node].stalls;
        let here = &self.nodes[node];
        let (server, daemon) = (&here.server, &here.daemon);
        let status = if !server.accepts() {
            Answer::NotAsked
        } else if !slow {
            Answer::Known(self.status(server))
        } else {
            Answer::Unknown("timeout".to_owned())
        };
        let data = server.data.as_ref();
        LocalServer {
            state: daemon.supervised.state,
            state_since: daemon.supervised.since,
            role: daemon.supervised.role,
            process: if server.runs() {
                patroni_core::server::Process::Running
            } else {
                patroni_core::server::Process::Absent
            },
            data_dir: match data {
                Some(_) => DataDir::Present,
                None if here.disk_away => DataDir::Inaccessible("Input/output error".to_owned()),
                None => DataDir::Empty,
            },
            system_id: data.and_then(|data| data.system.clone()),
            major_version: Some(MAJOR_VERSION),
            control: data
                .filter(|_| status.known().is_none())
                .map(|data| self.control_file(data)),
            status,
            has_recovery_signal: data.is_some_and(|data| data.signal),
            has_backup_label: data.is_some_and(|data| data.label),
            disk_is_full: false,
            half_rewound: data.is_some_and(|data| data.torn),
            rewind: if here.traits.can_rewind {
                RewindAbility::Possible
            } else {
                RewindAbility::Disabled
            },
            pending_restart: BTreeMap::new(),
            postmaster_start_time: server.runs().then(|| format!("{:?}", server.started)),
            callback_ran: daemon.supervised.callback_ran,
            checkpoint: daemon.supervised.checkpoint,
        }
    }

    /// The supervisor follows the process: a start that ended well or badly.
    fn notice(&mut self, node: usize) {
        let here = &mut self.nodes[node];
        let now = here.clock.read(self.now);
        let supervised = &mut here.daemon.supervised;
        if !supervised.state.is_starting() {
            return;
        }
        if here.server.accepts() {
            supervised.state = State::Running;
            supervised.since = now;
            supervised.callback_ran = true;
        } else if !here.server.runs() {
            supervised.state = State::StartFailed;
            supervised.since = now;
        }
    }

    fn control_file(&self, data: &Data) -> ControlData {
        ControlData {
            state: data.control.clone(),
            checkpoint: Some(data.checkpoint.begin),
            checkpoint_timeline: Some(self.wal.get(data.checkpoint.branch).number),
            min_recovery: data.signal.then_some(data.flushed),
            min_recovery_timeline: data.signal.then(|| self.wal.get(data.branch).number),
            lines: Vec::new(),
        }
    }

    pub(super) fn status(&self, server: &Server) -> ServerStatus {
        let Some(data) = &server.data else {
            return ServerStatus::default();
        };
        let timeline = self.wal.get(data.branch).number;
        let states = server.sync_states(&self.names);
        let primary = server.is_primary();
        ServerStatus {
            primary_timeline: primary.then_some(timeline),
            position: if primary { data.flushed } else { Lsn::ZERO },
            replayed: (!primary).then_some(data.replayed),
            received: server.received.filter(|_| !primary),
            // The node asks over a replication connection when the WAL receiver is gone.
            receiver_timeline: (!primary).then_some(timeline),
            receiver: (server.receiving && !primary).then(|| WalReceiver {
                status: "streaming".to_owned(),
                slot_name: None,
                conninfo: String::new(),
            }),
            slots: Some(slots::rows(server, data, &self.names)),
            synchronous_commit: "on".to_owned(),
            synchronous_standby_names: server.sync_names().to_string(),
            wal_senders: server
                .senders
                .iter()
                .map(|(node, sender)| WalSender {
                    application_name: self.names[*node].clone(),
                    sync_state: states.get(node).copied().unwrap_or("async").to_owned(),
                    write: Some(sender.write),
                    flush: Some(sender.flush),
                    replay: Some(sender.replay),
                    unanswered: (sender.flush < data.flushed).then(|| self.now.since(sender.moved)),
                })
                .collect(),
            ..ServerStatus::default()
        }
    }

    /// The timeline that a server shows, when it answers.
    pub(crate) fn timeline(&self, node: usize) -> Option<Timeline> {
        let server = &self.nodes[node].server;
        let data = server.data.as_ref().filter(|_| server.accepts())?;
        Some(self.wal.get(data.branch).number)
    }

    /// The position that a server shows, when it answers.
    pub(crate) fn position(&self, node: usize) -> Option<Lsn> {
        let server = &self.nodes[node].server;
        server
            .accepts()
            .then(|| self.status(server).main_position())
    }

    /// Another server's timeline and history, over a replication connection.
    pub(crate) fn inspect(
        &self,
        node: usize,
        source: &RewindSource,
    ) -> Result<LeaderInspection, InspectFailure> {
        let name = match source {
            RewindSource::Member(leader) => &leader.name,
            RewindSource::Remote { .. } => return self.inspect_the_remote(),
        };
        let unreachable = || InspectFailure::Failed("connection refused".to_owned());
        let there = self.node_named(name).ok_or_else(unreachable)?;
        let server = &self.nodes[there].server;
        let reached = self.network.reaches(Traffic::Postgres, node, there)
            && server.accepts()
            && !self.nodes[there].stands_still();
        let data = server.data.as_ref().filter(|_| reached);
        let data = data.ok_or_else(unreachable)?;
        if server.in_recovery() {
            return Err(InspectFailure::InRecovery);
        }
        let history = self.wal.history(data.branch);
        Ok(LeaderInspection {
            timeline: self.wal.get(data.branch).number,
            lines: history.iter().map(|(t, at)| format!("{t}\t{at}")).collect(),
            history: Some(history),
            flushed: Some(data.flushed),
        })
    }

    /// The local end of history, from a running standby or a control file that has one.
    pub(crate) fn local_position(&self, node: usize) -> Option<LocalPosition> {
        let server = &self.nodes[node].server;
        let data = server.data.as_ref()?;
        let timeline = self.wal.get(data.branch).number;
        let standby = |lsn| LocalPosition {
            in_recovery: true,
            timeline,
            lsn,
            checkpoint_end: None,
            history: Some(self.wal.history(data.branch)),
            unfinished: false,
        };
        let checkpoint = LocalPosition {
            in_recovery: false,
            timeline: self.wal.get(data.checkpoint.branch).number,
            lsn: data.checkpoint.begin,
            checkpoint_end: Some(data.checkpoint.end),
            history: Some(self.wal.history(data.checkpoint.branch)),
            unfinished: false,
        };
        match (server.process, &data.control) {
            (Process::Standby, _) => Some(standby(data.replayed)),
            (Process::Absent, ControlState::ShutDown) => Some(checkpoint),
            (
                Process::Absent,
                ControlState::ShutDownInRecovery | ControlState::InArchiveRecovery,
            ) => Some(standby(data.flushed)),
            (
                Process::Absent
                | Process::Starting
                | Process::Promoting
                | Process::Primary
                | Process::Draining
                | Process::Drained
                | Process::Dying,
                _,
            ) => None,
        }
    }

    /// Whether the history file of this timeline is among the files.
    pub(crate) fn has_history(&self, node: usize, timeline: Timeline) -> bool {
        let data = self.nodes[node].server.data.as_ref();
        data.is_some_and(|data| {
            let own = self.wal.get(data.branch).number == timeline;
            let earlier = self.wal.history(data.branch);
            own || earlier.iter().any(|(known, _)| *known == timeline)
        })
    }

    /// The history file of the running primary's timeline.
    pub(crate) fn timeline_history(&self, node: usize) -> Result<Vec<HistoryLine>, String> {
        let data = self.nodes[node].server.data.as_ref();
        let data = data.ok_or_else(|| "no such file".to_owned())?;
        let lines = self.wal.history(data.branch).into_iter();
        Ok(lines
            .map(|(timeline, switchpoint)| HistoryLine {
                timeline,
                switchpoint,
                reason: "no recovery target specified".to_owned(),
                timestamp: Some("2026-01-01T00:00:00+00:00".to_owned()),
                new_leader: None,
            })
            .collect())
    }

    /// The role that a starting daemon takes from what it finds.
    pub(crate) fn role_found(&self, node: usize) -> Role {
        let server = &self.nodes[node].server;
        match (&server.data, server.process) {
            (None, _) => Role::Uninitialized,
            (Some(_), Process::Primary) => Role::Primary,
            (Some(data), Process::Absent) if !data.signal => Role::Demoted,
            (Some(data), _) if data.signal => Role::Replica,
            (Some(_), _) => Role::Primary,
        }
    }
}
