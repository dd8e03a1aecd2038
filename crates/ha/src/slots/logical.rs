//! Slots for logical decoding on a standby: moved along behind the primary's, and copied from
//! there when they are missing (PostgreSQL contract 13.5).

use patroni_core::SlotName;
use patroni_core::server::{SlotKind, SlotRow};

use super::wishes::{Wish, Wishes};
use crate::command::{LogicalSlot, SlotAdvance};
use crate::context::Cx;
use crate::replay::Asked;

/// On a primary slots are what they are, whoever made them.
pub(super) fn forget(cx: &mut Cx<'_>) {
    cx.memory.slots.unready.clear();
    cx.memory.slots.stale.clear();
    cx.memory
        .slots
        .server
        .clone_from(&cx.server.postmaster_start_time);
}

/// A server that has (re)started here may have done so with slots that the primary does not
/// protect: each has to be proven safe again.
pub(super) fn note_server_start(cx: &mut Cx<'_>, wishes: &Wishes, rows: &[SlotRow]) {
    let started = cx.server.postmaster_start_time.clone();
    if started.is_none() || cx.memory.slots.server == started {
        return;
    }
    cx.memory.slots.server = started;
    let found = rows.iter().filter(|row| is_wished(wishes, row));
    cx.memory.slots.unready = found.map(|row| (row.name.clone(), None)).collect();
}

/// Hands out how far each slot may move: never past what the primary confirmed, nor past what
/// was replayed here. Nobody waits for it; slots that cannot move are told later.
pub(super) fn advance(cx: &mut Cx<'_>, wishes: &Wishes, rows: &[SlotRow]) -> Asked<()> {
    if !wishes.values().any(is_logical) {
        cx.memory.slots.stale.clear();
        return Ok(());
    }
    let replayed = cx.status().and_then(|status| status.replayed);
    let stale = &cx.memory.slots.stale;
    let advances: Vec<SlotAdvance> = rows
        .iter()
        .filter(|row| is_wished(wishes, row) && !stale.contains(&row.name))
        .filter_map(|row| {
            let Some(Wish::Logical { slot, published }) = wishes.get(&row.name) else {
                return None;
            };
            let (from, to) = (row.confirmed_flush_lsn?, (*published)?.min(replayed?));
            (to > from).then(|| SlotAdvance {
                slot: slot.name.clone(),
                database: slot.database.clone(),
                from,
                to,
            })
        })
        .collect();
    let given_up = cx.advance_logical_slots(advances)?;
    let stale = &mut cx.memory.slots.stale;
    stale.extend(given_up);
    stale.retain(|name| wishes.get(name).is_some_and(is_logical));
    Ok(())
}

/// The wished slots that are missing although the primary has them, and those that could not be
/// moved any more.
pub(super) fn to_copy(cx: &Cx<'_>, wishes: &Wishes, rows: &[SlotRow]) -> Vec<LogicalSlot> {
    let is_here = |name: &SlotName| rows.iter().any(|row| row.name == *name);
    wishes
        .iter()
        .filter_map(|(name, wish)| match wish {
            Wish::Logical { slot, published } => {
                let missing = !is_here(name) && published.is_some();
                (missing || cx.memory.slots.stale.contains(name)).then(|| slot.clone())
            }
            Wish::Physical { .. } => None,
        })
        .collect()
}

fn is_logical(wish: &Wish) -> bool {
    matches!(wish, Wish::Logical { .. })
}

/// The slot is there as it is wished.
fn is_wished(wishes: &Wishes, row: &SlotRow) -> bool {
    match (&row.kind, wishes.get(&row.name)) {
        (SlotKind::Logical { plugin, database }, Some(Wish::Logical { slot, .. })) => {
            slot.plugin == *plugin && slot.database == *database
        }
        (_, _) => false,
    }
}
