//! The settings of a voter without PostgreSQL, which needs almost none.

use crate::effective::Effective;
use crate::error::ConfigError;
use crate::file::Log;
use crate::file::dcs::Raft;
use crate::load::Local;
use crate::section::Section;

/// What `patroni_raft_controller` reads: the file may be that of a daemon, or hold these two
/// sections and nothing else.
#[derive(Clone, Debug, PartialEq)]
pub struct WitnessSettings {
    /// `raft`, always with `self_addr`.
    pub raft: Raft,
    /// `log`.
    pub log: Log,
    /// For the log.
    pub warnings: Vec<String>,
}

impl WitnessSettings {
    /// Reads both sections.
    ///
    /// # Errors
    /// There is no `raft` section or no `self_addr` in it, or a setting of the two sections
    /// cannot be used.
    pub fn read(local: &Local) -> Result<Self, ConfigError> {
        let effective = Effective::compute(&serde_json::Map::new(), local)?;
        let root = &Section::root(&effective.settings, &effective.origins);
        if !root.has("raft") {
            return Err(root.fail("raft", "is not defined"));
        }
        let section = &root.section("raft")?;
        let raft = Raft::read(section)?;
        if raft.self_addr.is_none() {
            return Err(section.fail("self_addr", "is not defined: a voter needs an address"));
        }
        let mut warnings = local.warnings.clone();
        let log = Log::read(root, &mut warnings)?;
        Ok(Self {
            raft,
            log,
            warnings,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Environment;

    fn read(variables: &[(&str, &str)]) -> Result<WitnessSettings, ConfigError> {
        let owned = variables
            .iter()
            .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
        WitnessSettings::read(&Local::load(None, &Environment::read(owned))?)
    }

    #[test]
    fn the_environment_alone_describes_a_voter() {
        let settings = read(&[
            ("PATRONI_RAFT_SELF_ADDR", "10.0.0.3:2222"),
            (
                "PATRONI_RAFT_PARTNER_ADDRS",
                "'10.0.0.1:2222','10.0.0.2:2222'",
            ),
            ("PATRONI_LOG_LEVEL", "DEBUG"),
        ])
        .unwrap();
        let partners: Vec<String> = settings
            .raft
            .partner_addrs
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(partners, ["10.0.0.1:2222", "10.0.0.2:2222"]);
        assert_eq!(settings.log.level.as_str(), "DEBUG");
    }

    #[test]
    fn what_is_missing_is_named() {
        let problem = |text| {
            read(&[("PATRONI_CONFIGURATION", text)])
                .unwrap_err()
                .to_string()
        };
        assert_eq!(problem("scope: a"), "raft is not defined");
        assert!(
            problem("raft: {partner_addrs: ['b:1']}").contains("raft.self_addr is not defined")
        );
    }
}
