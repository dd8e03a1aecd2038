//! What a node measures of itself.

use super::histogram::Histogram;

/// How long the work of a node takes, since its daemon started.
#[derive(Debug, Default)]
pub struct Durations {
    /// Cycles of the HA loop, from the look at store and server to the verdict.
    pub cycle: Histogram,
    /// From taking the lock until the server accepts writes.
    pub promotion: Histogram,
    /// From the request to stop a primary until it takes no more writes.
    pub demotion: Histogram,
    store: [Histogram; StoreOperation::ALL.len()],
}

/// What the store is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreOperation {
    /// Read everything.
    Load,
    /// Take the lock.
    AcquireLeader,
    /// Extend the lock.
    UpdateLeader,
    /// Give the lock back.
    DeleteLeader,
    /// Write the member's own object.
    TouchMember,
    /// Write or remove `initialize`.
    Initialize,
    /// Write `failover`.
    WriteFailover,
    /// Write `config`.
    WriteConfig,
    /// Write or remove `sync`.
    WriteSync,
    /// Write `status`.
    WriteStatus,
    /// Write `history`.
    WriteHistory,
    /// Write `failsafe`.
    WriteFailsafe,
}

impl Durations {
    /// The calls of one kind, successful or not.
    pub fn store(&self, operation: StoreOperation) -> &Histogram {
        &self.store[operation as usize]
    }
}

impl StoreOperation {
    /// Every operation, in the order of the enum.
    pub const ALL: [Self; 12] = [
        Self::Load,
        Self::AcquireLeader,
        Self::UpdateLeader,
        Self::DeleteLeader,
        Self::TouchMember,
        Self::Initialize,
        Self::WriteFailover,
        Self::WriteConfig,
        Self::WriteSync,
        Self::WriteStatus,
        Self::WriteHistory,
        Self::WriteFailsafe,
    ];

    /// The word in the label `operation`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Load => "load",
            Self::AcquireLeader => "acquire_leader",
            Self::UpdateLeader => "update_leader",
            Self::DeleteLeader => "delete_leader",
            Self::TouchMember => "touch_member",
            Self::Initialize => "initialize",
            Self::WriteFailover => "write_failover",
            Self::WriteConfig => "write_config",
            Self::WriteSync => "write_sync",
            Self::WriteStatus => "write_status",
            Self::WriteHistory => "write_history",
            Self::WriteFailsafe => "write_failsafe",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_operation_has_a_histogram_of_its_own() {
        for (place, operation) in StoreOperation::ALL.into_iter().enumerate() {
            assert_eq!(operation as usize, place, "{operation:?}");
        }
    }
}
