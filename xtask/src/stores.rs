//! `cargo xtask test stores`: one suite of promises, kept by every store, and what becomes of a
//! cluster when its store fails.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Stdio;

use anyhow::{Result, ensure};

use crate::cargo::{cargo, cargo_command};
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

/// Prints both tables, of every store that is at hand.
///
/// # Errors
/// A promise is broken, a cluster does not live through a fault, or the tests do not run.
pub(crate) fn tables() -> Result<()> {
    needs::tell_of_kubernetes();
    needs::want_servers();
    promises()?;
    faults()
}

/// Breaks the server under a cluster in each way, and prints how long it took afterwards.
fn faults() -> Result<()> {
    cargo(&["build", "--workspace", "--bins"])?;
    let mut args = vec![
        "test",
        "--workspace",
        "--no-fail-fast",
        "--test",
        "blackbox",
    ];
    args.extend(["--", "--nocapture", "--test-threads", "3", "store_faults::"]);
    let output = cargo_command(&args).output()?;
    let text = String::from_utf8_lossy(&output.stderr);
    say!("seconds from the end of a fault to a whole cluster:\n");
    say!("{}", draw_faults(&text));
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(
        output.status.success(),
        "not every cluster lives through the faults of its store:\n{said}{text}"
    );
    Ok(())
}

/// `store-fault STORE FAULT: SECONDS s`, in whichever order they come.
fn draw_faults(text: &str) -> String {
    let told = text.lines().filter_map(|line| {
        let (_, told) = line.split_once("store-fault ")?;
        let (what, took) = told.split_once(": ")?;
        let (store, fault) = what.split_once(' ')?;
        Some(((fault, store), took.trim_end_matches(" s")))
    });
    let cells: BTreeMap<(&str, &str), &str> = told.collect();
    let stores: BTreeSet<&str> = cells.keys().map(|(_, store)| *store).collect();
    let faults: BTreeSet<&str> = cells.keys().map(|(fault, _)| *fault).collect();
    let stores: Vec<&str> = stores.into_iter().collect();
    let mut table = row("fault", &stores) + &row("---", &vec!["---"; stores.len()]);
    for fault in faults {
        let of = |store: &&str| cells.get(&(fault, *store)).copied().unwrap_or("-");
        table += &row(fault, &stores.iter().map(of).collect::<Vec<_>>());
    }
    table
}

/// Runs the suite on every store and prints what each keeps.
fn promises() -> Result<()> {
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

fn row(first: &str, cells: &[&str]) -> String {
    format!("| {first} | {} |\n", cells.join(" | "))
}

fn draw(checks: &[&str], results: &Results) -> String {
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
    fn recovery_times_become_a_table() {
        let text = "test a ... store-fault Etcd3 data wiped: 2.1 s\nok\n\
                    store-fault Raft killed: 0.4 s\nstore-fault Raft data wiped: 3.0 s\n";
        let table = draw_faults(text);
        let rows: Vec<&str> = table.lines().skip(2).collect();
        assert_eq!(rows, ["| data wiped | 2.1 | 3.0 |", "| killed | - | 0.4 |"]);
    }

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
