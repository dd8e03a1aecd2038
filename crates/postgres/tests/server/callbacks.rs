//! Who makes room for whom.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use patroni_core::{Role, Scope};
use patroni_postgres::callbacks::{CallbackEvent, Callbacks};

use crate::support::eventually;

const EVENTS: [CallbackEvent; 5] = [
    CallbackEvent::OnStart,
    CallbackEvent::OnStop,
    CallbackEvent::OnRestart,
    CallbackEvent::OnReload,
    CallbackEvent::OnRoleChange,
];

/// Callbacks that write their arguments down and then last until a file appears.
fn scribes(dir: &Path) -> Callbacks {
    let script = dir.join("script");
    let text = format!(
        "#!/bin/sh\necho $* begins >> {dir}/log\nuntil test -e {dir}/go; do sleep 0.02; done\necho $* ends >> {dir}/log\n",
        dir = dir.display()
    );
    fs::write(&script, text).unwrap();
    fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).unwrap();
    let commands: BTreeMap<String, String> = EVENTS
        .iter()
        .map(|event| (event.to_string(), format!("{} x", script.display())))
        .collect();
    Callbacks::new(commands, Scope::new("s"))
}

fn log(dir: &Path) -> Vec<String> {
    let text = fs::read_to_string(dir.join("log")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

async fn wait_for(dir: &Path, line: &str) {
    eventually(line, || async {
        log(dir).iter().any(|found| found == line)
    })
    .await;
}

#[tokio::test]
async fn only_the_latest_runs_and_the_running_one_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let callbacks = scribes(dir.path());
    assert!(!callbacks.has_run());
    callbacks.run(CallbackEvent::OnStart, Role::Replica);
    wait_for(dir.path(), "x on_start replica s begins").await;
    callbacks.run(CallbackEvent::OnRestart, Role::Replica);
    callbacks.run(CallbackEvent::OnRoleChange, Role::Promoted);
    wait_for(dir.path(), "x on_role_change primary s begins").await;
    fs::write(dir.path().join("go"), "").unwrap();
    wait_for(dir.path(), "x on_role_change primary s ends").await;
    assert_eq!(
        log(dir.path()),
        [
            "x on_start replica s begins",
            "x on_role_change primary s begins",
            "x on_role_change primary s ends",
        ]
    );
    assert!(callbacks.has_run());
}

#[tokio::test]
async fn a_reload_has_a_place_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let callbacks = scribes(dir.path());
    callbacks.run(CallbackEvent::OnReload, Role::Replica);
    wait_for(dir.path(), "x on_reload replica s begins").await;
    assert!(!callbacks.has_run());
    callbacks.run(CallbackEvent::OnStart, Role::Replica);
    wait_for(dir.path(), "x on_start replica s begins").await;
    callbacks.run(CallbackEvent::OnReload, Role::Primary);
    wait_for(dir.path(), "x on_reload primary s begins").await;
    fs::write(dir.path().join("go"), "").unwrap();
    wait_for(dir.path(), "x on_reload primary s ends").await;
    wait_for(dir.path(), "x on_start replica s ends").await;
    let lines = log(dir.path());
    assert!(!lines.contains(&"x on_reload replica s ends".to_owned()));
}

#[tokio::test]
async fn what_was_started_outlives_us_and_what_is_broken_harms_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let mut callbacks = scribes(dir.path());
    callbacks.run(CallbackEvent::OnStop, Role::Demoted);
    callbacks.started().await;
    callbacks.reconfigure(BTreeMap::from([(
        "on_reload".to_owned(),
        "'unfinished".to_owned(),
    )]));
    callbacks.run(CallbackEvent::OnReload, Role::Replica);
    callbacks.started().await;
    drop(callbacks);
    fs::write(dir.path().join("go"), "").unwrap();
    wait_for(dir.path(), "x on_stop demoted s ends").await;
}
