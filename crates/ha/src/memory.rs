//! What the core remembers from one cycle to the next.

use serde::{Deserialize, Serialize};

/// How far the question "have my data diverged from the leader's?" is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum RewindState {
    /// Nothing is known, and nothing was asked.
    #[default]
    Initial,
    /// A check is due.
    Check,
    /// They have: a rewind (or a new copy) is needed.
    Need,
    /// They have not.
    NotNeed,
    /// A rewind was done.
    Success,
    /// A rewind failed.
    Failed,
}
