//! The section `citus`.

use crate::error::ConfigError;
use crate::section::Section;

/// The place of a node in a Citus cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Citus {
    /// `group`: 0 is the coordinator.
    pub group: u32,
    /// `database`.
    pub database: String,
}

impl Citus {
    /// Reads the section, which the effective configuration has only when it is complete.
    pub(crate) fn read(root: &Section<'_>) -> Result<Option<Self>, ConfigError> {
        let Some(section) = root.section_if_any("citus")? else {
            return Ok(None);
        };
        let (Some(group), Some(database)) = (section.number("group")?, section.text("database")?)
        else {
            return Ok(None);
        };
        Ok(Some(Self { group, database }))
    }
}
