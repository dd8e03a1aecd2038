//! Replication slots: changing them, moving them along, and copying them from the primary.
//!
//! Nothing is decided here. A caller says which slot shall be created, dropped or moved; see
//! [`Supervisor`](crate::Supervisor) for the calls. Source: the supervision contract, section 13.

mod advance;
mod change;
mod feedback;
mod leader;
mod state_file;
mod wal;

pub(crate) use advance::Advances;
pub use advance::SlotAdvance;
pub use change::Dropped;
pub use leader::{CopyError, LeaderSlot, SlotCopy};
pub use state_file::{BadState, SlotFile};
