//! What a tool printed, for comparison.

use anyhow::Result;
use patroni_tests::{Cluster, Maker};

use crate::shape;

/// Runs a maker's `patronictl` and gives its masked output, the text of its own error if it ended
/// with one, and the exit code.
///
/// # Errors
/// The program cannot be run.
pub(crate) fn of(cluster: &Cluster, maker: Maker, args: &[&str]) -> Result<String> {
    let output = cluster.ctl_by(maker, 0, args)?;
    let code = output.status.code();
    let errors = String::from_utf8_lossy(&output.stderr);
    // What was logged on the way is prose; the error at the end is not.
    let error = errors
        .lines()
        .find(|line| code != Some(0) && line.starts_with("Error"))
        .unwrap_or_default();
    Ok(format!(
        "$ patronictl {}\n{}{error}\nexit {code:?}\n",
        shape::mask_digits(&args.join(" ")),
        shape::mask_digits(&String::from_utf8_lossy(&output.stdout)),
    ))
}
