//! What the tests ask of the kernel of Linux.

use std::fs::File;
use std::path::Path;

use anyhow::Result;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns};

use crate::disk::Access;

/// Mounts a file system in memory, or with `anew` changes the one that is mounted there.
pub(crate) fn mount_in_memory(
    path: &Path,
    anew: bool,
    access: Access,
    options: &str,
) -> Result<()> {
    let mut flags = MsFlags::empty();
    flags.set(MsFlags::MS_REMOUNT, anew);
    flags.set(MsFlags::MS_RDONLY, access == Access::Read);
    Ok(mount(
        Some("tmpfs"),
        path,
        Some("tmpfs"),
        flags,
        Some(options),
    )?)
}

/// Takes a file system from the tree at once, whoever still has a file of it open.
pub(crate) fn unmount(path: &Path) -> Result<()> {
    Ok(umount2(path, MntFlags::MNT_DETACH)?)
}

/// Puts the thread into a network namespace.
pub(crate) fn enter_network(space: &File) -> Result<()> {
    Ok(setns(space, CloneFlags::CLONE_NEWNET)?)
}
