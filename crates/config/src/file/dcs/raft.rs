//! The section `raft`.

use std::path::PathBuf;

use patroni_core::Secret;

use crate::error::ConfigError;
use crate::file::address::HostPort;
use crate::section::Section;

/// The built-in replicated log.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Raft {
    /// `self_addr`; without one the process only watches.
    pub self_addr: Option<HostPort>,
    /// `bind_addr`, by default [`Self::self_addr`].
    pub bind_addr: Option<HostPort>,
    /// `partner_addrs`.
    pub partner_addrs: Vec<HostPort>,
    /// `data_dir`; empty is the working directory.
    pub data_dir: PathBuf,
    /// `password` of the traffic.
    pub password: Option<Secret>,
}

impl Raft {
    pub(crate) fn read(section: &Section<'_>) -> Result<Self, ConfigError> {
        let self_addr = section.address("self_addr", None)?;
        let partners = section.list_or_commas("partner_addrs")?;
        let partners = partners.iter().map(|partner| {
            HostPort::parse(partner, None)
                .map_err(|problem| section.fail("partner_addrs", format!("{partner} {problem}")))
        });
        Ok(Self {
            bind_addr: section.address("bind_addr", None)?.or(self_addr.clone()),
            self_addr,
            partner_addrs: partners.collect::<Result<_, _>>()?,
            data_dir: section.path("data_dir")?.unwrap_or_default(),
            password: section.secret("password")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file::dcs::tests::read_with;
    use serde_json::json;

    #[test]
    fn the_own_address_is_bound_by_default() {
        let given = json!({"self_addr": "a:1", "partner_addrs": ["b:2"]});
        let raft = read_with(&given, Raft::read).unwrap();
        assert_eq!(raft.bind_addr, raft.self_addr);
        assert_eq!(raft.partner_addrs[0].to_string(), "b:2");
        assert!(read_with(&json!({"self_addr": "a"}), Raft::read).is_err());
    }
}
