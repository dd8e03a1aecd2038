//! What a program sees and how it asks: facts that follow its own acts, and one method per
//! question, so that the rules read like the contract.

use std::collections::BTreeMap;
use std::time::Duration;

use patroni_config::Dynamic;
use patroni_config::dynamic::SynchronousMode;
use patroni_core::server::{Answer, LocalServer, Process, RewindAbility, ServerStatus};
use patroni_core::{
    Cluster, FailoverRequest, History, Leader, Lsn, MemberName, Moment, Revision, Role, State,
    Status, SyncNames, SyncState, SystemId, Timeline, Upstream,
};

use crate::command::{
    CallbackEvent, CloneSource, Command, LeaderAddress, MemberNotes, Peer, SlotPlan, StartRequest,
    StopMode, StopRequest, Until, Wait, WipeReason,
};
use crate::eligibility::Refusal;
use crate::job::{Effect, Job};
use crate::memory::{Lease, Memory, RewindState};
use crate::observation::{NodeFacts, PeerAnswer};
use crate::outcome::{
    FailsafeAnswer, HookOutcome, InspectFailure, LeaderInspection, LocalPosition, LockOutcome,
    Outcome, RecoveryChange, RewindOutcome, StartOutcome, StopOutcome, Written,
};
use crate::replay::{Asked, Halt, Replay};
use crate::sentence::{OrNone, Text};

/// The context of a running program.
#[derive(Debug)]
pub(crate) struct Cx<'a> {
    pub(crate) replay: Replay<'a>,
    pub(crate) node: &'a NodeFacts,
    pub(crate) settings: &'a Dynamic,
    /// The newest snapshot of the store; empty while there is none.
    pub(crate) view: Cluster,
    /// The server as seen, changed by what was done to it since.
    pub(crate) server: LocalServer,
    pub(crate) memory: Memory,
    pub(crate) refused: Vec<Refusal>,
    /// Armed at the moment.
    pub(crate) watchdog_active: bool,
    /// The lock was confirmed or taken by this very program.
    pub(crate) lock_confirmed: bool,
    /// What this program put into the executor slot.
    pub(crate) scheduled: Option<Job>,
    /// What a long task leaves to remember.
    pub(crate) effects: Vec<Effect>,
}

/// How many changes of the store are looked at while waiting for a leader.
const MOST_LOOKS: usize = 20;

macro_rules! expect {
    ($outcome:expr, $kind:ident) => {{
        let outcome = $outcome;
        let Outcome::$kind(value) = outcome else {
            return Err(Halt::Bug(format!(
                concat!("expected the outcome ", stringify!($kind), ", got {:?}"),
                outcome
            )));
        };
        value
    }};
}

// ---- facts -------------------------------------------------------------------------------------

impl Cx<'_> {
    pub(crate) fn now(&self) -> Moment {
        self.replay.now()
    }

    pub(crate) fn say(&mut self, text: Text) {
        self.replay.say(text);
    }

    pub(crate) fn me(&self) -> &MemberName {
        &self.node.name
    }

    pub(crate) fn is_me(&self, name: &MemberName) -> bool {
        *name == self.node.name
    }

    pub(crate) fn paused(&self) -> bool {
        self.settings.pause
    }

    pub(crate) fn in_standby_cluster(&self) -> bool {
        self.settings.standby_cluster.is_some()
    }

    /// The lock names this node, by the newest view.
    pub(crate) fn has_lock(&mut self) -> bool {
        let owner = self.view.leader_name().cloned();
        let mine = owner.as_ref().is_some_and(|name| self.is_me(name));
        self.replay.say_with_next(Text::LockOwner {
            owner: OrNone(owner),
            me: self.node.name.clone(),
        });
        mine
    }

    pub(crate) fn is_leader(&self) -> bool {
        self.memory.is_leader(self.now())
    }

    pub(crate) fn is_running(&self) -> bool {
        self.server.process == Process::Running
    }

    pub(crate) fn status(&self) -> Option<&ServerStatus> {
        if self.is_running() {
            self.server.status.known()
        } else {
            None
        }
    }

    /// Runs as a primary. When the server does not answer, its last known role counts: a slow
    /// answer is no reason to take a primary for a replica.
    pub(crate) fn is_primary(&mut self) -> bool {
        if !self.is_running() {
            return false;
        }
        match &self.server.status {
            Answer::Known(status) => !status.in_recovery(),
            Answer::Unknown(_) => {
                self.say(Text::FallingBackToRole);
                matches!(self.server.role, Role::Primary | Role::Promoted)
            }
            Answer::NotAsked => matches!(self.server.role, Role::Primary | Role::Promoted),
        }
    }

    /// The main position, zero when it is not known.
    pub(crate) fn position(&self) -> Lsn {
        self.status()
            .map(ServerStatus::main_position)
            .unwrap_or_default()
    }

    /// The timeline, `None` when it is not known.
    pub(crate) fn timeline(&self) -> Option<Timeline> {
        let status = self.status()?;
        status
            .primary_timeline
            .or(status.receiver_timeline)
            .or(status.control_timeline)
    }

    pub(crate) fn system_id(&self) -> Option<&SystemId> {
        self.server.system_id.as_ref()
    }

    pub(crate) fn can_rewind(&self) -> bool {
        self.server.rewind == RewindAbility::Possible
    }

    pub(crate) fn can_rewind_or_wipe(&self) -> bool {
        self.can_rewind() || self.node.wipe_on_divergence
    }

    /// A rewind (or a new copy instead of it) is known to be needed, and possible.
    pub(crate) fn rewind_due(&self) -> bool {
        self.can_rewind_or_wipe() && self.memory.rewind == RewindState::Need
    }

    /// A divergence check is due, if anything could be done about its result.
    pub(crate) fn mark_check(&mut self) {
        if self.can_rewind_or_wipe() {
            self.memory.mark_check();
        }
    }

    /// The synchronous mode is on and somebody wrote the key.
    pub(crate) fn sync_active(&self) -> bool {
        self.settings.is_synchronous() && !self.view.sync.is_empty()
    }

    pub(crate) fn quorum_mode(&self) -> bool {
        self.settings.synchronous_mode == SynchronousMode::Quorum
    }

    pub(crate) fn executor_free(&self) -> bool {
        self.scheduled.is_none()
    }

    /// How long a stop of a primary may take before it gets rougher.
    pub(crate) fn stop_timeout(&self) -> Option<Duration> {
        let limit = self.settings.primary_stop_timeout;
        (self.settings.is_synchronous() && !limit.is_zero()).then_some(limit)
    }
}

// ---- the store ---------------------------------------------------------------------------------

impl Cx<'_> {
    fn ask(&mut self, command: Command) -> Asked<Outcome> {
        let outcome = self.replay.ask(command)?;
        self.memory.last_moment = self.now();
        Ok(outcome)
    }

    fn done(&mut self, command: Command) -> Asked<()> {
        let outcome = self.ask(command)?;
        if outcome == Outcome::Done {
            return Ok(());
        }
        Err(Halt::Bug(format!(
            "expected the outcome Done, got {outcome:?}"
        )))
    }

    fn success(&mut self, command: Command) -> Asked<bool> {
        Ok(expect!(self.ask(command)?, Success))
    }

    fn write(&mut self, command: Command) -> Asked<Written> {
        Ok(expect!(self.ask(command)?, Write))
    }

    /// Takes a new snapshot as the one to judge.
    pub(crate) fn see(&mut self, view: Cluster) {
        if view.system_id().is_some() {
            self.memory.seen_identity = true;
        }
        self.memory.failsafe_members.clone_from(&view.failsafe);
        if view.leader_name().is_some() {
            self.memory.old_view = Some(view.clone());
        }
        match view.leader_name() {
            Some(owner) if self.is_me(owner) => {}
            Some(_) => {
                self.memory.lease = Lease::None;
                self.lock_confirmed = false;
            }
            // A read may be older than the lock that this program has just got.
            None if self.lock_confirmed => {}
            None => self.lapse(),
        }
        self.view = view;
    }

    /// The lock is free, and this node did not give it back.
    fn lapse(&mut self) {
        if let Lease::Until(end) = self.memory.lease {
            self.memory.lease = Lease::Lapsed(end.min(self.now()));
        }
    }

    /// Reads the store anew; a failure hands over to the rules for a dead store.
    pub(crate) fn reload(&mut self) -> Asked<()> {
        if self.try_reload()? {
            Ok(())
        } else {
            Err(Halt::StoreFailed)
        }
    }

    /// Reads the store anew, and goes on with the old view when that fails.
    pub(crate) fn try_reload(&mut self) -> Asked<bool> {
        let loaded = expect!(self.ask(Command::LoadCluster)?, Cluster);
        match loaded {
            Ok(view) => {
                self.see(view);
                Ok(true)
            }
            Err(_) => Ok(false),
        }
    }

    pub(crate) fn touch_member(&mut self) -> Asked<Written> {
        let notes = MemberNotes {
            awaits_checkpoint: crate::publish::awaits_checkpoint(self),
            leaving_sync: self.memory.leaving_sync,
            paused: self.paused(),
        };
        self.write(Command::TouchMember(notes))
    }

    pub(crate) fn acquire_leader(&mut self) -> Asked<bool> {
        let outcome = expect!(self.ask(Command::AcquireLeader)?, Lock);
        let held = self.note_lock(&outcome)?;
        if held {
            crate::slots::restart_retention(self);
        }
        Ok(held)
    }

    /// Extends the lock. `status` is `None` when it could not be measured or shall not be
    /// written.
    pub(crate) fn update_leader(&mut self, status: Option<Status>) -> Asked<bool> {
        let Some(judged) = self.view.leader.clone() else {
            return Err(Halt::Bug("extending a lock that nobody holds".to_owned()));
        };
        let failsafe = self
            .settings
            .failsafe_mode
            .then(|| crate::publish::failsafe_members(self));
        let command = Command::UpdateLeader {
            judged,
            status,
            failsafe,
        };
        let outcome = expect!(self.ask(command)?, Lock);
        let held = self.note_lock(&outcome)?;
        if held && self.watchdog_active {
            self.done(Command::WatchdogKeepAlive)?;
        }
        Ok(held)
    }

    pub(crate) fn take_leader(&mut self) -> Asked<bool> {
        let outcome = expect!(self.ask(Command::TakeLeader)?, Lock);
        self.note_lock(&outcome)
    }

    fn note_lock(&mut self, outcome: &LockOutcome) -> Asked<bool> {
        match outcome {
            LockOutcome::Held { sent_at } => {
                self.memory.lease = Lease::Until(*sent_at + self.settings.ttl);
                self.lock_confirmed = true;
                Ok(true)
            }
            LockOutcome::Refused => {
                self.memory.lease = Lease::None;
                self.lock_confirmed = false;
                Ok(false)
            }
            LockOutcome::Unreachable(_) => {
                self.memory.lease = Lease::None;
                self.lock_confirmed = false;
                Err(Halt::StoreFailed)
            }
        }
    }

    /// Gives the lock back, writes the last position if it is known, and publishes the change.
    pub(crate) fn release_leader(&mut self, at: Option<Lsn>) -> Asked<bool> {
        let judged = self.view.leader.clone();
        self.release_judged(judged, at)
    }

    pub(crate) fn release_judged(
        &mut self,
        judged: Option<Leader>,
        at: Option<Lsn>,
    ) -> Asked<bool> {
        let status = at.map(|optime| Status {
            optime,
            ..self.view.status.clone()
        });
        self.memory.lease = Lease::None;
        self.lock_confirmed = false;
        let written = self.write(Command::ReleaseLeader { judged, status })?;
        self.touch_member()?;
        let released = written == Written::Yes;
        if released {
            self.say(Text::LeaderKeyReleased);
            self.view.leader = None;
        }
        Ok(released)
    }

    pub(crate) fn begin_initialize(&mut self) -> Asked<bool> {
        Ok(self.write(Command::BeginInitialize)? == Written::Yes)
    }

    pub(crate) fn set_system_id(&mut self, id: SystemId) -> Asked<bool> {
        Ok(self.write(Command::SetSystemId(id))? == Written::Yes)
    }

    pub(crate) fn cancel_initialize(&mut self) -> Asked<()> {
        self.write(Command::CancelInitialize).map(drop)
    }

    pub(crate) fn write_config(
        &mut self,
        data: serde_json::Map<String, serde_json::Value>,
        judged: Option<Revision>,
    ) -> Asked<()> {
        self.write(Command::WriteConfig { data, judged }).map(drop)
    }

    /// Writes the failover key, compared with the judged revision where one is given.
    pub(crate) fn write_failover(
        &mut self,
        request: FailoverRequest,
        judged: Option<Revision>,
    ) -> Asked<bool> {
        let written = self.write(Command::WriteFailover { request, judged })?;
        Ok(written == Written::Yes)
    }

    /// Clears the failover key if it is still as judged.
    pub(crate) fn clear_failover(&mut self) -> Asked<()> {
        self.say(Text::CleaningFailoverKey);
        let judged = self.view.failover.as_ref().map(|key| key.revision.clone());
        if self.write_failover(FailoverRequest::default(), judged)? {
            self.view.failover = None;
        }
        Ok(())
    }

    /// Writes the synchronous state, compared with the revision in view, and keeps the new one.
    pub(crate) fn write_sync(&mut self, state: SyncState) -> Asked<bool> {
        let judged = self.view.sync.revision.clone();
        let command = Command::WriteSync {
            state: state.clone(),
            judged,
        };
        match expect!(self.ask(command)?, SyncWritten) {
            Ok(revision) => {
                self.view.sync = SyncState {
                    revision: Some(revision),
                    ..state
                };
                Ok(true)
            }
            Err(_) => Ok(false),
        }
    }

    pub(crate) fn delete_sync(&mut self) -> Asked<bool> {
        let judged = self.view.sync.revision.clone();
        let written = self.write(Command::DeleteSync { judged })?;
        if written == Written::Yes {
            self.view.sync = SyncState::default();
        }
        Ok(written == Written::Yes)
    }

    pub(crate) fn write_history(&mut self, history: History) -> Asked<()> {
        self.write(Command::WriteHistory(history)).map(drop)
    }
}

// ---- peers -------------------------------------------------------------------------------------

impl Cx<'_> {
    /// Asks peers for their status without a word, for questions that are repeated.
    pub(crate) fn ask_peers_quietly(&mut self, peers: Vec<Peer>) -> Asked<Vec<PeerAnswer>> {
        Ok(expect!(self.ask(Command::AskPeers(peers))?, Peers))
    }

    /// Asks peers for their status and logs the answers.
    pub(crate) fn ask_peers(&mut self, peers: Vec<Peer>) -> Asked<Vec<PeerAnswer>> {
        if peers.is_empty() {
            return Ok(Vec::new());
        }
        let urls: BTreeMap<MemberName, String> = peers
            .iter()
            .map(|peer| (peer.name.clone(), peer.api_url.clone()))
            .collect();
        let answers = self.ask_peers_quietly(peers)?;
        for answer in &answers {
            let name = answer.name.clone();
            let url = urls.get(&name).cloned().unwrap_or_default();
            self.say(match &answer.reply {
                Ok(status) => Text::GotResponse {
                    name,
                    url,
                    body: status.body.clone(),
                },
                Err(error) => Text::RequestFailed {
                    name,
                    url,
                    error: error.clone(),
                },
            });
        }
        Ok(answers)
    }

    pub(crate) fn announce_failsafe(&mut self, peers: Vec<Peer>) -> Asked<Vec<FailsafeAnswer>> {
        if peers.is_empty() {
            return Ok(Vec::new());
        }
        Ok(expect!(
            self.ask(Command::AnnounceFailsafe(peers))?,
            Failsafe
        ))
    }
}

// ---- the local server --------------------------------------------------------------------------

impl Cx<'_> {
    pub(crate) fn requery(&mut self) -> Asked<()> {
        self.server = *expect!(self.ask(Command::Requery)?, Server);
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
        Ok(expect!(self.ask(Command::PrePromote)?, Hook))
    }

    pub(crate) fn stop(&mut self, request: StopRequest) -> Asked<StopOutcome> {
        let gone = request.until == Until::Exit;
        let restart = request.restart;
        let outcome = expect!(self.ask(Command::Stop(request))?, Stopped);
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
        })
    }

    pub(crate) fn start(&mut self, request: StartRequest) -> Asked<StartOutcome> {
        let role = request.role;
        let outcome = expect!(self.ask(Command::Start(request))?, Started);
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
        Ok(expect!(
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

    pub(crate) fn sync_slots(&mut self, plan: SlotPlan) -> Asked<()> {
        self.done(Command::SyncSlots(plan))
    }

    pub(crate) fn inspect_leader(
        &mut self,
        leader: LeaderAddress,
    ) -> Asked<Result<LeaderInspection, InspectFailure>> {
        Ok(expect!(
            self.ask(Command::InspectLeader(leader))?,
            LeaderInspected
        ))
    }

    pub(crate) fn local_position(&mut self) -> Asked<Option<LocalPosition>> {
        Ok(expect!(self.ask(Command::LocalPosition)?, LocalPosition))
    }

    pub(crate) fn read_timeline_history(
        &mut self,
    ) -> Asked<Result<Vec<patroni_core::HistoryLine>, String>> {
        Ok(expect!(
            self.ask(Command::ReadTimelineHistory)?,
            TimelineHistory
        ))
    }

    pub(crate) fn pg_rewind(&mut self, leader: LeaderAddress) -> Asked<RewindOutcome> {
        Ok(expect!(self.ask(Command::PgRewind(leader))?, Rewound))
    }

    pub(crate) fn single_user_recovery(&mut self) -> Asked<bool> {
        self.success(Command::SingleUserRecovery)
    }

    pub(crate) fn archive_ready_wal(&mut self) -> Asked<()> {
        self.done(Command::ArchiveReadyWal)
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

// ---- watchdog, executor, time ------------------------------------------------------------------

impl Cx<'_> {
    /// Arms the watchdog unless it is armed. False when it is needed and cannot be armed.
    pub(crate) fn watchdog_activate(&mut self) -> Asked<bool> {
        if self.watchdog_active {
            return Ok(true);
        }
        let armed = self.success(Command::WatchdogActivate)?;
        self.watchdog_active = armed;
        Ok(armed)
    }

    pub(crate) fn watchdog_keep_alive(&mut self) -> Asked<()> {
        if self.watchdog_active {
            self.done(Command::WatchdogKeepAlive)?;
        }
        Ok(())
    }

    /// Disarms the watchdog; does nothing when it is not armed.
    pub(crate) fn watchdog_disable(&mut self) -> Asked<()> {
        if self.watchdog_active {
            self.done(Command::WatchdogDisable)?;
            self.watchdog_active = false;
        }
        Ok(())
    }

    /// Puts a long task into the executor slot; gives the name of the one that occupies it.
    pub(crate) fn schedule(&mut self, job: Job) -> Asked<Result<(), String>> {
        let taken = expect!(self.ask(Command::Schedule(job.clone()))?, Scheduled);
        match taken {
            Ok(()) => {
                self.scheduled = Some(job);
                Ok(Ok(()))
            }
            Err(old) => {
                self.say(Text::ActionBusy {
                    new: job.to_string(),
                    old: old.clone(),
                });
                Ok(Err(old))
            }
        }
    }

    pub(crate) fn cancel_job(&mut self, name: String) -> Asked<()> {
        self.say(Text::CancellingJob { name });
        self.done(Command::CancelJob)
    }

    pub(crate) fn drop_scheduled_restart(&mut self) -> Asked<()> {
        self.done(Command::DropScheduledRestart)
    }

    pub(crate) fn wait(&mut self, how_long: Duration) -> Asked<()> {
        let _happened = expect!(self.ask(Command::Wait(Wait::For(how_long)))?, Waited);
        Ok(())
    }

    /// Gives others `at_most` to take the lock, and looks at the store. A change that this node
    /// made itself wakes, too, so one change is not always the awaited one. Whether the last
    /// look succeeded.
    pub(crate) fn wait_for_leader(&mut self, at_most: Duration) -> Asked<bool> {
        let deadline = self.now() + at_most;
        let mut seen = false;
        for _ in 0..MOST_LOOKS {
            let left = deadline.since(self.now());
            if left.is_zero() {
                break;
            }
            self.wait_for_store(left)?;
            seen = self.try_reload()?;
            let owner = self.view.leader_name();
            if seen && owner.is_some_and(|owner| !self.is_me(owner)) {
                break;
            }
        }
        Ok(seen)
    }

    pub(crate) fn wait_for_store(&mut self, at_most: Duration) -> Asked<bool> {
        Ok(expect!(
            self.ask(Command::Wait(Wait::StoreChange { at_most }))?,
            Waited
        ))
    }
}
