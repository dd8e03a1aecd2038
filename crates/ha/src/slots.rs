//! Replication slots: which shall be on this node, and how they get there (HA contract 21,
//! PostgreSQL contract 13).
//!
//! [`wishes`] says what shall be here, [`changes`] makes the server's slots so, [`logical`] looks
//! after those for logical decoding on a standby, which are copied from the primary and moved
//! along behind it, and [`ready`] tells when such a copy may be relied upon.

mod cascade;
mod changes;
mod feedback;
mod ignored;
mod logical;
mod permanent;
mod ready;
mod retention;
#[cfg(test)]
mod tests;
mod wishes;

use patroni_core::server::SlotRow;

use crate::command::LogicalSlot;
use crate::context::Cx;
use crate::replay::Asked;

pub(crate) use changes::described;
pub(crate) use retention::{note_present, restart_retention, retained};

/// Makes the slots of this node as they should be, as far as they are known. Gives the logical
/// ones that have to be copied from the primary, which needs a restart.
pub(crate) fn sync(cx: &mut Cx<'_>) -> Asked<Vec<LogicalSlot>> {
    let configured = cx
        .view
        .config
        .as_ref()
        .is_some_and(patroni_core::ConfigDoc::is_valid);
    let able = cx.server.major_version.is_some_and(|v| v >= 90_400);
    if !configured || !able {
        return Ok(Vec::new());
    }
    feedback::enforce(cx)?;
    let Some(mut rows) = known_rows(cx) else {
        return Ok(Vec::new());
    };
    // Slots that nobody looks after any more would keep WAL for ever.
    let wishes = if cx.settings.use_slots {
        wishes::of(cx)
    } else {
        wishes::Wishes::new()
    };
    if !changes::apply(cx, &wishes, &mut rows)? {
        return Ok(Vec::new());
    }
    let standby = cx
        .status()
        .is_some_and(patroni_core::server::ServerStatus::in_recovery);
    if !standby {
        logical::forget(cx);
        return Ok(Vec::new());
    }
    logical::note_server_start(cx, &wishes, &rows);
    logical::advance(cx, &wishes, &rows)?;
    ready::check(cx, &rows)?;
    Ok(logical::to_copy(cx, &wishes, &rows))
}

/// The slots of the server as the monitoring query showed them.
fn known_rows(cx: &Cx<'_>) -> Option<Vec<SlotRow>> {
    cx.status()?.slots.clone()
}
