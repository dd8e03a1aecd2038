//! Replays recorded runs of the reference's tool in memory: same store, same answers of members,
//! same input; output and exit code must be the same, byte for byte.
//!
//! The fixtures in `tests/golden` are made of the recordings: one file per stage, each run with
//! the state of the store that its tables show. Positions are masked on both sides; where the
//! reference prints a trace, only the code and that something is said are compared. Not replayed,
//! 20 of 522 runs: statements that need a server (12), settings that are wrong before any command
//! runs (3, tested in `settings.rs`), the store switched off (2, our text), one diff that a pager
//! writes to a real terminal, and two runs whose progress lines depend on timing
//! (`cluster_role.rs` here tells that story in its own words).
#![expect(clippy::unwrap_used, reason = "a fixture that is broken ends the test")]

mod cluster_role;
mod dcs;
mod doctor;
mod dry_run;
mod editing;
mod fixture;
mod members;
mod query;
mod reinit;
mod top;
mod world;

use std::collections::BTreeSet;
use std::path::PathBuf;

use fixture::{Run, Stage};
use patroni_ctl::{Global, Surroundings};
use world::{Desk, Fake};

const STAGES: [&str; 34] = [
    "s00-no-cluster",
    "s01-bootstrap",
    "s02-single-leader",
    "s03-creating-replica",
    "s04-steady-async",
    "s06-tags",
    "s07-tags-nostream",
    "s07b-watchdog-required",
    "s07c-lag",
    "s08-sync",
    "s09-quorum",
    "s10-sync-two",
    "s11-switchover",
    "s12-scheduled-switchover",
    "s13-restart",
    "s14-reload-pending",
    "s15-pause",
    "s16-pause-replica-stopped",
    "s17-pause-leader-stopped",
    "s17b-state-unknown",
    "s18-failover",
    "s19-reinit",
    "s20-leader-killed",
    "s20b-leader-killed-after",
    "s21-failsafe-on",
    "s24-no-leader",
    "s24b-no-leader-paused",
    "s25-leader-again",
    "s26-standby-cluster",
    "s27-promote-demote-cluster",
    "s28-remove",
    "s29-auth",
    "s32-tls",
    "s33-mpp-list",
];

#[test]
fn recorded_runs_come_out_the_same() {
    let mut wrong = Vec::new();
    let mut total = 0;
    for name in STAGES {
        let stage = Stage::read(name);
        let folder = scripts();
        let mut fake = Fake::default();
        for (index, run) in stage.runs.iter().enumerate() {
            total += 1;
            if let Err(difference) = replay(&stage, run, &mut fake, &folder) {
                let line = run.argv.join(" ");
                wrong.push(format!("=== {name} {index}: {line}\n{difference}"));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {total} runs differ\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert_eq!(total, 502);
}

/// The editors of the recordings.
fn scripts() -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [
        (
            "ed.sh",
            "#!/bin/sh\nsed -i 's/loop_wait: 2/loop_wait: 3/' \"$1\"\n",
        ),
        ("ed2.sh", "#!/bin/sh\nexit 3\n"),
        ("ed3.sh", "#!/bin/sh\necho 'a: [' > \"$1\"\n"),
    ] {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    folder
}

fn replay(
    stage: &Stage,
    run: &Run,
    fake: &mut Fake,
    folder: &tempfile::TempDir,
) -> Result<(), String> {
    let (code, out, err) = execute(stage, run, fake, folder);
    let mut differences = Vec::new();
    if code != run.exit {
        differences.push(format!("exit {code}, expected {}", run.exit));
    }
    if let Some(help) = &run.help {
        differences.extend(missing_in_help(&out, help));
    } else if run.typed.is_some() {
        let both = format!("{out}{err}").replace('\r', "");
        let expected = run.stdout.replace('\r', "");
        differences.extend(unequal("terminal", &both, &expected));
    } else {
        differences.extend(unequal("stdout", &out, &run.stdout));
        if run.stderr_free {
            if err.is_empty() {
                differences.push("nothing on stderr".to_owned());
            }
        } else {
            differences.extend(unequal("stderr", &err, &run.stderr));
        }
    }
    if differences.is_empty() {
        Ok(())
    } else {
        Err(differences.join("\n"))
    }
}

fn unequal(stream: &str, found: &str, expected: &str) -> Option<String> {
    let (found, expected) = (masked(found), masked(expected));
    (found != expected).then(|| format!("{stream} is\n{found}\nexpected\n{expected}"))
}

/// Every option of the reference is in our help.
fn missing_in_help(text: &str, help: &fixture::Help) -> Vec<String> {
    let words: BTreeSet<&str> = text
        .split(|c: char| c.is_whitespace() || matches!(c, ',' | '[' | ']' | '<' | '>' | '='))
        .collect();
    help.options
        .iter()
        .flat_map(|option| option.split([' ', ',']))
        .filter(|word| word.starts_with('-'))
        .chain(help.commands.iter().map(String::as_str))
        .filter(|word| !words.contains(word))
        .map(|word| format!("{word} is not in the help"))
        .collect()
}

/// Positions as `L/LLLLLLL`.
fn masked(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('/') {
        let digits: String = rest[at + 1..]
            .chars()
            .take_while(|c| c.is_ascii_digit() || ('A'..='F').contains(c))
            .collect();
        let high = rest[..at].chars().last().filter(char::is_ascii_hexdigit);
        if high.is_some() && (7..=8).contains(&digits.len()) {
            out.push_str(&rest[..at - 1]);
            out.push_str("L/");
            out.push_str(&"L".repeat(digits.len()));
        } else {
            out.push_str(&rest[..=at]);
            out.push_str(&digits);
        }
        rest = &rest[at + 1 + digits.len()..];
    }
    out + rest
}

fn execute(
    stage: &Stage,
    run: &Run,
    fake: &mut Fake,
    folder: &tempfile::TempDir,
) -> (u8, String, String) {
    fake.prepare(stage, run);
    let desk = Desk::new(
        run.stdin.as_deref().or(run.typed.as_deref()),
        run.typed.is_some(),
    );
    let base = folder.path().display().to_string();
    let mut environment: patroni_ctl::Environment = run
        .env
        .iter()
        .map(|(name, value)| (name.clone(), value.replace("/BASE", &base)))
        .collect();
    environment
        .entry("PATH".to_owned())
        .or_insert_with(|| "/usr/bin:/bin".to_owned());
    let settings = run.settings();
    let surroundings = Surroundings {
        environment,
        settings: Box::new(move |_: &Global, _: &patroni_ctl::Environment| Ok(settings)),
        world: fake.world(),
        console: Box::new(desk.clone()),
        clock: fake.clock(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let interrupt = fake.interrupt();
    let code = runtime.block_on(patroni_ctl::run(&run.argv, surroundings, interrupt));
    let (out, err) = desk.text();
    (code, out, err)
}

#[test]
fn all_stages_are_there() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let files = std::fs::read_dir(folder).unwrap().count();
    assert_eq!(files, STAGES.len());
}
