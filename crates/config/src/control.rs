//! The settings of the control tool, which needs far fewer than a daemon.

use patroni_core::{MemberName, Scope};

use crate::dynamic::Dynamic;
use crate::effective::Effective;
use crate::error::ConfigError;
use crate::file::{Citus, Ctl, Dcs};
use crate::load::Local;
use crate::section::Section;
use crate::settings::base_path;

/// What the control tool reads from the same file as the daemon. Everything may be missing.
#[derive(Clone, Debug, PartialEq)]
pub struct ControlSettings {
    /// `scope`.
    pub scope: Option<Scope>,
    /// `name`.
    pub name: Option<MemberName>,
    /// `namespace`, `service` by default.
    pub namespace: String,
    /// The store.
    pub dcs: Option<Dcs>,
    /// `ctl`, with `restapi` behind it.
    pub ctl: Ctl,
    /// `citus`.
    pub citus: Option<Citus>,
    /// Default timings.
    pub dynamic: Dynamic,
}

impl ControlSettings {
    /// Reads what is there.
    ///
    /// # Errors
    /// A setting of these sections that cannot be used.
    pub fn read(local: &Local) -> Result<Self, ConfigError> {
        let effective = Effective::compute(&serde_json::Map::new(), local)?;
        let root = &Section::root(&effective.settings, &effective.origins);
        Ok(Self {
            scope: root.text("scope")?.map(Scope::new),
            name: root.text("name")?.map(MemberName::new),
            namespace: root.text_or("namespace", "service")?,
            dcs: Dcs::read(root, &mut Vec::new())?,
            ctl: Ctl::read(root)?,
            citus: Citus::read(root)?,
            dynamic: effective.dynamic,
        })
    }

    /// The key prefix of a cluster: `/service/demo`.
    pub fn base_path(&self, scope: &Scope) -> String {
        base_path(&self.namespace, scope)
    }
}
