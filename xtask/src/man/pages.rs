//! The files themselves.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use clap::{Command, CommandFactory as _};
use clap_complete::Shell;
use patroni_companions::{aws, barman, wale};

#[path = "../../../bins/patroni/src/cli.rs"]
mod daemon;

/// Writes `man1/*.1` and one folder of completions per shell.
///
/// # Errors
/// A file cannot be written.
pub(super) fn write(dir: &Path) -> Result<()> {
    for command in [
        daemon::Cli::command(),
        patroni_ctl::command_line(),
        aws::command_line(),
        barman::command_line(),
        wale::command_line(),
    ] {
        manual(&command, &folder(dir, "man1")?)?;
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let name = command.get_name().to_owned();
            let folder = folder(dir, &shell.to_string())?;
            clap_complete::generate_to(shell, &mut command.clone(), name, folder)?;
        }
    }
    Ok(())
}

/// A page for the program and one for each command of it.
fn manual(command: &Command, folder: &Path) -> Result<()> {
    clap_mangen::generate_to(command.clone(), folder)
        .with_context(|| format!("failed to write the pages of {}", command.get_name()))
}

fn folder(dir: &Path, name: &str) -> Result<std::path::PathBuf> {
    let folder = dir.join(name);
    fs::create_dir_all(&folder)
        .with_context(|| format!("failed to make the folder {}", folder.display()))?;
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page_and_every_shell_its_completions() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path()).unwrap();
        let read = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap();
        assert!(read("man1/patroni.1").contains("validate"));
        for command in patroni_ctl::command_line().get_subcommands() {
            let page = read(&format!("man1/patronictl-{}.1", command.get_name()));
            let about = command.get_about().unwrap().to_string();
            assert!(page.contains(about.split(',').next().unwrap()), "{about}");
        }
        for file in [
            "bash/patronictl.bash",
            "zsh/_patronictl",
            "fish/patronictl.fish",
        ] {
            assert!(read(file).contains("switchover"), "{file}");
        }
        assert!(read("bash/patroni.bash").contains("--validate-config"));
        assert!(read("man1/patroni_barman-recover.1").contains("backup"));
        assert!(read("man1/patroni_aws.1").contains("EC2"));
        assert!(read("zsh/_patroni_wale_restore").contains("threshold_megabytes"));
    }
}
