//! Carrying out commands in the small world: at once, and each with the one outcome it has.

use std::collections::BTreeSet;

use patroni_core::sync_names::SyncKind;
use patroni_core::{HistoryLine, Lsn, Moment, Role, State, Tags, Timeline};
use patroni_dcs::StoreError;
use patroni_ha::command::{RewindSource, Until, Wait};
use patroni_ha::lease::guard_margin;
use patroni_ha::observation::{PeerAnswer, PeerStatus};
use patroni_ha::outcome::{
    HookOutcome, InspectFailure, LeaderInspection, LocalPosition, LockOutcome, RecoveryChange,
    RewindOutcome, ShutdownPoint, SlotChanged, StartOutcome, StopOutcome, Written,
};
use patroni_ha::{Command, Outcome};

use super::search::Fate;
use super::shared::Shared;
use super::small::{Small, Tiny, member_data, name};
use super::{Question, Scene};
use crate::daemon::Lane;
use crate::invariants::Invariant;
use crate::options::Mutant;

/// An invariant that does not hold any more.
pub(super) type Broken = Option<(Invariant, String)>;

/// Whether other members can notice that (or when) it is carried out. A long task that waits
/// looks again and again for what others do; a cycle that waits for a time does so once.
pub(super) fn is_visible(command: &Command, lane: Lane) -> bool {
    is_for_the_store(command)
        || match command {
            Command::Wait(Wait::For(_)) => lane == Lane::Job,
            Command::AskPeers(_)
            | Command::Requery
            | Command::Wait(Wait::StoreChange { .. })
            | Command::SetSyncNames(_)
            | Command::Promote
            | Command::Stop(_)
            | Command::Start(_) => true,
            _ => false,
        }
}

pub(super) fn is_for_the_store(command: &Command) -> bool {
    matches!(
        command,
        Command::LoadCluster
            | Command::AcquireLeader
            | Command::UpdateLeader { .. }
            | Command::ReleaseLeader { .. }
            | Command::WriteFailover { .. }
            | Command::WriteSync { .. }
            | Command::DeleteSync { .. }
    )
}

impl Small {
    /// Carries a command of a member out, unless its request is lost.
    pub(super) fn carry(
        &mut self,
        question: &Question,
        member: usize,
        command: &Command,
        fate: Fate,
    ) -> (Outcome, Broken) {
        let silent = match command {
            Command::LoadCluster => Outcome::Cluster(Err("silence".to_owned())),
            Command::AcquireLeader | Command::UpdateLeader { .. } => {
                Outcome::Lock(LockOutcome::Unreachable("silence".to_owned()))
            }
            Command::WriteSync { .. } => {
                Outcome::SyncWritten(Err(Written::Failed("silence".to_owned())))
            }
            _ => Outcome::Write(Written::Failed("silence".to_owned())),
        };
        match fate {
            Fate::Lost => (silent, None),
            Fate::Unanswered => {
                let (_, broken) = self.done(question, member, command);
                (silent, broken)
            }
            Fate::Carried => {
                let (outcome, broken) = self.done(question, member, command);
                if let Outcome::Lock(LockOutcome::Held { until }) = outcome {
                    let ttl = super::small::settings(question.scene).ttl;
                    self.members[member].guard = until - guard_margin(ttl);
                }
                (outcome, broken)
            }
        }
    }

    #[expect(clippy::too_many_lines, reason = "a flat match reads like a table")]
    fn done(&mut self, question: &Question, member: usize, command: &Command) -> (Outcome, Broken) {
        if is_for_the_store(command) {
            return self.store(question, member, command);
        }
        let mut broken = None;
        let outcome = match command {
            Command::TouchMember(_) => self.touch(member),
            Command::AskPeers(peers) => {
                let ask = |peer: &patroni_ha::command::Peer| self.peer(&peer.name);
                Outcome::Peers(peers.iter().map(ask).collect())
            }
            Command::Requery => Outcome::Server(Box::new(self.look(member))),
            Command::SetState(state) => {
                self.members[member].server.state = *state;
                Outcome::Done
            }
            Command::SetRole(role) => {
                self.members[member].server.role = *role;
                Outcome::Done
            }
            Command::SetSyncNames(names) => {
                let server = &mut self.members[member].server;
                let differs = server.names != *names;
                server.names = names.clone();
                Outcome::Success(differs)
            }
            Command::Stop(request) => self.stop(member, request.until, request.restart),
            Command::Start(request) => {
                let server = &mut self.members[member].server;
                server.runs = true;
                server.clean = false;
                server.standby = request.role != Role::Primary;
                server.state = State::Running;
                server.role = request.role;
                Outcome::Started(StartOutcome::Running)
            }
            Command::Promote => {
                let (issued, wrong) = self.promote(question, member);
                broken = wrong;
                Outcome::Success(issued)
            }
            Command::WaitProduction { .. } => {
                Outcome::Success(self.members[member].server.is_primary())
            }
            Command::Schedule(job) => Outcome::Scheduled(self.order(member, job)),
            Command::CancelJob => {
                self.members[member].job = None;
                self.members[member].ordered = None;
                Outcome::Done
            }
            Command::Wait(Wait::For(_) | Wait::StoreChange { .. }) => Outcome::Waited(true),
            Command::PrePromote => Outcome::Hook(HookOutcome::NotConfigured),
            Command::CompareRecovery(_) => {
                Outcome::Recovery(if self.members[member].server.standby {
                    RecoveryChange::Same
                } else {
                    RecoveryChange::Restart
                })
            }
            Command::InspectLeader(RewindSource::Member(leader)) => {
                Outcome::LeaderInspected(self.inspect(&leader.name))
            }
            Command::InspectLeader(RewindSource::Remote { .. }) => {
                Outcome::LeaderInspected(Err(InspectFailure::Failed("no remote".to_owned())))
            }
            Command::LocalPosition => Outcome::LocalPosition(self.local_position(member)),
            Command::ReadTimelineHistory => Outcome::TimelineHistory(Ok(self.history(member))),
            Command::PgRewind { .. } => Outcome::Rewound(RewindOutcome::Failed),
            Command::WriteHistory(history) => {
                let now = self.now();
                let session = &mut self.members[member].session;
                written(session.write_history(&mut self.model, now, history))
            }
            Command::SetSystemId(_)
            | Command::BeginInitialize
            | Command::CancelInitialize
            | Command::WriteConfig { .. } => Outcome::Write(Written::Yes),
            Command::ReloadRecovery(_)
            | Command::WatchdogActivate
            | Command::ArchiveShutdownCheckpoint
            | Command::SingleUserRecovery
            | Command::EnforceFeedback(_)
            | Command::InstallSlots(_) => Outcome::Success(true),
            Command::CreateCluster
            | Command::PostInit
            | Command::CloneFrom(_)
            | Command::HasHistory(_)
            | Command::IsArchiving
            | Command::RemoveDataDir(_) => Outcome::Success(false),
            // Only the slots of members are wished here, and nothing is kept of them.
            Command::ChangeSlot(_) => Outcome::SlotChanged(SlotChanged::Done),
            Command::AdvanceLogicalSlots(_) => Outcome::SlotsGivenUp(BTreeSet::new()),
            Command::ReadFeedback => Outcome::Feedback(Ok(false)),
            Command::ReadWalStart => Outcome::WalStart(Ok(Lsn::ZERO)),
            Command::InspectSlots { .. } => Outcome::LeaderSlots(Err("no slots".to_owned())),
            Command::FetchSlots { .. } => Outcome::SlotsFetched(Ok(Vec::new())),
            Command::TakeLeader => Outcome::Lock(LockOutcome::Refused),
            Command::AnnounceFailsafe(_) => Outcome::Failsafe(Vec::new()),
            Command::RunCallback(..)
            | Command::StartCheckpoint
            | Command::ResumeReplay
            | Command::ArchiveReadyWal
            | Command::MoveDataDirAside
            | Command::ResyncAfterPause
            | Command::KeepNodeTable
            | Command::WatchdogKeepAlive
            | Command::WatchdogDisable
            | Command::DropScheduledRestart => Outcome::Done,
            Command::LoadCluster
            | Command::AcquireLeader
            | Command::UpdateLeader { .. }
            | Command::ReleaseLeader { .. }
            | Command::WriteFailover { .. }
            | Command::WriteSync { .. }
            | Command::DeleteSync { .. } => unreachable!("the store carries it out"),
        };
        (outcome, broken)
    }

    /// The key is written when it says something else; either way its lease lasts.
    fn touch(&mut self, member: usize) -> Outcome {
        let now = self.now();
        let here = &mut self.members[member];
        let data = member_data(member, &here.server, &here.memory);
        let stored = here.session.load(&mut self.model, now);
        let judged = stored
            .as_ref()
            .ok()
            .and_then(|view| view.member(&name(member)));
        written(
            here.session
                .touch_member(&mut self.model, now, &data, judged),
        )
    }

    fn store(
        &mut self,
        question: &Question,
        member: usize,
        command: &Command,
    ) -> (Outcome, Broken) {
        let now = self.now();
        let blind = question.mutant == Some(Mutant::LockWithoutCondition);
        let (session, model) = (&mut self.members[member].session, &mut self.model);
        let until = now + session.ttl();
        let lock = |result: Result<(), StoreError>| {
            Outcome::Lock(match result {
                Ok(()) => LockOutcome::Held { until },
                Err(error) if error.is_lost_race() => LockOutcome::Refused,
                Err(error) => LockOutcome::Unreachable(error.to_string()),
            })
        };
        let outcome = match command {
            Command::LoadCluster => {
                let loaded = session.load(model, now);
                Outcome::Cluster(loaded.map_err(|error| error.to_string()))
            }
            Command::AcquireLeader if blind => lock(session.take_leader(model, now)),
            Command::AcquireLeader => lock(session.acquire_leader(model, now)),
            Command::UpdateLeader { judged, .. } => lock(session.update_leader(model, now, judged)),
            Command::ReleaseLeader { judged, .. } => {
                let released = session.delete_leader(model, now, judged.as_ref());
                self.members[member].committed = true;
                let wrong = self.members[member].server.is_primary();
                let message = format!("{} releases the lock while it leads", name(member));
                let broken = wrong.then_some((Invariant::Handover, message));
                return (written(released), broken);
            }
            Command::WriteFailover { request, judged } => {
                written(session.write_failover(model, now, request, judged.as_ref()))
            }
            Command::WriteSync { state, judged } => {
                let result = session.write_sync(model, now, state, judged.as_ref());
                Outcome::SyncWritten(result.map_err(|error| {
                    if error.is_lost_race() {
                        Written::LostRace
                    } else {
                        Written::Failed(error.to_string())
                    }
                }))
            }
            Command::DeleteSync { judged } => {
                written(session.delete_sync(model, now, judged.as_ref()))
            }
            _ => unreachable!("not for the store"),
        };
        let held = matches!(outcome, Outcome::Lock(LockOutcome::Held { .. }));
        (outcome, if held { self.one_holder(member) } else { None })
    }

    /// Nobody else relies on the lock when it is given to a member.
    fn one_holder(&self, member: usize) -> Broken {
        let relies = |(index, other): (usize, &Shared<Tiny>)| {
            (index != member && other.server.is_primary() && self.now() < other.guard)
                .then_some(index)
        };
        let other = self.members.iter().enumerate().find_map(relies)?;
        let message = format!(
            "{} got the lock while {} relies on it",
            name(member),
            name(other)
        );
        Some((Invariant::OneHolder, message))
    }

    fn stop(&mut self, member: usize, until: Until, restart: bool) -> Outcome {
        let server = &mut self.members[member].server;
        let clean = server.runs || server.clean;
        server.runs = false;
        server.clean = clean;
        if !restart && until == Until::Exit {
            server.state = State::Stopped;
        }
        let at = server.position();
        let shutdown = (clean && !server.standby).then_some(ShutdownPoint {
            checkpoint: at,
            previous: at,
        });
        Outcome::Stopped(StopOutcome {
            stopped: true,
            shutdown,
        })
    }

    fn promote(&mut self, question: &Question, member: usize) -> (bool, Broken) {
        let now = self.now();
        let guarded = question.mutant != Some(Mutant::GuardOff);
        let highest = self.members.iter().map(|other| other.server.timeline).max();
        let here = &mut self.members[member];
        if (guarded && now >= here.guard) || !here.server.runs || !here.server.standby {
            return (false, None);
        }
        here.server.standby = false;
        here.server.role = Role::Promoted;
        here.server.timeline = highest.unwrap_or(1) + 1;
        here.server.acknowledged = here.server.log.len();
        here.committed = true;
        let lost = self
            .promised
            .iter()
            .find(|write| !here.server.log.contains(write));
        let message = |write: &u8| format!("{} was promoted without write {write}", name(member));
        (
            true,
            lost.map(|write| (Invariant::NoLostWrite, message(write))),
        )
    }

    fn peer(&self, peer: &patroni_core::MemberName) -> PeerAnswer {
        let found = (0..self.members.len()).find(|member| name(*member) == *peer);
        let server = found.map(|member| &self.members[member].server);
        let reply = match server.filter(|server| server.runs) {
            None => Err("no position in the answer".to_owned()),
            Some(server) => Ok(PeerStatus {
                in_recovery: server.standby,
                position: server.position(),
                timeline: Timeline::new(server.timeline),
                tags: Tags::default(),
                watchdog_failed: false,
                replays_own_wal: false,
                streams: false,
                may_stream: false,
                body: String::new(),
            }),
        };
        PeerAnswer {
            name: peer.clone(),
            reply,
            stands_aside: false,
        }
    }

    fn inspect(
        &self,
        leader: &patroni_core::MemberName,
    ) -> Result<LeaderInspection, InspectFailure> {
        let found = (0..self.members.len()).find(|member| name(*member) == *leader);
        let server = found.map(|member| &self.members[member].server);
        match server.filter(|server| server.runs) {
            None => Err(InspectFailure::Failed("refused".to_owned())),
            Some(server) if server.standby => Err(InspectFailure::InRecovery),
            Some(server) => Ok(LeaderInspection {
                timeline: Timeline::new(server.timeline).unwrap_or(Timeline::FIRST),
                history: None,
                lines: Vec::new(),
                flushed: Some(server.position()),
            }),
        }
    }

    fn local_position(&self, member: usize) -> Option<LocalPosition> {
        let server = &self.members[member].server;
        let readable = server.runs == server.standby || server.clean;
        readable.then(|| LocalPosition {
            in_recovery: server.standby,
            timeline: Timeline::new(server.timeline).unwrap_or(Timeline::FIRST),
            lsn: server.position(),
            checkpoint_end: (!server.standby).then(|| server.position()),
            history: None,
            unfinished: false,
        })
    }

    fn history(&self, member: usize) -> Vec<HistoryLine> {
        let timeline = self.members[member].server.timeline;
        (1..timeline)
            .filter_map(Timeline::new)
            .map(|timeline| HistoryLine {
                timeline,
                switchpoint: Lsn::new(100),
                reason: "no recovery target specified".to_owned(),
                timestamp: Some("2026-01-01T00:00:00+00:00".to_owned()),
                new_leader: None,
            })
            .collect()
    }

    fn order(&mut self, member: usize, job: &patroni_ha::Job) -> Result<(), String> {
        let here = &mut self.members[member];
        let busy = here.job.as_ref().map(|(run, _)| run.job());
        if let Some(old) = busy.or(here.ordered.as_ref()) {
            return Err(old.to_string());
        }
        here.ordered = Some(job.clone());
        Ok(())
    }

    /// Acknowledges what waits for nobody any more, and looks whether that was right.
    pub(super) fn acknowledge(&mut self, scene: Scene) -> Broken {
        for member in 0..self.members.len() {
            let server = &self.members[member].server;
            if !server.is_primary() || server.acknowledged == server.log.len() {
                continue;
            }
            let names = &server.names;
            let confirms = |listed: &&String| {
                let standby = (0..self.members.len()).find(|other| name(*other).matches(listed));
                standby.is_some_and(|standby| {
                    self.streams_from(standby, member)
                        && self.members[standby].server.log.len() >= server.log.len()
                })
            };
            let needed = match names.kind {
                SyncKind::Quorum => names.count,
                SyncKind::Priority | SyncKind::Off => names.names.len(),
            };
            if names.names.iter().filter(confirms).count() < needed || names.star {
                continue;
            }
            let (log, timeline) = (server.log.clone(), server.timeline);
            self.members[member].server.acknowledged = log.len();
            if let Some(broken) = self.acknowledged(scene, member, &log, timeline) {
                return Some(broken);
            }
        }
        None
    }

    fn acknowledged(&mut self, scene: Scene, member: usize, log: &[u8], timeline: u32) -> Broken {
        let me = name(member);
        let replaced = self.members.iter().any(|other| {
            let newer = other.server.is_primary() && other.server.timeline > timeline;
            newer && !other.server.log.starts_with(log)
        });
        if replaced {
            let message = format!("{me} acknowledged a write after another promotion");
            return Some((Invariant::OnePrimary, message));
        }
        let sync = self.model.entry("/service/small/sync");
        let sync = sync.map(|entry| patroni_core::SyncState::parse(&entry.value, None));
        let promises = matches!(scene, Scene::Synchronous | Scene::Quorum);
        let sync = sync.filter(|sync| promises && sync.is_leader(&me))?;
        let members = self.members.iter().enumerate();
        let lack = members
            .filter(|(index, other)| {
                sync.has_standby(&name(*index)) && !other.server.log.starts_with(log)
            })
            .count();
        // Whoever is elected asks so many of the others that one of them has it.
        if lack > sync.quorum {
            let message = format!("{me} acknowledged what {lack} of the key lack");
            return Some((Invariant::SyncKey, message));
        }
        if !sync.standbys.is_empty() {
            self.promised = log.to_vec();
        }
        None
    }

    /// Ten seconds pass: leases end, and primaries without one are stopped before that.
    pub(super) fn pass(&mut self, question: &Question) {
        let now: Moment = self.now() + super::small::SPAN;
        let guarded = question.mutant != Some(Mutant::GuardOff);
        for member in &mut self.members {
            if guarded && member.server.is_primary() && now >= member.guard {
                member.server.runs = false;
                member.server.clean = false;
            }
        }
        self.model.advance(now);
    }
}

fn written(result: Result<(), StoreError>) -> Outcome {
    Outcome::Write(match result {
        Ok(()) => Written::Yes,
        Err(error) if error.is_lost_race() => Written::LostRace,
        Err(error) => Written::Failed(error.to_string()),
    })
}
