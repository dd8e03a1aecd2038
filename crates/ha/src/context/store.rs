//! Questions to the store and to peers.

use super::{Cx, only};
use crate::command::{Command, MemberNotes, Peer};
use crate::memory::Lease;
use crate::mutant::Mutant;
use crate::observation::PeerAnswer;
use crate::outcome::{FailsafeAnswer, LockOutcome, Outcome, Written};
use crate::replay::{Asked, Halt};
use crate::sentence::Text;
use patroni_core::{
    Cluster, FailoverRequest, History, Leader, Lsn, MemberName, Revision, Status, SyncState,
    SystemId,
};
use std::collections::BTreeMap;
use std::sync::Arc;

impl Cx<'_> {
    /// Takes a new snapshot as the one to judge.
    pub(crate) fn see(&mut self, view: Arc<Cluster>) {
        if view.system_id().is_some() {
            self.memory.seen_identity = true;
        }
        self.memory.failsafe_members.clone_from(&view.failsafe);
        self.memory.unasked_lock = self.unasked_lock(&view);
        if view.leader_name().is_some() {
            self.memory.old_view = Some(self.with_leaders_address(&view));
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

    /// The key of a leader can be gone before its lock: a session that ends takes both, and a store
    /// that is read key by key shows one of them for longer. Whoever races has to ask that leader.
    fn with_leaders_address(&self, view: &Arc<Cluster>) -> Arc<Cluster> {
        let leader = view
            .leader_name()
            .filter(|name| view.member(name).is_none());
        let before = self.memory.old_view.as_ref().zip(leader);
        let Some(known) = before.and_then(|(before, leader)| before.member(leader)) else {
            return view.clone();
        };
        let mut led = Cluster::clone(view);
        led.members.push(known.clone());
        Arc::new(led)
    }

    /// Who led before the lock became ours without our doing. A lock that was taken without an
    /// answer is known by its race.
    fn unasked_lock(&self, view: &Cluster) -> Option<MemberName> {
        if !view.leader_name().is_some_and(|name| self.is_me(name)) {
            return None;
        }
        let known = self.memory.lease != Lease::None || self.memory.race.is_some();
        let former = self.memory.old_view.as_ref()?.leader_name();
        let former = former.filter(|name| !known && !self.is_me(name));
        former.cloned().or_else(|| self.memory.unasked_lock.clone())
    }

    /// The view, to be changed by what this program did itself.
    pub(crate) fn view_mut(&mut self) -> &mut Cluster {
        Arc::make_mut(&mut self.view)
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
        let loaded = only!(self.ask(Command::LoadCluster)?, Cluster);
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
            trouble: self.memory.trouble.clone(),
        };
        self.write(Command::TouchMember(notes))
    }

    pub(crate) fn acquire_leader(&mut self) -> Asked<bool> {
        let outcome = only!(self.ask(Command::AcquireLeader)?, Lock);
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
            failsafe: failsafe.clone(),
        };
        let outcome = only!(self.ask(command)?, Lock);
        if let Some(written) = failsafe {
            self.expect_topology(written);
        }
        let held = self.note_lock(&outcome)?;
        if held && self.watchdog_active {
            self.done(Command::WatchdogKeepAlive)?;
        }
        Ok(held)
    }

    /// Nobody tells whether the new failsafe topology was written. Until the next read either it
    /// or the old one may be in the store, and its members may race: the consent of both counts.
    fn expect_topology(&mut self, written: BTreeMap<MemberName, String>) {
        if self.mutated(Mutant::FailsafeNewTopology) {
            self.memory.failsafe_members = Some(written);
            return;
        }
        let known = self.memory.failsafe_members.as_mut();
        if let Some(members) = known.filter(|members| !members.is_empty()) {
            members.extend(written);
        }
    }

    pub(crate) fn take_leader(&mut self) -> Asked<bool> {
        let outcome = only!(self.ask(Command::TakeLeader)?, Lock);
        self.note_lock(&outcome)
    }

    fn note_lock(&mut self, outcome: &LockOutcome) -> Asked<bool> {
        match outcome {
            LockOutcome::Held { until } => {
                self.memory.unasked_lock = None;
                self.memory.lease = Lease::Until(*until);
                self.lock_confirmed = true;
                Ok(true)
            }
            LockOutcome::Refused => {
                self.memory.lease = Lease::None;
                self.lock_confirmed = false;
                Ok(false)
            }
            LockOutcome::Unreachable(_) => {
                // What was promised by the renewal before is promised still.
                if !matches!(self.memory.lease, Lease::Until(_)) {
                    self.memory.lease = Lease::None;
                }
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
        let mut written = self.write(Command::ReleaseLeader {
            judged,
            status: status.clone(),
        })?;
        // On some stores every renewal changes the revision, so the lock may be ours still.
        if written == Written::LostRace && self.try_reload()? {
            let judged = self.view.leader.clone();
            if judged
                .as_ref()
                .is_some_and(|leader| self.is_me(&leader.name))
            {
                written = self.write(Command::ReleaseLeader { judged, status })?;
            }
        }
        self.touch_member()?;
        let released = written == Written::Yes;
        if released {
            self.say(Text::LeaderKeyReleased);
            self.view_mut().leader = None;
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
            self.view_mut().failover = None;
        }
        Ok(())
    }

    /// Writes the synchronous state, compared with the revision in view, and keeps the new one.
    pub(crate) fn write_sync(&mut self, state: SyncState) -> Asked<bool> {
        let mut judged = self.view.sync.revision.clone();
        if self.mutated(Mutant::UnconditionalSync) {
            judged = None;
        }
        let command = Command::WriteSync {
            state: state.clone(),
            judged,
        };
        match only!(self.ask(command)?, SyncWritten) {
            Ok(revision) => {
                self.view_mut().sync = SyncState {
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
            self.view_mut().sync = SyncState::default();
        }
        Ok(written == Written::Yes)
    }

    pub(crate) fn write_history(&mut self, history: History) -> Asked<()> {
        self.write(Command::WriteHistory(history)).map(drop)
    }
}

impl Cx<'_> {
    /// Asks peers for their status without a word, for questions that are repeated.
    pub(crate) fn ask_peers_quietly(&mut self, peers: Vec<Peer>) -> Asked<Vec<PeerAnswer>> {
        Ok(only!(self.ask(Command::AskPeers(peers))?, Peers))
    }

    /// Asks peers for their status and logs the answers.
    pub(crate) fn ask_peers(&mut self, peers: Vec<Peer>) -> Asked<Vec<PeerAnswer>> {
        if peers.is_empty() {
            return Ok(Vec::new());
        }
        let urls: BTreeMap<MemberName, String> = peers
            .iter()
            .map(|peer| (peer.name.clone(), peer.url.clone()))
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
        Ok(only!(self.ask(Command::AnnounceFailsafe(peers))?, Failsafe))
    }
}
