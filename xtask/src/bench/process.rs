//! What the system knows of a process.

use anyhow::{Context, Result};

/// Its memory, with its share of what it has in common with others.
pub(super) fn pss_kb(pid: i32) -> Result<u64> {
    line(&format!("/proc/{pid}/smaps_rollup"), "Pss:")
}

/// The most memory that it ever had.
pub(super) fn peak_rss_kb(pid: i32) -> Result<u64> {
    line(&format!("/proc/{pid}/status"), "VmHWM:")
}

fn line(file: &str, label: &str) -> Result<u64> {
    let text = std::fs::read_to_string(file)?;
    let line = text.lines().find_map(|line| line.strip_prefix(label));
    let number = line.and_then(|rest| rest.split_whitespace().next());
    Ok(number.with_context(|| format!("no {label}"))?.parse()?)
}

/// The processor time that it has used, in ticks.
pub(super) fn cpu_ticks(pid: i32) -> Result<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields: Vec<&str> = text
        .rsplit_once(')')
        .context("no name")?
        .1
        .split_whitespace()
        .collect();
    Ok(fields[11].parse::<u64>()? + fields[12].parse::<u64>()?)
}
