//! `cargo xtask test stores`: one suite of promises, kept by every store.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Stdio;

use anyhow::{Result, ensure};

use crate::cargo::cargo_command;
use crate::needs;

/// The columns, as the tests name their stores.
const STORES: [&str; 10] = [
    "memory",
    "etcd",
    "etcd3",
    "consul",
    "zookeeper",
    "exhibitor",
    "kubernetes-configmaps",
    "kubernetes-endpoints",
    "raft",
    "raft-observer",
];

/// The tests of the crate `dcs` that run the suite.
const TESTS: [&str; 7] = [
    "memory",
    "etcd",
    "etcd3",
    "consul",
    "zookeeper",
    "kubernetes",
    "raft",
];

/// What a store made of a promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    Kept,
    Broken,
}

type Results = BTreeMap<(String, String), Word>;

/// Runs the suite on every store that is at hand and prints what each keeps.
///
/// # Errors
/// A promise is broken, or the tests do not run.
pub(crate) fn table() -> Result<()> {
    needs::tell_of_kubernetes();
    needs::want_servers();
    let mut args = vec!["test", "--workspace", "--no-fail-fast"];
    for test in TESTS {
        args.extend(["--test", test]);
    }
    args.extend(["--", "--nocapture", "--test-threads", "1", "all_promises"]);
    let output = cargo_command(&args).stderr(Stdio::inherit()).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let results = read(&text);
    let checks = in_order(&text);
    say!("{}", draw(&checks, &results));
    for store in STORES.iter().filter(|store| !is_there(store, &results)) {
        say!("{store}: not run, its server is not at hand");
    }
    ensure!(
        output.status.success(),
        "not every store keeps its promises:\n{text}"
    );
    Ok(())
}

fn read(text: &str) -> Results {
    let found = lines(text).filter_map(|(store, check, word)| {
        let word = match word {
            "kept" => Word::Kept,
            "broken" => Word::Broken,
            _ => return None,
        };
        Some(((store.to_owned(), check.to_owned()), word))
    });
    found.collect()
}

/// `conformance STORE CHECK WORD`, on a line of its own or behind the name of the test.
fn lines(text: &str) -> impl Iterator<Item = (&str, &str, &str)> {
    text.lines().filter_map(|line| {
        let (_, told) = line.split_once("conformance ")?;
        let mut words = told.split(' ');
        Some((words.next()?, words.next()?, words.next()?))
    })
}

fn in_order(text: &str) -> Vec<&str> {
    let mut seen = BTreeSet::new();
    let checks = lines(text).map(|(_, check, _)| check);
    checks.filter(|check| seen.insert(*check)).collect()
}

fn is_there(store: &str, results: &Results) -> bool {
    results.keys().any(|(there, _)| there == store)
}

fn draw(checks: &[&str], results: &Results) -> String {
    let row = |first: &str, cells: &[&str]| format!("| {first} | {} |\n", cells.join(" | "));
    let mut table = row("promise", &STORES) + &row("---", &STORES.map(|_| "---"));
    for check in checks {
        let cells =
            STORES.map(
                |store| match results.get(&(store.to_owned(), (*check).to_owned())) {
                    Some(Word::Kept) => "kept",
                    Some(Word::Broken) => "BROKEN",
                    None => "-",
                },
            );
        table += &row(&check.replace('_', " "), &cells);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_tests_print_becomes_a_table() {
        let text = "test keeps_all_promises ... conformance etcd one kept\n\
                    conformance etcd two broken\nok\nconformance raft one kept\n";
        let results = read(text);
        assert_eq!(in_order(text), ["one", "two"]);
        assert!(is_there("raft", &results) && !is_there("consul", &results));
        let table = draw(&in_order(text), &results);
        let row = table.lines().last().unwrap();
        assert!(row.starts_with("| two | - | BROKEN | - |"), "{row}");
    }
}
