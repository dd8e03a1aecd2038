//! Acts on the local server.

use super::{Cx, only};
use crate::command::{
    CallbackEvent, CloneSource, Command, Parting, RewindSource, StartRequest, StopMode,
    StopRequest, Until, WipeReason,
};
use crate::outcome::{
    HookOutcome, InspectFailure, LeaderInspection, LocalPosition, Outcome, RecoveryChange,
    RewindOutcome, StartOutcome, StopOutcome,
};
use crate::replay::{Asked, Halt};
use patroni_core::server::{Answer, Process};
use patroni_core::{Role, State, SyncNames, Timeline, Upstream};
use std::time::Duration;

impl Cx<'_> {
    pub(crate) fn requery(&mut self) -> Asked<()> {
        self.server = *only!(self.ask(Command::Requery)?, Server);
        Ok(())
    }

    pub(crate) fn set_state(&mut self, state: State) -> Asked<()> {
        if self.server.state != state {
            self.done(Command::SetState(state))?;
            self.server.state = state;
            self.server.state_since = self.now();
        }
        Ok(())
    }

    /// Sets the role if it differs.
    pub(crate) fn set_role(&mut self, role: Role) -> Asked<()> {
        if self.server.role != role {
            self.done(Command::SetRole(role))?;
            self.server.role = role;
        }
        Ok(())
    }

    pub(crate) fn run_callback(&mut self, event: CallbackEvent) -> Asked<()> {
        self.server.callback_ran = true;
        self.done(Command::RunCallback(event, self.server.role))
    }

    pub(crate) fn pre_promote(&mut self) -> Asked<HookOutcome> {
        Ok(only!(self.ask(Command::PrePromote)?, Hook))
    }

    pub(crate) fn stop(&mut self, request: StopRequest) -> Asked<StopOutcome> {
        let gone = request.until == Until::Exit;
        let restart = request.restart;
        let outcome = only!(self.ask(Command::Stop(request))?, Stopped);
        if outcome.stopped && gone {
            self.server.process = Process::Absent;
            self.server.status = Answer::NotAsked;
            if !restart {
                self.server.state = State::Stopped;
            }
        }
        Ok(outcome)
    }

    /// Stops at once and waits for the end of the process.
    pub(crate) fn stop_immediately(&mut self, timeout: Option<Duration>) -> Asked<StopOutcome> {
        self.stop(StopRequest {
            mode: StopMode::Immediate,
            checkpoint: false,
            until: Until::Exit,
            timeout,
            restart: false,
            announce: false,
        })
    }

    pub(crate) fn start(&mut self, request: StartRequest) -> Asked<StartOutcome> {
        let role = request.role;
        let outcome = only!(self.ask(Command::Start(request))?, Started);
        match outcome {
            StartOutcome::Running => {
                self.server.process = Process::Running;
                self.server.state = State::Running;
                self.server.role = role;
            }
            StartOutcome::Unfinished => {
                self.server.process = Process::Running;
                self.server.role = role;
            }
            StartOutcome::Failed(_) => {}
        }
        Ok(outcome)
    }

    pub(crate) fn promote(&mut self) -> Asked<bool> {
        let issued = self.success(Command::Promote)?;
        if issued {
            self.server.role = Role::Promoted;
        }
        Ok(issued)
    }

    pub(crate) fn wait_production(&mut self, at_most: Duration) -> Asked<bool> {
        self.success(Command::WaitProduction { at_most })
    }

    pub(crate) fn start_checkpoint(&mut self) -> Asked<()> {
        self.done(Command::StartCheckpoint)
    }

    pub(crate) fn compare_recovery(&mut self, upstream: Upstream) -> Asked<RecoveryChange> {
        Ok(only!(
            self.ask(Command::CompareRecovery(upstream))?,
            Recovery
        ))
    }

    pub(crate) fn reload_recovery(&mut self, upstream: Upstream) -> Asked<bool> {
        self.success(Command::ReloadRecovery(upstream))
    }

    pub(crate) fn set_sync_names(&mut self, names: SyncNames) -> Asked<bool> {
        self.success(Command::SetSyncNames(names))
    }

    pub(crate) fn resume_replay(&mut self) -> Asked<()> {
        self.done(Command::ResumeReplay)
    }

    pub(crate) fn inspect_leader(
        &mut self,
        source: RewindSource,
    ) -> Asked<Result<LeaderInspection, InspectFailure>> {
        Ok(only!(
            self.ask(Command::InspectLeader(source))?,
            LeaderInspected
        ))
    }

    pub(crate) fn local_position(&mut self) -> Asked<Option<LocalPosition>> {
        Ok(only!(self.ask(Command::LocalPosition)?, LocalPosition))
    }

    pub(crate) fn read_timeline_history(
        &mut self,
    ) -> Asked<Result<Vec<patroni_core::HistoryLine>, String>> {
        Ok(only!(
            self.ask(Command::ReadTimelineHistory)?,
            TimelineHistory
        ))
    }

    pub(crate) fn has_history(&mut self, timeline: Timeline) -> Asked<bool> {
        self.success(Command::HasHistory(timeline))
    }

    pub(crate) fn pg_rewind(
        &mut self,
        source: RewindSource,
        parting: Parting,
    ) -> Asked<RewindOutcome> {
        let command = Command::PgRewind { source, parting };
        Ok(only!(self.ask(command)?, Rewound))
    }

    pub(crate) fn single_user_recovery(&mut self) -> Asked<bool> {
        self.success(Command::SingleUserRecovery)
    }

    pub(crate) fn archive_ready_wal(&mut self) -> Asked<()> {
        self.done(Command::ArchiveReadyWal)
    }

    pub(crate) fn is_archiving(&mut self) -> Asked<bool> {
        self.success(Command::IsArchiving)
    }

    pub(crate) fn archive_shutdown_checkpoint(&mut self) -> Asked<bool> {
        self.success(Command::ArchiveShutdownCheckpoint)
    }

    pub(crate) fn remove_data_dir(&mut self, why: WipeReason) -> Asked<bool> {
        self.success(Command::RemoveDataDir(why))
    }

    pub(crate) fn move_data_dir_aside(&mut self) -> Asked<()> {
        self.done(Command::MoveDataDirAside)
    }

    pub(crate) fn create_cluster(&mut self) -> Asked<bool> {
        self.success(Command::CreateCluster)
    }

    pub(crate) fn post_init(&mut self) -> Asked<bool> {
        self.success(Command::PostInit)
    }

    pub(crate) fn clone_from(&mut self, source: CloneSource) -> Asked<bool> {
        self.success(Command::CloneFrom(source))
    }

    pub(crate) fn resync_after_pause(&mut self) -> Asked<()> {
        self.done(Command::ResyncAfterPause)
    }
}
