//! Making the server's slots as wished, one change after the other (PostgreSQL contract 13.1 to
//! 13.4).

use patroni_core::server::{SlotKind, SlotRow};
use patroni_core::{Lsn, SlotName};

use super::ignored;
use super::wishes::{Wish, Wishes};
use crate::command::{LogicalSlot, SlotChange};
use crate::context::Cx;
use crate::outcome::SlotChanged;
use crate::replay::Asked;
use crate::sentence::Text;

/// Changes in one cycle. More than this many wait for the next one, so that no cycle runs long
/// enough to endanger the lock.
const MOST_CHANGES: usize = 128;

/// The version that brought advancing.
const ADVANCING_SINCE: u32 = 110_000;

/// Drops, creates and advances, and keeps `rows` up to date. False when the server did not
/// answer: the rest waits for the next cycle.
pub(super) fn apply(cx: &mut Cx<'_>, wishes: &Wishes, rows: &mut Vec<SlotRow>) -> Asked<bool> {
    let mut pass = Pass {
        rows,
        left: MOST_CHANGES,
        broken: false,
    };
    pass.drop_unwanted(cx, wishes)?;
    for (name, wish) in wishes {
        if let Wish::Physical {
            expected_active,
            known,
        } = wish
        {
            pass.physical(cx, name, *expected_active, *known)?;
        }
    }
    if cx.status().is_some_and(|status| !status.in_recovery()) {
        for wish in wishes.values() {
            if let Wish::Logical { slot, .. } = wish {
                pass.create_logical(cx, slot)?;
            }
        }
    }
    Ok(!pass.broken)
}

struct Pass<'a> {
    rows: &'a mut Vec<SlotRow>,
    left: usize,
    broken: bool,
}

impl Pass<'_> {
    fn row(&self, name: &SlotName) -> Option<SlotRow> {
        self.rows.iter().find(|row| row.name == *name).cloned()
    }

    fn drop_unwanted(&mut self, cx: &mut Cx<'_>, wishes: &Wishes) -> Asked<()> {
        for row in self.rows.clone() {
            let slot = row.name.clone();
            let text = match wishes.get(&slot) {
                Some(wish) if !fits(wish, &row.kind) => Text::DroppingChangedSlot {
                    slot,
                    old: described(&row.kind),
                    new: described(&kind_of(wish)),
                },
                Some(_) | None if cx.paused() || ignored::is_ignored(cx, &row) => continue,
                Some(_) if row.is_lost() => Text::DroppingLostSlot { slot },
                Some(_) => continue,
                None => Text::DroppingUnknownSlot { slot },
            };
            if self.left > 0 && !self.broken {
                cx.say(text);
            }
            self.drop_slot(cx, &row.name)?;
        }
        Ok(())
    }

    fn physical(
        &mut self,
        cx: &mut Cx<'_>,
        name: &SlotName,
        expected_active: Option<bool>,
        known: Option<Lsn>,
    ) -> Asked<()> {
        let Some(row) = self.row(name) else {
            return self.create_physical(cx, name);
        };
        let able = cx
            .server
            .major_version
            .is_some_and(|v| v >= ADVANCING_SINCE);
        if !able || row.kind != SlotKind::Physical || expected_active == Some(true) {
            return Ok(());
        }
        match (row.holds_back(), row.restart_lsn) {
            (Some(xmin), _) if expected_active == Some(false) && is_leftover(cx) => {
                cx.say(Text::DroppingForXmin {
                    slot: name.clone(),
                    xmin,
                });
                if self.drop_slot(cx, name)? {
                    self.create_physical(cx, name)?;
                }
                Ok(())
            }
            (Some(_), _) => Ok(()),
            (None, None) => {
                cx.say(Text::DroppingWithoutPosition { slot: name.clone() });
                self.drop_slot(cx, name).map(drop)
            }
            (None, Some(position)) => match known.filter(|known| *known > position) {
                Some(to) => self.advance(cx, name, to),
                None => Ok(()),
            },
        }
    }

    /// Whether the slot is gone. One that somebody uses stays.
    fn drop_slot(&mut self, cx: &mut Cx<'_>, name: &SlotName) -> Asked<bool> {
        let slot = name.clone();
        match self.change(cx, SlotChange::Drop(slot.clone()))? {
            Some(SlotChanged::Done) => {
                self.rows.retain(|row| row.name != *name);
                cx.say(Text::SlotDropped { slot });
                return Ok(true);
            }
            Some(SlotChanged::InUse) => cx.say(Text::SlotActive { slot }),
            Some(SlotChanged::Nothing) => cx.say(Text::SlotNotDropped { slot }),
            Some(SlotChanged::Refused(reason) | SlotChanged::Lost(reason)) => {
                self.give_up(cx, reason);
            }
            None => {}
        }
        Ok(false)
    }

    fn create_physical(&mut self, cx: &mut Cx<'_>, name: &SlotName) -> Asked<()> {
        match self.change(cx, SlotChange::CreatePhysical(name.clone()))? {
            Some(SlotChanged::Refused(reason)) => cx.say(Text::SlotNotCreated {
                slot: name.clone(),
                reason,
            }),
            Some(SlotChanged::Lost(reason)) => self.give_up(cx, reason),
            Some(SlotChanged::Done | SlotChanged::InUse | SlotChanged::Nothing) | None => {}
        }
        Ok(())
    }

    fn create_logical(&mut self, cx: &mut Cx<'_>, slot: &LogicalSlot) -> Asked<()> {
        if self.row(&slot.name).is_some() {
            return Ok(());
        }
        match self.change(cx, SlotChange::CreateLogical(slot.clone()))? {
            Some(SlotChanged::Refused(reason)) => cx.say(Text::LogicalSlotNotCreated {
                slot: slot.name.clone(),
                plugin: slot.plugin.clone(),
                reason,
            }),
            Some(SlotChanged::Lost(reason)) => self.give_up(cx, reason),
            Some(SlotChanged::Done | SlotChanged::InUse | SlotChanged::Nothing) | None => {}
        }
        Ok(())
    }

    fn advance(&mut self, cx: &mut Cx<'_>, name: &SlotName, to: Lsn) -> Asked<()> {
        let change = SlotChange::AdvancePhysical {
            slot: name.clone(),
            to,
        };
        match self.change(cx, change)? {
            Some(SlotChanged::Refused(reason)) => cx.say(Text::SlotNotAdvanced {
                slot: name.clone(),
                to,
                reason,
            }),
            Some(SlotChanged::Lost(reason)) => self.give_up(cx, reason),
            Some(SlotChanged::Done | SlotChanged::InUse | SlotChanged::Nothing) | None => {}
        }
        Ok(())
    }

    /// Asks for one change; `None` when this cycle makes no more.
    fn change(&mut self, cx: &mut Cx<'_>, change: SlotChange) -> Asked<Option<SlotChanged>> {
        if self.broken || self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        cx.change_slot(change).map(Some)
    }

    fn give_up(&mut self, cx: &mut Cx<'_>, reason: String) {
        self.broken = true;
        cx.say(Text::SlotsException { reason });
    }
}

/// Whether what a slot here holds back cannot be for its own standby: a leader is known, and it
/// is another node or this one runs as primary.
fn is_leftover(cx: &Cx<'_>) -> bool {
    let primary = cx.status().is_some_and(|status| !status.in_recovery());
    cx.view
        .leader_name()
        .is_some_and(|leader| primary || !cx.is_me(leader))
}

fn fits(wish: &Wish, kind: &SlotKind) -> bool {
    kind_of(wish) == *kind
}

fn kind_of(wish: &Wish) -> SlotKind {
    match wish {
        Wish::Physical { .. } => SlotKind::Physical,
        Wish::Logical { slot, .. } => SlotKind::Logical {
            plugin: slot.plugin.clone(),
            database: slot.database.clone(),
        },
    }
}

/// A kind of slot in the form that tools match.
pub(crate) fn described(kind: &SlotKind) -> String {
    match kind {
        SlotKind::Physical => "{'type': 'physical'}".to_owned(),
        SlotKind::Logical { plugin, database } => {
            format!("{{'type': 'logical', 'database': '{database}', 'plugin': '{plugin}'}}")
        }
    }
}
