//! The section `bootstrap`: how a cluster begins.

use serde_json::{Map, Value};

use crate::error::ConfigError;
use crate::section::Section;

/// A node without this section never initialises a cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct Bootstrap {
    /// `dcs`: the first dynamic configuration; `None` when it is missing.
    pub dcs: Option<Map<String, Value>>,
    /// The custom method in effect; `None` is initdb.
    pub method: Option<CustomMethod>,
    /// `initdb`: options as written, list or mapping.
    pub initdb: Value,
    /// `pg_hba`: lines for the first `pg_hba.conf`.
    pub pg_hba: Vec<String>,
    /// `post_bootstrap`, or its twin `post_init`.
    pub post_bootstrap: Option<String>,
}

/// `bootstrap.<method>` with a command.
#[derive(Clone, Debug, PartialEq)]
pub struct CustomMethod {
    /// Its name.
    pub name: String,
    /// Its section as written; `command` is there.
    pub section: Map<String, Value>,
}

impl Bootstrap {
    pub(crate) fn read(root: &Section<'_>) -> Result<Option<Self>, ConfigError> {
        let Some(section) = root.section_if_any("bootstrap")? else {
            return Ok(None);
        };
        let post_bootstrap = match section.text("post_bootstrap")? {
            Some(command) => Some(command),
            None => section.text("post_init")?,
        };
        Ok(Some(Self {
            dcs: match section.get("dcs") {
                Some(_) => Some(section.map("dcs")?),
                None => None,
            },
            method: custom_method(&section)?,
            initdb: section.get("initdb").cloned().unwrap_or_default(),
            pg_hba: section.list("pg_hba")?,
            post_bootstrap,
        }))
    }
}

/// The method counts only if it has a command.
fn custom_method(section: &Section<'_>) -> Result<Option<CustomMethod>, ConfigError> {
    let name = section.text_or("method", "initdb")?;
    if name == "initdb" || !section.get(&name).is_some_and(Value::is_object) {
        return Ok(None);
    }
    if section.section(&name)?.text("command")?.is_none() {
        return Ok(None);
    }
    let section = section.map(&name)?;
    Ok(Some(CustomMethod { name, section }))
}
