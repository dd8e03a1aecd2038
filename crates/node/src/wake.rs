//! Everything that wakes the loop, as one closed enum with one mailbox.

use std::sync::atomic::{AtomicU32, Ordering};

use tokio::sync::Notify;

/// Why a cycle runs before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wake {
    /// Somebody asked over REST: a switchover, a restart, a new configuration.
    Request,
    /// The long task ended.
    JobEnded,
    /// The postmaster is gone.
    PostgresExited,
    /// The checkpoint after a promotion ended.
    CheckpointEnded,
    /// The configuration file shall be read again.
    Reload,
    /// The daemon shall end.
    Shutdown,
    /// The lease ran out without the loop noticing.
    LeaseExpired,
    /// The server has begun or ceased to answer new connections.
    ProbeChanged,
    /// In synchronous mode: a standby came, went or fell silent.
    StandbysChanged,
}

impl Wake {
    const ALL: [Self; 9] = [
        Self::Request,
        Self::JobEnded,
        Self::PostgresExited,
        Self::CheckpointEnded,
        Self::Reload,
        Self::Shutdown,
        Self::LeaseExpired,
        Self::ProbeChanged,
        Self::StandbysChanged,
    ];

    const fn bit(self) -> u32 {
        1 << self as u32
    }
}

/// The mailbox. It cannot overflow: a reason that is already noted is noted once.
#[derive(Debug, Default)]
pub(crate) struct Wakes {
    noted: AtomicU32,
    notify: Notify,
}

impl Wakes {
    /// Notes a reason and wakes the loop.
    pub(crate) fn wake(&self, reason: Wake) {
        self.noted.fetch_or(reason.bit(), Ordering::AcqRel);
        self.notify.notify_one();
    }

    /// Waits for the first reason and takes all that are noted by then. Cancel safe: reasons are
    /// taken only when the future is ready.
    pub(crate) async fn next(&self) -> Vec<Wake> {
        loop {
            let noted = self.noted.swap(0, Ordering::AcqRel);
            if noted != 0 {
                return Wake::ALL
                    .into_iter()
                    .filter(|reason| noted & reason.bit() != 0)
                    .collect();
            }
            self.notify.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn reasons_noted_while_nobody_waits_are_not_lost() {
        let wakes = Wakes::default();
        wakes.wake(Wake::Request);
        wakes.wake(Wake::Request);
        wakes.wake(Wake::JobEnded);
        assert_eq!(wakes.next().await, [Wake::Request, Wake::JobEnded]);
    }
}
