//! `cargo xtask postgresql`: another major version of PostgreSQL than the machine's, to test on.
//!
//! The programs of a later release of Debian need the libraries of that release, down to the C
//! library. They go into one folder, and the programs are told to look there: no container, and
//! nothing of the machine changes.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

use crate::needs::{self, Need};
use crate::other_debian::Release;

/// Options of `cargo xtask postgresql`.
#[derive(Args)]
pub(crate) struct Options {
    /// The major version.
    major: u32,
}

/// Which release of Debian has which major version.
const RELEASES: [(u32, &str); 2] = [(17, "trixie"), (18, "forky")];

/// Prints the folder of the programs.
///
/// # Errors
/// They cannot be had.
pub(crate) fn run_command(options: &Options) -> Result<()> {
    let bin_dir = ensure_major(options.major)?;
    say!("{}", bin_dir.display());
    Ok(())
}

/// The folder of the programs of a major version: of the machine when it has them, else of an own
/// folder, filled now when it is not there.
///
/// # Errors
/// They cannot be had.
pub(crate) fn ensure_major(major: u32) -> Result<PathBuf> {
    let bin = format!("usr/lib/postgresql/{major}/bin");
    let prefix = PathBuf::from(format!("/opt/postgresql-{major}"));
    for root in [Path::new("/"), &prefix] {
        if root.join(&bin).join("postgres").is_file() {
            return Ok(root.join(&bin));
        }
    }
    let Some((_, release)) = RELEASES.iter().find(|(of, _)| *of == major) else {
        let known = RELEASES.map(|(of, _)| of.to_string()).join(" and ");
        bail!("PostgreSQL {major} is not installed; only {known} are known how to get");
    };
    unpack(major, release, &prefix)
        .with_context(|| format!("get PostgreSQL {major} from Debian's release {release}"))?;
    Ok(prefix.join(bin))
}

/// Fills the folder in one step: one that is there is whole.
fn unpack(major: u32, release: &str, prefix: &Path) -> Result<()> {
    let release = Release::open(release)?;
    needs::ensure(&[Need::Patchelf])?;
    let packages = release.download_with_needs(&format!("postgresql-{major}"))?;
    let parent = prefix.parent().context("a folder has a parent")?;
    let beside = tempfile::Builder::new()
        .prefix(".postgresql-")
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .tempdir_in(parent)?;
    for package in packages.iter().filter(|package| is_wanted(package)) {
        quietly(
            Command::new("dpkg")
                .arg("-x")
                .arg(package)
                .arg(beside.path()),
        )?;
    }
    let programs = beside
        .path()
        .join(format!("usr/lib/postgresql/{major}/bin"));
    for entry in std::fs::read_dir(programs)? {
        point_at(prefix, &entry?.path())?;
    }
    std::fs::rename(beside.path(), prefix)?;
    Ok(())
}

/// Libraries and the server; scripts and what only an installation needs are left out.
fn is_wanted(package: &Path) -> bool {
    let name = package.file_name().unwrap_or_default().to_string_lossy();
    ["lib", "postgresql-", "zlib"]
        .iter()
        .any(|beginning| name.starts_with(beginning))
}

/// Lets a program take the loader and all libraries from the folder that it will lie in.
fn point_at(prefix: &Path, program: &Path) -> Result<()> {
    let mut first = [0; 4];
    let is_program = std::fs::File::open(program)?.read_exact(&mut first).is_ok();
    if !is_program || first != *b"\x7fELF" {
        return Ok(());
    }
    let patchelf = || Command::new("patchelf");
    let loader = quietly(patchelf().arg("--print-interpreter").arg(program))?;
    let loader = Path::new(loader.trim())
        .file_name()
        .with_context(|| format!("{} names no loader", program.display()))?;
    let libraries = prefix.join(format!("usr/lib/{}-linux-gnu", std::env::consts::ARCH));
    // The old kind of search path: it is also used for what the libraries need themselves.
    quietly(
        patchelf()
            .arg("--set-interpreter")
            .arg(libraries.join(loader))
            .arg("--force-rpath")
            .arg("--set-rpath")
            .arg(&libraries)
            .arg(program),
    )?;
    Ok(())
}

/// Runs a command whose words matter only when it fails, and gives its output.
fn quietly(command: &mut Command) -> Result<String> {
    let output = command
        .output()
        .with_context(|| format!("start {command:?}"))?;
    let words = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {words}");
    Ok(String::from_utf8(output.stdout)?)
}
