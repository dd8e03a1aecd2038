//! The journals of nodes: their files, and playing them again.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::node::Node;
use crate::proc;

/// The files of a node whose `journal.dir` is `journal` in its folder.
///
/// # Errors
/// There is none.
pub fn files(node: &Node) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(node.dir.join("journal"))?;
    let files: Vec<PathBuf> = entries
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    ensure!(!files.is_empty(), "{} has no journal", node.name);
    Ok(files)
}

/// Replays a file, which must come out equal, and gives the number of records.
///
/// # Errors
/// It does not come out equal; the program's words are in the text.
pub fn replay(file: &Path) -> Result<usize> {
    let mut command = proc::command(proc::bin("patroni"));
    let output = command.arg("--replay").arg(file).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{text}{errors}");
    let count = text.trim_end().strip_suffix(" records replay equal");
    let count = count.and_then(|text| text.rsplit(' ').next());
    Ok(count.context("no number")?.parse()?)
}
