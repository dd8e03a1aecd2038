//! Carrying out commands: each begins now, and its outcome comes later.

use std::time::Duration;

use patroni_core::server::{CheckpointTask, ControlState};
use patroni_core::{Role, State, Upstream};
use patroni_ha::command::{CloneSource, RewindSource, StartRequest, StopRequest, Until, Wait};
use patroni_ha::mutant::Mutant as Rule;
use patroni_ha::outcome::{HookOutcome, RecoveryChange, ShutdownPoint, StartOutcome, StopOutcome};
use patroni_ha::{Command, Outcome};

use super::Lane;
use crate::event::Event;
use crate::invariants::{data_dir, judged_revision, slots, watchdog};
use crate::options::Mutant;
use crate::postgres::server::Process;
use crate::world::World;

/// How often a waiting command looks.
const LOOK: Duration = Duration::from_millis(25);
/// Who has waited so long looks less often.
const PATIENT: Duration = Duration::from_secs(2);
/// `pg_ctl_timeout`
const START_TIMEOUT: Duration = Duration::from_mins(1);
/// Limit of a question to another member.
const PEER_TIMEOUT: Duration = Duration::from_secs(2);

impl World {
    /// Begins a command of a program.
    pub(crate) fn begin(&mut self, node: usize, lane: Lane, command: Command) {
        self.coverage.count("command", command_name(&command));
        self.note_command(node, lane, &command);
        judged_revision::commanded(self, node, lane, &command);
        data_dir::commanded(self, node, lane, &command);
        slots::commanded(self, node, &command);
        watchdog::commanded(self, node, &command);
        // From here on the cycles beside the task must not extend the lock again.
        if matches!(command, Command::ReleaseLeader { .. }) {
            self.nodes[node].guardian = None;
            if lane == Lane::Job {
                self.nodes[node].daemon.committed = true;
            }
        }
        if super::store::is_for_the_store(&command) {
            self.send(node, lane, command);
            return;
        }
        let after = self.duration_of(node, &command);
        let op = self.pend(node, lane, command.clone());
        match self.act(node, &command) {
            Some(outcome) => self.deliver(node, lane, op, after, outcome),
            None => self.check_later(node, op, after),
        }
    }

    fn check_later(&mut self, node: usize, op: u64, after: Duration) {
        let life = self.nodes[node].daemon.life;
        self.schedule(after, Event::Check { node, life, op });
    }

    /// Hands an outcome to its program after a while.
    pub(crate) fn deliver(
        &mut self,
        node: usize,
        lane: Lane,
        op: u64,
        after: Duration,
        outcome: Outcome,
    ) {
        let life = self.nodes[node].daemon.life;
        let outcome = Box::new(outcome);
        let event = Event::Outcome {
            node,
            life,
            lane,
            op,
            outcome,
        };
        self.schedule(after, event);
    }

    /// How long a command takes, as far as it does not depend on anything else.
    fn duration_of(&mut self, node: usize, command: &Command) -> Duration {
        match command {
            Command::AskPeers(peers) | Command::AnnounceFailsafe(peers) => {
                let all = peers.iter().all(|peer| self.answers(node, &peer.name));
                if all {
                    self.chance.skewed((2, 60), (200, 1900), 5)
                } else {
                    PEER_TIMEOUT
                }
            }
            Command::PrePromote if self.nodes[node].traits.has_hook => {
                self.chance.skewed((50, 1000), (5000, 40_000), 20)
            }
            Command::InspectLeader(source) => {
                if self.inspect(node, source).is_ok() {
                    self.chance.millis(5, 100)
                } else {
                    self.chance.millis(5, 3000)
                }
            }
            Command::PgRewind { .. } => self.chance.millis(300, 8000),
            Command::CloneFrom(_) => self.chance.millis(1000, 20_000),
            Command::CreateCluster => self.chance.millis(1000, 4000),
            Command::SingleUserRecovery => self.chance.skewed((300, 3000), (5000, 20_000), 10),
            Command::PostInit => self.chance.millis(100, 900),
            Command::RemoveDataDir(_) | Command::MoveDataDirAside => self.chance.millis(20, 800),
            Command::Wait(Wait::For(time)) => *time,
            Command::Requery | Command::LocalPosition | Command::ReadTimelineHistory => {
                self.chance.skewed((1, 15), (100, 3000), 3)
            }
            Command::Schedule(_) | Command::SetState(_) | Command::SetRole(_) => {
                Duration::from_micros(50)
            }
            _ => self.chance.millis(1, 10),
        }
    }

    /// What happens at once. `None`: the outcome shows later, see [`World::check`].
    #[expect(clippy::too_many_lines, reason = "a flat match reads like a table")]
    fn act(&mut self, node: usize, command: &Command) -> Option<Outcome> {
        match command {
            Command::SetState(state) => {
                self.enter_state(node, *state);
                Some(Outcome::Done)
            }
            Command::SetRole(role) => {
                self.nodes[node].daemon.supervised.role = *role;
                Some(Outcome::Done)
            }
            Command::RunCallback(..) => {
                self.nodes[node].daemon.supervised.callback_ran = true;
                Some(Outcome::Done)
            }
            Command::Stop(request) => {
                self.begin_stop(node, request);
                None
            }
            Command::Start(request) => {
                if self.refuses_start(node, request) {
                    let why = "the leader lock is not held any more".to_owned();
                    return Some(Outcome::Started(StartOutcome::Failed(why)));
                }
                let alive = self.nodes[node].server.runs();
                self.enter_state(node, State::Starting);
                if alive {
                    return Some(Outcome::Started(StartOutcome::Unfinished));
                }
                self.nodes[node].daemon.supervised.role = request.role;
                self.nodes[node].daemon.supervised.checkpoint = CheckpointTask::Idle;
                if self.start_server(node, request) {
                    return None;
                }
                self.enter_state(node, State::StartFailed);
                Some(Outcome::Started(StartOutcome::Failed(
                    "no usable data".to_owned(),
                )))
            }
            Command::Promote => Some(Outcome::Success(self.order_promotion(node))),
            Command::StartCheckpoint => {
                self.start_checkpoint(node);
                Some(Outcome::Done)
            }
            Command::CompareRecovery(upstream) => {
                Some(Outcome::Recovery(self.compare_recovery(node, upstream)))
            }
            Command::ReloadRecovery(upstream) => {
                if let Some(data) = self.nodes[node].server.data.as_mut() {
                    data.upstream = upstream.clone();
                }
                self.nodes[node].daemon.supervised.role = role_of(upstream);
                Some(Outcome::Success(true))
            }
            Command::SetSyncNames(names) => {
                let data = self.nodes[node].server.data.as_mut();
                let written = data.map(|data| data.sync_names = names.clone()).is_some();
                self.release_commits(node);
                Some(Outcome::Success(written))
            }
            Command::WatchdogActivate => Some(Outcome::Success(self.arm_watchdog(node))),
            Command::WatchdogKeepAlive => {
                self.feed_watchdog(node);
                Some(Outcome::Done)
            }
            Command::WatchdogDisable => {
                self.nodes[node].watchdog = None;
                Some(Outcome::Done)
            }
            Command::Schedule(job) => Some(Outcome::Scheduled(self.order_job(node, job))),
            Command::CancelJob => {
                self.cancel_job(node);
                Some(Outcome::Done)
            }
            Command::CloneFrom(CloneSource::Member { from, .. }) => {
                if self.can_read_from(node, &from.name).is_some() {
                    self.begin_copy(node);
                }
                None
            }
            Command::CloneFrom(CloneSource::Remote) => {
                if self.readable_remote().is_some() {
                    self.begin_copy(node);
                }
                None
            }
            Command::PgRewind { source, .. } => {
                let away = match source {
                    RewindSource::Remote { .. } => self.inspect_the_remote().is_err(),
                    RewindSource::Member(leader) => {
                        if let Some(source) = self.can_read_from(node, &leader.name) {
                            data_dir::rewound_to(self, node, source);
                        }
                        false
                    }
                };
                let running = self.nodes[node].server.runs();
                if let Some(data) = self.nodes[node].server.data.as_mut()
                    && !running
                    && !away
                {
                    data.torn = true;
                }
                None
            }
            Command::ResumeReplay
            | Command::ArchiveReadyWal
            | Command::ResyncAfterPause
            | Command::KeepNodeTable => Some(Outcome::Done),
            Command::DropScheduledRestart => {
                self.nodes[node].daemon.scheduled_restart = None;
                Some(Outcome::Done)
            }
            _ => self.look_up(node, command),
        }
    }

    /// What the server and its files tell.
    fn look_up(&mut self, node: usize, command: &Command) -> Option<Outcome> {
        match command {
            Command::Requery => Some(Outcome::Server(Box::new(self.look(node)))),
            Command::LocalPosition => Some(Outcome::LocalPosition(self.local_position(node))),
            Command::ReadTimelineHistory => {
                Some(Outcome::TimelineHistory(self.timeline_history(node)))
            }
            Command::HasHistory(timeline) => {
                Some(Outcome::Success(self.has_history(node, *timeline)))
            }
            Command::IsArchiving => Some(Outcome::Success(self.seed.is_multiple_of(8))),
            Command::ArchiveShutdownCheckpoint => Some(Outcome::Success(true)),
            other => self.act_on_slots(node, other),
        }
    }

    /// Whether a command that takes its time has come to its end, and what came of it.
    pub(crate) fn check(&mut self, node: usize, op: u64) {
        let Some(lane) = self.nodes[node].daemon.lane_of(op) else {
            return;
        };
        let slot = self.nodes[node].daemon.pending_mut(lane);
        let Some(pending) = slot.and_then(Option::take) else {
            return;
        };
        let waited = self.now.since(pending.since);
        let outcome = self.outcome(node, &pending.command, waited);
        if let Some(slot) = self.nodes[node].daemon.pending_mut(lane) {
            *slot = Some(pending);
        }
        match outcome {
            Some(outcome) => self.resume(node, lane, outcome),
            None => self.check_later(node, op, if waited < PATIENT { LOOK } else { LOOK * 4 }),
        }
    }

    fn outcome(&mut self, node: usize, command: &Command, waited: Duration) -> Option<Outcome> {
        Some(match command {
            Command::Stop(request) => Outcome::Stopped(self.stopped(node, request, waited)?),
            Command::Start(request) => {
                let limit = request.timeout.unwrap_or(START_TIMEOUT);
                Outcome::Started(self.started(node, limit, request.bootstrap, waited)?)
            }
            Command::WaitProduction { at_most } => {
                let reached = self.nodes[node].server.is_primary();
                if !reached && waited < *at_most && self.nodes[node].server.runs() {
                    return None;
                }
                Outcome::Success(reached)
            }
            Command::Wait(Wait::For(_)) => Outcome::Waited(false),
            Command::Wait(Wait::StoreChange { at_most }) => {
                let changed = self.nodes[node].daemon.session.wakes(&self.model);
                if !changed && waited < *at_most {
                    return None;
                }
                Outcome::Waited(changed)
            }
            Command::AskPeers(peers) => Outcome::Peers(self.ask(node, peers)),
            Command::AnnounceFailsafe(peers) => Outcome::Failsafe(self.announce(node, peers)),
            Command::PrePromote => Outcome::Hook(if self.nodes[node].traits.has_hook {
                HookOutcome::Exited(Some(i32::from(self.chance.percent(10))))
            } else {
                HookOutcome::NotConfigured
            }),
            Command::InspectLeader(source) => Outcome::LeaderInspected(self.inspect(node, source)),
            Command::PgRewind { source, .. } => Outcome::Rewound(self.rewind(node, source)),
            Command::SingleUserRecovery => Outcome::Success(self.recover_alone(node)),
            Command::CreateCluster => {
                let created = self.create_cluster(node);
                Outcome::Success(!self.chance.percent(5) && created)
            }
            Command::PostInit => Outcome::Success(self.nodes[node].server.is_primary()),
            Command::CloneFrom(CloneSource::Member { from, .. }) => {
                let source = self.can_read_from(node, &from.name);
                Outcome::Success(source.is_some_and(|source| self.end_copy(node, source)))
            }
            Command::CloneFrom(CloneSource::Remote) => Outcome::Success(self.copy_the_remote(node)),
            Command::CloneFrom(CloneSource::Nobody) => Outcome::Success(false),
            Command::RemoveDataDir(_) => Outcome::Success(self.remove_data(node)),
            Command::MoveDataDirAside => {
                self.remove_data(node);
                Outcome::Done
            }
            _ => return None,
        })
    }

    fn begin_stop(&mut self, node: usize, request: &StopRequest) {
        if self.mutated(Mutant::ReleaseBeforeStop) {
            self.release_early(node);
        }
        if self.nodes[node].server.runs() && !request.restart {
            self.enter_state(node, State::Stopping);
        }
        self.stop_server(node, request.mode, request.checkpoint);
    }

    fn stopped(
        &mut self,
        node: usize,
        request: &StopRequest,
        waited: Duration,
    ) -> Option<StopOutcome> {
        let server = &self.nodes[node].server;
        let drained = server.process == Process::Drained && request.until == Until::ShutDownState;
        let gone = server.process == Process::Absent;
        if !gone && !drained {
            if request.timeout.is_some_and(|limit| waited > limit) {
                self.stop_server(node, patroni_ha::command::StopMode::Immediate, false);
            }
            return None;
        }
        let data = server.data.as_ref();
        let clean = data.filter(|data| data.control == ControlState::ShutDown);
        let shutdown = clean.map(|data| ShutdownPoint {
            checkpoint: data.checkpoint.begin,
            previous: data.checkpoint.begin,
        });
        if gone && !request.restart {
            self.enter_state(node, State::Stopped);
        }
        Some(StopOutcome {
            stopped: true,
            shutdown,
        })
    }

    fn started(
        &mut self,
        node: usize,
        limit: Duration,
        bootstrap: bool,
        waited: Duration,
    ) -> Option<StartOutcome> {
        let server = &self.nodes[node].server;
        if server.accepts() {
            self.enter_state(node, State::Running);
            let ran = &mut self.nodes[node].daemon.supervised.callback_ran;
            *ran |= !bootstrap;
            return Some(StartOutcome::Running);
        }
        if !server.runs() {
            self.enter_state(node, State::StartFailed);
            return Some(StartOutcome::Failed("it ended".to_owned()));
        }
        (waited > limit).then_some(StartOutcome::Unfinished)
    }

    /// The body's last look before a promotion: without a lease nobody is promoted.
    fn order_promotion(&mut self, node: usize) -> bool {
        let here = &self.nodes[node];
        let leased = here.clock.read(self.now) < here.daemon.guard;
        let blind = [Mutant::GuardOff, Mutant::Rule(Rule::HookOutlivesLock)];
        let unguarded = blind.into_iter().any(|mutant| self.mutated(mutant));
        let guarded = !unguarded && !here.daemon.settings.pause;
        if (guarded && !leased) || !self.promote_server(node) {
            return false;
        }
        let daemon = &mut self.nodes[node].daemon;
        daemon.supervised.role = Role::Promoted;
        daemon.supervised.checkpoint = CheckpointTask::Idle;
        daemon.committed = true;
        true
    }

    fn start_checkpoint(&mut self, node: usize) {
        if self.nodes[node].daemon.supervised.checkpoint == CheckpointTask::Running {
            return;
        }
        self.nodes[node].daemon.supervised.checkpoint = CheckpointTask::Running;
        let after = self.chance.skewed((50, 2000), (3000, 15_000), 10);
        let life = self.nodes[node].daemon.life;
        let generation = self.nodes[node].server.generation;
        let event = Event::Checkpointed {
            node,
            life,
            generation,
        };
        self.schedule(after, event);
    }

    fn compare_recovery(&self, node: usize, upstream: &Upstream) -> RecoveryChange {
        match &self.nodes[node].server.data {
            Some(data) if !data.signal => RecoveryChange::Restart,
            Some(data) if data.upstream == *upstream => RecoveryChange::Same,
            Some(_) | None => RecoveryChange::Reload,
        }
    }

    /// The node looks at its lease when it carries a start out.
    fn refuses_start(&self, node: usize, request: &StartRequest) -> bool {
        let here = &self.nodes[node];
        let held = here.clock.read(self.now) < here.daemon.guard;
        let may_lead = held || here.daemon.settings.pause || self.mutated(Mutant::GuardOff);
        request.needs_lease && !may_lead
    }

    pub(crate) fn enter_state(&mut self, node: usize, state: State) {
        let now = self.nodes[node].clock.read(self.now);
        let supervised = &mut self.nodes[node].daemon.supervised;
        if supervised.state != state {
            supervised.state = state;
            supervised.since = now;
        }
    }
}

/// What a standby of this source is called.
fn role_of(upstream: &Upstream) -> Role {
    match upstream {
        Upstream::Remote { leading: true, .. } => Role::StandbyLeader,
        Upstream::Remote { leading: false, .. } | Upstream::Member { .. } | Upstream::None => {
            Role::Replica
        }
    }
}

/// The name of a command without its contents.
pub(crate) fn command_name(command: &Command) -> &'static str {
    match command {
        Command::LoadCluster => "load cluster",
        Command::TouchMember(_) => "touch member",
        Command::AcquireLeader => "acquire leader",
        Command::UpdateLeader { .. } => "update leader",
        Command::TakeLeader => "take leader",
        Command::ReleaseLeader { .. } => "release leader",
        Command::BeginInitialize => "begin initialize",
        Command::SetSystemId(_) => "set system id",
        Command::CancelInitialize => "cancel initialize",
        Command::WriteFailover { .. } => "write failover",
        Command::WriteConfig { .. } => "write config",
        Command::WriteSync { .. } => "write sync",
        Command::DeleteSync { .. } => "delete sync",
        Command::WriteHistory(_) => "write history",
        Command::AskPeers(_) => "ask peers",
        Command::AnnounceFailsafe(_) => "announce failsafe",
        Command::Requery => "requery",
        Command::SetState(_) => "set state",
        Command::SetRole(_) => "set role",
        Command::RunCallback(..) => "run callback",
        Command::PrePromote => "pre-promote",
        Command::Stop(_) => "stop",
        Command::Start(_) => "start",
        Command::Promote => "promote",
        Command::WaitProduction { .. } => "wait production",
        Command::StartCheckpoint => "start checkpoint",
        Command::CompareRecovery(_) => "compare recovery",
        Command::ReloadRecovery(_) => "reload recovery",
        Command::SetSyncNames(_) => "set sync names",
        Command::ResumeReplay => "resume replay",
        Command::ChangeSlot(_) => "change slot",
        Command::AdvanceLogicalSlots(_) => "advance logical slots",
        Command::EnforceFeedback(_) => "enforce feedback",
        Command::ReadFeedback => "read feedback",
        Command::ReadWalStart => "read wal start",
        Command::InspectSlots { .. } => "inspect slots",
        Command::FetchSlots { .. } => "fetch slots",
        Command::InstallSlots(_) => "install slots",
        Command::InspectLeader(_) => "inspect leader",
        Command::LocalPosition => "local position",
        Command::ReadTimelineHistory => "read timeline history",
        Command::HasHistory(_) => "has history",
        Command::PgRewind { .. } => "pg_rewind",
        Command::SingleUserRecovery => "single-user recovery",
        Command::ArchiveReadyWal => "archive ready wal",
        Command::IsArchiving => "is archiving",
        Command::ArchiveShutdownCheckpoint => "archive shutdown checkpoint",
        Command::RemoveDataDir(_) => "remove data dir",
        Command::MoveDataDirAside => "move data dir aside",
        Command::CreateCluster => "create cluster",
        Command::PostInit => "post init",
        Command::CloneFrom(_) => "clone from",
        Command::ResyncAfterPause => "resync after pause",
        Command::KeepNodeTable => "keep node table",
        Command::WatchdogActivate => "watchdog activate",
        Command::WatchdogKeepAlive => "watchdog keep alive",
        Command::WatchdogDisable => "watchdog disable",
        Command::Schedule(_) => "schedule",
        Command::CancelJob => "cancel job",
        Command::DropScheduledRestart => "drop scheduled restart",
        Command::Wait(_) => "wait",
    }
}

/// The names of all commands.
pub(crate) const COMMANDS: &[&str] = &[
    "load cluster",
    "touch member",
    "acquire leader",
    "update leader",
    "take leader",
    "release leader",
    "begin initialize",
    "set system id",
    "cancel initialize",
    "write failover",
    "write config",
    "write sync",
    "delete sync",
    "write history",
    "ask peers",
    "announce failsafe",
    "requery",
    "set state",
    "set role",
    "run callback",
    "pre-promote",
    "stop",
    "start",
    "promote",
    "wait production",
    "start checkpoint",
    "compare recovery",
    "reload recovery",
    "set sync names",
    "resume replay",
    "inspect leader",
    "has history",
    "local position",
    "read timeline history",
    "pg_rewind",
    "single-user recovery",
    "archive ready wal",
    "is archiving",
    "archive shutdown checkpoint",
    "remove data dir",
    "move data dir aside",
    "create cluster",
    "post init",
    "clone from",
    "resync after pause",
    "watchdog activate",
    "watchdog keep alive",
    "watchdog disable",
    "schedule",
    "cancel job",
    "drop scheduled restart",
    "wait",
];
