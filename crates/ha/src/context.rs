//! What a program sees and how it asks: facts that follow its own acts, and one method per
//! question, so that the rules read like the contract.

mod executor;
mod server;
mod slots;
mod store;

use crate::command::Command;
use crate::eligibility::{self, Refusal};
use crate::job::{Effect, Job};
use crate::lease::Again;
use crate::memory::{Inherited, Memory, RewindState};
use crate::observation::NodeFacts;
use crate::outcome::{Outcome, Written};
use crate::replay::{Asked, Halt, Replay};
use crate::rule::Rule;
use crate::sentence::{OrNone, Text};
use patroni_config::Dynamic;
use patroni_config::dynamic::SynchronousMode;
use patroni_core::server::{Answer, LocalServer, Process, RewindAbility, ServerStatus};
use patroni_core::{Cluster, Lsn, MemberName, Moment, Role, SystemId, Timeline};
use std::sync::Arc;
use std::time::Duration;

/// The context of a running program.
#[derive(Debug)]
pub(crate) struct Cx<'a> {
    pub(crate) replay: Replay<'a>,
    pub(crate) node: &'a NodeFacts,
    pub(crate) settings: &'a Dynamic,
    /// The newest snapshot of the store; empty while there is none.
    pub(crate) view: Arc<Cluster>,
    /// The server as seen, changed by what was done to it since.
    pub(crate) server: LocalServer,
    pub(crate) memory: Memory,
    pub(crate) refused: Vec<Refusal>,
    /// The row of the decision tables that speaks at the moment.
    pub(crate) rule: Rule,
    /// The next cycle must not wait for its time.
    pub(crate) again: Option<Again>,
    /// Armed at the moment.
    pub(crate) watchdog_active: bool,
    /// The lock was confirmed or taken by this very program.
    pub(crate) lock_confirmed: bool,
    /// What this program put into the executor slot.
    pub(crate) scheduled: Option<Job>,
    /// What a long task leaves to remember.
    pub(crate) effects: Vec<Effect>,
}

macro_rules! only {
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

use only;

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

    /// The lock names this node, which belongs to a group of a Citus cluster: others have to hear
    /// of it before it goes in order.
    pub(crate) fn leads_a_citus_group(&self) -> bool {
        let leads = self.view.leader_name().is_some_and(|name| self.is_me(name));
        leads && self.node.citus_group.is_some()
    }

    /// By its tags, or because its data are not those of the cluster.
    pub(crate) fn may_not_lead(&self) -> bool {
        self.node.tags.nofailover() || self.memory.has_diverged()
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

    /// Runs as a primary, or was told to become one and may do so at any moment from now on,
    /// lock or not. Only a stop takes that back.
    pub(crate) fn may_be_primary(&mut self) -> bool {
        let told = self.server.role == Role::Promoted
            || self.memory.inherited == Inherited::PerhapsPromoting;
        (told && self.is_running()) || self.is_primary()
    }

    /// Looks whether the daemon before this one may have left a promotion under way.
    pub(crate) fn note_inherited(&mut self) {
        let under_way = match self.memory.inherited {
            Inherited::Unknown => {
                let leads = self.view.leader_name().is_some_and(|name| self.is_me(name));
                leads && !self.in_standby_cluster()
            }
            Inherited::PerhapsPromoting => true,
            Inherited::Nothing => false,
        };
        let promoted = self.status().is_some_and(|status| !status.in_recovery());
        self.memory.inherited = if under_way && self.is_running() && !promoted {
            Inherited::PerhapsPromoting
        } else {
            Inherited::Nothing
        };
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
        eligibility::is_sync_active(&self.view, self.settings)
    }

    pub(crate) fn quorum_mode(&self) -> bool {
        self.settings.synchronous_mode == SynchronousMode::Quorum
    }

    /// An election needs votes.
    pub(crate) fn votes_count(&self) -> bool {
        eligibility::votes_count(&self.view, self.settings)
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
        Ok(only!(self.ask(command)?, Success))
    }

    fn write(&mut self, command: Command) -> Asked<Written> {
        Ok(only!(self.ask(command)?, Write))
    }
}

/// A context at the beginning of a cycle, for unit tests of single rules.
#[cfg(test)]
pub(crate) fn for_tests(obs: &crate::Observation, memory: Memory) -> Cx<'_> {
    Cx {
        replay: Replay::new(obs.now, &[]),
        node: &obs.node,
        settings: &obs.settings,
        view: obs.store.clone().unwrap_or_default(),
        server: obs.server.clone(),
        memory,
        refused: Vec::new(),
        rule: Rule::Start,
        again: None,
        watchdog_active: false,
        lock_confirmed: false,
        scheduled: None,
        effects: Vec::new(),
    }
}
