//! Behaviours of the core as files: what happens to a node, and everything that can be seen of it.
//!
//! One behaviour per file in `cases/`, named after it. A line that begins in the first column is
//! something that happens (see [`script`]); the indented lines below a `cycle` or a `job` are what
//! was said, `>` asked for, `!` refused and `=` decided, with the row of the decision tables that
//! spoke. `cargo xtask bless` writes the indented
//! lines anew; a person reads the difference.

#[path = "../support/mod.rs"]
mod support;

mod patch;
mod script;
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use patroni_ha::Rule;

/// Set by `cargo xtask bless`.
const BLESS: &str = "PATRONI_BLESS";

fn cases() -> BTreeMap<String, PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts/cases");
    let files = std::fs::read_dir(&dir).expect("the folder of cases");
    let files = files.map(|entry| entry.expect("an entry of the folder").path());
    let named = files.map(|path| {
        let name = path.file_stem().expect("a file name").to_string_lossy();
        (name.into_owned(), path.clone())
    });
    named.collect()
}

#[test]
fn every_behaviour_is_as_written_down() {
    let mut differing = Vec::new();
    for (name, path) in cases() {
        let written = std::fs::read_to_string(&path).expect("a readable case");
        let played = script::play(&name, &written);
        differing.extend(compare_or_bless(&name, &path, &played.text));
    }
    assert!(
        differing.is_empty(),
        "{}\nif that is as it should be: cargo xtask bless",
        differing.join("\n")
    );
}

/// Every row is shown by some case, but for the one that only a fault of ours could reach (I), and tasks (J).
#[test]
fn every_row_of_the_decision_tables_speaks() {
    // A silent store (A1) asks for nothing by itself; one of the rows D decides.
    let mut spoke = BTreeSet::from([Rule::A1, Rule::I, Rule::J]);
    let mut shown: BTreeMap<Rule, Vec<String>> = BTreeMap::new();
    for (name, path) in cases() {
        let written = std::fs::read_to_string(&path).expect("a readable case");
        for rule in script::play(&name, &written).rules {
            spoke.insert(rule);
            shown.entry(rule).or_default().push(name.clone());
        }
    }
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join(table::PLACE);
    let stale = compare_or_bless("decision_table", &place, &table::of(&shown));
    assert_eq!(stale, None, "cargo xtask bless");
    let silent: Vec<_> = Rule::ALL
        .iter()
        .filter(|rule| !spoke.contains(rule))
        .collect();
    assert!(silent.is_empty(), "no case shows: {silent:?}");
}

/// `None` when the file is as it should be, or has just been written so.
fn compare_or_bless(name: &str, path: &Path, text: &str) -> Option<String> {
    let written = std::fs::read_to_string(path).unwrap_or_default();
    if written == text {
        return None;
    }
    if std::env::var_os(BLESS).is_some() {
        std::fs::write(path, text).expect("a writable file");
        return None;
    }
    Some(difference(name, &written, text))
}

/// The first line that differs, with its place.
fn difference(name: &str, written: &str, played: &str) -> String {
    let lines = written.lines().map(Some).chain(std::iter::repeat(None));
    let others = played.lines().map(Some).chain(std::iter::repeat(None));
    let (number, (old, new)) = (1..)
        .zip(lines.zip(others))
        .find(|(_, (old, new))| old != new)
        .expect("the texts differ");
    let end = "(end of the file)";
    format!(
        "{name}:{number}\n  written: {}\n  played:  {}",
        old.unwrap_or(end),
        new.unwrap_or(end)
    )
}
