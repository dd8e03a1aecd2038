//! The section `ctl`: how the control tool, and one node, call the REST servers of others.

use std::path::PathBuf;

use patroni_core::Secret;

use super::auth::BasicAuth;
use crate::error::ConfigError;
use crate::section::Section;

/// A REST client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ctl {
    /// `authentication`, by default that of `restapi`.
    pub auth: Option<BasicAuth>,
    /// `insecure`: servers are not verified. Calls between nodes never verify.
    pub insecure: bool,
    /// `cacert`, by default `restapi.cafile`.
    pub cacert: Option<PathBuf>,
    /// `certfile`: client certificate.
    pub certfile: Option<PathBuf>,
    /// `keyfile`.
    pub keyfile: Option<PathBuf>,
    /// `keyfile_password`.
    pub keyfile_password: Option<Secret>,
}

impl Ctl {
    pub(crate) fn read(root: &Section<'_>) -> Result<Self, ConfigError> {
        let section = &root.section("ctl")?;
        let restapi = &root.section("restapi")?;
        Ok(Self {
            auth: BasicAuth::read(section)?.or(BasicAuth::read(restapi)?),
            insecure: section.flag("insecure", false),
            cacert: section.path("cacert")?.or(restapi.path("cafile")?),
            certfile: section.path("certfile")?,
            keyfile: section.path("keyfile")?,
            keyfile_password: section.secret("keyfile_password")?,
        })
    }
}
