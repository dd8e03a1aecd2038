//! A hold on a process by a descriptor of the kernel.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// One process for as long as this lives; the descriptor becomes readable when it has ended.
#[derive(Debug)]
pub(crate) struct Handle(OwnedFd);

impl Handle {
    /// Takes hold of the process that has this number now.
    pub(crate) fn open(pid: Pid) -> io::Result<Self> {
        Ok(Self(pidfd_open(pid, PidfdFlags::empty())?))
    }

    /// Whether the process still exists (a zombie does not).
    pub(crate) fn is_alive(&self) -> bool {
        !self.ends_within(Duration::ZERO)
    }

    /// Sends a signal to exactly this process.
    pub(crate) fn signal(&self, signal: Signal) -> io::Result<()> {
        pidfd_send_signal(&self.0, signal).map_err(io::Error::from)
    }

    /// Waits for the end at most for `patience`, without a runtime; `true` when it came. An
    /// interrupted wait ends early.
    pub(crate) fn ends_within(&self, patience: Duration) -> bool {
        let mut fds = [PollFd::new(&self.0, PollFlags::IN)];
        let Ok(patience) = Timespec::try_from(patience) else {
            return false;
        };
        matches!(rustix::event::poll(&mut fds, Some(&patience)), Ok(ready) if ready > 0)
    }

    /// Resolves when the process has ended. Cancel safe.
    pub(crate) async fn ended(&self) {
        if let Ok(watched) = self.0.try_clone().and_then(watch)
            && watched.readable().await.is_ok()
        {
            return;
        }
        // Without a place in the reactor (descriptor limit) the process is looked at instead.
        while self.is_alive() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// Puts a process descriptor into the reactor.
fn watch(handle: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    #[expect(
        unsafe_code,
        reason = "the reactor asks for a promise about the descriptor"
    )]
    // SAFETY: an `OwnedFd` is open until dropped, and the `AsyncFd` owns it and never gives it
    // away.
    let watched = unsafe { AsyncFd::register_with_interest(handle, Interest::READABLE) };
    watched.map_err(io::Error::from)
}
