//! Man pages and completions of the programs, made of their command lines.

use std::path::PathBuf;

use anyhow::Result;

#[cfg(feature = "man")]
mod pages;

/// Where to.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// The folder; it gets man1, bash, zsh and fish.
    #[arg(long)]
    dir: PathBuf,
}

/// Writes everything.
///
/// # Errors
/// A file cannot be written.
#[cfg(feature = "man")]
pub(crate) fn run(options: &Options) -> Result<()> {
    pages::write(&options.dir)
}

/// Starts itself again with the command lines in it.
///
/// # Errors
/// That one fails.
#[cfg(not(feature = "man"))]
pub(crate) fn run(options: &Options) -> Result<()> {
    let dir = std::path::absolute(&options.dir)?;
    let dir = dir.to_string_lossy();
    crate::cargo::cargo(&[
        "run",
        "--quiet",
        "-p",
        "xtask",
        "--features",
        "man",
        "--",
        "man",
        "--dir",
        &dir,
    ])
}
