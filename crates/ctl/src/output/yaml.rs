//! Tables as YAML: a block list of mappings with sorted keys, and an empty line after it.

use serde_json::Value;

use super::Table;
use crate::yaml;

/// The table as a document.
pub fn render(table: &Table) -> String {
    format!("{}\n", yaml::block(&Value::Array(table.objects())))
}
