//! Programs that Debian's present release left out, from the release before it.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::cargo::run;

/// The last release that has them.
const RELEASE: &str = "bullseye";

/// Debian's own keys, with those of earlier releases.
const KEYS: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Installs one package of that release. Only this package comes from there: what it depends on
/// is taken from where the machine takes everything else, and no list of the machine is changed.
///
/// # Errors
/// The machine has no mirror of Debian, or the package cannot be had.
pub(crate) fn install(package: &str) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let lists = folder.path().join("lists");
    let sources = folder.path().join("sources");
    std::fs::create_dir_all(lists.join("partial"))?;
    std::fs::create_dir(&sources)?;
    let source = format!("deb [signed-by={KEYS}] {} {RELEASE} main\n", mirror()?);
    std::fs::write(sources.join("older.list"), source)?;
    let older = |command: &str| {
        let option = |name: &str, path: &Path| format!("{name}={}", path.display());
        let mut apt = apt();
        apt.args(["-q", command])
            .args(["-o", "Dir::Etc::sourcelist=/dev/null"])
            .args(["-o", &option("Dir::Etc::sourceparts", &sources)])
            .args(["-o", &option("Dir::State::lists", &lists)])
            // The folder is ours alone, which the user that apt downloads as may not enter.
            .args(["-o", "APT::Sandbox::User=root"])
            .current_dir(folder.path());
        apt
    };
    run(&mut older("update"))?;
    run(older("download").arg(package))?;
    let file = std::fs::read_dir(folder.path())?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|ending| ending == "deb"))
        .context("apt-get downloaded nothing")?;
    run(apt()
        .args(["install", "-y", "-q", "--no-install-recommends"])
        .arg(file))
}

fn apt() -> Command {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command
}

/// Where this machine takes Debian's packages from.
fn mirror() -> Result<String> {
    let targets = apt()
        .args(["indextargets", "--format", "$(REPO_URI)"])
        .args(["Origin: Debian", "Label: Debian"])
        .output()?;
    let text = String::from_utf8(targets.stdout)?;
    let first = text
        .lines()
        .next()
        .context("no mirror of Debian is known")?;
    Ok(first.to_owned())
}
