//! Settings of a server that does not run, as `postgres -C` prints them.

use std::path::PathBuf;
use std::time::Duration;

use patroni_config::file::Postgresql;

use crate::binaries::Binaries;
use crate::cancel::Cancel;
use crate::command::Command;

/// Reading configuration files takes no longer.
const LIMIT: Duration = Duration::from_secs(30);

/// The value of a parameter in the configuration files of the stopped server, without the line
/// end. `None` when `postgres -C` failed (logged).
pub async fn configured(settings: &Postgresql, binaries: &Binaries, name: &str) -> Option<String> {
    let command = Command::new(binaries.binary("postgres"))
        .arg("-D")
        .arg(&settings.data_dir)
        .args(["-C", name])
        .arg(format!("--config-file={}", config_file(settings).display()))
        .capture()
        .deadline(LIMIT);
    let outcome = command.run(&Cancel::new()).await.ok()?;
    if !outcome.is_success() {
        let reason = outcome.stderr_text();
        tracing::error!(
            "Failed to execute {command}: {} {}",
            outcome.end,
            reason.trim()
        );
        return None;
    }
    let text = outcome.stdout_text();
    Some(text.strip_suffix('\n').unwrap_or(&text).to_owned())
}

/// The main configuration file.
pub(crate) fn config_file(settings: &Postgresql) -> PathBuf {
    settings
        .config_dir
        .join(format!("{}.conf", settings.config_base_name))
}
