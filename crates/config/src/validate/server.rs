//! Checks of the PostgreSQL server's directories and programs.

use std::path::{Path, PathBuf};

use patroni_core::value;
use serde_json::Value;

use super::engine::Report;
use super::probe::PathKind;

/// The programs that must be there.
const PROGRAMS: [&str; 6] = [
    "pg_ctl",
    "initdb",
    "pg_controldata",
    "pg_basebackup",
    "postgres",
    "pg_isready",
];

/// Nothing there yet, or the data of a server of the same version.
pub(super) fn data_dir(report: &mut Report<'_>, path: &str, given: &Value) {
    let Value::String(text) = given else {
        return report.line(path, &value::text(given), "is not a string");
    };
    if text.is_empty() {
        return report.refuse(path, given, "is an empty string");
    }
    let directory = Path::new(text);
    match report.probe.kind(directory) {
        PathKind::Absent => return,
        PathKind::Other => return report.refuse(path, given, "is not a directory"),
        PathKind::Directory => {}
    }
    let names = report.probe.names(directory);
    // A file system of its own comes with the second one.
    let is_nothing = |name: &String| name.starts_with('.') || name == "lost+found";
    if names.iter().all(is_nothing) {
        return;
    }
    let Some(version) = report.probe.text(&directory.join("PG_VERSION")) else {
        return report.refuse(path, given, "doesn't look like a valid data directory");
    };
    let version = version.trim();
    let before_10 = version.contains('.');
    let wal = if before_10 { "pg_xlog" } else { "pg_wal" };
    if report.probe.kind(&directory.join(wal)) != PathKind::Directory {
        let message = format!(
            "data dir for the cluster is not empty, but doesn't contain \"{wal}\" directory"
        );
        return report.refuse(path, given, &message);
    }
    let program = program_name(report, "postgres");
    let directory = bin_directory(report);
    let printed = report.probe.version(directory.as_deref(), &program);
    let Some(major) = printed.as_deref().and_then(|line| major(line, before_10)) else {
        return;
    };
    if major != version {
        let message = format!(
            "data_dir directory postgresql version ({version}) doesn't match with 'postgres --version' output ({major})"
        );
        report.refuse(path, given, &message);
    }
}

/// Every program under its name of `bin_name`. A key without a value is left alone.
pub(super) fn bin_dir(report: &mut Report<'_>, path: &str, given: &Value) {
    if given.is_null() {
        return;
    }
    let Value::String(text) = given else {
        return report.line(path, &value::text(given), "is not a string");
    };
    let kind = report.probe.kind(Path::new(text));
    if !text.is_empty() && kind == PathKind::Absent {
        return report.line(path, "", &format!("Directory '{text}' does not exist."));
    }
    if !text.is_empty() && kind == PathKind::Other {
        return report.line(path, "", &format!("'{text}' is not a directory."));
    }
    for program in PROGRAMS {
        if let Some(message) = missing(report, &program_name(report, program)) {
            report.line(path, "", &message);
        }
    }
}

/// Another name of a program.
pub(super) fn bin_name(report: &mut Report<'_>, path: &str, given: &Value) {
    let Value::String(name) = given else {
        return report.line(path, &value::text(given), "is not a string");
    };
    if let Some(message) = missing(report, name) {
        report.refuse(path, given, &message);
    }
}

fn missing(report: &Report<'_>, program: &str) -> Option<String> {
    let directory = bin_directory(report);
    if report.probe.has_program(directory.as_deref(), program) {
        return None;
    }
    let place = directory.map_or("$PATH".to_owned(), |directory| {
        directory.display().to_string()
    });
    Some(format!("does not contain '{program}' in '{place}'"))
}

fn bin_directory(report: &Report<'_>) -> Option<PathBuf> {
    let directory = report
        .settings
        .get("postgresql")?
        .get("bin_dir")?
        .as_str()?;
    (!directory.is_empty()).then(|| PathBuf::from(directory))
}

fn program_name(report: &Report<'_>, program: &str) -> String {
    let names = report
        .settings
        .get("postgresql")
        .and_then(|section| section.get("bin_name"));
    let name = names
        .and_then(|names| names.get(program))
        .and_then(Value::as_str);
    name.unwrap_or(program).to_owned()
}

/// `postgres (PostgreSQL) 15.18` is 15, `9.6.24` is 9.6, `16beta1` is 16.
fn major(line: &str, before_10: bool) -> Option<String> {
    let version = line
        .split_whitespace()
        .find(|word| word.starts_with(|c: char| c.is_ascii_digit()))?;
    let mut parts = version.split(|c: char| !c.is_ascii_digit());
    let first = parts.next()?;
    if before_10 || first.parse::<u32>().is_ok_and(|first| first < 10) {
        return Some(format!("{first}.{}", parts.next()?));
    }
    Some(first.to_owned())
}
