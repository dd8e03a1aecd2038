//! YAML as the tool shows and reads it; the format itself belongs to the configuration crate.

use patroni_config::yaml::{Options, parse_value, to_block, to_flow};
use serde_json::Value;

use crate::exit::Failure;

/// Reads a document.
pub(crate) fn parse(text: &str, place: &str) -> Result<Value, Failure> {
    parse_value(text).map_err(|error| Failure::Yaml {
        place: place.to_owned(),
        why: error.to_string(),
    })
}

/// Block style, sorted, with long lines; ends in a line break.
pub(crate) fn block(value: &Value) -> String {
    to_block(value, Options::WIDE)
}

/// Flow style on one line.
pub(crate) fn flow(value: &Value) -> String {
    to_flow(value)
}
