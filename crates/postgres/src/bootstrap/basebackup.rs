//! The built-in method: `pg_basebackup` straight into the data directory.

use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use super::clone::{CloneRequest, CloneSource};
use crate::cancel::Cancel;
use crate::command::{Command, CommandError, End};
use crate::options::{self, Tool};
use patroni_core::Causes;

/// How often a copy is tried.
const ATTEMPTS: usize = 2;

/// The pause between two attempts.
const PAUSE: Duration = Duration::from_secs(5);

/// Copies the source. Whatever an attempt leaves behind is removed before the next one and after
/// the last; `Ok(false)` means that all failed, or that the task was cancelled.
pub(super) async fn copy(
    request: &CloneRequest<'_>,
    source: &CloneSource,
    lock: &Arc<File>,
    cancel: &Cancel,
) -> bool {
    let command = command(request, source).holding(Arc::clone(lock));
    for attempt in 1..=ATTEMPTS {
        if !request.empty_data_directory().await {
            return false;
        }
        match run(&command, cancel).await {
            Ok(End::Exited(0)) => return true,
            Ok(end) => tracing::error!(
                "Error when fetching backup: pg_basebackup exited with code={}",
                end.code()
            ),
            Err(error) => {
                tracing::error!(
                    "Error when fetching backup with pg_basebackup: {}",
                    Causes(&error)
                );
            }
        }
        if attempt < ATTEMPTS && !cancel.is_cancelled() {
            tracing::warn!("Trying again in 5 seconds");
            tokio::select! {
                () = tokio::time::sleep(PAUSE) => {}
                () = cancel.cancelled() => {}
            }
        }
        if cancel.is_cancelled() {
            break;
        }
    }
    request.empty_data_directory().await;
    false
}

async fn run(command: &Command, cancel: &Cancel) -> Result<End, CommandError> {
    command.run(cancel).await.map(|outcome| outcome.end)
}

/// The command line. Options that are not allowed are logged and left out.
fn command(request: &CloneRequest<'_>, source: &CloneSource) -> Command {
    let tool = Tool::Basebackup {
        version: request.version,
    };
    let (options, refused) = options::arguments(tool, &request.settings.basebackup);
    for reason in refused {
        tracing::error!("{reason}");
    }
    Command::new(request.binaries.binary("pg_basebackup"))
        .arg(format!("--pgdata={}", request.settings.data_dir.display()))
        .args(["-X", "stream"])
        .arg(format!("--dbname={}", source.conninfo))
        .args(options)
        .connecting(request.settings, source.pgpass.as_deref())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binaries::Binaries;
    use crate::bootstrap::clone::tests::Plain;
    use patroni_config::file::Postgresql;
    use serde_json::json;

    #[test]
    fn the_command_line_is_the_one_recorded() {
        let settings = Postgresql {
            data_dir: "/run/t2".into(),
            basebackup: json!(["verbose", {"max-rate": "100M"}, {"checkpoint": "fast"},
                {"format": "t"}, {"compress": "gzip"}, {"compress": "server-gzip"}]),
            ..Postgresql::default()
        };
        let source = CloneSource {
            conninfo: "dbname=postgres user=replicator host=127.0.0.1 port=21551".to_owned(),
            ..CloneSource::default()
        };
        let binaries = Binaries::default();
        let request = CloneRequest {
            settings: &settings,
            binaries: &binaries,
            version: 150_000,
            source: Some(&source),
            methods: &[],
            directory: Plain::new("/run/t2"),
        };
        assert_eq!(
            command(&request, &source).argv(),
            "pg_basebackup --pgdata=/run/t2 -X stream '--dbname=dbname=postgres user=replicator \
             host=127.0.0.1 port=21551' --verbose --max-rate=100M --checkpoint=fast \
             --compress=server-gzip"
        );
    }
}
