//! The section `zookeeper`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use patroni_core::{Secret, value};

use crate::error::ConfigError;
use crate::file::address::HostPort;
use crate::section::Section;

/// A ZooKeeper ensemble.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ZooKeeper {
    /// `hosts` without the chroot.
    pub hosts: Vec<HostPort>,
    /// The path after the last host (`/pg`), under which all keys lie.
    pub chroot: Option<String>,
    /// TLS and access rights, which Exhibitor clusters share.
    pub access: Access,
}

/// How the ensemble is entered.
#[derive(Clone, Debug, PartialEq)]
pub struct Access {
    /// `use_ssl`.
    pub use_ssl: bool,
    /// `verify`: the certificate chain is checked; host names never are.
    pub verify: bool,
    /// `cacert`.
    pub cacert: Option<PathBuf>,
    /// `cert`: used only together with a key.
    pub cert: Option<PathBuf>,
    /// `key`.
    pub key: Option<PathBuf>,
    /// `key_password`.
    pub key_password: Option<Secret>,
    /// `set_acls`: who may do what with created nodes; empty is everybody everything.
    pub set_acls: Vec<Acl>,
    /// `auth_data`: scheme to credential, sent at connect.
    pub auth_data: BTreeMap<String, Secret>,
}

/// The rights of one principal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acl {
    /// Scheme, `x509` unless written.
    pub scheme: String,
    /// Who, within the scheme.
    pub id: String,
    /// What.
    pub permissions: Vec<Permission>,
}

/// One right on a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    /// `CREATE`
    Create,
    /// `READ`
    Read,
    /// `WRITE`
    Write,
    /// `DELETE`
    Delete,
    /// `ADMIN`
    Admin,
    /// `ALL`
    All,
}

impl ZooKeeper {
    pub(crate) fn read(section: &Section<'_>) -> Result<Self, ConfigError> {
        let mut given = section.list_or_commas("hosts")?;
        let chroot = match given.last_mut() {
            None => return Err(section.fail("hosts", "is not defined")),
            Some(last) => last.find('/').map(|at| last.split_off(at)),
        };
        let hosts = given.iter().map(|host| {
            HostPort::parse(host, Some(2181))
                .map_err(|problem| section.fail("hosts", format!("{host} {problem}")))
        });
        Ok(Self {
            hosts: hosts.collect::<Result<_, _>>()?,
            chroot: chroot.filter(|path| path.len() > 1),
            access: Access::read(section)?,
        })
    }
}

impl Default for Access {
    fn default() -> Self {
        Self {
            use_ssl: false,
            verify: true,
            cacert: None,
            cert: None,
            key: None,
            key_password: None,
            set_acls: Vec::new(),
            auth_data: BTreeMap::new(),
        }
    }
}

impl Access {
    pub(super) fn read(section: &Section<'_>) -> Result<Self, ConfigError> {
        let auth_data = section.texts("auth_data")?;
        Ok(Self {
            use_ssl: section.flag("use_ssl", false),
            verify: section.flag("verify", true),
            cacert: section.path("cacert")?,
            cert: section.path("cert")?,
            key: section.path("key")?,
            key_password: section.secret("key_password")?,
            set_acls: acls(&section.section("set_acls")?)?,
            auth_data: auth_data
                .into_iter()
                .map(|(scheme, credential)| (scheme, Secret::new(credential)))
                .collect(),
        })
    }
}

fn acls(section: &Section<'_>) -> Result<Vec<Acl>, ConfigError> {
    let mut acls = Vec::new();
    for (principal, given) in section.entries() {
        let names = match given.as_array() {
            Some(names) => names.iter().map(value::text).collect(),
            None => vec![value::text(given)],
        };
        let permissions = names.iter().map(|name| {
            permission(name)
                .ok_or_else(|| section.fail(principal, format!("{name} is no permission")))
        });
        let (scheme, id) = match principal.split_once(':') {
            Some((scheme, id)) if !scheme.contains('=') => (scheme, id),
            _ => ("x509", principal.as_str()),
        };
        acls.push(Acl {
            scheme: scheme.to_owned(),
            id: id.to_owned(),
            permissions: permissions.collect::<Result<_, _>>()?,
        });
    }
    Ok(acls)
}

fn permission(name: &str) -> Option<Permission> {
    Some(match name.to_uppercase().as_str() {
        "CREATE" => Permission::Create,
        "READ" => Permission::Read,
        "WRITE" => Permission::Write,
        "DELETE" => Permission::Delete,
        "ADMIN" => Permission::Admin,
        "ALL" => Permission::All,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file::dcs::tests::read_with;
    use serde_json::json;

    #[test]
    fn hosts_may_end_in_a_chroot() {
        let given = json!({"hosts": "a:1,b/pg", "verify": "no", "set_acls": {"CN=a": ["create", "ALL"], "digest:u": "READ"}});
        let zookeeper = read_with(&given, ZooKeeper::read).unwrap();
        let hosts: Vec<String> = zookeeper.hosts.iter().map(ToString::to_string).collect();
        assert_eq!(hosts, ["a:1", "b:2181"]);
        assert_eq!(zookeeper.chroot.as_deref(), Some("/pg"));
        assert!(!zookeeper.access.verify);
        let acls = &zookeeper.access.set_acls;
        assert_eq!(
            (acls[0].scheme.as_str(), acls[0].id.as_str()),
            ("x509", "CN=a")
        );
        assert_eq!(acls[0].permissions, [Permission::Create, Permission::All]);
        assert_eq!(
            (acls[1].scheme.as_str(), acls[1].id.as_str()),
            ("digest", "u")
        );
        assert!(read_with(&json!({}), ZooKeeper::read).is_err());
    }
}
