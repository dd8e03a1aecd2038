//! The order and the indentation of `topology`.

use std::collections::BTreeMap;

use super::members::Row;

/// The leader first, below it who replicates from whom. Members whose `replicatefrom` makes a
/// loop are below nobody and disappear.
pub(crate) fn arrange(rows: Vec<Row>) -> Vec<Row> {
    let leader = rows
        .iter()
        .find(|row| row.leads)
        .map(|row| row.name.clone());
    let names: Vec<String> = rows.iter().map(|row| row.name.clone()).collect();
    let mut children: BTreeMap<Option<String>, Vec<Row>> = BTreeMap::new();
    let mut out = Vec::new();
    for row in rows {
        if row.leads {
            out.push(row);
            continue;
        }
        let upstream = row
            .replicates_from
            .clone()
            .filter(|name| *name != row.name && names.contains(name))
            .or_else(|| leader.clone());
        children.entry(upstream).or_default().push(row);
    }
    // without a leader those with no upstream are at the first level as well
    descend(leader.as_ref(), 1, &mut children, &mut out);
    out
}

fn descend(
    upstream: Option<&String>,
    level: usize,
    children: &mut BTreeMap<Option<String>, Vec<Row>>,
    out: &mut Vec<Row>,
) {
    for mut row in children.remove(&upstream.cloned()).unwrap_or_default() {
        let name = row.name.clone();
        row.level = level;
        out.push(row);
        descend(Some(&name), level + 1, children, out);
    }
}
