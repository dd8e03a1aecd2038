//! Tables as lines of cells. Line breaks inside a cell are printed raw.

use super::{Table, cell_text};

/// The header and the rows; a table without columns has no header.
pub fn render(table: &Table) -> String {
    let delimiter = table.delimiter.as_deref().unwrap_or("\t");
    let header: Vec<&str> = table
        .columns
        .iter()
        .map(|column| column.key.as_str())
        .collect();
    let mut lines = Vec::new();
    if !header.is_empty() {
        lines.push(header.join(delimiter));
    }
    for row in &table.rows {
        let cells: Vec<String> = row.iter().map(cell_text).collect();
        lines.push(cells.join(delimiter));
    }
    lines
        .iter()
        .fold(String::new(), |text, line| text + line + "\n")
}
