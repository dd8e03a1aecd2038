//! What the system knows of a process.

use std::ffi::OsString;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use clap::Args;
use nix::sys::resource::{UsageWho, getrusage};

/// Options of `cargo xtask peak`.
#[derive(Args)]
pub(crate) struct Options {
    /// The program and its arguments.
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<OsString>,
}

/// Runs a program and prints the most memory that it had, in kB. The system counts all children
/// of a process together, so this is one of its own that has no other. What it has itself is the
/// least that can be told.
///
/// # Errors
/// The program cannot be run, or fails.
pub(crate) fn peak(options: &Options) -> Result<()> {
    let (program, arguments) = options.command.split_first().context("no program")?;
    let mut command = Command::new(program);
    let status = command.args(arguments).stdout(Stdio::null()).status()?;
    ensure!(status.success(), "{}: {status}", program.display());
    say!("{}", getrusage(UsageWho::RUSAGE_CHILDREN)?.max_rss());
    Ok(())
}

/// The most memory that a program has, in kB.
pub(super) fn peak_kb_of(command: &Command) -> Result<u64> {
    let mut measured = Command::new(std::env::current_exe()?);
    measured.arg("peak").arg("--").arg(command.get_program());
    measured.args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => measured.env(name, value),
            None => measured.env_remove(name),
        };
    }
    let output = measured.stdin(Stdio::null()).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let error = String::from_utf8_lossy(&output.stderr);
    text.trim()
        .parse()
        .with_context(|| format!("{text}{error}"))
}

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
