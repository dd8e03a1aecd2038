//! The program with a stand-in for WAL-E: what it calls, and how it ends.

#![expect(clippy::unwrap_used, reason = "tests may panic")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

const HEADER: &str =
    "name\texpanded_size_bytes\twal_segment_backup_start\twal_segment_offset_backup_start";
const BACKUP: &str = "base\t1000000\t000000010000000000000002\t00000040";

/// A folder with programs `envdir` and `wal-e`; the second does as `list` and `fetch` say.
fn stand_in(list: &str, fetch: &str) -> TempDir {
    let home = tempfile::tempdir().unwrap();
    program(home.path(), "envdir", "shift; exec \"$@\"");
    let calls = home.path().join("calls");
    let body = format!(
        "echo \"$*\" >> {}\ncase \"$*\" in\n*backup-list*) {list} ;;\n*) {fetch} ;;\nesac",
        calls.display()
    );
    program(home.path(), "wal-e", &body);
    home
}

fn program(folder: &Path, name: &str, body: &str) {
    let path = folder.join(name);
    fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn printed(rows: &[&str]) -> String {
    let text = [&[HEADER], rows].concat().join("\n");
    format!("printf '%s\\n' '{text}'")
}

fn run(home: &TempDir, more: &[&str]) -> Output {
    let data = home.path().join("data");
    Command::new(env!("CARGO_BIN_EXE_patroni_wale_restore"))
        .args(["--scope=a", "--role=replica"])
        .arg(format!("--datadir={}", data.display()))
        .arg(format!("--envdir={}", home.path().display()))
        .args(more)
        .env("PATH", format!("{}:/usr/bin:/bin", home.path().display()))
        .output()
        .unwrap()
}

fn calls(home: &TempDir) -> Vec<String> {
    let text = fs::read_to_string(home.path().join("calls")).unwrap_or_default();
    let data = home.path().join("data").display().to_string();
    let lines = text.lines().map(|line| line.replace(&data, "DATA"));
    lines.collect()
}

#[test]
fn a_backup_within_the_limits_is_fetched_and_gets_its_wal_directory() {
    let fetch = "mkdir -p \"$2\" && echo 15 > \"$2/PG_VERSION\"";
    let home = stand_in(&printed(&[BACKUP]), fetch);
    let output = run(&home, &["--connstring="]);
    let log = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{log}");
    assert_eq!(
        calls(&home),
        ["backup-list --detail LATEST", "backup-fetch DATA LATEST"]
    );
    assert!(home.path().join("data/pg_wal").is_dir());
    assert!(
        log.contains(" INFO: Thresholds are OK, using wal-e basebackup: "),
        "{log}"
    );
}

#[test]
fn the_exit_code_says_whether_another_attempt_is_worth_it() {
    let listed = printed(&[BACKUP]);
    let (none, two) = (printed(&[]), printed(&[BACKUP, BACKUP]));
    let nobody = "--connstring=host=127.0.0.1 port=9 connect_timeout=1 user=x dbname=x";
    for (list, fetch, more, code, lists) in [
        ("exit 3", "exit 0", vec!["--connstring="], 1, 2),
        (
            "echo nothing; echo more",
            "exit 0",
            vec!["--connstring="],
            1,
            2,
        ),
        (
            "exit 3",
            "exit 0",
            vec!["--connstring=", "--retries=0"],
            1,
            1,
        ),
        (none.as_str(), "exit 0", vec!["--connstring="], 2, 1),
        (two.as_str(), "exit 0", vec!["--connstring="], 2, 1),
        (listed.as_str(), "exit 7", vec!["--connstring="], 7, 1),
        (
            listed.as_str(),
            "exit 7",
            vec!["--connstring=", "--threshold_megabytes=0"],
            2,
            1,
        ),
        (listed.as_str(), "exit 7", vec![nobody, "--retries=0"], 2, 1),
        (
            listed.as_str(),
            "exit 7",
            vec![nobody, "--retries=0", "--no_leader=1"],
            7,
            1,
        ),
    ] {
        let home = stand_in(list, fetch);
        let output = run(&home, &more);
        let log = String::from_utf8(output.stderr).unwrap();
        assert_eq!(
            output.status.code(),
            Some(code),
            "{list} {fetch} {more:?}: {log}"
        );
        let asked = calls(&home)
            .iter()
            .filter(|call| call.contains("list"))
            .count();
        assert_eq!(asked, lists, "{list} {fetch} {more:?}");
    }
}

/// The calls `wale-envdir-missing` and `wale-usage` of the recordings.
#[test]
fn bad_calls_end_with_2() {
    let program = env!("CARGO_BIN_EXE_patroni_wale_restore");
    let line = "--scope a --datadir /d --connstring= --envdir /nonexistent";
    for args in [line, ""] {
        let output = Command::new(program).args(args.split_whitespace()).output();
        assert_eq!(output.unwrap().status.code(), Some(2), "{args}");
    }
}

#[test]
fn the_role_of_the_instance_is_used_when_asked_for() {
    let home = stand_in("exit 3", "exit 0");
    run(&home, &["--connstring=", "--retries=0", "--use_iam=1"]);
    assert_eq!(
        calls(&home),
        ["--aws-instance-profile backup-list --detail LATEST"]
    );
}
