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
    let printed = shape::mask_digits(&String::from_utf8_lossy(&output.stdout));
    Ok(format!(
        "$ patronictl {}\n{}{error}\nexit {code:?}\n",
        shape::mask_digits(&args.join(" ")),
        without_the_way_down(&printed),
    ))
}

/// After a change of leader the tools show the members as they are at that moment: the former
/// leader is somewhere between stopping and streaming.
fn without_the_way_down(printed: &str) -> &str {
    let Some(at) = printed.find("Successfully ") else {
        return printed;
    };
    let line = printed[at..]
        .find('\n')
        .map_or(printed.len(), |end| at + end + 1);
    &printed[..line]
}
