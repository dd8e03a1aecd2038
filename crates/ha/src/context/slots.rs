//! Questions about replication slots, here and on the leader.

use std::collections::BTreeSet;

use patroni_core::{Lsn, SlotName};

use super::{Cx, only};
use crate::command::{Command, LeaderAddress, LogicalSlot, SlotAdvance, SlotChange, SlotFile};
use crate::outcome::{FetchFailure, FetchedSlot, LeaderSlots, Outcome, SlotChanged};
use crate::replay::{Asked, Halt};

impl Cx<'_> {
    pub(crate) fn change_slot(&mut self, change: SlotChange) -> Asked<SlotChanged> {
        Ok(only!(self.ask(Command::ChangeSlot(change))?, SlotChanged))
    }

    /// Hands positions to the background work and takes the names of the slots that it gave up.
    pub(crate) fn advance_logical_slots(
        &mut self,
        advances: Vec<SlotAdvance>,
    ) -> Asked<BTreeSet<SlotName>> {
        Ok(only!(
            self.ask(Command::AdvanceLogicalSlots(advances))?,
            SlotsGivenUp
        ))
    }

    pub(crate) fn enforce_feedback(&mut self, on: bool) -> Asked<bool> {
        self.success(Command::EnforceFeedback(on))
    }

    pub(crate) fn read_feedback(&mut self) -> Asked<Result<bool, String>> {
        Ok(only!(self.ask(Command::ReadFeedback)?, Feedback))
    }

    pub(crate) fn read_wal_start(&mut self) -> Asked<Result<Lsn, String>> {
        Ok(only!(self.ask(Command::ReadWalStart)?, WalStart))
    }

    pub(crate) fn inspect_slots(
        &mut self,
        leader: LeaderAddress,
        physical: SlotName,
        logical: Vec<SlotName>,
    ) -> Asked<Result<LeaderSlots, String>> {
        let command = Command::InspectSlots {
            leader,
            physical,
            logical,
        };
        Ok(only!(self.ask(command)?, LeaderSlots))
    }

    pub(crate) fn fetch_slots(
        &mut self,
        leader: LeaderAddress,
        slots: Vec<LogicalSlot>,
    ) -> Asked<Result<Vec<FetchedSlot>, FetchFailure>> {
        let names = slots.into_iter().map(|slot| slot.name).collect();
        let command = Command::FetchSlots { leader, names };
        Ok(only!(self.ask(command)?, SlotsFetched))
    }

    pub(crate) fn install_slots(&mut self, files: Vec<SlotFile>) -> Asked<bool> {
        self.success(Command::InstallSlots(files))
    }
}
