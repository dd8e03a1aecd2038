//! Crash recovery in single-user mode: brings a crashed data directory to a clean shutdown, the
//! state that `pg_rewind` needs.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use patroni_config::file::Postgresql;

use crate::archive;
use crate::binaries::Binaries;
use crate::cancel::Cancel;
use crate::command::{Command, CommandError, End};

/// The data directory was not recovered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecoverError {
    /// `postgres` could not be started.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// `postgres --single` failed, or was ended because the task was cancelled.
    #[error("recover in single-user mode: it {end}")]
    Failed {
        /// How it ended.
        end: End,
    },
}

/// Recovers the data directory of a server that has crashed (supervision contract, section
/// 15.2): ready WAL is archived, archive marks and recovery settings are removed, and
/// `postgres --single` runs with the options of the last start until its empty input ends.
///
/// The server must not run. Must not be dropped half way; raise `cancel` instead.
///
/// # Errors
/// See [`RecoverError`]; logged here with what `postgres` wrote.
pub async fn recover(
    settings: &Postgresql,
    binaries: &Binaries,
    cancel: &Cancel,
) -> Result<(), RecoverError> {
    archive::archive_ready(settings, binaries, cancel).await;
    archive::clean_status(&settings.data_dir);
    for name in ["recovery.conf", "standby.signal", "recovery.signal"] {
        remove(&settings.data_dir.join(name));
    }
    let outcome = command(settings, binaries, &ARCHIVE_LATER)
        .capture()
        .run(cancel)
        .await?;
    if outcome.is_success() {
        return Ok(());
    }
    tracing::error!("Crash recovery finished with code={}", outcome.end.code());
    tracing::error!(" stdout={}", outcome.stdout_text());
    tracing::error!(" stderr={}", outcome.stderr_text());
    Err(RecoverError::Failed { end: outcome.end })
}

/// New WAL is marked for the archive and left to the server that runs next.
const ARCHIVE_LATER: [(&str, &str); 2] = [("archive_mode", "on"), ("archive_command", "false")];

/// `postgres --single` with the options of the last start, changed by `own`.
pub(crate) fn command(settings: &Postgresql, binaries: &Binaries, own: &[(&str, &str)]) -> Command {
    let mut options = match fs::read_to_string(settings.data_dir.join("postmaster.opts")) {
        Ok(text) => last_options(&text),
        Err(error) => {
            tracing::error!("Error when reading postmaster.opts: {error}");
            BTreeMap::new()
        }
    };
    let own = own
        .iter()
        .map(|(name, given)| ((*name).to_owned(), (*given).to_owned()));
    options.extend(own);
    let mut command = Command::new(binaries.binary("postgres"))
        .args(["--single", "-D"])
        .arg(&settings.data_dir);
    for (name, given) in options {
        command = command.arg("-c").arg(format!("{name}={given}"));
    }
    command.arg("template1")
}

/// The items `"--name=value"` of `postmaster.opts`. Each item after the program is in double
/// quotes and nothing is escaped, so `" "` between two items is the only separator.
fn last_options(text: &str) -> BTreeMap<String, String> {
    let text = text.trim_end_matches('\n');
    let Some((_program, items)) = text.split_once(" \"") else {
        return BTreeMap::new();
    };
    items
        .strip_suffix('"')
        .unwrap_or(items)
        .split("\" \"")
        .filter_map(|item| item.strip_prefix("--")?.split_once('='))
        .map(|(name, given)| (name.to_owned(), given.to_owned()))
        .collect()
}

/// Removes a file that may be absent; a failure is logged.
pub(crate) fn remove(path: &Path) {
    if let Err(error) = fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::error!("Unable to remove {}: {error}", path.display());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_of_the_last_start_are_kept_in_order_of_names() {
        let dir = tempfile::tempdir().unwrap();
        let text = "/usr/bin/postgres \"-D\" \"/my data\" \"--config-file=/c/p.conf\" \
                    \"--port=5433\" \"--cluster_name=a \"b\" c\" \"--archive_mode=off\"\n";
        fs::write(dir.path().join("postmaster.opts"), text).unwrap();
        let settings = Postgresql {
            data_dir: dir.path().to_owned(),
            ..Postgresql::default()
        };
        assert_eq!(
            command(&settings, &Binaries::default(), &ARCHIVE_LATER).argv(),
            format!(
                "postgres --single -D {} -c archive_command=false -c archive_mode=on \
                 -c 'cluster_name=a \"b\" c' -c config-file=/c/p.conf -c port=5433 template1",
                dir.path().display()
            )
        );
    }
}
