//! The body of one member: the simulated counterpart of the node.

pub(crate) mod act;
pub(crate) mod executor;
pub(crate) mod guard;
pub(crate) mod guardian;
pub(crate) mod observe;
pub(crate) mod rest;
pub(crate) mod round;
pub(crate) mod store;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use patroni_config::Dynamic;
use patroni_core::server::CheckpointTask;
use patroni_core::{Cluster, Moment, Revision, Role, State};
use patroni_dcs::memory::Session;
use patroni_ha::job::{Job, JobReport};
use patroni_ha::journal::Asked;
use patroni_ha::observation::{FailsafeLeader, ScheduledRestart};
use patroni_ha::{Command, Cycle, JobRun, Memory};
use serde_json::{Map, Value};

/// Which of the two programs of a daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    /// The cycle of the loop.
    Cycle,
    /// The long task.
    Job,
}

/// A running daemon.
#[derive(Clone, Debug)]
pub(crate) struct Daemon {
    pub(crate) alive: bool,
    /// Changes with every start and end.
    pub(crate) life: u64,
    pub(crate) session: Session,
    pub(crate) memory: Memory,
    pub(crate) settings: Arc<Dynamic>,
    pub(crate) config: Arc<Map<String, Value>>,
    pub(crate) supervised: Supervised,
    pub(crate) cycle: Option<Program<Round>>,
    pub(crate) job: Option<Program<JobRun>>,
    /// When the long task began, and whether a promotion was issued by it.
    pub(crate) job_since: Moment,
    pub(crate) committed: bool,
    /// Ordered by the present cycle, begun when that is over.
    pub(crate) ordered: Option<Job>,
    pub(crate) finished: Vec<JobReport>,
    pub(crate) view: Option<Arc<Cluster>>,
    /// Until when that counts for others, on the node's clock; not at all after a read failed.
    pub(crate) view_until: Moment,
    /// True time.
    pub(crate) next_run: Moment,
    /// When the loop has its next event.
    pub(crate) loop_at: Option<Moment>,
    pub(crate) woken: bool,
    /// A leader whose lease runs down waits for the store until then, on the node's clock.
    pub(crate) store_until: Option<Moment>,
    pub(crate) seen_revision: u64,
    /// When the lease is over, less the margin, on the node's clock.
    pub(crate) guard: Moment,
    /// When the lease that the store gave is over, less the margin, on the same clock.
    pub(crate) leased_until: Moment,
    /// Until when the store last made the lock last, in true time, and the life it gave it.
    pub(crate) lock_lasts: Moment,
    pub(crate) lock_life: Duration,
    pub(crate) failsafe: Option<(FailsafeLeader, Moment)>,
    /// The restart that somebody scheduled.
    pub(crate) scheduled_restart: Option<ScheduledRestart>,
    /// Somebody asked it to end.
    pub(crate) leaving: bool,
}

/// What the supervisor of PostgreSQL keeps.
#[derive(Clone, Debug)]
pub(crate) struct Supervised {
    pub(crate) state: State,
    pub(crate) since: Moment,
    pub(crate) role: Role,
    pub(crate) callback_ran: bool,
    /// `hot_standby_feedback` is forced.
    pub(crate) feedback: bool,
    pub(crate) checkpoint: CheckpointTask,
}

/// One turn of the loop: the read of the store, then the cycle.
#[derive(Clone, Debug)]
pub(crate) enum Round {
    /// The store is being read.
    Loading,
    /// The cycle runs.
    Running(Box<Cycle>),
}

/// A program with the command that it waits for.
#[derive(Clone, Debug)]
pub(crate) struct Program<T> {
    pub(crate) run: T,
    pub(crate) pending: Option<Pending>,
    /// The revisions that this program was shown, for the rule about conditional writes.
    pub(crate) shown: Shown,
    /// What it asked for so far, while a journal is kept.
    pub(crate) asked: Vec<Asked>,
}

/// A command under way.
#[derive(Clone, Debug)]
pub(crate) struct Pending {
    pub(crate) op: u64,
    pub(crate) command: Command,
    /// True time of its beginning.
    pub(crate) since: Moment,
    /// The node's time when the present attempt was sent.
    pub(crate) sent_at: Moment,
}

/// The revisions that a program may compare with.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shown(BTreeSet<(&'static str, Option<Revision>)>);

impl Shown {
    /// A snapshot replaces all that was shown before.
    pub(crate) fn snapshot(&mut self, view: &Cluster) {
        self.0.clear();
        let config = view.config.as_ref().map(|doc| doc.revision.clone());
        let failover = view.failover.as_ref().map(|key| key.revision.clone());
        self.0.insert(("config", config));
        self.0.insert(("failover", failover));
        self.0.insert(("sync", view.sync.revision.clone()));
    }

    /// The program's own write.
    pub(crate) fn wrote(&mut self, key: &'static str, revision: Option<Revision>) {
        self.0.insert((key, revision));
    }

    pub(crate) fn has(&self, key: &'static str, revision: Option<&Revision>) -> bool {
        self.0.contains(&(key, revision.cloned()))
    }
}

impl Daemon {
    pub(crate) fn pending(&self, lane: Lane) -> Option<&Pending> {
        match lane {
            Lane::Cycle => self
                .cycle
                .as_ref()
                .and_then(|program| program.pending.as_ref()),
            Lane::Job => self
                .job
                .as_ref()
                .and_then(|program| program.pending.as_ref()),
        }
    }

    pub(crate) fn pending_mut(&mut self, lane: Lane) -> Option<&mut Option<Pending>> {
        match lane {
            Lane::Cycle => self.cycle.as_mut().map(|program| &mut program.pending),
            Lane::Job => self.job.as_mut().map(|program| &mut program.pending),
        }
    }

    pub(crate) fn shown(&mut self, lane: Lane) -> Option<&mut Shown> {
        match lane {
            Lane::Cycle => self.cycle.as_mut().map(|program| &mut program.shown),
            Lane::Job => self.job.as_mut().map(|program| &mut program.shown),
        }
    }

    /// The lane that waits for this operation.
    pub(crate) fn lane_of(&self, op: u64) -> Option<Lane> {
        [Lane::Cycle, Lane::Job]
            .into_iter()
            .find(|lane| self.pending(*lane).is_some_and(|pending| pending.op == op))
    }

    pub(crate) fn busy(&self) -> bool {
        self.job.is_some() || self.ordered.is_some()
    }
}
