//! The section `bootstrap`: how a cluster begins.

use patroni_core::value;
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
            method: custom_method(&root.map("bootstrap")?),
            initdb: section.get("initdb").cloned().unwrap_or_default(),
            pg_hba: section.list("pg_hba")?,
            post_bootstrap,
        }))
    }
}

/// The custom method that the section `bootstrap` puts into effect: it counts only if it has a
/// command, and everything else means initdb.
pub fn custom_method(bootstrap: &Map<String, Value>) -> Option<CustomMethod> {
    let name = value::text(bootstrap.get("method")?);
    let section = bootstrap.get(&name).filter(|_| name != "initdb")?;
    let section = section.as_object()?.clone();
    let has_command = section.get("command").is_some_and(value::is_truthy);
    has_command.then_some(CustomMethod { name, section })
}
