//! Commands for the store: sent, carried out when they arrive, answered later or never.

use std::time::Duration;

use patroni_core::Moment;
use patroni_dcs::{StoreError, StoreErrorKind};
use patroni_ha::outcome::{LockOutcome, Written};
use patroni_ha::{Command, Outcome};

use super::{Lane, Pending, Round};
use crate::event::Event;
use crate::invariants::{handover, one_holder};
use crate::options::Mutant;
use crate::world::World;

/// Whether the store carries this command out.
pub(crate) fn is_for_the_store(command: &Command) -> bool {
    matches!(
        command,
        Command::LoadCluster
            | Command::TouchMember(_)
            | Command::AcquireLeader
            | Command::UpdateLeader { .. }
            | Command::TakeLeader
            | Command::ReleaseLeader { .. }
            | Command::BeginInitialize
            | Command::SetSystemId(_)
            | Command::CancelInitialize
            | Command::WriteFailover { .. }
            | Command::WriteConfig { .. }
            | Command::WriteSync { .. }
            | Command::DeleteSync { .. }
            | Command::WriteHistory(_)
    )
}

/// Reads, renewals and member keys are tried again until the budget is spent. A conditional
/// write whose answer was lost must not be: the second try would read its own success as a defeat.
fn is_repeated(command: &Command) -> bool {
    matches!(
        command,
        Command::LoadCluster | Command::TouchMember(_) | Command::UpdateLeader { .. }
    )
}

/// The view and the lock are waited for until the lease has to be given up.
fn is_bounded(command: &Command) -> bool {
    matches!(
        command,
        Command::LoadCluster | Command::AcquireLeader | Command::UpdateLeader { .. }
    )
}

impl World {
    /// Sends a request.
    pub(crate) fn send(&mut self, node: usize, lane: Lane, command: Command) {
        let known =
            self.mutated(Mutant::PromoteBeforeLock) && matches!(command, Command::AcquireLeader);
        let way = self.chance.skewed((1, 8), (50, 700), 2);
        let op = self.pend(node, lane, command);
        if known {
            let until = self.lease_from(node, self.nodes[node].clock.read(self.now));
            let outcome = Outcome::Lock(LockOutcome::Held { until });
            self.deliver(node, lane, op, way, outcome);
            return;
        }
        let life = self.nodes[node].daemon.life;
        self.schedule(way, Event::Arrive { node, life, op });
    }

    /// The request arrives at the store, or would.
    pub(crate) fn arrive(&mut self, node: usize, op: u64) {
        let Some(lane) = self.nodes[node].daemon.lane_of(op) else {
            return;
        };
        let Some(pending) = self.nodes[node].daemon.pending(lane).cloned() else {
            return;
        };
        let back = self.way_back(node);
        handover::releasing(self, node, &pending.command);
        match self.ask_store(node, &pending) {
            Ok(outcome) if self.too_late(node, &pending, back) => {
                if let Outcome::Lock(LockOutcome::Held { .. }) = outcome {
                    self.note_lock_end(node);
                }
                let error = StoreError::unreachable("wait", "the lease has to be given up");
                self.silence(node, lane, &pending, &error);
            }
            Ok(outcome) => {
                if let Outcome::Lock(LockOutcome::Held { .. }) = outcome {
                    self.note_lock_end(node);
                    one_holder::taken(self, node, &pending.command);
                }
                self.deliver(node, lane, op, back, outcome);
            }
            Err(error) => self.silence(node, lane, &pending, &error),
        }
    }

    /// How long an answer is under way.
    fn way_back(&mut self, node: usize) -> Duration {
        let slow = self.nodes[node].slow_store;
        let budget = self.nodes[node].daemon.settings.retry_timeout;
        let most = u64::try_from(budget.as_millis()).unwrap_or(3000);
        self.chance
            .skewed((1, 8), (50, most), if slow { 50 } else { 1 })
    }

    /// How long a request may take in all: less than usual for a leader whose lease runs down.
    fn budget(&self, node: usize, pending: &Pending) -> Duration {
        let here = &self.nodes[node];
        let whole = here.daemon.settings.retry_timeout;
        match here
            .daemon
            .store_until
            .filter(|_| is_bounded(&pending.command))
        {
            Some(until) => whole.min(here.clock.when(until).since(pending.since)),
            None => whole,
        }
    }

    /// The answer would come when nobody waits for it any more.
    fn too_late(&self, node: usize, pending: &Pending, back: Duration) -> bool {
        self.nodes[node].daemon.store_until.is_some()
            && is_bounded(&pending.command)
            && self.now.since(pending.since) + back > self.budget(node, pending)
    }

    /// No answer: again, or the end of patience.
    fn silence(&mut self, node: usize, lane: Lane, pending: &Pending, error: &StoreError) {
        let budget = self.budget(node, pending);
        let spent = self.now.since(pending.since);
        let life = self.nodes[node].daemon.life;
        let pause = self.chance.millis(300, 1500);
        if is_repeated(&pending.command) && spent + pause < budget {
            let (now, op) = (self.now + pause, pending.op);
            let sent_at = self.nodes[node].clock.read(now);
            if let Some(Some(pending)) = self.nodes[node].daemon.pending_mut(lane) {
                pending.sent_at = sent_at;
            }
            self.schedule(pause, Event::Arrive { node, life, op });
            return;
        }
        let why = error.to_string();
        let outcome = match &pending.command {
            Command::LoadCluster => Outcome::Cluster(Err(why)),
            Command::AcquireLeader if self.mutated(Mutant::SilenceIsSuccess) => {
                let until = self.lease_from(node, pending.sent_at);
                Outcome::Lock(LockOutcome::Held { until })
            }
            Command::UpdateLeader { .. } if self.mutated(Mutant::SilenceIsConsent) => {
                let until = self.lease_from(node, pending.sent_at);
                Outcome::Lock(LockOutcome::Held { until })
            }
            Command::AcquireLeader | Command::UpdateLeader { .. } | Command::TakeLeader => {
                Outcome::Lock(LockOutcome::Unreachable(why))
            }
            Command::WriteSync { .. } => Outcome::SyncWritten(Err(Written::Failed(why))),
            _ => Outcome::Write(Written::Failed(why)),
        };
        let rest = budget.saturating_sub(spent).max(Duration::from_millis(1));
        self.deliver(node, lane, pending.op, rest, outcome);
    }

    /// The store carries a request out. An error is silence.
    fn ask_store(&mut self, node: usize, pending: &Pending) -> Result<Outcome, StoreError> {
        let now = self.now;
        let member = self.member_data(node, &pending.command);
        let late = self.mutated(Mutant::SyncKeyLate);
        let blind = self.mutated(Mutant::LockWithoutCondition);
        let me = self.nodes_name(node);
        let shows = self.nodes[node].clock.read(now);
        let (model, daemon) = (&mut self.model, &mut self.nodes[node].daemon);
        let session = &mut daemon.session;
        session.set_clock(shows);
        let until = pending.sent_at + session.ttl();
        let written = match &pending.command {
            Command::LoadCluster => {
                let cluster = session.load(model, now)?;
                return Ok(Outcome::Cluster(Ok(cluster)));
            }
            Command::AcquireLeader if blind => {
                return lock(session.take_leader(model, now), until);
            }
            Command::AcquireLeader => {
                return lock(session.acquire_leader(model, now), until);
            }
            Command::TakeLeader => {
                return lock(session.take_leader(model, now), until);
            }
            Command::UpdateLeader {
                judged,
                status,
                failsafe,
            } => {
                let held = lock(session.update_leader(model, now, judged), until)?;
                if let Outcome::Lock(LockOutcome::Held { .. }) = held {
                    // The lock is extended whatever becomes of these.
                    let _status = status.as_ref().map(|s| session.write_status(model, now, s));
                    let _topology = failsafe
                        .as_ref()
                        .map(|f| session.write_failsafe(model, now, f));
                }
                return Ok(held);
            }
            Command::WriteSync { state, judged } => {
                if late {
                    return Ok(self.write_sync_later(state.clone()));
                }
                let result = session.write_sync(model, now, state, judged.as_ref());
                return match result {
                    Ok(revision) => Ok(Outcome::SyncWritten(Ok(revision))),
                    Err(error) if error.is_lost_race() => {
                        Ok(Outcome::SyncWritten(Err(Written::LostRace)))
                    }
                    Err(error) => Err(error),
                };
            }
            Command::TouchMember(_) => {
                let judged = daemon.view.as_ref().and_then(|view| view.member(&me));
                session.touch_member(model, now, &member, judged)
            }
            Command::ReleaseLeader { judged, status } => {
                if let Some(status) = status {
                    session.write_status(model, now, status)?;
                }
                session.delete_leader(model, now, judged.as_ref())
            }
            Command::BeginInitialize => session.begin_initialize(model, now),
            Command::SetSystemId(id) => session.set_system_id(model, now, id),
            Command::CancelInitialize => session.cancel_initialize(model, now),
            Command::WriteFailover { request, judged } => {
                session.write_failover(model, now, request, judged.as_ref())
            }
            Command::WriteConfig { data, judged } => {
                session.write_config(model, now, data, judged.as_ref())
            }
            Command::DeleteSync { judged } => session.delete_sync(model, now, judged.as_ref()),
            Command::WriteHistory(history) => session.write_history(model, now, history),
            _ => Ok(()),
        };
        match written {
            Ok(()) => Ok(Outcome::Write(Written::Yes)),
            Err(error) if error.is_lost_race() => Ok(Outcome::Write(Written::LostRace)),
            Err(error) => Err(error),
        }
    }

    /// The store made the lock last anew.
    fn note_lock_end(&mut self, node: usize) {
        let daemon = &mut self.nodes[node].daemon;
        daemon.lock_life = daemon.session.ttl();
        daemon.lock_lasts = self.now + daemon.lock_life;
    }

    /// The lease that a request makes which was sent at this moment of the node's clock.
    fn lease_from(&self, node: usize, sent_at: Moment) -> Moment {
        sent_at + self.nodes[node].daemon.session.ttl()
    }

    /// The end of a lease as a faulty body counts it.
    fn miscounted(&self, node: usize, until: Moment) -> Moment {
        let here = &self.nodes[node];
        if self.mutated(Mutant::LeaseFromAnswer) {
            return self.lease_from(node, here.clock.read(self.now));
        }
        if self.mutated(Mutant::LeaseOfNewTtl) {
            return until - here.daemon.session.ttl() + here.daemon.settings.ttl;
        }
        until
    }

    /// What the body itself learns from an outcome before its program does.
    pub(crate) fn learn(&mut self, node: usize, lane: Lane, outcome: Outcome) -> Outcome {
        match outcome {
            Outcome::Cluster(Ok(view)) => {
                let loading = matches!(
                    self.nodes[node]
                        .daemon
                        .cycle
                        .as_ref()
                        .map(|program| &program.run),
                    Some(Round::Loading)
                );
                let here = &mut self.nodes[node];
                let daemon = &mut here.daemon;
                if lane == Lane::Cycle || !loading {
                    daemon.view = Some(view.clone());
                    daemon.view_until = here.clock.read(self.now) + daemon.settings.ttl;
                }
                if let Some(shown) = daemon.shown(lane) {
                    shown.snapshot(&view);
                }
                Outcome::Cluster(Ok(view))
            }
            Outcome::Cluster(Err(error)) => {
                self.nodes[node].daemon.view_until = Moment::ZERO;
                Outcome::Cluster(Err(error))
            }
            Outcome::Lock(LockOutcome::Held { until }) => {
                let until = self.miscounted(node, until);
                one_holder::leased(self, node, until);
                self.extend_lease(node, until);
                Outcome::Lock(LockOutcome::Held { until })
            }
            Outcome::SyncWritten(Ok(revision)) => {
                if let Some(shown) = self.nodes[node].daemon.shown(lane) {
                    shown.wrote("sync", Some(revision.clone()));
                }
                Outcome::SyncWritten(Ok(revision))
            }
            other => other,
        }
    }
}

fn lock(result: Result<(), StoreError>, until: Moment) -> Result<Outcome, StoreError> {
    match result {
        Ok(()) => Ok(Outcome::Lock(LockOutcome::Held { until })),
        Err(error) => match error.kind {
            StoreErrorKind::LostRace => Ok(Outcome::Lock(LockOutcome::Refused)),
            StoreErrorKind::Unreachable(_)
            | StoreErrorKind::Denied(_)
            | StoreErrorKind::Nonsense(_) => Err(error),
        },
    }
}
