//! When a copied slot may be relied upon.
//!
//! A copy is good only if no row of the catalogs that it needs can have been removed: the
//! primary must hold back as much for this standby (by the `catalog_xmin` of its physical slot)
//! as the primary's own logical slot did when the copy was made. And the WAL from which decoding
//! starts must be here.

use patroni_core::server::{SlotKind, SlotRow};
use patroni_core::{Lsn, SlotName};

use super::cascade;
use crate::context::Cx;
use crate::outcome::{LeaderSlots, PhysicalSlot};
use crate::replay::Asked;
use crate::rules::rewind;
use crate::sentence::Text;

/// Looks whether unproven slots have become safe.
pub(super) fn check(cx: &mut Cx<'_>, rows: &[SlotRow]) -> Asked<()> {
    let is_here = |name: &SlotName| own(rows, name).is_some();
    cx.memory.slots.unready.retain(|name, _| is_here(name));
    if cx.memory.slots.unready.is_empty() {
        return Ok(());
    }
    let (Some(leader), Some(physical)) = (rewind::leader_address(cx), cascade::slot_on_leader(cx))
    else {
        return Ok(());
    };
    let unready = cx.memory.slots.unready.iter();
    let unknown: Vec<SlotName> = unready
        .filter(|(_, noted)| noted.is_none())
        .map(|(name, _)| name.clone())
        .collect();
    let found = cx.inspect_slots(leader, physical.clone(), unknown)?;
    match found {
        Ok(found) => judge(cx, rows, physical, found),
        Err(error) => {
            cx.say(Text::SlotNotChecked {
                slot: physical,
                error,
            });
            Ok(())
        }
    }
}

fn judge(cx: &mut Cx<'_>, rows: &[SlotRow], physical: SlotName, found: LeaderSlots) -> Asked<()> {
    let protected = match found.physical {
        PhysicalSlot::Absent => {
            cx.say(Text::NoPhysicalSlot { slot: physical });
            return Ok(());
        }
        PhysicalSlot::HoldsNothing => return check_feedback(cx),
        PhysicalSlot::Holds(catalog_xmin) => catalog_xmin,
    };
    for (name, catalog_xmin) in found.logical {
        if let Some(noted) = cx.memory.slots.unready.get_mut(&name) {
            noted.get_or_insert(catalog_xmin);
        }
    }
    let mut protected_slots = Vec::new();
    for (name, noted) in &cx.memory.slots.unready {
        let Some(row) = own(rows, name) else { continue };
        if let (Some(noted), Some(mine)) = (noted, row.catalog_xmin)
            && noted.is_at_most(protected)
            && protected.is_at_most(mine)
        {
            protected_slots.push((name.clone(), row.restart_lsn.unwrap_or_default()));
        }
    }
    declare_safe(cx, protected_slots)
}

/// Of slots whose rows are protected, those are safe whose WAL is here too: a copy of the data
/// does not reach back to what the primary's slot has kept until then.
fn declare_safe(cx: &mut Cx<'_>, slots: Vec<(SlotName, Lsn)>) -> Asked<()> {
    if slots.is_empty() {
        return Ok(());
    }
    let from = match cx.read_wal_start()? {
        Ok(from) => from,
        Err(error) => {
            cx.say(Text::WalNotRead { error });
            return Ok(());
        }
    };
    for (slot, restart) in slots {
        if restart < from {
            let told = cx.memory.slots.told_lacking.insert(slot.clone(), restart);
            if told != Some(restart) {
                cx.say(Text::SlotLacksWal {
                    slot,
                    restart,
                    from,
                });
            }
        } else {
            cx.memory.slots.unready.remove(&slot);
            cx.memory.slots.told_lacking.remove(&slot);
            cx.say(Text::LogicalSlotSafe { slot });
        }
    }
    Ok(())
}

/// The primary holds nothing back: either the feedback has not arrived yet, or it is off.
fn check_feedback(cx: &mut Cx<'_>) -> Asked<()> {
    match cx.read_feedback()? {
        Ok(true) => {}
        Ok(false) => cx.say(Text::FeedbackOff),
        Err(error) => cx.say(Text::FeedbackNotChecked { error }),
    }
    Ok(())
}

fn own<'a>(rows: &'a [SlotRow], name: &SlotName) -> Option<&'a SlotRow> {
    rows.iter()
        .find(|row| row.name == *name && row.kind != SlotKind::Physical)
}
