//! Calling cargo and other programs.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// The root of the workspace.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask lies in the workspace")
        .to_owned()
}

/// Runs cargo in the workspace, with its output on the terminal.
pub(crate) fn cargo(args: &[&str]) -> Result<()> {
    run(&mut cargo_command(args))
}

/// Cargo in the workspace, not started yet.
pub(crate) fn cargo_command(args: &[&str]) -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.args(args).current_dir(root());
    command
}

/// Runs a command that must succeed.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let line = format!("{} {}", command.get_program().display(), join(command));
    say!("$ {line}");
    let status = command.status().with_context(|| format!("start {line}"))?;
    ensure!(status.success(), "{line}: {status}");
    Ok(())
}

fn join(command: &Command) -> String {
    command
        .get_args()
        .map(|arg| arg.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

/// The folder where cargo puts what it builds, also where a configuration of cargo names it.
pub(crate) fn target_dir() -> PathBuf {
    let told = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let found = || {
        let output = cargo_command(&["metadata", "--format-version", "1", "--no-deps"]).output();
        let text = serde_json::from_slice::<serde_json::Value>(&output.ok()?.stdout).ok()?;
        Some(PathBuf::from(text["target_directory"].as_str()?))
    };
    told.or_else(found).unwrap_or_else(|| root().join("target"))
}

/// Builds the binaries for use and gives their folder, unless there are built ones already.
pub(crate) fn build_release(built: Option<&Path>) -> Result<PathBuf> {
    if let Some(dir) = built {
        return Ok(dir.to_owned());
    }
    cargo(&[
        "build",
        "--release",
        "-p",
        "patroni",
        "-p",
        "patronictl",
        "-p",
        "patroni_raft_controller",
        "-p",
        "patroni_aws",
        "-p",
        "patroni_barman",
        "-p",
        "patroni_wale_restore",
    ])?;
    Ok(target_dir().join("release"))
}
