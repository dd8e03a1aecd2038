//! The section `exhibitor`.

use std::time::Duration;

use super::zookeeper::Access;
use crate::error::ConfigError;
use crate::section::Section;

/// ZooKeeper servers that Exhibitor names.
#[derive(Clone, Debug, PartialEq)]
pub struct Exhibitor {
    /// `hosts` of Exhibitor.
    pub hosts: Vec<String>,
    /// `port` of Exhibitor.
    pub port: u16,
    /// `poll_interval`.
    pub poll_interval: Duration,
    /// How the ensemble itself is entered.
    pub access: Access,
}

impl Exhibitor {
    pub(crate) fn read(section: &Section<'_>) -> Result<Self, ConfigError> {
        let hosts = section.list_or_commas("hosts")?;
        if hosts.is_empty() {
            return Err(section.fail("hosts", "is not defined"));
        }
        let port = section.number("port")?;
        let interval = section.number("poll_interval")?.unwrap_or(300);
        Ok(Self {
            hosts,
            port: port.ok_or_else(|| section.fail("port", "is not defined"))?,
            poll_interval: Duration::from_secs(interval),
            access: Access::read(section)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file::dcs::tests::read_with;
    use serde_json::json;

    #[test]
    fn hosts_and_port_are_needed() {
        let given = json!({"hosts": ["a"], "port": "8181"});
        let exhibitor = read_with(&given, Exhibitor::read).unwrap();
        assert_eq!(exhibitor.port, 8181);
        assert_eq!(exhibitor.poll_interval, Duration::from_mins(5));
        assert!(read_with(&json!({"hosts": ["a"]}), Exhibitor::read).is_err());
        assert!(read_with(&json!({"port": 1}), Exhibitor::read).is_err());
    }
}
