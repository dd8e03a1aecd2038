//! The steps from what the table of nodes says about a group to what it should say.
//!
//! Citus sets the rules: the row of the primary keeps its id for ever; an address stands in one row
//! only, so it has to be free before another row takes it; rows come and go only while the primaries
//! of all groups can be reached, but an address can be changed at any time. Hence secondaries that
//! are gone lend their rows to new ones, and within a failover nothing is added or removed.

use serde::{Deserialize, Serialize};

use super::rows::{Address, NodeRole, Row};

/// A change of one row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    /// `citus_update_node`: the row with this id becomes that.
    Update {
        /// Of the row.
        id: i64,
        /// What it becomes.
        row: Row,
    },
    /// `citus_add_node`; the answer is the id of the new row.
    Add(Row),
    /// `citus_remove_node`
    Remove(Row),
}

/// A row of the table with its id; `None` until the step that adds it has been done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// Its id.
    pub id: Option<i64>,
    /// What it says.
    pub row: Row,
}

/// The rows of a group as the table has them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registered {
    /// In the order of the table.
    pub rows: Vec<Known>,
    /// A failover is on its way: until it is committed no row is added or removed.
    pub failover: bool,
}

impl Registered {
    /// Says what is wished, in whatever order.
    pub fn says(&self, wished: &[Row]) -> bool {
        self.rows.len() == wished.len() && self.rows.iter().all(|known| wished.contains(&known.row))
    }
}

/// Steps, and what the table says after them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// In order.
    pub steps: Vec<Step>,
    /// What the rows are when all of them are done. Rows that were not taken in stay out of it, so
    /// that a later look finds them missing.
    pub after: Registered,
}

/// From `old` to `wished`, as far as it can be gone now.
pub fn plan(old: &Registered, wished: &[Row]) -> Plan {
    let mut walk = Walk {
        steps: Vec::new(),
        rows: old.rows.clone(),
        failover: old.failover,
    };
    let Some(new) = wished.iter().find(|row| row.role.leads()) else {
        return walk.into_plan();
    };
    match walk.primary() {
        None if new.role == NodeRole::Primary => walk.add(new.clone()),
        None => {}
        Some(at) => walk.lead(at, new, wished),
    }
    walk.lend(wished);
    if !walk.failover {
        walk.remove_gone(wished);
        for row in walk.missing(wished) {
            walk.add(row);
        }
    }
    walk.into_plan()
}

struct Walk {
    steps: Vec<Step>,
    rows: Vec<Known>,
    failover: bool,
}

impl Walk {
    fn into_plan(self) -> Plan {
        Plan {
            steps: self.steps,
            after: Registered {
                rows: self.rows,
                failover: self.failover,
            },
        }
    }

    fn primary(&self) -> Option<usize> {
        self.rows.iter().position(|known| known.row.role.leads())
    }

    fn secondary(&self, address: &Address) -> Option<usize> {
        let is_it = |known: &Known| !known.row.role.leads() && known.row.address == *address;
        self.rows.iter().position(is_it)
    }

    /// Registered secondaries that nobody wishes, by position.
    fn gone(&self, wished: &[Row]) -> Vec<usize> {
        let unwished =
            |known: &Known| !known.row.role.leads() && !names(wished, &known.row.address);
        (0..self.rows.len())
            .filter(|at| self.rows.get(*at).is_some_and(unwished))
            .collect()
    }

    /// Wished secondaries without a row.
    fn missing(&self, wished: &[Row]) -> Vec<Row> {
        let registered = |row: &Row| self.rows.iter().any(|k| k.row.address == row.address);
        wished
            .iter()
            .filter(|row| !row.role.leads() && !registered(row))
            .cloned()
            .collect()
    }

    /// Makes the row at this position say that.
    fn update(&mut self, at: usize, row: Row) {
        let Some(known) = self.rows.get_mut(at) else {
            return;
        };
        known.row = row.clone();
        if let Some(id) = known.id {
            self.steps.push(Step::Update { id, row });
        }
    }

    fn add(&mut self, row: Row) {
        self.steps.push(Step::Add(row.clone()));
        self.rows.push(Known { id: None, row });
    }

    /// The row of the primary gets its new address or role.
    fn lead(&mut self, at: usize, new: &Row, wished: &[Row]) {
        let Some(old) = self.rows.get(at).map(|known| known.row.clone()) else {
            return;
        };
        if old == *new {
            return;
        }
        self.failover = true;
        if old.address == new.address {
            self.update(at, new.clone());
        } else if let Some(promoted) = self.secondary(&new.address) {
            self.swap(at, &old, promoted, new, wished);
        } else {
            self.replace(at, &old, new, wished);
        }
    }

    /// A registered secondary becomes the primary.
    fn swap(&mut self, at: usize, old: &Row, promoted: usize, new: &Row, wished: &[Row]) {
        let waiting = self.missing(wished).into_iter().next();
        match waiting {
            Some(other) if !names(wished, &old.address) => self.update(promoted, other),
            _ => {
                // Also when the old node is gone for good: no row can be removed now.
                if old.role != NodeRole::Demoted {
                    let role = NodeRole::Demoted;
                    let address = old.address.clone();
                    self.update(at, Row { address, role });
                }
                self.update(promoted, secondary(&old.address));
            }
        }
        self.update(at, new.clone());
    }

    /// A node that the table does not know becomes the primary.
    fn replace(&mut self, at: usize, old: &Row, new: &Row, wished: &[Row]) {
        let gone = self.gone(wished);
        let added = self.missing(wished);
        self.update(at, new.clone());
        let returns = wished.contains(&secondary(&old.address));
        let spare = old.role == NodeRole::Demoted && gone.len() > added.len();
        if let Some(free) = gone.first()
            && (returns || spare)
        {
            self.update(*free, secondary(&old.address));
        }
    }

    /// Rows of secondaries that are gone are taken over by new ones.
    fn lend(&mut self, wished: &[Row]) {
        for (at, row) in self.gone(wished).into_iter().zip(self.missing(wished)) {
            self.update(at, row);
        }
    }

    fn remove_gone(&mut self, wished: &[Row]) {
        for at in self.gone(wished).into_iter().rev() {
            let known = self.rows.remove(at);
            self.steps.push(Step::Remove(known.row));
        }
    }
}

fn names(wished: &[Row], address: &Address) -> bool {
    wished.iter().any(|row| row.address == *address)
}

fn secondary(address: &Address) -> Row {
    Row {
        address: address.clone(),
        role: NodeRole::Secondary,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `a p`, `a(1) demoted`, `b(2) s`: the notation of the contract.
    fn parsed(text: &str) -> Vec<Known> {
        let all = text.split(", ").filter(|one| !one.is_empty());
        all.map(|one| {
            let (node, role) = one.split_once(' ').unwrap();
            let (host, id) = match node.split_once('(') {
                Some((host, id)) => (host, id.trim_end_matches(')').parse().ok()),
                None => (node, None),
            };
            let role = match role {
                "p" => NodeRole::Primary,
                "demoted" => NodeRole::Demoted,
                _ => NodeRole::Secondary,
            };
            let address = Address {
                host: host.to_owned(),
                port: 5432,
            };
            Known {
                id,
                row: Row { address, role },
            }
        })
        .collect()
    }

    fn wished(text: &str) -> Vec<Row> {
        parsed(text).into_iter().map(|known| known.row).collect()
    }

    fn registered(text: &str) -> Registered {
        Registered {
            rows: parsed(text),
            failover: false,
        }
    }

    fn shown(steps: &[Step]) -> String {
        let one = |step: &Step| match step {
            Step::Update { id, row } => format!("upd({id}, {})", row.host()),
            Step::Add(row) => format!("add {}", row.host()),
            Step::Remove(row) => format!("remove {}", row.host()),
        };
        steps.iter().map(one).collect::<Vec<_>>().join(", ")
    }

    /// Source: the verified table of the Citus contract, section 9.
    #[test]
    fn steps_are_those_of_the_verified_table() {
        let table = [
            (
                "a(1) p, b(2) s",
                "b p, a s",
                "upd(1, a-demoted), upd(2, a), upd(1, b)",
            ),
            ("a(1) demoted, b(2) s", "b p, a s", "upd(2, a), upd(1, b)"),
            (
                "a(1) p, b(2) s",
                "b p",
                "upd(1, a-demoted), upd(2, a), upd(1, b)",
            ),
            ("a(1) p, b(2) s", "b p, c s", "upd(2, c), upd(1, b)"),
            ("a(1) p", "c p", "upd(1, c)"),
            ("a(1) p, b(2) s", "c p", "upd(1, c)"),
            ("a(1) demoted, b(2) s", "c p", "upd(1, c), upd(2, a)"),
            ("a(1) p, b(2) s", "c p, a s", "upd(1, c), upd(2, a)"),
            ("a(1) p, b(2) s", "a p, c s", "upd(2, c)"),
            ("a(1) p, b(2) s", "a p", "remove b"),
            ("", "a p, b s", "add a, add b"),
            ("a(1) p", "a demoted", "upd(1, a-demoted)"),
            ("a(1) demoted", "a p", "upd(1, a)"),
            ("", "a demoted", ""),
        ];
        for (old, new, expected) in table {
            let plan = plan(&registered(old), &wished(new));
            assert_eq!(shown(&plan.steps), expected, "{old} -> {new}");
        }
    }

    #[test]
    fn a_former_primary_without_a_free_row_is_not_claimed_to_be_registered() {
        let plan = plan(&registered("a(1) p"), &wished("c p, a s"));
        assert_eq!(shown(&plan.steps), "upd(1, c)");
        assert!(!plan.after.says(&wished("c p, a s")));
        let after = Registered {
            failover: false,
            ..plan.after
        };
        let next = super::plan(&after, &wished("c p, a s"));
        assert_eq!(shown(&next.steps), "add a");
    }

    #[test]
    fn within_a_failover_no_row_comes_or_goes() {
        let first = plan(&registered("a(1) p, b(2) s"), &wished("b p"));
        let again = plan(&first.after, &wished("b p"));
        assert_eq!(shown(&again.steps), "");
        let over = Registered {
            failover: false,
            ..first.after
        };
        assert_eq!(shown(&plan(&over, &wished("b p")).steps), "remove a");
    }

    /// Whatever is wished, following the steps keeps the rules of Citus.
    #[test]
    fn no_address_ever_stands_in_two_rows() {
        let olds = [
            "a(1) p, b(2) s, c(3) s",
            "a(1) demoted, b(2) s",
            "a(1) p",
            "",
        ];
        let news = [
            "b p, a s, c s",
            "d p, a s, b s",
            "c p, d s, e s",
            "a p, c s",
            "b p",
            "d p",
        ];
        for (old, new) in olds.iter().flat_map(|old| news.map(|new| (*old, new))) {
            let mut table = parsed(old);
            let plan = plan(&registered(old), &wished(new));
            for step in &plan.steps {
                match step.clone() {
                    Step::Update { id, row } => {
                        let known = table.iter_mut().find(|known| known.id == Some(id));
                        known.expect("the row is there").row = row;
                    }
                    Step::Add(row) => table.push(Known { id: None, row }),
                    Step::Remove(row) => table.retain(|known| known.row != row),
                }
                let mut hosts: Vec<(String, u16)> = table
                    .iter()
                    .map(|known| (known.row.host(), known.row.address.port))
                    .collect();
                hosts.sort();
                hosts.dedup();
                assert_eq!(hosts.len(), table.len(), "{old} -> {new}: {step:?}");
            }
            assert_eq!(table, plan.after.rows, "{old} -> {new}");
        }
    }
}
