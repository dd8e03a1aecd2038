//! Replication slots: which positions they hold, how they move, and what they keep from vacuum.
//!
//! Transactions are counted by WAL: what a slot keeps is the transaction at its position.

use std::collections::{BTreeMap, BTreeSet};

use patroni_core::server::{SlotKind, SlotRow};
use patroni_core::{Lsn, SlotName, Xid};
use patroni_ha::Outcome;
use patroni_ha::command::{Command, SlotAdvance, SlotChange, SlotFile};
use patroni_ha::outcome::{FetchFailure, FetchedSlot, LeaderSlots, PhysicalSlot, SlotChanged};

use super::server::{Data, Server};
use crate::invariants::slots as invariant;
use crate::world::World;

/// A slot in a data directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) kind: SlotKind,
    /// Where a physical slot keeps WAL from, and how far a logical one is confirmed.
    pub(crate) position: Lsn,
    /// What the standby that uses a physical slot has reported to need.
    pub(crate) feedback: Option<Xid>,
}

impl Slot {
    fn physical(position: Lsn) -> Self {
        Self {
            kind: SlotKind::Physical,
            position,
            feedback: None,
        }
    }

    fn is_logical(&self) -> bool {
        self.kind != SlotKind::Physical
    }

    fn catalog_xmin(&self) -> Option<Xid> {
        if self.is_logical() {
            Some(xid_at(self.position))
        } else {
            self.feedback
        }
    }
}

/// The slots of a data directory.
pub(crate) type Slots = BTreeMap<SlotName, Slot>;

fn xid_at(position: Lsn) -> Xid {
    let number = u32::try_from(position.bytes() >> 7).unwrap_or(u32::MAX);
    Xid::new(number)
}

/// The answer to the monitoring query.
pub(crate) fn rows(server: &Server, data: &Data, names: &[String]) -> Vec<SlotRow> {
    let in_use: BTreeSet<SlotName> = server
        .senders
        .keys()
        .map(|node| slot_of(&names[*node]))
        .collect();
    let row = |(name, slot): (&SlotName, &Slot)| SlotRow {
        name: name.clone(),
        kind: slot.kind.clone(),
        active: in_use.contains(name),
        restart_lsn: Some(slot.position),
        confirmed_flush_lsn: slot.is_logical().then_some(slot.position),
        xmin: slot.feedback,
        catalog_xmin: slot.catalog_xmin(),
        wal_status: Some("reserved".to_owned()),
    };
    data.slots.iter().map(row).collect()
}

fn slot_of(name: &str) -> SlotName {
    SlotName::of_member(&patroni_core::MemberName::new(name))
}

impl World {
    /// Carries out a command about slots; `None` for every other one.
    pub(crate) fn act_on_slots(&mut self, node: usize, command: &Command) -> Option<Outcome> {
        Some(match command {
            Command::ChangeSlot(change) => Outcome::SlotChanged(self.change_slot(node, change)),
            Command::AdvanceLogicalSlots(advances) => {
                Outcome::SlotsGivenUp(self.advance_slots(node, advances))
            }
            Command::EnforceFeedback(on) => {
                self.nodes[node].daemon.supervised.feedback = *on;
                Outcome::Success(true)
            }
            Command::ReadFeedback => Outcome::Feedback(Ok(self.feeds_back(node))),
            // Model servers keep all of their WAL, and copy all of it.
            Command::ReadWalStart => Outcome::WalStart(Ok(Lsn::ZERO)),
            Command::InspectSlots {
                leader,
                physical,
                logical,
            } => {
                let found = self.can_read_from(node, &leader.name);
                Outcome::LeaderSlots(
                    found
                        .map(|there| self.kept_by(there, physical, logical))
                        .ok_or_else(|| "no connection".to_owned()),
                )
            }
            Command::FetchSlots { leader, names } => {
                let found = self.can_read_from(node, &leader.name);
                Outcome::SlotsFetched(
                    found
                        .map(|there| self.slot_copies(there, names))
                        .ok_or_else(|| FetchFailure::Connect("no connection".to_owned())),
                )
            }
            Command::InstallSlots(files) => Outcome::Success(self.install_slots(node, files)),
            _ => return None,
        })
    }

    fn change_slot(&mut self, node: usize, change: &SlotChange) -> SlotChanged {
        let server = &mut self.nodes[node].server;
        let accepts = server.accepts();
        let users: BTreeSet<SlotName> = server
            .senders
            .keys()
            .map(|user| slot_of(&self.names[*user]))
            .collect();
        let Some(data) = server.data.as_mut().filter(|_| accepts) else {
            return SlotChanged::Lost("no connection".to_owned());
        };
        let end = if data.signal {
            data.replayed
        } else {
            data.flushed
        };
        match change {
            SlotChange::Drop(name) if users.contains(name) => return SlotChanged::InUse,
            SlotChange::Drop(name) if data.slots.remove(name).is_some() => {}
            SlotChange::Drop(_) => return SlotChanged::Nothing,
            SlotChange::CreatePhysical(name) if !data.slots.contains_key(name) => {
                data.slots.insert(name.clone(), Slot::physical(end));
            }
            SlotChange::CreateLogical(slot) if !data.slots.contains_key(&slot.name) => {
                let kind = SlotKind::Logical {
                    plugin: slot.plugin.clone(),
                    database: slot.database.clone(),
                };
                let slot_here = Slot {
                    kind,
                    ..Slot::physical(end)
                };
                data.slots.insert(slot.name.clone(), slot_here);
            }
            SlotChange::CreatePhysical(_) | SlotChange::CreateLogical(_) => {
                return SlotChanged::Nothing;
            }
            SlotChange::AdvancePhysical { slot, to } => match data.slots.get_mut(slot) {
                Some(slot) => slot.position = slot.position.max((*to).min(end)),
                None => return SlotChanged::Refused("no such slot".to_owned()),
            },
        }
        SlotChanged::Done
    }

    /// The background work is quick here. What was handed out may be older than the slot is, and
    /// newer than a server that has restarted since; the server takes care of both.
    fn advance_slots(&mut self, node: usize, advances: &[SlotAdvance]) -> BTreeSet<SlotName> {
        for advance in advances {
            let server = &mut self.nodes[node].server;
            let standby = server.in_recovery();
            let Some(data) = server.data.as_mut().filter(|_| standby) else {
                continue;
            };
            let to = advance.to.min(data.replayed);
            if let Some(slot) = data.slots.get_mut(&advance.slot)
                && slot.position < to
            {
                slot.position = to;
                invariant::placed(self, node, &advance.slot, to);
            }
        }
        BTreeSet::new()
    }

    fn feeds_back(&self, node: usize) -> bool {
        self.nodes[node].daemon.supervised.feedback
    }

    fn kept_by(&self, there: usize, physical: &SlotName, logical: &[SlotName]) -> LeaderSlots {
        let none = Slots::new();
        let data = self.nodes[there].server.data.as_ref();
        let slots = data.map_or(&none, |data| &data.slots);
        LeaderSlots {
            physical: match slots.get(physical).map(Slot::catalog_xmin) {
                None => PhysicalSlot::Absent,
                Some(None) => PhysicalSlot::HoldsNothing,
                Some(Some(catalog_xmin)) => PhysicalSlot::Holds(catalog_xmin),
            },
            logical: logical
                .iter()
                .filter_map(|name| Some((name.clone(), slots.get(name)?.catalog_xmin()?)))
                .collect(),
        }
    }

    /// A state file is the position in text form.
    fn slot_copies(&self, there: usize, names: &[SlotName]) -> Vec<FetchedSlot> {
        let server = &self.nodes[there].server;
        let Some(data) = server.data.as_ref().filter(|_| server.is_primary()) else {
            return Vec::new();
        };
        let copy = |name: &SlotName| {
            let slot = data.slots.get(name)?;
            Some(FetchedSlot {
                name: name.clone(),
                kind: slot.kind.clone(),
                confirmed: slot.position,
                restart: slot.position,
                state: serde_json::to_vec(&(&slot.kind, slot.position)).ok()?,
            })
        };
        names.iter().filter_map(copy).collect()
    }

    fn install_slots(&mut self, node: usize, files: &[SlotFile]) -> bool {
        invariant::installing(self, node);
        for file in files {
            let Ok((kind, position)) = serde_json::from_slice::<(SlotKind, Lsn)>(&file.state)
            else {
                return false;
            };
            let Some(data) = self.nodes[node].server.data.as_mut() else {
                return false;
            };
            let slot = Slot {
                kind,
                ..Slot::physical(position)
            };
            data.slots.insert(file.name.clone(), slot);
            invariant::placed(self, node, &file.name, position);
        }
        true
    }

    /// A standby confirms: its slot moves along, and what it needs is kept.
    pub(crate) fn move_slot_of(&mut self, node: usize, source: usize) {
        let feeds_back = self.feeds_back(node);
        let Some(mine) = self.nodes[node].server.data.as_ref() else {
            return;
        };
        let flushed = mine.flushed;
        // The oldest of what its queries and its own logical slots need.
        let needed = mine
            .slots
            .values()
            .filter(|slot| slot.is_logical())
            .map(|slot| slot.position)
            .fold(mine.replayed, Ord::min);
        let name = slot_of(&self.names[node]);
        let theirs = self.nodes[source].server.data.as_mut();
        if let Some(slot) = theirs.and_then(|data| data.slots.get_mut(&name)) {
            slot.position = slot.position.max(flushed);
            slot.feedback = feeds_back.then(|| xid_at(needed));
        }
    }

    /// Consumers of logical slots confirm whatever is durable on their primary.
    pub(crate) fn consume(&mut self, node: usize) {
        let server = &mut self.nodes[node].server;
        let primary = server.is_primary();
        let Some(data) = server.data.as_mut().filter(|_| primary) else {
            return;
        };
        for slot in data.slots.values_mut().filter(|slot| slot.is_logical()) {
            slot.position = slot.position.max(data.flushed);
        }
    }
}
