//! Processes and their descendants.

use std::collections::HashMap;

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use crate::processes::{self, Row};

/// A process that cannot be mistaken for a later one of the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    pid: Pid,
    birth: u64,
}

impl Process {
    /// The process that has this number now.
    pub(crate) fn of(pid: Pid) -> Option<Self> {
        processes::row(pid.as_raw()).map(|row| Self::in_row(&row))
    }

    /// Ends the process and everything below it at once, unless it is gone.
    pub(crate) fn kill_with_descendants(self) {
        if self.is_alive() {
            kill_with_descendants(self.pid);
        }
    }

    /// Sends a signal unless the process is gone.
    pub(crate) fn signal(self, signal: Signal) {
        if self.is_alive() {
            send(self.pid, signal);
        }
    }

    /// Whether it still runs (a zombie does not).
    pub(crate) fn is_alive(self) -> bool {
        processes::row(self.pid.as_raw())
            .is_some_and(|row| Self::in_row(&row) == self && !row.is_zombie)
    }

    fn in_row(row: &Row) -> Self {
        Self {
            pid: Pid::from_raw(row.pid),
            birth: row.birth,
        }
    }
}

/// Sends a signal to a process; one that is gone already is no matter.
pub(crate) fn send(pid: Pid, signal: Signal) {
    if let Err(error) = kill(pid, signal)
        && error != nix::errno::Errno::ESRCH
    {
        tracing::warn!("Failed to kill the process: {error}");
    }
}

/// Sends a signal to every process of a group.
pub(crate) fn send_group(group: Pid, signal: Signal) {
    if let Err(error) = killpg(group, signal)
        && error != nix::errno::Errno::ESRCH
    {
        tracing::warn!("Failed to kill the process: {error}");
    }
}

/// Whether a group has a member that has not ended.
pub(crate) fn group_lives(group: Pid) -> bool {
    killpg(group, None::<Signal>).is_ok()
        && processes::all()
            .iter()
            .any(|row| row.group == group.as_raw() && !row.is_zombie)
}

/// All descendants of a process at this moment. Empty where nothing tells: the process group is
/// then all that is known.
pub(crate) fn descendants(root: Pid) -> Vec<Process> {
    let mut children: HashMap<Pid, Vec<Process>> = HashMap::new();
    for row in processes::all() {
        let parent = Pid::from_raw(row.parent);
        children
            .entry(parent)
            .or_default()
            .push(Process::in_row(&row));
    }
    let mut found = Vec::new();
    let mut open = vec![root];
    while let Some(pid) = open.pop() {
        for process in children.remove(&pid).unwrap_or_default() {
            open.push(process.pid);
            found.push(process);
        }
    }
    found
}

/// Ends a process that we have not reaped yet, and everything below it, at once: it is stopped
/// first so that it cannot start others while they are listed.
pub(crate) fn kill_with_descendants(root: Pid) {
    send(root, Signal::SIGSTOP);
    let below = descendants(root);
    send(root, Signal::SIGKILL);
    for process in below {
        process.signal(Signal::SIGKILL);
    }
}
