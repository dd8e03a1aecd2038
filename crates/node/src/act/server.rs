//! Commands to the local server.

use std::sync::Arc;
use std::time::{Duration, Instant};

use patroni_api::wire::{Row, SenderRow, ServerFacts, ServerRow};
use patroni_core::server::{Answer, CheckpointTask};
use patroni_core::{Role, State};
use patroni_ha::command::{
    self, CallbackEvent, CloneSource, Command, Parting, RewindSource, StopMode,
};
use patroni_ha::outcome::{
    HookOutcome, InspectFailure, LeaderInspection, LocalPosition, Outcome, RecoveryChange,
    RewindOutcome, ShutdownPoint, StartOutcome, StopOutcome,
};
use patroni_postgres as pg;
use patroni_postgres::{Ask, Cancel, CopyFrom, RewindFrom, hooks, rewind};
use tracing::{error, warn};

use super::{Body, LOOK};
use crate::wake::Wake;

/// The longest a status query may be old for REST.
pub(super) const FRESH: Duration = Duration::from_millis(100);

impl Body {
    pub(super) async fn carry_out_on_server(&self, command: Command, cancel: &Cancel) -> Outcome {
        use Command as C;
        let server = &self.supervisor;
        match command {
            C::Requery => self.requery().await,
            C::SetState(state) => {
                server.set_state(state);
                Outcome::Done
            }
            C::SetRole(role) => {
                server.set_role(role);
                self.phases.role_is(role, Instant::now());
                if role == Role::Demoted {
                    // Proxies must not wait for the end of the cycle, which brings the server
                    // back first.
                    self.publish(|snapshot| snapshot.lock_until = None);
                }
                Outcome::Done
            }
            C::RunCallback(event, role) => {
                self.callbacks.run(event, role);
                Outcome::Done
            }
            C::PrePromote => self.pre_promote(cancel).await,
            C::Stop(request) => Outcome::Stopped(self.stop(request, cancel).await),
            C::Start(request) => Outcome::Started(self.start(request, cancel).await),
            C::Promote => Outcome::Success(self.promote().await),
            C::WaitProduction { at_most } => {
                Outcome::Success(server.wait_production(at_most).await)
            }
            C::StartCheckpoint => {
                self.start_checkpoint();
                Outcome::Done
            }
            C::CompareRecovery(upstream) => {
                Outcome::Recovery(match server.compare_recovery(&upstream).await {
                    pg::RecoveryChange::Same => RecoveryChange::Same,
                    pg::RecoveryChange::Reload => RecoveryChange::Reload,
                    pg::RecoveryChange::Restart => RecoveryChange::Restart,
                })
            }
            C::ReloadRecovery(upstream) => Outcome::Success(self.reload_recovery(&upstream).await),
            C::SetSyncNames(names) => Outcome::Success(self.set_sync_names(names).await),
            C::ResumeReplay => {
                logged("resume the replay", server.resume_replay().await);
                Outcome::Done
            }
            C::InspectLeader(source) => {
                Outcome::LeaderInspected(self.inspect_leader(&source).await)
            }
            C::LocalPosition => Outcome::LocalPosition(self.local_position().await),
            C::ReadTimelineHistory => Outcome::TimelineHistory(self.timeline_history()),
            C::HasHistory(timeline) => Outcome::Success(server.has_history(timeline)),
            C::PgRewind { source, parting } => {
                Outcome::Rewound(self.rewind(&source, parting, cancel).await)
            }
            C::SingleUserRecovery => Outcome::Success(server.single_user_recovery(cancel).await),
            C::ArchiveReadyWal => {
                server.archive_ready_wal(cancel).await;
                Outcome::Done
            }
            C::IsArchiving => Outcome::Success(server.is_archiving().await),
            C::ArchiveShutdownCheckpoint => {
                Outcome::Success(server.archive_shutdown_checkpoint(cancel).await)
            }
            C::RemoveDataDir(_) => {
                server.remove_data_dir().await;
                Outcome::Success(server.data_dir_state() != patroni_core::server::DataDir::Present)
            }
            C::MoveDataDirAside => {
                server.move_data_dir_aside().await;
                Outcome::Done
            }
            C::CreateCluster => Outcome::Success(server.create_cluster(cancel).await),
            C::PostInit => Outcome::Success(server.post_init(cancel).await),
            C::CloneFrom(source) => {
                self.citus.reload_table();
                Outcome::Success(self.copy(source, cancel).await)
            }
            C::ResyncAfterPause => {
                server.forget_data();
                self.citus.reload_table();
                Outcome::Done
            }
            other => unreachable!("not a command to the server: {other:?}"),
        }
    }

    /// A new look, which also is what the member object is built from.
    async fn requery(&self) -> Outcome {
        let role = self.supervisor.role();
        let dynamic = self.settings().dynamic.clone();
        let ask = Ask {
            slots: true,
            sync: dynamic.is_synchronous() && matches!(role, Role::Primary | Role::Promoted),
            standby_leader: role == Role::StandbyLeader,
        };
        let server = self.supervisor.observe(ask, LOOK).await;
        self.note_server(&server);
        Outcome::Server(Box::new(server))
    }

    async fn reload_recovery(&self, upstream: &patroni_core::Upstream) -> bool {
        let server = &self.supervisor;
        let told = match server.write_recovery(upstream).await {
            Ok(()) => server.reload().await,
            Err(reason) => Err(reason),
        };
        let reloaded = logged("change the recovery settings", told);
        if reloaded {
            self.callbacks.run(CallbackEvent::Reload, server.role());
        }
        reloaded
    }

    async fn pre_promote(&self, cancel: &Cancel) -> Outcome {
        let settings = self.supervisor.settings();
        if settings.pre_promote.is_none() {
            return Outcome::Hook(HookOutcome::NotConfigured);
        }
        let passed = hooks::run_pre_promote(&settings, cancel).await;
        Outcome::Hook(match passed {
            true => HookOutcome::Exited(Some(0)),
            false if cancel.is_cancelled() => HookOutcome::Cancelled,
            false => HookOutcome::Exited(Some(1)),
        })
    }

    async fn stop(&self, request: command::StopRequest, cancel: &Cancel) -> StopOutcome {
        if !request.restart {
            let role = self.supervisor.role();
            self.phases.stop_begun(role, Instant::now());
        }
        let preparation = pg::StopPreparation {
            checkpoint: request.checkpoint,
            timeout: request.timeout,
            restart: request.restart,
        };
        let signal_follows = self.supervisor.prepare_stop(preparation, cancel).await;
        if signal_follows && request.announce {
            self.announce_stop().await;
        }
        let until = match request.until {
            command::Until::ShutDownState => pg::Until::ShutDownState,
            command::Until::Exit => pg::Until::Exit,
        };
        let mode = match request.mode {
            StopMode::Fast => pg::StopMode::Fast,
            StopMode::Immediate => pg::StopMode::Immediate,
        };
        let outcome = self
            .supervisor
            .stop(pg::StopRequest {
                mode,
                until,
                timeout: request.timeout,
                restart: request.restart,
            })
            .await;
        if outcome.ended_by_signal && !request.restart {
            self.callbacks
                .run(CallbackEvent::Stop, self.supervisor.role());
        }
        let point = match outcome.shutdown {
            Some(point) if request.until == command::Until::Exit => {
                Some(self.supervisor.refine_shutdown_point(point).await)
            }
            point => point,
        };
        let shutdown = point.map(|point| ShutdownPoint {
            checkpoint: point.checkpoint,
            previous: point.previous,
        });
        StopOutcome {
            stopped: outcome.stopped,
            shutdown,
        }
    }

    async fn start(&self, request: command::StartRequest, cancel: &Cancel) -> StartOutcome {
        if request.needs_lease && !self.may_lead() {
            let why = "the leader lock is not held any more, not starting as primary";
            error!("{why}");
            return StartOutcome::Failed(why.to_owned());
        }
        let event = if request.restart {
            CallbackEvent::Restart
        } else {
            CallbackEvent::Start
        };
        let due = (!request.bootstrap && !request.role_change).then_some(event);
        self.callbacks.when_running(due);
        let outcome = self
            .supervisor
            .start(
                pg::StartRequest {
                    role: request.role,
                    upstream: request.upstream,
                    timeout: request.timeout,
                },
                cancel,
            )
            .await;
        if request.role_change {
            self.callbacks.run(CallbackEvent::RoleChange, request.role);
        }
        let is_up = outcome == pg::StartOutcome::Running;
        if is_up && request.restart && request.role == Role::Primary {
            self.note_restarted();
        }
        match outcome {
            pg::StartOutcome::Running => StartOutcome::Running,
            pg::StartOutcome::StillStarting => StartOutcome::Unfinished,
            pg::StartOutcome::Failed(why) => StartOutcome::Failed(why),
            pg::StartOutcome::Cancelled => StartOutcome::Failed("cancelled".to_owned()),
        }
    }

    /// The last look at the lease before the point of no return. In a pause nothing is promised
    /// to anybody, and a person asked for it.
    fn may_lead(&self) -> bool {
        self.settings().dynamic.pause || self.lease.is_held(self.clock.now())
    }

    async fn promote(&self) -> bool {
        if self.may_lead() {
            self.announce_promotion().await;
        }
        if !self.may_lead() {
            error!("the leader lock is not held any more, not promoting");
            return false;
        }
        let promoted = logged("promote", self.supervisor.promote().await);
        if promoted {
            self.citus.reload_table();
        }
        self.tell_guardian();
        promoted
    }

    fn start_checkpoint(&self) {
        let server = self.supervisor.clone();
        let wakes = Arc::clone(&self.wakes);
        server.set_checkpoint_task(CheckpointTask::Running);
        self.background.spawn(async move {
            let done = server.checkpoint(None).await.is_ok();
            server.set_checkpoint_task(if done {
                CheckpointTask::Done
            } else {
                CheckpointTask::Failed
            });
            wakes.wake(Wake::CheckpointEnded);
        });
    }

    async fn set_sync_names(&self, names: patroni_core::SyncNames) -> bool {
        let names = (names != patroni_core::SyncNames::off()).then_some(names);
        match self.supervisor.set_sync_names(names).await {
            Ok(changed) => {
                if changed && self.supervisor.state() == State::Running {
                    self.callbacks
                        .run(CallbackEvent::Reload, self.supervisor.role());
                }
                true
            }
            Err(reason) => {
                error!("failed to set synchronous_standby_names: {reason}");
                false
            }
        }
    }

    async fn inspect_leader(
        &self,
        source: &RewindSource,
    ) -> Result<LeaderInspection, InspectFailure> {
        let found = self
            .supervisor
            .inspect_leader(&rewind_from(source))
            .await
            .map_err(InspectFailure::Failed)?;
        if found.in_recovery {
            return Err(InspectFailure::InRecovery);
        }
        let switches = found.history;
        let lines = switches
            .iter()
            .flatten()
            .map(|(timeline, lsn, reason)| format!("{timeline}\t{lsn}\t{reason}"));
        Ok(LeaderInspection {
            timeline: found.timeline,
            flushed: Some(found.flushed),
            lines: lines.collect(),
            history: switches.map(|switches| {
                switches
                    .into_iter()
                    .map(|(timeline, lsn, _)| (timeline, lsn))
                    .collect()
            }),
        })
    }

    async fn local_position(&self) -> Option<LocalPosition> {
        let Some((position, checkpoint_end)) = self.supervisor.local_position().await else {
            return self.unfinished_position().await;
        };
        Some(LocalPosition {
            in_recovery: position.in_recovery,
            timeline: position.timeline,
            lsn: position.lsn,
            checkpoint_end,
            history: self.supervisor.earlier_timelines(position.timeline),
            unfinished: false,
        })
    }

    /// What a crashed primary's files tell before its recovery.
    async fn unfinished_position(&self) -> Option<LocalPosition> {
        let (timeline, lsn) = self.supervisor.unfinished_position().await?;
        Some(LocalPosition {
            in_recovery: false,
            timeline,
            lsn,
            checkpoint_end: None,
            history: self.supervisor.earlier_timelines(timeline),
            unfinished: true,
        })
    }

    fn timeline_history(&self) -> Result<Vec<patroni_core::HistoryLine>, String> {
        let timeline = self
            .facts()
            .server
            .status
            .known()
            .and_then(|status| status.primary_timeline);
        let timeline = timeline.ok_or("the timeline is not known")?;
        self.supervisor
            .timeline_history(timeline)
            .map_err(|reason| reason.to_string())
    }

    async fn rewind(
        &self,
        source: &RewindSource,
        parting: Parting,
        cancel: &Cancel,
    ) -> RewindOutcome {
        if self.supervisor.is_alive() {
            return RewindOutcome::ServerRuns;
        }
        let parting = match parting {
            Parting::Plain => rewind::Parting::Plain,
            Parting::Fork => rewind::Parting::Fork,
            Parting::SameNumber => rewind::Parting::SameNumber,
        };
        let (name, from) = (source.to_string(), rewind_from(source));
        let checkpointed = self.has_checkpointed(source);
        let outcome = self
            .supervisor
            .rewind(&name, &from, parting, checkpointed, cancel)
            .await;
        match outcome {
            rewind::RewindOutcome::Success => RewindOutcome::Success,
            rewind::RewindOutcome::Failed {
                leader_healthy: true,
            } => RewindOutcome::Failed,
            rewind::RewindOutcome::Failed {
                leader_healthy: false,
            } => {
                let retry = self.supervisor.pg_controldata().await.is_some();
                RewindOutcome::LeaderGone { retry }
            }
            rewind::RewindOutcome::NotYet(_) => RewindOutcome::LeaderGone { retry: true },
        }
    }

    /// What the leader's member key says of the checkpoint after its promotion. A remote has none.
    fn has_checkpointed(&self, source: &RewindSource) -> Option<bool> {
        let RewindSource::Member(leader) = source else {
            return None;
        };
        let view = self.view()?;
        let data = &view.member(&leader.name)?.data;
        data.version()?;
        Some(data.role() == Some(Role::Primary) && !data.awaits_checkpoint())
    }

    async fn copy(&self, source: CloneSource, cancel: &Cancel) -> bool {
        let settings = self.settings();
        let standby = settings.dynamic.standby_cluster.as_ref();
        let configured = match standby {
            Some(standby) => &standby.create_replica_methods,
            None => &settings.postgresql.create_replica_methods,
        };
        let (from, methods) = match source {
            CloneSource::Member {
                from,
                basebackup_only,
            } => {
                let from = CopyFrom::Member {
                    name: from.name.to_string(),
                    conn_url: from.conn_url,
                };
                (from, if basebackup_only { &[][..] } else { configured })
            }
            CloneSource::Remote => {
                let standby = standby.cloned().unwrap_or_default();
                let port = standby.port.unwrap_or_else(|| "5432".to_owned());
                (
                    CopyFrom::Remote {
                        host: standby.host.unwrap_or_default(),
                        port,
                    },
                    &configured[..],
                )
            }
            CloneSource::Nobody => (CopyFrom::Nobody, &configured[..]),
        };
        self.supervisor.copy(&from, methods, cancel).await
    }

    /// The version of the running server, for restart conditions.
    pub(crate) async fn server_version(&self) -> Option<u32> {
        match self.supervisor.rest_status(FRESH).await {
            Answer::Known(row) => Some(row.server_version),
            Answer::NotAsked | Answer::Unknown(_) => None,
        }
    }

    /// The server as REST shows it; asked once more after a second when the connection was lost.
    pub(crate) async fn server_facts(&self, retry: bool) -> Arc<ServerFacts> {
        let (state, role) = (self.supervisor.state(), self.supervisor.role());
        let asks = matches!(state, State::Running | State::Restarting | State::Starting);
        if !asks {
            return Arc::new(ServerFacts {
                copy: self.supervisor.copy_progress(),
                ..ServerFacts::without_row(state, role)
            });
        }
        let mut answer = self.supervisor.rest_status(FRESH).await;
        if retry && matches!(answer, Answer::Unknown(_)) {
            tokio::time::sleep(Duration::from_secs(1)).await;
            answer = self.supervisor.rest_status(FRESH).await;
        }
        let row = match answer {
            Answer::Known(row) => Row::Known(Box::new(self.server_row(row).await)),
            Answer::Unknown(why) => {
                if state == State::Running {
                    error!("get_postgresql_status: {why}");
                }
                Row::Failed
            }
            Answer::NotAsked => Row::NotAsked,
        };
        Arc::new(ServerFacts {
            state,
            role,
            row,
            copy: None,
        })
    }

    async fn server_row(&self, row: pg::RestRow) -> ServerRow {
        let timeline = match row.timeline {
            None => self.replica_timeline().await,
            known => known,
        };
        let replication_state = row.replication_state().map(str::to_owned);
        let in_recovery = row.in_recovery();
        ServerRow {
            postmaster_start_time: Some(row.postmaster_start_time),
            server_version: row.server_version,
            in_recovery,
            timeline,
            flushed: row.location,
            received: row.received_location,
            replayed: row.replayed_location,
            replayed_timestamp: row.replayed_timestamp,
            replay_paused: row.paused,
            replays_own_wal: row.replays_own_wal,
            may_stream: row.may_stream,
            latest_end: row.latest_end_lsn,
            replication_state,
            replication: row.replication.into_iter().map(sender_row).collect(),
        }
    }
}

/// Where the server is whose history is the right one.
fn rewind_from(source: &RewindSource) -> RewindFrom {
    match source {
        RewindSource::Member(leader) => RewindFrom::Member {
            conn_url: leader.conn_url.clone(),
        },
        RewindSource::Remote { host, port } => RewindFrom::Remote {
            host: host.clone(),
            port: port.clone().unwrap_or_else(|| "5432".to_owned()),
        },
    }
}

fn sender_row(row: pg::ReplicationRow) -> SenderRow {
    SenderRow {
        usename: row.usename.unwrap_or_default(),
        application_name: row.application_name.unwrap_or_default(),
        client_addr: row.client_addr,
        state: row.state.unwrap_or_default(),
        sync_state: row.sync_state.unwrap_or_default(),
        sync_priority: row.sync_priority.unwrap_or_default(),
    }
}

/// Whether it worked; the log tells why not.
fn logged<E: std::fmt::Display>(what: &str, result: Result<(), E>) -> bool {
    match result {
        Ok(()) => true,
        Err(reason) => {
            warn!("failed to {what}: {reason}");
            false
        }
    }
}
