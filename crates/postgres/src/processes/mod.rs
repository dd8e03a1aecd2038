//! The processes of this machine: who is whose child, who has ended, and a hold on one of them
//! that no later process with the same number can slip into.
//!
//! What only a kernel can tell has one room for each kind of system. On Linux that is `/proc` and
//! the pidfd ([`proc_fs`], [`pidfd`]). Every other Unix is asked with `ps` and held by number and
//! time of birth: slower, and between a look and a signal a number could pass to somebody else.

#[cfg(any(test, not(target_os = "linux")))]
mod by_number;
#[cfg(target_os = "linux")]
mod pidfd;
#[cfg(target_os = "linux")]
mod proc_fs;
#[cfg(any(test, not(target_os = "linux")))]
mod ps;

#[cfg(not(target_os = "linux"))]
pub(crate) use by_number::Handle;
#[cfg(target_os = "linux")]
pub(crate) use pidfd::Handle;
#[cfg(target_os = "linux")]
pub(crate) use proc_fs::{all, born_at, program_of, row, somebody_works_in, title_of, users_of};
#[cfg(not(target_os = "linux"))]
pub(crate) use ps::{all, born_at, program_of, row, somebody_works_in, title_of, users_of};

use std::io;

/// What the table of processes tells of one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub(crate) pid: i32,
    pub(crate) parent: i32,
    pub(crate) group: i32,
    /// When it was born, in a unit of the system. A number may be used again, number and birth
    /// together are not.
    pub(crate) birth: u64,
    /// It has ended, and its parent has not taken note.
    pub(crate) is_zombie: bool,
}

/// The children of a process, or with `deep` all its descendants.
pub(crate) fn children_of(parent: i32, deep: bool) -> Vec<i32> {
    let all = all();
    let mut found = vec![parent];
    let mut next = 0;
    while let Some(&current) = found.get(next) {
        found.extend(
            all.iter()
                .filter(|row| row.parent == current)
                .map(|row| row.pid),
        );
        next += 1;
        if !deep {
            break;
        }
    }
    found.split_off(1)
}

/// No process has the number, or it cannot be one.
pub(crate) fn is_no_process(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error())
        || error.kind() == io::ErrorKind::InvalidInput
}
