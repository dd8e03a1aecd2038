//! Archiving WAL of a stopped server, and fetching WAL from the archive.

use std::fs;
use std::io;
use std::path::Path;

use patroni_config::file::Postgresql;

use crate::binaries::Binaries;
use crate::cancel::Cancel;
use crate::command::{Command, CommandError};
use crate::configured::configured;

/// What `%r` stands for: nothing is known of the restart point of a stopped server, and the
/// first file is the value that deletes nothing.
const RESTART_FILE: &str = "000000010000000000000001";

/// Archives every WAL file that the server had marked as ready but not archived before it went
/// away, since `pg_rewind` and a crash recovery may remove it. Does nothing unless archiving is
/// configured; a file that cannot be archived is logged and skipped.
///
/// Must not be dropped half way; raise `cancel` instead.
pub async fn archive_ready(settings: &Postgresql, binaries: &Binaries, cancel: &Cancel) {
    let Some(template) = archive_command(settings, binaries).await else {
        return;
    };
    let wal_dir = wal_dir(&settings.data_dir);
    let status_dir = wal_dir.join("archive_status");
    for wal in ready(&status_dir) {
        let path = wal_dir.join(&wal);
        if !path.exists() {
            continue;
        }
        if cancel.is_cancelled() {
            return;
        }
        let text = substitute(&template, &path.to_string_lossy(), &wal);
        tracing::info!("Trying to archive {wal}: {text}");
        let is_archived = Command::shell(&text)
            .run(cancel)
            .await
            .is_ok_and(|outcome| outcome.is_success());
        if !is_archived {
            tracing::info!("Failed to archive WAL segment {wal}");
            continue;
        }
        let (from, to) = (
            status_dir.join(format!("{wal}.ready")),
            status_dir.join(format!("{wal}.done")),
        );
        if let Err(error) = fs::rename(&from, &to) {
            tracing::error!(
                "Unable to rename {} to {}: {error}",
                from.display(),
                to.display()
            );
        }
    }
}

/// Archives one WAL file: the one with the shutdown checkpoint, before a cluster becomes a
/// standby of another. `wal` is the name in the control file, when it could be read. Returns
/// whether it was archived.
///
/// Must not be dropped half way; raise `cancel` instead.
pub async fn archive_shutdown_checkpoint(
    settings: &Postgresql,
    binaries: &Binaries,
    wal: Option<&str>,
    cancel: &Cancel,
) -> bool {
    let Some(template) = archive_command(settings, binaries).await else {
        return false;
    };
    let Some(wal) = wal.filter(|name| is_segment(name)) else {
        tracing::error!("Cannot extract latest checkpoint's WAL file name");
        return false;
    };
    let path = wal_dir(&settings.data_dir).join(wal);
    let text = substitute(&template, &path.to_string_lossy(), wal);
    tracing::info!("Trying to archive {wal}: {text}");
    let is_archived = Command::shell(&text)
        .run(cancel)
        .await
        .is_ok_and(|outcome| outcome.is_success());
    if !is_archived {
        tracing::error!("Failed to archive WAL file with the shutdown checkpoint");
    }
    is_archived
}

/// Says which WAL a former primary takes with it into its life as a standby, where nothing
/// archives it any more and the next restart points remove it. Source: `XLogArchiveCheckDone`.
pub(crate) fn tell_of_gap(data_dir: &Path) {
    let wal_dir = wal_dir(data_dir);
    let status_dir = wal_dir.join("archive_status");
    if !status_dir.exists() {
        return;
    }
    let waiting = ready(&status_dir);
    if let (Some(first), Some(last)) = (waiting.first(), waiting.last()) {
        tracing::warn!(
            "{} WAL files ({first} to {last}) were not archived while this server was primary, and \
             as a standby it does not archive them (archive_mode is on): copy them from {} to the \
             archive soon, or take a new base backup, because the archive has a gap there",
            waiting.len(),
            wal_dir.display()
        );
    }
}

/// The command that fetches one WAL file, run without a shell: the template is split first, so
/// that no path is split or interpreted.
pub(crate) fn restore(template: &str, data_dir: &Path, wal: &str) -> Result<Command, CommandError> {
    let path = wal_dir(data_dir).join(wal);
    Command::parse(template)
        .map(|command| command.map_words(|word| substitute(word, &path.to_string_lossy(), wal)))
}

/// Removes every mark of `archive_status`, so that the server after us archives nothing twice
/// and nothing that a rewind has made invalid.
pub(crate) fn clean_status(data_dir: &Path) {
    let dir = wal_dir(data_dir).join("archive_status");
    let entries = match fs::read_dir(&dir) {
        Ok(entries) => entries,
        Err(error) => {
            tracing::error!("Unable to list {}: {error}", dir.display());
            return;
        }
    };
    for entry in entries.flatten() {
        let is_file = entry.file_type().is_ok_and(|kind| !kind.is_dir());
        if is_file && let Err(error) = fs::remove_file(entry.path()) {
            tracing::error!("Unable to remove {}: {error}", entry.path().display());
        }
    }
}

/// `pg_wal`, or `pg_xlog` before version 10.
pub(crate) fn wal_dir(data_dir: &Path) -> std::path::PathBuf {
    let old = data_dir.join("pg_xlog");
    if old.exists() {
        old
    } else {
        data_dir.join("pg_wal")
    }
}

/// Whether archiving is on and has a command.
pub(crate) async fn is_configured(settings: &Postgresql, binaries: &Binaries) -> bool {
    archive_command(settings, binaries).await.is_some()
}

/// The configured command, when archiving is on.
async fn archive_command(settings: &Postgresql, binaries: &Binaries) -> Option<String> {
    let mode = configured(settings, binaries, "archive_mode").await?;
    if !matches!(mode.as_str(), "on" | "always") {
        return None;
    }
    configured(settings, binaries, "archive_command")
        .await
        .filter(|command| !command.is_empty())
}

/// WAL files with a `.ready` mark, in order.
fn ready(status_dir: &Path) -> Vec<String> {
    let listed = fs::read_dir(status_dir).and_then(|entries| {
        entries
            .map(|entry| entry.map(|entry| entry.file_name()))
            .collect::<io::Result<Vec<_>>>()
    });
    let names = listed.unwrap_or_else(|error| {
        tracing::error!("Unable to list {}: {error}", status_dir.display());
        Vec::new()
    });
    let mut ready: Vec<String> = names
        .iter()
        .filter_map(|name| name.to_str()?.strip_suffix(".ready"))
        .filter(|wal| is_segment(wal.strip_suffix(".partial").unwrap_or(wal)))
        .map(str::to_owned)
        .collect();
    ready.sort();
    ready
}

/// Whether a name is that of a WAL file: 24 upper-case hexadecimal digits.
pub(crate) fn is_segment(name: &str) -> bool {
    let digit = |byte: u8| byte.is_ascii_digit() || (b'A'..=b'F').contains(&byte);
    name.len() == 24 && name.bytes().all(digit)
}

/// Replaces `%p %f %r %%`; other letters after `%` stay as they are.
fn substitute(template: &str, path: &str, wal: &str) -> String {
    let mut text = String::new();
    let mut letters = template.chars();
    while let Some(letter) = letters.next() {
        if letter != '%' {
            text.push(letter);
            continue;
        }
        match letters.next() {
            Some('p') => text.push_str(path),
            Some('f') => text.push_str(wal),
            Some('r') => text.push_str(RESTART_FILE),
            Some('%') | None => text.push('%'),
            Some(other) => text.extend(['%', other]),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_replaced() {
        assert_eq!(
            substitute("cp %p '/a/%f' %r %% %x %", "/d/pg_wal/W", "W"),
            format!("cp /d/pg_wal/W '/a/W' {RESTART_FILE} % %x %")
        );
    }

    #[test]
    fn restoring_never_splits_a_path() {
        let command = restore("cp /a/%f \"%p\" x%%", Path::new("/my data"), "W").unwrap();
        assert_eq!(command.argv(), "cp /a/W '/my data/pg_wal/W' x%");
    }

    #[test]
    fn only_segments_are_ready() {
        let dir = tempfile::tempdir().unwrap();
        for name in [
            "00000002000000000000000A.ready",
            "000000010000000000000009.partial.ready",
            "00000001000000000000000B.done",
            "00000001000000000000000b.ready",
            "00000002.history.ready",
            "x.ready",
        ] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        assert_eq!(
            ready(dir.path()),
            [
                "000000010000000000000009.partial",
                "00000002000000000000000A"
            ]
        );
    }
}
