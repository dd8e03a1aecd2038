//! The whole way from an event to a file.

use std::path::Path;
use std::time::Duration;

use patroni_telemetry::{FileSettings, Format, Level, LogSettings, Telemetry};
use serde_json::json;

const SOON: Duration = Duration::from_secs(10);

fn settings(dir: &Path, level: Level) -> LogSettings {
    LogSettings {
        level,
        format: Format::read(None, Some(&json!("%(levelname)s: %(message)s"))).0,
        file: Some(FileSettings::new(dir)),
        ..LogSettings::default()
    }
}

fn read(dir: &Path) -> String {
    std::fs::read_to_string(dir.join("patroni.log")).unwrap_or_default()
}

#[test]
fn levels_forms_and_places_change_live() {
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let log = Telemetry::build(&settings(first.path(), Level::Warning)).unwrap();
    tracing::dispatcher::with_default(&log.dispatch, || {
        let say = |text: &str| {
            tracing::info!(target: "patroni_ha", "{text}");
            tracing::error!(target: "patroni_ha", critical = true, lag = 7, "{text}!");
        };
        say("one");
        log.handle.start_writer().unwrap();
        log.handle.start_writer().unwrap();
        log.handle
            .reload(&settings(second.path(), Level::Info))
            .unwrap();
        say("two");
        assert!(log.handle.flush(SOON));
        let mut broken = settings(second.path(), Level::Debug);
        broken.file = Some(FileSettings::new("/nowhere/at/all"));
        assert!(log.handle.reload(&broken).is_err());
        tracing::debug!(target: "patroni_ha", "still not written");
        let error = std::io::Error::other("why");
        tracing::error!(target: "patroni_ha", error = &error as &dyn std::error::Error, "failed");
        assert!(log.handle.flush(SOON));
    });
    assert_eq!(read(first.path()), "CRITICAL: one!\n");
    assert_eq!(
        read(second.path()),
        "INFO: two\nCRITICAL: two!\nERROR: failed\nwhy\n"
    );
    assert_eq!(log.handle.queue_state().waiting, 0);
}

#[test]
fn the_last_owner_line_is_not_lost() {
    let dir = tempfile::tempdir().unwrap();
    let log = Telemetry::build(&settings(dir.path(), Level::Info)).unwrap();
    tracing::dispatcher::with_default(&log.dispatch, || {
        tracing::info!(target: "patroni_node", "Lock owner: a; I am a");
        assert_eq!(read(dir.path()), "");
        log.handle.flush(SOON);
    });
    assert_eq!(read(dir.path()), "INFO: Lock owner: a; I am a\n");
}
