//! What is asked of replication slots.

use patroni_core::{Lsn, SlotName};
use serde::{Deserialize, Serialize};

/// One change to the slots of the local server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SlotChange {
    /// Drop a slot that nobody uses.
    Drop(SlotName),
    /// Create a physical slot that keeps WAL from now on, unless there is one.
    CreatePhysical(SlotName),
    /// Let a physical slot that nobody uses keep less.
    AdvancePhysical {
        /// Which.
        slot: SlotName,
        /// Up to where its reader has got elsewhere.
        to: Lsn,
    },
    /// Create a slot for logical decoding, unless there is one.
    CreateLogical(LogicalSlot),
}

/// A slot for logical decoding, as the configuration describes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogicalSlot {
    /// Its name.
    pub name: SlotName,
    /// The database whose changes it decodes.
    pub database: String,
    /// The output plugin.
    pub plugin: String,
}

/// How far a logical slot of a standby may move.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotAdvance {
    /// Which.
    pub slot: SlotName,
    /// Its database, where it can be moved.
    pub database: String,
    /// Where it is.
    pub from: Lsn,
    /// Up to where.
    pub to: Lsn,
}

/// The state file of a slot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotFile {
    /// Of which slot.
    pub name: SlotName,
    /// Its bytes, as the server wrote them.
    pub state: Vec<u8>,
}
