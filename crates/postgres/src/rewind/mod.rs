//! Divergence: where this server and the leader stand, and `pg_rewind` to bring them together.
//!
//! What follows from the facts (whether a rewind is needed, what to do after a failed one) is
//! decided by the HA brain, not here.

mod aside;
pub mod inspect;
pub(crate) mod mark;
pub mod run;

pub use inspect::{
    InspectError, LeaderInspection, LocalPosition, PositionSource, inspect_leader, local_position,
};
pub use mark::is_half_rewound;
pub use run::{LeaderReadiness, NotYet, Parting, RewindOutcome, RewindRequest, can_execute, run};

pub use crate::waldump::checkpoint_end;
