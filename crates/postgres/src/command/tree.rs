//! Processes and their descendants.

use std::collections::HashMap;
use std::fs;

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

/// A process that cannot be mistaken for a later one of the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    pid: Pid,
    started: u64,
}

/// One line of the process table.
struct Row {
    process: Process,
    parent: Pid,
    is_zombie: bool,
}

impl Process {
    /// The process that has this number now.
    pub(crate) fn of(pid: Pid) -> Option<Self> {
        row(pid).map(|row| row.process)
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
        row(self.pid).is_some_and(|row| row.process == self && !row.is_zombie)
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
        && table().any(|(row, pgrp)| pgrp == group && !row.is_zombie)
}

/// All living descendants of a process at this moment. Empty where there is no `/proc`: the
/// process group is then all that is known.
pub(crate) fn descendants(root: Pid) -> Vec<Process> {
    let mut children: HashMap<Pid, Vec<Process>> = HashMap::new();
    for (row, _) in table() {
        children.entry(row.parent).or_default().push(row.process);
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

fn table() -> impl Iterator<Item = (Row, Pid)> {
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(|number| stat(Pid::from_raw(number)))
}

fn row(pid: Pid) -> Option<Row> {
    stat(pid).map(|(row, _)| row)
}

/// Reads `/proc/<pid>/stat`: the name of the program is in brackets and may hold anything.
fn stat(pid: Pid) -> Option<(Row, Pid)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |index: usize| fields.get(index)?.parse().ok().map(Pid::from_raw);
    let row = Row {
        process: Process {
            pid,
            started: fields.get(19)?.parse().ok()?,
        },
        parent: number(1)?,
        is_zombie: matches!(*fields.first()?, "Z" | "X"),
    };
    Some((row, number(2)?))
}
