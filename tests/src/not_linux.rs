//! What the tests ask of the kernel of Linux, on another system: nothing of it is to be had.

use std::fs::File;
use std::path::Path;

use anyhow::{Result, bail};

use crate::disk::Access;

/// A file system in memory.
pub(crate) fn mount_in_memory(
    _path: &Path,
    _anew: bool,
    _access: Access,
    _options: &str,
) -> Result<()> {
    bail!("only known for Linux")
}

/// Its end.
pub(crate) fn unmount(_path: &Path) -> Result<()> {
    bail!("only known for Linux")
}

/// Another network.
pub(crate) fn enter_network(_space: &File) -> Result<()> {
    bail!("only known for Linux")
}
