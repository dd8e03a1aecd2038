//! Tables in their formats.

pub mod json;
pub mod members;
pub mod table;
pub mod topology;
pub mod tsv;
pub mod yaml;

use clap::ValueEnum;
use serde_json::Value;

pub use members::members_table;
pub use table::pretty;

/// The formats that `-f` knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A box of lines, for people.
    Pretty,
    /// Columns between tabs.
    Tsv,
    /// One line of JSON.
    Json,
    /// A list of mappings.
    Yaml,
    /// The same.
    Yml,
}

impl Format {
    /// Reads the word as on the command line; for `query`, which takes any.
    pub(crate) fn parse(word: &str) -> Option<Self> {
        Self::from_str(word, false).ok()
    }
}

/// Where the text of a column stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// At the left.
    Left,
    /// At the right.
    Right,
}

/// A column: its key in machine formats, its title on paper.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// The key, unique in the table.
    pub key: String,
    /// The title of pretty output.
    pub title: String,
    /// Where its text stands.
    pub align: Align,
}

impl Column {
    /// A column with equal key and title.
    pub fn new(key: &str, align: Align) -> Self {
        Self {
            key: key.to_owned(),
            title: key.to_owned(),
            align,
        }
    }
}

/// Columns and rows; each row has one value per column. The empty text is an empty cell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// The line over the table, in pretty output only.
    pub title: Option<String>,
    /// The columns.
    pub columns: Vec<Column>,
    /// The rows.
    pub rows: Vec<Vec<Value>>,
    /// Machine formats leave empty cells out.
    pub omit_empty: bool,
    /// Keys of a row are sorted in YAML either way; this is what tsv puts between columns.
    pub delimiter: Option<String>,
}

impl Table {
    /// The table as text that ends in a line break.
    pub fn render(&self, format: Format) -> String {
        match format {
            Format::Pretty => pretty(self),
            Format::Tsv => tsv::render(self),
            Format::Json => json::render(self),
            Format::Yaml | Format::Yml => yaml::render(self),
        }
    }

    /// The rows as objects, for machine formats.
    pub(crate) fn objects(&self) -> Vec<Value> {
        self.rows
            .iter()
            .map(|row| {
                let cells = self.columns.iter().zip(row);
                let kept = cells.filter(|(_, cell)| !(self.omit_empty && is_empty(cell)));
                Value::Object(
                    kept.map(|(column, cell)| (column.key.clone(), cell.clone()))
                        .collect(),
                )
            })
            .collect()
    }
}

fn is_empty(cell: &Value) -> bool {
    cell.as_str() == Some("")
}

/// A cell as people see it: absent values as `None`, flags as `True` and `False`.
pub(crate) fn cell_text(cell: &Value) -> String {
    patroni_core::value::text(cell)
}
