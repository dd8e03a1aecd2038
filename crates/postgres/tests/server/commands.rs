//! Cancelling commands.

use std::fs;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::kill;
use nix::unistd::Pid;
use patroni_postgres::Cancel;
use patroni_postgres::command::{Command, End};

use crate::support::eventually;

async fn written(path: &Path) -> i32 {
    eventually("the script has written", || async {
        fs::read_to_string(path).is_ok_and(|text| text.ends_with('\n'))
    })
    .await;
    fs::read_to_string(path).unwrap().trim().parse().unwrap()
}

async fn is_gone(pid: i32) {
    eventually("the process is gone", || async {
        kill(Pid::from_raw(pid), None).is_err()
    })
    .await;
}

/// Starts a script, cancels it once its child runs, and sees both gone.
async fn cancel_script(script: &str) -> Duration {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("child");
    let cancel = Cancel::new();
    let text = script.replace("FILE", file.to_str().unwrap());
    let command = Command::shell(&text);
    let run = command.run(&cancel);
    let mut begun = None;
    let stop = async {
        let child = written(&file).await;
        begun = Some(std::time::Instant::now());
        cancel.cancel();
        child
    };
    let (outcome, child) = tokio::join!(run, stop);
    assert_eq!(outcome.unwrap().end, End::Cancelled);
    is_gone(child).await;
    begun.unwrap().elapsed()
}

#[tokio::test]
async fn cancelling_ends_a_command_with_its_children() {
    let took = cancel_script("sleep 1000 & echo $! > FILE; wait").await;
    assert!(took < Duration::from_secs(8), "{took:?}");
}

#[tokio::test]
async fn who_ignores_the_request_is_killed_after_ten_seconds() {
    let took = cancel_script("trap '' TERM; sleep 1000 & echo $! > FILE; wait").await;
    assert!(took >= Duration::from_secs(10), "{took:?}");
}

#[tokio::test]
async fn a_child_in_another_session_is_found_as_well() {
    cancel_script("trap '' TERM; setsid sh -c 'echo $$ > FILE; exec sleep 1000' & wait").await;
}

#[tokio::test]
async fn dropping_the_future_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("child");
    let text = format!("sleep 1000 & echo $! > {}; wait", file.display());
    let command = Command::shell(&text);
    let cancel = Cancel::new();
    let child = tokio::select! {
        outcome = command.run(&cancel) => panic!("ended: {outcome:?}"),
        child = written(&file) => child,
    };
    is_gone(child).await;
}

#[tokio::test]
async fn our_own_configuration_is_not_inherited() {
    // Cargo sets no such variable; `env` shows what a child sees.
    let outcome = Command::new("env")
        .capture()
        .env("PGPASSFILE", "/x")
        .run(&Cancel::new())
        .await
        .unwrap();
    let text = outcome.stdout_text();
    assert!(text.contains("PGPASSFILE=/x") && !text.contains("PATRONI_"));
}
