//! What happens rarely, and in some seeds only: the disk of a member goes away for a while, somebody
//! puts the data of another cluster in their place, a member is not to lead for a while or cannot
//! write to the store, synchronous mode is switched off by mistake, and the power of all goes at once.
//!
//! They have a chance of their own, so that the other seeds live as they would without them.

use std::time::Duration;

use patroni_config::dynamic::SynchronousMode;
use patroni_core::{Moment, SystemId};
use patroni_dcs::memory::{Condition, Fault as StoreFault, Request};
use serde_json::Value;

use crate::chance::Chance;
use crate::event::Event;
use crate::faults::Fault;
use crate::postgres::server::Data;
use crate::world::{PREFIX, World};

/// In how many seeds there are any.
const EACH: u64 = 5;
/// What makes this chance another one than all others.
const OTHER: u64 = 0x0B5E_55ED_0B5E_55ED;
/// So long after a change of the tag a decision from before it may show.
const TAG_LATENCY: Duration = Duration::from_mins(3);

/// Chance and memory of such things.
#[derive(Clone, Debug)]
pub(crate) struct Mishaps {
    chance: Chance,
    /// Who must not lead, because somebody said so during the run, and since when.
    tagged: Option<(usize, Moment)>,
    /// The identity that somebody removed.
    forgotten: Option<SystemId>,
    /// The mode that somebody is about to set again.
    flipped: Option<Value>,
}

impl Mishaps {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            chance: Chance::new(seed ^ OTHER),
            tagged: None,
            forgotten: None,
            flipped: None,
        }
    }
}

impl World {
    /// Whether this seed has any.
    pub(crate) fn has_mishaps(&self) -> bool {
        self.seed % EACH == EACH - 1 && self.options.scenario.is_none()
    }

    /// One of them, and the next is planned.
    pub(crate) fn mishap(&mut self) {
        if self.troubles.over {
            return;
        }
        let count = self.nodes.len();
        let chance = &mut self.mishaps.chance;
        let next = chance.skewed((20_000, 200_000), (200_000, 600_000), 40);
        let (kind, any, leader) = (chance.below(6), chance.index(count), chance.percent(50));
        let lasts = chance.skewed((2000, 30_000), (30_000, 120_000), 40);
        let soon = chance.millis(100, 4000);
        self.schedule(next, Event::Mishap);
        let primary = self.nodes.iter().position(|node| node.server.is_primary());
        let node = primary.filter(|_| leader).unwrap_or(any);
        if !self.disturbed() {
            return;
        }
        let faults = self.options.faults;
        match kind {
            0 if faults.crashes => self.disk_goes_away(node, lasts),
            1 if faults.operators => self.replace_data(node, lasts),
            2 if faults.operators => self.forbid_to_lead(node, lasts),
            3 if faults.network => {
                self.begin_fault(Fault::Store(node, StoreFault::LostWrites), lasts);
            }
            4 if faults.operators => self.flip_mode(soon),
            5 if faults.crashes => self.black_out(),
            _ => {}
        }
    }

    /// Somebody switches synchronous mode off, and sees what that was.
    fn flip_mode(&mut self, back: Duration) {
        let mode = match self.stored.mode {
            SynchronousMode::Off => return,
            SynchronousMode::Priority => Value::Bool(true),
            SynchronousMode::Quorum => Value::String("quorum".to_owned()),
        };
        self.mishaps.flipped = Some(mode);
        self.change_mode(Value::Bool(false));
        self.schedule(back, Event::FlipBack);
    }

    pub(crate) fn flip_back(&mut self) {
        if let Some(mode) = self.mishaps.flipped.take() {
            self.change_mode(mode);
        }
    }

    /// The power of all members goes at once, and comes back at different times.
    fn black_out(&mut self) {
        for node in 0..self.nodes.len() {
            let lasts = self.mishaps.chance.millis(20_000, 90_000);
            self.power_off_for(node, lasts);
        }
    }

    /// The server dies of it, and nobody can look at its files.
    fn disk_goes_away(&mut self, node: usize, lasts: Duration) {
        let here = &mut self.nodes[node];
        if here.disk_away || here.stands_still() || here.silent_since.is_some() {
            return;
        }
        here.disk_away = true;
        self.end_process(node);
        let here = &mut self.nodes[node];
        here.out_of_reach = here.server.data.take();
        self.begin_fault(Fault::DiskAway(node), lasts);
    }

    pub(crate) fn disk_comes_back(&mut self, node: usize) {
        let here = &mut self.nodes[node];
        if std::mem::take(&mut here.disk_away) {
            here.server.data = here.out_of_reach.take();
        }
    }

    /// Somebody restores a backup of another cluster over the data of this member. Only while all
    /// others have everything that is on it, and one of them may lead without being asked to. The
    /// members of a standby cluster have no one to take over from but the remote.
    pub(crate) fn replace_data(&mut self, node: usize, lasts: Duration) {
        let here = &self.nodes[node];
        let Some(lost) = here.server.data.as_ref() else {
            return;
        };
        let complete = |data: &Data| {
            let known = self.wal.shared(lost.branch, data.branch);
            data.system.is_some()
                && !data.torn
                && known.is_some_and(|limit| lost.written <= limit)
                && (data.branch != lost.branch || data.flushed >= lost.written)
        };
        let on_all = self
            .nodes
            .iter()
            .all(|node| node.server.data.as_ref().is_some_and(complete));
        let sync = &self.stored.sync;
        let by_key = !sync.is_leader(&here.name) || !sync.standbys.is_empty();
        let others = self.nodes.iter().enumerate();
        let by_tag = others
            .filter(|(other, _)| *other != node)
            .any(|(_, other)| !other.traits.nofailover);
        let known = self.stored_system().is_some();
        let replaced = on_all && by_key && by_tag && known && self.remote.is_none();
        if here.stands_still() || here.silent_since.is_some() || !replaced {
            return;
        }
        self.end_process(node);
        self.create_cluster(node);
        self.begin_fault(Fault::Foreign(node), lasts);
    }

    /// Somebody sees what happened and removes them. The data of a member that was copied anew
    /// meanwhile stay.
    pub(crate) fn remove_foreign_data(&mut self, node: usize) {
        if self.has_foreign_data(node) && !self.nodes[node].server.runs() {
            self.remove_data(node);
        }
    }

    /// Whether the data of a member are those of another cluster.
    pub(crate) fn has_foreign_data(&self, node: usize) -> bool {
        let data = self.nodes[node].server.data.as_ref();
        let system = data.and_then(|data| data.system.as_ref());
        let stored = self.stored_system();
        stored.is_some_and(|stored| system.is_some_and(|system| *system != stored))
    }

    /// The identity of the cluster by its key.
    fn stored_system(&self) -> Option<SystemId> {
        let entry = self.model.entry(&format!("{PREFIX}/initialize"))?;
        SystemId::parse(&entry.value)
    }

    /// Somebody removes the key; who leads puts it back. Not while data of another cluster are
    /// there, which might be taken for the right ones.
    pub(crate) fn forget_identity(&mut self) {
        let foreign = (0..self.nodes.len()).any(|node| self.has_foreign_data(node));
        let Some(system) = self.stored_system().filter(|_| !foreign) else {
            return;
        };
        self.mishaps.forgotten = Some(system);
        let request = Request::Delete {
            key: format!("{PREFIX}/initialize"),
            condition: Condition::Always,
        };
        // An unreachable store keeps it.
        let _answer = self.model.call("operator", self.now, request);
    }

    /// Where all daemons have begun anew meanwhile, only a person can.
    pub(crate) fn remember_identity(&mut self) {
        let Some(system) = self.mishaps.forgotten.take() else {
            return;
        };
        let request = Request::Put {
            key: format!("{PREFIX}/initialize"),
            value: system.to_string(),
            lease: None,
            condition: Condition::Absent,
        };
        // Refused where somebody was faster.
        let _answer = self.model.call("operator", self.now, request);
    }

    /// `nofailover: true` in the file of one member, and a reload.
    pub(crate) fn forbid_to_lead(&mut self, node: usize, lasts: Duration) {
        if self.mishaps.tagged.is_some() || self.nodes[node].traits.nofailover {
            return;
        }
        self.mishaps.tagged = Some((node, self.now));
        self.nodes[node].traits.nofailover = true;
        self.wake(node);
        self.begin_fault(Fault::MayNotLead(node), lasts);
    }

    pub(crate) fn allow_to_lead(&mut self, node: usize) {
        if self
            .mishaps
            .tagged
            .is_some_and(|(tagged, _)| tagged == node)
        {
            self.mishaps.tagged = None;
            self.nodes[node].traits.nofailover = false;
            self.wake(node);
        }
    }

    /// The tag is so new that a promotion may have been decided before.
    pub(crate) fn is_newly_tagged(&self, node: usize) -> bool {
        let tagged = self.mishaps.tagged;
        tagged.is_some_and(|(who, at)| who == node && self.now.since(at) < TAG_LATENCY)
    }
}
