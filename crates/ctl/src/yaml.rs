//! YAML as the tool shows and reads it; the format itself belongs to the configuration crate.

use patroni_config::yaml::{self, Options, YamlError, to_block, to_flow};
use serde_json::Value;

use crate::exit::Failure;

/// Reads a document. A number that the store could not keep as it is is refused.
pub(crate) fn parse(text: &str, place: &str) -> Result<Value, Failure> {
    let failure = |error: YamlError| Failure::Yaml {
        place: place.to_owned(),
        why: error.to_string(),
    };
    let document = yaml::parse(text).map_err(failure)?;
    match document.unheld {
        Some(error) => Err(failure(error)),
        None => Ok(document.value),
    }
}

/// Block style, sorted, with long lines; ends in a line break.
pub(crate) fn block(value: &Value) -> String {
    to_block(value, Options::WIDE)
}

/// Flow style on one line.
pub(crate) fn flow(value: &Value) -> String {
    to_flow(value)
}
