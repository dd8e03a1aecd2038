//! Packages of another release of Debian than the machine's, without a change to the machine's own lists.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use nix::unistd::Uid;
use tempfile::TempDir;

use crate::cargo::run;

/// Debian's own keys, with those of earlier releases; a machine that is kept up to date has those of
/// later ones.
const KEYS: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// The lists of one release, read into a folder that goes with them.
pub(crate) struct Release {
    folder: TempDir,
}

impl Release {
    /// Reads the lists of a release from the mirror that this machine uses.
    ///
    /// # Errors
    /// This is not Debian or we are not root; the machine has no mirror of Debian; the mirror lacks
    /// the release; the machine's keys do not vouch for it.
    pub(crate) fn open(name: &str) -> Result<Self> {
        ensure!(
            Uid::effective().is_root() && Path::new(KEYS).exists(),
            "only known for Debian, as root"
        );
        let folder = tempfile::tempdir()?;
        for place in ["lists/partial", "cache/archives/partial", "sources"] {
            std::fs::create_dir_all(folder.path().join(place))?;
        }
        std::fs::write(folder.path().join("nothing-installed"), "")?;
        let source = format!("deb [signed-by={KEYS}] {} {name} main\n", mirror()?);
        std::fs::write(folder.path().join("sources/other.list"), source)?;
        let release = Self { folder };
        // A list that cannot be had or trusted is a warning by default.
        let mut update = release.apt("update");
        run(update.args(["-o", "APT::Update::Error-Mode=any"]))
            .with_context(|| format!("the lists of Debian's release {name}"))?;
        Ok(release)
    }

    /// Installs one package of the release. Only this package comes from there: what it depends on
    /// is taken from where the machine takes everything else.
    ///
    /// # Errors
    /// The package cannot be had.
    pub(crate) fn install(&self, package: &str) -> Result<()> {
        run(self.apt("download").arg(package))?;
        let [file] = &debs(self.folder.path())?[..] else {
            bail!("apt-get did not download one package");
        };
        run(apt()
            .args(["install", "-y", "-q", "--no-install-recommends"])
            .arg(file))
    }

    /// Downloads a package with everything that it needs, down to the C library. Nothing of it is
    /// installed. The files go with this value.
    ///
    /// # Errors
    /// The release lacks the package, or a download fails.
    pub(crate) fn download_with_needs(&self, package: &str) -> Result<Vec<PathBuf>> {
        let nothing = self.folder.path().join("nothing-installed");
        run(self
            .apt("install")
            .args(["-y", "--download-only", "--no-install-recommends"])
            .args(["-o", &option("Dir::State::status", &nothing)])
            .arg(package))?;
        debs(&self.folder.path().join("cache/archives"))
    }

    /// apt-get that knows this release alone.
    fn apt(&self, command: &str) -> Command {
        let at = |place: &str| self.folder.path().join(place);
        let mut apt = apt();
        apt.args(["-q", command])
            .args(["-o", "Dir::Etc::sourcelist=/dev/null"])
            .args(["-o", &option("Dir::Etc::sourceparts", &at("sources"))])
            .args(["-o", &option("Dir::State::lists", &at("lists"))])
            .args(["-o", &option("Dir::Cache", &at("cache"))])
            // The folder is ours alone, which the user that apt downloads as may not enter.
            .args(["-o", "APT::Sandbox::User=root"])
            .current_dir(self.folder.path());
        apt
    }
}

fn option(name: &str, path: &Path) -> String {
    format!("{name}={}", path.display())
}

fn apt() -> Command {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command
}

fn debs(folder: &Path) -> Result<Vec<PathBuf>> {
    Ok(std::fs::read_dir(folder)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|ending| ending == "deb"))
        .collect())
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
