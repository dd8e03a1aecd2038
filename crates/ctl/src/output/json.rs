//! Tables as JSON: one line, an array of objects.

use super::Table;

/// The table as one line.
pub fn render(table: &Table) -> String {
    format!("{}\n", patroni_core::json::spaced(&table.objects()))
}
