//! The page of the book that says which case shows which row of the decision tables.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use patroni_ha::Rule;

/// Where the page is, from this crate.
pub(crate) const PLACE: &str = "../../docs/src/internals/decision_table.md";

/// More cases than these say nothing new.
const MOST: usize = 4;

/// The page.
pub(crate) fn of(shown: &BTreeMap<Rule, Vec<String>>) -> String {
    let mut page = String::from(
        "# The decision table\n\n\
         The rows by which the core decides, in their order, with the names that the journal and \
         `patronictl explain` give\nthem. Each case is a file in \
         `crates/ha/tests/transcripts/cases` in which the row asks for something or decides.\n\
         `cargo xtask bless` writes this page.\n\n| row | when | shown by |\n|---|---|---|\n",
    );
    for rule in Rule::ALL {
        let cases = match (rule, shown.get(rule)) {
            (Rule::A1, _) => "one of the rows D decides".to_owned(),
            (Rule::I, _) => "unit tests of the invariants".to_owned(),
            (Rule::J, None) => "every case with a `job`".to_owned(),
            (_, cases) => listed(cases.map_or(&[], Vec::as_slice)),
        };
        writeln!(page, "| {} | {} | {cases} |", rule.id(), rule.text()).expect("a string");
    }
    page
}

fn listed(cases: &[String]) -> String {
    let names: Vec<String> = cases
        .iter()
        .take(MOST)
        .map(|case| format!("`{case}`"))
        .collect();
    let more = match cases.len().saturating_sub(MOST) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    names.join(", ") + &more
}
