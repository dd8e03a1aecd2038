//! A timeline number for data that share theirs with another timeline.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use patroni_config::file::Postgresql;

use crate::archive;
use crate::binaries::Binaries;
use crate::cancel::Cancel;
use crate::single_user;
use patroni_core::Causes;

/// The data directory after it went on to the next timeline.
#[derive(Debug)]
pub(super) struct Aside {
    /// WAL files of that timeline, and when each was written.
    written: Vec<(PathBuf, SystemTime)>,
}

/// Nothing is fetched and nothing handed out: the number must not be seen outside. From version 17
/// on single-user mode ends at once when a recovery from the archive is to let clients read.
const ALONE: [(&str, &str); 8] = [
    ("archive_mode", "off"),
    ("hot_standby", "off"),
    ("primary_conninfo", ""),
    ("primary_slot_name", ""),
    ("recovery_target_action", "promote"),
    ("recovery_target_timeline", "current"),
    ("restore_command", "false"),
    ("synchronous_standby_names", ""),
];

impl Aside {
    /// Ends the recovery of the stopped server in single-user mode, which takes the next free
    /// timeline number: no client can connect, nothing is streamed or archived. `None` when it
    /// fails, with the reason in the log; the data are then as usable as before.
    ///
    /// Before 12 there is no signal file to ask for it, and such data need a new copy.
    pub(super) async fn step(
        settings: &Postgresql,
        binaries: &Binaries,
        version: u32,
        cancel: &Cancel,
    ) -> Option<Self> {
        let dir = &settings.data_dir;
        if version < 120_000 {
            tracing::error!("cannot rewind to a timeline of the same number before version 12");
            return None;
        }
        single_user::remove(&dir.join("standby.signal"));
        let signal = dir.join("recovery.signal");
        if let Err(error) = fs::write(&signal, "") {
            tracing::error!("cannot write {}: {error}", signal.display());
            return None;
        }
        tracing::info!("giving the data a timeline number of their own before the rewind");
        let outcome = single_user::command(settings, binaries, &ALONE)
            .capture()
            .run(cancel)
            .await;
        single_user::remove(&signal);
        match outcome {
            Ok(outcome) if outcome.is_success() => Some(Self {
                written: newest_timeline(&archive::wal_dir(dir)),
            }),
            Ok(outcome) => {
                tracing::error!(
                    "postgres --single {}: {}",
                    outcome.end,
                    outcome.stderr_text()
                );
                None
            }
            Err(error) => {
                tracing::error!("cannot run postgres --single: {}", Causes(&error));
                None
            }
        }
    }

    /// Removes what `pg_rewind` left of that timeline. A file that it took over from the leader
    /// under the same name was written again, and stays.
    pub(super) fn clean(self) {
        for (path, then) in self.written {
            let unchanged = fs::metadata(&path).and_then(|found| found.modified());
            if unchanged.is_ok_and(|now| now == then) {
                single_user::remove(&path);
            }
        }
    }
}

/// All files whose names begin with the highest timeline number.
fn newest_timeline(wal_dir: &Path) -> Vec<(PathBuf, SystemTime)> {
    let entries = fs::read_dir(wal_dir).into_iter().flatten().flatten();
    let files: Vec<(String, PathBuf, SystemTime)> = entries
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let timeline = name.get(..8)?;
            let is_wal = timeline.bytes().all(|byte| byte.is_ascii_hexdigit());
            let written = entry.metadata().ok()?.modified().ok()?;
            is_wal.then(|| (timeline.to_owned(), entry.path(), written))
        })
        .collect();
    let newest = files.iter().map(|(timeline, ..)| timeline.clone()).max();
    files
        .into_iter()
        .filter(|(timeline, ..)| Some(timeline) == newest.as_ref())
        .map(|(_, path, written)| (path, written))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_of_the_newest_timeline_are_cleaned_and_only_unchanged_ones() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let names = [
            "000000010000000000000003",
            "00000002.history",
            "000000030000000000000004",
            "00000003.history",
        ];
        for name in names {
            fs::write(path(name), name).unwrap();
        }
        fs::create_dir(path("archive_status")).unwrap();
        let aside = Aside {
            written: newest_timeline(dir.path()),
        };
        let later = SystemTime::now() + std::time::Duration::from_secs(5);
        let taken = fs::File::options()
            .write(true)
            .open(path("00000003.history"));
        taken.unwrap().set_modified(later).unwrap();
        aside.clean();
        let left: Vec<bool> = names.iter().map(|name| path(name).exists()).collect();
        assert_eq!(left, [true, true, false, true]);
    }
}
