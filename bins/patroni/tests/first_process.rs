//! The daemon as the first process of a container.

#![expect(clippy::unwrap_used, reason = "tests may panic")]

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A store that never answers keeps the daemon waiting.
const CONFIG: &str = "
scope: demo
name: node1
etcd3: {host: '127.0.0.1:1'}
restapi: {listen: '127.0.0.1:0'}
postgresql:
  listen: 127.0.0.1:5432
  data_dir: /nonexistent/data
  authentication: {replication: {username: replicator}}
";

#[test]
fn orphans_are_collected_and_signals_reach_the_daemon() {
    if !nix::unistd::geteuid().is_root() {
        return; // only root can make a PID namespace
    }
    let dir = tempfile::tempdir().unwrap();
    let (config, log) = (dir.path().join("patroni.yml"), dir.path().join("log"));
    fs::write(&config, CONFIG).unwrap();
    // The child of a subshell that has ended belongs to process 1, which is the daemon then.
    let script = "(sleep 0.5 &); exec \"$0\" \"$1\"";
    let mut container = Command::new("unshare")
        .args(["--pid", "--fork", "--mount-proc", "sh", "-c", script])
        .arg(env!("CARGO_BIN_EXE_patroni"))
        .arg(&config)
        .stderr(File::create(&log).unwrap())
        .spawn()
        .unwrap();
    wait_for(&log, "Reaped pid=");
    wait_for(&log, "waiting on etcd3");
    kill(first_process(&container), Signal::SIGTERM).unwrap();
    let code = until("the end", || Some(container.try_wait().unwrap()?.code()));
    assert_eq!(code, Some(0));
}

#[test]
fn the_exit_status_of_the_daemon_is_passed_on() {
    if !nix::unistd::geteuid().is_root() {
        return; // only root can make a PID namespace
    }
    let ended = Command::new("unshare")
        .args(["--pid", "--fork", "--mount-proc"])
        .arg(env!("CARGO_BIN_EXE_patroni"))
        .arg("--no-such-option")
        .output()
        .unwrap();
    assert_eq!(ended.status.code(), Some(2), "{ended:?}");
}

fn first_process(container: &Child) -> Pid {
    let id = container.id();
    let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap();
    Pid::from_raw(children.trim().parse().unwrap())
}

fn wait_for(log: &Path, text: &str) {
    until(text, || {
        fs::read_to_string(log)
            .unwrap()
            .contains(text)
            .then_some(())
    });
}

fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        let waited = begun.elapsed();
        assert!(waited < Duration::from_secs(30), "not seen: {what}");
        #[expect(clippy::disallowed_methods, reason = "the test has no runtime")]
        std::thread::sleep(Duration::from_millis(20));
    }
}
