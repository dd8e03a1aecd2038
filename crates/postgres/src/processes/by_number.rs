//! A hold on a process by its number and its birth, where the kernel gives nothing better.

use std::io;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::ps;

/// One process for as long as its birth is what it was.
#[derive(Debug)]
pub(crate) struct Handle {
    pid: Pid,
    birth: u64,
}

/// Time between two looks.
const LOOK: Duration = Duration::from_millis(100);

impl Handle {
    /// Takes hold of the process that has this number now.
    pub(crate) fn open(pid: Pid) -> io::Result<Self> {
        let row = ps::row(pid.as_raw_nonzero().get());
        let birth = row.ok_or(rustix::io::Errno::SRCH)?.birth;
        Ok(Self { pid, birth })
    }

    /// Whether the process still exists (a zombie does not).
    pub(crate) fn is_alive(&self) -> bool {
        ps::row(self.pid.as_raw_nonzero().get())
            .is_some_and(|row| row.birth == self.birth && !row.is_zombie)
    }

    /// Sends a signal to the process, unless it has ended.
    pub(crate) fn signal(&self, signal: Signal) -> io::Result<()> {
        if !self.is_alive() {
            return Err(rustix::io::Errno::SRCH.into());
        }
        kill_process(self.pid, signal).map_err(io::Error::from)
    }

    /// Waits for the end at most for `patience`, without a runtime; `true` when it came.
    pub(crate) fn ends_within(&self, patience: Duration) -> bool {
        let begun = Instant::now();
        while self.is_alive() {
            let left = patience.saturating_sub(begun.elapsed());
            if left.is_zero() {
                return false;
            }
            wait(left.min(LOOK));
        }
        true
    }

    /// Resolves when the process has ended. Cancel safe.
    pub(crate) async fn ended(&self) {
        while self.is_alive() {
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// The guardian, which waits here, has no runtime and nothing else to do.
#[expect(clippy::disallowed_methods, reason = "nothing tells of the end")]
fn wait(time: Duration) {
    std::thread::sleep(time);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_process_is_held_until_its_end() {
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        let held = Handle::open(Pid::from_child(&child)).unwrap();
        assert!(held.is_alive());
        assert!(!held.ends_within(Duration::from_millis(1)));
        held.signal(Signal::KILL).unwrap();
        // It is a zombie by then, which counts as ended.
        held.ended().await;
        assert!(held.ends_within(Duration::ZERO));
        assert!(held.signal(Signal::KILL).is_err());
        let another = Handle {
            birth: held.birth + 1,
            ..held
        };
        child.wait().unwrap();
        assert!(!another.is_alive());
    }
}
